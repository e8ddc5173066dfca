//! The laws hold for the SDK's own differ, and each of them catches a differ that breaks it.
#![recursion_limit = "256"]
#![expect(clippy::unwrap_used, reason = "a panic in a test names its line")]

mod mutants;
mod normalizers;

use gitops_diff::differ::SchemaDiffer;
use gitops_testkit::laws::{self, Check};
use serde_json::{Value, json};

#[test]
fn the_schema_differ_keeps_every_law() {
    laws::check_differ(&SchemaDiffer::builtin()).unwrap();
}

/// A kind with every shape that a definition can have.
fn every_shape() -> Value {
    let text = json!({"type": "string"});
    let number = json!({"type": "integer"});
    let inner = json!({
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"],
        "items": {"type": "object", "required": ["id"],
            "properties": {"id": number, "size": {"type": "string", "format": "quantity"}}},
    });
    let spec = json!({"type": "object", "properties": {
        "text": text, "count": {"type": "integer", "default": 3}, "flag": {"type": "boolean"},
        "level": {"type": "string", "enum": ["low", "high"]},
        "when": {"type": "string", "format": "date-time"},
        "port": {"x-kubernetes-int-or-string": true},
        "tags": {"type": "array", "items": text, "x-kubernetes-list-type": "set"},
        "order": {"type": "array", "items": text, "x-kubernetes-list-type": "atomic"},
        "matrix": {"type": "array", "items": {"type": "array", "items": number}},
        "byName": {
            "type": "array", "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"], "properties": {
                "name": text, "value": text, "inner": inner,
                "opts": {"type": "object", "additionalProperties": text}}},
        },
        "byTwo": {
            "type": "array", "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port", "protocol"],
            "items": {"type": "object", "required": ["port"], "properties": {
                "port": number, "protocol": {"type": "string", "default": "TCP"}, "note": text}},
        },
        "granular": {"type": "object", "additionalProperties": text},
        "atomicMap": {"type": "object", "x-kubernetes-map-type": "atomic",
            "additionalProperties": text},
        "nested": {"type": "object", "properties": {"left": text, "deep":
            {"type": "object", "properties": {"x": text, "y": number}}}},
        "perhaps": {"type": "string", "nullable": true},
        "resource": {"type": "object", "x-kubernetes-embedded-resource": true,
            "x-kubernetes-preserve-unknown-fields": true},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "shapes.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"kind": "Shape", "plural": "shapes"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": spec,
                    "status": {"type": "object", "properties": {"observedGeneration": number}},
                }}},
            }],
        },
    })
}

#[test]
fn the_schema_differ_keeps_every_law_on_every_shape_of_a_definition() {
    let check = Check::new().custom_resource(&every_shape()).unwrap();
    check.differ(&SchemaDiffer::builtin()).unwrap();
}

#[test]
fn a_seed_shows_the_same_again() {
    let run = || {
        Check::new()
            .seed(11)
            .cases(64)
            .differ(&mutants::blind())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(run(), run());
    assert!(run().contains("Check::new().seed(11).cases(64)"));
}
