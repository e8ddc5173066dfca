//! The manifests of a file.

use serde_json::{Map, Value};

use super::build::type_name;
use super::error::{ReadError, ReadErrorKind};
use super::limits::ReadLimits;
use super::read::{Document, Documents, each_document};
use crate::{Manifest, Origin, RelPath};

/// What a file holds: the manifests that could be read, and why the others could not.
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use]
pub struct Manifests {
    /// The manifests, in the order of the file.
    pub manifests: Vec<Manifest>,
    /// All errors, in the order of the file.
    pub errors: Vec<ReadError>,
}

/// Reads all manifests of a YAML or JSON file.
///
/// A `List`, and every other kind that ends in `List` and has `items`, stands for its
/// items; where these don't give their own `apiVersion` and `kind` they are those of the
/// list without `List`, as in the
/// [API machinery](https://github.com/kubernetes/apimachinery/blob/v0.34.0/pkg/apis/meta/v1/unstructured/helpers.go).
/// Each manifest knows its file, document and line.
///
/// A document that is no Kubernetes object is an error that says what it misses, such as
/// [`NotAManifest`](ReadErrorKind::NotAManifest) for the input of another tool.
///
/// ```
/// use gitops_core::yaml::{ReadLimits, read_manifests};
///
/// let yaml = "
/// apiVersion: v1
/// kind: List
/// items:
/// - { apiVersion: v1, kind: ConfigMap, metadata: { name: a } }
/// - { apiVersion: v1, kind: ConfigMap, metadata: { generateName: b- } }
/// ";
/// let read = read_manifests(&"a.yaml".parse()?, yaml.as_bytes(), &ReadLimits::default());
/// assert_eq!(read.manifests[0].id().to_string(), "ConfigMap a");
/// assert_eq!(read.manifests[0].origin().to_string(), "a.yaml:2");
/// assert!(read.errors[0].to_string().contains("item 1 of the list: metadata.generateName"));
/// # Ok::<_, gitops_core::PathError>(())
/// ```
pub fn read_manifests(file: &RelPath, bytes: &[u8], limits: &ReadLimits) -> Manifests {
    let mut read = Manifests::default();
    each_document(
        file.as_str(),
        bytes,
        limits,
        &mut |document| match document {
            Ok(document) => read.document(file, document),
            Err(error) => read.errors.push(error),
        },
    );
    read
}

impl Documents {
    /// The manifests among the documents of a file, as [`read_manifests`] takes them.
    ///
    /// For callers that look at the documents first: a renderer leaves out those that
    /// are meant for another tool.
    pub fn into_manifests(self, file: &RelPath) -> Manifests {
        let mut read = Manifests::default();
        for document in self.documents {
            read.document(file, document);
        }
        read.errors.extend(self.errors);
        read.errors
            .sort_by_key(|error| (error.document, error.line));
        read
    }
}

impl Manifests {
    fn document(&mut self, file: &RelPath, document: Document) {
        let mut collector = Collector {
            origin: Origin::new(file.clone(), to_u32(document.number), to_u32(document.line)),
            manifests: &mut self.manifests,
            refused: Vec::new(),
        };
        collector.document(document.value);
        self.errors
            .extend(collector.refused.into_iter().map(|kind| ReadError {
                file: file.as_str().to_owned(),
                document: document.number,
                line: document.line,
                column: 1,
                kind,
            }));
    }
}

fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

struct Collector<'a> {
    origin: Origin,
    manifests: &'a mut Vec<Manifest>,
    refused: Vec<ReadErrorKind>,
}

impl Collector<'_> {
    fn document(&mut self, value: Value) {
        if let Err(kind) = self.object(value) {
            self.refused.push(kind);
        }
    }

    /// Takes an object, or the items of a list. The reader has bounded how deep lists can
    /// stand in lists.
    fn object(&mut self, value: Value) -> Result<(), ReadErrorKind> {
        let mut object = match value {
            Value::Object(object) => object,
            other => {
                return Err(ReadErrorKind::NotAnObject {
                    found: type_name(&other),
                });
            }
        };
        if !object.contains_key("apiVersion") && !object.contains_key("kind") {
            return Err(ReadErrorKind::NotAManifest);
        }
        let api_version = text(&object, "apiVersion", "apiVersion")?;
        let kind = text(&object, "kind", "kind")?;
        if let Some(item_kind) = kind.strip_suffix("List") {
            let defaults = (api_version.to_owned(), item_kind.to_owned());
            match object.remove("items") {
                Some(Value::Array(items)) => {
                    self.list(items, &defaults);
                    return Ok(());
                }
                Some(Value::Null) | None if defaults.1.is_empty() => return Ok(()),
                Some(other) if defaults.1.is_empty() => {
                    return Err(ReadErrorKind::FieldType {
                        field: "items",
                        expected: "a list",
                        found: type_name(&other),
                    });
                }
                // An object of its own whose kind happens to end so.
                Some(items) => {
                    object.insert("items".into(), items);
                }
                None => {}
            }
        }
        check_metadata(&object)?;
        let manifest = Manifest::new(Value::Object(object), self.origin.clone())
            .map_err(ReadErrorKind::Manifest)?;
        self.manifests.push(manifest);
        Ok(())
    }

    fn list(&mut self, items: Vec<Value>, (api_version, kind): &(String, String)) {
        for (index, mut item) in items.into_iter().enumerate() {
            if let Value::Object(item) = &mut item
                && !kind.is_empty()
                && !item.contains_key("apiVersion")
                && !item.contains_key("kind")
            {
                item.insert("apiVersion".into(), api_version.as_str().into());
                item.insert("kind".into(), kind.as_str().into());
            }
            if let Err(kind) = self.object(item) {
                let kind = Box::new(kind);
                self.refused.push(ReadErrorKind::Item { index, kind });
            }
        }
    }
}

/// A text that every object must have.
fn text<'a>(
    object: &'a Map<String, Value>,
    key: &str,
    field: &'static str,
) -> Result<&'a str, ReadErrorKind> {
    match object.get(key) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        None | Some(Value::Null | Value::String(_)) => Err(ReadErrorKind::MissingField { field }),
        Some(other) => Err(ReadErrorKind::FieldType {
            field,
            expected: "a text",
            found: type_name(other),
        }),
    }
}

fn check_metadata(object: &Map<String, Value>) -> Result<(), ReadErrorKind> {
    let metadata = match object.get("metadata") {
        Some(Value::Object(metadata)) => metadata,
        None | Some(Value::Null) => {
            return Err(ReadErrorKind::MissingField {
                field: "metadata.name",
            });
        }
        Some(other) => {
            return Err(ReadErrorKind::FieldType {
                field: "metadata",
                expected: "a mapping",
                found: type_name(other),
            });
        }
    };
    let has_name = !matches!(metadata.get("name"), None | Some(Value::Null));
    if !has_name && metadata.contains_key("generateName") {
        return Err(ReadErrorKind::GenerateName);
    }
    text(metadata, "name", "metadata.name")?;
    match metadata.get("namespace") {
        None | Some(Value::Null | Value::String(_)) => Ok(()),
        Some(other) => Err(ReadErrorKind::FieldType {
            field: "metadata.namespace",
            expected: "a text",
            found: type_name(other),
        }),
    }
}
