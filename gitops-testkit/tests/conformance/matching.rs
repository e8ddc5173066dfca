//! Comparing an answer with the recorded one. The rules stand in `README.md`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What the tokens of a scenario stand for.
#[derive(Clone, Default)]
pub(crate) struct Bindings(BTreeMap<(&'static str, u64), String>);

struct Class {
    name: &'static str,
    bound: bool,
    distinct: bool,
    fits: fn(&str) -> bool,
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn version(text: &str) -> bool {
    digits(text) && !text.starts_with('0')
}

fn shaped(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text.bytes().zip(shape.bytes()).all(|(b, s)| match s {
            b'0' => b.is_ascii_digit(),
            b'x' => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
            other => b == other,
        })
}

fn time(text: &str) -> bool {
    shaped(text, "0000-00-00T00:00:00Z")
}

fn age(text: &str) -> bool {
    let mut number = false;
    for b in text.bytes() {
        match b {
            b'0'..=b'9' => number = true,
            b's' | b'm' | b'h' | b'd' | b'y' if number => number = false,
            _ => return false,
        }
    }
    !text.is_empty() && !number
}

fn base64url(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

const CLASSES: [Class; 12] = [
    Class {
        name: "uid",
        bound: true,
        distinct: true,
        fits: |t| shaped(t, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"),
    },
    Class {
        name: "rv",
        bound: true,
        distinct: true,
        fits: version,
    },
    Class {
        name: "lrv",
        bound: false,
        distinct: false,
        fits: version,
    },
    Class {
        name: "time",
        bound: false,
        distinct: false,
        fits: time,
    },
    Class {
        name: "mtime",
        bound: false,
        distinct: false,
        fits: |t| shaped(t, "0000-00-00T00:00:00.000000Z"),
    },
    Class {
        name: "ctime",
        bound: true,
        distinct: false,
        fits: time,
    },
    Class {
        name: "gen",
        bound: true,
        distinct: true,
        fits: |t| {
            t.len() == 5
                && t.bytes()
                    .all(|b| b"bcdfghjklmnpqrstvwxz2456789".contains(&b))
        },
    },
    Class {
        name: "ip",
        bound: true,
        distinct: true,
        fits: |t| t.parse::<std::net::Ipv4Addr>().is_ok(),
    },
    Class {
        name: "nodeport",
        bound: true,
        distinct: true,
        fits: |t| {
            t.parse::<u16>()
                .is_ok_and(|p| (30_000..32_768).contains(&p))
        },
    },
    Class {
        name: "continue",
        bound: false,
        distinct: false,
        fits: |t| !t.is_empty(),
    },
    Class {
        name: "age",
        bound: false,
        distinct: false,
        fits: age,
    },
    Class {
        name: "jwt",
        bound: false,
        distinct: false,
        fits: |t| t.split('.').count() == 3 && t.split('.').all(base64url),
    },
];

enum Piece<'a> {
    Text(&'a str),
    Token(&'static Class, Option<u64>),
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("<<") {
        let token = rest[start..].find(">>").and_then(|end| {
            let inner = &rest[start + 2..start + end];
            let (name, number) = inner
                .split_once(':')
                .map_or((inner, None), |(n, d)| (n, d.parse().ok()));
            let class = CLASSES.iter().find(|class| class.name == name)?;
            Some((class, number, start + end + 2))
        });
        match token {
            Some((class, number, end)) => {
                out.push(Piece::Text(&rest[..start]));
                out.push(Piece::Token(class, number));
                rest = &rest[end..];
            }
            None => {
                out.push(Piece::Text(&rest[..start + 2]));
                rest = &rest[start + 2..];
            }
        }
    }
    out.push(Piece::Text(rest));
    out
}

/// Cuts `text` into the texts that the tokens fit.
fn fit<'t>(
    pieces: &[Piece<'_>],
    text: &'t str,
) -> Option<Vec<(&'static Class, Option<u64>, &'t str)>> {
    match pieces {
        [] => text.is_empty().then(Vec::new),
        [Piece::Text(literal), rest @ ..] => fit(rest, text.strip_prefix(literal)?),
        [Piece::Token(class, number), rest @ ..] => (1..=text.len()).rev().find_map(|end| {
            let part = text.get(..end)?;
            if !(class.fits)(part) {
                return None;
            }
            let mut found = fit(rest, &text[end..])?;
            found.insert(0, (*class, *number, part));
            Some(found)
        }),
    }
}

impl Bindings {
    /// What is wrong with `number` of `class` being `value`; it stays bound either way.
    fn bind(&mut self, class: &'static Class, number: Option<u64>, value: &str) -> Option<String> {
        let number = number.filter(|_| class.bound)?;
        let key = (class.name, number);
        if let Some(old) = self.0.get(&key) {
            if old == value {
                return None;
            }
            let problem = format!("was {old} before");
            self.0.insert(key, value.to_owned());
            return Some(problem);
        }
        let mut problem = None;
        for ((name, other), bound) in &self.0 {
            if *name != class.name {
                continue;
            }
            let clash = if class.name == "rv" {
                let (a, b) = (
                    bound.parse::<u64>().unwrap_or(0),
                    value.parse::<u64>().unwrap_or(0),
                );
                a == b || (a < b) != (*other < number)
            } else {
                class.distinct && bound == value
            };
            if clash {
                problem = Some(format!("<<{name}:{other}>> is {bound}"));
                break;
            }
        }
        self.0.insert(key, value.to_owned());
        problem
    }

    /// Compares a text with tokens.
    fn unify(&mut self, expected: &str, actual: &Value) -> Option<String> {
        let pieces = pieces(expected);
        let as_port;
        let text = match actual {
            Value::String(text) => text.as_str(),
            // A node port is a number.
            Value::Number(number) if expected.starts_with("<<nodeport:") => {
                as_port = number.to_string();
                &as_port
            }
            _ => return Some("expected a text".to_owned()),
        };
        let Some(found) = fit(&pieces, text) else {
            return Some("does not fit".to_owned());
        };
        found
            .into_iter()
            .find_map(|(class, number, value)| self.bind(class, number, value))
    }
}

fn has_token(text: &str) -> bool {
    text.contains("<<") && pieces(text).len() > 1
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(300) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// Compares and gathers what differs. With `subset`, more may be there than expected.
pub(crate) fn compare(
    expected: &Value,
    actual: &Value,
    path: &str,
    bindings: &mut Bindings,
    out: &mut Vec<String>,
    subset: bool,
) {
    let differs = |out: &mut Vec<String>, why: &str| {
        out.push(format!(
            "{path}: expected {} got {}{why}",
            short(expected),
            short(actual)
        ));
    };
    match (expected, actual) {
        (Value::String(text), _) if has_token(text) => {
            if let Some(problem) = bindings.unify(text, actual) {
                differs(out, &format!(" ({problem})"));
            }
        }
        (Value::Object(expected), Value::Object(actual)) => {
            compare_objects(expected, actual, path, bindings, out, subset);
        }
        (Value::Array(expected), Value::Array(actual)) if subset => {
            for (at, wanted) in expected.iter().enumerate() {
                let found = actual.iter().any(|candidate| {
                    let mut attempt = bindings.clone();
                    let mut problems = Vec::new();
                    compare(wanted, candidate, "", &mut attempt, &mut problems, true);
                    if problems.is_empty() {
                        *bindings = attempt;
                    }
                    problems.is_empty()
                });
                if !found {
                    out.push(format!(
                        "{path}/{at}: no element contains {}",
                        short(wanted)
                    ));
                }
            }
        }
        (Value::Array(expected), Value::Array(actual)) => {
            if expected.len() != actual.len() {
                out.push(format!(
                    "{path}: expected {} elements got {}",
                    expected.len(),
                    actual.len()
                ));
            }
            for (at, (e, a)) in expected.iter().zip(actual).enumerate() {
                compare(e, a, &format!("{path}/{at}"), bindings, out, subset);
            }
        }
        (Value::Number(e), Value::Number(a)) => {
            if e != a && e.as_f64() != a.as_f64() {
                differs(out, "");
            }
        }
        _ => {
            if expected != actual {
                differs(out, "");
            }
        }
    }
}

fn compare_objects(
    expected: &Map<String, Value>,
    actual: &Map<String, Value>,
    path: &str,
    bindings: &mut Bindings,
    out: &mut Vec<String>,
    subset: bool,
) {
    let mut left = actual.clone();
    let mut later = Vec::new();
    let mut keys: Vec<&String> = expected.keys().collect();
    keys.sort();
    for key in keys {
        if has_token(key) {
            later.push(key);
        } else if let Some(value) = left.remove(key) {
            compare(
                &expected[key],
                &value,
                &format!("{path}/{key}"),
                bindings,
                out,
                subset,
            );
        } else {
            out.push(format!(
                "{path}/{key}: missing, expected {}",
                short(&expected[key])
            ));
        }
    }
    for key in later {
        let mut names: Vec<String> = left.keys().cloned().collect();
        names.sort();
        let found = names.into_iter().find(|name| {
            let mut attempt = bindings.clone();
            let fits = attempt.unify(key, &Value::from(name.as_str())).is_none();
            if fits {
                *bindings = attempt;
            }
            fits
        });
        match found.and_then(|name| left.remove(&name)) {
            Some(value) => compare(
                &expected[key],
                &value,
                &format!("{path}/{key}"),
                bindings,
                out,
                subset,
            ),
            None => out.push(format!(
                "{path}/{key}: missing, expected {}",
                short(&expected[key])
            )),
        }
    }
    if !subset {
        for (key, value) in left {
            out.push(format!("{path}/{key}: unexpected {}", short(&value)));
        }
    }
}

/// Whether `actual` contains `expected`.
pub(crate) fn contains(expected: &Value, actual: &Value) -> bool {
    let mut out = Vec::new();
    compare(
        expected,
        actual,
        "",
        &mut Bindings::default(),
        &mut out,
        true,
    );
    out.is_empty()
}

fn entry_key(entry: &Value, with_time: bool) -> Vec<String> {
    let keys: &[&str] = if with_time {
        &["operation", "time", "manager", "apiVersion", "subresource"]
    } else {
        &["operation", "manager", "apiVersion", "subresource"]
    };
    keys.iter()
        .map(|key| entry[*key].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// Sorts every `managedFields`; with `out`, checks first that it came in the server's
/// order.
pub(crate) fn order_managed_fields(
    value: &mut Value,
    path: &str,
    mut out: Option<&mut Vec<String>>,
) {
    match value {
        Value::Object(map) => {
            if let Some(Value::Array(entries)) = map.get_mut("managedFields") {
                if let Some(out) = out.as_deref_mut()
                    && !entries.is_sorted_by_key(|entry| entry_key(entry, true))
                {
                    out.push(format!("{path}/managedFields: not in the server's order"));
                }
                entries.sort_by_key(|entry| entry_key(entry, false));
            }
            for (key, value) in map {
                if key != "managedFields" {
                    order_managed_fields(value, &format!("{path}/{key}"), out.as_deref_mut());
                }
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter_mut().enumerate() {
                order_managed_fields(item, &format!("{path}/{at}"), out.as_deref_mut());
            }
        }
        _ => {}
    }
}

fn parts(pointer: &str) -> Vec<String> {
    pointer
        .trim_start_matches('/')
        .split('/')
        .map(|part| part.replace("~1", "/").replace("~0", "~"))
        .collect()
}

/// Removes what a pointer names; `*` is every element or member.
pub(crate) fn remove(value: &mut Value, pointer: &str) {
    fn go(value: &mut Value, parts: &[String]) {
        let [part, rest @ ..] = parts else {
            return;
        };
        match value {
            Value::Object(map) if rest.is_empty() => {
                if part == "*" {
                    map.clear();
                } else {
                    map.remove(part);
                }
            }
            Value::Object(map) => {
                for (key, value) in map {
                    if part == "*" || key == part {
                        go(value, rest);
                    }
                }
            }
            Value::Array(items) if rest.is_empty() => match part.parse::<usize>() {
                Ok(at) if at < items.len() => {
                    items.remove(at);
                }
                _ if part == "*" => items.clear(),
                _ => {}
            },
            Value::Array(items) => {
                for (at, item) in items.iter_mut().enumerate() {
                    if part == "*" || part.parse() == Ok(at) {
                        go(item, rest);
                    }
                }
            }
            _ => {}
        }
    }
    go(value, &parts(pointer));
}

/// Sorts an array whose order doesn't count.
pub(crate) fn sort_unordered(value: &mut Value, pointer: &str) {
    if let Some(Value::Array(items)) = value.pointer_mut(pointer) {
        items.sort_by_key(sorted_text);
    }
}

fn sorted_text(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            let members: Vec<String> = keys
                .into_iter()
                .map(|key| format!("{key:?}: {}", sorted_text(&map[key])))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(sorted_text).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}

/// Applies the small patch of a `bodyFrom`.
pub(crate) fn edit(mut value: Value, operations: &[Value]) -> Value {
    for operation in operations {
        let parts = parts(operation["path"].as_str().unwrap());
        let (last, parents) = parts.split_last().unwrap();
        let mut at = &mut value;
        for part in parents {
            at = match at {
                Value::Array(items) => &mut items[part.parse::<usize>().unwrap()],
                other => &mut other[part.as_str()],
            };
        }
        match (operation["op"].as_str().unwrap(), at) {
            ("remove", Value::Array(items)) => {
                items.remove(last.parse().unwrap());
            }
            ("remove", other) => {
                other.as_object_mut().unwrap().remove(last);
            }
            ("add", Value::Array(items)) if last == "-" => items.push(operation["value"].clone()),
            ("add", Value::Array(items)) => {
                items.insert(last.parse().unwrap(), operation["value"].clone())
            }
            (_, Value::Array(items)) => {
                items[last.parse::<usize>().unwrap()] = operation["value"].clone()
            }
            (_, other) => other[last.as_str()] = operation["value"].clone(),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn differences(expected: &Value, actual: &Value) -> Vec<String> {
        let mut out = Vec::new();
        compare(
            expected,
            actual,
            "",
            &mut Bindings::default(),
            &mut out,
            false,
        );
        out
    }

    #[test]
    fn tokens_are_bound_and_ordered() {
        let expected = json!({"a": "<<rv:1>>", "b": "<<rv:2>>", "c": "at <<rv:1>>."});
        assert!(differences(&expected, &json!({"a": "7", "b": "9", "c": "at 7."})).is_empty());
        assert_eq!(
            differences(&expected, &json!({"a": "9", "b": "7", "c": "at 9."})).len(),
            1
        );
        assert_eq!(
            differences(&expected, &json!({"a": "7", "b": "9", "c": "at 9."})).len(),
            1
        );
    }

    #[test]
    fn everything_that_differs_is_told() {
        let found = differences(
            &json!({"a": 1, "b": [1, 2], "c": null}),
            &json!({"a": 1.0, "b": [2], "d": 1}),
        );
        assert_eq!(found.len(), 4, "{found:?}");
    }
}
