//! What we show a server to be let in.

use gitops_core::Redacted;

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
