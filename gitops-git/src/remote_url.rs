//! The URL of a repository, as Git users write it.

use std::path::PathBuf;

use gitops_core::Redacted;
use url::Url;

use crate::error::GitError;

/// Where a repository is.
///
/// Read from `https://`, `http://`, `ssh://` and `file://` URLs, from `user@host:path` as
/// `ssh` users write it, and from absolute or `./relative` paths. It prints without user,
/// password, query and fragment. Refused are: other schemes, a `-` at the start of the URL,
/// the user, the host or the path (it could be read as an option), and control characters.
///
/// ```
/// use gitops_git::RemoteUrl;
///
/// let url: RemoteUrl = "https://ann:hunter2@example.com/shop.git".parse()?;
/// assert_eq!(url.to_string(), "https://example.com/shop.git");
/// assert!("--upload-pack=evil".parse::<RemoteUrl>().is_err());
/// assert!("git@-oProxyCommand=evil:shop".parse::<RemoteUrl>().is_err());
/// # Ok::<_, gitops_git::GitError>(())
/// ```
#[derive(Debug, Clone)]
pub struct RemoteUrl {
    pub(crate) place: Place,
    /// What stood in the URL itself.
    pub(crate) user_info: Option<(String, Redacted<String>)>,
}

#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// Without user information, query and fragment.
    Http(Url),
    Ssh {
        user: Option<String>,
        host: String,
        port: Option<u16>,
        path: String,
    },
    Local(PathBuf),
}

impl RemoteUrl {
    fn parse(text: &str) -> Result<Self, GitError> {
        let refuse = |reason| GitError::Url {
            url: without_credentials(text),
            reason,
        };
        if text.is_empty() {
            return Err(refuse("is empty"));
        }
        if text.len() > 4096 {
            return Err(refuse("is longer than 4096 bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err(refuse("holds a control character or a line break"));
        }
        if text.starts_with('-') {
            return Err(refuse("begins with '-', which could be read as an option"));
        }
        if !text.contains("://") {
            return match scp_like(text) {
                // `ext::command` is a program to git.
                Some((_, path)) if path.starts_with(':') => {
                    Err(refuse("names a remote helper, which is not supported"))
                }
                // `user:password@host:path` would be the host `user`, and print the rest.
                Some((_, path)) if path.split('/').next().is_some_and(|p| p.contains('@')) => {
                    Err(refuse("holds a password, which ssh does not take"))
                }
                Some((login, path)) => Self::ssh(login, None, path, &refuse),
                None => Self::local(text, &refuse),
            };
        }
        // Browsers and Git read these in two ways.
        if text.contains('\\') {
            return Err(refuse("holds a backslash"));
        }
        if !text.starts_with("file:") && text.contains(":///") {
            return Err(refuse("has no host"));
        }
        let url = Url::parse(text).map_err(|_| refuse("is not a URL"))?;
        match url.scheme() {
            "https" | "http" => Self::http(url, &refuse),
            "ssh" | "git+ssh" | "ssh+git" => {
                if url.password().is_some() {
                    return Err(refuse("holds a password, which ssh does not take"));
                }
                let host = url.host_str().unwrap_or_default();
                let login = match url.username() {
                    "" => host.to_owned(),
                    user => format!("{}@{host}", percent_decoded(user, &refuse)?),
                };
                let path = percent_decoded(url.path(), &refuse)?;
                // `ssh://host/~ann/shop` means a path below Ann's home.
                let path = path
                    .strip_prefix("/~")
                    .map_or(path.clone(), |home| format!("~{home}"));
                Self::ssh(&login, url.port(), &path, &refuse)
            }
            "file" => {
                let path = url
                    .to_file_path()
                    .map_err(|()| refuse("is not the path of a file on this machine"))?;
                Ok(Self {
                    place: Place::Local(path),
                    user_info: None,
                })
            }
            _ => Err(refuse("has a scheme that is not https, http, ssh or file")),
        }
    }

    fn http(mut url: Url, refuse: &dyn Fn(&'static str) -> GitError) -> Result<Self, GitError> {
        if url.host_str().is_none_or(str::is_empty) {
            return Err(refuse("has no host"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse(
                "has a query or a fragment, which no repository URL has",
            ));
        }
        let user_info = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => Some((
                percent_decoded(user, refuse)?,
                Redacted::new(percent_decoded(password.unwrap_or_default(), refuse)?),
            )),
        };
        // Neither fails for a URL that has a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let trimmed = url.path().trim_end_matches('/').to_owned();
        url.set_path(&trimmed);
        Ok(Self {
            place: Place::Http(url),
            user_info,
        })
    }

    fn ssh(
        login: &str,
        port: Option<u16>,
        path: &str,
        refuse: &dyn Fn(&'static str) -> GitError,
    ) -> Result<Self, GitError> {
        let (user, host) = match login.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, login),
        };
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        if host.is_empty() {
            return Err(refuse("has no host"));
        }
        if path.is_empty() || path == "/" {
            return Err(refuse("has no path"));
        }
        for part in [user.unwrap_or("x"), host, path] {
            if part.is_empty() {
                return Err(refuse("has an empty user"));
            }
            if part.starts_with('-') {
                return Err(refuse(
                    "has a user, host or path that begins with '-', which could be read as an option",
                ));
            }
        }
        if user.is_some_and(|user| user.contains(':')) {
            return Err(refuse("holds a password, which ssh does not take"));
        }
        let strange = |c: char| c.is_whitespace() || c.is_control();
        if host.contains(strange) || user.is_some_and(|user| user.contains(strange)) {
            return Err(refuse("has white space in its user or host"));
        }
        if path.contains(char::is_control) {
            return Err(refuse("holds a control character or a line break"));
        }
        Ok(Self {
            place: Place::Ssh {
                user: user.map(str::to_owned),
                host: host.to_owned(),
                port,
                path: path.to_owned(),
            },
            user_info: None,
        })
    }

    fn local(text: &str, refuse: &dyn Fn(&'static str) -> GitError) -> Result<Self, GitError> {
        let explicit = text.starts_with('/')
            || text == "."
            || text == ".."
            || text.starts_with("./")
            || text.starts_with("../");
        if !explicit {
            return Err(refuse(
                "is neither a URL nor a path; write a relative path as ./path",
            ));
        }
        Ok(Self {
            place: Place::Local(PathBuf::from(text)),
            user_info: None,
        })
    }

    pub(crate) fn is_http(&self) -> bool {
        matches!(self.place, Place::Http(_))
    }

    /// What tells this repository from others, as a key for its cache. Users and tokens are
    /// no part of it: a token that is replaced every hour must not cost a clone every hour.
    pub(crate) fn cache_key(&self) -> String {
        self.to_string()
    }
}

impl std::str::FromStr for RemoteUrl {
    type Err = GitError;

    fn from_str(text: &str) -> Result<Self, GitError> {
        Self::parse(text)
    }
}

impl std::fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.place {
            Place::Http(url) => f.write_str(url.as_str()),
            Place::Ssh {
                host, port, path, ..
            } => {
                write!(f, "ssh://{host}")?;
                if let Some(port) = port {
                    write!(f, ":{port}")?;
                }
                match path.starts_with('/') {
                    true => f.write_str(path),
                    false => write!(f, "/{path}"),
                }
            }
            Place::Local(path) => write!(f, "{}", path.display()),
        }
    }
}

/// `user@host:path`: a colon before any slash. What begins with `.` or `/` is a path.
fn scp_like(text: &str) -> Option<(&str, &str)> {
    if text.starts_with(['/', '.']) {
        return None;
    }
    let colon = match text.find("]:") {
        // An IPv6 address in brackets holds colons of its own.
        Some(bracket) if text.contains('[') => bracket + 1,
        _ => text.find(':')?,
    };
    let (login, path) = (text.get(..colon)?, text.get(colon + 1..)?);
    (!login.contains('/')).then_some((login, path))
}

fn percent_decoded(
    text: &str,
    refuse: &dyn Fn(&'static str) -> GitError,
) -> Result<String, GitError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
            return Err(refuse("holds a '%' that is not followed by two digits"));
        };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
    }
    let decoded =
        String::from_utf8(bytes).map_err(|_| refuse("holds an escape that is not UTF-8"))?;
    if decoded.contains(char::is_control) {
        return Err(refuse("holds a control character or a line break"));
    }
    Ok(decoded)
}

/// A text that may be a URL, fit to be shown: what stands before an `@` and after a `?` or
/// `#` may be a secret. It errs on the side of hiding too much.
pub(crate) fn without_credentials(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = match text.find("://") {
        Some(at) => text.split_at(at + 3),
        None => ("", text),
    };
    let host_on = match rest.rfind('@') {
        Some(at) => rest.get(at + 1..).unwrap_or_default(),
        None => rest,
    };
    crate::error::one_line(&format!("{scheme}{host_on}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        text.parse::<RemoteUrl>().unwrap().to_string()
    }

    #[test]
    fn every_form_git_users_write_is_read() {
        assert_eq!(shown("https://h/a/b.git/"), "https://h/a/b.git");
        assert_eq!(shown("http://127.0.0.1:8080/r"), "http://127.0.0.1:8080/r");
        assert_eq!(shown("ssh://git@h:2222/a/b.git"), "ssh://h:2222/a/b.git");
        assert_eq!(shown("git@h:a/b.git"), "ssh://h/a/b.git");
        assert_eq!(shown("h:/srv/b.git"), "ssh://h/srv/b.git");
        assert_eq!(shown("git@[::1]:a"), "ssh://::1/a");
        assert_eq!(shown("file:///srv/a%20b.git"), "/srv/a b.git");
        assert_eq!(shown("/srv/a.git"), "/srv/a.git");
        assert_eq!(shown("./a.git"), "./a.git");
        let Place::Ssh { path, user, .. } =
            "ssh://ann@h/~ann/x".parse::<RemoteUrl>().unwrap().place
        else {
            panic!("not ssh");
        };
        assert_eq!((path.as_str(), user.as_deref()), ("~ann/x", Some("ann")));
    }

    #[test]
    fn what_could_be_an_option_or_hide_a_line_is_refused() {
        for bad in [
            "",
            "-x",
            "--upload-pack=touch /tmp/x",
            "https://h/a\nb",
            "https://h/a\0b",
            "ssh://-oProxyCommand=x/a",
            "ssh://-l@h/a",
            "ssh://h/%0aa",
            "-oProxyCommand=x:a",
            "git@-h:a",
            "-u@h:a",
            "h:-a",
            "h:",
            "@h:a",
            "u:p@h:a",
            "ssh://u:p@h/a",
            "ext::sh -c x",
            "git://h/a",
            "ftp://h/a",
            "https:///a",
            "https://h\\@evil/a",
            "https://h/a?token=x",
            "https://h/a#x",
            "https://u:%zz@h/a",
            "somewhere",
            "a/b:c",
        ] {
            let error = bad.parse::<RemoteUrl>();
            assert!(error.is_err(), "{bad:?} is taken as {error:?}");
        }
    }

    #[test]
    fn no_refusal_shows_a_credential() {
        for bad in [
            "https://ann:hunter2@h/a\nb",
            "ftp://ann:hunter2@h/a",
            "https://h/a?token=hunter2",
            "ann:hunter2@h:a",
            "-https://ann:hunter2@h/a",
            "https://ann:hun@ter2@h:port/a",
            "ssh://u:hunter2@h/a",
        ] {
            let error = bad.parse::<RemoteUrl>().unwrap_err().to_string();
            assert!(!error.contains("hun"), "{error}");
            assert!(!error.contains("ter2"), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
        let url: RemoteUrl = "https://ann:hunter2@h/a".parse().unwrap();
        assert!(!format!("{url:?}{url}").contains("hunter2"));
    }
}
