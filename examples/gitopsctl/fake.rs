//! The fake cluster of `--fake`, and `gitopsctl fake`, which serves it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use gitops_testkit::cluster::{FakeCluster, SavedCluster, ServerHandle};
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};

use crate::SUCCESS;

/// Where the fake cluster is kept unless another file is named.
pub(crate) const DEFAULT_STATE: &str = "gitops-fake-cluster.json";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The file that the cluster is kept in, as in --fake=STATE
    #[arg(default_value = DEFAULT_STATE)]
    state: PathBuf,
    /// Where the kubeconfig is written
    #[arg(long, value_name = "FILE", default_value = "gitops-fake-kubeconfig")]
    kubeconfig: PathBuf,
    /// The port on loopback; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
}

/// Serves the cluster until it is interrupted, and keeps what was done to it.
pub(crate) async fn run(args: Args) -> Result<u8> {
    let fake = Fake::open(&args.state).await?;
    let server = fake.listen(args.port).await?;
    let kubeconfig = &args.kubeconfig;
    fs::write(kubeconfig, fake.cluster.kubeconfig(&server.url()))
        .with_context(|| format!("{} can't be written", kubeconfig.display()))?;
    anstream::println!(
        "serving {} at {}; try: kubectl --kubeconfig {} get all -A",
        args.state.display(),
        server.url(),
        kubeconfig.display()
    );
    let mut interrupt = signal(SignalKind::interrupt()).context("no signal handler")?;
    let mut terminate = signal(SignalKind::terminate()).context("no signal handler")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    server.shutdown().await;
    fake.save()?;
    Ok(SUCCESS)
}

/// A fake cluster that is kept in a file.
pub(crate) struct Fake {
    cluster: FakeCluster,
    state: PathBuf,
}

impl Fake {
    /// The cluster as the file has it; an empty one if there is no such file.
    pub(crate) async fn open(state: &Path) -> Result<Self> {
        // As with a real cluster, namespaces finish deleting and Deployments roll out.
        let cluster = FakeCluster::builder().controllers(true);
        let cluster = match fs::read(state) {
            Ok(saved) => {
                let saved: SavedCluster = serde_json::from_slice(&saved).with_context(|| {
                    format!(
                        "{} holds no fake cluster; remove it, or name another file",
                        state.display()
                    )
                })?;
                cluster.restore(&saved)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => cluster,
            Err(error) => {
                return Err(error).with_context(|| format!("{} can't be read", state.display()));
            }
        };
        Ok(Self {
            cluster: cluster.build(),
            state: state.to_owned(),
        })
    }

    pub(crate) fn client(&self) -> Client {
        self.cluster.client()
    }

    /// Serves the cluster on a free port for as long as the handle lives.
    pub(crate) async fn listen(&self, port: u16) -> Result<ServerHandle> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        self.cluster
            .serve(address)
            .await
            .with_context(|| format!("{address} can't be listened on"))
    }

    /// Writes the cluster to its file, whole or not at all.
    pub(crate) fn save(&self) -> Result<()> {
        let failed = || format!("{} can't be written", self.state.display());
        let folder = match self.state.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut file = tempfile::NamedTempFile::new_in(folder).with_context(failed)?;
        serde_json::to_writer(&mut file, &self.cluster.save())?;
        file.flush().with_context(failed)?;
        file.persist(&self.state).with_context(failed)?;
        Ok(())
    }

    /// What was asked of the cluster since it was opened.
    pub(crate) fn traffic(&self) -> String {
        let mut verbs = BTreeMap::new();
        for request in self.cluster.requests() {
            *verbs.entry(request.verb).or_insert(0_usize) += 1;
        }
        let verbs: Vec<_> = verbs
            .into_iter()
            .map(|(verb, count)| format!("{count} {verb}"))
            .collect();
        if verbs.is_empty() {
            "no request".into()
        } else {
            format!("requests: {}", verbs.join(", "))
        }
    }
}
