//! The fields of a conflict, as the server's causes tell them.
//!
//! The server writes paths and owners for people, as
//! [structured-merge-diff](https://github.com/kubernetes-sigs/structured-merge-diff) prints
//! them, and not everything can be read back for sure: `.metadata.labels.app.kubernetes.io/name`
//! has three dots that mean a step and two that don't. What was applied tells which is which.

use std::collections::BTreeMap;

use gitops_core::{FieldConflict, FieldOwner, FieldPath, PathElement};
use serde_json::Value;

use crate::transport::Cause;

/// Not more fields than these are kept of one conflict.
const MAX_FIELDS: usize = 256;

/// The conflicts among the causes; none if it is no conflict about fields.
pub(crate) fn fields(causes: &[Cause], applied: Option<&Value>) -> Vec<FieldConflict> {
    causes
        .iter()
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .take(MAX_FIELDS)
        .map(|cause| FieldConflict {
            path: path(&cause.field, applied),
            owner: owner(&cause.message),
        })
        .collect()
}

/// Reads `conflict with "kubectl-scale" with subresource "scale" using apps/v1`.
///
/// Only of an `Update` the server tells the version (`using …`), so its absence means `Apply`.
fn owner(message: &str) -> Option<FieldOwner> {
    let rest = message.strip_prefix("conflict with ")?;
    let (manager, rest) = go_string(rest)?;
    let (subresource, rest) = match rest.strip_prefix(" with subresource ") {
        Some(rest) => {
            let (subresource, rest) = go_string(rest)?;
            (Some(subresource), rest)
        }
        None => (None, rest),
    };
    let operation = if rest.starts_with(" using ") {
        "Update"
    } else {
        "Apply"
    };
    let time = rest
        .split_once(" at ")
        .and_then(|(_, time)| time.trim().parse().ok());
    Some(FieldOwner {
        manager,
        operation: operation.into(),
        subresource,
        time,
    })
}

/// Takes a string in Go's `%q` off the front. A manager's name has no control characters, so
/// the escapes that can occur are those that JSON has too.
fn go_string(text: &str) -> Option<(String, &str)> {
    let end = closing_quote(text)?;
    let (quoted, rest) = text.split_at_checked(end)?;
    Some((serde_json::from_str(quoted).ok()?, rest))
}

/// Where the string that begins the text ends, behind its closing quote.
fn closing_quote(text: &str) -> Option<usize> {
    let mut chars = text.char_indices();
    if chars.next()?.1 != '"' {
        return None;
    }
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Reads a path such as `.spec.template.spec.containers[name="app"].image`.
fn path(text: &str, applied: Option<&Value>) -> FieldPath {
    let mut path = FieldPath::root();
    let mut rest = text;
    let mut at = applied;
    while !rest.is_empty() {
        let step = if let Some(after) = rest.strip_prefix('.') {
            Some(field(after, at, &path))
        } else if rest.starts_with('[') {
            bracket(rest)
        } else {
            None
        };
        let Some((element, after)) = step else {
            // Nothing that we know: the rest is kept as it is.
            path.push(PathElement::Field(rest.trim_start_matches('.').to_owned()));
            break;
        };
        at = at.and_then(|value| child(value, &element));
        path.push(element);
        rest = after;
    }
    path
}

/// The maps whose keys hold dots more often than not.
const FREE_KEYS: [&str; 7] = [
    "labels",
    "annotations",
    "data",
    "stringData",
    "binaryData",
    "matchLabels",
    "nodeSelector",
];

/// Takes the name of a member off the front: the longest member of what was applied that
/// fits, or else what is there up to the next `.` or `[`.
fn field<'t>(text: &'t str, at: Option<&Value>, path: &FieldPath) -> (PathElement, &'t str) {
    let ends = |rest: &str| rest.is_empty() || rest.starts_with(['.', '[']);
    let known = at
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|object| object.keys())
        .filter(|key| text.strip_prefix(key.as_str()).is_some_and(ends))
        .map(String::len)
        .max();
    let length = known.unwrap_or_else(|| match path.elements().last() {
        Some(PathElement::Field(parent)) if FREE_KEYS.contains(&parent.as_str()) => text.len(),
        _ => text.find(['.', '[']).unwrap_or(text.len()),
    });
    let (name, rest) = text.split_at_checked(length).unwrap_or((text, ""));
    (PathElement::Field(name.to_owned()), rest)
}

/// Takes `[name="app",port=80]`, `[="value"]` or `[3]` off the front.
fn bracket(text: &str) -> Option<(PathElement, &str)> {
    let inner = text.strip_prefix('[')?;
    if let Some(value) = inner.strip_prefix('=') {
        let (value, rest) = json_value(value)?;
        return Some((PathElement::Value(value), rest.strip_prefix(']')?));
    }
    if let Some((index, rest)) = inner.split_once(']')
        && let Ok(index) = index.parse()
    {
        return Some((PathElement::Index(index), rest));
    }
    let mut keys = BTreeMap::new();
    let mut rest = inner;
    loop {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = json_value(after)?;
        keys.insert(name.to_owned(), value);
        if let Some(after) = after.strip_prefix(']') {
            return Some((PathElement::Key(keys), after));
        }
        rest = after.strip_prefix(',')?;
    }
}

/// Takes a JSON value that is followed by `,` or `]` off the front.
fn json_value(text: &str) -> Option<(Value, &str)> {
    let end = closing_quote(text).or_else(|| text.find([',', ']']))?;
    let (value, rest) = text.split_at_checked(end)?;
    Some((serde_json::from_str(value).ok()?, rest))
}

/// The value one step further down.
fn child<'v>(value: &'v Value, step: &PathElement) -> Option<&'v Value> {
    match step {
        PathElement::Field(name) => value.get(name),
        PathElement::Index(at) => value.get(at),
        PathElement::Value(_) => None,
        // A key that the server fills in by default may be missing in what was applied.
        PathElement::Key(keys) => value.as_array()?.iter().find(|item| {
            keys.iter()
                .all(|(name, key)| item.get(name).is_none_or(|value| value == key))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn owners_are_read_as_the_server_writes_them() {
        for (message, owner_is) in [
            (r#"conflict with "alpha""#, Some("alpha (Apply)")),
            (
                r#"conflict with "kubectl-scale" with subresource "scale" using apps/v1"#,
                Some("kubectl-scale (Update of scale)"),
            ),
            (
                r#"conflict with "a \"b\" using" using v1 at 2026-01-01T00:00:00Z"#,
                Some(r#"a "b" using (Update)"#),
            ),
            ("something else", None),
            (r#"conflict with "never ends"#, None),
        ] {
            let owner = owner(message).map(|owner| owner.to_string());
            assert_eq!(owner.as_deref(), owner_is, "{message}");
        }
    }

    #[test]
    fn paths_come_back_as_they_were_printed() {
        let applied = json!({
            "metadata": {"labels": {"app.kubernetes.io/name": "x", "app": "y"}},
            "spec": {
                "selector": {"app.kubernetes.io/name": "x"},
                "ports": [{"port": 80, "name": "a.b"}],
                "containers": [{"name": "app", "resources": {"limits": {"example.com/gpu": 1}}}],
            },
        });
        for (text, steps) in [
            (".spec.replicas", 2),
            (".metadata.labels.app.kubernetes.io/name", 3),
            (".metadata.labels.app", 3),
            (".spec.selector.app.kubernetes.io/name", 3),
            (r#".spec.ports[port=80,protocol="TCP"].name"#, 4),
            (
                r#".spec.containers[name="app"].resources.limits.example.com/gpu"#,
                6,
            ),
            (r#".metadata.finalizers[="example.com/a]b"]"#, 3),
            (".spec.args[3]", 3),
        ] {
            let path = path(text, Some(&applied));
            assert_eq!(path.to_string(), text);
            assert_eq!(path.elements().len(), steps, "{path:?}");
        }
    }

    #[test]
    fn without_what_was_applied_the_usual_maps_are_known() {
        for (text, steps) in [
            (".data.settings.yaml", 2),
            (".metadata.annotations.example.com/a", 3),
            (r#".spec.containers[name="a.b"].image"#, 4),
        ] {
            let path = path(text, None);
            assert_eq!(path.to_string(), text);
            assert_eq!(path.elements().len(), steps, "{path:?}");
        }
    }

    #[test]
    fn what_is_no_path_is_kept_and_nothing_panics() {
        for text in [
            "", "nonsense", "[", "[a", "[=", ".", "..", "[é=\"", ".a[x=1",
        ] {
            let _ = path(text, Some(&json!({"a": [{"x": 1}]})));
        }
        assert_eq!(path("nonsense", None).elements().len(), 1);
    }
}
