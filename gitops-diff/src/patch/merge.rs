//! JSON merge patch as the API server applies it, and the smallest one between two
//! objects.

use serde_json::{Map, Value};

use super::json::escape;
use super::{PatchError, check_depth, go_type};

/// Applies a JSON merge patch to `document`.
///
/// Members that the patch sets to `null` are removed, objects are merged, everything else
/// is replaced ([RFC 7386]). The API server departs from the RFC in one point, and so
/// does this function: where a list comes in (and does not take the place of an object),
/// members that are `null` are dropped from the objects within it.
///
/// [RFC 7386]: https://www.rfc-editor.org/rfc/rfc7386
///
/// # Errors
///
/// [`PatchError::Malformed`] if the patch isn't an object, [`PatchError::TooDeep`].
///
/// ```
/// use gitops_diff::patch::merge;
/// use serde_json::json;
///
/// let live = json!({"data": {"a": "1", "b": "2"}});
/// let patched = merge::apply(&live, &json!({"data": {"a": null, "c": "3"}}))?;
/// assert_eq!(patched, json!({"data": {"b": "2", "c": "3"}}));
/// # Ok::<(), gitops_diff::patch::PatchError>(())
/// ```
pub fn apply(document: &Value, patch: &Value) -> Result<Value, PatchError> {
    let patch_members = match patch {
        Value::Object(members) => members,
        Value::Null => {
            return Err(PatchError::Malformed {
                message: "Invalid JSON Patch".to_owned(),
            });
        }
        other => {
            return Err(PatchError::Malformed {
                message: format!(
                    "error decoding patch: json: cannot unmarshal {} into Go value of type \
                     map[string]interface {{}}",
                    go_type(other)
                ),
            });
        }
    };
    check_depth(document, "the document")?;
    check_depth(patch, "the patch")?;
    let mut merged = match document {
        Value::Object(members) => members.clone(),
        // Whatever else it was, it becomes the patch.
        _ => Map::new(),
    };
    merge_members(&mut merged, patch_members);
    Ok(Value::Object(merged))
}

fn merge_members(into: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, wanted) in patch {
        match (into.get_mut(name), wanted) {
            (_, Value::Null) => {
                into.remove(name);
            }
            (Some(Value::Object(members)), Value::Object(wanted)) => {
                merge_members(members, wanted);
            }
            // The one place where nulls within a list stay.
            (Some(old @ Value::Object(_)), wanted) => *old = wanted.clone(),
            (_, wanted) => {
                into.insert(name.clone(), without_nulls(wanted));
            }
        }
    }
}

/// `value` without the members that are `null`; elements of lists that are `null` stay.
pub(super) fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(_, member)| !member.is_null())
            .map(|(name, member)| (name.clone(), without_nulls(member)))
            .collect(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// Gives the JSON merge patch that leads from `before` to `after`: `{}` if they are equal.
///
/// It is the only one that says nothing superfluous.
///
/// # Errors
///
/// [`PatchError::Inexpressible`] if `after` holds a member that is `null` where `before`
/// doesn't have the same (a merge patch can't set `null`), or if one of them isn't an
/// object; [`PatchError::TooDeep`].
///
/// ```
/// use gitops_diff::patch::merge;
/// use serde_json::json;
///
/// let patch = merge::generate(
///     &json!({"spec": {"replicas": 1, "paused": true}}),
///     &json!({"spec": {"replicas": 2}}),
/// )?;
/// assert_eq!(patch, json!({"spec": {"paused": null, "replicas": 2}}));
/// # Ok::<(), gitops_diff::patch::PatchError>(())
/// ```
pub fn generate(before: &Value, after: &Value) -> Result<Value, PatchError> {
    check_depth(before, "the document")?;
    check_depth(after, "the wanted document")?;
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return Err(PatchError::Inexpressible {
            path: String::new(),
            reason: "a merge patch leads from an object to an object",
        });
    };
    compare(before, after, "").map(Value::Object)
}

fn compare(
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    path: &str,
) -> Result<Map<String, Value>, PatchError> {
    let mut patch = Map::new();
    for name in before.keys() {
        if !after.contains_key(name) {
            patch.insert(name.clone(), Value::Null);
        }
    }
    for (name, new) in after {
        let here = || format!("{path}/{}", escape(name));
        match (before.get(name), new) {
            (Some(old), new) if old == new => {}
            (Some(Value::Object(old)), Value::Object(new)) => {
                let part = compare(old, new, &here())?;
                patch.insert(name.clone(), Value::Object(part));
            }
            (_, new) => {
                if let Some(path) = null_within(new, &here()) {
                    return Err(PatchError::Inexpressible {
                        path,
                        reason: "a merge patch can't set a member to null",
                    });
                }
                patch.insert(name.clone(), new.clone());
            }
        }
    }
    Ok(patch)
}

/// Where in `value` a member is `null`, if one is (or `value` itself).
fn null_within(value: &Value, path: &str) -> Option<String> {
    match value {
        Value::Null => Some(path.to_owned()),
        Value::Object(members) => members
            .iter()
            .find_map(|(name, member)| null_within(member, &format!("{path}/{}", escape(name)))),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .filter(|(_, item)| !item.is_null())
            .find_map(|(at, item)| null_within(item, &format!("{path}/{at}"))),
        _ => None,
    }
}

/// Gives the JSON merge patch that client-side apply sends for a custom resource.
///
/// `last_applied` is what the same client applied before (from the annotation
/// `kubectl.kubernetes.io/last-applied-configuration`; `None` if there is none). The patch
/// sets what `desired` says and `live` doesn't, removes what `last_applied` had and
/// `desired` has no more, and leaves the rest of `live` alone. Lists are replaced whole.
///
/// # Errors
///
/// As for [`generate`], except that `null` in `desired` means: it shall not be there,
/// whoever set it. (What was `null` in `last_applied` too is left alone.)
///
/// ```
/// use gitops_diff::patch::merge;
/// use serde_json::json;
///
/// let patch = merge::three_way(
///     Some(&json!({"spec": {"a": 1, "b": 1}})),
///     &json!({"spec": {"a": 2}}),
///     &json!({"spec": {"a": 1, "b": 1, "theirs": 1}}),
/// )?;
/// assert_eq!(patch, json!({"spec": {"a": 2, "b": null}}));
/// # Ok::<(), gitops_diff::patch::PatchError>(())
/// ```
pub fn three_way(
    last_applied: Option<&Value>,
    desired: &Value,
    live: &Value,
) -> Result<Value, PatchError> {
    for (value, what) in [
        (last_applied, "the last applied object"),
        (Some(desired), "the desired object"),
        (Some(live), "the live object"),
    ] {
        let Some(value) = value else { continue };
        check_depth(value, what)?;
        if !value.is_object() {
            return Err(PatchError::Inexpressible {
                path: String::new(),
                reason: "a merge patch leads from an object to an object",
            });
        }
    }
    let empty = Map::new();
    let members = |value: &'_ Value| value.as_object().cloned().unwrap_or_default();
    let last = last_applied.map(members).unwrap_or_default();
    let patch = three_way_members(
        &last,
        desired.as_object().unwrap_or(&empty),
        live.as_object().unwrap_or(&empty),
    );
    Ok(Value::Object(patch))
}

fn three_way_members(
    last: &Map<String, Value>,
    desired: &Map<String, Value>,
    live: &Map<String, Value>,
) -> Map<String, Value> {
    let empty = Map::new();
    let mut patch = Map::new();
    for name in last.keys() {
        if !desired.contains_key(name) && live.contains_key(name) {
            patch.insert(name.clone(), Value::Null);
        }
    }
    for (name, new) in desired {
        match (live.get(name), new) {
            (Some(old), new) if old == new => {}
            (None, Value::Null) => {}
            // What is desired not to be there goes, unless that was so before.
            (Some(_), Value::Null) => {
                if last.get(name) != Some(new) {
                    patch.insert(name.clone(), Value::Null);
                }
            }
            (Some(Value::Object(old)), Value::Object(new)) => {
                let last = last.get(name).and_then(Value::as_object).unwrap_or(&empty);
                let part = three_way_members(last, new, old);
                if !part.is_empty() {
                    patch.insert(name.clone(), Value::Object(part));
                }
            }
            (_, new) => {
                patch.insert(name.clone(), without_nulls(new));
            }
        }
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The table of RFC 7386, appendix A, as far as the patch is an object.
    #[test]
    fn the_examples_of_the_rfc_hold() {
        for (document, patch, expected) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": "b"}),
                json!({"b": "c"}),
                json!({"a": "b", "b": "c"}),
            ),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (
                json!({"a": "b", "b": "c"}),
                json!({"a": null}),
                json!({"b": "c"}),
            ),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (
                json!({"a": [{"b": "c"}]}),
                json!({"a": [1]}),
                json!({"a": [1]}),
            ),
            (
                json!({"e": null}),
                json!({"a": 1}),
                json!({"e": null, "a": 1}),
            ),
            (
                json!([1, 2]),
                json!({"a": "b", "c": null}),
                json!({"a": "b"}),
            ),
            (
                json!({}),
                json!({"a": {"bb": {"ccc": null}}}),
                json!({"a": {"bb": {}}}),
            ),
        ] {
            assert_eq!(
                apply(&document, &patch).unwrap(),
                expected,
                "{document} {patch}"
            );
        }
    }

    #[test]
    fn nulls_within_a_list_are_dropped_as_the_api_server_does() {
        let patch = json!({"l": [{"a": null, "b": 1}, null]});
        assert_eq!(
            apply(&json!({}), &patch).unwrap(),
            json!({"l": [{"b": 1}, null]})
        );
        assert_eq!(
            apply(&json!({"l": [1]}), &patch).unwrap(),
            json!({"l": [{"b": 1}, null]})
        );
        assert_eq!(apply(&json!({"l": {}}), &patch).unwrap(), patch);
    }

    #[test]
    fn a_patch_that_is_no_object_is_a_bad_request() {
        let status = |patch: Value| apply(&json!({}), &patch).unwrap_err().status();
        assert_eq!(status(Value::Null).message, "Invalid JSON Patch");
        assert_eq!(
            status(json!([])).message,
            "error decoding patch: json: cannot unmarshal array into Go value of type \
             map[string]interface {}"
        );
        assert_eq!(status(json!("x")).code, 400);
    }

    #[test]
    fn a_null_can_not_be_set_and_the_error_says_where() {
        let error = generate(&json!({}), &json!({"a": [{"b/c": null}]})).unwrap_err();
        assert_eq!(
            error,
            PatchError::Inexpressible {
                path: "/a/0/b~1c".to_owned(),
                reason: "a merge patch can't set a member to null"
            }
        );
        // One that is there already is no change.
        assert_eq!(
            generate(&json!({"a": null}), &json!({"a": null})).unwrap(),
            json!({})
        );
    }

    #[test]
    fn three_way_leaves_alone_what_was_never_applied() {
        for (last, desired, live, expected) in [
            (None, json!({"a": 1}), json!({"a": 1, "b": 2}), json!({})),
            (
                Some(json!({"a": 1, "gone": 1})),
                json!({"a": 1}),
                json!({"a": 1, "b": 2}),
                json!({}),
            ),
            (
                Some(json!({"m": {"x": 1, "y": 1}})),
                json!({"m": {"x": 1, "z": null}}),
                json!({"m": {"x": 1, "y": 7, "theirs": 1}}),
                json!({"m": {"y": null}}),
            ),
            (
                Some(json!({"l": [1, 2]})),
                json!({"l": [1]}),
                json!({"l": [1, 2, 3]}),
                json!({"l": [1]}),
            ),
            // Null takes away what somebody else set, unless that was so before.
            (
                None,
                json!({"a": null, "b": null, "m": {"x": null, "y": 1}}),
                json!({"a": 1}),
                json!({"a": null, "m": {"y": 1}}),
            ),
            (
                Some(json!({"a": null})),
                json!({"a": null}),
                json!({"a": 1}),
                json!({}),
            ),
        ] {
            let patch = three_way(last.as_ref(), &desired, &live).unwrap();
            assert_eq!(patch, expected);
        }
    }
}
