//! `fake-cluster`: a fake Kubernetes API server on loopback, for `kubectl` and others.

use std::error::Error;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use gitops_core::{Clock as _, SystemClock};
use gitops_testkit::cluster::{FakeCluster, SavedCluster};

const USAGE: &str = "usage: fake-cluster [--port PORT] [--kubeconfig PATH] [--state FILE] [--token TOKEN] [--seed N] [--controllers on|off]

  --port PORT        where to listen on 127.0.0.1; 0 (the default) takes a free port
  --kubeconfig PATH  writes a kubeconfig for an administrator
  --state FILE       begins with what the file holds, if there is one, and saves there at the end
  --token TOKEN      the administrator's token
  --seed N           what ids and generated names come from
  --controllers on   namespaces finish deleting, dependents are collected, Deployments roll out";

#[derive(Default)]
struct Options {
    port: u16,
    kubeconfig: Option<PathBuf>,
    state: Option<PathBuf>,
    token: Option<String>,
    seed: u64,
    controllers: bool,
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let (name, inline) = match argument.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (argument, None),
        };
        if matches!(name.as_str(), "--help" | "-h") {
            return Err(USAGE.into());
        }
        let value = inline
            .or_else(|| arguments.next())
            .ok_or_else(|| format!("{name} needs a value\n\n{USAGE}"))?;
        match name.as_str() {
            "--port" => {
                options.port = value
                    .parse()
                    .map_err(|_| format!("{value:?} is not a port"))?
            }
            "--kubeconfig" => options.kubeconfig = Some(value.into()),
            "--state" => options.state = Some(value.into()),
            "--token" => options.token = Some(value),
            "--seed" => {
                options.seed = value
                    .parse()
                    .map_err(|_| format!("{value:?} is not a number"))?
            }
            "--controllers" => {
                options.controllers = match value.as_str() {
                    "on" => true,
                    "off" => false,
                    other => {
                        return Err(format!("--controllers is on or off, not {other:?}").into());
                    }
                }
            }
            other => return Err(format!("unknown option {other:?}\n\n{USAGE}").into()),
        }
    }
    Ok(options)
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let mut builder = FakeCluster::builder()
        .start_time(SystemClock.now())
        .seed(options.seed)
        .controllers(options.controllers);
    if let Some(token) = &options.token {
        builder = builder.token(token);
    }
    if let Some(path) = options.state.as_ref().filter(|path| path.exists()) {
        let saved: SavedCluster = serde_json::from_slice(&std::fs::read(path)?)?;
        builder = builder.restore(&saved);
    }
    let cluster = builder.build();
    let server = cluster
        .serve(SocketAddr::from((Ipv4Addr::LOCALHOST, options.port)))
        .await?;
    if let Some(path) = &options.kubeconfig {
        write_private(path, &cluster.kubeconfig(&server.url()))?;
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", server.url())?;
    out.flush()?;
    drop(out);
    wait_for_signal().await?;
    server.shutdown().await;
    if let Some(path) = &options.state {
        write_private(path, &serde_json::to_string(&cluster.save())?)?;
    }
    Ok(())
}

/// Writes a file that only its owner may read: it may hold secrets. The old one stays
/// until the new one is whole.
fn write_private(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or_else(|| std::path::Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

#[cfg(unix)]
async fn wait_for_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(not(unix))]
async fn wait_for_signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}

fn main() -> ExitCode {
    let run = || -> Result<(), Box<dyn Error>> {
        let options = options()?;
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?
            .block_on(run(options))
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}
