//! What `kubectl apply` does without server-side apply: a three-way merge whose third side
//! is an annotation of the live object.
//!
//! Argo CD reads the same annotation where it diffs on the client.

use serde_json::{Map, Value};

use super::{PatchError, merge, strategic};
use crate::fieldset::write_json;
use crate::schema::{TypeRef, is_native};

/// The annotation in which client-side apply keeps what it applied, as JSON.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A patch and the format that it is in.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ClientPatch {
    /// The media type: that of a strategic merge patch for a built-in kind, or else that
    /// of a JSON merge patch.
    pub media_type: &'static str,
    /// The patch; `{}` if there is nothing to do.
    pub patch: Value,
}

/// Reads what client-side apply applied last; `None` if it never did.
///
/// ```
/// use gitops_diff::patch::client_side;
/// use serde_json::json;
///
/// let live = json!({"metadata": {"annotations": {client_side::LAST_APPLIED: "{\"data\":{}}\n"}}});
/// assert_eq!(client_side::last_applied(&live)?, Some(json!({"data": {}})));
/// assert_eq!(client_side::last_applied(&json!({}))?, None);
/// # Ok::<(), gitops_diff::patch::PatchError>(())
/// ```
///
/// # Errors
///
/// [`PatchError::Malformed`] if the annotation doesn't hold a JSON object.
pub fn last_applied(live: &Value) -> Result<Option<Value>, PatchError> {
    let annotation = live.pointer("/metadata/annotations");
    let text = match annotation.and_then(|annotations| annotations.get(LAST_APPLIED)) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) if text.is_empty() => return Ok(None),
        Some(text) => text.as_str().unwrap_or_default(),
    };
    match serde_json::from_str(text) {
        Ok(object @ Value::Object(_)) => Ok(Some(object)),
        // The reason would quote the text, which may be secret.
        _ => Err(PatchError::Malformed {
            message: format!("the annotation {LAST_APPLIED} doesn't hold a JSON object"),
        }),
    }
}

/// The object as client-side apply sends it: with itself in the annotation.
///
/// ```
/// use gitops_diff::patch::client_side;
/// use serde_json::json;
///
/// let desired = json!({"metadata": {"name": "a"}, "data": {"k": "v"}});
/// let sent = client_side::with_last_applied(&desired);
/// assert_eq!(
///     sent["metadata"]["annotations"][client_side::LAST_APPLIED],
///     "{\"data\":{\"k\":\"v\"},\"metadata\":{\"annotations\":{},\"name\":\"a\"}}\n",
/// );
/// ```
#[must_use]
pub fn with_last_applied(desired: &Value) -> Value {
    let mut object = desired.clone();
    let Some(annotations) = annotations_mut(&mut object) else {
        return object;
    };
    annotations.remove(LAST_APPLIED);
    let text = recorded(&object);
    if let Some(annotations) = annotations_mut(&mut object) {
        annotations.insert(LAST_APPLIED.to_owned(), Value::from(text));
    }
    object
}

/// The text of the annotation, as Go writes JSON.
pub(crate) fn recorded(object: &Value) -> String {
    let mut text = String::new();
    write_json(&mut text, object);
    text.push('\n');
    text
}

fn annotations_mut(object: &mut Value) -> Option<&mut Map<String, Value>> {
    let empty = || Value::Object(Map::new());
    let metadata = object
        .as_object_mut()?
        .entry("metadata")
        .or_insert_with(empty);
    let annotations = metadata.as_object_mut()?;
    let annotations = annotations.entry("annotations").or_insert_with(empty);
    if annotations.is_null() {
        *annotations = empty();
    }
    annotations.as_object_mut()
}

/// Gives the patch that `kubectl apply` sends to make `desired` of `live`.
///
/// Built-in kinds get a strategic merge patch, by the type `ty`. Others, and those of which
/// nothing is known, get a JSON merge patch, in which lists are replaced.
///
/// ```
/// use gitops_diff::patch::client_side::{self, LAST_APPLIED};
/// use gitops_diff::schema::Schema;
/// use serde_json::json;
///
/// let ty = Schema::builtin().type_of("v1", "ConfigMap");
/// let config = |data| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data});
/// let mut live = client_side::with_last_applied(&config(json!({"a": "1", "b": "1"})));
/// live["data"]["theirs"] = json!("1");
///
/// let sent = client_side::apply(&config(json!({"a": "2"})), &live, ty)?;
/// assert_eq!(sent.media_type, "application/strategic-merge-patch+json");
/// assert_eq!(sent.patch["data"], json!({"a": "2", "b": null}));
/// assert!(sent.patch["metadata"]["annotations"][LAST_APPLIED].is_string());
/// # Ok::<(), gitops_diff::patch::PatchError>(())
/// ```
///
/// # Errors
///
/// As for [`last_applied`], [`strategic::three_way`] and [`merge::three_way`]; and
/// [`PatchError::Malformed`] if a merge patch would change `apiVersion`, `kind` or the name.
pub fn apply(
    desired: &Value,
    live: &Value,
    ty: Option<TypeRef<'_>>,
) -> Result<ClientPatch, PatchError> {
    let last = last_applied(live)?;
    let desired = with_last_applied(desired);
    if let Some(ty) = ty.filter(|ty| ty.name().is_some_and(is_native)) {
        return Ok(ClientPatch {
            media_type: "application/strategic-merge-patch+json",
            patch: strategic::three_way(last.as_ref(), &desired, live, &ty)?,
        });
    }
    let patch = merge::three_way(last.as_ref(), &desired, live)?;
    let renames = patch.get("apiVersion").is_some()
        || patch.get("kind").is_some()
        || patch.pointer("/metadata/name").is_some();
    if renames {
        return Err(PatchError::Malformed {
            message: "At least one of apiVersion, kind and name was changed".to_owned(),
        });
    }
    Ok(ClientPatch {
        media_type: "application/merge-patch+json",
        patch,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_custom_kind_gets_a_merge_patch_that_does_not_rename() {
        let widget = |name: &str, spec: Value| {
            json!({"apiVersion": "example.com/v1", "kind": "Widget",
                "metadata": {"name": name}, "spec": spec})
        };
        let live = with_last_applied(&widget("a", json!({"gone": 1, "list": [1]})));
        let sent = apply(&widget("a", json!({"list": [2]})), &live, None).unwrap();
        assert_eq!(sent.media_type, "application/merge-patch+json");
        assert_eq!(sent.patch["spec"], json!({"gone": null, "list": [2]}));

        let refused = apply(&widget("b", json!({})), &live, None).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "At least one of apiVersion, kind and name was changed"
        );
    }

    #[test]
    fn what_is_recorded_twice_is_recorded_once() {
        let once = with_last_applied(&json!({"metadata": {"name": "<a>", "annotations": null}}));
        assert_eq!(
            once["metadata"]["annotations"][LAST_APPLIED],
            "{\"metadata\":{\"annotations\":{},\"name\":\"\\u003ca\\u003e\"}}\n"
        );
        assert_eq!(with_last_applied(&once), once);
        let last = last_applied(&once).unwrap().unwrap();
        assert_eq!(last["metadata"]["name"], "<a>");
    }

    #[test]
    fn an_annotation_that_holds_no_object_is_refused_and_not_shown() {
        for text in [json!("hunter2"), json!("[]"), json!(1)] {
            let live = json!({"metadata": {"annotations": {LAST_APPLIED: text}}});
            let error = apply(&json!({}), &live, None).unwrap_err().to_string();
            assert!(
                error.contains(LAST_APPLIED) && !error.contains("hunter2"),
                "{error}"
            );
        }
        // What is no object at all isn't made one.
        assert_eq!(with_last_applied(&json!([])), json!([]));
    }
}
