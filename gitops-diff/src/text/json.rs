//! JSON for programs.

use gitops_core::{Difference, FieldChange, FieldConflict, FieldValue, ObjectId};
use serde_json::{Map, Value, json as value};

/// A difference as JSON: paths as the API server writes them, and for each change what
/// happens, the two sides as far as they may be shown, and the owner.
///
/// A side that isn't there has no member. A change of a secret has `"secret": true` and
/// neither side. One whose value before was not read has `"unread": true`.
///
/// ```
/// use gitops_diff::{FieldManager, GroupKind, ObjectId};
/// use gitops_diff::SchemaDiffer;
/// use gitops_diff::serde_json::json;
///
/// let config = |mode: &str| {
///     json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app"},
///            "data": {"mode": mode}})
/// };
/// let difference = SchemaDiffer::builtin().compare(
///     &config("fast"), &config("slow"), &FieldManager::new("ours")?,
/// )?;
/// let object = ObjectId::namespaced(GroupKind::new("", "ConfigMap"), "shop", "app");
/// assert_eq!(
///     gitops_diff::text::json(&object, &difference),
///     json!({
///         "object": "ConfigMap shop/app",
///         "changes": [{"path": ".data.mode", "change": "changed", "before": "slow", "after": "fast"}],
///         "unowned": [],
///         "conflicts": [],
///     }),
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn json(object: &ObjectId, difference: &Difference) -> Value {
    let fields = |fields: &[FieldConflict]| -> Vec<Value> {
        fields
            .iter()
            .map(|field| value!({"path": field.path.to_string(), "owner": field.owner}))
            .collect()
    };
    value!({
        "object": object.to_string(),
        "changes": difference.changes.iter().map(change).collect::<Vec<_>>(),
        "unowned": fields(&difference.unowned),
        "conflicts": fields(&difference.conflicts),
    })
}

fn change(change: &FieldChange) -> Value {
    let kind = match (&change.before, &change.after) {
        (FieldValue::Absent, _) => "added",
        (_, FieldValue::Absent) => "removed",
        _ => "changed",
    };
    let mut members = Map::new();
    members.insert("path".to_owned(), change.path.to_string().into());
    members.insert("change".to_owned(), kind.into());
    for (name, side) in [("before", &change.before), ("after", &change.after)] {
        match side {
            FieldValue::Absent => {}
            FieldValue::Value(value) => {
                members.insert(name.to_owned(), value.clone());
            }
            FieldValue::Unread => {
                members.insert("unread".to_owned(), true.into());
            }
            _ => {
                members.insert("secret".to_owned(), true.into());
            }
        }
    }
    if let Some(owner) = &change.owner {
        members.insert("owner".to_owned(), value!(owner));
    }
    Value::Object(members)
}
