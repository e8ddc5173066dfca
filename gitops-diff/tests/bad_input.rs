//! What is malformed, too large or too deep gives an error that says where.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use gitops_diff::fieldset::FieldSet;
use gitops_diff::managed::{self, Apply, ManagedError, ManagedFields, Target, Track};
use gitops_diff::schema::{Schema, SchemaError};
use gitops_diff::typed::{self, Duplicates};
use serde_json::{Value, json};

/// Nested a million times; not dropped, since `serde_json` drops recursively.
fn deep(names: &[&str]) -> &'static Value {
    let mut value = json!({});
    for _ in 0..1_000_000 {
        // Not `json!`, which copies what is put into it.
        for name in names {
            value = Value::Object([((*name).to_owned(), value)].into_iter().collect());
        }
    }
    Box::leak(Box::new(value))
}

fn apply(live: Option<&Value>, applied: &Value) -> Result<managed::Applied, ManagedError> {
    let kind = Schema::builtin().kind("", "ConfigMap");
    let target = Target::new(&kind, "v1", "ConfigMap");
    let mut apply = Apply::new(applied, "ours", "2026-01-02T03:04:05Z".parse().unwrap());
    apply.live = live;
    managed::apply(&target, &apply)
}

#[test]
fn an_object_a_million_deep_is_refused() {
    let deep = deep(&["a"]);
    let ty = Schema::deduced();
    let error = typed::validate(deep, ty, Duplicates::Allowed).unwrap_err();
    assert_eq!(error.to_string(), "nested more than 128 levels deep");
    let small = json!({});
    assert!(typed::compare(deep, &small, ty).is_err());
    assert!(typed::merge(&small, deep, ty).is_err());
    assert!(typed::remove(deep, &FieldSet::new(), ty).is_err());
    assert!(typed::extract(deep, &FieldSet::new(), ty).is_err());

    let object = json!({"apiVersion": "v1", "kind": "ConfigMap"});
    let kind = Schema::builtin().kind("", "ConfigMap");
    let target = Target::new(&kind, "v1", "ConfigMap");
    let request = Apply::new(&object, "ours", "2026-01-02T03:04:05Z".parse().unwrap()).live(deep);
    assert!(matches!(
        managed::apply(&target, &request),
        Err(ManagedError::Internal(_))
    ));
}

#[test]
fn an_object_as_deep_as_the_limit_goes_through_everything() {
    let mut value = json!("x");
    for _ in 0..126 {
        value = json!({ "a": value });
    }
    let ty = Schema::deduced();
    let set = typed::field_set(&value, ty).unwrap();
    let fields = set.to_fields_v1();
    assert_eq!(FieldSet::from_fields_v1(&fields).unwrap(), set);
    let merged = typed::merge(&value, &value.clone(), ty).unwrap();
    assert!(typed::compare(&value, &merged, ty).unwrap().is_same());
    assert_eq!(typed::extract(&value, &set, ty).unwrap(), value);
}

#[test]
fn malformed_fields_v1_is_refused_with_its_place() {
    for (fields, message) in [
        (json!([]), "fieldsV1: expected an object"),
        (json!({"f:a": 1}), "fieldsV1[\"f:a\"]: expected an object"),
        (
            json!({"f:a": {"b": {}}}),
            "fieldsV1[\"f:a\"]: \"b\": a key has a letter, a colon and a name",
        ),
        (
            json!({"f:a": {"bc": {}}}),
            "fieldsV1[\"f:a\"]: \"bc\": missing colon",
        ),
        (
            json!({"k:{": {}}),
            "fieldsV1: \"k:{\": the keys aren't a JSON object",
        ),
        (
            json!({"v:{": {}}),
            "fieldsV1: \"v:{\": the value isn't JSON",
        ),
        (
            json!({"i:9999999999999999999": {}}),
            "fieldsV1: \"i:9999999999999999999\": the index isn't a number",
        ),
        (
            json!({"i:x": {}}),
            "fieldsV1: \"i:x\": the index isn't a number",
        ),
        (json!({"é": {}}), "fieldsV1: \"é\": missing colon"),
    ] {
        let error = FieldSet::from_fields_v1(&fields).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    // A kind of step of a later version is left out.
    let later = json!({"f:a": {}, "z:b": {"f:c": {}}});
    assert_eq!(FieldSet::from_fields_v1(&later).unwrap().len(), 1);
    // The API server takes null for an empty object, and reads no further than it must.
    let odd = json!({"f:a": null, "v:1 2": {}, "f:b": {".": 1}});
    assert_eq!(
        FieldSet::from_fields_v1(&odd).unwrap().to_fields_v1(),
        json!({"f:a": {}, "f:b": {}, "v:1": {}})
    );

    let deep = deep(&["f:a"]);
    let error = FieldSet::from_fields_v1(deep).unwrap_err();
    assert_eq!(error.problem, "nested too deep");
}

#[test]
fn a_live_object_with_broken_entries_can_be_updated_but_not_applied() {
    let object = |managed: Value| {
        json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "a", "uid": "1", "managedFields": managed}, "data": {"a": "1"}})
    };
    for (entry, message) in [
        (
            json!({"manager": "x"}),
            "operation must be `Apply` or `Update`",
        ),
        (
            json!({"operation": "Apply"}),
            "apiVersion must not be empty",
        ),
        (
            json!({"operation": "Apply", "apiVersion": "v1"}),
            "missing fieldsType in managed fields entry",
        ),
        (
            json!({"operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV2"}),
            "invalid fieldsType \"FieldsV2\" in managed fields entry",
        ),
        (
            json!({"operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": 7}),
            "fieldsV1: expected an object",
        ),
        (
            json!({"operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "time": "soon"}),
            "time isn't a timestamp",
        ),
    ] {
        let live = object(json!([entry]));
        assert_eq!(ManagedFields::of(&live).unwrap_err(), message);
        let mut desired = live.clone();
        desired["metadata"] = json!({"name": "a"});
        let error = apply(Some(&live), &desired).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("failed to decode managed fields: {message}")
        );
        assert_eq!(error.status(), 500);

        let kind = Schema::builtin().kind("", "ConfigMap");
        let target = Target::new(&kind, "v1", "ConfigMap");
        let track = Track::new(
            live.clone(),
            "ours",
            "2026-01-02T03:04:05Z".parse().unwrap(),
        );
        let tracked = managed::track(&target, track.live(&live)).unwrap();
        assert!(tracked["metadata"].get("managedFields").is_none());
    }
}

#[test]
fn values_that_do_not_fit_are_named_as_the_api_server_names_them() {
    let ty = |kind: &str| {
        Schema::builtin()
            .kinds()
            .find(|(_, name, _)| *name == kind)
            .unwrap()
            .2
    };
    let item = |name: &str| json!({"name": name});
    for (kind, value, message) in [
        (
            "ConfigMap",
            json!({"bogus": 1}),
            ".bogus: field not declared in schema",
        ),
        (
            "ConfigMap",
            json!({"data": "text"}),
            ".data: expected map, got &{text}",
        ),
        (
            "ConfigMap",
            json!({"data": {"a": 5}}),
            ".data.a: expected string, got &value.valueUnstructured{Value:5}",
        ),
        (
            "ConfigMap",
            json!({"immutable": "yes"}),
            ".immutable: expected boolean, got &{yes}",
        ),
        (
            "Deployment",
            json!({"spec": {"replicas": "3"}}),
            ".spec.replicas: expected numeric (int or float), got string",
        ),
        (
            "Pod",
            json!({"spec": {"containers": [item("x"), item("y"), item("x")]}}),
            ".spec.containers: duplicate entries for key [name=\"x\"]",
        ),
        (
            "Pod",
            json!({"spec": {"containers": {"name": "x"}}}),
            ".spec.containers: expected list, got &{map[name:x]}",
        ),
        (
            "Pod",
            json!({"spec": {"containers": [null]}}),
            ".spec.containers: element 0: associative list with keys may not have a null element",
        ),
        (
            "Pod",
            json!({"spec": {"containers": ["x"]}}),
            ".spec.containers: element 0: associative list with keys may not have non-map elements",
        ),
        (
            "Pod",
            json!({"metadata": {"finalizers": ["a", "b", "a"]}}),
            ".metadata.finalizers: duplicate entries for key [=\"a\"]",
        ),
        (
            "Pod",
            json!({"metadata": {"finalizers": [{}]}}),
            ".metadata.finalizers: element 0: associative list without keys has an element that's a map type",
        ),
        (
            "Pod",
            json!({"metadata": {"ownerReferences": [{"name": "x"}]}, "spec": {"hostIPC": 1, "nodeName": 2}}),
            "errors:\n  .spec.hostIPC: expected boolean, got &{1}\n  .spec.nodeName: expected string, got &value.valueUnstructured{Value:2}",
        ),
    ] {
        let error = typed::validate(&value, ty(kind), Duplicates::Refused).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    let duplicates = json!({"spec": {"containers": [item("x"), item("x")]}});
    assert!(typed::validate(&duplicates, ty("Pod"), Duplicates::Allowed).is_ok());
}

fn crd(schema: Value) -> Value {
    json!({"kind": "CustomResourceDefinition", "spec": {
        "group": "example.com", "names": {"kind": "Widget"},
        "versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]}})
}

#[test]
fn a_definition_that_is_not_structural_is_refused_with_its_place() {
    let at = "spec.versions[0].schema.openAPIV3Schema";
    let spec = |spec: Value| crd(json!({"type": "object", "properties": {"spec": spec}}));
    for (crd, message) in [
        (
            json!({"kind": "Pod"}),
            "kind: expected CustomResourceDefinition".to_owned(),
        ),
        (
            crd(json!({})),
            format!("{at}.type: must be given in a structural schema"),
        ),
        (
            crd(json!({"type": "string"})),
            format!("{at}.type: must be object at the root"),
        ),
        (
            crd(json!("x")),
            format!("{at}: expected a schema, which is an object"),
        ),
        (
            crd(json!({"type": "object", "additionalProperties": {"type": "string"}})),
            format!("{at}.additionalProperties: must not be used at the root"),
        ),
        (
            crd(
                json!({"type": "object", "properties": {"metadata": {"type": "object",
                "properties": {"labels": {"type": "object"}}}}}),
            ),
            format!(
                "{at}.properties[metadata]: must not specify anything other than name and generateName"
            ),
        ),
        (
            spec(json!({"type": "object", "patternProperties": {"a": {"type": "string"}}})),
            format!("{at}.properties[spec].patternProperties: is forbidden in a structural schema"),
        ),
        (
            spec(json!({"type": "string", "anyOf": [{"type": "string"}]})),
            format!("{at}.properties[spec].anyOf[0].type: must not be given in a value validation"),
        ),
        (
            crd(json!({"type": "object", "anyOf": [{"properties": {"a": {"minLength": 1}}}]})),
            format!("{at}.properties[a]: must be given, for {at}.anyOf[0].properties[a] has it"),
        ),
        (
            spec(
                json!({"x-kubernetes-int-or-string": true, "x-kubernetes-embedded-resource": true,
                "type": "object"}),
            ),
            format!(
                "{at}.properties[spec].x-kubernetes-embedded-resource: must be false if x-kubernetes-int-or-string is true"
            ),
        ),
        (
            spec(json!({"type": "object", "x-kubernetes-embedded-resource": true})),
            format!(
                "{at}.properties[spec].properties: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
            ),
        ),
        (
            spec(json!({})),
            format!("{at}.properties[spec].type: must be given in a structural schema"),
        ),
        (
            spec(json!({"$ref": "#/definitions/x", "type": "object"})),
            format!("{at}.properties[spec].$ref: is forbidden in a structural schema"),
        ),
        (
            spec(json!({"type": "array"})),
            format!("{at}.properties[spec].items: must be one schema for an array"),
        ),
        (
            spec(json!({"type": "object", "additionalProperties": false})),
            format!(
                "{at}.properties[spec].additionalProperties: false is forbidden in a structural schema"
            ),
        ),
        (
            spec(
                json!({"type": "object", "properties": {"a": {"type": "string"}},
                "additionalProperties": {"type": "string"}}),
            ),
            format!(
                "{at}.properties[spec]: additionalProperties and properties exclude each other"
            ),
        ),
        (
            spec(json!({"type": "array", "items": {"type": "object"},
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]})),
            format!(
                "{at}.properties[spec].x-kubernetes-list-map-keys: \"name\" isn't a property of the items"
            ),
        ),
        (
            spec(
                json!({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"}),
            ),
            format!(
                "{at}.spec: x-kubernetes-list-map-keys must be given where x-kubernetes-list-type is map"
            ),
        ),
        (
            spec(
                json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "odd"}),
            ),
            format!("{at}.spec: x-kubernetes-list-type: expected atomic, set or map, not \"odd\""),
        ),
        (
            // Found by fuzzing: the element had one key in its path, and two in its set.
            spec(json!({"type": "array", "x-kubernetes-list-type": "map",
                "items": {"type": "object", "properties": {"a": {"type": "string"}}},
                "x-kubernetes-list-map-keys": ["a", "a"]})),
            format!("{at}.spec.x-kubernetes-list-map-keys[1]: \"a\" is there already"),
        ),
        (
            spec(json!({"type": "object", "x-kubernetes-map-type": 3})),
            format!("{at}.spec: x-kubernetes-map-type: expected atomic or granular"),
        ),
        (
            spec(json!({"type": "thing"})),
            format!("{at}.spec: unrecognized type \"thing\""),
        ),
    ] {
        assert_eq!(Schema::from_crd(&crd).unwrap_err().to_string(), message);
    }
}

#[test]
fn a_schema_that_is_too_deep_is_refused() {
    // Not a million levels, since the definition around it is dropped here.
    let mut schema = json!({"type": "string"});
    for _ in 0..200 {
        schema = json!({"type": "object", "properties": {"a": schema}});
    }
    assert!(matches!(
        Schema::from_crd(&crd(schema)),
        Err(SchemaError::TooLarge { limit: 128, .. })
    ));
    let deep = deep(&["properties", "a"]);
    let members = deep.as_object().unwrap();
    assert!(members.contains_key("a"));
    assert!(Schema::from_openapi(deep).is_err());
}

#[test]
fn definitions_that_refer_to_themselves_are_read_or_refused_but_end() {
    let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let document = |schemas: Value| json!({"components": {"schemas": schemas}});

    // A tree of itself is a good type.
    let tree = document(json!({"Tree": {"type": "object",
        "properties": {"left": reference("Tree"), "name": {"type": "string"}},
        "x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": "Tree"}]}}));
    let schema = Schema::from_openapi(&tree).unwrap();
    let ty = schema.type_of("v1", "Tree").unwrap();
    let value = json!({"left": {"left": {"name": 1}}});
    assert_eq!(
        typed::validate(&value, ty, Duplicates::Refused)
            .unwrap_err()
            .to_string(),
        ".left.left.name: expected string, got &value.valueUnstructured{Value:1}"
    );

    // A name for a name for itself is none.
    let circle = document(json!({"A": reference("B"), "B": reference("A")}));
    assert!(matches!(
        Schema::from_openapi(&circle),
        Err(SchemaError::TooLarge { .. })
    ));

    let nowhere = document(json!({"A": {"type": "object", "properties": {"b": reference("B")}}}));
    assert_eq!(
        Schema::from_openapi(&nowhere).unwrap_err().to_string(),
        "components.schemas.A.b: refers to \"B\", which isn't there"
    );
    assert_eq!(
        Schema::from_openapi(&json!([])).unwrap_err().to_string(),
        "definitions: expected an object with the definitions"
    );
}

#[test]
fn a_long_list_takes_no_longer_than_its_length() {
    // With a search through all elements for each element this would take minutes.
    let items: Vec<Value> = (0..40_000)
        .map(|at| json!({"name": format!("n{at}")}))
        .collect();
    let mut reversed = items.clone();
    reversed.reverse();
    let ty = Schema::builtin().type_of("v1", "Pod").unwrap();
    let (a, b) = (
        json!({"spec": {"containers": items}}),
        json!({"spec": {"containers": reversed}}),
    );
    let merged = typed::merge(&a, &b, ty).unwrap();
    assert_eq!(merged, b);
    assert!(typed::compare(&a, &b, ty).unwrap().is_same());
    let set = typed::field_set(&b, ty).unwrap();
    let fields = set.to_fields_v1();
    assert_eq!(FieldSet::from_fields_v1(&fields).unwrap(), set);
}

#[test]
fn a_broken_type_table_is_refused_with_its_line() {
    for (table, line) in [
        ("", 1),
        ("gitops-schema 2\n", 1),
        ("gitops-schema 1\nq:x\n", 2),
        ("gitops-schema 1\ns:string\n\tname\n", 3),
        ("gitops-schema 1\n\tname 0\n", 2),
        ("gitops-schema 1\ns:string\n\tname 0 d:{\n", 3),
        ("gitops-schema 1\ns:string\ns:string\n\tname 99\n", 1),
        ("gitops-schema 1\ng:v1\n", 2),
    ] {
        match Schema::from_table(table) {
            Err(SchemaError::Table { line: found, .. }) => assert_eq!(found, line, "{table:?}"),
            other => panic!("{table:?}: {other:?}"),
        }
    }
}
