//! Ignore rules: what is compared, what is sent, and what comes of it on the server.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a panic names its line"
)]

use std::borrow::Cow;

use gitops_core::{DiffRequest, Differ, Difference, FieldManager, Manifest, Origin};
use gitops_diff::SchemaDiffer;
use gitops_diff::ignore::{IgnoreRule, IgnoreRules};
use gitops_diff::managed::{Apply, Target, Track, apply, lost, track};
use gitops_diff::schema::{Schema, Schemas};
use serde_json::{Value, json};

const US: &str = "ours";

fn manager() -> FieldManager {
    FieldManager::new(US).unwrap()
}

fn rules(value: Value) -> IgnoreRules {
    serde_json::from_value(value).unwrap()
}

fn manifest(value: &Value) -> Manifest {
    let origin = Origin::new("a.yaml".parse().unwrap(), 1, 1);
    Manifest::new(value.clone(), origin).unwrap()
}

fn now() -> jiff::Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

/// A server that holds one object of a built-in kind.
struct Server {
    live: Option<Value>,
}

impl Server {
    fn new() -> Self {
        Self { live: None }
    }

    fn schemas() -> Schemas {
        Schemas::builtin()
    }

    fn apply(&mut self, applied: &Value, manager: &str, force: bool) -> Result<(), String> {
        let schemas = Self::schemas();
        let api_version = applied["apiVersion"].as_str().unwrap();
        let kind = applied["kind"].as_str().unwrap();
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let versions = schemas.kind(group, kind).unwrap();
        let target = Target::new(&versions, api_version, kind);
        let mut request = Apply::new(applied, manager, now());
        if let Some(live) = &self.live {
            request = request.live(live);
        }
        if force {
            request = request.force();
        }
        self.live = Some(
            apply(&target, &request)
                .map_err(|it| it.to_string())?
                .object,
        );
        Ok(())
    }

    /// Somebody else changes the object.
    fn edit(&mut self, manager: &str, change: impl FnOnce(&mut Value)) {
        let schemas = Self::schemas();
        let before = self.live.take().unwrap();
        let mut after = before.clone();
        change(&mut after);
        let api_version = before["apiVersion"].as_str().unwrap();
        let kind = before["kind"].as_str().unwrap();
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let versions = schemas.kind(group, kind).unwrap();
        let target = Target::new(&versions, api_version, kind);
        let request = Track::new(after, manager, now()).live(&before);
        self.live = Some(track(&target, request).unwrap());
    }

    fn live(&self) -> &Value {
        self.live.as_ref().unwrap()
    }

    /// What a reconciler does: makes the object, or compares and sends the payload.
    fn reconcile(&mut self, differ: &SchemaDiffer, desired: &Value) -> Difference {
        let Some(live) = self.live.clone() else {
            self.apply(desired, US, false).unwrap();
            return Difference::default();
        };
        let (manifest, manager) = (manifest(desired), manager());
        let request = DiffRequest::new(&manifest, &live, &manager);
        let difference = differ.diff(&request).unwrap();
        if !difference.is_empty() {
            let payload = differ.payload(&request).unwrap().value();
            self.apply(&payload, US, true).unwrap();
        }
        difference
    }
}

fn changed(difference: &Difference) -> Vec<String> {
    difference.changes.iter().map(ToString::to_string).collect()
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [
                    {"name": "app", "image": "app:1", "command": ["run", "--level=1"]},
                    {"name": "side", "image": "side:1"},
                ]},
            },
        },
    })
}

#[test]
fn every_form_of_rule_ignores_the_same_field() {
    let mut live = deployment();
    live["spec"]["template"]["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .reverse();
    // Now the first one.
    live["spec"]["template"]["spec"]["containers"][1]["image"] = json!("app:2");
    let image = "spec.template.spec.containers";
    for rule in [
        json!({"paths": [format!(r#"{image}[name="app"].image"#)]}),
        json!({"paths": [format!("{image}[*].image")]}),
        json!({"paths": ["spec.template.*.containers"]}),
        json!({"jsonPointers": ["/spec/template/spec/containers/1/image"]}),
        json!({"jsonPointers": ["/spec/template"]}),
        json!({"jq": [format!(r#".{image}[] | select(.name == "app") | .image"#)]}),
        json!({"jq": [".. | .image? // empty"]}),
        json!({"group": "apps", "kind": "Deploy*", "name": "w?b", "namespace": "{shop,x}",
               "version": "v1", "paths": ["spec"]}),
        json!({"kind": "/Deployment|StatefulSet/", "labelSelector": "app=web", "paths": ["spec"]}),
    ] {
        let differ = SchemaDiffer::builtin().with_ignore(rules(json!([rule])));
        let difference = differ.compare(&deployment(), &live, &manager()).unwrap();
        assert_eq!(changed(&difference), Vec::<String>::new(), "{rule}");
    }
    for rule in [
        json!({"paths": [format!(r#"{image}[name="side"].image"#)]}),
        json!({"paths": ["spec.template.*.image"]}),
        json!({"jsonPointers": ["/spec/template/spec/containers/7/image"]}),
        json!({"jq": [".spec.replicas"]}),
        json!({"kind": "StatefulSet", "paths": ["spec"]}),
        json!({"group": "", "paths": ["spec"]}),
        json!({"name": "w", "paths": ["spec"]}),
        json!({"labelSelector": "app!=web", "paths": ["spec"]}),
        json!({"managers": ["*"]}),
    ] {
        let differ = SchemaDiffer::builtin().with_ignore(rules(json!([rule])));
        let difference = differ.compare(&deployment(), &live, &manager()).unwrap();
        assert_eq!(difference.changes.len(), 1, "{rule}");
    }
}

#[test]
fn a_jq_rule_beyond_its_bounds_is_an_error_that_names_it() {
    for (expression, problem) in [
        ("def f: f; f", "nested too deep"),
        ("[range(1e12)]", "takes too much"),
        (".spec.replicas + 1", "no field of the object"),
        (".", "the object itself"),
    ] {
        let differ = SchemaDiffer::builtin().with_ignore(rules(json!([{"jq": [expression]}])));
        let error = differ
            .compare(&deployment(), &deployment(), &manager())
            .unwrap_err()
            .to_string();
        assert!(error.contains(problem) && error.contains("jq"), "{error}");
        assert!(error.contains("Deployment.apps shop/web"), "{error}");
    }
}

#[test]
fn the_autoscaler_keeps_what_it_set() {
    let differ = SchemaDiffer::builtin().with_ignore(rules(
        json!([{"kind": "Deployment", "paths": [".spec.replicas"]}]),
    ));
    let mut server = Server::new();
    let mut desired = deployment();
    server.reconcile(&differ, &desired);
    assert_eq!(
        server.live()["spec"]["replicas"],
        3,
        "made with all that Git says"
    );

    server.edit("autoscaler", |live| live["spec"]["replicas"] = json!(7));
    let (wanted, us) = (manifest(&desired), manager());
    let seen = server.live().clone();
    let request = DiffRequest::new(&wanted, &seen, &us);
    assert!(differ.diff(&request).unwrap().is_empty());
    assert!(differ.lost(&request).is_empty());
    assert!(differ.is_settled(&request), "nothing else was lost");
    // From the metadata alone, too.
    let metadata = json!({"metadata": seen["metadata"]});
    assert!(differ.is_settled(&DiffRequest::new(&wanted, &metadata, &us)));

    // An apply of another field leaves it.
    desired["spec"]["template"]["spec"]["containers"][0]["image"] = json!("app:2");
    let difference = server.reconcile(&differ, &desired);
    assert_eq!(difference.changes.len(), 1, "{:?}", changed(&difference));
    assert_eq!(server.live()["spec"]["replicas"], 7);
    assert!(server.reconcile(&differ, &desired).is_empty());

    // What else is lost counts.
    server.edit("kubectl-edit", |live| {
        live["spec"]["template"]["spec"]["containers"][0]["image"] = json!("app:0");
    });
    let seen = server.live().clone();
    let wanted = manifest(&desired);
    let request = DiffRequest::new(&wanted, &seen, &us);
    assert!(!differ.is_settled(&request));
    assert_eq!(differ.lost(&request).len(), 1);
}

#[test]
fn what_is_ours_stays_ours_and_as_it_is() {
    let differ = SchemaDiffer::builtin().with_ignore(rules(json!([{"paths": [".spec.replicas"]}])));
    let mut server = Server::new();
    let mut desired = deployment();
    server.reconcile(&differ, &desired);
    // Git says something else now: it is ignored, and what runs is sent.
    desired["spec"]["replicas"] = json!(9);
    desired["metadata"]["labels"]["tier"] = json!("front");
    assert_eq!(server.reconcile(&differ, &desired).changes.len(), 1);
    assert_eq!(server.live()["spec"]["replicas"], 3);
    // Git says nothing of it any more: it neither goes nor gets its default.
    desired["spec"].as_object_mut().unwrap().remove("replicas");
    desired["metadata"]["labels"]["tier"] = json!("back");
    assert_eq!(server.reconcile(&differ, &desired).changes.len(), 1);
    assert_eq!(server.live()["spec"]["replicas"], 3);
    let ours = &server.live()["metadata"]["managedFields"][0];
    assert_eq!(ours["fieldsV1"]["f:spec"]["f:replicas"], json!({}));
    assert!(server.reconcile(&differ, &desired).is_empty());
}

#[test]
fn nothing_is_lost_when_live_has_it_not() {
    let differ = SchemaDiffer::builtin().with_ignore(rules(json!([
        {"paths": [".metadata.annotations.checked", ".spec.strategy.type",
                   r#".spec.template.spec.containers[*].image"#,
                   ".spec.template.spec.containers[*].command[1]"]},
    ])));
    let mut server = Server::new();
    let mut desired = deployment();
    server.reconcile(&differ, &desired);
    desired["metadata"]["annotations"] = json!({"checked": "yes"});
    desired["spec"]["strategy"] = json!({"type": "Recreate"});
    assert!(server.reconcile(&differ, &desired).is_empty());

    // A new element comes whole, one that Git has no more goes whole.
    let containers = &mut desired["spec"]["template"]["spec"]["containers"];
    containers[1] = json!({"name": "new", "image": "new:1"});
    let difference = server.reconcile(&differ, &desired);
    assert_eq!(difference.changes.len(), 2, "{:?}", changed(&difference));
    let live = &server.live()["spec"]["template"]["spec"]["containers"];
    let named: Vec<_> = live
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["name"].as_str().unwrap(), it["image"].as_str().unwrap()))
        .collect();
    assert_eq!(named, [("app", "app:1"), ("new", "new:1")]);
    assert!(server.live()["metadata"].get("annotations").is_none());
    assert!(server.live()["spec"].get("strategy").is_none());
}

#[test]
fn of_a_value_that_is_owned_as_a_whole_the_ignored_part_is_live_s() {
    let differ = SchemaDiffer::builtin().with_ignore(rules(json!([
        {"paths": [r#".spec.template.spec.containers[name="app"].command[1]"#]},
    ])));
    let mut server = Server::new();
    let mut desired = deployment();
    server.reconcile(&differ, &desired);
    let set = |live: &mut Value, command: Value| {
        live["spec"]["template"]["spec"]["containers"][0]["command"] = command;
    };
    server.edit("tuner", |live| set(live, json!(["run", "--level=5"])));
    // The list is the tuner's now. It is taken over, but as it is.
    let difference = server.reconcile(&differ, &desired);
    assert_eq!(changed(&difference), Vec::<String>::new());
    assert_eq!(difference.unowned.len(), 1);
    assert!(server.reconcile(&differ, &desired).is_empty());

    set(&mut desired, json!(["run", "--level=1", "--more"]));
    let difference = server.reconcile(&differ, &desired);
    assert_eq!(
        changed(&difference),
        [concat!(
            r#"~ .spec.template.spec.containers[name="app"].command: "#,
            r#"["run","--level=5"] -> ["run","--level=5","--more"]  [tuner (Update)]"#
        )]
    );
    assert_eq!(
        server.live()["spec"]["template"]["spec"]["containers"][0]["command"],
        json!(["run", "--level=5", "--more"])
    );
}

#[test]
fn a_manager_keeps_what_it_owns_and_no_more() {
    let differ = SchemaDiffer::builtin().with_ignore(rules(json!([{"managers": ["scale*"]}])));
    let mut server = Server::new();
    let mut desired = deployment();
    server.reconcile(&differ, &desired);
    server.edit("scaler", |live| live["spec"]["replicas"] = json!(7));
    server.edit("kubectl-edit", |live| {
        live["metadata"]["labels"]["app"] = json!("x")
    });
    let difference = server.reconcile(&differ, &desired);
    assert_eq!(
        changed(&difference),
        [r#"~ .metadata.labels.app: "x" -> "web"  [kubectl-edit (Update)]"#]
    );
    assert_eq!(server.live()["spec"]["replicas"], 7);
    desired["spec"]["replicas"] = json!(2);
    assert!(server.reconcile(&differ, &desired).is_empty());
    let (wanted, us, seen) = (manifest(&desired), manager(), server.live().clone());
    assert!(differ.is_settled(&DiffRequest::new(&wanted, &seen, &us)));
}

#[test]
fn secrets_are_left_alone_in_both_of_their_names() {
    let secret = |text: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "a"},
               "stringData": {"password": text, "user": "u"}})
    };
    for rule in [
        json!({"jsonPointers": ["/data/password"]}),
        json!({"paths": [".stringData.password"]}),
    ] {
        let differ = SchemaDiffer::builtin().with_ignore(rules(json!([rule])));
        let live = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
                          "data": {"password": "b3RoZXI=", "user": "eA=="}});
        let difference = differ.compare(&secret("mine"), &live, &manager()).unwrap();
        assert_eq!(changed(&difference), ["~ .stringData.user: secret changed"]);
        let (wanted, us) = (manifest(&secret("mine")), manager());
        let request = DiffRequest::new(&wanted, &live, &us);
        let payload = differ.payload(&request).unwrap();
        assert_eq!(payload.value()["stringData"], json!({"user": "u"}));
        assert!(!format!("{payload:?}").contains("b3RoZXI"));
    }
}

#[test]
fn the_marks_and_the_name_can_t_be_ignored() {
    let differ = SchemaDiffer::builtin().with_ignore(rules(json!([
        {"paths": ["metadata", "apiVersion", "kind"]},
    ])));
    let reconciler = gitops_core::ReconcilerName::new("prod").unwrap();
    let mut desired = deployment();
    desired["metadata"]["labels"]["own"] = json!("1");
    let marked = gitops_core::mark_owned(&manifest(&desired), &reconciler);
    let mut server = Server::new();
    server.reconcile(&differ, &marked.value());
    server.edit("kubectl-edit", |live| {
        live["metadata"]["labels"] = json!({"own": "2"});
    });
    let difference = server.reconcile(&differ, &marked.value());
    let paths: Vec<_> = difference
        .changes
        .iter()
        .map(|change| change.path.to_string())
        .collect();
    assert_eq!(
        paths,
        [format!(
            ".metadata.labels.{}",
            gitops_core::RECONCILER_LABEL
        )]
    );
    let labels = &server.live()["metadata"]["labels"];
    assert_eq!(labels["own"], "2");
    assert_eq!(labels[gitops_core::RECONCILER_LABEL], "prod");
}

#[test]
fn rules_survive_their_own_form() {
    let text = json!([
        {"group": "apps", "kind": "Deploy*", "name": "/web|shop/", "namespace": "x",
         "labelSelector": "app=web,!old", "paths": [".spec.replicas"],
         "jsonPointers": ["/a~1b/0"], "jq": [".a[] | select(.b)"], "managers": ["x-*"]},
        {"version": "v1", "annotationSelector": "a in (b)", "paths": [".a[name=\"b\"].c"]},
    ]);
    let read = rules(text.clone());
    assert_eq!(serde_json::to_value(&read).unwrap(), text);
    assert_eq!(rules(text), read);
    let argo = IgnoreRules::from_argo_cd(&json!([
        {"group": "*.io", "kind": "A", "name": "a*", "jsonPointers": ["/x"]}
    ]))
    .unwrap();
    let again = serde_json::to_value(&argo).unwrap();
    assert_eq!(
        again,
        json!([{"group": "*.io", "kind": "A", "name": "a\\*", "jsonPointers": ["/x"]}])
    );
    assert_eq!(
        serde_json::from_value::<IgnoreRules>(again).unwrap().len(),
        1
    );
}

#[test]
fn a_rule_that_can_t_be_read_is_named_with_its_place() {
    for (value, error) in [
        (json!([{}]), "rules[0].rule: a rule names fields by paths"),
        (
            json!([{"paths": ["a"]}, {"paths": ["a", "b["]}]),
            "rules[1].paths[1]: at character 3",
        ),
        (
            json!([{"jsonPointers": ["a"]}]),
            "rules[0].jsonPointers[0]: \"a\": a JSON pointer begins",
        ),
        (
            json!([{"jsonPointers": [""]}]),
            "the empty pointer is the whole object",
        ),
        (
            json!([{"jq": [".a |"]}]),
            "rules[0].jq[0]: \".a |\" ends where term is expected",
        ),
        (
            json!([{"name": "[", "paths": ["a"]}]),
            "rules[0].name: \"[\": `[` needs",
        ),
        (
            json!([{"name": "/(/", "paths": ["a"]}]),
            "rules[0].name: \"(\" is not a regular",
        ),
        (
            json!([{"labelSelector": "a in b", "paths": ["a"]}]),
            "rules[0].labelSelector: `(` is missing",
        ),
        (json!([{"path": ["a"]}]), "unknown field `path`"),
        (
            json!({"ignoreDifferences": 1}),
            "ignoreDifferences: is no list",
        ),
        (
            json!({"ignoreDifferences": [{"group": "apps", "jsonPointers": ["/a"]}]}),
            "ignoreDifferences[0].kind: is missing",
        ),
        (
            json!({"kind": "Pod", "apiVersion": "v1"}),
            "expected a list of rules, an Argo CD",
        ),
        (json!(1), "expected a list of rules"),
    ] {
        let found = IgnoreRules::from_value(&value).unwrap_err().to_string();
        assert!(found.contains(error), "{found}");
    }
    assert!(IgnoreRule::any().named("[").is_err());
}

#[test]
fn argo_cd_and_flux_parse_as_they_are() {
    let application = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "shop"},
        "spec": {"ignoreDifferences": [
            {"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"]},
            {"kind": "ConfigMap", "name": "settings", "namespace": "shop",
             "jqPathExpressions": [".data[\"a.b\"]", ".data | .[keys[] | select(startswith(\"x-\"))]"]},
            {"group": "*", "kind": "*", "managedFieldsManagers": ["kube-controller-manager"]},
        ]},
    });
    let release = json!({
        "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": "shop"},
        "spec": {"driftDetection": {"mode": "enabled", "ignore": [
            {"paths": ["/spec/replicas", "/metadata/annotations/example.com~1a"],
             "target": {"kind": "Deployment|StatefulSet", "labelSelector": "app in (web)"}},
            {"paths": ["/data"], "target": {"group": "", "name": "settings.*"}},
        ]}},
    });
    let kustomization = json!({
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
        "metadata": {"name": "shop"},
        "spec": {"ignore": [{"paths": ["/spec/replicas"], "target": {"kind": "Deploy.*"}}]},
    });
    let config = |name: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap",
               "metadata": {"name": name, "namespace": "shop"},
               "data": {"a.b": "1", "x-1": "1", "y": "1"}})
    };
    let scaled = {
        let mut live = deployment();
        live["spec"]["replicas"] = json!(9);
        live
    };
    let touched = {
        let mut live = config("settings");
        live["data"] = json!({"a.b": "2", "x-1": "2", "y": "2"});
        live
    };
    for (rules, left_of_deployment, left_of_config) in [
        (&application, 0, 1),
        (&release, 0, 0),
        (&kustomization, 0, 3),
        (
            &json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease"}),
            1,
            3,
        ),
    ] {
        let rules = IgnoreRules::from_value(rules).unwrap();
        let differ = SchemaDiffer::builtin().with_ignore(rules);
        let left = |desired: &Value, live: &Value| {
            differ
                .compare(desired, live, &manager())
                .unwrap()
                .changes
                .len()
        };
        assert_eq!(left(&deployment(), &scaled), left_of_deployment);
        assert_eq!(left(&config("settings"), &touched), left_of_config);
    }
    // Without a group it is the core group, there.
    let rules =
        IgnoreRules::from_argo_cd(&json!([{"kind": "Deployment", "jsonPointers": ["/spec"]}]));
    let differ = SchemaDiffer::builtin().with_ignore(rules.unwrap());
    let difference = differ.compare(&deployment(), &scaled, &manager()).unwrap();
    assert_eq!(difference.changes.len(), 1);
}

#[test]
fn without_a_rule_for_it_the_manifest_itself_is_sent() {
    let differ = SchemaDiffer::builtin().with_ignore(rules(json!([
        {"kind": "StatefulSet", "paths": [".spec.replicas"]},
    ])));
    let (wanted, us, live) = (manifest(&deployment()), manager(), deployment());
    let request = DiffRequest::new(&wanted, &live, &us);
    assert!(matches!(
        differ.payload(&request).unwrap(),
        Cow::Borrowed(_)
    ));
    assert_eq!(differ.shaping(&wanted), None);
    // The digest is that of the rules for the object, and of no others.
    let with = |rule: Value| {
        let all = rules(json!([rule, {"kind": "Pod", "paths": ["spec"]}]));
        SchemaDiffer::builtin().with_ignore(all).shaping(&wanted)
    };
    let one = with(json!({"paths": [".spec.replicas"]}));
    assert!(one.is_some());
    assert_eq!(one, with(json!({"paths": ["spec.replicas"]})));
    assert_ne!(one, with(json!({"paths": [".spec.paused"]})));
}

#[test]
fn redaction_takes_the_same_paths() {
    let secret = rules(json!([
        {"kind": "Deployment",
         "paths": [r#"spec.template.spec.containers[name="app"].env[name="TOKEN"].value"#]},
        {"kind": "ConfigMap", "name": "login-*", "jsonPointers": ["/data/password"]},
    ]));
    let differ = SchemaDiffer::builtin().redact_fields(secret).unwrap();
    let with = |token: &str, container: &str| {
        let mut object = deployment();
        object["spec"]["template"]["spec"]["containers"] = json!([
            {"name": container, "image": "a", "env": [{"name": "TOKEN", "value": token}]}]);
        object
    };
    let all = |desired: &Value, live: &Value| {
        let difference = differ.compare(desired, live, &manager()).unwrap();
        changed(&difference).join("\n")
    };
    assert!(!all(&with("new-1", "app"), &with("old-1", "app")).contains("-1"));
    // A whole that holds it isn't shown either.
    assert!(!all(&with("new-1", "app"), &deployment()).contains("new-1"));
    assert!(all(&with("new-1", "side"), &with("old-1", "side")).contains("new-1"));
    let login = |name: &str, password: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
               "data": {"password": password}})
    };
    assert!(!all(&login("login-1", "hunter2"), &login("login-1", "x")).contains("hunter2"));
    assert!(all(&login("other", "hunter2"), &login("other", "x")).contains("hunter2"));
    assert!(
        SchemaDiffer::builtin()
            .redact_fields(rules(json!([{"managers": ["x"]}])))
            .is_err()
    );
}

#[test]
fn elements_with_the_same_keys_are_redacted_together() {
    let path = r#"spec.template.spec.containers[name="app"].workingDir"#;
    let differ = SchemaDiffer::builtin()
        .redact_fields(rules(json!([{"paths": [path]}])))
        .unwrap();
    let mut live = deployment();
    live["spec"]["template"]["spec"]["containers"] = json!([
        {"name": "app", "image": "a", "workingDir": "hunter2"}, {"name": "app", "image": "b"}]);
    let difference = differ.compare(&deployment(), &live, &manager()).unwrap();
    assert!(!changed(&difference).join("\n").contains("hunter2"));
}

#[test]
fn a_custom_kind_without_a_schema_is_compared_by_place() {
    let object = |hosts: Value| {
        json!({"apiVersion": "example.com/v1", "kind": "Site", "metadata": {"name": "x"},
               "spec": {"hosts": hosts}})
    };
    let desired = object(json!([{"name": "a", "port": 1}, {"name": "b", "port": 1}]));
    let live = object(json!([{"name": "a", "port": 1}, {"name": "b", "port": 9}]));
    for (path, left) in [
        ("spec.hosts[1].port", 0),
        (r#"spec.hosts[name="b"].port"#, 0),
        ("spec.hosts[*].port", 0),
        (r#"spec.hosts[name="a"].port"#, 1),
    ] {
        let rules = rules(json!([{"paths": [path]}]));
        let differ = SchemaDiffer::builtin().with_ignore(rules);
        let difference = differ.compare(&desired, &live, &manager()).unwrap();
        assert_eq!(difference.changes.len(), left, "{path}");
        let (wanted, us) = (manifest(&desired), manager());
        let request = DiffRequest::new(&wanted, &live, &us);
        let sent = differ.payload(&request).unwrap().value();
        assert_eq!(sent == live, left == 0, "{path}: {sent}");
    }
}

#[test]
fn lost_says_the_same_without_rules() {
    let mut server = Server::new();
    server.reconcile(&SchemaDiffer::builtin(), &deployment());
    server.edit("x", |live| live["spec"]["replicas"] = json!(1));
    let kind = Schema::builtin().kind("apps", "Deployment");
    let found = lost(&kind, &deployment(), &server.live()["metadata"], US).unwrap();
    let (wanted, us, live) = (manifest(&deployment()), manager(), server.live().clone());
    let differ = SchemaDiffer::builtin();
    let request = DiffRequest::new(&wanted, &live, &us);
    assert_eq!(differ.lost(&request).len(), found.len());
    assert!(!differ.is_settled(&request));
}
