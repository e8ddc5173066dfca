//! Rules of endpoints.

use gitops_core::GroupKind;
use serde_json::{Value, json};

use super::{Normalizer, elements_mut, is};

/// Endpoints are sorted by the server.
#[derive(Debug, Clone, Copy, Default)]
pub struct EndpointOrder;

impl Normalizer for EndpointOrder {
    fn applies_to(&self, kind: &GroupKind) -> bool {
        is(kind, "", "Endpoints")
    }

    fn normalize(&self, object: &mut Value) {
        for subset in elements_mut(object.get_mut("subsets")) {
            for port in elements_mut(subset.get_mut("ports")) {
                port.entry("protocol").or_insert_with(|| json!("TCP"));
            }
            for name in ["addresses", "notReadyAddresses", "ports"] {
                if let Some(Value::Array(items)) = subset.get_mut(name) {
                    items.sort_by_cached_key(sort_text);
                }
            }
        }
        if let Some(Value::Array(subsets)) = object.get_mut("subsets") {
            subsets.sort_by_cached_key(sort_text);
        }
    }
}

/// Text by which elements are sorted, whatever the order of their members.
fn sort_text(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            members
                .into_iter()
                .map(|(name, member)| format!("{name}\u{0}{}\u{0}", sort_text(member)))
                .collect()
        }
        Value::Array(items) => items.iter().map(|item| sort_text(item) + "\u{1}").collect(),
        other => other.to_string(),
    }
}
