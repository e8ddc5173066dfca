//! The story, act by act. Each act does something, waits for what follows, and looks whether
//! the cluster is as the act says; if not, the story ends there with an error.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use gitops_core::{
    Event, EventKind, EventStream, MemoryAudit, ObjectOutcome, Policy, PruneHold, PruneLimit,
    Reconciler, Report,
};
use gitops_diff::SchemaDiffer;
use gitops_git::{GitSource, Trigger};
use gitops_kube::KubeApplier;
use gitops_render::PlainYaml;
use gitops_testkit::FakeRepo;
use gitops_testkit::cluster::{FakeCluster, ServerHandle};
use gitops_testkit::repo::RepoServer;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Client, Config, discovery};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{screen, shop};

/// Nothing in the story takes as long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster, and what can be asked of it from outside.
struct Cluster {
    fake: FakeCluster,
    /// Serves the cluster for as long as it lives.
    _server: ServerHandle,
    client: Client,
}

impl Cluster {
    async fn start() -> Result<Self> {
        let fake = FakeCluster::builder().controllers(true).build();
        let server = fake
            .serve(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .await?;
        let mut config = Config::new(server.url().parse()?);
        config.auth_info.token = Some(fake.token().to_owned().into());
        config.default_namespace = "default".into();
        let client = gitops_kube::client_from(config)?;
        Ok(Self {
            fake,
            _server: server,
            client,
        })
    }

    async fn deployment(&self, name: &str) -> Result<Deployment> {
        Ok(Api::namespaced(self.client.clone(), "shop")
            .get(name)
            .await?)
    }

    async fn image(&self, name: &str) -> Result<String> {
        let deployment = self.deployment(name).await?;
        let pod = deployment.spec.template.spec.context("no pod template")?;
        let container = pod.containers.into_iter().next().context("no container")?;
        container.image.context("no image")
    }

    async fn replicas(&self, name: &str) -> Result<i32> {
        let deployment = self.deployment(name).await?;
        deployment.spec.replicas.context("no replicas")
    }

    /// What the reconciler made: kind and name of everything that carries its mark.
    async fn ours(&self) -> Result<BTreeSet<String>> {
        let mut ours = BTreeSet::new();
        let labelled = ListParams::default().labels("gitops-sdk.dev/reconciler=shop");
        for group in discovery::Discovery::new(self.client.clone())
            .run()
            .await?
            .groups()
        {
            for (resource, capabilities) in group.recommended_resources() {
                if !capabilities.supports_operation(discovery::verbs::WATCH) {
                    continue;
                }
                let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
                for object in api.list(&labelled).await? {
                    let name = object.metadata.name.unwrap_or_default();
                    ours.insert(format!("{}.{} {name}", resource.kind, resource.group));
                }
            }
        }
        Ok(ours)
    }
}

/// A reconciler that runs.
struct Running {
    events: EventStream,
    trigger: Trigger,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), gitops_core::ReconcileError>>,
}

impl Running {
    fn start(server: &RepoServer, cluster: &Cluster, audit: &MemoryAudit) -> Result<Self> {
        let source = GitSource::builder(server.url())
            .branch("main")
            .path(shop::FOLDER)
            // The acts don't wait for a poll: each commit fires the trigger, as a webhook would.
            .interval(Duration::from_secs(3600))
            .build()?;
        let trigger = source.trigger();
        let reconciler = Reconciler::builder("shop")
            .source(source)
            .renderer(PlainYaml::new())
            .differ(SchemaDiffer::default())
            .applier(
                KubeApplier::builder(cluster.client.clone())
                    .reconciler("shop")
                    .build()?,
            )
            .policy(Policy::default().prune(PruneLimit::percent(30)))
            .sink(audit.clone())
            .build()?;
        let events = reconciler.subscribe();
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let task = tokio::spawn(async move { reconciler.run(stop).await });
        Ok(Self {
            events,
            trigger,
            shutdown,
            task,
        })
    }

    /// The next event of which `pick` makes something.
    async fn next<T>(&mut self, pick: impl Fn(Event) -> Option<T>) -> Result<T> {
        let wait = async {
            loop {
                let event = self.events.next().await.context("the reconciler is gone")?;
                if let EventKind::Failed { error, .. } = &event.kind {
                    anyhow::bail!("the pass failed: {error}");
                }
                if let Some(picked) = pick(event) {
                    return Ok(picked);
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .context("nothing happened for 30 seconds")?
    }

    async fn finished(&mut self) -> Result<Arc<Report>> {
        self.next(|event| match event.kind {
            EventKind::Finished { report } => Some(report),
            _ => None,
        })
        .await
    }

    async fn watching(&mut self) -> Result<()> {
        self.next(|event| matches!(event.kind, EventKind::Watching).then_some(()))
            .await
    }

    /// Fires the trigger and waits for the pass that follows.
    async fn pass(&mut self) -> Result<Arc<Report>> {
        self.trigger.fire();
        self.finished().await
    }

    async fn stop(self) -> Result<()> {
        self.shutdown.cancel();
        Ok(self.task.await??)
    }
}

/// Tells the whole story.
pub(crate) async fn tell() -> Result<()> {
    screen::title("A small shop, deployed from Git");
    let repo = FakeRepo::new()?;
    repo.set_author("Ada", "ada@example.com");
    let mut first = repo.commit("Open the shop");
    for (name, content) in shop::FILES.into_iter().chain([shop::NETWORK_POLICY]) {
        first = first.file(shop::path(name), content);
    }
    first.save()?;
    let server = repo.serve()?;
    let cluster = Cluster::start().await?;
    let audit = MemoryAudit::default();
    let mut shop = Running::start(&server, &cluster, &audit)?;

    first_sync(&mut shop, &cluster).await?;
    nothing_changed(&mut shop, &cluster).await?;
    healed(&mut shop, &cluster).await?;
    one_file(&mut shop, &cluster, &repo).await?;
    withdrawn(&mut shop, &cluster, &repo).await?;
    rolled_back(&mut shop, &cluster, &repo).await?;
    held(&mut shop, &cluster, &repo).await?;
    let before = cluster.ours().await?;
    shop.stop().await?;
    rebuilt(&server, &before, &audit).await?;
    who_did_what(&audit)
}

async fn first_sync(shop: &mut Running, cluster: &Cluster) -> Result<()> {
    screen::act(1, "The first sync");
    screen::deed("Ada commits the shop: 15 files, two namespaces, a kind of its own.");
    let began = Instant::now();
    let mark = cluster.fake.mark();
    let report = shop.finished().await?;
    ensure!(report.is_success(), "{report}");
    ensure!(
        report.written() == shop::OBJECTS,
        "{} objects were written",
        report.written()
    );
    ensure!(
        cluster.image("web").await?.ends_with("/web:1.4.0"),
        "web runs another image"
    );
    shop.watching().await?;
    screen::found(&format!(
        "{} objects of revision {} run",
        report.written(),
        report.revision.id.short()
    ));
    screen::sent(&cluster.fake.requests_since(mark), began.elapsed());
    Ok(())
}

async fn nothing_changed(shop: &mut Running, cluster: &Cluster) -> Result<()> {
    screen::act(2, "A second look");
    let began = Instant::now();
    let mark = cluster.fake.mark();
    let report = shop.pass().await?;
    let requests = cluster.fake.requests_since(mark);
    ensure!(report.is_success() && report.written() == 0, "{report}");
    ensure!(requests.is_empty(), "{} requests were sent", requests.len());
    screen::found(&format!(
        "{} objects unchanged, and the API server was not asked",
        report.unchanged
    ));
    screen::sent(&requests, began.elapsed());
    Ok(())
}

async fn healed(shop: &mut Running, cluster: &Cluster) -> Result<()> {
    screen::act(3, "A manual edit");
    screen::deed("Somebody runs `kubectl scale deployment web --replicas=1`.");
    let began = Instant::now();
    let mark = cluster.fake.mark();
    let params = PatchParams {
        field_manager: Some("kubectl".into()),
        ..PatchParams::default()
    };
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), "shop");
    let scaled = json!({"spec": {"replicas": 1}});
    deployments
        .patch_scale("web", &params, &Patch::Merge(&scaled))
        .await?;
    let change = shop
        .next(|event| match event.kind {
            EventKind::Drift { changes, .. } => changes.into_iter().next(),
            _ => None,
        })
        .await?;
    let took = shop
        .next(|event| match event.kind {
            EventKind::Healed { took, .. } => Some(took),
            _ => None,
        })
        .await?;
    // The healing is a pass of its own.
    shop.finished().await?;
    let requests = cluster.fake.requests_since(mark);
    let owner = change.owner.context("nobody was named")?;
    ensure!(
        change.path.to_string() == ".spec.replicas",
        "{} was named",
        change.path
    );
    ensure!(owner.manager == "kubectl", "{} was named", owner.manager);
    ensure!(
        cluster.replicas("web").await? == 3,
        "web has another number of replicas"
    );
    screen::found(&format!("{} was set back; it was {owner}", change.path));
    let looked = if requests.iter().any(|request| request.verb == "get") {
        "; its controller wrote meanwhile, so it was looked at once more"
    } else {
        ", without a read"
    };
    screen::found(&format!(
        "from the event to the healing write: {took:.1?}{looked}"
    ));
    screen::sent(&requests, began.elapsed());
    Ok(())
}

async fn one_file(shop: &mut Running, cluster: &Cluster, repo: &FakeRepo) -> Result<()> {
    screen::act(4, "A commit");
    screen::deed("Bob releases web 1.5.0: one line in one file.");
    let newer = shop::file("web/deployment.yaml").replace("web:1.4.0", "web:1.5.0");
    repo.commit("Release web 1.5.0")
        .author("Bob", "bob@example.com")
        .file(shop::path("web/deployment.yaml"), newer)
        .save()?;
    let began = Instant::now();
    let mark = cluster.fake.mark();
    let report = shop.pass().await?;
    let requests = cluster.fake.requests_since(mark);
    ensure!(report.is_success() && report.written() == 1, "{report}");
    ensure!(
        cluster.image("web").await?.ends_with("/web:1.5.0"),
        "web runs another image"
    );
    screen::lines(&report.objects[0].to_string());
    screen::found("one object was read and written; the others were not touched");
    screen::sent(&requests, began.elapsed());
    Ok(())
}

async fn withdrawn(shop: &mut Running, cluster: &Cluster, repo: &FakeRepo) -> Result<()> {
    screen::act(5, "A withdrawn file");
    screen::deed("Bob removes web/ingress.yaml.");
    repo.commit("Close the public entrance")
        .author("Bob", "bob@example.com")
        .remove(shop::path("web/ingress.yaml"))
        .save()?;
    let began = Instant::now();
    let mark = cluster.fake.mark();
    let report = shop.pass().await?;
    let requests = cluster.fake.requests_since(mark);
    let pruned: Vec<_> = report
        .objects
        .iter()
        .filter(|object| object.outcome == ObjectOutcome::Pruned)
        .collect();
    ensure!(report.is_success() && pruned.len() == 1, "{report}");
    ensure!(
        !cluster
            .ours()
            .await?
            .iter()
            .any(|name| name.starts_with("Ingress.")),
        "it is still there"
    );
    screen::lines(&pruned[0].to_string());
    screen::found("it was looked at once more, and deleted by uid and version");
    screen::sent(&requests, began.elapsed());
    Ok(())
}

async fn rolled_back(shop: &mut Running, cluster: &Cluster, repo: &FakeRepo) -> Result<()> {
    screen::act(6, "A bad commit, and `git revert`");
    screen::deed("Bob scales the API to nothing, with an image that doesn't exist.");
    let broken = shop::file("api/deployment.yaml")
        .replace("api:2.0.1", "api:2.1.0-oops")
        .replace("replicas: 2", "replicas: 0");
    let bad = repo
        .commit("Speed up the API")
        .author("Bob", "bob@example.com")
        .file(shop::path("api/deployment.yaml"), broken)
        .save()?;
    let report = shop.pass().await?;
    ensure!(report.is_success(), "{report}");
    ensure!(
        cluster.replicas("api").await? == 0,
        "the bad commit was not applied"
    );
    screen::deed("Ada reverts it.");
    let began = Instant::now();
    let mark = cluster.fake.mark();
    repo.revert("main", &bad)?;
    let report = shop.pass().await?;
    let took = began.elapsed();
    let requests = cluster.fake.requests_since(mark);
    ensure!(report.is_success() && report.written() == 1, "{report}");
    ensure!(
        cluster.replicas("api").await? == 2,
        "the API is still scaled down"
    );
    ensure!(
        cluster.image("api").await?.ends_with("/api:2.0.1"),
        "the API runs another image"
    );
    screen::lines(&report.objects[0].to_string());
    screen::found(&format!("from the revert to the running API: {took:.1?}"));
    screen::sent(&requests, took);
    Ok(())
}

async fn held(shop: &mut Running, cluster: &Cluster, repo: &FakeRepo) -> Result<()> {
    screen::act(7, "A commit that would delete most of it");
    screen::deed("A script removes the folders web, api and offers.");
    let before = cluster.ours().await?;
    let folders = ["web/", "api/", "offers/"];
    let mut commit = repo
        .commit("Tidy up")
        .author("A script", "script@example.com");
    for (name, _) in shop::FILES {
        if name != "web/ingress.yaml" && folders.iter().any(|folder| name.starts_with(folder)) {
            commit = commit.remove(shop::path(name));
        }
    }
    let bad = commit.save()?;
    let began = Instant::now();
    let mark = cluster.fake.mark();
    let report = shop.pass().await?;
    let took = began.elapsed();
    let requests = cluster.fake.requests_since(mark);
    let hold = report.hold.clone().context("nothing was held")?;
    ensure!(matches!(hold, PruneHold::Limit { .. }), "{hold}");
    ensure!(cluster.ours().await? == before, "something was deleted");
    ensure!(
        !requests.iter().any(|request| request.verb == "delete"),
        "a delete was sent"
    );
    screen::lines(&hold.to_string());
    screen::found("every object is still there");
    screen::sent(&requests, took);
    repo.revert("main", &bad)?;
    let report = shop.pass().await?;
    ensure!(report.is_success(), "{report}");
    Ok(())
}

async fn rebuilt(
    server: &RepoServer,
    before: &BTreeSet<String>,
    audit: &MemoryAudit,
) -> Result<()> {
    screen::act(8, "The cluster is lost");
    screen::deed("A new, empty cluster, and the same reconciler.");
    let cluster = Cluster::start().await?;
    let began = Instant::now();
    let mark = cluster.fake.mark();
    let mut shop = Running::start(server, &cluster, audit)?;
    let report = shop.finished().await?;
    let took = began.elapsed();
    let requests = cluster.fake.requests_since(mark);
    ensure!(report.is_success(), "{report}");
    ensure!(cluster.ours().await? == *before, "something is missing");
    ensure!(
        cluster.image("web").await?.ends_with("/web:1.5.0"),
        "web runs another image"
    );
    screen::found(&format!(
        "all {} objects are back, from Git alone",
        report.written()
    ));
    screen::sent(&requests, took);
    shop.stop().await
}

fn who_did_what(audit: &MemoryAudit) -> Result<()> {
    screen::act(9, "Who deployed what");
    let records = audit.records();
    // The two big syncs would fill the screen.
    let mut last = None;
    let mut skipped = 0;
    for record in &records {
        let big = records
            .iter()
            .filter(|other| other.plan == record.plan)
            .count()
            > 5;
        if big && last == Some(record.plan) {
            skipped += 1;
            continue;
        }
        if skipped > 0 {
            screen::lines(&format!("... and {skipped} more of this plan"));
            skipped = 0;
        }
        screen::lines(&record.to_string());
        last = Some(record.plan);
    }
    if skipped > 0 {
        screen::lines(&format!("... and {skipped} more of this plan"));
    }
    let by_bob = records.iter().any(|record| {
        record.author.as_deref() == Some("Bob") && record.subject == "Release web 1.5.0"
    });
    ensure!(by_bob, "Bob's release is not on record");
    let text: Vec<_> = records.iter().map(ToString::to_string).collect();
    ensure!(
        !text.concat().contains("correct-horse"),
        "the record shows a secret"
    );
    screen::found(&format!(
        "{} records: commit, author, object, fields, result",
        records.len()
    ));
    Ok(())
}
