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
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
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
        for (float, text) in [(1e21, "1e+21"), (1e-5, "1e-05"), (100000.0, "100000")] {
            assert_eq!(GoValue(&json!(float)).to_string(), text);
        }
    }
}
