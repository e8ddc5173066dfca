//! Manifests: what one object should be.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Digest, GroupVersionKind, ObjectId, RelPath};

/// Where a manifest comes from: what an error about it names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The file, from the root of the revision.
    pub file: RelPath,
    /// Which document of the file, counted from one.
    pub document: u32,
    /// The line on which the document begins, counted from one.
    pub line: u32,
}

impl Origin {
    /// The place of a document in a file; both numbers count from one.
    #[must_use]
    pub fn new(file: RelPath, document: u32, line: u32) -> Self {
        Self {
            file,
            document,
            line,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        if self.document > 1 {
            write!(f, " (document {})", self.document)?;
        }
        Ok(())
    }
}

/// Why a value is not a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The document is a list, a text or a number.
    #[error("{origin}: a manifest is an object with apiVersion, kind and metadata.name")]
    NotAnObject {
        /// Where.
        origin: Origin,
    },
    /// A field that every manifest has is missing or not a text.
    #[error("{origin}: {field} is missing or is not a text")]
    MissingField {
        /// Where.
        origin: Origin,
        /// The field.
        field: &'static str,
    },
    /// The object has `generateName` and no `name`.
    #[error(
        "{origin}: metadata.generateName without metadata.name: the object would be another one \
         each time; give it a name"
    )]
    GeneratedName {
        /// Where.
        origin: Origin,
    },
}

/// One object as it is desired: what Git says of it.
///
/// At rest a manifest is one compact piece of JSON with sorted keys, not a tree: a
/// `serde_json::Value` takes ten to nineteen times as much. [`value`](Self::value)
/// parses it when somebody looks. Cloning is cheap.
///
/// `Debug` shows which object it is and never its content.
///
/// ```
/// use gitops_core::{Manifest, Origin};
/// use serde_json::json;
///
/// let origin = Origin::new("app/web.yaml".parse()?, 1, 1);
/// let manifest = Manifest::new(
///     json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"}}),
///     origin,
/// )?;
/// assert_eq!(manifest.id().to_string(), "Service shop/web");
/// assert_eq!(manifest.value()["metadata"]["name"], "web");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Manifest {
    inner: Arc<Inner>,
}

#[derive(PartialEq, Eq)]
struct Inner {
    id: ObjectId,
    version: String,
    origin: Origin,
    digest: Digest,
    json: Box<str>,
}

impl Manifest {
    /// Takes an object as it was read.
    ///
    /// # Errors
    ///
    /// If it has no `apiVersion`, `kind` or `metadata.name`.
    pub fn new(value: Value, origin: Origin) -> Result<Self, ManifestError> {
        let Value::Object(object) = value else {
            return Err(ManifestError::NotAnObject { origin });
        };
        let missing = |field| ManifestError::MissingField {
            origin: origin.clone(),
            field,
        };
        let text = |value: Option<&Value>, field| {
            value
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
                .ok_or_else(|| missing(field))
        };
        let api_version = text(object.get("apiVersion"), "apiVersion")?;
        let kind = text(object.get("kind"), "kind")?;
        let metadata = object.get("metadata").and_then(Value::as_object);
        let member = |name: &str| metadata.and_then(|metadata| metadata.get(name));
        if member("name").is_none() && member("generateName").is_some() {
            return Err(ManifestError::GeneratedName { origin });
        }
        let name = text(member("name"), "metadata.name")?;
        let namespace = match member("namespace") {
            None | Some(Value::Null) => None,
            Some(Value::String(namespace)) if namespace.is_empty() => None,
            Some(Value::String(namespace)) => Some(namespace.clone()),
            Some(_) => return Err(missing("metadata.namespace")),
        };
        let GroupVersionKind {
            group,
            version,
            kind,
        } = GroupVersionKind::from_api_version(&api_version, &kind);
        let id = ObjectId {
            group,
            kind,
            namespace,
            name,
        };
        Ok(Self::assemble(id, version, origin, &Value::Object(object)))
    }

    fn assemble(id: ObjectId, version: String, origin: Origin, value: &Value) -> Self {
        let json = canonical_json(value).into_boxed_str();
        let digest = Digest::of(json.as_bytes());
        Self {
            inner: Arc::new(Inner {
                id,
                version,
                origin,
                digest,
                json,
            }),
        }
    }

    /// Which object it is. Before the planner knows whether the kind is namespaced, the
    /// namespace is what the manifest says.
    #[must_use]
    pub fn id(&self) -> &ObjectId {
        &self.inner.id
    }

    /// The kind with the version that the manifest is written in.
    #[must_use]
    pub fn gvk(&self) -> GroupVersionKind {
        let ObjectId { group, kind, .. } = &self.inner.id;
        GroupVersionKind {
            group: group.clone(),
            version: self.inner.version.clone(),
            kind: kind.clone(),
        }
    }

    /// Where it comes from.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.inner.origin
    }

    /// The digest of its content, whatever the order of its keys was.
    ///
    /// Of a [sensitive](Self::is_sensitive) manifest the digest must not be stored or
    /// shown: a short secret can be guessed from it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.inner.digest
    }

    /// Whether the content may be secret, so that neither it nor its digest may be
    /// shown: a core `Secret`.
    #[must_use]
    pub fn is_sensitive(&self) -> bool {
        self.inner.id.is("", "Secret")
    }

    /// The object as a tree, parsed anew.
    #[must_use]
    pub fn value(&self) -> Value {
        // What we wrote ourselves can be read; a tree of nothing is what `json` of
        // nothing would be.
        serde_json::from_str(&self.inner.json).unwrap_or(Value::Null)
    }

    /// The object as compact JSON with sorted keys.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.inner.json
    }

    /// The same object in this namespace; `None` takes the namespace away.
    #[must_use]
    pub fn in_namespace(&self, namespace: Option<&str>) -> Self {
        if self.inner.id.namespace.as_deref() == namespace {
            return self.clone();
        }
        let mut id = self.inner.id.clone();
        id.namespace = namespace.map(str::to_owned);
        self.edited(id, |metadata| match namespace {
            Some(namespace) => {
                metadata.insert("namespace".into(), namespace.into());
            }
            None => {
                metadata.remove("namespace");
            }
        })
    }

    /// The same object with one more label and annotation.
    #[must_use]
    pub(crate) fn marked(&self, label: (&str, &str), annotation: (&str, &str)) -> Self {
        self.edited(self.inner.id.clone(), |metadata| {
            for (member, (key, value)) in [("labels", label), ("annotations", annotation)] {
                let map = metadata.entry(member).or_insert(Value::Null);
                if !map.is_object() {
                    *map = Value::Object(Map::new());
                }
                if let Value::Object(map) = map {
                    map.insert(key.into(), value.into());
                }
            }
        })
    }

    fn edited(&self, id: ObjectId, edit: impl FnOnce(&mut Map<String, Value>)) -> Self {
        let mut value = self.value();
        if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
            edit(metadata);
        }
        Self::assemble(
            id,
            self.inner.version.clone(),
            self.inner.origin.clone(),
            &value,
        )
    }
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifest")
            .field("id", &format_args!("{}", self.id()))
            .field("origin", &format_args!("{}", self.origin()))
            .finish_non_exhaustive()
    }
}

/// Writes JSON without spaces and with sorted keys, also where another crate of the
/// program turns `serde_json/preserve_order` on.
pub(crate) fn canonical_json(value: &Value) -> String {
    fn write(value: &Value, out: &mut String) {
        match value {
            Value::Object(object) => {
                let mut members: Vec<_> = object.iter().collect();
                members.sort_by_key(|(key, _)| *key);
                out.push('{');
                for (at, (key, value)) in members.into_iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    out.push_str(&Value::String(key.clone()).to_string());
                    out.push(':');
                    write(value, out);
                }
                out.push('}');
            }
            Value::Array(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    write(item, out);
                }
                out.push(']');
            }
            scalar => out.push_str(&scalar.to_string()),
        }
    }
    let mut out = String::new();
    write(value, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn origin() -> Origin {
        Origin::new("a.yaml".parse().unwrap(), 2, 7)
    }

    #[test]
    fn what_every_manifest_has_is_asked_for_by_name() {
        for (value, message) in [
            (json!([]), "a.yaml:7 (document 2): a manifest is an object"),
            (
                json!({"kind": "A"}),
                "a.yaml:7 (document 2): apiVersion is missing",
            ),
            (
                json!({"apiVersion": "v1", "kind": 1}),
                "kind is missing or is not a text",
            ),
            (
                json!({"apiVersion": "v1", "kind": "A"}),
                "metadata.name is missing",
            ),
            (
                json!({"apiVersion": "v1", "kind": "A", "metadata": {"generateName": "x-"}}),
                "metadata.generateName without metadata.name",
            ),
            (
                json!({"apiVersion": "v1", "kind": "A", "metadata": {"name": "x", "namespace": 1}}),
                "metadata.namespace is missing or is not a text",
            ),
        ] {
            let error = Manifest::new(value, origin()).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn the_digest_is_of_the_content_not_of_the_order() {
        let a =
            r#"{"kind":"A","apiVersion":"g/v1","metadata":{"name":"x"},"b":1,"a":{"d":1,"c":2}}"#;
        let b =
            r#"{"a":{"c":2,"d":1},"apiVersion":"g/v1","b":1,"kind":"A","metadata":{"name":"x"}}"#;
        let read = |text| Manifest::new(serde_json::from_str(text).unwrap(), origin()).unwrap();
        assert_eq!(read(a).digest(), read(b).digest());
        assert_eq!(read(a).json(), b);
    }

    #[test]
    fn debug_shows_no_content() {
        let secret = Manifest::new(
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "data": {"p": "aHVudGVyMg=="}}),
            origin(),
        )
        .unwrap();
        assert!(secret.is_sensitive());
        assert!(!format!("{secret:?}").contains("aHVudGVyMg"));
    }

    #[test]
    fn the_namespace_moves_with_the_id() {
        let manifest = Manifest::new(
            json!({"apiVersion": "v1", "kind": "A", "metadata": {"name": "x"}}),
            origin(),
        )
        .unwrap();
        let moved = manifest.in_namespace(Some("shop"));
        assert_eq!(moved.id().namespace.as_deref(), Some("shop"));
        assert_eq!(moved.value()["metadata"]["namespace"], "shop");
        assert_eq!(moved.in_namespace(None), manifest);
    }
}
