//! `additionalPrinterColumns`: custom resources as rows of a table.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kinds::{
    custom_columns,
    error::go_json,
    printed_age,
    value::{items, sorted, text},
};

/// The `columnDefinitions` of a version of a custom resource (an entry of `spec.versions`).
#[must_use]
pub fn columns(version: &Value) -> Value {
    let (name, age) = custom_columns();
    let mut out = vec![name];
    let own = items(&version["additionalPrinterColumns"]);
    if own.is_empty() {
        out.push(age);
    }
    for column in own {
        let description = match text(column, "description") {
            "" => format!(
                "Custom resource definition column (in JSONPath format): {}",
                text(column, "jsonPath")
            ),
            own => own.to_owned(),
        };
        out.push(json!({
            "name": column["name"], "type": column["type"], "format": text(column, "format"),
            "description": description, "priority": column["priority"].as_i64().unwrap_or(0),
        }));
    }
    Value::Array(out)
}

/// The cells of one object, as many as there are [`columns`].
#[must_use]
pub fn cells(version: &Value, object: &Value, now: Timestamp) -> Vec<Value> {
    let mut out = vec![object["metadata"]["name"].clone()];
    let own = items(&version["additionalPrinterColumns"]);
    if own.is_empty() {
        out.push(json!(printed_age(
            &object["metadata"]["creationTimestamp"],
            now
        )));
    }
    for column in own {
        let found = find(object, text(column, "jsonPath"));
        out.push(found.map_or(Value::Null, |value| cell(text(column, "type"), value, now)));
    }
    out
}

fn cell(kind: &str, value: &Value, now: Timestamp) -> Value {
    match (kind, value) {
        (_, Value::Null) => Value::Null,
        ("string", Value::String(_)) => value.clone(),
        ("string", other) => json!(go_json(other)),
        ("integer", Value::Number(n)) => match n.as_i64() {
            Some(n) => json!(n),
            #[expect(clippy::cast_possible_truncation, reason = "Go truncates here, too")]
            None => json!(n.as_f64().unwrap_or(0.0) as i64),
        },
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("date", Value::String(time)) => {
            json!(if time.parse::<Timestamp>().is_ok() {
                printed_age(value, now)
            } else {
                "<invalid>".to_owned()
            })
        }
        _ => Value::Null,
    }
}

/// The first value that a simple JSON path finds.
///
/// Names, quoted names, indexes, `*` and one comparison (`?(@.a=="b")`) are understood, which
/// is what definitions use.
fn find<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let mut found = vec![object];
    for step in steps(path)? {
        let mut next = Vec::new();
        for value in found {
            match &step {
                Step::Name(name) => next.extend(value.get(name)),
                Step::Index(index) => {
                    let list = items(value);
                    let at = if *index < 0 {
                        index + i64::try_from(list.len()).unwrap_or(0)
                    } else {
                        *index
                    };
                    next.extend(usize::try_from(at).ok().and_then(|i| list.get(i)));
                }
                Step::All => match value {
                    Value::Array(list) => next.extend(list),
                    Value::Object(_) => next.extend(sorted(value).into_iter().map(|(_, v)| v)),
                    _ => {}
                },
                Step::Where {
                    path,
                    same,
                    literal,
                } => {
                    next.extend(items(value).iter().filter(|item| {
                        let found = find(item, path);
                        let equal = found.is_some_and(|f| f == literal);
                        found.is_some() && equal == *same
                    }));
                }
            }
        }
        found = next;
    }
    found.first().copied()
}

enum Step {
    Name(String),
    Index(i64),
    All,
    Where {
        path: String,
        same: bool,
        literal: Value,
    },
}

fn steps(path: &str) -> Option<Vec<Step>> {
    let mut out = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let (inner, tail) = bracket(after)?;
            out.push(bracket_step(inner)?);
            rest = tail;
        } else {
            let after = rest.strip_prefix('.').unwrap_or(rest);
            let mut name = String::new();
            let mut end = after.len();
            let mut escaped = false;
            for (i, c) in after.char_indices() {
                if escaped {
                    name.push(c);
                    escaped = false;
                } else if c == '\\' {
                    escaped = true;
                } else if matches!(c, '.' | '[') {
                    end = i;
                    break;
                } else {
                    name.push(c);
                }
            }
            rest = after.get(end..).unwrap_or_default();
            match name.as_str() {
                "" => {}
                "*" => out.push(Step::All),
                _ => out.push(Step::Name(name)),
            }
        }
    }
    Some(out)
}

/// What stands before the closing bracket, and what follows it; quotes hide brackets.
fn bracket(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    let mut depth = 0;
    for (i, c) in text.char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') if depth > 0 => depth -= 1,
            (None, ']') => return Some((text.get(..i)?, text.get(i + 1..)?)),
            _ => {}
        }
    }
    None
}

fn bracket_step(inner: &str) -> Option<Step> {
    let inner = inner.trim();
    if inner == "*" {
        return Some(Step::All);
    }
    if let Some(condition) = inner.strip_prefix("?(").and_then(|c| c.strip_suffix(')')) {
        let (left, same, right) = match (condition.split_once("=="), condition.split_once("!=")) {
            (Some((left, right)), _) => (left, true, right),
            (None, Some((left, right))) => (left, false, right),
            _ => return None,
        };
        let right = right.trim();
        let literal = match right
            .strip_prefix(['"', '\''])
            .and_then(|r| r.strip_suffix(['"', '\'']))
        {
            Some(text) => json!(text),
            None => serde_json::from_str(right).ok()?,
        };
        let path = left.trim().strip_prefix('@')?.to_owned();
        return Some(Step::Where {
            path,
            same,
            literal,
        });
    }
    if let Some(name) = inner
        .strip_prefix(['"', '\''])
        .and_then(|r| r.strip_suffix(['"', '\'']))
    {
        return Some(Step::Name(name.to_owned()));
    }
    inner.parse().ok().map(Step::Index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_what_they_name() {
        let object = json!({"spec": {"a": 1, "list": ["x", "y"], "b.c": true},
            "status": {"conditions": [{"type": "A", "status": "False"}, {"type": "Ready", "status": "True"}]}});
        for (path, found) in [
            (".spec.a", json!(1)),
            (".spec.list[*]", json!("x")),
            (".spec.list[1]", json!("y")),
            (".spec.list[-1]", json!("y")),
            (".spec['b.c']", json!(true)),
            (r".spec.b\.c", json!(true)),
            (
                ".status.conditions[?(@.type==\"Ready\")].status",
                json!("True"),
            ),
            (".status.conditions[?(@.type!='A')].status", json!("True")),
            (".spec.none", Value::Null),
            (".spec.list[9]", Value::Null),
            (".spec.list[", Value::Null),
        ] {
            assert_eq!(
                find(&object, path).cloned().unwrap_or_default(),
                found,
                "{path}"
            );
        }
    }

    #[test]
    fn cells_follow_the_type_of_the_column() {
        let version = json!({"additionalPrinterColumns": [
            {"name": "A", "type": "integer", "jsonPath": ".a"}, {"name": "B", "type": "string", "jsonPath": ".a"},
            {"name": "C", "type": "date", "jsonPath": ".t"}, {"name": "D", "type": "boolean", "jsonPath": ".a"}]});
        let object = json!({"metadata": {"name": "n"}, "a": 3, "t": "1970-01-01T00:00:00Z"});
        let now = Timestamp::from_second(90).unwrap();
        assert_eq!(
            cells(&version, &object, now),
            [json!("n"), json!(3), json!("3"), json!("90s"), Value::Null]
        );
        assert_eq!(columns(&version).as_array().map(Vec::len), Some(5));
        assert_eq!(columns(&json!({}))[1]["type"], "date");
    }
}
