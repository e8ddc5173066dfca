//! Custom kinds whose definition comes in the same revision.

use gitops_core::{DiffRequest, Differ};
use gitops_diff::schema::{Schema, Schemas};
use serde_json::{Value, json};

use super::{Law, Subject, manager, shown};
use crate::arb::object::manifest_from;
use crate::arb::{self, RIVAL};
use crate::laws::LawBroken;

/// A custom kind is compared by the definition that comes in the same revision: an
/// element that somebody else has in a list is a difference if the definition says that
/// the list is one value, and none if it says that elements have keys.
///
/// # Errors
///
/// If the definition changes nothing, or the wrong thing.
pub fn definitions<'d, D: Differ + ?Sized + 'd>(
    differ: impl Into<Subject<'d, D>>,
    count: u8,
) -> Law {
    const LAW: &str = "definitions";
    let subject = &differ.into();
    let count = usize::from(count % 5) + 1;
    let elements = |from: usize, to: usize| -> Vec<Value> {
        (from..to)
            .map(|at| json!({"id": format!("e{at}"), "size": at}))
            .collect()
    };
    let widget = |elements: Vec<Value>| {
        json!({
            "apiVersion": "laws.example.com/v1", "kind": "Widget",
            "metadata": {"name": "w", "namespace": "default"},
            "spec": {"elements": elements},
        })
    };
    let manifest =
        |value: Value| manifest_from(value).map_err(|error| LawBroken::new(LAW, error.to_string()));
    let desired = manifest(widget(elements(0, count)))?;
    for (list, expected) in [
        (
            json!({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"]}),
            false,
        ),
        (json!({"x-kubernetes-list-type": "atomic"}), true),
    ] {
        let definition = widget_definition(list);
        let schema = Schema::from_crd(&definition)
            .map_err(|error| LawBroken::new(LAW, error.to_string()))?;
        let schemas = Schemas::builtin().with(schema);
        let live = arb::created(&desired, &manager(), &schemas)
            .map_err(|error| LawBroken::new(LAW, error.to_string()))?;
        let mut more = live.clone();
        more["spec"]["elements"] = json!(elements(0, count + 1));
        let live = arb::edit::written(&live, more, RIVAL, "", &schemas);
        let definitions = [manifest(definition.clone())?];
        let manager = manager();
        let request = DiffRequest::new(&desired, &live, &manager).with_definitions(&definitions);
        let report = |why: String| {
            LawBroken::new(LAW, why)
                .with("desired", &desired.value())
                .with("live", &live)
                .with("definition", &definition)
        };
        let answer = subject
            .differ
            .diff(&request)
            .map_err(|error| report(format!("two objects that fit can't be compared: {error}")))?;
        if answer.changes.is_empty() == expected {
            let why = if expected {
                "the definition says that the list is one value, and an element more is no change"
            } else {
                "the definition says that elements have keys, and one of somebody else is a change"
            };
            return Err(report(why.to_owned()).with_text("answer", shown(&answer)));
        }
    }
    Ok(())
}

fn widget_definition(list: Value) -> Value {
    let mut elements = json!({
        "type": "array",
        "items": {
            "type": "object",
            "required": ["id"],
            "properties": {"id": {"type": "string"}, "size": {"type": "integer"}},
        },
    });
    if let (Some(elements), Value::Object(list)) = (elements.as_object_mut(), list) {
        elements.extend(list);
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.laws.example.com"},
        "spec": {
            "group": "laws.example.com", "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {"elements": elements}},
                }}},
            }],
        },
    })
}
