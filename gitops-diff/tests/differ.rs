//! The schema differ against answers of a real API server, and its laws.
//!
//! The transcripts tell what a server-side apply did to an object: nothing (the
//! resourceVersion stays), something, or a conflict with the fields named. The differ has
//! to say the same beforehand, with no server.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a panic names its line"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use gitops_core::{Difference, FieldManager};
use gitops_diff::differ::SchemaDiffer;
use serde_json::{Value, json};

/// Puts captured values in the place of `{{name}}`.
fn fill(value: &mut Value, captured: &BTreeMap<String, Value>) {
    match value {
        Value::String(text) => {
            let name = text.strip_prefix("{{").and_then(|t| t.strip_suffix("}}"));
            if let Some(found) = name.and_then(|name| captured.get(name)) {
                *value = found.clone();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, captured)),
        Value::Object(members) => members.values_mut().for_each(|item| fill(item, captured)),
        _ => {}
    }
}

/// Tokens in the place of numbers and times become numbers and times.
fn plain(value: &mut Value) {
    match value {
        Value::String(text) if text.starts_with("(nodeport:") => *value = Value::from(30_001),
        Value::String(text) if text == "(time)" || text.starts_with("(ctime:") => {
            *text = "2026-01-01T00:00:00Z".to_owned();
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        Value::Object(members) => members.values_mut().for_each(plain),
        _ => {}
    }
}

#[derive(Debug, Default)]
struct Tally {
    same: usize,
    converged: usize,
    changed: usize,
    /// Applies that changed `managedFields` only: fields given up that others own too, or
    /// that have their default.
    only_bookkeeping: usize,
    conflicts: usize,
    wrong: Vec<String>,
}

impl Tally {
    /// Nothing to do, something to do, bookkeeping only, refused, nothing to do after.
    fn counts(&self) -> [usize; 5] {
        [
            self.same,
            self.changed,
            self.only_bookkeeping,
            self.conflicts,
            self.converged,
        ]
    }

    fn replay(&mut self, file: &Path) {
        // Tokens without characters that fieldsV1 escapes.
        let text = fs::read_to_string(file).unwrap();
        let text = text.replace("<<", "(").replace(">>", ")");
        let mut scenario: Value = serde_json::from_str(&text).unwrap();
        let mut differ = SchemaDiffer::builtin();
        let mut captured = BTreeMap::new();
        let mut live: BTreeMap<String, Value> = BTreeMap::new();
        let steps: Vec<Value> = ["setup", "steps"]
            .iter()
            .flat_map(|part| scenario[part].as_array_mut().map(std::mem::take))
            .flatten()
            .collect();
        for (at, step) in steps.into_iter().enumerate() {
            let (mut request, mut response) = (step["request"].clone(), step["response"].clone());
            fill(&mut request, &captured);
            plain(&mut response);
            let label = format!("{} step {at}", file.file_stem().unwrap().display());
            let path = request["path"].as_str().unwrap().to_owned();
            let body = &response["body"];
            if request["body"]["kind"] == "CustomResourceDefinition" && request["method"] == "POST"
            {
                differ = differ.with_crd(&request["body"]).unwrap();
            }
            let apply = request["headers"]["Content-Type"] == "application/apply-patch+yaml";
            let desired = match request.get("rawBody").and_then(Value::as_str) {
                None => Some(request["body"].clone()),
                Some(text) => serde_json::from_str(text).ok(),
            };
            // A dry run leaves the resourceVersion as it is.
            let apply = apply && request["query"]["dryRun"].is_null();
            if let (true, Some(before), Some(desired)) = (apply, live.get(&path), &desired) {
                self.compare(&label, &differ, &request, desired, before, &response);
            }
            if let Some(captures) = step["capture"].as_object() {
                for (name, pointer) in captures {
                    if let Some(value) = body.pointer(pointer.as_str().unwrap()) {
                        captured.insert(name.clone(), value.clone());
                    }
                }
            }
            let stored =
                response["status"].as_u64().unwrap() < 300 && request["query"]["dryRun"].is_null();
            if !stored || request["method"] == "GET" {
                continue;
            }
            // A scale isn't the object, and at another version it looks otherwise.
            let whole = path.trim_end_matches("/status").trim_end_matches("/scale");
            let tail = |path: &str| {
                path.split_once("/namespaces/")
                    .map(|(_, tail)| tail.to_owned())
            };
            live.retain(|other, _| tail(other) != tail(whole) || other == whole);
            let key = match (
                request["method"].as_str(),
                body["metadata"]["name"].as_str(),
            ) {
                (Some("POST"), Some(name)) => format!("{path}/{name}"),
                _ => whole.to_owned(),
            };
            if body["metadata"]["uid"].is_string() && body["kind"] != "Scale" {
                live.insert(key, body.clone());
            } else {
                live.remove(&key);
            }
        }
    }

    fn compare(
        &mut self,
        label: &str,
        differ: &SchemaDiffer,
        request: &Value,
        desired: &Value,
        before: &Value,
        response: &Value,
    ) {
        let manager = request["query"]["fieldManager"]
            .as_str()
            .unwrap_or_default();
        let Ok(manager) = FieldManager::new(manager) else {
            return;
        };
        let body = &response["body"];
        if body["metadata"]["uid"].is_string() {
            let after = differ.compare(desired, body, &manager).unwrap();
            if after.is_empty() {
                self.converged += 1;
            } else {
                self.wrong
                    .push(format!("{label}: applied, but {}", lines(&after)));
            }
        }
        match response["status"].as_u64().unwrap() {
            // What goes with its last finalizer is answered as it was.
            200 if before["metadata"]["deletionTimestamp"].is_string() => {}
            200 if body["metadata"]["uid"].is_string() => {
                let found = match differ.compare(desired, before, &manager) {
                    Ok(found) => found,
                    Err(error) => return self.wrong.push(format!("{label}: {error}")),
                };
                let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
                if version(body) == version(before) {
                    self.same += 1;
                    if !found.is_empty() {
                        self.wrong
                            .push(format!("{label}: no-op, but {}", lines(&found)));
                    }
                } else if found.is_empty() {
                    if bare(before) == bare(body) {
                        self.only_bookkeeping += 1;
                    } else {
                        self.wrong.push(format!("{label}: changed, unforeseen"));
                    }
                } else if found.changes.is_empty() && bare(before) != bare(body) {
                    self.wrong
                        .push(format!("{label}: changed, but {}", lines(&found)));
                } else {
                    self.changed += 1;
                }
            }
            409 if body["details"]["causes"][0]["reason"] == "FieldManagerConflict" => {
                let expected: BTreeSet<_> = body["details"]["causes"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|cause| cause["field"].as_str().unwrap().to_owned())
                    .collect();
                let found = differ.compare(desired, before, &manager).unwrap();
                let named: BTreeSet<_> = found
                    .conflicts
                    .iter()
                    .map(|conflict| conflict.path.to_string())
                    .collect();
                if named == expected {
                    self.conflicts += 1;
                } else {
                    self.wrong
                        .push(format!("{label}: conflicts {expected:?}, found {named:?}"));
                }
            }
            _ => {}
        }
    }
}

/// An object without what moves with every write.
fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for name in ["managedFields", "resourceVersion", "generation"] {
            metadata.remove(name);
        }
    }
    object
}

/// A difference on few lines, for a message.
fn lines(found: &Difference) -> String {
    let changes = found.changes.iter().map(ToString::to_string);
    let unowned = found.unowned.iter().map(|field| format!("= {field}"));
    let conflicts = found.conflicts.iter().map(|field| format!("! {field}"));
    changes
        .chain(unowned)
        .chain(conflicts)
        .collect::<Vec<_>>()
        .join("\n  ")
}

fn replay(folder: &str) -> Tally {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut tally = Tally::default();
    for file in &files {
        tally.replay(file);
    }
    tally
}

#[test]
fn what_an_apply_does_is_foreseen() {
    let tally = replay("tests/data/server-side-apply");
    // An object without managedFields: the server takes it that somebody owns all of it,
    // the differ that nothing is known of owners.
    assert_eq!(
        tally.wrong,
        ["empty-managed-fields-secrets step 5: conflicts {\".data.a\"}, found {}"],
        "{tally:#?}"
    );
    assert_eq!(tally.counts(), [9, 96, 11, 41, 119], "{tally:#?}");
}

#[test]
fn what_random_applies_do_is_foreseen() {
    let tally = replay("tests/data/random-ssa");
    assert!(tally.wrong.is_empty(), "{}", tally.wrong.join("\n"));
    assert_eq!(tally.counts(), [63, 350, 3, 87, 416], "{tally:#?}");
}

mod cases {
    use super::*;
    use gitops_core::GroupKind;
    use gitops_diff::normalize::Normalizer;

    fn manager() -> FieldManager {
        FieldManager::new("ours").unwrap()
    }

    fn changes(desired: &Value, live: &Value) -> Vec<String> {
        let found = SchemaDiffer::builtin().compare(desired, live, &manager());
        let found = found.unwrap();
        found.changes.iter().map(ToString::to_string).collect()
    }

    /// `object` with one entry of ours in managedFields, and one of another.
    fn owned(mut object: Value, ours: Value, theirs: Value) -> Value {
        let entry = |manager: &str, operation: &str, fields: Value| {
            json!({"manager": manager, "operation": operation, "apiVersion": "v1",
                   "fieldsType": "FieldsV1", "time": "2026-01-01T00:00:00Z", "fieldsV1": fields})
        };
        object["metadata"]["managedFields"] = json!([
            entry("ours", "Apply", ours),
            entry("kubectl-edit", "Update", theirs)
        ]);
        object
    }

    fn of(kind: &str, rest: Value) -> Value {
        let (api_version, kind) = kind.rsplit_once('/').unwrap();
        let mut object =
            json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}});
        object
            .as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        object
    }

    #[test]
    fn what_means_the_same_is_no_difference() {
        for (kind, desired, live) in [
            // Quantities, numbers, base64, times.
            (
                "v1/Pod",
                json!({"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}}}]}}),
                json!({"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}}}]}}),
            ),
            (
                "v1/Secret",
                json!({"data": {"a": "YQ==\n"}}),
                json!({"data": {"a": "YQ=="}}),
            ),
            (
                "v1/Secret",
                json!({"stringData": {"a": "one"}}),
                json!({"data": {"a": "b25l"}, "type": "Opaque"}),
            ),
            (
                "v1/Secret",
                json!({"data": {"a": "eA=="}, "stringData": {"a": "one"}}),
                json!({"data": {"a": "b25l"}}),
            ),
            // Lists by key, in any order, with defaulted keys and live-only defaults.
            (
                "v1/Service",
                json!({"spec": {"ports": [{"port": 443}, {"port": 80, "protocol": "UDP"}]}}),
                json!({"spec": {"clusterIP": "10.0.0.1", "ports": [
                    {"port": 80, "protocol": "UDP", "targetPort": 80},
                    {"port": 443, "protocol": "TCP", "targetPort": 443},
                ]}}),
            ),
            (
                "v1/ConfigMap",
                json!({"metadata": {"name": "x", "finalizers": ["b", "a"]}}),
                json!({"metadata": {"name": "x", "finalizers": ["a", "b", "c"]}}),
            ),
            // Within a list that is owned as a whole, defaults are no difference.
            (
                "networking.k8s.io/v1/NetworkPolicy",
                json!({"spec": {"podSelector": {}, "ingress": [{"from": [], "ports": [{"port": 80}]}]}}),
                json!({"spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"ports": [{"port": 80, "protocol": "TCP"}]}]}}),
            ),
            (
                "apps/v1/StatefulSet",
                json!({"spec": {"volumeClaimTemplates": [{"metadata": {"name": "d", "creationTimestamp": null}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}}}]}}),
                json!({"spec": {"volumeClaimTemplates": [{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "d"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "volumeMode": "Filesystem"}, "status": {"phase": "Pending"}}]}}),
            ),
            (
                "rbac.authorization.k8s.io/v1/RoleBinding",
                json!({"subjects": [{"kind": "User", "name": "u"}]}),
                json!({"subjects": [{"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"}]}),
            ),
            (
                "rbac.authorization.k8s.io/v1/ClusterRole",
                json!({"aggregationRule": {"clusterRoleSelectors": []}, "rules": []}),
                json!({"aggregationRule": {}, "rules": [{"verbs": ["get"]}]}),
            ),
            // Null, empty, status, what the server writes.
            (
                "v1/ConfigMap",
                json!({"metadata": {"name": "x", "creationTimestamp": null, "labels": {}, "annotations": null}, "data": null, "binaryData": {}}),
                json!({"metadata": {"name": "x", "uid": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}}),
            ),
            (
                "apps/v1/Deployment",
                json!({"spec": {"replicas": null, "template": {"spec": {"tolerations": []}}}, "status": {"replicas": 9}}),
                json!({"spec": {"replicas": 1, "template": {"spec": {}}}, "status": {"replicas": 1}}),
            ),
            (
                "v1/Service",
                json!({"spec": {"clusterIP": ""}}),
                json!({"spec": {"clusterIP": "10.0.0.1"}}),
            ),
            // What the server allocates, and what controllers add.
            (
                "v1/Service",
                json!({"spec": {"type": "NodePort", "clusterIP": "", "ports": [{"port": 80, "nodePort": 0}, {"port": 81, "nodePort": null}]}}),
                json!({"spec": {"type": "NodePort", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [
                    {"port": 80, "protocol": "TCP", "targetPort": 80, "nodePort": 30080},
                    {"port": 81, "protocol": "TCP", "targetPort": 81, "nodePort": 30081},
                ]}}),
            ),
            (
                "v1/PersistentVolume",
                json!({"spec": {"claimRef": {"namespace": "a", "name": "b"}}}),
                json!({"spec": {"claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "a", "name": "b", "uid": "1", "resourceVersion": "2"}}, "status": {"phase": "Bound"}}),
            ),
            (
                "v1/PersistentVolumeClaim",
                json!({"spec": {"storageClassName": null, "resources": {"requests": {"storage": "1024Mi"}}}}),
                json!({"metadata": {"name": "x", "annotations": {"pv.kubernetes.io/bind-completed": "yes"}, "finalizers": ["kubernetes.io/pvc-protection"]}, "spec": {"storageClassName": "fast", "volumeName": "pv-1", "volumeMode": "Filesystem", "resources": {"requests": {"storage": "1Gi"}}}}),
            ),
            (
                "v1/ServiceAccount",
                json!({"imagePullSecrets": [{"name": "a"}]}),
                json!({"imagePullSecrets": [{"name": "a"}], "secrets": [{"name": "x-token-1"}]}),
            ),
            (
                "batch/v1/Job",
                json!({"spec": {"template": {"metadata": {"labels": {"app": "a"}}}}}),
                json!({"spec": {"selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "1"}}, "template": {"metadata": {"labels": {"app": "a", "batch.kubernetes.io/controller-uid": "1", "controller-uid": "1"}}}}}),
            ),
            (
                "admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration",
                json!({"webhooks": [{"name": "a.b.c", "clientConfig": {"caBundle": "Cg=="}}]}),
                json!({"webhooks": [{"name": "a.b.c", "clientConfig": {"caBundle": "LS0tLS1CRUdJTg=="}}]}),
            ),
            (
                "apiextensions.k8s.io/v1/CustomResourceDefinition",
                json!({"spec": {"preserveUnknownFields": false, "conversion": {"strategy": "Webhook", "webhook": {"clientConfig": {"caBundle": ""}}}}, "status": {"conditions": [], "storedVersions": []}}),
                json!({"spec": {"names": {"singular": "a", "listKind": "AList"}, "conversion": {"strategy": "Webhook", "webhook": {"clientConfig": {"caBundle": "LS0tLS1CRUdJTg=="}}}}, "status": {"storedVersions": ["v1"]}}),
            ),
            (
                "autoscaling/v1/HorizontalPodAutoscaler",
                json!({"metadata": {"name": "x", "annotations": {"autoscaling.alpha.kubernetes.io/metrics": "[{\"type\": \"Resource\"}]"}}}),
                json!({"metadata": {"name": "x", "annotations": {"autoscaling.alpha.kubernetes.io/metrics": "[{\"type\":\"Resource\"}]", "autoscaling.alpha.kubernetes.io/conditions": "[]"}}}),
            ),
            // A kind of which nothing is known.
            (
                "example.com/v1/Widget",
                json!({"spec": {"a": 1, "l": [{"x": 1}]}}),
                json!({"spec": {"a": 1.0, "b": 2, "l": [{"x": 1}]}}),
            ),
        ] {
            assert_eq!(
                changes(&of(kind, desired), &of(kind, live)),
                [""; 0],
                "{kind}"
            );
        }
    }

    #[test]
    fn what_differs_is_named_with_both_sides() {
        for (kind, desired, live, expected) in [
            (
                "v1/Pod",
                json!({"spec": {"containers": [{"name": "a", "image": "i:2"}]}}),
                json!({"spec": {"containers": [{"name": "b"}, {"name": "a", "image": "i:1"}]}}),
                vec![r#"~ .spec.containers[name="a"].image: "i:1" -> "i:2""#],
            ),
            (
                "v1/Pod",
                json!({"spec": {"containers": [{"name": "c"}]}}),
                json!({"spec": {"containers": []}}),
                vec![r#"+ .spec.containers[name="c"] = {"name":"c"}"#],
            ),
            (
                "v1/ConfigMap",
                json!({"metadata": {"name": "x", "finalizers": ["a"]}}),
                json!({}),
                vec![r#"+ .metadata.finalizers = ["a"]"#],
            ),
            (
                "v1/ConfigMap",
                json!({"metadata": {"name": "x", "finalizers": ["a"]}}),
                json!({"metadata": {"name": "x", "finalizers": ["b"]}}),
                vec![r#"+ .metadata.finalizers[="a"] = "a""#],
            ),
            (
                "networking.k8s.io/v1/NetworkPolicy",
                json!({"spec": {"ingress": [{"from": [{"namespaceSelector": {}}]}]}}),
                json!({"spec": {"ingress": [{"from": [{}]}]}}),
                vec![
                    r#"~ .spec.ingress: [{"from":[{}]}] -> [{"from":[{"namespaceSelector":{}}]}]"#,
                ],
            ),
            (
                "networking.k8s.io/v1/NetworkPolicy",
                json!({"spec": {"ingress": [{}]}}),
                json!({"spec": {"ingress": [{"ports": [{"port": 80, "protocol": "TCP"}]}]}}),
                vec![r#"~ .spec.ingress: [{"ports":[{"port":80,"protocol":"TCP"}]}] -> [{}]"#],
            ),
            (
                "v1/Pod",
                json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}),
                json!({"spec": {"volumes": [{"name": "v"}]}}),
                vec![r#"+ .spec.volumes[name="v"].emptyDir = {}"#],
            ),
            (
                "v1/Service",
                json!({"spec": {"ports": [{"port": 80, "targetPort": "80"}]}}),
                json!({"spec": {"ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]}}),
                vec![r#"~ .spec.ports[port=80,protocol="TCP"].targetPort: 80 -> "80""#],
            ),
            (
                "apps/v1/Deployment",
                json!({"spec": {"replicas": null}}),
                json!({"spec": {"replicas": 5}}),
                vec!["- .spec.replicas (was 5)"],
            ),
            (
                "v1/Secret",
                json!({"stringData": {"a": "one"}, "data": {"b": "eA=="}}),
                json!({"data": {"a": "dHdv"}}),
                vec!["+ .data.b = (secret)", "~ .stringData.a: secret changed"],
            ),
            (
                "example.com/v1/Widget",
                json!({"spec": {"l": [], "m": {}}}),
                json!({"spec": {}}),
                vec!["+ .spec.l = []", "+ .spec.m = {}"],
            ),
        ] {
            let mut found = changes(&of(kind, desired), &of(kind, live));
            found.sort();
            let mut expected = expected;
            expected.sort_unstable();
            assert_eq!(found, expected, "{kind}");
        }
    }

    #[test]
    fn a_field_that_was_only_ours_and_is_desired_no_more_goes() {
        let desired = of("v1/ConfigMap", json!({"data": {"kept": "1"}}));
        let live = of(
            "v1/ConfigMap",
            json!({"data": {"kept": "1", "ours": "2", "shared": "3", "theirs": "4"}}),
        );
        assert_eq!(
            changes(&desired, &live),
            [""; 0],
            "nothing is known of owners"
        );
        let live = owned(
            live,
            json!({"f:data": {"f:kept": {}, "f:ours": {}, "f:shared": {}}}),
            json!({"f:data": {"f:shared": {}, "f:theirs": {}}}),
        );
        assert_eq!(changes(&desired, &live), [r#"- .data.ours (was "2")"#]);
    }

    #[test]
    fn an_element_goes_whole_unless_another_owns_part_of_it() {
        let element = json!({".": {}, "f:name": {}, "f:image": {}});
        let ours = json!({"f:spec": {"f:containers": {r#"k:{"name":"a"}"#: element, r#"k:{"name":"b"}"#: element}}});
        let theirs = json!({"f:spec": {"f:containers": {r#"k:{"name":"b"}"#: {"f:image": {}}}}});
        let container = |name| json!({"name": name, "image": "i", "imagePullPolicy": "Always"});
        let live = of(
            "v1/Pod",
            json!({"spec": {"containers": [container("a"), container("b"), container("c")]}}),
        );
        let live = owned(live, ours, theirs);
        let found = changes(
            &of("v1/Pod", json!({"spec": {"containers": [container("c")]}})),
            &live,
        );
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].starts_with(r#"- .spec.containers[name="a"] (was {"#),
            "{found:?}"
        );
        assert_eq!(found[1], r#"- .spec.containers[name="b"].name (was "b")"#);
    }

    #[test]
    fn owners_are_named_where_they_disagree_and_where_they_took_over() {
        let desired = of(
            "v1/ConfigMap",
            json!({"data": {"a": "1", "b": "2", "c": "3"}}),
        );
        let live = owned(
            of(
                "v1/ConfigMap",
                json!({"data": {"a": "1", "b": "2", "c": "9"}}),
            ),
            json!({"f:data": {"f:a": {}}}),
            json!({"f:data": {"f:b": {}, "f:c": {}}}),
        );
        let found = SchemaDiffer::builtin()
            .compare(&desired, &live, &manager())
            .unwrap();
        assert_eq!(
            lines(&found),
            "~ .data.c: \"9\" -> \"3\"  [kubectl-edit (Update)]\n  \
             = .data.b owned by kubectl-edit (Update)\n  \
             ! .data.c owned by kubectl-edit (Update)"
        );
    }

    #[test]
    fn a_null_is_no_difference_once_it_is_ours() {
        let desired = of("v1/Pod", json!({"spec": {"dnsPolicy": null}}));
        let live = of("v1/Pod", json!({"spec": {"dnsPolicy": "None"}}));
        assert_eq!(
            changes(&desired, &live),
            [r#"- .spec.dnsPolicy (was "None")"#]
        );
        let ours = json!({"f:spec": {"f:dnsPolicy": {}}});
        assert_eq!(changes(&desired, &owned(live, ours, json!({}))), [""; 0]);
    }

    #[test]
    fn a_zero_that_the_server_does_not_keep_is_no_difference() {
        let pod = |spec: Value| of("v1/Pod", json!({"spec": spec}));
        let live = pod(json!({"dnsPolicy": "None"}));
        let desired = pod(json!({"hostNetwork": false}));
        assert_eq!(changes(&desired, &live), [""; 0]);
        // Once owners are known, applying makes us one.
        let found = |ours: Value, theirs: Value| {
            let live = owned(live.clone(), ours, theirs);
            lines(
                &SchemaDiffer::builtin()
                    .compare(&desired, &live, &manager())
                    .unwrap(),
            )
        };
        let (nothing, network) = (json!({}), json!({"f:spec": {"f:hostNetwork": {}}}));
        assert_eq!(found(network.clone(), nothing.clone()), "");
        assert_eq!(
            found(nothing.clone(), nothing.clone()),
            "= .spec.hostNetwork owned by nobody we know"
        );
        // The server takes ours for an addition to what is another's.
        assert!(found(nothing, network).contains("! .spec.hostNetwork owned by kubectl-edit"));
    }

    #[test]
    fn a_zero_that_the_server_keeps_differs_from_nothing() {
        for (kind, desired, live, path) in [
            (
                "v1/ServiceAccount",
                json!({"automountServiceAccountToken": false}),
                json!({}),
                ".automountServiceAccountToken",
            ),
            (
                "v1/ConfigMap",
                json!({"data": {"a": ""}}),
                json!({"data": {"b": ""}}),
                ".data.a",
            ),
            // To be evicted at once, and never to be evicted.
            (
                "v1/Pod",
                json!({"spec": {"tolerations": [{"operator": "Exists", "tolerationSeconds": 0}]}}),
                json!({"spec": {"tolerations": [{"operator": "Exists"}]}}),
                ".spec.tolerations",
            ),
        ] {
            let (desired, live) = (of(kind, desired), of(kind, live));
            let found = changes(&desired, &live);
            assert!(
                found.len() == 1 && found[0].contains(path),
                "{kind}: {found:?}"
            );
        }
    }

    #[test]
    fn what_can_not_be_compared_is_an_error_that_says_where() {
        let container = json!({"name": "a"});
        for (desired, live, message) in [
            (
                of(
                    "v1/Pod",
                    json!({"spec": {"containers": [container, container]}}),
                ),
                of("v1/Pod", json!({"spec": {"containers": []}})),
                r#"Pod x: .spec.containers[name="a"]: another element of the list has the same keys"#,
            ),
            (
                of(
                    "v1/Pod",
                    json!({"metadata": {"name": "x", "ownerReferences": [{"name": "n"}]}}),
                ),
                of(
                    "v1/Pod",
                    json!({"metadata": {"name": "x", "ownerReferences": []}}),
                ),
                "",
            ),
            (
                of("v1/Pod", json!({})),
                of("v1/Service", json!({})),
                "Pod x: live is of another kind: Service",
            ),
            (
                of("v1/Pod", json!({})),
                json!([]),
                "Pod x: live is no object",
            ),
        ] {
            let result = SchemaDiffer::builtin().compare(&desired, &live, &manager());
            match message {
                // A key with a default in the schema (here the empty one) isn't missing.
                "" => assert!(result.is_ok()),
                message => assert_eq!(result.unwrap_err().to_string(), message),
            }
        }
        let mut deep = json!({});
        for _ in 0..300 {
            deep = json!({"a": deep});
        }
        let deep = of("v1/ConfigMap", json!({"data": deep}));
        let error = SchemaDiffer::builtin()
            .compare(&deep, &deep, &manager())
            .unwrap_err();
        assert!(error.to_string().contains("nested"), "{error}");
    }

    #[test]
    fn a_definition_in_the_same_commit_gives_the_schema() {
        use gitops_core::{DiffRequest, Differ, Manifest, Origin};
        let origin = || Origin::new("a.yaml".parse().unwrap(), 1, 1);
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.example.com"},
            "spec": {"group": "example.com", "names": {"kind": "Widget", "plural": "widgets"}, "scope": "Namespaced",
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                    "type": "object", "properties": {
                        "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
                        "spec": {"type": "object", "properties": {
                            "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                                "items": {"type": "object", "required": ["name"], "properties": {
                                    "name": {"type": "string"}, "size": {"type": "integer", "default": 1}}}}}}}}}}]},
        });
        let widget = |parts: Value| {
            of(
                "example.com/v1/Widget",
                json!({"spec": {"parts": parts}, "status": {"phase": "a"}}),
            )
        };
        let desired =
            Manifest::new(widget(json!([{"name": "b"}, {"name": "a"}])), origin()).unwrap();
        let mut live = widget(json!([{"name": "a", "size": 1}, {"name": "b", "size": 1}]));
        live["status"]["phase"] = json!("b");
        let manager = manager();
        let differ = SchemaDiffer::builtin();
        let definitions = [Manifest::new(definition, origin()).unwrap()];
        let request = DiffRequest::new(&desired, &live, &manager);
        // Without the definition the list is one value.
        assert_eq!(
            differ.diff(&request).unwrap().changes[0].path.to_string(),
            ".spec.parts"
        );
        for _ in 0..2 {
            let found = differ
                .diff(&request.with_definitions(&definitions))
                .unwrap();
            // It has no status subresource, so an apply writes status as well.
            assert_eq!(lines(&found), r#"~ .status.phase: "b" -> "a""#);
        }
    }

    #[test]
    fn a_quantity_of_a_custom_resource_is_known_by_its_pattern() {
        let pattern = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";
        let number = |pattern: &str| {
            json!({"anyOf": [{"type": "integer"}, {"type": "string"}],
                   "x-kubernetes-int-or-string": true, "pattern": pattern})
        };
        let crd = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.example.com"},
            "spec": {"group": "example.com", "names": {"kind": "Widget", "plural": "widgets"}, "scope": "Namespaced",
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                    "type": "object", "properties": {"spec": {"type": "object", "properties": {
                        "size": number(pattern), "port": number("^.*$")}}}}}}]},
        });
        let differ = SchemaDiffer::builtin().with_crd(&crd).unwrap();
        let widget = |size: &str, port: &str| {
            of(
                "example.com/v1/Widget",
                json!({"spec": {"size": size, "port": port}}),
            )
        };
        let found = differ.compare(&widget("1024Mi", "1000m"), &widget("1Gi", "1"), &manager());
        assert_eq!(lines(&found.unwrap()), r#"~ .spec.port: "1" -> "1000m""#);
    }

    #[test]
    fn lost_fields_are_read_from_the_metadata_alone() {
        use gitops_core::{DiffRequest, Differ, Manifest, Origin};
        let origin = Origin::new("a.yaml".parse().unwrap(), 1, 1);
        let desired = of("v1/Secret", json!({"data": {"a": "MQ==", "b": "Mg=="}}));
        let desired = Manifest::new(desired, origin).unwrap();
        let live = owned(
            json!({"metadata": {"name": "x"}}),
            json!({"f:data": {"f:b": {}}}),
            json!({"f:data": {"f:a": {}}}),
        );
        let manager = manager();
        let lost = SchemaDiffer::builtin().lost(&DiffRequest::new(&desired, &live, &manager));
        let lost: Vec<_> = lost.iter().map(ToString::to_string).collect();
        assert_eq!(lost, ["~ .data.a = (secret)  [kubectl-edit (Update)]"]);
    }

    #[test]
    fn nothing_is_said_to_be_lost_where_the_owners_were_left_out() {
        use gitops_core::{DiffRequest, Differ, Manifest, Origin};
        let origin = Origin::new("a.yaml".parse().unwrap(), 1, 1);
        let desired = of("v1/ConfigMap", json!({"data": {"a": "1"}}));
        let desired = Manifest::new(desired, origin).unwrap();
        let manager = manager();
        for metadata in [
            json!({"name": "x"}),
            json!({"name": "x", "managedFields": []}),
        ] {
            let live = json!({"metadata": metadata});
            let lost = SchemaDiffer::builtin().lost(&DiffRequest::new(&desired, &live, &manager));
            assert!(lost.is_empty(), "{lost:?}");
        }
    }

    #[test]
    fn a_normaliser_of_the_user_is_asked() {
        struct Upper;
        impl Normalizer for Upper {
            fn applies_to(&self, kind: &GroupKind) -> bool {
                kind.kind == "ConfigMap"
            }
            fn normalize(&self, object: &mut Value) {
                if let Some(text) = object["data"]["a"].as_str() {
                    object["data"]["a"] = text.to_uppercase().into();
                }
            }
        }
        let of = |text| of("v1/ConfigMap", json!({"data": {"a": text}}));
        let differ = SchemaDiffer::builtin().with_normalizer(Upper);
        assert!(
            differ
                .compare(&of("x"), &of("X"), &manager())
                .unwrap()
                .is_empty()
        );
        assert!(
            !SchemaDiffer::builtin()
                .compare(&of("x"), &of("X"), &manager())
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn no_path_tells_a_secret() {
        let crd = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "logins.example.com"},
            "spec": {"group": "example.com", "names": {"kind": "Login", "plural": "logins"}, "scope": "Namespaced",
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                    "type": "object", "properties": {"spec": {"type": "object", "properties": {
                        "words": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                        "users": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                            "items": {"type": "object", "required": ["name"], "properties": {
                                "name": {"type": "string"}, "role": {"type": "string"}}}}}}}}}}]},
        });
        let kind = || GroupKind::new("example.com", "Login");
        let differ = SchemaDiffer::builtin()
            .with_crd(&crd)
            .unwrap()
            .redact(kind(), ["spec", "words"])
            .redact(kind(), ["spec", "users", "*", "name"]);
        let login = |words: Value, users: Value| {
            of(
                "example.com/v1/Login",
                json!({"spec": {"words": words, "users": users}}),
            )
        };
        let user = |name: &str, role: &str| json!({"name": name, "role": role});
        let desired = login(
            json!(["canary-a", "canary-b"]),
            json!([user("canary-c", "x")]),
        );
        let live = login(
            json!(["canary-d", "canary-b"]),
            json!([user("canary-c", "y"), user("canary-e", "z")]),
        );
        let owned_by = |word: &str, user: &str| {
            let (word, user) = (
                format!("v:\"{word}\""),
                format!("k:{{\"name\":\"{user}\"}}"),
            );
            json!({"f:spec": {"f:words": {word: {}}, "f:users": {user: {".": {}, "f:name": {}, "f:role": {}}}}})
        };
        let live = owned(
            live,
            owned_by("canary-d", "canary-e"),
            owned_by("canary-b", "canary-c"),
        );
        let found = differ.compare(&desired, &live, &manager()).unwrap();
        let text = format!("{found:?}{}", json!(found));
        assert!(!text.contains("canary"), "{text}");
        let paths: Vec<_> = found.changes.iter().map(|c| c.path.to_string()).collect();
        assert_eq!(paths, [".spec.users", ".spec.words"]);
        // Equal ones are equal, in any order.
        let again = login(
            json!(["canary-b", "canary-d"]),
            json!([user("canary-e", "z"), user("canary-c", "y")]),
        );
        let found = differ.compare(&again, &live, &manager()).unwrap();
        assert!(found.changes.is_empty(), "{found:?}");
        // Nor do errors, nor what the metadata tells.
        let twice = login(
            json!([]),
            json!([user("canary-c", "x"), user("canary-c", "y")]),
        );
        let error = differ.compare(&twice, &live, &manager()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        use gitops_core::{DiffRequest, Differ, Manifest, Origin};
        let origin = Origin::new("a.yaml".parse().unwrap(), 1, 1);
        let manifest = Manifest::new(desired, origin).unwrap();
        let manager = manager();
        let lost = differ.lost(&DiffRequest::new(&manifest, &live, &manager));
        assert!(!lost.is_empty());
        assert!(!format!("{lost:?}").contains("canary"), "{lost:?}");
    }

    #[test]
    fn whole_objects_hold_no_secret_either() {
        let annotation = |name: &str| json!({name: "{\"data\":\"canary\"}", "a": "b"});
        let secret = of(
            "v1/Secret",
            json!({
                "type": "Opaque", "data": {"a": "Y2FuYXJ5"}, "stringData": {"b": "canary"},
                "stringdata": {"misspelt": "canary"},
                "metadata": {"name": "x", "uid": "1", "annotations": annotation("kapp.k14s.io/original")},
            }),
        );
        let config = of(
            "v1/ConfigMap",
            json!({"data": {"a": "b"}, "metadata": {"name": "x",
                "annotations": annotation("kubectl.kubernetes.io/last-applied-configuration")}}),
        );
        let differ = SchemaDiffer::builtin();
        for object in [&secret, &config] {
            let created = differ.created(object).unwrap();
            let deleted = differ.deleted(object).unwrap();
            for (found, sign) in [(created, '+'), (deleted, '-')] {
                let text = format!("{found:?}{}{}", lines(&found), json!(found));
                assert!(!text.contains("canary") && !text.contains("Y2Fu"), "{text}");
                assert!(
                    lines(&found)
                        .lines()
                        .all(|line| line.trim().starts_with(sign))
                );
            }
        }
        assert_eq!(
            lines(&differ.created(&secret).unwrap()),
            "+ .data.a = (secret)\n  \
             + .metadata.annotations.a = \"b\"\n  \
             + .metadata.annotations.kapp.k14s.io/original = (secret)\n  \
             + .stringData.b = (secret)\n  \
             + .stringdata = (secret)\n  \
             + .type = \"Opaque\""
        );
        assert_eq!(
            lines(&differ.deleted(&config).unwrap()).lines().next(),
            Some("- .data (was {\"a\":\"b\"})")
        );
    }

    #[test]
    fn secrets_are_in_no_answer() {
        let secret = "hunter2-plain";
        let encoded = "aHVudGVyMi1wbGFpbg==";
        let annotation = json!({"kubectl.kubernetes.io/last-applied-configuration": format!("{{\"data\":\"{encoded}\"}}")});
        let texts = [
            json!({"stringData": {"p": secret}}),
            json!({"data": {"p": encoded}}),
            json!({"metadata": {"name": "x", "annotations": annotation}}),
            json!({"metadata": {"name": "x"}}),
            json!({"data": {"p": "AAAA"}, "metadata": {"name": "x", "annotations": {"a": "b"}}}),
            json!({"data": encoded}),
            json!({"data": null, "stringData": {"p": 5}}),
        ];
        for desired in &texts {
            for live in &texts {
                let (desired, live) = (
                    of("v1/Secret", desired.clone()),
                    of("v1/Secret", live.clone()),
                );
                let live = owned(
                    live,
                    json!({"f:data": {"f:p": {}}, "f:metadata": {"f:annotations": {"f:kubectl.kubernetes.io/last-applied-configuration": {}}}}),
                    json!({}),
                );
                let found = match SchemaDiffer::builtin().compare(&desired, &live, &manager()) {
                    Ok(found) => format!("{found:?}{}{}", lines(&found), json!(found)),
                    Err(error) => format!("{error:?}{error}"),
                };
                assert!(
                    !found.contains(secret) && !found.contains(encoded),
                    "{found}"
                );
            }
        }
    }
}

mod laws {
    use super::*;
    use proptest::prelude::*;

    fn corpus() -> Vec<Value> {
        let mut objects = Vec::new();
        for folder in ["server-side-apply", "random-ssa"] {
            let mut files: Vec<_> = fs::read_dir(format!("tests/data/{folder}"))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            files.sort();
            for file in files {
                let text = fs::read_to_string(file)
                    .unwrap()
                    .replace("<<", "(")
                    .replace(">>", ")");
                let scenario: Value = serde_json::from_str(&text).unwrap();
                for step in scenario["steps"].as_array().unwrap() {
                    let mut body = step["response"]["body"].clone();
                    if body["metadata"]["uid"].is_string() {
                        plain(&mut body);
                        objects.push(body);
                    }
                }
            }
        }
        objects
    }

    fn reversed(value: &Value) -> Value {
        match value {
            Value::Object(members) => members
                .iter()
                .rev()
                .map(|(name, member)| (name.clone(), reversed(member)))
                .collect(),
            Value::Array(items) => items.iter().map(reversed).collect(),
            other => other.clone(),
        }
    }

    #[test]
    fn every_recorded_object_is_as_it_is() {
        let objects = corpus();
        assert!(objects.len() > 1000, "{}", objects.len());
        let manager = FieldManager::new("nobody").unwrap();
        let differ = SchemaDiffer::builtin();
        for object in &objects {
            let Ok(found) = differ.compare(object, object, &manager) else {
                // Two elements with one key: a plain update may leave them.
                continue;
            };
            assert!(found.changes.is_empty(), "{}", lines(&found));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn the_order_of_keys_is_irrelevant(a in 0_usize..1000, b in 0_usize..50) {
            thread_local!(static CORPUS: Vec<Value> = corpus());
            CORPUS.with(|objects| {
                let a_object = &objects[a];
                let b_object = &objects[(a + b) % objects.len()];
                let manager = FieldManager::new("alpha").unwrap();
                let differ = SchemaDiffer::builtin();
                let one = differ.compare(a_object, b_object, &manager);
                let other = differ.compare(&reversed(a_object), &reversed(b_object), &manager);
                match (one, other) {
                    (Ok(one), Ok(other)) => prop_assert_eq!(one, other),
                    (one, other) => prop_assert_eq!(one.is_err(), other.is_err()),
                }
                Ok(())
            })?;
        }
    }
}

#[test]
fn what_only_metadata_tells_of_is_not_said_to_be_absent() {
    use gitops_core::{DiffRequest, Differ as _, FieldManager, FieldValue, Manifest, Origin};
    let object = serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "b"}, "data": {"mode": "fast"},
    });
    let origin = Origin::new("a.yaml".parse().unwrap(), 1, 1);
    let desired = Manifest::new(object, origin).unwrap();
    let entry = |manager: &str, operation: &str, fields: serde_json::Value| {
        serde_json::json!({
            "manager": manager, "operation": operation, "apiVersion": "v1",
            "fieldsType": "FieldsV1", "fieldsV1": fields,
        })
    };
    let live = serde_json::json!({"metadata": {"name": "a", "namespace": "b", "managedFields": [
        entry("ours", "Apply", serde_json::json!({"f:metadata": {}})),
        entry("rival", "Update", serde_json::json!({"f:data": {".": {}, "f:mode": {}}})),
    ]}});
    let ours = FieldManager::new("ours").unwrap();
    let lost = gitops_diff::SchemaDiffer::builtin().lost(&DiffRequest::new(&desired, &live, &ours));
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert_eq!(lost[0].before, FieldValue::Unread);
    assert_eq!(lost[0].owner.as_ref().unwrap().manager, "rival");
}
