//! Reading and writing YAML and JSON as `kubectl` does it.
//!
//! [`read_manifests`] turns a file into [`Manifest`](crate::Manifest)s,
//! [`read_documents`] into JSON values. Scalars have the meaning that
//! `kubectl` and the API machinery give them, which is YAML 1.1 as `sigs.k8s.io/yaml`
//! reads it: `on` is a boolean, `0777` is 511, and a commit such as `1234e56` is a
//! number. [`to_yaml`] quotes every text that would be read as something else, by these
//! rules or by those of YAML 1.2.
//!
//! ```
//! use gitops_core::yaml::{ReadLimits, read_documents, to_yaml};
//!
//! let read = read_documents("a.yaml", b"on: 0777\n---\nport: '80'\n", &ReadLimits::default());
//! assert!(read.errors.is_empty());
//! assert_eq!(read.documents[0].value, serde_json::json!({ "true": 511 }));
//! assert_eq!((read.documents[1].number, read.documents[1].line), (2, 3));
//! assert_eq!(to_yaml(&read.documents[1].value), "port: \"80\"\n");
//! ```
//!
//! # Where it is stricter than `kubectl`
//!
//! What `kubectl` reads in silence although another tool reads it differently, or
//! although a part of it is lost, is an error here:
//!
//! * a key that stands twice, also when the two are equal only as JSON (`1` and `"1"`);
//! * a `<<` below a key for which it holds another value;
//! * content behind the end marker `...`, which `kubectl` drops;
//! * `!!binary` of bytes that are not UTF-8, which `kubectl` replaces;
//! * the raw characters U+0085, U+2028 and U+2029: line breaks in YAML 1.1 and none in
//!   YAML 1.2, so that a comment may end for one reader and go on for the other.
//!
//! `%` directives are refused by both.

mod build;
mod error;
mod json;
mod limits;
mod manifests;
mod read;
mod scalar;
mod write;

pub use error::{ReadError, ReadErrorKind};
pub use limits::ReadLimits;
pub use manifests::{Manifests, read_manifests};
pub use read::{Document, Documents, read_documents};
pub use write::to_yaml;
