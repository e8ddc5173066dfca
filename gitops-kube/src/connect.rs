//! A client that suits a reconciler.

use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use http::HeaderValue;
use kube::client::AuthError;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use secrecy::ExposeSecret as _;

use crate::transport::one_line;

/// Whoever doesn't take a connection within this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no client.
///
/// Nothing that the configuration holds is quoted, as it may hold credentials: of what can't
/// be read, the place is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// There is no configuration that can be used.
    #[error(
        "no cluster is configured: {kubeconfig} (KUBECONFIG, ~/.kube/config), and this is no pod \
         with a service account"
    )]
    NoConfig {
        /// What is wrong with the kubeconfig.
        kubeconfig: String,
    },
    /// The kubeconfig file can't be used.
    #[error("kubeconfig {path}: {reason}")]
    Kubeconfig {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The configuration can't be turned into a client.
    #[error("the configuration of the cluster can't be used: {reason}")]
    Client {
        /// What is wrong with it.
        reason: String,
    },
}

/// What is wrong with a kubeconfig, without what it holds.
fn told(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::Parse(error) => match error.location() {
            Some(at) => format!(
                "not a kubeconfig (line {}, column {})",
                at.line(),
                at.column()
            ),
            None => "not a kubeconfig".into(),
        },
        KubeconfigError::ParseClusterUrl(_) => "the cluster's URL can't be read".into(),
        KubeconfigError::ParseProxyUrl(_) => "the proxy's URL can't be read".into(),
        // The others name files, contexts and clusters.
        error => one_line(&error.to_string(), 500),
    }
}

/// What is wrong with a configuration, without what it holds.
fn unusable(error: &kube::Error) -> String {
    match error {
        kube::Error::Auth(AuthError::AuthExecStart(error)) => {
            format!("the credential plugin can't be run: {error}")
        }
        // These quote what the plugin printed, or the token.
        kube::Error::Auth(_) => "there are no credentials, or they can't be read; if there is a \
             credential plugin, run it by hand to see why"
            .into(),
        kube::Error::ProxyProtocolUnsupported { .. }
        | kube::Error::ProxyProtocolDisabled { .. } => {
            "its proxy is of a kind that is not supported".into()
        }
        error => one_line(&error.to_string(), 500),
    }
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
        .map_err(|error| ConnectError::NoConfig {
            // The error of the kubeconfig is the source; the other only says: no pod.
            kubeconfig: std::error::Error::source(&error)
                .and_then(|source| source.downcast_ref())
                .map_or_else(|| "no kubeconfig".into(), told),
        })?;
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
    let failed = |error: KubeconfigError| ConnectError::Kubeconfig {
        path: path.display().to_string(),
        reason: told(&error),
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
/// [`ConnectError::Client`]; nothing is sent to the server. A credential plugin may be run.
pub fn client_from(mut config: Config) -> Result<Client, ConnectError> {
    install_crypto_provider();
    // tower-http, which kube uses for static tokens, panics on one that is no header.
    let token = config.auth_info.token.as_ref();
    if token.is_some_and(|token| HeaderValue::from_str(token.expose_secret()).is_err()) {
        return Err(ConnectError::Client {
            reason: "its token holds characters that no token has, such as a line end".into(),
        });
    }
    config.default_retry = false;
    config.connect_timeout = Some(
        config
            .connect_timeout
            .map_or(CONNECT_TIMEOUT, |timeout| timeout.min(CONNECT_TIMEOUT)),
    );
    // Watches are silent for long; whoever waits for an answer has a timeout of its own.
    config.read_timeout = None;
    Client::try_from(config).map_err(|error| ConnectError::Client {
        reason: unusable(&error),
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a kubeconfig may hold, and nobody may see.
    const CANARY: &str = "hunter2-canary";

    async fn error_of(kubeconfig: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        std::fs::write(&file, kubeconfig).unwrap();
        match connect_with(&file, None).await {
            Ok(_) => panic!("that is no kubeconfig"),
            Err(error) => format!("{error} {error:?}"),
        }
    }

    #[tokio::test]
    async fn a_kubeconfig_that_cannot_be_used_is_named_and_not_quoted() {
        let whole = |user: &str, server: &str| {
            format!(
                "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: \
                 {{cluster: c, user: u}}}}], clusters: [{{name: c, cluster: {{{server}}}}}], \
                 users: [{{name: u, user: {user}}}]}}"
            )
        };
        let exec = format!(
            "{{exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, \
             command: sh, args: [-c, 'echo {CANARY}; exit 1']}}}}"
        );
        for (kubeconfig, says) in [
            (
                format!("users:\n- name: u\n  user: {{token: [{CANARY}"),
                "not a kubeconfig (line",
            ),
            (
                format!("users: [{{user: {{token: {CANARY}}}}}]\nclusters: {CANARY}"),
                "not a kubeconfig (line",
            ),
            (
                whole("{}", &format!("server: 'http://{CANARY} x'")),
                "URL can't be read",
            ),
            (
                whole(
                    &format!("{{token: \"{CANARY}\\n\"}}"),
                    "server: 'http://127.0.0.1:1'",
                ),
                "its token holds",
            ),
            (
                whole(&exec, "server: 'http://127.0.0.1:1'"),
                "run it by hand",
            ),
            ("{}".into(), "current context"),
        ] {
            let error = error_of(&kubeconfig).await;
            assert!(error.contains(says), "{error}");
            assert!(!error.contains(CANARY), "{error}");
        }
        let missing = connect_with("/nowhere/config", None).await;
        let missing = missing
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        assert!(
            missing.starts_with("kubeconfig /nowhere/config: failed to read"),
            "{missing}"
        );
    }
}
