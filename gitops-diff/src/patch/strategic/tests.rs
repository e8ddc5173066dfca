use super::*;
use crate::schema::Schema;
use serde_json::json;

fn pod() -> TypeRef<'static> {
    Schema::builtin().type_of("v1", "Pod").unwrap()
}

#[test]
fn directives_do_what_they_say() {
    let containers = |list: Value| json!({"spec": {"containers": list}});
    for (live, patch, expected) in [
        // Others' elements keep their place among those whose order is stated.
        (
            containers(json!([{"name": "a"}, {"name": "x"}, {"name": "b"}])),
            json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "b", "image": "i"}]}}),
            containers(json!([{"name": "x"}, {"name": "b", "image": "i"}, {"name": "a"}])),
        ),
        // What is added in the memory of a deleted element counts as old (read in the
        // source of the real server, not recorded).
        (
            containers(json!([{"name": "a"}, {"name": "b"}, {"name": "c"}])),
            json!({"spec": {"$setElementOrder/containers": [{"name": "v"}], "containers": [{"name": "v"}, {"name": "a", "$patch": "delete"}]}}),
            containers(json!([{"name": "b"}, {"name": "c"}, {"name": "v"}])),
        ),
        (
            containers(json!([{"name": "a"}])),
            containers(json!([{"$patch": "replace"}, {"name": "b"}])),
            containers(json!([{"name": "b"}])),
        ),
        (
            json!({"metadata": {"finalizers": ["a", "b"]}}),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a", "z"], "finalizers": ["c"]}}),
            json!({"metadata": {"finalizers": ["c", "b"]}}),
        ),
        (
            json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}),
            json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}]}}),
            json!({"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}}),
        ),
        // An object that is new and holds a directive is left out.
        (
            json!({"spec": {}}),
            json!({"spec": {"nodeSelector": {"$patch": "replace", "a": "b"}}}),
            json!({"spec": {}}),
        ),
        (
            json!({"spec": {"nodeSelector": {"a": "b"}}}),
            json!({"$patch": "delete"}),
            json!({}),
        ),
    ] {
        assert_eq!(apply(&live, &patch, &pod()).unwrap(), expected, "{patch}");
    }
}

#[test]
fn bad_patches_are_refused_with_the_status_of_the_api_server() {
    let live = json!({"spec": {
        "containers": [{"name": "a", "env": [{"name": "E", "value": "hunter2"}]}],
        "volumes": [{"name": "v", "emptyDir": {}}], "nodeSelector": {"a": "b"},
    }, "metadata": {"finalizers": ["a"]}});
    for (patch, code, message) in [
        (
            json!([]),
            400,
            "json: cannot unmarshal array into Go value of type map[string]interface {}",
        ),
        (
            json!({"spec": {"containers": [{"image": "hunter2"}]}}),
            500,
            "map: map[image:…] does not contain declared merge key: name",
        ),
        (
            json!({"spec": {"containers": [{"name": "a", "$patch": "explode"}]}}),
            500,
            "unknown patch type: explode in map: map[$patch:… name:…]",
        ),
        (
            json!({"spec": {"containers": [{"name": "a", "$patch": "merge"}]}}),
            500,
            "merging lists cannot yet be specified in the patch",
        ),
        (
            json!({"spec": {"$patch": "merge"}}),
            500,
            "unknown patch type: merge in map: map[$patch:…]",
        ),
        (
            json!({"spec": {"containers": ["x"]}}),
            500,
            "list element types are not identical",
        ),
        (
            json!({"spec": {"containers": [["x"]]}}),
            422,
            super::super::UNPROCESSABLE,
        ),
        (
            json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name"], "hostPath": {}}]}}),
            400,
            "invalid patch format of retainKeys",
        ),
        (
            json!({"metadata": {"$deleteFromPrimitiveList": ["a"]}}),
            400,
            "invalid patch format of primitive list",
        ),
        (
            json!({"spec": {"$setElementOrdercontainers": []}}),
            400,
            "invalid patch format of setElementOrder list",
        ),
        (
            json!({"spec": {"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "a"}]}}),
            500,
            "The order in patch list doesn't match $setElementOrder list",
        ),
    ] {
        let error = apply(&live, &patch, &pod()).unwrap_err();
        let status = error.status();
        assert_eq!(
            (status.code, status.message.as_str()),
            (code, message),
            "{patch}"
        );
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn three_way_names_only_what_client_side_apply_would() {
    let pod = |containers: Value| json!({"spec": {"containers": containers}});
    let patch = three_way(
        Some(&pod(json!([{"name": "a", "image": "1"}, {"name": "gone"}]))),
        &pod(json!([{"name": "a", "image": "2"}])),
        &pod(json!([{"name": "injected"}, {"name": "a", "image": "1", "tty": true}, {"name": "gone"}])),
        &self::pod(),
    )
    .unwrap();
    assert_eq!(
        patch,
        json!({"spec": {
            "$setElementOrder/containers": [{"name": "a"}],
            "containers": [{"name": "a", "image": "2"}, {"name": "gone", "$patch": "delete"}],
        }})
    );
}

#[test]
fn a_list_with_a_key_twice_is_replaced() {
    let env = |list: Value| json!({"spec": {"containers": [{"name": "a", "env": list}]}});
    let before = env(json!([{"name": "E", "value": "1"}, {"name": "E", "value": "2"}]));
    let after = env(json!([{"name": "E", "value": "2"}]));
    let patch = generate(&before, &after, &pod()).unwrap();
    assert_eq!(apply(&before, &patch, &pod()).unwrap(), after, "{patch}");
}

#[test]
fn where_a_key_comes_twice_with_others_between_the_object_is_replaced() {
    let spread = |keys: &[(&str, i32)]| -> Value {
        let list: Vec<_> = keys
            .iter()
            .map(|(key, skew)| json!({"topologyKey": key, "maxSkew": skew}))
            .collect();
        json!({"spec": {"nodeName": "n", "topologySpreadConstraints": list}})
    };
    let before = spread(&[("host", 1), ("host", 2), ("zone", 3)]);
    let after = spread(&[("host", 2), ("zone", 3), ("host", 1)]);
    let patch = generate(&before, &after, &pod()).unwrap();
    assert_eq!(patch["spec"]["$patch"], "replace");
    assert_eq!(apply(&before, &patch, &pod()).unwrap(), after);

    // Within an element of a list, that would replace the list: it is done one above.
    let ports = |ports: &[(i32, &str)]| -> Value {
        let ports: Vec<_> = ports
            .iter()
            .map(|(port, protocol)| json!({"containerPort": port, "protocol": protocol}))
            .collect();
        json!({"spec": {"nodeName": "n", "containers": [{"name": "a", "ports": ports}]}})
    };
    let before = ports(&[(53, "UDP"), (53, "TCP"), (80, "TCP")]);
    let after = ports(&[(53, "TCP"), (80, "TCP"), (53, "UDP")]);
    let patch = generate(&before, &after, &pod()).unwrap();
    assert_eq!(patch["spec"]["containers"][0], json!({"$patch": "replace"}));
    assert_eq!(apply(&before, &patch, &pod()).unwrap(), after);
}

#[test]
fn three_way_replaces_a_list_with_a_key_twice() {
    let service = Schema::builtin().type_of("v1", "Service").unwrap();
    let ports = |ports: Value| json!({"spec": {"ports": ports}});
    let (udp, tcp) = (
        json!({"name": "u", "port": 53, "protocol": "UDP"}),
        json!({"name": "t", "port": 53, "protocol": "TCP"}),
    );
    let both = ports(json!([udp, tcp]));
    for (last, live) in [
        (
            ports(json!([udp, {"name": "x", "port": 1}])),
            ports(json!([udp])),
        ),
        (both.clone(), ports(json!([{"name": "u", "port": 54}, tcp]))),
        (both.clone(), ports(json!([tcp, udp]))),
    ] {
        let patch = three_way(Some(&last), &both, &live, &service).unwrap();
        assert_eq!(apply(&live, &patch, &service).unwrap(), both, "{patch}");
    }
    let patch = three_way(Some(&both), &both, &both, &service).unwrap();
    assert_eq!(patch, json!({}));
}

#[test]
fn null_in_what_is_desired_removes_what_is_there() {
    let service = Schema::builtin().type_of("v1", "Service").unwrap();
    let patch = three_way(
        None,
        &json!({"spec": {"clusterIP": null, "selector": null, "ports": [{"port": 80, "name": null}]}}),
        &json!({"spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80, "name": "http"}]}}),
        &service,
    )
    .unwrap();
    assert_eq!(
        patch,
        json!({"spec": {
            "clusterIP": null, "ports": [{"name": null, "port": 80}],
            "$setElementOrder/ports": [{"port": 80}],
        }})
    );
}

#[test]
fn without_overwrite_what_others_changed_is_a_conflict() {
    let pod = |image: &str, ports: &[i32], finalizers: &[&str]| {
        let ports: Vec<_> = ports
            .iter()
            .map(|port| json!({"containerPort": port}))
            .collect();
        json!({"metadata": {"finalizers": finalizers},
            "spec": {"containers": [{"name": "a", "image": image, "ports": ports}]}})
    };
    let last = pod("1", &[80], &["a"]);
    let act = |desired: &Value, live: &Value| {
        three_way_without_overwrite(Some(&last), desired, live, &self::pod())
            .map_err(|error| error.to_string())
    };
    // Others changed something else, or the same to the same.
    assert!(act(&pod("2", &[80], &["a"]), &pod("1", &[80, 81], &["a", "b"])).is_ok());
    assert!(act(&pod("2", &[80], &["a"]), &pod("2", &[80], &["a"])).is_ok());
    // Elements of a set don't conflict.
    assert!(act(&pod("1", &[80], &["a", "c"]), &pod("1", &[80], &["b"])).is_ok());
    assert_eq!(
        act(&pod("2", &[80], &["a"]), &pod("3", &[80], &["a"])).unwrap_err(),
        "spec.containers.image: changed by somebody else since it was last applied"
    );
    // Removed here, changed there.
    let gone = json!({"metadata": {"finalizers": ["a"]}, "spec": {"containers": []}});
    assert!(act(&gone, &pod("3", &[80], &["a"])).is_err());
}

#[test]
fn a_directive_behind_the_end_of_the_order_is_out_of_order() {
    let live = json!({"spec": {"containers": [{"name": "a"}]}});
    let patch = |list: Value| json!({"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": list}});
    let act = |list: Value| apply(&live, &patch(list), &pod());
    assert!(act(json!([{"$patch": "replace"}, {"name": "a"}])).is_ok());
    assert!(act(json!([{"name": "a"}, {"name": "b", "$patch": "delete"}])).is_ok());
    assert!(act(json!([{"name": "a"}, {"$patch": "replace"}])).is_err());
}

#[test]
fn depth_is_bounded() {
    let mut deep = json!({});
    for _ in 0..300 {
        deep = json!({"a": deep});
    }
    let error = apply(&json!({}), &deep, &Schemaless).unwrap_err();
    assert_eq!(error, PatchError::TooDeep { what: "the patch" });
    assert!(generate(&deep, &json!({}), &Schemaless).is_err());
}
