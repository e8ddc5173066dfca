//! How long does drift live?
//!
//! `cargo bench -p gitops-benches --bench drift`: 1,000 managed objects on the fake cluster, served
//! over HTTP on loopback; 200 edits by another field manager, one after the other. Prints, as
//! percentiles, the time from the watch event to the acknowledged healing write (as the
//! reconciler reports it) and the time from the edit's own answer until then; and how many
//! requests of each kind the healing took. `-- OBJECTS EDITS` changes the numbers.
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use gitops_benches::{Fixed, name, workload};
use gitops_core::{EventKind, Reconciler, Snapshot};
use gitops_diff::SchemaDiffer;
use gitops_kube::KubeApplier;
use gitops_render::PlainYaml;
use gitops_testkit::cluster::FakeCluster;
use kube::Config;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::json;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<()> {
    let numbers: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|arg| arg.parse().ok())
        .collect();
    // `cargo test --benches` wants to know whether it works, not how fast.
    let test = !std::env::args().any(|arg| arg == "--bench");
    let objects = numbers
        .first()
        .copied()
        .unwrap_or(if test { 50 } else { 1000 });
    let edits = numbers
        .get(1)
        .copied()
        .unwrap_or(if test { 5 } else { 200 });
    measure(objects, edits).await
}

async fn measure(objects: usize, edits: usize) -> Result<()> {
    let cluster = FakeCluster::new();
    let server = cluster
        .serve(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .await?;
    let connect = || {
        let mut config = Config::new(server.url().parse()?);
        config.auth_info.token = Some(cluster.token().to_owned().into());
        anyhow::Ok(gitops_kube::client_from(config)?)
    };
    let files = Snapshot::from_files(workload(objects))?;
    let reconciler = Reconciler::builder("drift")
        .source(Fixed::new(files))
        .renderer(PlainYaml::new())
        .differ(SchemaDiffer::default())
        .applier(
            KubeApplier::builder(connect()?)
                .reconciler("drift")
                .build()?,
        )
        .build()?;
    let mut events = reconciler.subscribe();
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let began = Instant::now();
    let running = tokio::spawn(async move { reconciler.run(stop).await });
    loop {
        match events.next().await.context("the reconciler is gone")?.kind {
            EventKind::Watching => break,
            EventKind::Finished { report } => {
                ensure!(report.is_success(), "{report}");
                println!(
                    "first sync of {} objects: {:.1?}",
                    report.written(),
                    began.elapsed()
                );
            }
            EventKind::Failed { error, .. } => anyhow::bail!("{error}"),
            _ => {}
        }
    }

    let rival = connect()?;
    let deployments = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"));
    let api: Api<DynamicObject> = Api::namespaced_with(rival, "load", &deployments);
    let params = PatchParams {
        field_manager: Some("rival".into()),
        ..PatchParams::default()
    };
    let mark = cluster.mark();
    let (mut healing, mut whole) = (Vec::new(), Vec::new());
    for edit in 0..edits {
        // Another object each time: a fight over one would be slowed down on purpose.
        let name = name(edit * 2 % (objects - 1) / 2 * 2);
        let patch = Patch::Merge(json!({"spec": {"replicas": 3 + edit % 7}}));
        api.patch(&name, &params, &patch).await?;
        let edited = Instant::now();
        loop {
            if let EventKind::Healed { object, took, .. } =
                events.next().await.context("the reconciler is gone")?.kind
            {
                ensure!(object.name == name, "{object} was healed instead of {name}");
                healing.push(took);
                whole.push(edited.elapsed());
                break;
            }
        }
    }
    let mut requests = BTreeMap::new();
    for request in cluster.requests_since(mark) {
        if !request.user_agent.contains("rival") {
            *requests.entry(request.verb).or_insert(0_usize) += 1;
        }
    }
    println!("{edits} edits on {objects} managed objects");
    println!(
        "  event to acknowledged write: {}",
        percentiles(&mut healing)
    );
    println!("  edit to acknowledged write:  {}", percentiles(&mut whole));
    println!("  requests, edits included:    {requests:?}");
    shutdown.cancel();
    running.await??;
    ensure!(
        requests.keys().all(|verb| verb == "patch"),
        "healing took other requests than the edits and the healing writes"
    );
    Ok(())
}

fn percentiles(times: &mut [Duration]) -> String {
    times.sort();
    let at = |share: f64| {
        let index = ((times.len() as f64 * share).ceil() as usize).clamp(1, times.len());
        times[index - 1]
    };
    format!(
        "p50 {:.2?}, p99 {:.2?}, max {:.2?}",
        at(0.5),
        at(0.99),
        at(1.0)
    )
}
