//! A repository, a cluster, and a reconciler that runs between them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gitops_core::{
    Applier as _, Event, EventKind, EventStream, ObjectOutcome, Policy, Reconciler, Report,
};
use gitops_diff::SchemaDiffer;
use gitops_git::{GitSource, GitSourceBuilder, Trigger};
use gitops_kube::KubeApplier;
use gitops_render::PlainYaml;
use gitops_testkit::FakeRepo;
use gitops_testkit::cluster::{FakeCluster, Mark};
use gitops_testkit::repo::RepoServer;
use kube::Client;
use kube::api::{Api, DynamicObject};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cluster;
use crate::command::PATIENCE;

/// A ConfigMap with one entry, `mode`.
pub(crate) fn config_map(name: &str, mode: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  mode: {mode}\n")
}

/// A repository whose folder `shop` has the ConfigMaps `api`, `old` and `web`, served, and a cluster
/// with nothing in it.
pub(crate) struct World {
    pub(crate) repo: FakeRepo,
    pub(crate) server: RepoServer,
    pub(crate) cluster: FakeCluster,
}

impl World {
    pub(crate) fn new() -> Self {
        let repo = FakeRepo::new().unwrap();
        let mut commit = repo.commit("open the shop");
        for name in ["api", "old", "web"] {
            commit = commit.file(format!("shop/{name}.yaml"), config_map(name, "fast"));
        }
        commit.save().unwrap();
        let server = repo.serve().unwrap();
        Self {
            repo,
            server,
            cluster: FakeCluster::new(),
        }
    }

    /// The source of the branch `main`. It looks when it is triggered, never by itself.
    pub(crate) fn source(&self) -> GitSourceBuilder {
        Self::source_of(&self.server.url())
    }

    pub(crate) fn source_of(url: &str) -> GitSourceBuilder {
        GitSource::builder(url)
            .branch("main")
            .path("shop")
            .interval(Duration::from_secs(3600))
    }

    pub(crate) fn start(&self, source: GitSourceBuilder) -> Running {
        self.start_as(self.cluster.client(), source)
    }

    pub(crate) fn start_as(&self, client: Client, source: GitSourceBuilder) -> Running {
        self.start_with(client, source, SchemaDiffer::default(), Policy::default())
    }

    pub(crate) fn start_with(
        &self,
        client: Client,
        source: GitSourceBuilder,
        differ: SchemaDiffer,
        policy: Policy,
    ) -> Running {
        let source = source.build().unwrap();
        let trigger = source.trigger();
        let reconciler = Reconciler::builder("shop")
            .source(source)
            .renderer(PlainYaml::new())
            .differ(differ)
            .applier(
                KubeApplier::builder(client)
                    .reconciler("shop")
                    .build()
                    .unwrap(),
            )
            // A write that meets trouble is not tried again within the pass: the tests are about
            // the passes.
            .policy(policy.retries(0))
            .build()
            .unwrap();
        let events = reconciler.subscribe();
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let task = tokio::spawn(async move { reconciler.run(stop).await });
        Running {
            events,
            trigger,
            shutdown,
            task,
            told: Vec::new(),
        }
    }

    /// Starts it, and waits until everything is applied and watched.
    pub(crate) async fn settled(&self) -> Running {
        let mut running = self.start(self.source());
        let report = running.finished().await;
        assert!(report.is_success() && report.written() == 3, "{report}");
        running.watching().await;
        running
    }

    /// `Kind.group namespace/name` of all that the inventory holds.
    pub(crate) async fn inventory(&self) -> BTreeSet<String> {
        let applier = KubeApplier::builder(self.cluster.client())
            .reconciler("shop")
            .build()
            .unwrap();
        let store = applier.inventory().unwrap();
        let inventory = store.load().await.unwrap().unwrap_or_default();
        inventory.entries.keys().map(ToString::to_string).collect()
    }

    pub(crate) async fn config_maps(&self) -> Api<DynamicObject> {
        cluster::api(&self.cluster.client(), "v1", "ConfigMap").await
    }

    /// The entry `mode` of a ConfigMap in `default`, if it is there.
    pub(crate) async fn mode(&self, name: &str) -> Option<String> {
        let found = self.config_maps().await.get_opt(name).await.unwrap()?;
        Some(found.data["data"]["mode"].as_str().unwrap().to_owned())
    }

    /// Somebody else sets `mode`.
    pub(crate) async fn edit(&self, name: &str, mode: &str) {
        let patch = json!({"data": {"mode": mode}});
        cluster::edit(&self.cluster.client(), "v1", "ConfigMap", name, &patch).await;
    }

    /// Makes something else than a ConfigMap of `default`, as `kubectl create` does.
    pub(crate) async fn create(&self, object: serde_json::Value) {
        let api_version = object["apiVersion"].as_str().unwrap();
        let kind = object["kind"].as_str().unwrap();
        let api = cluster::api(&self.cluster.client(), api_version, kind).await;
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        api.create(&kube::api::PostParams::default(), &object)
            .await
            .unwrap();
    }

    /// Asserts that nothing was deleted after `mark`, nor asked to be.
    #[track_caller]
    pub(crate) fn assert_nothing_deleted(&self, mark: Mark) {
        for request in self.cluster.requests_since(mark) {
            assert!(!request.verb.starts_with("delete"), "{request}");
        }
    }

    /// Asserts that nothing but the inventory was written after `mark`, nothing was deleted, and
    /// that the inventory and the cluster hold what they held.
    pub(crate) async fn assert_untouched(&self, mark: Mark) {
        self.assert_nothing_deleted(mark);
        self.cluster.assert_no_writes_since(mark);
        self.assert_all_there().await;
    }

    /// Asserts that the three ConfigMaps are there and in the inventory.
    pub(crate) async fn assert_all_there(&self) {
        let inventory = self.inventory().await;
        for name in ["api", "old", "web"] {
            let id = format!("ConfigMap default/{name}");
            assert!(inventory.contains(&id), "{id} is not in {inventory:?}");
            assert!(self.mode(name).await.is_some(), "{id} is gone");
        }
    }
}

/// A reconciler that runs.
pub(crate) struct Running {
    events: EventStream,
    trigger: Trigger,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), gitops_core::ReconcileError>>,
    /// Every event so far, as JSON and as `Debug` shows it.
    told: Vec<String>,
}

impl Running {
    /// The next event of which `pick` makes something.
    pub(crate) async fn next<T>(&mut self, pick: impl Fn(EventKind) -> Option<T>) -> T {
        let wait = async {
            loop {
                let event: Event = self.events.next().await.expect("the reconciler is gone");
                self.told.push(format!(
                    "{} {event:?}",
                    serde_json::to_string(&event).unwrap()
                ));
                if let Some(picked) = pick(event.kind) {
                    return picked;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(picked) => picked,
            Err(_) => panic!("nothing of the kind happened; there was {:#?}", self.told),
        }
    }

    /// The report of the next pass.
    pub(crate) async fn finished(&mut self) -> Arc<Report> {
        self.next(|kind| match kind {
            EventKind::Finished { report } => Some(report),
            EventKind::Failed { error, .. } => panic!("the pass failed: {error}"),
            _ => None,
        })
        .await
    }

    /// Waits for a pass in which all is well, however many others come before it.
    pub(crate) async fn healed(&mut self) -> Arc<Report> {
        self.next(|kind| match kind {
            EventKind::Finished { report } if report.is_success() => Some(report),
            _ => None,
        })
        .await
    }

    /// Waits for a pass in which all is well and this many objects were written.
    pub(crate) async fn next_success(&mut self, written: usize) -> Arc<Report> {
        self.next(|kind| match kind {
            EventKind::Finished { report }
                if report.is_success() && report.written() == written =>
            {
                Some(report)
            }
            _ => None,
        })
        .await
    }

    /// Waits until a pass could not be made, and says why.
    pub(crate) async fn failed(&mut self) -> String {
        self.next(|kind| match kind {
            EventKind::Finished { report } => panic!("the pass was made: {report}"),
            EventKind::Failed { error, .. } => Some(error),
            _ => None,
        })
        .await
    }

    pub(crate) async fn watching(&mut self) {
        self.next(|kind| matches!(kind, EventKind::Watching).then_some(()))
            .await;
    }

    /// Waits until drift of an object was healed.
    pub(crate) async fn drift_healed(&mut self, name: &str) {
        self.next(|kind| match kind {
            EventKind::Healed { object, .. } if object.name == name => Some(()),
            _ => None,
        })
        .await;
    }

    /// As a webhook does.
    pub(crate) fn look(&self) {
        self.trigger.fire();
    }

    /// Everything it ever told.
    pub(crate) fn told(&self) -> String {
        self.told.join("\n")
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// The one thing that is wrong with a pass, as a line.
#[track_caller]
pub(crate) fn only_trouble(report: &Report) -> String {
    let problems = report.problems.iter().map(ToString::to_string);
    let objects = report
        .objects
        .iter()
        .filter(|object| !object.outcome.is_success())
        .map(ToString::to_string);
    let trouble: Vec<_> = problems
        .chain(objects)
        .chain(report.errors.iter().cloned())
        .collect();
    assert_eq!(trouble.len(), 1, "{report}");
    assert_eq!(trouble[0].lines().count(), 1, "{report}");
    trouble[0].clone()
}

/// The names of the objects with this outcome.
pub(crate) fn names(report: &Report, outcome: &ObjectOutcome) -> Vec<String> {
    report
        .objects
        .iter()
        .filter(|object| object.outcome == *outcome)
        .map(|object| object.object.name.clone())
        .collect()
}
