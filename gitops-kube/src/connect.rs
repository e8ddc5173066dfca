//! A client that suits a reconciler.

use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// Whoever doesn't take a connection within this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no client.
///
/// What the configuration holds is not shown, as it may hold credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// There is no configuration that can be used.
    #[error(
        "no usable configuration: neither a kubeconfig (KUBECONFIG, ~/.kube/config) nor a service \
         account of a pod"
    )]
    NoConfig(#[source] Box<kube::config::InferConfigError>),
    /// The kubeconfig file can't be used.
    #[error("kubeconfig {path}")]
    Kubeconfig {
        /// The file.
        path: String,
        /// The cause.
        source: Box<kube::config::KubeconfigError>,
    },
    /// The configuration can't be turned into a client: certificates or keys can't be read,
    /// or the proxy is of a kind that is not built in.
    #[error("the configuration of the cluster can't be used")]
    Client(#[source] Box<kube::Error>),
}

/// A client as the usual rules say: `KUBECONFIG` or `~/.kube/config`, and within a pod its
/// service account.
///
/// # Errors
///
/// [`ConnectError`]; nothing is sent to the server.
pub async fn connect() -> Result<Client, ConnectError> {
    let config = Config::infer()
        .await
        .map_err(|error| ConnectError::NoConfig(Box::new(error)))?;
    client_from(config)
}

/// A client from this kubeconfig file, with its current context or the one that is named.
///
/// # Errors
///
/// [`ConnectError`]; nothing is sent to the server.
pub async fn connect_with(
    kubeconfig: impl AsRef<Path>,
    context: Option<&str>,
) -> Result<Client, ConnectError> {
    let path = kubeconfig.as_ref();
    let failed = |error| ConnectError::Kubeconfig {
        path: path.display().to_string(),
        source: Box::new(error),
    };
    let kubeconfig = Kubeconfig::read_from(path).map_err(failed)?;
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(failed)?;
    client_from(config)
}

/// A client from a configuration, changed to suit a reconciler: it does not retry by itself
/// (kube's default retries each request, writes too, for some minutes), and gives up a
/// connection that isn't made within ten seconds. Must be called within a tokio runtime.
///
/// # Errors
///
/// [`ConnectError::Client`]; nothing is sent to the server.
pub fn client_from(mut config: Config) -> Result<Client, ConnectError> {
    install_crypto_provider();
    config.default_retry = false;
    config.connect_timeout = Some(
        config
            .connect_timeout
            .map_or(CONNECT_TIMEOUT, |timeout| timeout.min(CONNECT_TIMEOUT)),
    );
    // Watches are silent for long; whoever waits for an answer has a timeout of its own.
    config.read_timeout = None;
    Client::try_from(config).map_err(|error| ConnectError::Client(Box::new(error)))
}

/// Makes `ring` the process's TLS implementation, unless another was chosen already.
///
/// rustls panics if a program has two and none was chosen, which happens as soon as any
/// crate of the program brings the other one. Called by all that makes a client here; call
/// it first where you make one yourself.
pub fn install_crypto_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error says that there is one already, and that is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
