//! Rules of limit ranges.

use gitops_core::GroupKind;
use serde_json::{Map, Value};

use super::{Normalizer, at_mut, elements_mut, is, text_of};

/// Of the limits of containers the server fills in what follows from others: the default
/// from the maximum, the default request from the default and from the minimum.
#[derive(Debug, Clone, Copy, Default)]
pub struct LimitDefaults;

impl Normalizer for LimitDefaults {
    fn applies_to(&self, kind: &GroupKind) -> bool {
        is(kind, "", "LimitRange")
    }

    fn normalize(&self, object: &mut Value) {
        for item in elements_mut(at_mut(object, &["spec", "limits"])) {
            if text_of(item, "type") == "Container" {
                complete(item, "default", "max");
                complete(item, "defaultRequest", "default");
                complete(item, "defaultRequest", "min");
            }
        }
    }
}

/// Adds to one member of `item` what another has and it lacks.
fn complete(item: &mut Map<String, Value>, name: &str, from: &str) {
    let Some(Value::Object(source)) = item.get(from).cloned() else {
        return;
    };
    if source.is_empty() {
        return;
    }
    let target = item.entry(name).or_insert(Value::Null);
    if target.is_null() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(target) = target {
        for (resource, amount) in source {
            target.entry(resource).or_insert(amount);
        }
    }
}
