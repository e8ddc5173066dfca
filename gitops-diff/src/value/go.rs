//! Values as Go's `fmt` prints them, since the API server's messages have them.

use std::fmt;

use serde_json::{Number, Value};

/// `%v` of an `interface{}`.
pub(crate) struct GoValue<'a>(pub(crate) &'a Value);

/// `%#v` of an `interface{}`.
pub(crate) struct GoSyntax<'a>(pub(crate) &'a Value);

/// The Go type that a JSON value is decoded into: `%T`.
pub(crate) fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// A float as `%v` prints it: the shortest text, with an exponent from 1e21 on and
/// below 1e-4.
fn number(f: &mut fmt::Formatter<'_>, number: &Number) -> fmt::Result {
    let Some(float) = number.as_f64().filter(|_| number.is_f64()) else {
        return write!(f, "{number}");
    };
    let size = float.abs();
    if size != 0.0 && !(1e-4..1e21).contains(&size) {
        let text = format!("{float:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        return write!(f, "{digits}e{sign}{exponent:0>2}");
    }
    write!(f, "{float}")
}

/// A text as `%q` prints it.
pub(crate) fn quoted(f: &mut impl fmt::Write, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            '\u{7}' => f.write_str("\\a")?,
            '\u{8}' => f.write_str("\\b")?,
            '\u{b}' => f.write_str("\\v")?,
            '\u{c}' => f.write_str("\\f")?,
            c if (c as u32) < 0x20 || c as u32 == 0x7f => write!(f, "\\x{:02x}", c as u32)?,
            c if is_printable(c) => f.write_char(c)?,
            c if (c as u32) < 0x10000 => write!(f, "\\u{:04x}", c as u32)?,
            c => write!(f, "\\U{:08x}", c as u32)?,
        }
    }
    f.write_char('"')
}

/// Go's `strconv.IsPrint`: all but controls, formats, separators and what is not assigned.
fn is_printable(c: char) -> bool {
    // A mark is escaped where a text begins with it, so it must not.
    c.is_ascii()
        || !['a', c]
            .iter()
            .collect::<String>()
            .escape_debug()
            .any(|c| c == '\\')
}

/// A value as it stands in a path: `ToString` of structured-merge-diff.
pub(crate) fn key_text(f: &mut fmt::Formatter<'_>, value: &Value) -> fmt::Result {
    match value {
        Value::Null => f.write_str("null"),
        Value::Bool(value) => write!(f, "{value}"),
        Value::Number(value) => number(f, value),
        Value::String(text) => quoted(f, text),
        Value::Array(items) => {
            f.write_str("[")?;
            for (at, item) in items.iter().enumerate() {
                f.write_str(if at == 0 { "" } else { "," })?;
                key_text(f, item)?;
            }
            f.write_str("]")
        }
        // No separator, as in the original.
        Value::Object(members) => {
            for (key, value) in sorted(members) {
                write!(f, "{key}=")?;
                key_text(f, value)?;
            }
            Ok(())
        }
    }
}

fn sorted(members: &serde_json::Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut members: Vec<_> = members.iter().collect();
    members.sort_by_key(|(key, _)| *key);
    members
}

impl fmt::Display for GoValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("<nil>"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Number(value) => number(f, value),
            Value::String(text) => f.write_str(text),
            Value::Array(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    write!(f, "{}{}", if at == 0 { "" } else { " " }, GoValue(item))?;
                }
                f.write_str("]")
            }
            Value::Object(members) => {
                f.write_str("map[")?;
                for (at, (key, value)) in sorted(members).into_iter().enumerate() {
                    write!(
                        f,
                        "{}{key}:{}",
                        if at == 0 { "" } else { " " },
                        GoValue(value)
                    )?;
                }
                f.write_str("]")
            }
        }
    }
}

impl fmt::Display for GoSyntax<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("interface {}(nil)"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Number(value) => number(f, value),
            Value::String(text) => quoted(f, text),
            Value::Array(items) => {
                f.write_str("[]interface {}{")?;
                for (at, item) in items.iter().enumerate() {
                    write!(f, "{}{}", if at == 0 { "" } else { ", " }, GoSyntax(item))?;
                }
                f.write_str("}")
            }
            Value::Object(members) => {
                f.write_str("map[string]interface {}{")?;
                for (at, (key, value)) in sorted(members).into_iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { ", " })?;
                    quoted(f, key)?;
                    write!(f, ":{}", GoSyntax(value))?;
                }
                f.write_str("}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_print_as_in_go() {
        let value = json!({"b": [1, 1.5, null, true], "a": "x\"y"});
        assert_eq!(
            GoValue(&value).to_string(),
            r#"map[a:x"y b:[1 1.5 <nil> true]]"#
        );
        assert_eq!(
            GoSyntax(&value).to_string(),
            r#"map[string]interface {}{"a":"x\"y", "b":[]interface {}{1, 1.5, interface {}(nil), true}}"#
        );
        for (text, quote) in [
            ("a\u{7f}\u{1}", r#""a\x7f\x01""#),
            ("line\u{2028}", r#""line\u2028""#),
            ("e\u{301}ü世", "\"e\u{301}ü世\""),
            ("\u{301}", "\"\u{301}\""),
            ("\u{a0}\u{200b}", r#""\u00a0\u200b""#),
            ("\u{e0001}\u{1f600}", "\"\\U000e0001😀\""),
        ] {
            let mut out = String::new();
            quoted(&mut out, text).unwrap();
            assert_eq!(out, quote);
        }
        for (float, text) in [(1e21, "1e+21"), (1e-5, "1e-05"), (100000.0, "100000")] {
            assert_eq!(GoValue(&json!(float)).to_string(), text);
        }
    }
}
