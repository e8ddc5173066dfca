//! What a kube-apiserver knows about each built-in kind, as pure functions on JSON.
//!
//! The order in which a server calls them for a create:
//!
//! 1. [`decode`]: bytes to an object in the server's form, unknown fields named.
//! 2. [`default`](fn@default): the fields that are set when nobody set them. Field ownership is computed on this.
//! 3. [`admit`]: what the built-in admission plugins set (pod tolerations, storage class).
//! 4. the server fills `uid`, `creationTimestamp`, the generated name; [`prepare_create`]: status, generation.
//! 5. [`validate_create`]; if there are errors, [`invalid_status`] is the answer. [`warnings`] go into headers.
//! 6. [`allocate`]: cluster IPs and node ports of a Service.
//!
//! An update: [`decode_value`] or [`decode`], [`default`](fn@default), [`admit`], [`prepare_update`], [`validate_update`],
//! [`allocate`].

mod decode;
mod defaults;
mod docs;
mod dump;
pub(crate) mod error;
mod json;
mod meta;
mod protobuf;
mod quantity;
pub(crate) mod rules;
mod service;
mod strategy;
mod table;
mod time;
#[cfg(test)]
mod transcripts;
mod types;
mod validate;
pub(crate) mod value;

use std::sync::OnceLock;

use serde_json::{Map, Value};

pub use decode::{
    DecodeError, Decoded, decode, decode_metadata, decode_untyped, decode_value, normalize,
};
pub use defaults::default;
pub(crate) use dump::internal as internal_dump;
pub use error::{ErrorKind, FieldError, Path, aggregate, invalid, invalid_status};
pub(crate) use meta::validate_metadata_at;
pub use meta::{NameRule, validate_metadata, validate_metadata_update};
pub use protobuf::{ProtobufError, decode_protobuf};
pub(crate) use rules::{dns_subdomain, dns1035_label as dns_1035, parse_cidr};
pub use service::{ServiceAllocator, allocate, release};
pub use strategy::{Target, admit, prepare_create, prepare_update};
pub(crate) use table::{age as printed_age, custom_columns};
pub use table::{table_cells, table_columns};
pub use validate::{validate_create, validate_update, warnings};

/// A kind that is built into the API server.
///
/// Comparable and cheap to copy; every function of this module takes one.
#[derive(Clone, Copy, Debug)]
pub struct Kind(&'static Entry);

#[derive(Debug)]
struct Entry {
    group: String,
    version: String,
    name: String,
    type_index: usize,
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Kind {}

impl Kind {
    /// The kind `name` of `group` (empty for the core group) in `version`, if the server has it.
    ///
    /// ```
    /// use gitops_testkit::kinds::Kind;
    /// let kind = Kind::lookup("apps", "v1", "Deployment").unwrap();
    /// assert_eq!(kind.to_string(), "Deployment.apps");
    /// assert!(Kind::lookup("apps", "v1", "Pod").is_none());
    /// ```
    #[must_use]
    pub fn lookup(group: &str, version: &str, name: &str) -> Option<Self> {
        entries()
            .iter()
            .find(|e| e.name == name && e.group == group && e.version == version)
            .map(Self)
    }

    /// Every built-in kind, in no meaningful order.
    pub fn all() -> impl Iterator<Item = Self> {
        entries().iter().map(Self)
    }

    /// The API group; empty for the core group.
    #[must_use]
    pub fn group(self) -> &'static str {
        &self.0.group
    }

    /// The version, such as `v1`.
    #[must_use]
    pub fn version(self) -> &'static str {
        &self.0.version
    }

    /// The kind's name, such as `Deployment`.
    #[must_use]
    pub fn name(self) -> &'static str {
        &self.0.name
    }

    /// Group and version as `apiVersion` has them.
    #[must_use]
    pub fn api_version(self) -> String {
        if self.0.group.is_empty() {
            self.0.version.clone()
        } else {
            format!("{}/{}", self.0.group, self.0.version)
        }
    }

    /// The warning that every request for this kind is answered with, if it is deprecated.
    #[must_use]
    pub fn deprecation(self) -> Option<&'static str> {
        match (self.group(), self.name()) {
            ("", "Endpoints") => {
                Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice")
            }
            ("", "ComponentStatus") => Some("v1 ComponentStatus is deprecated in v1.19+"),
            _ => None,
        }
    }

    pub(crate) fn type_index(self) -> usize {
        self.0.type_index
    }

    fn mark(self, object: &mut Map<String, Value>) {
        object.insert("kind".into(), Value::String(self.0.name.clone()));
        object.insert("apiVersion".into(), Value::String(self.api_version()));
    }
}

/// `Deployment.apps`, as error messages name a kind.
impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.name)?;
        if self.0.group.is_empty() {
            Ok(())
        } else {
            write!(f, ".{}", self.0.group)
        }
    }
}

fn entries() -> &'static [Entry] {
    static ENTRIES: OnceLock<Vec<Entry>> = OnceLock::new();
    ENTRIES.get_or_init(|| {
        let types = types::Types::get();
        include_str!("kinds.txt")
            .lines()
            .filter_map(|line| {
                let mut words = line.split(' ');
                let group = words
                    .next()
                    .filter(|g| *g != "-")
                    .unwrap_or_default()
                    .to_owned();
                let (version, name) = (words.next()?.to_owned(), words.next()?.to_owned());
                let type_index = types.named(words.next()?)?;
                Some(Entry {
                    group,
                    version,
                    name,
                    type_index,
                })
            })
            .collect()
    })
}

/// Whether `text` is an RFC 1123 label.
pub(crate) fn is_label(text: &str) -> bool {
    rules::dns_label(text).is_empty()
}

/// Whether `text` is an RFC 1123 subdomain.
pub(crate) fn is_subdomain(text: &str) -> bool {
    rules::dns_subdomain(text).is_empty()
}
