//! Real repositories: what others deploy with `kubectl apply` is deployed from Git.
//!
//! The manifests are upstream's, unchanged, from `../shared/corpus/manifests`; where that folder is
//! absent the tests say so and pass.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gitops_testkit::FakeRepo;
use serde_json::{Value, json};

use crate::cluster::{self, name_of};
use crate::command::{Finished, Started, finish, gitopsctl};

/// One repository-shaped tree.
struct Tree {
    /// What of the corpus is committed: files, or folders with what lies directly in them.
    paths: &'static [&'static str],
    /// How many objects it means.
    objects: usize,
    /// What is then withdrawn, and what has to go: a file, or the object of a bundle that is
    /// cut out of it, as `Kind name`.
    withdrawn: Withdrawn,
    /// What somebody then edits.
    edited: Edited,
}

enum Withdrawn {
    /// This file, which holds so many objects.
    File(&'static str, usize),
    /// This document of a bundle, by kind and name.
    Document(&'static str, &'static str, &'static str),
}

/// An object, and a merge patch that changes what upstream set.
struct Edited {
    api_version: &'static str,
    kind: &'static str,
    name: &'static str,
    patch: Value,
}

fn edited(
    api_version: &'static str,
    kind: &'static str,
    name: &'static str,
    patch: Value,
) -> Edited {
    Edited {
        api_version,
        kind,
        name,
        patch,
    }
}

fn corpus() -> Option<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/manifests");
    if corpus.is_dir() {
        return Some(corpus);
    }
    #[expect(clippy::print_stderr, reason = "whoever runs the tests wants to know")]
    {
        eprintln!("skipped: there is no {}", corpus.display());
    }
    None
}

/// The files of the corpus below these paths, by the names they get in the repository.
fn files(corpus: &Path, paths: &[&str]) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for path in paths {
        let whole = corpus.join(path);
        let listed = match whole.is_dir() {
            true => std::fs::read_dir(&whole)
                .unwrap()
                .map(|e| e.unwrap().path())
                .collect(),
            false => vec![whole],
        };
        for file in listed.into_iter().filter(|file| file.is_file()) {
            let name = file
                .strip_prefix(corpus)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            files.insert(name, std::fs::read_to_string(&file).unwrap());
        }
    }
    assert!(!files.is_empty(), "{paths:?}");
    files
}

/// A bundle without one of its documents.
fn without(bundle: &str, kind: &str, name: &str) -> String {
    let is_it = |document: &&str| {
        document.lines().any(|line| line == format!("kind: {kind}"))
            && document
                .lines()
                .any(|line| line == format!("  name: {name}"))
    };
    let documents: Vec<_> = bundle.split("\n---\n").collect();
    let rest: Vec<_> = documents.iter().filter(|d| !is_it(d)).copied().collect();
    assert_eq!(rest.len() + 1, documents.len(), "{kind} {name}");
    rest.join("\n---\n")
}

/// A repository, and the fake cluster of `--fake`.
struct Desk {
    home: tempfile::TempDir,
    repo: FakeRepo,
}

impl Desk {
    fn new(files: &BTreeMap<String, String>) -> Self {
        let repo = FakeRepo::new().unwrap();
        let all = files
            .iter()
            .map(|(name, text)| (name.clone(), text.clone()));
        repo.commit("as upstream has it").files(all).save().unwrap();
        Self {
            home: tempfile::tempdir().unwrap(),
            repo,
        }
    }

    fn state(&self) -> PathBuf {
        self.home.path().join("state.json")
    }

    fn apply(&self, args: &[&str]) -> Finished {
        let mut command = gitopsctl(self.home.path());
        command.args([
            "apply",
            "--name",
            "corpus",
            "--fake=state.json",
            "--output",
            "json",
            "--repo",
        ]);
        finish(command.arg(self.repo.path()).args(args))
    }

    async fn everything(&self) -> BTreeMap<String, Value> {
        cluster::everything(&cluster::open(&self.state()).client()).await
    }
}

/// The objects of a report that fared so.
fn fared(report: &Value, outcome: &str) -> BTreeSet<String> {
    let objects = report["objects"].as_array().unwrap().iter();
    objects
        .filter(|object| object["outcome"] == outcome)
        .map(|object| id(&object["object"]))
        .collect()
}

fn id(object: &Value) -> String {
    let text = |member: &str| object[member].as_str();
    name_of(
        text("group").unwrap_or_default(),
        text("kind").unwrap(),
        text("namespace"),
        text("name").unwrap(),
    )
}

fn is_inventory(id: &str) -> bool {
    id.starts_with("ConfigMap default/gitops-inventory-corpus")
}

/// What differs between two looks at a cluster, the inventory aside.
fn changed(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> BTreeSet<String> {
    let all: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    all.into_iter()
        .filter(|id| !is_inventory(id) && before.get(*id) != after.get(*id))
        // What controllers make of a Deployment comes and goes with it.
        .filter(|id| {
            let object = before.get(*id).or(after.get(*id));
            object.is_some_and(|object| object["metadata"]["ownerReferences"].is_null())
        })
        .cloned()
        .collect()
}

/// Applies all of it, and asserts that all of it is there and that a second pass writes nothing.
async fn applied(desk: &Desk, objects: usize) -> BTreeMap<String, Value> {
    let report = desk.apply(&[]).code(0).json();
    let made = fared(&report, "created");
    assert_eq!(made.len(), objects, "{made:#?}");
    let there = desk.everything().await;
    for id in &made {
        let object = there.get(id).unwrap_or_else(|| panic!("{id} is not there"));
        let label = &object["metadata"]["labels"]["gitops-sdk.dev/reconciler"];
        assert_eq!(label, "corpus", "{id}");
    }
    let second = desk.apply(&[]).code(0);
    second.wrote_nothing();
    let second = second.json();
    let quiet = second["unchanged"].as_u64().unwrap() as usize + fared(&second, "unchanged").len();
    assert_eq!(quiet, objects, "{second:#}");
    assert_eq!(desk.everything().await, there);
    there
}

/// The whole story of one tree.
async fn deployed(tree: Tree) {
    let Some(corpus) = corpus() else { return };
    let mut files = files(&corpus, tree.paths);
    let desk = Desk::new(&files);
    let first = applied(&desk, tree.objects).await;

    // An edit by somebody else is healed, and nothing else is touched.
    let Edited {
        api_version,
        kind,
        name,
        patch,
    } = &tree.edited;
    let cluster = cluster::open(&desk.state());
    cluster::edit(&cluster.client(), api_version, kind, name, patch).await;
    cluster::save(&cluster, &desk.state());
    let edited = desk.everything().await;
    let touched = changed(&first, &edited);
    assert_eq!(touched.len(), 1, "{touched:?}");
    let healing = desk.apply(&[]).code(0);
    assert_eq!(healing.requests("patch"), 1);
    assert_eq!(fared(&healing.json(), "updated"), touched);
    let healed = desk.everything().await;
    assert_eq!(changed(&first, &healed), touched);
    for id in &touched {
        assert_eq!(
            without_traces(&healed[id]),
            without_traces(&first[id]),
            "{id}"
        );
    }
    desk.apply(&[]).code(0).wrote_nothing();

    // What is withdrawn is pruned, and nothing else is touched.
    let (file, count) = match tree.withdrawn {
        Withdrawn::File(file, count) => {
            assert!(files.remove(file).is_some(), "{file}");
            desk.repo.commit("withdraw").remove(file).save().unwrap();
            (file, count)
        }
        Withdrawn::Document(file, kind, name) => {
            let rest = without(&files[file], kind, name);
            desk.repo
                .commit("withdraw")
                .file(file, rest)
                .save()
                .unwrap();
            (file, 1)
        }
    };
    let pruning = desk
        .apply(&[
            "--prune-kind",
            "CustomResourceDefinition.apiextensions.k8s.io",
        ])
        .code(0);
    assert_eq!(pruning.requests("delete"), count, "{file}");
    let report = pruning.json();
    // The server answers the deletion of a definition before it is gone.
    let going = fared(&report, "terminating");
    let mut pruned = fared(&report, "pruned");
    pruned.extend(going.iter().cloned());
    assert_eq!(pruned.len(), count, "{report:#}");
    let last = desk.everything().await;
    assert_eq!(changed(&healed, &last), pruned);
    assert!(pruned.iter().all(|id| !last.contains_key(id)), "{pruned:?}");
    if !going.is_empty() {
        let forgetting = desk.apply(&[]).code(0).json();
        assert_eq!(fared(&forgetting, "forgotten"), going);
    }
    desk.apply(&[]).code(0).wrote_nothing();
}

/// An object without what any write changes.
fn without_traces(object: &Value) -> Value {
    let mut object = object.clone();
    let metadata = object["metadata"].as_object_mut().unwrap();
    for member in ["managedFields", "resourceVersion", "generation"] {
        metadata.remove(member);
    }
    if let Some(annotations) = metadata.get_mut("annotations") {
        annotations["deployment.kubernetes.io/revision"] = Value::Null;
    }
    object["status"] = Value::Null;
    object
}

// ---- Microservices demo --------------------------------------------------------------------

/// The kustomization beside the manifests is no manifest, and is passed over.
#[tokio::test]
async fn microservices_demo() {
    deployed(Tree {
        paths: &["microservices-demo/kubernetes-manifests"],
        objects: 35,
        withdrawn: Withdrawn::File("microservices-demo/kubernetes-manifests/adservice.yaml", 3),
        edited: edited(
            "apps/v1",
            "Deployment",
            "cartservice",
            json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 77}}}}),
        ),
    })
    .await;
}

#[tokio::test]
async fn microservices_demo_as_released() {
    deployed(Tree {
        paths: &["microservices-demo/release/kubernetes-manifests.yaml"],
        objects: 35,
        withdrawn: Withdrawn::Document(
            "microservices-demo/release/kubernetes-manifests.yaml",
            "Deployment",
            "loadgenerator",
        ),
        edited: edited(
            "v1",
            "Service",
            "frontend",
            json!({"spec": {"selector": {"app": "elsewhere"}}}),
        ),
    })
    .await;
}

#[tokio::test]
async fn microservices_demo_network_policies() {
    deployed(Tree {
        paths: &["microservices-demo/kustomize/components/network-policies"],
        objects: 13,
        withdrawn: Withdrawn::File(
            "microservices-demo/kustomize/components/network-policies/network-policy-redis.yaml",
            1,
        ),
        edited: edited(
            "networking.k8s.io/v1",
            "NetworkPolicy",
            "adservice",
            json!({"spec": {"policyTypes": ["Ingress"]}}),
        ),
    })
    .await;
}

// ---- Definitions and their objects ------------------------------------------------------------

#[tokio::test]
async fn source_controller() {
    deployed(Tree {
        paths: &[
            "source-controller/config/crd/bases",
            "source-controller/config/rbac",
            "source-controller/config/samples",
        ],
        objects: 30,
        withdrawn: Withdrawn::File("source-controller/config/samples/source_v1_bucket.yaml", 1),
        edited: edited(
            "source.toolkit.fluxcd.io/v1",
            "GitRepository",
            "gitrepository-sample",
            json!({"spec": {"interval": "77m"}}),
        ),
    })
    .await;
}

#[tokio::test]
async fn notification_controller() {
    deployed(Tree {
        paths: &[
            "notification-controller/config/crd/bases",
            "notification-controller/config/rbac",
            "notification-controller/config/samples",
        ],
        objects: 20,
        withdrawn: Withdrawn::File(
            "notification-controller/config/samples/notification_v1_receiver.yaml",
            2,
        ),
        edited: edited(
            "rbac.authorization.k8s.io/v1",
            "ClusterRole",
            "manager-role",
            json!({"rules": []}),
        ),
    })
    .await;
}

#[tokio::test]
async fn cert_manager_definitions() {
    deployed(Tree {
        paths: &[
            "cert-manager/deploy/crds",
            "cert-manager/deploy/manifests/01-namespace.yaml",
        ],
        objects: 7,
        withdrawn: Withdrawn::File(
            "cert-manager/deploy/crds/acme.cert-manager.io_orders.yaml",
            1,
        ),
        edited: edited(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            "issuers.cert-manager.io",
            json!({"spec": {"names": {"categories": ["theirs"]}}}),
        ),
    })
    .await;
}

// ---- Argo CD ------------------------------------------------------------------------------------

#[tokio::test]
async fn argo_cd() {
    deployed(Tree {
        paths: &["argo-cd/manifests/install.yaml"],
        objects: 59,
        withdrawn: Withdrawn::Document(
            "argo-cd/manifests/install.yaml",
            "NetworkPolicy",
            "argocd-dex-server-network-policy",
        ),
        edited: edited(
            "apps/v1",
            "StatefulSet",
            "argocd-application-controller",
            json!({"spec": {"replicas": 5}}),
        ),
    })
    .await;
}

/// Mostly the same objects again, so their story is not told twice.
#[tokio::test]
async fn argo_cd_highly_available() {
    let Some(corpus) = corpus() else { return };
    let desk = Desk::new(&files(&corpus, &["argo-cd/manifests/ha/install.yaml"]));
    applied(&desk, 70).await;
}

#[tokio::test]
async fn argo_cd_in_one_namespace() {
    deployed(Tree {
        paths: &[
            "argo-cd/manifests/namespace-install.yaml",
            "argo-cd/manifests/cluster-rbac/server",
        ],
        objects: 52,
        withdrawn: Withdrawn::File(
            "argo-cd/manifests/cluster-rbac/server/argocd-server-clusterrolebinding.yaml",
            1,
        ),
        edited: edited(
            "rbac.authorization.k8s.io/v1",
            "Role",
            "argocd-server",
            json!({"rules": []}),
        ),
    })
    .await;
}

// ---- What is no valid manifest as it stands ---------------------------------------------------------

/// The labels and the selector of the deployment are added by the overlays: without them
/// apps/v1 refuses it (`spec.selector: Required value`). All else is applied.
#[tokio::test]
async fn metrics_server_needs_its_overlay() {
    let Some(corpus) = corpus() else { return };
    let desk = Desk::new(&files(&corpus, &["metrics-server/manifests/base"]));
    let report = desk.apply(&[]).code(1).json();
    assert_eq!(fared(&report, "created").len(), 8, "{report:#}");
    let refused: BTreeSet<_> = ["Deployment.apps kube-system/metrics-server".to_owned()].into();
    assert_eq!(fared(&report, "failed"), refused);
    assert!(
        report.to_string().contains("spec.selector: Required value"),
        "{report:#}"
    );
    let again = desk.apply(&[]).code(1);
    assert_eq!(again.requests("patch"), 1, "the refused one alone is tried");
}

/// The objects of Istio and of the Gateway API are of kinds that nobody defines here.
#[tokio::test]
async fn a_release_with_objects_of_unknown_kinds() {
    let Some(corpus) = corpus() else { return };
    let desk = Desk::new(&files(&corpus, &["microservices-demo/release"]));
    let report = desk.apply(&[]).code(1).json();
    assert_eq!(fared(&report, "created").len(), 35);
    let problems = report["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 5, "{problems:#?}");
    for problem in problems {
        let message = problem["message"].as_str().unwrap();
        assert!(
            message.starts_with("microservices-demo/release/istio-manifests.yaml:"),
            "{message}"
        );
        assert!(message.contains("does not know kind"), "{message}");
    }
    desk.apply(&[]).code(1).wrote_nothing();
}

/// The namespace stands in two files of cert-manager, which is told of with both places.
#[tokio::test]
async fn an_object_that_upstream_has_twice() {
    let Some(corpus) = corpus() else { return };
    let desk = Desk::new(&files(
        &corpus,
        &["cert-manager/deploy/crds", "cert-manager/deploy/manifests"],
    ));
    let report = desk.apply(&[]).code(1).json();
    assert_eq!(fared(&report, "created").len(), 7, "{report:#}");
    let message = report["problems"][0]["message"].as_str().unwrap();
    for place in [
        "manifests/namespace.yaml:1",
        "manifests/01-namespace.yaml:2",
    ] {
        assert!(message.contains(place), "{message}");
    }
}

// ---- kubectl ----------------------------------------------------------------------------------------

/// A real kubectl: `$TEST_ASSET_KUBECTL`, or one on the path.
fn kubectl() -> Option<PathBuf> {
    let given = std::env::var_os("TEST_ASSET_KUBECTL").map(PathBuf::from);
    let found = given.or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|folder| folder.join("kubectl"))
            .find(|file| file.is_file())
    });
    #[expect(clippy::print_stderr, reason = "whoever runs the tests wants to know")]
    if found.is_none() {
        eprintln!("skipped: there is no kubectl");
    }
    found
}

#[test]
fn kubectl_shows_what_was_deployed() {
    let (Some(corpus), Some(kubectl)) = (corpus(), kubectl()) else {
        return;
    };
    let desk = Desk::new(&files(
        &corpus,
        &["microservices-demo/kubernetes-manifests"],
    ));
    desk.apply(&[]).code(0);
    let mut serving = Started::new(gitopsctl(desk.home.path()).args([
        "fake",
        "state.json",
        "--kubeconfig",
        "kubeconfig",
    ]));
    serving.line(&["serving state.json at http://127.0.0.1:"]);
    let shown = Command::new(kubectl)
        .current_dir(desk.home.path())
        // Its cache goes there, too.
        .env("HOME", desk.home.path())
        .args(["--kubeconfig", "kubeconfig", "get", "all", "-A"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.status.success(),
        "{}",
        String::from_utf8_lossy(&shown.stderr)
    );
    for name in [
        "adservice",
        "cartservice",
        "checkoutservice",
        "frontend",
        "redis-cart",
    ] {
        for kind in ["service", "deployment.apps"] {
            let line = format!("default     {kind}/{name} ");
            assert!(
                text.lines().any(|l| l.starts_with(&line)),
                "no {line:?} in\n{text}"
            );
        }
    }
    serving.stop("TERM").code(0);
}
