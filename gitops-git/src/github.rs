//! Tokens of a GitHub App.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gitops_core::{BoxError, Clock, Redacted, SystemClock};
use jiff::{SignedDuration, Timestamp};
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::credentials::{CredentialProvider, Credentials};
use crate::error::{GitError, one_line};
use crate::remote_url::RemoteUrl;

/// A token is replaced so long before it expires: a fetch that begins with it may take a while.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_secs(300);
const MAX_ANSWER: usize = 64 << 10;

/// Lets a source in as an installation of a [GitHub App]: with tokens that GitHub gives out for
/// an hour, and that see what the app was installed for.
///
/// [GitHub App]: https://docs.github.com/en/apps
///
/// ```no_run
/// use gitops_git::{GitHubApp, GitSource};
///
/// let key = std::fs::read_to_string("/var/run/secrets/app/private-key.pem")?;
/// let app = GitHubApp::new("Iv23liAbCdEf", "48151623", &key)?;
/// let source = GitSource::builder("https://github.com/example/shop.git")
///     .credential_provider(app)
///     .build()?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct GitHubApp {
    app: String,
    key: RsaKeyPair,
    endpoint: url::Url,
    client: reqwest::Client,
    clock: Arc<dyn Clock>,
    token: Mutex<Option<Token>>,
}

struct Token {
    token: Redacted<String>,
    expires: Timestamp,
}

#[derive(Deserialize)]
struct Answer {
    token: String,
    expires_at: String,
}

impl GitHubApp {
    /// An app, by its client id or app id, installed somewhere, by the id of the installation,
    /// with its private key as GitHub hands it out: PEM.
    ///
    /// # Errors
    ///
    /// When an id holds anything but letters, digits, `.`, `-` and `_`, or the key is no RSA key
    /// in PEM.
    pub fn new(app: &str, installation: &str, private_key: &str) -> Result<Self, GitError> {
        let refuse = |reason: &str| GitError::Setting {
            setting: "GitHub App",
            reason: reason.to_owned(),
        };
        let plain = |id: &str| {
            !id.is_empty()
                && id
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        };
        if !plain(app) || !plain(installation) {
            return Err(refuse("an id has letters, digits, '.', '-' and '_'"));
        }
        let key =
            rsa_key(private_key).ok_or_else(|| refuse("the private key is no RSA key in PEM"))?;
        crate::install_crypto_provider();
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("gitops-git/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .build()
            .map_err(|error| refuse(&one_line(&error.to_string())))?;
        let app = Self {
            app: app.to_owned(),
            key,
            endpoint: url::Url::parse("https://api.github.com")
                .map_err(|_| refuse("the endpoint is no URL"))?,
            client,
            clock: Arc::new(SystemClock),
            token: Mutex::default(),
        };
        app.at(installation)
    }

    fn at(mut self, installation: &str) -> Result<Self, GitError> {
        self.endpoint = self
            .endpoint
            .join(&format!("/app/installations/{installation}/access_tokens"))
            .map_err(|_| GitError::Setting {
                setting: "GitHub App",
                reason: "the endpoint is no URL".to_owned(),
            })?;
        Ok(self)
    }

    /// Asks a GitHub Enterprise Server: `https://github.example.com/api/v3`. The private key
    /// vouches for the app there, so it has to be `https`, or this machine.
    ///
    /// # Errors
    ///
    /// When it is no such URL.
    pub fn api(mut self, base: &str) -> Result<Self, GitError> {
        let refuse = |reason| GitError::Url {
            url: crate::remote_url::without_credentials(base),
            reason,
        };
        let url: url::Url = base.parse().map_err(|_| refuse("is not a URL"))?;
        if !(url.scheme() == "https"
            || (url.scheme() == "http" && crate::builder::is_loopback(&url)))
        {
            return Err(refuse("is not https"));
        }
        let path = format!(
            "{}{}",
            url.path().trim_end_matches('/'),
            self.endpoint.path()
        );
        self.endpoint = url;
        self.endpoint.set_path(&path);
        Ok(self)
    }

    /// What tells the time. Default: the clock of the machine.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// What proves to GitHub that we hold the key, for ten minutes at most.
    fn proof(&self, now: Timestamp) -> Result<String, BoxError> {
        let now = now.as_second();
        // A minute back, for clocks that differ, as GitHub advises.
        let claims = serde_json::json!({ "iat": now - 60, "exp": now + 540, "iss": self.app });
        let text = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT"}"#),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &ring::rand::SystemRandom::new(),
                text.as_bytes(),
                &mut signature,
            )
            .map_err(|_| "the private key can't sign")?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    async fn new_token(&self, now: Timestamp) -> Result<Token, BoxError> {
        let host = self.endpoint.host_str().unwrap_or_default();
        let mut answer = self
            .client
            .post(self.endpoint.clone())
            .bearer_auth(self.proof(now)?)
            .header("accept", "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28")
            .send()
            .await
            // Its text names the URL only; the proof is in a header.
            .map_err(|error| format!("{host}: {}", one_line(&error.without_url().to_string())))?;
        let status = answer.status();
        if !status.is_success() {
            return Err(format!("{host} gives no token: HTTP {}", status.as_u16()).into());
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer
            .chunk()
            .await
            .map_err(|error| format!("{host}: {}", one_line(&error.without_url().to_string())))?
        {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER {
                return Err(format!("{host}: the answer is too long").into());
            }
        }
        let broken = || format!("{host}: the answer holds no token");
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| broken())?;
        Ok(Token {
            expires: answer.expires_at.parse().map_err(|_| broken())?,
            token: Redacted::new(answer.token),
        })
    }
}

impl std::fmt::Debug for GitHubApp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GitHubApp")
            .field("app", &self.app)
            .field("endpoint", &self.endpoint.as_str())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl CredentialProvider for GitHubApp {
    async fn credentials(
        &self,
        _: &RemoteUrl,
        refused: bool,
    ) -> Result<Option<Credentials>, BoxError> {
        // Held while a token is asked for: many sources ask once.
        let mut token = self.token.lock().await;
        let now = self.clock.now();
        if refused {
            *token = None;
        }
        let known = token
            .as_ref()
            .filter(|known| known.expires.duration_since(now) > RENEW_BEFORE);
        let known = match known {
            Some(known) => known.token.clone(),
            None => {
                let new = self.new_token(now).await?;
                let value = new.token.clone();
                *token = Some(new);
                value
            }
        };
        Ok(Some(Credentials::token(known.into_exposed())))
    }
}

/// GitHub hands out PKCS#1; others convert it to PKCS#8.
fn rsa_key(pem: &str) -> Option<RsaKeyPair> {
    let der = |label: &str| {
        let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
        let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
        let body: String = body.split_whitespace().collect();
        STANDARD.decode(body).ok()
    };
    if let Some(der) = der("RSA PRIVATE KEY") {
        return RsaKeyPair::from_der(&der).ok();
    }
    der("PRIVATE KEY").and_then(|der| RsaKeyPair::from_pkcs8(&der).ok())
}
