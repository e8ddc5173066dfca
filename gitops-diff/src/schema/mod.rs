//! The types of Kubernetes objects, as far as merging and comparing need them.
//!
//! A [`Schema`] is one compact arena, made from any of three sources: the table of the
//! kinds that Kubernetes 1.36 has built in ([`Schema::builtin`]), an OpenAPI v3 document
//! ([`Schema::from_openapi`]), or a `CustomResourceDefinition` ([`Schema::from_crd`]),
//! which may sit in the same commit as its instances. What has no schema falls back to
//! the [deduced type](Schema::deduced): lists are atomic, maps granular.
//!
//! A [`TypeRef`] is a place in a schema. It is `Copy` and costs nothing to pass around.
//!
//! ```
//! use gitops_diff::schema::{ListType, Schema};
//!
//! let deployment = Schema::builtin().type_of("apps/v1", "Deployment").unwrap();
//! let containers = deployment
//!     .at(["spec", "template", "spec", "containers"])
//!     .unwrap();
//! assert_eq!(containers.list_type(), Some(ListType::Map));
//! assert_eq!(containers.list_keys().collect::<Vec<_>>(), ["name"]);
//!
//! let ports = containers.items().unwrap().field("ports").unwrap();
//! assert_eq!(ports.patch_merge_key(), Some("containerPort"));
//! assert_eq!(ports.ty().list_keys().collect::<Vec<_>>(), ["containerPort", "protocol"]);
//! ```

mod build;
mod crd;
mod kind;
mod openapi;
mod resource;
mod structural;
mod table;

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use serde_json::Value;

pub use kind::{Kind, Schemas};
pub(crate) use kind::{api_version_parts, is_native};
pub use resource::{
    Resource, Subresource, builtin_resources, resources_from_discovery, resources_to_table,
};

/// The built-in kinds; see `examples/schema_table.rs` for how the file is made.
const BUILTIN: &str = include_str!("kubernetes-1.36.types");

/// No type.
pub(crate) const NONE: u32 = u32::MAX;
/// The type that is deduced from the value: scalars, atomic lists, granular maps.
pub(crate) const DEDUCED: u32 = 0;
/// Like [`DEDUCED`], but maps are atomic too.
pub(crate) const UNTYPED_ATOMIC: u32 = 1;

/// A place in the text of a schema.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    pub(crate) at: u32,
    pub(crate) len: u32,
}

/// What a value may be: any of these at once.
pub(crate) mod shape {
    pub(crate) const SCALAR: u8 = 1;
    pub(crate) const LIST: u8 = 2;
    pub(crate) const MAP: u8 = 4;
}

pub(crate) mod flag {
    pub(crate) const NULLABLE: u8 = 1;
    pub(crate) const PRESERVE_UNKNOWN: u8 = 2;
    pub(crate) const INT_OR_STRING: u8 = 4;
    pub(crate) const EMBEDDED: u8 = 8;
    /// The type has a name of its own: it isn't written inline.
    pub(crate) const NAMED: u8 = 16;
    pub(crate) const GRANULAR: u8 = 32;
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) shapes: u8,
    pub(crate) flags: u8,
    pub(crate) scalar: Scalar,
    pub(crate) list: ListType,
    pub(crate) map_atomic: bool,
    pub(crate) items: u32,
    pub(crate) values: u32,
    /// Where the fields are in `Schema::fields`, sorted by name.
    pub(crate) fields: (u32, u32),
    /// Where the list keys are in `Schema::keys`.
    pub(crate) keys: (u32, u32),
    pub(crate) name: Span,
    pub(crate) format: Span,
    /// A JSON array.
    pub(crate) enumeration: Span,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Field {
    pub(crate) name: Span,
    pub(crate) ty: u32,
    /// One more than the place in `Schema::defaults`; zero for none.
    pub(crate) default: u32,
    pub(crate) required: bool,
    pub(crate) strategy: Span,
    pub(crate) merge_key: Span,
}

/// What kind of scalar a type allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scalar {
    /// An integer or a floating point number.
    Numeric,
    /// A string.
    String,
    /// `true` or `false`.
    Boolean,
    /// Any of them: quantities, int-or-string, times.
    Untyped,
}

/// How the elements of a list are told apart (`x-kubernetes-list-type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ListType {
    /// The list is one value, owned as a whole.
    Atomic,
    /// Each element is its own identity.
    Set,
    /// Elements are objects, told apart by [keys](TypeRef::list_keys).
    Map,
}

/// How the members of a map or object are owned (`x-kubernetes-map-type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MapType {
    /// The map is one value, owned as a whole.
    Atomic,
    /// Each member has its own owner.
    Granular,
}

/// Why a schema was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// Something at `path` isn't what a schema may hold there.
    #[error("{path}: {problem}")]
    Invalid {
        /// Where, as a dotted path into the document.
        path: String,
        /// What is wrong, and what is expected.
        problem: String,
    },
    /// The document is larger or deeper than this crate reads.
    #[error("{path}: the schema has more than {limit} {what}")]
    TooLarge {
        /// Where the limit was passed.
        path: String,
        /// The limit.
        limit: usize,
        /// What was counted.
        what: &'static str,
    },
    /// A line of a type table could not be read.
    #[error("type table, line {line}: {problem}")]
    Table {
        /// The line, counted from one.
        line: usize,
        /// What is wrong.
        problem: String,
    },
}

/// The types of some kinds.
pub struct Schema {
    text: Cow<'static, str>,
    nodes: Vec<Node>,
    fields: Vec<Field>,
    keys: Vec<Span>,
    defaults: Vec<Value>,
    /// `apiVersion`, kind, type; sorted.
    kinds: Vec<(Span, Span, u32)>,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema")
            .field("kinds", &self.kinds.len())
            .field("types", &self.nodes.len())
            .field("fields", &self.fields.len())
            .finish_non_exhaustive()
    }
}

impl Schema {
    /// The kinds that Kubernetes 1.36 has built in.
    ///
    /// Read once, when first asked for.
    #[must_use]
    pub fn builtin() -> &'static Self {
        static SCHEMA: LazyLock<Schema> =
            LazyLock::new(|| match Schema::from_table_static(BUILTIN) {
                Ok(schema) => schema,
                // A test reads the table; it is part of the program and can't change.
                Err(_) => Schema::empty(),
            });
        &SCHEMA
    }

    /// A schema with no kinds, only the [deduced type](Self::deduced).
    #[must_use]
    pub fn empty() -> Self {
        build::Builder::new().finish()
    }

    /// The type that the API server uses where no schema is known: scalars are
    /// anything, lists are atomic, maps granular.
    #[must_use]
    pub fn deduced() -> TypeRef<'static> {
        static EMPTY: LazyLock<Schema> = LazyLock::new(Schema::empty);
        TypeRef {
            schema: &EMPTY,
            id: DEDUCED,
        }
    }

    /// The type of a kind, such as `("apps/v1", "Deployment")`.
    #[must_use]
    pub fn type_of(&self, api_version: &str, kind: &str) -> Option<TypeRef<'_>> {
        let at = self
            .kinds
            .binary_search_by(|(version, name, _)| {
                (self.str(*version), self.str(*name)).cmp(&(api_version, kind))
            })
            .ok()?;
        Some(TypeRef {
            schema: self,
            id: self.kinds.get(at)?.2,
        })
    }

    /// The type of an object, by its `apiVersion` and `kind`.
    #[must_use]
    pub fn type_of_object(&self, object: &Value) -> Option<TypeRef<'_>> {
        self.type_of(
            object.get("apiVersion")?.as_str()?,
            object.get("kind")?.as_str()?,
        )
    }

    /// All kinds: `apiVersion`, kind and type, sorted.
    pub fn kinds(&self) -> impl Iterator<Item = (&str, &str, TypeRef<'_>)> {
        self.kinds.iter().map(|(version, kind, id)| {
            (
                self.str(*version),
                self.str(*kind),
                TypeRef {
                    schema: self,
                    id: *id,
                },
            )
        })
    }

    /// A kind in all its versions: `group` is empty for the core group.
    #[must_use]
    pub fn kind<'a>(&'a self, group: &'a str, kind: &'a str) -> Kind<'a> {
        Kind::new(self, group, kind)
    }

    pub(crate) fn str(&self, span: Span) -> &str {
        let at = span.at as usize;
        self.text.get(at..at + span.len as usize).unwrap_or("")
    }

    fn node(&self, id: u32) -> Option<&Node> {
        self.nodes.get(id as usize)
    }

    pub(crate) fn type_ref(&self, id: u32) -> TypeRef<'_> {
        TypeRef { schema: self, id }
    }
}

/// The type of a value: a place in a [`Schema`].
#[derive(Clone, Copy)]
pub struct TypeRef<'a> {
    schema: &'a Schema,
    id: u32,
}

impl fmt::Debug for TypeRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypeRef")
            .field("id", &self.id)
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

impl PartialEq for TypeRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && std::ptr::eq(self.schema, other.schema)
    }
}

impl Eq for TypeRef<'_> {}

impl<'a> TypeRef<'a> {
    pub(crate) fn node(self) -> Option<&'a Node> {
        self.schema.node(self.id)
    }

    pub(crate) fn is_deduced(self) -> bool {
        self.id == DEDUCED
    }

    fn to(self, id: u32) -> Option<Self> {
        (id != NONE).then_some(Self {
            schema: self.schema,
            id,
        })
    }

    fn text(self, span: Span) -> Option<&'a str> {
        (span.len > 0).then(|| self.schema.str(span))
    }

    /// The name of the definition, such as `io.k8s.api.core.v1.Container`; `None` for
    /// a type that is written in place. Every type that leads back to itself has a name.
    #[must_use]
    pub fn name(self) -> Option<&'a str> {
        self.text(self.node()?.name)
    }

    /// The kind of scalar, where the type allows scalars.
    #[must_use]
    pub fn scalar(self) -> Option<Scalar> {
        let node = self.node()?;
        (node.shapes & shape::SCALAR != 0).then_some(node.scalar)
    }

    /// How list elements are told apart, where the type allows lists.
    #[must_use]
    pub fn list_type(self) -> Option<ListType> {
        let node = self.node()?;
        (node.shapes & shape::LIST != 0).then_some(node.list)
    }

    /// How members are owned, where the type allows maps or objects.
    #[must_use]
    pub fn map_type(self) -> Option<MapType> {
        let node = self.node()?;
        (node.shapes & shape::MAP != 0).then_some(if node.map_atomic {
            MapType::Atomic
        } else {
            MapType::Granular
        })
    }

    /// The keys of a [`ListType::Map`] list, in the order in which the schema has them.
    pub fn list_keys(self) -> impl ExactSizeIterator<Item = &'a str> {
        let (at, len) = self.node().map_or((0, 0), |node| node.keys);
        self.schema
            .keys
            .get(at as usize..(at + len) as usize)
            .unwrap_or_default()
            .iter()
            .map(move |span| self.schema.str(*span))
    }

    /// The type of a list's elements.
    #[must_use]
    pub fn items(self) -> Option<Self> {
        self.to(self.node()?.items)
    }

    /// The type of members that have no [field](Self::field) of their own: the values
    /// of a map. `None` where such members aren't allowed.
    #[must_use]
    pub fn values(self) -> Option<Self> {
        self.to(self.node()?.values)
    }

    fn field_slice(self) -> &'a [Field] {
        let (at, len) = self.node().map_or((0, 0), |node| node.fields);
        self.schema
            .fields
            .get(at as usize..(at + len) as usize)
            .unwrap_or_default()
    }

    /// The declared fields, sorted by name.
    pub fn fields(self) -> impl ExactSizeIterator<Item = FieldType<'a>> {
        self.field_slice().iter().map(move |field| FieldType {
            schema: self.schema,
            field,
        })
    }

    /// The declared field `name`.
    #[must_use]
    pub fn field(self, name: &str) -> Option<FieldType<'a>> {
        let fields = self.field_slice();
        let at = fields
            .binary_search_by(|field| self.schema.str(field.name).cmp(name))
            .ok()?;
        Some(FieldType {
            schema: self.schema,
            field: fields.get(at)?,
        })
    }

    /// The type of the member `name`: that of the field, or else that of any value.
    #[must_use]
    pub fn member(self, name: &str) -> Option<Self> {
        self.field(name)
            .map_or_else(|| self.values(), |field| Some(field.ty()))
    }

    /// The type at the end of a way of member names.
    #[must_use]
    pub fn at<'n>(self, names: impl IntoIterator<Item = &'n str>) -> Option<Self> {
        names.into_iter().try_fold(self, |ty, name| ty.member(name))
    }

    /// The format of a scalar, as the schema has it (`int32`, `byte`, `date-time`),
    /// and `quantity` for a resource quantity.
    #[must_use]
    pub fn format(self) -> Option<&'a str> {
        self.text(self.node()?.format)
    }

    /// The allowed values, where the schema lists them.
    #[must_use]
    pub fn enum_values(self) -> Option<Vec<Value>> {
        serde_json::from_str(self.text(self.node()?.enumeration)?).ok()
    }

    fn has(self, flag: u8) -> bool {
        self.node().is_some_and(|node| node.flags & flag != 0)
    }

    /// Whether `null` is a value of its own.
    #[must_use]
    pub fn nullable(self) -> bool {
        self.has(flag::NULLABLE)
    }

    /// Whether members that the schema doesn't know are kept
    /// (`x-kubernetes-preserve-unknown-fields`).
    #[must_use]
    pub fn preserves_unknown(self) -> bool {
        self.has(flag::PRESERVE_UNKNOWN)
    }

    /// Whether the value is an integer or a string.
    #[must_use]
    pub fn int_or_string(self) -> bool {
        self.has(flag::INT_OR_STRING)
    }

    /// Whether the value is a whole Kubernetes object.
    #[must_use]
    pub fn embedded_resource(self) -> bool {
        self.has(flag::EMBEDDED)
    }

    pub(crate) fn named(self) -> bool {
        self.has(flag::NAMED)
    }
}

/// A declared field of an object type.
#[derive(Clone, Copy)]
pub struct FieldType<'a> {
    schema: &'a Schema,
    field: &'a Field,
}

impl fmt::Debug for FieldType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FieldType")
            .field("name", &self.name())
            .field("type", &self.field.ty)
            .finish_non_exhaustive()
    }
}

impl<'a> FieldType<'a> {
    /// The field's name.
    #[must_use]
    pub fn name(self) -> &'a str {
        self.schema.str(self.field.name)
    }

    /// The field's type.
    #[must_use]
    pub fn ty(self) -> TypeRef<'a> {
        self.schema.type_ref(self.field.ty)
    }

    /// The default that the schema states.
    ///
    /// In a built-in kind a zero value (`""`, `0`, `false`, `{}`) says only that the
    /// field is always there in Go, not that the server sets it.
    #[must_use]
    pub fn default(self) -> Option<&'a Value> {
        let at = self.field.default.checked_sub(1)?;
        self.schema.defaults.get(at as usize)
    }

    /// Whether the object must have the field.
    #[must_use]
    pub fn required(self) -> bool {
        self.field.required
    }

    fn text(self, span: Span) -> Option<&'a str> {
        (span.len > 0).then(|| self.schema.str(span))
    }

    /// `x-kubernetes-patch-strategy`: `merge`, `replace`, `retainKeys` or
    /// `merge,retainKeys`.
    #[must_use]
    pub fn patch_strategy(self) -> Option<&'a str> {
        self.text(self.field.strategy)
    }

    /// `x-kubernetes-patch-merge-key`.
    #[must_use]
    pub fn patch_merge_key(self) -> Option<&'a str> {
        self.text(self.field.merge_key)
    }
}
