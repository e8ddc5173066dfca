//! What we show a server to be let in.

use std::sync::Arc;

use async_trait::async_trait;
use gitops_core::{BoxError, Redacted};

use crate::error::GitError;
use crate::remote_url::RemoteUrl;

/// Credentials for a repository. `Debug` does not show them.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Credentials {
    /// User and password, or user and token: HTTP basic authentication.
    Basic {
        /// The user; hosting services that want only a token take any.
        user: String,
        /// The password or token.
        password: Redacted<String>,
    },
    /// A token sent as `Authorization: Bearer`.
    Bearer(Redacted<String>),
}

impl Credentials {
    /// User and password, or user and token.
    pub fn basic(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Basic {
            user: user.into(),
            password: Redacted::new(password.into()),
        }
    }

    /// A personal access token of GitHub, GitLab, Gitea, Forgejo or Bitbucket, which all
    /// take it as the password of any user. For servers that want it as a bearer token there
    /// is [`bearer`](Self::bearer).
    pub fn token(token: impl Into<String>) -> Self {
        Self::basic("x-access-token", token)
    }

    /// A token sent as `Authorization: Bearer`, as Azure DevOps and proxies want it.
    pub fn bearer(token: impl Into<String>) -> Self {
        Self::Bearer(Redacted::new(token.into()))
    }

    /// What must not appear in any text.
    pub(crate) fn secrets(&self) -> Vec<&str> {
        match self {
            Self::Basic { password, .. } => vec![password.expose()],
            Self::Bearer(token) => vec![token.expose()],
        }
    }
}

/// Where credentials come from that do not last: a token of a GitHub App or of a cloud, a
/// password in a vault.
///
/// A source asks for them as it needs them. When the server does not take them (HTTP 401) it
/// asks once more, saying so, and sends the request again; a second refusal is an error. An
/// implementation keeps what it has as long as it is good: it is asked at every request.
///
/// ```
/// use async_trait::async_trait;
/// use gitops_core::BoxError;
/// use gitops_git::{CredentialProvider, Credentials, GitSource, RemoteUrl};
///
/// /// A token in a file that somebody else renews.
/// struct TokenFile(std::path::PathBuf);
///
/// #[async_trait]
/// impl CredentialProvider for TokenFile {
///     async fn credentials(
///         &self,
///         _: &RemoteUrl,
///         _refused: bool,
///     ) -> Result<Option<Credentials>, BoxError> {
///         let token = std::fs::read_to_string(&self.0)?;
///         Ok(Some(Credentials::token(token.trim())))
///     }
/// }
///
/// let source = GitSource::builder("https://example.com/shop.git")
///     .credential_provider(TokenFile("/var/run/secrets/git/token".into()))
///     .build()?;
/// # Ok::<_, gitops_git::GitError>(())
/// ```
#[async_trait]
pub trait CredentialProvider: Send + Sync {
    /// The credentials for a repository; none to ask without. `refused` says that those given
    /// before were not taken, so they must not be given again.
    ///
    /// # Errors
    ///
    /// When there are none to be had now. The message must not hold a secret.
    async fn credentials(
        &self,
        url: &RemoteUrl,
        refused: bool,
    ) -> Result<Option<Credentials>, BoxError>;
}

const _: Option<&dyn CredentialProvider> = None;

#[async_trait]
impl CredentialProvider for Credentials {
    async fn credentials(&self, _: &RemoteUrl, _: bool) -> Result<Option<Credentials>, BoxError> {
        Ok(Some(self.clone()))
    }
}

#[async_trait]
impl<P: CredentialProvider + ?Sized> CredentialProvider for Arc<P> {
    async fn credentials(
        &self,
        url: &RemoteUrl,
        refused: bool,
    ) -> Result<Option<Credentials>, BoxError> {
        (**self).credentials(url, refused).await
    }
}

/// Credentials by where a repository is: one set for many sources.
///
/// Of the prefixes that fit the longest counts. A prefix ends at a `/` of the URL or at its
/// end: `https://example.com/ann` is not one of `https://example.com/anna/shop.git`.
///
/// ```
/// use gitops_git::{Credentials, CredentialsByPrefix};
///
/// let all = CredentialsByPrefix::new()
///     .add("https://github.com/", Credentials::token("for all there"))?
///     .add("https://github.com/payments", Credentials::token("for these"))?;
/// # Ok::<_, gitops_git::GitError>(())
/// ```
#[derive(Clone, Default)]
pub struct CredentialsByPrefix {
    providers: Vec<(String, Arc<dyn CredentialProvider>)>,
}

impl CredentialsByPrefix {
    /// None yet: repositories that no prefix fits are asked without credentials.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds those for URLs that begin with this: scheme, host, and as much of the path as
    /// there is to say.
    ///
    /// # Errors
    ///
    /// When the prefix is not an `https` or `http` URL, or holds a user or a password.
    pub fn add(
        mut self,
        prefix: &str,
        provider: impl CredentialProvider + 'static,
    ) -> Result<Self, GitError> {
        let url: RemoteUrl = prefix.parse()?;
        if !url.is_http() || url.user_info.is_some() {
            return Err(GitError::Url {
                url: crate::remote_url::without_credentials(prefix),
                reason: "can't have credentials by prefix: give https, and no user",
            });
        }
        let prefix = url.to_string().trim_end_matches('/').to_owned();
        self.providers.push((prefix, Arc::new(provider)));
        // The longest first.
        self.providers
            .sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Ok(self)
    }

    fn find(&self, url: &RemoteUrl) -> Option<&Arc<dyn CredentialProvider>> {
        let url = url.to_string();
        self.providers
            .iter()
            .find(|(prefix, _)| {
                url.strip_prefix(prefix.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
            .map(|(_, provider)| provider)
    }
}

impl std::fmt::Debug for CredentialsByPrefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set()
            .entries(self.providers.iter().map(|(prefix, _)| prefix))
            .finish()
    }
}

#[async_trait]
impl CredentialProvider for CredentialsByPrefix {
    async fn credentials(
        &self,
        url: &RemoteUrl,
        refused: bool,
    ) -> Result<Option<Credentials>, BoxError> {
        match self.find(url) {
            Some(provider) => provider.credentials(url, refused).await,
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_longest_prefix_counts_and_ends_at_a_slash() {
        let all = CredentialsByPrefix::new()
            .add("https://h/", Credentials::token("host"))
            .unwrap()
            .add("https://h/ann/", Credentials::token("ann"))
            .unwrap()
            .add("https://h:8443/", Credentials::token("port"))
            .unwrap();
        for (url, token) in [
            ("https://h/x.git", Some("host")),
            ("https://h/ann/shop.git", Some("ann")),
            ("https://h/ann", Some("ann")),
            ("https://h/anna/shop.git", Some("host")),
            ("https://h:8443/ann/shop.git", Some("port")),
            ("https://h.evil.org/ann/shop.git", None),
            ("http://h/ann/shop.git", None),
            ("https://H/ann/shop.git", Some("ann")),
            ("https://h/x/../ann/shop.git", Some("ann")),
        ] {
            let found = all.credentials(&url.parse().unwrap(), false).await.unwrap();
            let found = found.map(|found| found.secrets().join(""));
            assert_eq!(found.as_deref(), token, "{url}");
        }
        for bad in ["/srv", "ssh://h/x", "https://u:hunter2@h/", "h"] {
            let error = CredentialsByPrefix::new()
                .add(bad, Credentials::token("x"))
                .unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
