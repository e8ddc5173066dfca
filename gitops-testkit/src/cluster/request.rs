//! What a request asks for, read from its path and query.

use super::status::{ApiError, ApiResult};

/// The parameters of a query, decoded, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Parses a raw query string. Stray `&` are allowed: kube sends them.
    pub(crate) fn parse(raw: &str) -> Self {
        Self(
            raw.split('&')
                .filter(|part| !part.is_empty())
                .map(|part| {
                    let (key, value) = part.split_once('=').unwrap_or((part, ""));
                    (decode(key, true), decode(value, true))
                })
                .collect(),
        )
    }

    /// The first value of `key`.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value.as_str())
    }

    /// All values of `key`.
    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(k, _)| k == key)
            .map(|(_, value)| value.as_str())
    }

    /// The first value of `key`, if it isn't empty.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.get(key).filter(|value| !value.is_empty())
    }

    /// A boolean as Go's conversion from the query reads it: there and not `false` or `0`.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.get(key)
            .is_some_and(|value| !matches!(value.to_ascii_lowercase().as_str(), "false" | "0"))
    }

    /// A number.
    pub(crate) fn number(&self, key: &str) -> ApiResult<Option<i64>> {
        match self.text(key) {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| {
                ApiError::bad_request(format!(
                    "strconv.ParseInt: parsing {text:?}: invalid syntax"
                ))
            }),
        }
    }
}

/// Decodes `%xx`; what is not an escape stays.
pub(crate) fn decode(text: &str, plus_is_space: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'%' {
            let hex = bytes
                .get(at + 1..at + 3)
                .and_then(|pair| std::str::from_utf8(pair).ok())
                .and_then(|pair| u8::from_str_radix(pair, 16).ok());
            if let Some(value) = hex {
                out.push(value);
                at += 3;
                continue;
            }
        }
        out.push(if byte == b'+' && plus_is_space {
            b' '
        } else {
            byte
        });
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A path below `/api` or `/apis` that names a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ResourcePath {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: Option<String>,
    pub(crate) resource: String,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
    /// More path after the subresource (of a proxy).
    pub(crate) rest: Vec<String>,
    /// The old `/watch/` prefix.
    pub(crate) old_watch: bool,
}

impl ResourcePath {
    /// Reads a path; `None` for one that isn't a resource's.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let mut parts: Vec<String> = path
            .trim_matches('/')
            .split('/')
            .map(|part| decode(part, false))
            .collect();
        let group = match parts.first()?.as_str() {
            "api" => String::new(),
            "apis" => {
                if parts.len() < 2 {
                    return None;
                }
                parts.remove(1)
            }
            _ => return None,
        };
        let mut parts = parts.into_iter().skip(1).peekable();
        let version = parts.next()?;
        let old_watch = parts.next_if(|part| part == "watch").is_some();
        let first = parts.next()?;
        let mut found = Self {
            group,
            version,
            old_watch,
            ..Self::default()
        };
        if first == "namespaces" {
            let Some(namespace) = parts.next() else {
                found.resource = first;
                return Some(found);
            };
            match parts.next() {
                None => {
                    found.resource = first;
                    found.name = Some(namespace);
                    return Some(found);
                }
                Some(sub)
                    if matches!(sub.as_str(), "status" | "finalize") && found.group.is_empty() =>
                {
                    found.resource = first;
                    found.name = Some(namespace);
                    found.subresource = Some(sub);
                    return Some(found);
                }
                Some(resource) => {
                    found.namespace = Some(namespace);
                    found.resource = resource;
                }
            }
        } else {
            found.resource = first;
        }
        found.name = parts.next();
        found.subresource = parts.next();
        found.rest = parts.collect();
        Some(found)
    }

    /// The namespace that authorization looks at: a namespace lies in itself.
    pub(crate) fn authorization_namespace(&self) -> Option<&str> {
        if self.resource == "namespaces" && self.group.is_empty() {
            self.name.as_deref()
        } else {
            self.namespace.as_deref()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_resources() {
        let path =
            ResourcePath::parse("/apis/apps/v1/namespaces/shop/deployments/web/scale").unwrap();
        assert_eq!(
            (
                path.group.as_str(),
                path.version.as_str(),
                path.namespace.as_deref()
            ),
            ("apps", "v1", Some("shop"))
        );
        assert_eq!(
            (
                path.resource.as_str(),
                path.name.as_deref(),
                path.subresource.as_deref()
            ),
            ("deployments", Some("web"), Some("scale"))
        );
        let path = ResourcePath::parse("/api/v1/namespaces/shop/status").unwrap();
        assert_eq!(
            (path.resource.as_str(), path.name.as_deref()),
            ("namespaces", Some("shop"))
        );
        assert_eq!(path.authorization_namespace(), Some("shop"));
        assert_eq!(ResourcePath::parse("/api/v1"), None);
        assert_eq!(ResourcePath::parse("/healthz"), None);
    }

    #[test]
    fn stray_ampersands_and_escapes() {
        let query = Query::parse("&watch=true&labelSelector=a%3Db+c&dryRun=");
        assert!(query.flag("watch"));
        assert_eq!(query.get("labelSelector"), Some("a=b c"));
        assert_eq!(query.get("dryRun"), Some(""));
        assert_eq!(query.text("dryRun"), None);
    }
}
