use super::*;
use serde_json::json;

/// What all rules of this kind make of an object.
fn normal(group: &str, kind: &str, object: &Value) -> Value {
    let kind = GroupKind::new(group, kind);
    let mut object = object.clone();
    for rule in builtin() {
        if rule.applies_to(&kind) {
            let before = object.clone();
            let touches = rule.touches(&object);
            rule.normalize(&mut object);
            assert!(
                touches || object == before,
                "touched without saying so: {before}"
            );
        }
    }
    object
}

#[test]
fn builtin_rules_do_what_they_say_and_are_idempotent() {
    let rbac = "rbac.authorization.k8s.io";
    let admission = "admissionregistration.k8s.io";
    let pod = |tolerations: Value| json!({"spec": {"tolerations": tolerations}});
    let added = |key: &str, seconds: u32| {
        json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists",
               "effect": "NoExecute", "tolerationSeconds": seconds})
    };
    let own = json!({"key": "dedicated", "operator": "Exists"});
    let accounts = |old: &str, name: &str| {
        let spec = json!({"serviceAccount": old, "serviceAccountName": name});
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {"spec": spec}}})
    };
    let webhook = |bundle: &str| json!({"webhooks": [{"clientConfig": {"caBundle": bundle}}]});
    let crd = |bundle: &str| json!({"spec": {"conversion": {"webhook": {"clientConfig": {"caBundle": bundle}}}}});
    let metrics = |text: &str| json!({"metadata": {"annotations": {"autoscaling.alpha.kubernetes.io/metrics": text}}});
    for (group, kind, object, expected) in [
        (
            rbac,
            "ClusterRole",
            json!({"aggregationRule": {}, "rules": [{"verbs": ["get"]}]}),
            json!({"aggregationRule": {}}),
        ),
        (
            rbac,
            "ClusterRole",
            json!({"rules": []}),
            json!({"rules": []}),
        ),
        (
            rbac,
            "RoleBinding",
            json!({"subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s"}]}),
            json!({"subjects": [{"kind": "User", "name": "u", "apiGroup": rbac}, {"kind": "ServiceAccount", "name": "s"}]}),
        ),
        (
            "apps",
            "StatefulSet",
            json!({"spec": {"volumeClaimTemplates": [{"kind": "PersistentVolumeClaim", "status": {"phase": "Pending"}, "spec": {}}]}}),
            json!({"spec": {"volumeClaimTemplates": [{"spec": {}}]}}),
        ),
        (
            "",
            "Endpoints",
            json!({"subsets": [{"addresses": [{"ip": "10.0.0.2"}, {"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]}),
            json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}], "ports": [{"port": 80, "protocol": "TCP"}]}]}),
        ),
        (
            "",
            "Pod",
            pod(json!([
                own,
                added("not-ready", 300),
                added("unreachable", 300)
            ])),
            pod(json!([own])),
        ),
        // A pod that says for itself how long.
        (
            "",
            "Pod",
            pod(json!([added("not-ready", 0)])),
            pod(json!([added("not-ready", 0)])),
        ),
        (
            "apps",
            "Deployment",
            accounts("old", "new"),
            accounts("new", "new"),
        ),
        (
            "apps",
            "Deployment",
            accounts("old", ""),
            accounts("old", ""),
        ),
        (
            "",
            "LimitRange",
            json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1"}, "defaultRequest": {"cpu": "1"}}, {"type": "Pod", "max": {"cpu": "2"}}]}}),
            json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1"}, "default": {"cpu": "2"}, "defaultRequest": {"cpu": "1", "memory": "1"}}, {"type": "Pod", "max": {"cpu": "2"}}]}}),
        ),
        (
            admission,
            "ValidatingWebhookConfiguration",
            webhook("Cg=="),
            json!({"webhooks": [{"clientConfig": {}}]}),
        ),
        (
            admission,
            "MutatingWebhookConfiguration",
            webhook("YQ=="),
            webhook("YQ=="),
        ),
        (
            "apiregistration.k8s.io",
            "APIService",
            json!({"spec": {"caBundle": ""}}),
            json!({"spec": {}}),
        ),
        (
            "apiextensions.k8s.io",
            "CustomResourceDefinition",
            crd("Cg=="),
            json!({"spec": {"conversion": {"webhook": {"clientConfig": {}}}}}),
        ),
        (
            "autoscaling",
            "HorizontalPodAutoscaler",
            metrics("[ {\"type\": \"Pods\", \"a\": 1} ]"),
            metrics("[{\"a\":1,\"type\":\"Pods\"}]"),
        ),
        (
            "autoscaling",
            "HorizontalPodAutoscaler",
            metrics("rubbish"),
            metrics("rubbish"),
        ),
        (
            "autoscaling",
            "HorizontalPodAutoscaler",
            json!({"metadata": {"annotations": {"a": "b", "autoscaling.alpha.kubernetes.io/conditions": "[]"}}}),
            json!({"metadata": {"annotations": {"a": "b"}}}),
        ),
    ] {
        let once = normal(group, kind, &object);
        assert_eq!(once, expected, "{kind}");
        assert_eq!(normal(group, kind, &once), expected, "{kind} again");
    }
}

#[test]
fn objects_of_another_shape_are_left_alone() {
    for object in [
        json!(null),
        json!([]),
        json!({"spec": []}),
        json!({"webhooks": {}, "metadata": {"annotations": []}}),
        json!({"spec": {"ports": [1], "limits": [[]], "tolerations": {}, "caBundle": 1}, "subsets": {}, "subjects": [1]}),
        json!({"apiVersion": 1, "kind": "Pod", "spec": null}),
        json!({"webhooks": [{"clientConfig": "x"}, 5], "spec": {"conversion": {"webhook": []}}}),
    ] {
        for rule in builtin() {
            let mut copy = object.clone();
            rule.normalize(&mut copy);
            assert_eq!(copy, object);
        }
    }
}
