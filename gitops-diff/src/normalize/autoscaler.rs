//! Rules of autoscalers.

use gitops_core::GroupKind;
use serde_json::{Map, Value};

use super::{Normalizer, at, at_mut, is};

/// What version 1 of an autoscaler has no fields for stands as JSON in annotations, which
/// the server writes anew at each read. So it is compared as JSON, and the annotations that
/// are status aren't compared.
#[derive(Debug, Clone, Copy, Default)]
pub struct AutoscalerAnnotations;

const ANNOTATIONS: &[&str] = &["metadata", "annotations"];
const STATUS: [&str; 2] = [
    "autoscaling.alpha.kubernetes.io/conditions",
    "autoscaling.alpha.kubernetes.io/current-metrics",
];
const SPEC: [&str; 2] = [
    "autoscaling.alpha.kubernetes.io/behavior",
    "autoscaling.alpha.kubernetes.io/metrics",
];

impl Normalizer for AutoscalerAnnotations {
    fn applies_to(&self, kind: &GroupKind) -> bool {
        is(kind, "autoscaling", "HorizontalPodAutoscaler")
    }

    fn touches(&self, object: &Value) -> bool {
        at(object, ANNOTATIONS)
            .and_then(Value::as_object)
            .is_some_and(|annotations| {
                STATUS
                    .iter()
                    .chain(&SPEC)
                    .any(|name| annotations.contains_key(*name))
            })
    }

    fn normalize(&self, object: &mut Value) {
        let Some(Value::Object(annotations)) = at_mut(object, ANNOTATIONS) else {
            return;
        };
        for name in STATUS {
            annotations.remove(name);
        }
        for name in SPEC {
            let Some(text) = annotations.get_mut(name) else {
                continue;
            };
            let read = text.as_str().map(serde_json::from_str::<Value>);
            if let Some(Ok(value)) = read {
                *text = sorted(&value).to_string().into();
            }
        }
    }
}

/// The same value with its members in order, also where they keep the order of the text.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            members
                .into_iter()
                .map(|(name, member)| (name.clone(), sorted(member)))
                .collect::<Map<_, _>>()
                .into()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}
