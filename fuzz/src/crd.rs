//! A `CustomResourceDefinition`, and the laws of its objects.

use gitops_core::FieldManager;
use gitops_diff::differ::SchemaDiffer;
use gitops_diff::fieldset::FieldSet;
use gitops_diff::managed::{Apply, ManagedFields, Target, apply};
use gitops_diff::schema::{Schema, TypeRef};
use gitops_diff::typed::{self, Duplicates};
use serde_json::{Map, Value, json};

use crate::input::{Bytes, texts};

/// Reads a definition and two of its objects.
///
/// # Panics
///
/// If a law is broken.
pub fn check(data: &[u8]) {
    let text = texts(data, 3);
    let mut bytes = Bytes::new(data);
    let crd = match text.as_deref() {
        Some(values) => values.first().cloned().unwrap_or_default(),
        None => definition(&mut bytes),
    };
    let schema = match Schema::from_crd(&crd) {
        Ok(schema) => schema,
        Err(error) => {
            let message = error.to_string();
            assert!(message.contains(": "), "{message}");
            assert_eq!(Schema::from_crd(&crd).err(), Some(error));
            return;
        }
    };
    table(&schema);
    let kinds: Vec<_> = schema.kinds().collect();
    let Some((api_version, kind, ty)) = bytes.pick(&kinds) else {
        return;
    };
    let mut objects = match text {
        Some(values) => values.into_iter().skip(1).collect(),
        None => vec![bytes.value_of(ty, 0), bytes.value_of(ty, 0)],
    };
    objects.resize(2, json!({}));
    for object in &mut objects {
        if !object.is_object() {
            *object = json!({});
        }
        object["apiVersion"] = json!(api_version);
        object["kind"] = json!(kind);
        object["metadata"] = json!({"name": "a"});
    }
    let [a, b] = objects.as_slice() else { return };
    let (a_fits, b_fits) = (alone(a, ty), alone(b, ty));
    if a_fits && b_fits {
        together(a, b, ty);
    }
    // A null that its type doesn't allow is dropped by the server before it applies, and the
    // differ, but not the merge, counts on it: in a list key they disagree.
    if a_fits && b_fits && !has_null(a) && !has_null(b) {
        owned(&crd, &schema, a, b);
    }
}

/// A schema is the same after it was kept as text.
fn table(schema: &Schema) {
    if let Ok(text) = schema.to_table() {
        let back = Schema::from_table(text.clone()).expect("what was written can be read");
        assert_eq!(back.to_table().as_ref(), Ok(&text));
        assert_eq!(back.kinds().count(), schema.kinds().count());
    }
}

/// Whether the value fits; the laws of one value.
fn alone(value: &Value, ty: TypeRef<'_>) -> bool {
    if let Err(errors) = typed::validate(value, ty, Duplicates::Refused) {
        assert!(errors.iter().count() > 0);
        // What doesn't fit is refused by all, or fits but for an element that is there
        // twice.
        let fits = typed::validate(value, ty, Duplicates::Allowed).is_ok();
        assert_eq!(typed::field_set(value, ty).is_ok(), fits);
        assert_eq!(typed::compare(value, value, ty).is_ok(), fits);
        return false;
    }
    let set = typed::field_set(value, ty).expect("it fits");
    let fields = set.to_fields_v1();
    assert_eq!(FieldSet::from_fields_v1(&fields).as_ref(), Ok(&set));
    assert!(typed::compare(value, &value.clone(), ty).is_ok_and(|same| same.is_same()));
    assert_eq!(typed::merge(value, value, ty).as_ref().ok(), Some(value));
    assert_eq!(
        typed::remove(value, &FieldSet::new(), ty).as_ref().ok(),
        Some(value)
    );
    let part = typed::extract(value, &set, ty).expect("it fits");
    let parts = typed::field_set(&part, ty).expect("a part of what fits, fits");
    assert_eq!(parts, set, "{part}\nof {value}");
    true
}

fn together(a: &Value, b: &Value, ty: TypeRef<'_>) {
    let there = typed::compare(a, b, ty).expect("they fit");
    let back = typed::compare(b, a, ty).expect("they fit");
    assert_eq!(there.added, back.removed);
    assert_eq!(there.removed, back.added);
    assert_eq!(there.modified, back.modified);
    assert_eq!(there.is_same(), back.is_same());
    let merged = typed::merge(a, b, ty).expect("they fit");
    let from_b = typed::compare(&merged, b, ty).expect("it fits");
    assert!(from_b.added.is_empty(), "{:?} in {merged}", from_b.added);
    assert!(
        from_b.modified.is_empty(),
        "{:?} in {merged}",
        from_b.modified
    );
    assert_eq!(typed::merge(&merged, b, ty).ok(), Some(merged));
}

const NO_KEY: &str = "the element lacks a key by which the list is merged";

/// Server-side apply, and the differ that predicts it.
fn owned(crd: &Value, schema: &Schema, a: &Value, b: &Value) {
    let time = "2026-01-02T03:04:05Z".parse().expect("a time");
    let text = |name: &str| a[name].as_str().unwrap_or_default();
    let (group, _) = text("apiVersion").split_once('/').unwrap_or_default();
    let kind = schema.kind(group, text("kind"));
    let target = Target::new(&kind, text("apiVersion"), text("kind"));
    let Ok(first) = apply(&target, &Apply::new(a, "ours", time)) else {
        return;
    };
    let live = first.object;
    let differ = SchemaDiffer::builtin()
        .with_crd(crd)
        .expect("it was read before");
    let nothing = |object: &Value, live: &Value, manager: &str| {
        let manager = FieldManager::new(manager).expect("a name");
        match differ.compare(object, live, &manager) {
            Ok(answer) => assert!(answer.is_empty(), "{answer:#?}\n{object}\n{live}"),
            // An API server takes no definition that allows this.
            Err(error) if error.to_string().ends_with(NO_KEY) => {}
            Err(error) => panic!("{error}\n{object}\n{live}"),
        }
    };
    nothing(a, &live, "ours");
    let again = apply(&target, &Apply::new(a, "ours", time).live(&live));
    // An empty list that is told apart by key isn't a field: the API server loses track of it, and so do we.
    match again {
        Ok(again) if !has_empty_list(a) => {
            assert_eq!(again.object, live, "{crd}");
            assert!(!again.changed);
        }
        Ok(_) => {}
        Err(error) => panic!("{error}\n{crd}\n{live}"),
    }

    let Ok(second) = apply(&target, &Apply::new(b, "theirs", time).live(&live).force()) else {
        return;
    };
    nothing(b, &second.object, "theirs");
    let entries = ManagedFields::of(&second.object).expect("our own entries");
    let back = ManagedFields::of(&live).expect("our own entries");
    let count = entries.iter().count();
    assert!(
        has_empty_list(b) || count >= back.iter().count().min(1),
        "{crd}\n{live}\n{}",
        second.object
    );
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(members) => members.values().any(has_null),
        _ => false,
    }
}

fn has_empty_list(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty() || items.iter().any(has_empty_list),
        Value::Object(members) => members.values().any(has_empty_list),
        _ => false,
    }
}

/// A definition with a schema of any shape.
fn definition(bytes: &mut Bytes<'_>) -> Value {
    let versions: Vec<Value> = (0..1 + bytes.below(2))
        .map(|at| {
            let mut members = Map::new();
            for name in ["spec", "status", "data"] {
                if bytes.below(3) > 0 {
                    members.insert(name.to_owned(), shape(bytes, 0));
                }
            }
            let mut version = json!({
                "name": format!("v{at}"), "served": true, "storage": at == 0,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": members}},
            });
            if bytes.yes() {
                version["subresources"] = json!({"status": {}});
            }
            version
        })
        .collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets"},
            "versions": versions,
            "preserveUnknownFields": bytes.below(8) == 7,
        },
    })
}

fn shape(bytes: &mut Bytes<'_>, depth: usize) -> Value {
    let mut shape = match bytes.below(if depth > 6 { 4 } else { 12 }) {
        0 => json!({"type": "string"}),
        1 => json!({"type": "integer"}),
        2 => json!({"type": "boolean"}),
        3 => json!({"x-kubernetes-int-or-string": true}),
        4 => json!({"type": "number"}),
        5 => json!({"type": "object", "additionalProperties": shape(bytes, depth + 1)}),
        6 => list(bytes, depth),
        7 => keyed(bytes, depth),
        8 => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
        9 => json!({"x-kubernetes-preserve-unknown-fields": true}),
        _ => json!({"type": "object", "properties": properties(bytes, depth)}),
    };
    match bytes.below(16) {
        8 => shape["nullable"] = json!(true),
        9 => shape["default"] = bytes.value(10),
        10 => shape["x-kubernetes-map-type"] = json!(bytes.pick(&["atomic", "granular", "x"])),
        11 => shape["x-kubernetes-embedded-resource"] = json!(true),
        12 => shape["enum"] = json!([bytes.text(), bytes.text()]),
        13 => shape["format"] = json!(bytes.pick(&["date-time", "byte", "quantity", "int32"])),
        14 => shape["x-kubernetes-preserve-unknown-fields"] = json!(true),
        // What no schema may have there.
        15 => shape[bytes.name()] = bytes.value(9),
        _ => {}
    }
    shape
}

fn properties(bytes: &mut Bytes<'_>, depth: usize) -> Map<String, Value> {
    (0..bytes.below(4))
        .map(|_| (bytes.name(), shape(bytes, depth + 1)))
        .collect()
}

fn list(bytes: &mut Bytes<'_>, depth: usize) -> Value {
    let mut list = json!({"type": "array", "items": shape(bytes, depth + 1)});
    if let Some(kind) = bytes.pick(&["", "atomic", "set", "map", "x"])
        && !kind.is_empty()
    {
        list["x-kubernetes-list-type"] = json!(kind);
    }
    list
}

fn keyed(bytes: &mut Bytes<'_>, depth: usize) -> Value {
    let mut members = properties(bytes, depth);
    let keys: Vec<String> = (0..1 + bytes.below(2)).map(|_| bytes.name()).collect();
    for key in &keys {
        let key_type = bytes.pick(&["string", "integer", "boolean"]);
        members.insert(key.clone(), json!({"type": key_type}));
        if bytes.below(4) == 3 {
            members[key]["default"] = json!("TCP");
        }
    }
    json!({
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys,
        "items": {"type": "object", "properties": members},
    })
}
