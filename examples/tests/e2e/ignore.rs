//! Fields that are somebody else's business, from the rule to the cluster.

use gitops_core::{EventKind, Heal, Policy};
use gitops_diff::SchemaDiffer;
use gitops_diff::ignore::IgnoreRules;
use gitops_testkit::FakeRepo;
use gitops_testkit::cluster::{FakeCluster, Mark};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::cluster;
use crate::command::{Finished, finish, gitopsctl};
use crate::world::{Running, World};

fn deployment(image: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: app, image: '{image}'}}]}}
"
    )
}

const RULES: &str = "- {group: apps, kind: Deployment, paths: [.spec.replicas]}\n";

/// Sets the scale of the deployment, as an autoscaler does.
async fn scale(cluster: &FakeCluster, replicas: u32) {
    let api = cluster::api(&cluster.client(), "apps/v1", "Deployment").await;
    let params = PatchParams {
        field_manager: Some("horizontal-pod-autoscaler".into()),
        ..PatchParams::default()
    };
    let patch = json!({"spec": {"replicas": replicas}});
    api.patch_subresource("scale", "web", &params, &Patch::Merge(&patch))
        .await
        .unwrap();
}

async fn spec(cluster: &FakeCluster) -> Value {
    let api = cluster::api(&cluster.client(), "apps/v1", "Deployment").await;
    api.get("web").await.unwrap().data["spec"].clone()
}

/// A world with one deployment, of which the replicas are ignored.
async fn shop(policy: Policy) -> (World, Running) {
    let world = World::new();
    let commit = world.repo.commit("only the web");
    let commit = ["api", "old", "web"]
        .into_iter()
        .fold(commit, |commit, name| {
            commit.remove(format!("shop/{name}.yaml"))
        });
    commit
        .file("shop/deployment.yaml", deployment("app:1", 2))
        .save()
        .unwrap();
    let rules: IgnoreRules = serde_json::from_value(json!([
        {"group": "apps", "kind": "Deployment", "paths": [".spec.replicas"]}
    ]))
    .unwrap();
    let differ = SchemaDiffer::default().with_ignore(rules);
    let client = world.cluster.client();
    let mut running = world.start_with(client, world.source(), differ, policy);
    running.next_success(1).await;
    running.watching().await;
    assert_eq!(spec(&world.cluster).await["replicas"], 2);
    (world, running)
}

/// Waits for a pass that only notes something.
async fn noted(running: &mut Running) {
    let report = running.finished().await;
    assert!(report.is_success() && report.written() == 0, "{report}");
    let told = running.told();
    assert!(
        !told.contains(r#""drift""#) && !told.contains(r#""healed""#),
        "{told}"
    );
}

/// What was asked of the deployment since then: verbs and subresources.
fn of_the_deployment(world: &World, mark: Mark) -> Vec<String> {
    let requests = world.cluster.requests_since(mark);
    requests
        .iter()
        .filter(|it| it.resource == "deployments" && it.name.is_some())
        .map(|it| match &it.subresource {
            Some(subresource) => format!("{} {subresource}", it.verb),
            None => it.verb.clone(),
        })
        .collect()
}

#[tokio::test]
async fn what_an_autoscaler_sets_is_neither_healed_nor_looked_at_again_and_again() {
    let (world, mut running) = shop(Policy::default()).await;
    let mark = world.cluster.mark();
    scale(&world.cluster, 5).await;
    // That the field is not ours any more is noted once …
    noted(&mut running).await;
    assert_eq!(of_the_deployment(&world, mark), ["patch scale"]);

    // … and from then on costs nothing at all.
    let mark = world.cluster.mark();
    for replicas in [6, 7, 8] {
        scale(&world.cluster, replicas).await;
    }
    // Another field is drift as ever; healing it leaves the replicas.
    let patch = json!({"spec": {"paused": true, "template": {"spec": {"containers":
        [{"name": "app", "image": "app:0"}]}}}});
    cluster::edit(
        &world.cluster.client(),
        "apps/v1",
        "Deployment",
        "web",
        &patch,
    )
    .await;
    running.drift_healed("web").await;
    running.next_success(1).await;
    let live = spec(&world.cluster).await;
    assert_eq!(live["replicas"], 8);
    assert_eq!(live["template"]["spec"]["containers"][0]["image"], "app:1");
    let requests = of_the_deployment(&world, mark);
    let looks = requests.iter().filter(|it| it.starts_with("get"));
    // One to see what to heal, and one of this test.
    assert!(looks.count() <= 2, "{requests:?}");

    // So does a commit, even one that says something else of the replicas.
    world
        .repo
        .commit("a new image")
        .file("shop/deployment.yaml", deployment("app:2", 1))
        .save()
        .unwrap();
    running.look();
    running.next_success(1).await;
    let live = spec(&world.cluster).await;
    assert_eq!(live["replicas"], 8);
    assert_eq!(live["template"]["spec"]["containers"][0]["image"], "app:2");
    assert!(
        !running.told().contains("\"contested\""),
        "{}",
        running.told()
    );
    running.stop().await;
}

#[tokio::test]
async fn where_drift_is_only_told_of_what_is_ignored_is_not_told_of() {
    let (world, mut running) = shop(Policy::default().heal(Heal::Report)).await;
    let mark = world.cluster.mark();
    scale(&world.cluster, 5).await;
    noted(&mut running).await;
    assert_eq!(of_the_deployment(&world, mark), ["patch scale"]);
    let patch = json!({"metadata": {"labels": {"gitops-sdk.dev/reconciler": "x"}}});
    cluster::edit(
        &world.cluster.client(),
        "apps/v1",
        "Deployment",
        "web",
        &patch,
    )
    .await;
    let changes = running
        .next(|kind| match kind {
            EventKind::Drift { changes, .. } => Some(changes),
            _ => None,
        })
        .await;
    let paths: Vec<_> = changes
        .iter()
        .map(|change| change.path.to_string())
        .collect();
    assert!(!paths.contains(&".spec.replicas".to_owned()), "{paths:?}");
    running.stop().await;
}

/// A folder with a repository of one deployment, and the state of a fake cluster.
struct Desk {
    home: tempfile::TempDir,
    repo: FakeRepo,
}

impl Desk {
    fn new() -> Self {
        let desk = Self {
            home: tempfile::tempdir().unwrap(),
            repo: FakeRepo::new().unwrap(),
        };
        desk.commit("app:1", 2);
        desk.write("rules.yaml", RULES);
        desk
    }

    fn commit(&self, image: &str, replicas: u32) {
        let commit = self.repo.commit("a deployment");
        commit
            .file("shop/deployment.yaml", deployment(image, replicas))
            .save()
            .unwrap();
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.home.path().join(name), content).unwrap();
    }

    fn run(&self, verb: &str, args: &[&str]) -> Finished {
        let mut command = gitopsctl(self.home.path());
        command
            .args([
                verb,
                "--name",
                "shop",
                "--path",
                "shop",
                "--fake=state.json",
                "--repo",
            ])
            .arg(self.repo.path())
            .args(args);
        finish(&mut command)
    }

    async fn scale(&self, replicas: u32) {
        let state = self.home.path().join("state.json");
        let cluster = cluster::open(&state);
        scale(&cluster, replicas).await;
        cluster::save(&cluster, &state);
    }

    async fn spec(&self) -> Value {
        spec(&cluster::open(&self.home.path().join("state.json"))).await
    }
}

#[tokio::test]
async fn gitopsctl_plans_and_applies_around_what_is_ignored() {
    let desk = Desk::new();
    let ignore = ["--ignore", "rules.yaml"];
    desk.run("apply", &ignore).code(0);
    desk.scale(5).await;
    desk.run("plan", &ignore).code(0);
    desk.run("plan", &[]).code(1).says(&[".spec.replicas"]);
    desk.run("apply", &ignore).code(0);
    assert_eq!(desk.spec().await["replicas"], 5);
    // Nothing is left to be noted.
    desk.run("apply", &ignore).code(0).wrote_nothing();

    desk.commit("app:2", 2);
    let plan = desk.run("plan", &ignore).code(1);
    plan.says(&["image", "app:2"]);
    assert!(!plan.stdout.contains("replicas"), "{plan:?}");
    desk.run("apply", &ignore).code(0);
    let live = desk.spec().await;
    assert_eq!(live["replicas"], 5);
    assert_eq!(live["template"]["spec"]["containers"][0]["image"], "app:2");

    // The rule is taken back: Git speaks again, without a new commit.
    desk.run("plan", &[]).code(1).says(&[".spec.replicas"]);
    desk.run("apply", &[]).code(0);
    assert_eq!(desk.spec().await["replicas"], 2);
}

#[test]
fn gitopsctl_takes_the_rules_of_argo_cd_and_flux() {
    let desk = Desk::new();
    desk.write("desired.yaml", &deployment("app:1", 2));
    desk.write("live.yaml", &deployment("app:1", 7));
    desk.write(
        "argo.yaml",
        "apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: shop}
spec:
  ignoreDifferences:
    - {group: apps, kind: Deployment, jqPathExpressions: ['.spec | .replicas']}
",
    );
    desk.write(
        "flux.yaml",
        "# Two documents, of which the second has the rule.
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: other}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: shop}
spec: {driftDetection: {mode: enabled, ignore: [{paths: [/spec/replicas], target: {kind: Dep.*}}]}}
",
    );
    desk.write("bad.yaml", "- {kind: A, paths: ['a[']}\n");
    let diff = |args: &[&str]| {
        let mut command = gitopsctl(desk.home.path());
        finish(
            command
                .args(["diff", "desired.yaml", "live.yaml"])
                .args(args),
        )
    };
    diff(&[]).code(1).says(&[".spec.replicas", "7 -> 2"]);
    for file in ["rules.yaml", "argo.yaml", "flux.yaml"] {
        diff(&["--ignore", file]).code(0);
    }
    diff(&["--ignore", "bad.yaml"]).refuses(&["bad.yaml:1: rules[0].paths[0]: at character 3"]);
    diff(&["--ignore", "none.yaml"]).refuses(&["none.yaml can't be read"]);
}
