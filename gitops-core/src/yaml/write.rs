//! JSON values as YAML that every reader understands alike.

use std::fmt::Write as _;

use serde_json::{Map, Number, Value};

use super::scalar::{Scalar, is_float, resolve};

/// Keys that stand first at the top of an object.
const FIRST: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// YAML lets a key be found without `?` within this many characters.
const LONGEST_KEY: usize = 1000;

/// Writes a value as YAML in block style.
///
/// `apiVersion`, `kind` and `metadata` stand first at the top, all other keys in the order
/// of their bytes, so equal values give equal text. A text that YAML 1.1 or
/// 1.2 could read as something else is quoted; a text of several lines is a literal block
/// where that keeps every character.
///
/// What [`read_documents`](super::read_documents) returned comes back the same from it
/// after this. A value made elsewhere does too, except that whole floats
/// (`8.0`) come back as integers, as Kubernetes has them.
///
/// ```
/// use gitops_core::yaml::to_yaml;
///
/// let object = serde_json::json!({
///     "data": { "answer": "no", "script": "set -e\nmake\n" },
///     "kind": "ConfigMap",
///     "items": [{ "b": 1, "a": [] }],
/// });
/// assert_eq!(
///     to_yaml(&object),
///     "\
/// kind: ConfigMap
/// data:
///   answer: \"no\"
///   script: |
///     set -e
///     make
/// items:
/// - a: []
///   b: 1
/// "
/// );
/// ```
#[must_use]
pub fn to_yaml(value: &Value) -> String {
    let mut writer = Writer { out: String::new() };
    match value {
        Value::Object(map) if !map.is_empty() => writer.mapping(map, 0, false, true),
        Value::Array(items) if !items.is_empty() => writer.list(items, 0, false),
        Value::String(text) => {
            writer.text(text);
            writer.out.push('\n');
        }
        scalar => writer.value(scalar, 0),
    }
    writer.out
}

struct Writer {
    out: String,
}

impl Writer {
    fn indent(&mut self, indent: usize) {
        self.out.extend(std::iter::repeat_n(' ', indent));
    }

    /// A mapping that is not empty. `inline`: the first key stands where we are.
    fn mapping(&mut self, map: &Map<String, Value>, indent: usize, inline: bool, top: bool) {
        let mut entries: Vec<_> = map.iter().collect();
        let rank = |key: &str| {
            let first = FIRST.iter().position(|first| *first == key);
            first.filter(|_| top).unwrap_or(FIRST.len())
        };
        entries.sort_by(|(a, _), (b, _)| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
        for (at, (key, value)) in entries.into_iter().enumerate() {
            if at > 0 || !inline {
                self.indent(indent);
            }
            let explicit = key.len() > LONGEST_KEY;
            if explicit {
                self.out.push_str("? ");
                self.text(key);
                self.out.push('\n');
                self.indent(indent);
            } else {
                self.text(key);
            }
            self.out.push(':');
            match value {
                Value::Object(map) if !map.is_empty() => {
                    self.out.push('\n');
                    self.mapping(map, indent + 2, false, false);
                }
                Value::Array(items) if !items.is_empty() => {
                    self.out.push('\n');
                    // The dash may stand below its key, which saves a level.
                    self.list(items, if explicit { indent + 2 } else { indent }, false);
                }
                scalar => {
                    self.out.push(' ');
                    self.value(scalar, indent + 2);
                }
            }
        }
    }

    /// A list that is not empty.
    fn list(&mut self, items: &[Value], indent: usize, inline: bool) {
        for (at, item) in items.iter().enumerate() {
            if at > 0 || !inline {
                self.indent(indent);
            }
            self.out.push_str("- ");
            match item {
                Value::Object(map) if !map.is_empty() => {
                    self.mapping(map, indent + 2, true, false);
                }
                Value::Array(items) if !items.is_empty() => self.list(items, indent + 2, true),
                scalar => self.value(scalar, indent + 2),
            }
        }
    }

    /// What stands on the line of its key or dash, with the line break.
    fn value(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Null => self.out.push_str("null"),
            Value::Bool(bool) => self.out.push_str(if *bool { "true" } else { "false" }),
            Value::Number(number) => self.number(number),
            Value::Array(_) => self.out.push_str("[]"),
            Value::Object(_) => self.out.push_str("{}"),
            Value::String(text) if is_literal(text) => return self.literal(text, indent),
            Value::String(text) => self.text(text),
        }
        self.out.push('\n');
    }

    fn number(&mut self, number: &Number) {
        let text = number.to_string();
        // YAML 1.1 wants a sign in the exponent.
        match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) if !exponent.starts_with(['+', '-']) => {
                let _ = write!(self.out, "{mantissa}e+{exponent}");
            }
            _ => self.out.push_str(&text),
        }
    }

    /// A text on one line.
    fn text(&mut self, text: &str) {
        if is_plain(text) {
            self.out.push_str(text);
            return;
        }
        self.out.push('"');
        for character in text.chars() {
            match character {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                character if is_printable(character) => self.out.push(character),
                character => {
                    let code = u32::from(character);
                    let _ = if code > 0xFFFF {
                        write!(self.out, "\\U{code:08X}")
                    } else {
                        write!(self.out, "\\u{code:04X}")
                    };
                }
            }
        }
        self.out.push('"');
    }

    fn literal(&mut self, text: &str, indent: usize) {
        let trimmed = text.trim_end_matches('\n');
        self.out.push_str(match text.len() - trimmed.len() {
            0 => "|-\n",
            1 => "|\n",
            _ => "|+\n",
        });
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            if !line.is_empty() {
                self.indent(indent);
                self.out.push_str(line);
            }
            self.out.push('\n');
        }
    }
}

/// What YAML 1.1 and 1.2 both take as it stands.
fn is_printable(character: char) -> bool {
    matches!(
        character,
        ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{d7ff}'
            | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..)
}

/// Whether the text can be a literal block that gives back every character.
fn is_literal(text: &str) -> bool {
    text.contains('\n')
        && !text.starts_with([' ', '\n'])
        && text
            .chars()
            .all(|character| character == '\n' || character == '\t' || is_printable(character))
        && text
            .split('\n')
            .all(|line| !line.starts_with('\t') && !line.ends_with([' ', '\t']))
}

/// Whether the text can stand without quotes and stay a text for every reader.
fn is_plain(text: &str) -> bool {
    let mut characters = text.chars();
    let Some(first) = characters.next() else {
        return false;
    };
    let starts = match first {
        '-' => characters
            .next()
            .is_some_and(|second| second == '-' || second.is_alphanumeric()),
        '_' | '/' | '.' | '$' | '(' | '^' | '+' | ';' | '\\' => true,
        first => first.is_alphanumeric(),
    };
    starts
        && !text.starts_with("---")
        && !text.starts_with("...")
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && text
            .chars()
            .all(|character| matches!(character, ' '..='~') || character.is_alphanumeric())
        && !is_something_else(text)
}

/// Whether some reader takes the text for something else than a text.
fn is_something_else(text: &str) -> bool {
    let plain = text.replace('_', "");
    resolve(text) != Scalar::Text
        || resolve(&plain) != Scalar::Text
        // Infinite for some readers, text for others.
        || is_float(&plain)
        || is_word(text)
        || is_date_like(text)
        || is_base_60(text)
}

/// Readers differ in which letters of these words may be capital.
fn is_word(text: &str) -> bool {
    const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Timestamps: `2001-1-1` and whatever follows.
fn is_date_like(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() > 5
        && bytes.iter().take(4).all(u8::is_ascii_digit)
        && bytes.get(4) == Some(&b'-')
        && bytes.get(5).is_some_and(u8::is_ascii_digit)
}

/// `190:20:30` is a number to some YAML 1.1 readers.
fn is_base_60(text: &str) -> bool {
    text.contains(':')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.' | b'_' | b'+' | b'-'))
}
