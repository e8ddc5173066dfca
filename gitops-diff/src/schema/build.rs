//! Puts types into the arena of a [`Schema`], each distinct one once.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::{
    DEDUCED, Field, ListType, NONE, Node, Scalar, Schema, SchemaError, Span, UNTYPED_ATOMIC, flag,
    shape,
};

/// More types than any real cluster has in one document (Kubernetes 1.36: about 1,500).
const MAX_NODES: usize = 500_000;

pub(super) struct Builder {
    text: String,
    spans: HashMap<String, Span>,
    nodes: Vec<Node>,
    same: HashMap<Node, u32>,
    fields: Vec<Field>,
    field_lists: HashMap<Vec<Field>, (u32, u32)>,
    keys: Vec<Span>,
    key_lists: HashMap<Vec<Span>, (u32, u32)>,
    defaults: Vec<Value>,
    default_texts: HashMap<String, u32>,
    kinds: BTreeMap<(String, String), u32>,
}

impl Node {
    pub(super) fn new() -> Self {
        Self {
            shapes: 0,
            flags: 0,
            scalar: Scalar::Untyped,
            list: ListType::Atomic,
            map_atomic: false,
            items: NONE,
            values: NONE,
            fields: (0, 0),
            keys: (0, 0),
            name: Span::default(),
            format: Span::default(),
            enumeration: Span::default(),
        }
    }

    pub(super) fn scalar(scalar: Scalar) -> Self {
        Self {
            shapes: shape::SCALAR,
            scalar,
            ..Self::new()
        }
    }
}

impl Builder {
    pub(super) fn new() -> Self {
        let mut builder = Self {
            text: String::new(),
            spans: HashMap::new(),
            nodes: Vec::new(),
            same: HashMap::new(),
            fields: Vec::new(),
            field_lists: HashMap::new(),
            keys: Vec::new(),
            key_lists: HashMap::new(),
            defaults: Vec::new(),
            default_texts: HashMap::new(),
            kinds: BTreeMap::new(),
        };
        let all = Node {
            shapes: shape::SCALAR | shape::LIST | shape::MAP,
            flags: flag::NAMED,
            items: UNTYPED_ATOMIC,
            ..Node::new()
        };
        // The names are those of the reference. Every type that leads back to itself has
        // one, so that whoever walks a schema can tell where it has been.
        let name = builder.text("__untyped_deduced_");
        builder.nodes.push(Node {
            values: DEDUCED,
            name,
            ..all.clone()
        });
        let name = builder.text("__untyped_atomic_");
        builder.nodes.push(Node {
            values: UNTYPED_ATOMIC,
            map_atomic: true,
            name,
            ..all
        });
        builder
    }

    pub(super) fn text(&mut self, text: &str) -> Span {
        if let Some(span) = self.spans.get(text) {
            return *span;
        }
        let span = Span {
            at: u32::try_from(self.text.len()).unwrap_or(u32::MAX),
            len: u32::try_from(text.len()).unwrap_or(0),
        };
        self.text.push_str(text);
        self.spans.insert(text.to_owned(), span);
        span
    }

    /// Adds a type, or finds the same one.
    pub(super) fn node(&mut self, node: Node, path: &str) -> Result<u32, SchemaError> {
        if let Some(id) = self.same.get(&node) {
            return Ok(*id);
        }
        let id = self.reserve(path)?;
        self.same.insert(node.clone(), id);
        self.set(id, node);
        Ok(id)
    }

    /// Makes room for a type that is filled in later, because it may refer to itself.
    pub(super) fn reserve(&mut self, path: &str) -> Result<u32, SchemaError> {
        if self.nodes.len() >= MAX_NODES {
            return Err(SchemaError::TooLarge {
                path: path.to_owned(),
                limit: MAX_NODES,
                what: "types",
            });
        }
        let id = u32::try_from(self.nodes.len()).unwrap_or(NONE);
        self.nodes.push(Node::new());
        Ok(id)
    }

    pub(super) fn set(&mut self, id: u32, node: Node) {
        if let Some(place) = self.nodes.get_mut(id as usize) {
            *place = node;
        }
    }

    pub(super) fn get(&self, id: u32) -> Option<&Node> {
        self.nodes.get(id as usize)
    }

    pub(super) fn fields(&mut self, mut fields: Vec<Field>) -> (u32, u32) {
        if fields.is_empty() {
            return (0, 0);
        }
        let text = &self.text;
        let name = |field: &Field| {
            let at = field.name.at as usize;
            text.get(at..at + field.name.len as usize).unwrap_or("")
        };
        fields.sort_by(|a, b| name(a).cmp(name(b)));
        if let Some(range) = self.field_lists.get(&fields) {
            return *range;
        }
        let range = (
            u32::try_from(self.fields.len()).unwrap_or(0),
            u32::try_from(fields.len()).unwrap_or(0),
        );
        self.fields.extend(fields.iter().cloned());
        self.field_lists.insert(fields, range);
        range
    }

    pub(super) fn field_slice(&self, (at, len): (u32, u32)) -> &[Field] {
        self.fields
            .get(at as usize..(at + len) as usize)
            .unwrap_or_default()
    }

    pub(super) fn keys<'k>(&mut self, keys: impl IntoIterator<Item = &'k str>) -> (u32, u32) {
        let keys: Vec<Span> = keys.into_iter().map(|key| self.text(key)).collect();
        if keys.is_empty() {
            return (0, 0);
        }
        if let Some(range) = self.key_lists.get(&keys) {
            return *range;
        }
        let range = (
            u32::try_from(self.keys.len()).unwrap_or(0),
            u32::try_from(keys.len()).unwrap_or(0),
        );
        self.keys.extend(keys.iter().copied());
        self.key_lists.insert(keys, range);
        range
    }

    /// Remembers a default; the answer goes into [`Field::default`].
    pub(super) fn default(&mut self, value: &Value) -> u32 {
        let text = value.to_string();
        if let Some(at) = self.default_texts.get(&text) {
            return *at;
        }
        self.defaults.push(value.clone());
        let at = u32::try_from(self.defaults.len()).unwrap_or(0);
        self.default_texts.insert(text, at);
        at
    }

    pub(super) fn kind(&mut self, api_version: &str, kind: &str, id: u32) {
        self.kinds
            .insert((api_version.to_owned(), kind.to_owned()), id);
    }

    /// Copies a type of another schema, and all that it refers to.
    pub(super) fn import(
        &mut self,
        from: &Schema,
        id: u32,
        done: &mut HashMap<u32, u32>,
    ) -> Result<u32, SchemaError> {
        if id == NONE || id == DEDUCED || id == UNTYPED_ATOMIC {
            return Ok(id);
        }
        if let Some(new) = done.get(&id) {
            return Ok(*new);
        }
        let new = self.reserve("")?;
        done.insert(id, new);
        let Some(node) = from.node(id) else {
            return Ok(new);
        };
        let ty = from.type_ref(id);
        let mut copy = node.clone();
        copy.items = self.import(from, node.items, done)?;
        copy.values = self.import(from, node.values, done)?;
        copy.name = self.text(from.str(node.name));
        copy.format = self.text(from.str(node.format));
        copy.enumeration = self.text(from.str(node.enumeration));
        copy.keys = self.keys(ty.list_keys());
        let mut fields = Vec::new();
        for field in ty.fields() {
            let member = Field {
                name: self.text(field.name()),
                ty: self.import(from, field.field.ty, done)?,
                default: field.default().map_or(0, |value| self.default(value)),
                required: field.required(),
                strategy: self.text(field.patch_strategy().unwrap_or("")),
                merge_key: self.text(field.patch_merge_key().unwrap_or("")),
            };
            fields.push(member);
        }
        copy.fields = self.fields(fields);
        self.set(new, copy);
        Ok(new)
    }

    pub(super) fn finish(mut self) -> Schema {
        let kinds = std::mem::take(&mut self.kinds)
            .into_iter()
            .map(|((version, kind), id)| (self.text(&version), self.text(&kind), id))
            .collect();
        Schema {
            text: Cow::Owned(self.text),
            nodes: self.nodes,
            fields: self.fields,
            keys: self.keys,
            defaults: self.defaults,
            kinds,
        }
    }
}
