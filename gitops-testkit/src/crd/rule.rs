//! Validation rules in CEL: whether a rule can be one at all.
//!
//! This is a reader, not an evaluator: it finds rules that don't parse, refer to properties the
//! schema doesn't have, or can't be a yes or no. Rules that pass are not run here.

use serde_json::Value;

/// Longest rule that is looked at, and how deep its parentheses may go.
const MAX_RULE: usize = 64 * 1024;
const MAX_DEPTH: usize = 200;

/// Checks a rule against the schema it stands in.
pub(super) fn check(rule: &str, schema: &Value) -> Result<(), String> {
    let tokens = tokens(rule)?;
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
        depth: 0,
        schema,
    };
    let kind = parser.expression()?;
    if let Some(token) = parser.peek() {
        return Err(format!(
            "compilation failed: ERROR: <input>: Syntax error: mismatched input {token:?}"
        ));
    }
    match kind {
        Kind::Bool | Kind::Unknown => Ok(()),
        Kind::Other => Err("cel expression must evaluate to a bool".to_owned()),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    Number,
    Text,
    Sign(&'static str),
}

const SIGNS: [&str; 25] = [
    "&&", "||", "==", "!=", "<=", ">=", "(", ")", "[", "]", "{", "}", ".", ",", ":", "?", "!", "<",
    ">", "+", "-", "*", "/", "%", "@",
];

fn tokens(rule: &str) -> Result<Vec<Token>, String> {
    if rule.len() > MAX_RULE {
        return Err("rule is too long".to_owned());
    }
    let mut out = Vec::new();
    let mut rest = rule;
    while let Some(c) = rest.chars().next() {
        if c.is_whitespace() {
            rest = rest.trim_start();
        } else if rest.starts_with("//") {
            rest = rest.split_once('\n').map_or("", |(_, r)| r);
        } else if let Some(after) = literal(rest) {
            out.push(Token::Text);
            rest = after?;
        } else if c.is_ascii_alphabetic() || c == '_' {
            let end = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            out.push(Token::Name(name.to_owned()));
            rest = after;
        } else if c.is_ascii_digit() {
            let end = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '.'))
                .unwrap_or(rest.len());
            out.push(Token::Number);
            rest = rest.get(end..).unwrap_or_default();
        } else if let Some(sign) = SIGNS.iter().find(|s| rest.starts_with(**s)) {
            out.push(Token::Sign(sign));
            rest = rest.get(sign.len()..).unwrap_or_default();
        } else {
            return Err(format!(
                "compilation failed: ERROR: <input>: Syntax error: token recognition error at: '{c}'"
            ));
        }
    }
    Ok(out)
}

/// What follows a string literal at the start of `rest`; `None` if there is none.
fn literal(rest: &str) -> Option<Result<&str, String>> {
    let prefix = rest.find(['"', '\''])?;
    let head = rest.get(..prefix)?;
    if !matches!(head, "" | "r" | "R" | "b" | "B" | "br" | "rb") {
        return None;
    }
    let raw = head.contains(['r', 'R']);
    let body = rest.get(prefix..)?;
    let quote = ["\"\"\"", "'''", "\"", "'"]
        .into_iter()
        .find(|q| body.starts_with(q))?;
    let mut at = quote.len();
    while let Some(here) = body.get(at..) {
        if here.starts_with(quote) {
            return Some(Ok(body.get(at + quote.len()..).unwrap_or_default()));
        }
        let c = here.chars().next()?;
        at += c.len_utf8();
        if c == '\\' && !raw {
            at += body
                .get(at..)
                .and_then(|r| r.chars().next())
                .map_or(0, char::len_utf8);
        }
        if at >= body.len() {
            break;
        }
    }
    Some(Err(
        "compilation failed: ERROR: <input>: Syntax error: unterminated string".to_owned(),
    ))
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Bool,
    /// Certainly no bool.
    Other,
    Unknown,
}

/// Where in the schema a chain of selections has arrived.
#[derive(Clone, Copy)]
enum At<'a> {
    Schema(&'a Value),
    Anywhere,
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    schema: &'a Value,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = self.peek()
            == Some(&Token::Sign(
                SIGNS.iter().find(|s| **s == sign).copied().unwrap_or("@"),
            ));
        self.at += usize::from(found);
        found
    }

    fn need(&mut self, sign: &str) -> Result<(), String> {
        if self.take(sign) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    fn unexpected(&self) -> String {
        let what = match self.peek() {
            Some(Token::Name(name)) => format!("'{name}'"),
            Some(Token::Sign(sign)) => format!("'{sign}'"),
            Some(_) => "literal".to_owned(),
            None => "'<EOF>'".to_owned(),
        };
        format!("compilation failed: ERROR: <input>: Syntax error: mismatched input {what}")
    }

    fn expression(&mut self) -> Result<Kind, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("compilation failed: expression nested too deeply".to_owned());
        }
        let condition = self.any_of()?;
        let kind = if self.take("?") {
            let first = self.any_of()?;
            self.need(":")?;
            let second = self.expression()?;
            if first == second {
                first
            } else {
                Kind::Unknown
            }
        } else {
            condition
        };
        self.depth -= 1;
        Ok(kind)
    }

    fn any_of(&mut self) -> Result<Kind, String> {
        let mut kind = self.all_of()?;
        while self.take("||") {
            self.all_of()?;
            kind = Kind::Bool;
        }
        Ok(kind)
    }

    fn all_of(&mut self) -> Result<Kind, String> {
        let mut kind = self.relation()?;
        while self.take("&&") {
            self.relation()?;
            kind = Kind::Bool;
        }
        Ok(kind)
    }

    fn relation(&mut self) -> Result<Kind, String> {
        let mut kind = self.sum()?;
        loop {
            let word = matches!(self.peek(), Some(Token::Name(n)) if n == "in");
            self.at += usize::from(word);
            if !word
                && !["==", "!=", "<=", ">=", "<", ">"]
                    .iter()
                    .any(|s| self.take(s))
            {
                return Ok(kind);
            }
            self.sum()?;
            kind = Kind::Bool;
        }
    }

    fn sum(&mut self) -> Result<Kind, String> {
        let mut kind = self.unary()?;
        while ["+", "-", "*", "/", "%"].iter().any(|s| self.take(s)) {
            self.unary()?;
            kind = Kind::Other;
        }
        Ok(kind)
    }

    fn unary(&mut self) -> Result<Kind, String> {
        if self.take("!") {
            while self.take("!") {}
            self.member()?;
            return Ok(Kind::Bool);
        }
        if self.take("-") {
            while self.take("-") {}
            self.member()?;
            return Ok(Kind::Other);
        }
        self.member()
    }

    fn member(&mut self) -> Result<Kind, String> {
        let (mut kind, mut place) = self.primary()?;
        loop {
            if self.take(".") {
                self.take("?");
                let Some(Token::Name(name)) = self.peek().cloned() else {
                    return Err(self.unexpected());
                };
                self.at += 1;
                if self.take("(") {
                    self.arguments(")")?;
                    kind = match name.as_str() {
                        "size" | "sum" | "min" | "max" | "lowerAscii" | "upperAscii" | "trim"
                        | "indexOf" => Kind::Other,
                        "all" | "exists" | "exists_one" | "existsOne" | "startsWith"
                        | "endsWith" | "contains" | "matches" | "isSorted" => Kind::Bool,
                        _ => Kind::Unknown,
                    };
                    place = At::Anywhere;
                } else {
                    place = select(place, &name)?;
                    kind = kind_at(place);
                }
            } else if self.take("[") {
                self.take("?");
                self.expression()?;
                self.need("]")?;
                place = match place {
                    At::Schema(schema) if schema["items"].is_object() => {
                        At::Schema(&schema["items"])
                    }
                    At::Schema(schema) if schema["additionalProperties"].is_object() => {
                        At::Schema(&schema["additionalProperties"])
                    }
                    _ => At::Anywhere,
                };
                kind = kind_at(place);
            } else {
                return Ok(kind);
            }
        }
    }

    fn arguments(&mut self, end: &str) -> Result<(), String> {
        if self.take(end) {
            return Ok(());
        }
        loop {
            self.take("?");
            self.expression()?;
            if self.take(":") {
                self.expression()?;
            }
            if self.take(end) {
                return Ok(());
            }
            self.need(",")?;
            if self.take(end) {
                return Ok(());
            }
        }
    }

    fn primary(&mut self) -> Result<(Kind, At<'a>), String> {
        let other = Ok((Kind::Other, At::Anywhere));
        match self.peek().cloned() {
            Some(Token::Number | Token::Text) => {
                self.at += 1;
                other
            }
            Some(Token::Name(name)) => {
                self.at += 1;
                if self.take("(") {
                    self.arguments(")")?;
                    let kind = match name.as_str() {
                        "has" | "isQuantity" | "isURL" | "isIP" | "isCIDR" | "bool" => Kind::Bool,
                        "size" | "int" | "uint" | "double" | "string" | "bytes" | "duration"
                        | "timestamp" | "type" => Kind::Other,
                        _ => Kind::Unknown,
                    };
                    return Ok((kind, At::Anywhere));
                }
                Ok(match name.as_str() {
                    "true" | "false" => (Kind::Bool, At::Anywhere),
                    "null" => (Kind::Other, At::Anywhere),
                    "self" | "oldSelf" => {
                        (kind_at(At::Schema(self.schema)), At::Schema(self.schema))
                    }
                    _ => (Kind::Unknown, At::Anywhere),
                })
            }
            Some(Token::Sign("(")) => {
                self.at += 1;
                let kind = self.expression()?;
                self.need(")")?;
                Ok((kind, At::Anywhere))
            }
            Some(Token::Sign("[")) => {
                self.at += 1;
                self.arguments("]")?;
                other
            }
            Some(Token::Sign("{")) => {
                self.at += 1;
                self.arguments("}")?;
                other
            }
            Some(Token::Sign(".")) => {
                self.at += 1;
                self.primary()
            }
            _ => Err(self.unexpected()),
        }
    }
}

fn kind_at(place: At<'_>) -> Kind {
    match place {
        At::Anywhere => Kind::Unknown,
        At::Schema(schema) => match schema["type"].as_str() {
            Some("boolean") => Kind::Bool,
            Some(_) => Kind::Other,
            None => Kind::Unknown,
        },
    }
}

fn select<'a>(place: At<'a>, name: &str) -> Result<At<'a>, String> {
    let At::Schema(schema) = place else {
        return Ok(At::Anywhere);
    };
    if schema["type"] != "object" || schema["x-kubernetes-embedded-resource"] == true {
        return Ok(At::Anywhere);
    }
    let plain = unescape(name);
    if let Some(property) = schema["properties"].get(&plain) {
        return Ok(At::Schema(property));
    }
    if schema["additionalProperties"].is_object() {
        return Ok(At::Schema(&schema["additionalProperties"]));
    }
    if matches!(plain.as_str(), "apiVersion" | "kind" | "metadata") {
        return Ok(At::Anywhere);
    }
    Err(format!(
        "compilation failed: ERROR: <input>: undefined field '{name}'"
    ))
}

/// A property by the name that CEL has for it.
fn unescape(name: &str) -> String {
    let inner = name.strip_prefix("__").and_then(|n| n.strip_suffix("__"));
    match inner {
        Some(word)
            if !word.contains("__")
                && !matches!(word, "dot" | "dash" | "slash" | "underscores") =>
        {
            word.to_owned()
        }
        _ => name
            .replace("__dot__", ".")
            .replace("__dash__", "-")
            .replace("__slash__", "/")
            .replace("__underscores__", "__"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_that_cannot_be_are_refused() {
        let object = json!({"type": "object", "properties": {"a": {"type": "integer"}, "b-c": {"type": "string"},
            "l": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "boolean"}}}}}});
        for good in [
            "self.a > 1 && self.l.all(e, e.x)",
            "!has(self.a) || self.a == oldSelf.a",
            "self.b__dash__c.startsWith('x')",
            "self.l[0].x",
            "self.a in [1, 2] ? true : {'k': 1}.size() == 1",
            "'%s'.format([self.a]).matches(r'^\\d+$')",
        ] {
            assert_eq!(check(good, &object), Ok(()), "{good}");
        }
        for bad in [
            "self +",
            "self.a",
            "self.l.size()",
            "self.zzz == 1",
            "self.a == 'x",
            "(true",
            "1 == 1)",
            "self.a # 1",
        ] {
            assert!(check(bad, &object).is_err(), "{bad}");
        }
        assert!(check(&"(".repeat(10_000), &object).is_err());
    }
}
