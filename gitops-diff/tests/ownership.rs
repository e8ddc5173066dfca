//! Stories of ownership, over several steps.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use gitops_core::FieldPath;
use gitops_diff::fieldset::FieldSet;
use gitops_diff::managed::{
    self, Apply, ManagedError, ManagedFields, Target, Track, Versions, baseline, lost, own_entry,
};
use gitops_diff::schema::{ListType, Schema, Schemas, TypeRef};
use gitops_diff::typed;
use jiff::Timestamp;
use serde_json::{Value, json};

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn config(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "n"}, "data": data})
}

fn with<T>(act: impl FnOnce(&Target<'_>) -> T) -> T {
    let kind = Schema::builtin().kind("", "ConfigMap");
    act(&Target::new(&kind, "v1", "ConfigMap"))
}

fn apply(live: Option<&Value>, desired: &Value, manager: &str) -> Result<Value, ManagedError> {
    let mut apply = Apply::new(desired, manager, second(0));
    apply.live = live;
    with(|target| managed::apply(target, &apply)).map(|applied| applied.object)
}

fn update(live: &Value, object: Value, manager: &str, time: Timestamp) -> Value {
    with(|target| managed::track(target, Track::new(object, manager, time).live(live))).unwrap()
}

/// Each entry as `manager operation: paths`.
fn owners(object: &Value) -> Vec<String> {
    let managed = ManagedFields::of(object).unwrap();
    let describe = |entry: &managed::Entry<'_>| {
        let paths: Vec<String> = entry
            .fields
            .leaves()
            .paths()
            .map(|p| p.to_string())
            .collect();
        let operation = entry.manager.operation.as_str();
        format!("{} {operation}: {}", entry.manager.name, paths.join(" "))
    };
    let mut owners: Vec<String> = managed.iter().map(describe).collect();
    owners.sort();
    owners
}

#[test]
fn an_object_without_entries_was_written_before_the_first_apply() {
    let mut live = config(json!({"a": "1", "b": "1"}));
    live["metadata"]["uid"] = json!("u");
    // It isn't tracked when it is updated …
    let mut changed = live.clone();
    changed["data"]["a"] = json!("2");
    let live = update(&live, changed, "kubectl-edit", second(0));
    assert!(owners(&live).is_empty());
    // … but from the first apply on.
    let error = apply(Some(&live), &config(json!({"a": "1"})), "ours").unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.a"
    );
    let live = apply(Some(&live), &config(json!({"a": "2"})), "ours").unwrap();
    assert_eq!(
        owners(&live),
        [
            "before-first-apply Update: .data.a .data.b",
            "ours Apply: .data.a"
        ]
    );
}

#[test]
fn kubectl_takes_over_what_client_side_apply_wrote() {
    let mut created = config(json!({"a": "1", "b": "1"}));
    let last = config(json!({"a": "1", "b": "1"})).to_string();
    created["metadata"]["annotations"] =
        json!({"kubectl.kubernetes.io/last-applied-configuration": last});
    let create = Track::new(created, "kubectl-client-side-apply", second(0));
    let live = with(|target| managed::track(target, create)).unwrap();
    let desired = config(json!({"a": "2", "b": "1"}));
    // Another manager has a conflict, kubectl hasn't.
    assert!(matches!(
        apply(Some(&live), &desired, "ours"),
        Err(ManagedError::Conflicts(_))
    ));
    let after = apply(Some(&live), &desired, "kubectl").unwrap();
    assert_eq!(after["data"]["a"], "2");
    let annotation =
        &after["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
    assert_eq!(
        annotation,
        "{\"apiVersion\":\"v1\",\"data\":{\"a\":\"2\",\"b\":\"1\"},\"kind\":\"ConfigMap\",\
         \"metadata\":{\"name\":\"a\",\"namespace\":\"n\"}}\n"
    );
    // What somebody changed since is a conflict for kubectl too, and only that.
    let mut edited = live.clone();
    edited["data"]["b"] = json!("9");
    let live = update(&live, edited, "kubectl-edit", second(1));
    let both = config(json!({"a": "2", "b": "2"}));
    let error = apply(Some(&live), &both, "kubectl").unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using v1: .data.b"
    );
}

#[test]
fn more_than_ten_updaters_become_ancient_changes() {
    let mut live = with(|target| {
        managed::track(
            target,
            Track::new(config(json!({"k0": "v"})), "m0", second(0)),
        )
    })
    .unwrap();
    for at in 1..12 {
        let mut next = live.clone();
        next["data"][format!("k{at}")] = json!("v");
        live = update(&live, next, &format!("m{at}"), second(at));
    }
    let owners = owners(&live);
    assert_eq!(owners.len(), 10);
    assert_eq!(
        owners[0],
        "ancient-changes Update: .data.k0 .data.k1 .data.k2"
    );
    let managed = ManagedFields::of(&live).unwrap();
    let bucket = managed
        .iter()
        .find(|entry| entry.manager.name == "ancient-changes")
        .unwrap();
    assert_eq!(bucket.time, Some(second(2)));
}

#[test]
fn entries_can_be_edited_and_taken_away_but_not_through_a_subresource() {
    let live = apply(None, &config(json!({"a": "1"})), "ours").unwrap();
    let mut stored = live.clone();
    stored["metadata"]["uid"] = json!("u");
    for reset in [json!([]), json!([{}])] {
        let mut object = stored.clone();
        object["metadata"]["managedFields"] = reset.clone();
        assert!(owners(&update(&stored, object, "x", second(1))).is_empty());

        let mut object = stored.clone();
        object["metadata"]["managedFields"] = reset;
        let kind = Schema::builtin().kind("", "ConfigMap");
        let target = Target::new(&kind, "v1", "ConfigMap").subresource("status");
        let track = Track::new(object, "x", second(1)).live(&stored);
        assert_eq!(
            owners(&managed::track(&target, track).unwrap()),
            ["ours Apply: .data.a"]
        );
    }
    let mut object = stored.clone();
    object["metadata"]["managedFields"][0]["manager"] = json!("renamed");
    assert_eq!(
        owners(&update(&stored, object, "x", second(1))),
        ["renamed Apply: .data.a"]
    );
    // What can't be read counts as not sent.
    let mut object = stored.clone();
    object["metadata"]["managedFields"][0]["operation"] = json!("Odd");
    assert_eq!(
        owners(&update(&stored, object, "x", second(1))),
        ["ours Apply: .data.a"]
    );
}

/// A kind of which every version but one is gone, as a built-in kind loses versions.
struct Only<'a>(&'a str, TypeRef<'a>);

impl Versions for Only<'_> {
    fn type_at(&self, api_version: &str) -> Option<TypeRef<'_>> {
        (api_version == self.0).then_some(self.1)
    }
}

#[test]
fn an_entry_of_a_version_that_is_gone_is_dropped_for_a_built_in_kind() {
    let ty = Schema::builtin().type_of("v1", "ConfigMap").unwrap();
    let only = Only("v2", ty);
    let target = Target::new(&only, "v2", "ConfigMap");
    let mut live = apply(None, &config(json!({"a": "1"})), "ours").unwrap();
    live["apiVersion"] = json!("v2");
    let mut desired = config(json!({"a": "2"}));
    desired["apiVersion"] = json!("v2");
    let request = Apply::new(&desired, "theirs", second(0)).live(&live);
    let after = managed::apply(&target, &request).unwrap().object;
    assert_eq!(owners(&after), ["theirs Apply: .data.a"]);
}

#[test]
fn an_object_with_duplicates_is_not_taken_across_versions() {
    // The API server takes duplicates in an object that is stored, until it has to convert.
    let version = |name: &str| {
        json!({"name": name, "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}}}}})
    };
    let schema = Schema::from_crd(&json!({"kind": "CustomResourceDefinition", "spec": {
        "group": "example.com", "names": {"kind": "Widget"},
        "versions": [version("v1"), version("v2")]}}))
    .unwrap();
    let kind = schema.kind("example.com", "Widget");
    let live = |version: &str| {
        json!({"apiVersion": version, "kind": "Widget", "spec": ["a", "a"], "metadata": {
            "name": "w", "uid": "u", "managedFields": [{
                "manager": "ours", "operation": "Update", "apiVersion": "example.com/v1",
                "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {}}}]}})
    };
    let config = |version: &str| json!({"apiVersion": version, "kind": "Widget", "metadata": {"name": "w"}, "spec": ["b"]});
    let act = |version: &str| {
        let (live, config) = (live(version), config(version));
        let target = Target::new(&kind, version, "Widget");
        let request = Apply::new(&config, "theirs", second(0)).live(&live);
        managed::apply(&target, &request).map(|applied| applied.object)
    };
    assert!(act("example.com/v1").is_ok());
    assert_eq!(
        act("example.com/v2").unwrap_err().to_string(),
        ".spec: duplicate entries for key [=\"a\"]"
    );
    // Any other write loses the entries.
    let live = live("example.com/v2");
    let target = Target::new(&kind, "example.com/v2", "Widget");
    let track = Track::new(live.clone(), "theirs", second(0)).live(&live);
    let after = managed::track(&target, track).unwrap();
    assert_eq!(after["metadata"], json!({"name": "w", "uid": "u"}));
}

#[test]
fn entries_are_written_as_the_api_server_writes_them() {
    let mut live = apply(None, &config(json!({"a": "1"})), "ours").unwrap();
    live["metadata"]["managedFields"] = json!([{
        "manager": "", "operation": "Update", "apiVersion": "v1", "subresource": null,
        "time": "2026-01-02T04:04:05.5+01:00", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {"q:later": {}, "f:a": {".": {}}}},
    }]);
    live["metadata"]["uid"] = json!("u");
    let after = update(&live, live.clone(), "x", second(1));
    assert_eq!(
        after["metadata"]["managedFields"],
        json!([{
            "operation": "Update", "apiVersion": "v1", "time": "2026-01-02T03:04:05Z",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:a": {}}},
        }])
    );
}

#[test]
fn numbers_of_keys_are_floats_once_they_were_read() {
    for (written, read) in [
        ("v:1.0", "v:1"),
        ("v:-0", "v:-0"),
        ("v:123456789012345678", "v:123456789012345680"),
        ("v:1152921504606846976", "v:1152921504606847000"),
        ("v:0.0000005", "v:5e-07"),
        ("v:0.00001", "v:0.00001"),
        ("v:1e21", "v:1e+21"),
        ("v:1e20", "v:100000000000000000000"),
        (r#"k:{"b":2.0,"a":[1.0]}"#, r#"k:{"a":[1],"b":2}"#),
    ] {
        let fields = json!({ written: {} });
        let set = FieldSet::from_fields_v1(&fields).unwrap();
        assert_eq!(set.to_fields_v1(), json!({ read: {} }));
    }
}

#[test]
fn a_role_without_rules_has_no_owner_of_its_rules() {
    // Go writes `rules` as null where there are none, and null isn't new then.
    let kind = Schema::builtin().kind("rbac.authorization.k8s.io", "ClusterRole");
    let target = Target::new(&kind, "rbac.authorization.k8s.io/v1", "ClusterRole");
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "all", "labels": {"a": "b"}}, "rules": null});
    let role = managed::track(&target, Track::new(role, "x", second(0))).unwrap();
    assert_eq!(owners(&role), ["x Update: .metadata.labels.a"]);
}

#[test]
fn an_entry_of_a_version_that_a_definition_lost_is_in_the_way() {
    let schema = |versions: &[&str]| {
        let versions: Vec<Value> = versions
            .iter()
            .map(|name| {
                json!({"name": name, "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "additionalProperties": {"type": "string"}}}}}})
            })
            .collect();
        Schema::from_crd(&json!({"kind": "CustomResourceDefinition", "spec": {
            "group": "example.com", "names": {"kind": "Widget"}, "versions": versions}}))
        .unwrap()
    };
    let object = |version: &str, spec: Value| {
        json!({"apiVersion": format!("example.com/{version}"), "kind": "Widget",
            "metadata": {"name": "w"}, "spec": spec})
    };
    let act =
        |versions: &[&str], version: &str, live: Option<&Value>, spec: Value, manager: &str| {
            let schema = schema(versions);
            let kind = schema.kind("example.com", "Widget");
            let target = Target::new(&kind, format!("example.com/{version}"), "Widget");
            let desired = object(version, spec);
            let mut apply = Apply::new(&desired, manager, second(0));
            apply.live = live;
            managed::apply(&target, &apply).map(|applied| applied.object)
        };
    let v1 = act(
        &["v1", "v2"],
        "v1",
        None,
        json!({"a": "1", "b": "1"}),
        "ours",
    )
    .unwrap();
    let at_v2 = |mut object: Value| {
        object["apiVersion"] = json!("example.com/v2");
        object
    };
    // Owned at v1, changed at v2: a conflict across versions.
    let live = at_v2(v1.clone());
    let refused = act(
        &["v1", "v2"],
        "v2",
        Some(&live),
        json!({"a": "2"}),
        "theirs",
    );
    assert_eq!(
        refused.unwrap_err().to_string(),
        "Apply failed with 1 conflict: conflict with \"ours\": .spec.a"
    );
    // Applied at v1 before, at v2 now, and given up.
    let moved = act(&["v1", "v2"], "v2", Some(&live), json!({"a": "1"}), "ours").unwrap();
    assert_eq!(moved["spec"], json!({"a": "1"}));
    assert_eq!(moved["apiVersion"], "example.com/v2");
    assert_eq!(owners(&moved), ["ours Apply: .spec.a"]);
    // v1 is gone, and the API server can't convert to it to see what became of its fields.
    let refused = act(&["v2"], "v2", Some(&live), json!({"a": "2"}), "theirs");
    assert_eq!(
        refused.unwrap_err().to_string(),
        "request to convert CR to an invalid group/version: example.com/v1"
    );
}

#[test]
fn a_list_that_became_atomic_is_owned_as_a_whole() {
    let schema = |list_type: &str| {
        Schema::from_crd(&json!({"kind": "CustomResourceDefinition", "spec": {
            "group": "example.com", "names": {"kind": "Widget"}, "versions": [
                {"name": "v1", "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "list": {"type": "array", "items": {"type": "string"},
                        "x-kubernetes-list-type": list_type}}}}}]}}))
        .unwrap()
    };
    let act = |schema: &Schema, live: Option<&Value>, list: Value, manager: &str| {
        let kind = schema.kind("example.com", "Widget");
        let target = Target::new(&kind, "example.com/v1", "Widget");
        let desired = json!({"apiVersion": "example.com/v1", "kind": "Widget",
            "metadata": {"name": "w"}, "list": list});
        let mut apply = Apply::new(&desired, manager, second(0));
        apply.live = live;
        managed::apply(&target, &apply).map(|applied| applied.object)
    };
    let live = act(&schema("set"), None, json!(["a"]), "ours").unwrap();
    assert_eq!(owners(&live), ["ours Apply: .list[=\"a\"]"]);
    let error = act(&schema("atomic"), Some(&live), json!(["b"]), "theirs").unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"ours\": .list"
    );
}

#[test]
fn what_an_endpoint_resets_is_owned_by_nobody() {
    let kind = Schema::builtin().kind("apps", "Deployment");
    let reset = managed::reset_fields("apps", "Deployment", "", true);
    let target = Target::new(&kind, "apps/v1", "Deployment").reset(&reset);
    let desired = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": 2}, "status": {"replicas": 7}});
    let applied = managed::apply(&target, &Apply::new(&desired, "ours", second(0))).unwrap();
    assert_eq!(owners(&applied.object), ["ours Apply: .spec.replicas"]);
}

#[test]
fn the_baseline_sees_a_touched_field_and_nothing_else() {
    let mut live = apply(None, &config(json!({"a": "1", "b": "1"})), "ours").unwrap();
    live["metadata"]["uid"] = json!("u");
    let at_rest = baseline(&live["metadata"], "ours").unwrap();
    let keys = |object: &Value| own_entry(&object["metadata"], "ours").unwrap().fields.len();
    assert_eq!(keys(&live), 2);

    // Somebody adds a field: no drift.
    let mut added = live.clone();
    added["data"]["c"] = json!("1");
    let live = update(&live, added, "other", second(5));
    assert_eq!(baseline(&live["metadata"], "ours"), Some(at_rest));

    // Somebody changes one of ours: drift, and it stays when the value is put back.
    let mut changed = live.clone();
    changed["data"]["a"] = json!("9");
    let drifted = update(&live, changed, "kubectl-edit", second(6));
    let mut back = drifted.clone();
    back["data"]["a"] = json!("1");
    let back = update(&drifted, back, "kubectl-edit", second(7));
    for object in [&drifted, &back] {
        assert_ne!(baseline(&object["metadata"], "ours"), Some(at_rest));
        let kind = Schema::builtin().kind("", "ConfigMap");
        let desired = config(json!({"a": "1", "b": "1"}));
        let lost = lost(&kind, &desired, &object["metadata"], "ours").unwrap();
        assert_eq!(lost.len(), 1);
        assert_eq!(lost[0].path, FieldPath::root().field("data").field("a"));
        let owner = lost[0].owner.as_ref().unwrap();
        assert_eq!(
            (owner.manager.as_str(), owner.operation.as_str()),
            ("kubectl-edit", "Update")
        );
    }
    // Another object of the same name isn't the same.
    let mut recreated = live.clone();
    recreated["metadata"]["uid"] = json!("v");
    assert_ne!(baseline(&recreated["metadata"], "ours"), Some(at_rest));
    assert_eq!(baseline(&live["metadata"], "nobody"), None);
}

#[test]
fn the_text_of_fields_v1_is_that_of_the_api_server() {
    // The order is by kind of step, then by value: 80 before 443, and not as texts are
    // sorted. `<` in a value is escaped twice.
    let fields = json!({"f:z": {}, "f:a": {
        "k:{\"port\":443}": {".": {}, "f:x": {}}, "k:{\"port\":80}": {},
        "v:\"<a>\"": {}, "i:2": {}, "i:10": {}, ".": {}}});
    let set = FieldSet::from_fields_v1(&fields).unwrap();
    assert_eq!(
        set.to_fields_v1_text(),
        r#"{"f:a":{".":{},"k:{\"port\":80}":{},"k:{\"port\":443}":{".":{},"f:x":{}},"v:\"\\u003ca\\u003e\"":{},"i:2":{},"i:10":{}},"f:z":{}}"#
    );
}

#[test]
fn the_built_in_types_are_those_of_the_api_server() {
    let schema = Schema::builtin();
    assert_eq!(schema.kinds().count(), 139);
    let pod = schema.type_of("v1", "Pod").unwrap();
    let containers = pod.at(["spec", "containers"]).unwrap();
    assert_eq!(containers.list_type(), Some(ListType::Map));
    let container = containers.items().unwrap();
    let limits = container.at(["resources", "limits", "cpu"]).unwrap();
    assert_eq!(limits.format(), Some("quantity"));
    let ports = container.field("ports").unwrap();
    assert_eq!(ports.patch_strategy(), Some("merge"));
    let protocol = ports.ty().items().unwrap().field("protocol").unwrap();
    assert_eq!(protocol.default(), Some(&json!("TCP")));
    assert_eq!(
        protocol.ty().enum_values(),
        Some(vec![json!("SCTP"), json!("TCP"), json!("UDP")])
    );
    assert!(container.field("name").unwrap().required());
    let service = schema.type_of("v1", "Service").unwrap();
    let target = service.at(["spec", "ports"]).unwrap().items().unwrap();
    assert!(target.member("targetPort").unwrap().int_or_string());
    let selector = service.at(["spec", "selector"]).unwrap();
    assert_eq!(
        selector.map_type(),
        Some(gitops_diff::schema::MapType::Atomic)
    );
    // Who walks the types and goes into no name twice comes to an end.
    let (mut open, mut seen, mut steps) = (vec![pod], std::collections::BTreeSet::new(), 0);
    open.extend(schema.kinds().map(|(_, _, ty)| ty));
    while let Some(ty) = open.pop() {
        steps += 1;
        assert!(steps < 20_000);
        if ty.name().is_none_or(|name| seen.insert(name)) {
            open.extend(ty.fields().map(|field| field.ty()));
            open.extend(ty.items().into_iter().chain(ty.values()));
        }
    }
    // The text form holds all of it.
    let again = Schema::from_table(schema.to_table().unwrap()).unwrap();
    assert_eq!(again.to_table().unwrap(), schema.to_table().unwrap());
}

#[test]
fn a_definition_in_the_commit_goes_before_what_is_built_in() {
    let crd = json!({"kind": "CustomResourceDefinition", "spec": {
        "group": "example.com", "names": {"kind": "Widget"}, "versions": [
            {"name": "v1", "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "template": {"type": "object", "x-kubernetes-embedded-resource": true,
                    "x-kubernetes-preserve-unknown-fields": true}}}}},
            {"name": "v2"}]}});
    let schemas = Schemas::builtin().with(Schema::from_crd(&crd).unwrap());
    let widget = schemas.type_of("example.com/v1", "Widget").unwrap();
    let labels = widget.at(["template", "metadata", "labels"]).unwrap();
    assert_eq!(
        labels.map_type(),
        Some(gitops_diff::schema::MapType::Granular)
    );
    let finalizers = widget.at(["metadata", "finalizers"]).unwrap();
    assert_eq!(finalizers.list_type(), Some(ListType::Set));
    let anything =
        json!({"template": {"apiVersion": "v1", "kind": "X", "metadata": {}, "spec": {"a": [1]}}});
    assert!(typed::validate(&anything, widget, typed::Duplicates::Refused).is_ok());
    assert_eq!(
        schemas.type_of("example.com/v2", "Widget").unwrap().name(),
        Schema::deduced().name()
    );
    assert!(schemas.kind("example.com", "Widget").is_some());
    assert!(schemas.kind("", "Pod").is_some() && schemas.kind("", "Widget").is_none());
}

#[test]
fn a_raw_extension_is_anything_and_one_value() {
    // `data` of a ControllerRevision is declared as an object of which nothing is known.
    let kind = Schema::builtin().kind("apps", "ControllerRevision");
    let target = Target::new(&kind, "apps/v1", "ControllerRevision");
    let revision = json!({"apiVersion": "apps/v1", "kind": "ControllerRevision",
        "metadata": {"name": "a"}, "revision": 1, "data": {"spec": {"a": [1, {"b": 2}]}}});
    let request = Apply::new(&revision, "ours", second(0));
    let applied = managed::apply(&target, &request).unwrap().object;
    assert_eq!(applied["data"], revision["data"]);
    assert_eq!(owners(&applied), ["ours Apply: .data .revision"]);
}
