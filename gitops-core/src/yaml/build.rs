//! One YAML document, from the parser's events to a JSON value in one pass.

use std::borrow::Cow;
use std::collections::BTreeMap;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Tag};
use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::error::ReadErrorKind;
use super::limits::ReadLimits;
use super::read::Failure;
use super::scalar::{Scalar, float_to_json, float_to_key, is_timestamp, resolve};

/// What one node counts against [`ReadLimits::alias_bytes`], besides its text.
const NODE_BYTES: usize = 64;

const YAML_TAG: &str = "tag:yaml.org,2002:";

/// Reads one document. None if there is nothing in it but comments.
///
/// `nodes` counts the nodes of the file. The line is that of the first node.
pub(super) fn build(
    text: &str,
    limits: &ReadLimits,
    nodes: &mut usize,
) -> Result<Option<(Value, usize)>, Failure> {
    let depth = limits.effective_depth();
    let options = granit_parser::options! {
        emit_comments: false,
        disallow_directives: true,
        flow_nesting_limit: depth,
        block_nesting_limit: depth,
    };
    let mut builder = Builder {
        text,
        limits,
        depth,
        nodes,
        weight: 0,
        alias_weight: 0,
        frames: Vec::new(),
        anchors: BTreeMap::new(),
        has_aliases: None,
        line: None,
        root: None,
    };
    let mut ended = false;
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| syntax(&error, depth))?;
        let mark = span.start;
        match event {
            Event::DocumentStart(..) if ended => {
                return Err(at(mark, ReadErrorKind::AfterEnd));
            }
            Event::DocumentEnd => ended = true,
            event => builder.event(event, mark)?,
        }
    }
    Ok(builder.root.map(|root| (root, builder.line.unwrap_or(1))))
}

fn at(mark: Marker, kind: ReadErrorKind) -> Failure {
    Failure {
        line: mark.line(),
        column: mark.col() + 1,
        kind,
    }
}

fn syntax(error: &ScanError, depth: usize) -> Failure {
    let kind = match error.kind() {
        ErrorKind::UnknownAnchor => ReadErrorKind::UnknownAnchor,
        ErrorKind::DirectiveDisallowed => ReadErrorKind::Directive,
        ErrorKind::RecursionLimitExceeded => too_deep(depth),
        _ => ReadErrorKind::Yaml {
            message: error.info(),
        },
    };
    at(*error.marker(), kind)
}

pub(super) fn too_deep(allowed: usize) -> ReadErrorKind {
    ReadErrorKind::Limit {
        what: "mappings and lists within each other",
        field: "depth",
        allowed,
    }
}

pub(super) fn too_many_nodes(allowed: usize) -> ReadErrorKind {
    ReadErrorKind::Limit {
        what: "keys and values in the file",
        field: "nodes",
        allowed,
    }
}

pub(super) fn too_long(allowed: usize) -> ReadErrorKind {
    ReadErrorKind::Limit {
        what: "bytes in one scalar",
        field: "scalar_bytes",
        allowed,
    }
}

enum Key {
    Text(String),
    /// `<<`
    Merge,
}

/// A mapping or list that is still open.
struct Frame {
    content: Content,
    /// The anchor on it, or 0.
    anchor: usize,
    /// The deepest nesting within it.
    height: usize,
    /// What was read before it.
    weight_before: usize,
    nodes_before: usize,
}

enum Content {
    List(Vec<Value>),
    Mapping {
        map: Map<String, Value>,
        /// The key whose value comes next.
        key: Option<(Key, Marker)>,
        /// What `<<` brings, the first taking precedence.
        merges: Vec<Map<String, Value>>,
        merged: bool,
    },
}

/// A node that aliases can name.
struct Anchored {
    value: Value,
    /// What it is as a key, which the JSON value does not always tell.
    scalar: Option<Scalar>,
    height: usize,
    weight: usize,
    nodes: usize,
}

/// A node that is complete.
struct Node {
    value: Value,
    scalar: Option<Scalar>,
    height: usize,
    is_alias: bool,
}

struct Builder<'a> {
    text: &'a str,
    limits: &'a ReadLimits,
    depth: usize,
    nodes: &'a mut usize,
    /// The weight of all nodes so far; the difference of two is that of what lies between.
    weight: usize,
    /// The weight of what was copied for anchors and aliases.
    alias_weight: usize,
    frames: Vec<Frame>,
    anchors: BTreeMap<usize, Anchored>,
    /// Whether an alias may follow at all; looked up at the first anchor.
    has_aliases: Option<bool>,
    line: Option<usize>,
    root: Option<Value>,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, mark: Marker) -> Result<(), Failure> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(text, style, anchor, tag.as_deref(), mark)
            }
            Event::MappingStart(_, anchor, _) => {
                let content = Content::Mapping {
                    map: Map::new(),
                    key: None,
                    merges: Vec::new(),
                    merged: false,
                };
                self.open(content, anchor, "a mapping", mark)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open(Content::List(Vec::new()), anchor, "a list", mark)
            }
            Event::MappingEnd | Event::SequenceEnd => self.close(mark),
            Event::Alias(anchor) => self.alias(anchor, mark),
            _ => Ok(()),
        }
    }

    /// Counts nodes and what they weigh.
    fn count(&mut self, nodes: usize, weight: usize, mark: Marker) -> Result<(), Failure> {
        self.line.get_or_insert(mark.line());
        let total = self.nodes.saturating_add(nodes);
        if total > self.limits.nodes {
            return Err(at(mark, too_many_nodes(self.limits.nodes)));
        }
        *self.nodes = total;
        self.weight = self.weight.saturating_add(weight);
        Ok(())
    }

    /// Allows a copy of this weight, before it is made.
    fn allow_copy(&mut self, weight: usize, mark: Marker) -> Result<(), Failure> {
        self.alias_weight = self.alias_weight.saturating_add(weight);
        if self.alias_weight > self.limits.alias_bytes {
            return Err(at(
                mark,
                ReadErrorKind::Limit {
                    what: "bytes added by anchors and aliases",
                    field: "alias_bytes",
                    allowed: self.limits.alias_bytes,
                },
            ));
        }
        Ok(())
    }

    fn key_is_next(&self) -> bool {
        matches!(
            self.frames.last(),
            Some(Frame {
                content: Content::Mapping { key: None, .. },
                ..
            })
        )
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        mark: Marker,
    ) -> Result<(), Failure> {
        if text.len() > self.limits.scalar_bytes {
            return Err(at(mark, too_long(self.limits.scalar_bytes)));
        }
        let weight = NODE_BYTES.saturating_add(text.len());
        let nodes_before = *self.nodes;
        self.count(1, weight, mark)?;
        let plain = style == ScalarStyle::Plain;
        let (text, scalar) = match tag {
            None if plain => {
                let scalar = resolve(&text);
                (text, scalar)
            }
            None => (text, Scalar::Text),
            Some(tag) => tagged(tag, text).map_err(|kind| at(mark, kind))?,
        };
        let is_key = self.key_is_next();
        if is_key && text == "<<" && is_merge(plain, tag) {
            return self.set_key(Key::Merge, mark);
        }
        if is_key && anchor == 0 {
            let key = key_text(text, scalar).map_err(|kind| at(mark, kind))?;
            return self.set_key(Key::Text(key), mark);
        }
        if is_key {
            let key = key_text(text.clone(), scalar).map_err(|kind| at(mark, kind))?;
            self.set_key(Key::Text(key), mark)?;
        }
        let value = scalar_value(text, scalar).map_err(|kind| at(mark, kind))?;
        if anchor != 0 {
            let nodes = *self.nodes - nodes_before;
            self.remember(anchor, &value, Some(scalar), (0, weight, nodes), mark)?;
        }
        if is_key {
            return Ok(());
        }
        let node = Node {
            value,
            scalar: Some(scalar),
            height: 0,
            is_alias: false,
        };
        self.place(node, mark)
    }

    fn open(
        &mut self,
        content: Content,
        anchor: usize,
        what: &'static str,
        mark: Marker,
    ) -> Result<(), Failure> {
        if self.key_is_next() {
            return Err(at(mark, ReadErrorKind::Key { found: what }));
        }
        if self.frames.len() >= self.depth {
            return Err(at(mark, too_deep(self.depth)));
        }
        let (weight_before, nodes_before) = (self.weight, *self.nodes);
        self.count(1, NODE_BYTES, mark)?;
        self.frames.push(Frame {
            content,
            anchor,
            height: 0,
            weight_before,
            nodes_before,
        });
        Ok(())
    }

    fn close(&mut self, mark: Marker) -> Result<(), Failure> {
        let Some(frame) = self.frames.pop() else {
            return Ok(());
        };
        let height = frame.height + 1;
        let value = match frame.content {
            Content::List(items) => Value::Array(items),
            Content::Mapping {
                mut map, merges, ..
            } => {
                for merge in merges {
                    for (key, value) in merge {
                        if let Entry::Vacant(entry) = map.entry(key) {
                            entry.insert(value);
                        }
                    }
                }
                Value::Object(map)
            }
        };
        if frame.anchor != 0 {
            let size = (
                height,
                self.weight - frame.weight_before,
                *self.nodes - frame.nodes_before,
            );
            self.remember(frame.anchor, &value, None, size, mark)?;
        }
        let node = Node {
            value,
            scalar: None,
            height,
            is_alias: false,
        };
        self.place(node, mark)
    }

    fn alias(&mut self, anchor: usize, mark: Marker) -> Result<(), Failure> {
        // The parser has checked that the anchor exists, so it is one that is still open.
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(at(mark, ReadErrorKind::RecursiveAnchor));
        };
        let (height, weight, nodes) = (anchored.height, anchored.weight, anchored.nodes);
        if self.frames.len() + height > self.depth {
            return Err(at(mark, too_deep(self.depth)));
        }
        self.count(nodes, weight, mark)?;
        self.allow_copy(weight, mark)?;
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Ok(());
        };
        let node = Node {
            value: anchored.value.clone(),
            scalar: anchored.scalar,
            height,
            is_alias: true,
        };
        self.place(node, mark)
    }

    fn remember(
        &mut self,
        anchor: usize,
        value: &Value,
        scalar: Option<Scalar>,
        (height, weight, nodes): (usize, usize, usize),
        mark: Marker,
    ) -> Result<(), Failure> {
        // Without an asterisk in the text no alias can follow, and no copy is needed.
        let text = self.text;
        if !*self.has_aliases.get_or_insert_with(|| text.contains('*')) {
            return Ok(());
        }
        self.allow_copy(weight, mark)?;
        let anchored = Anchored {
            value: value.clone(),
            scalar,
            height,
            weight,
            nodes,
        };
        self.anchors.insert(anchor, anchored);
        Ok(())
    }

    fn set_key(&mut self, new: Key, mark: Marker) -> Result<(), Failure> {
        if let Some(Frame {
            content: Content::Mapping { key, merged, .. },
            ..
        }) = self.frames.last_mut()
        {
            if matches!(new, Key::Merge) && std::mem::replace(merged, true) {
                let key = "<<".into();
                return Err(at(mark, ReadErrorKind::DuplicateKey { key }));
            }
            *key = Some((new, mark));
        }
        Ok(())
    }

    /// Puts a complete node where it belongs.
    fn place(&mut self, node: Node, mark: Marker) -> Result<(), Failure> {
        let Some(frame) = self.frames.last_mut() else {
            self.root = Some(node.value);
            return Ok(());
        };
        frame.height = frame.height.max(node.height);
        match &mut frame.content {
            Content::List(items) => items.push(node.value),
            Content::Mapping {
                map, key, merges, ..
            } => match key.take() {
                // Only an alias comes here: other keys are told apart before.
                None => {
                    let text = match (node.scalar, node.value) {
                        (Some(scalar), Value::String(text)) => key_text(text.into(), scalar),
                        (Some(scalar), _) => key_text("".into(), scalar),
                        (None, value) => Err(ReadErrorKind::Key {
                            found: type_name(&value),
                        }),
                    };
                    let text = text.map_err(|kind| at(mark, kind))?;
                    *key = Some((Key::Text(text), mark));
                }
                Some((Key::Text(key), key_mark)) => match map.entry(key) {
                    Entry::Vacant(entry) => {
                        entry.insert(node.value);
                    }
                    Entry::Occupied(entry) => {
                        let key = entry.key().clone();
                        return Err(at(key_mark, ReadErrorKind::DuplicateKey { key }));
                    }
                },
                Some((Key::Merge, key_mark)) => {
                    let sources = match node.value {
                        Value::Object(source) => vec![source],
                        Value::Array(items) if !node.is_alias => items
                            .into_iter()
                            .map(|item| match item {
                                Value::Object(source) => Ok(source),
                                _ => Err(at(key_mark, ReadErrorKind::MergeValue)),
                            })
                            .collect::<Result<_, _>>()?,
                        _ => return Err(at(key_mark, ReadErrorKind::MergeValue)),
                    };
                    check_order(map, &sources).map_err(|kind| at(key_mark, kind))?;
                    *merges = sources;
                }
            },
        }
        Ok(())
    }
}

/// Refuses a `<<` that holds another value for a key above it.
fn check_order(
    above: &Map<String, Value>,
    sources: &[Map<String, Value>],
) -> Result<(), ReadErrorKind> {
    for (key, value) in above {
        let merged = sources.iter().find_map(|source| source.get(key));
        if merged.is_some_and(|merged| merged != value) {
            return Err(ReadErrorKind::MergeOrder { key: key.clone() });
        }
    }
    Ok(())
}

/// Whether a `<<` in the place of a key means a merge and not a text.
fn is_merge(plain: bool, tag: Option<&Tag>) -> bool {
    match tag.map(Tag::parts) {
        None => plain,
        Some(("" | "!", suffix)) => suffix.is_empty() || suffix == "!",
        Some((handle, suffix)) => yaml_tag(handle, suffix) == Some("merge"),
    }
}

/// The name of a tag such as `!!int`.
fn yaml_tag<'a>(handle: &'a str, suffix: &'a str) -> Option<&'a str> {
    if handle == YAML_TAG {
        Some(suffix)
    } else if handle.is_empty() {
        // `!<tag:yaml.org,2002:int>`
        suffix.strip_prefix(YAML_TAG)
    } else {
        None
    }
}

/// A scalar with an explicit tag. Tags that YAML does not define are ignored, as
/// `kubectl` ignores them.
fn tagged<'a>(tag: &Tag, text: Cow<'a, str>) -> Result<(Cow<'a, str>, Scalar), ReadErrorKind> {
    let (handle, suffix) = tag.parts();
    let resolved = resolve(&text);
    let expected = match yaml_tag(handle, suffix) {
        Some("bool") => "!!bool",
        Some("int") => "!!int",
        Some("float") => "!!float",
        Some("null") => "!!null",
        Some("timestamp") => {
            return if is_timestamp(&text) {
                Ok((text, Scalar::Text))
            } else {
                Err(ReadErrorKind::Tag {
                    tag: "!!timestamp",
                    found: "none of its forms",
                })
            };
        }
        Some("binary") => {
            return decode_base64(&text)
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .map(|text| (Cow::Owned(text), Scalar::Text))
                .ok_or(ReadErrorKind::Tag {
                    tag: "!!binary",
                    found: "not base64 of UTF-8 text, and JSON holds nothing else",
                });
        }
        _ => return Ok((text, Scalar::Text)),
    };
    match resolved {
        #[expect(clippy::cast_precision_loss, reason = "the tag asks for a float")]
        Scalar::Int(integer) if expected == "!!float" => Ok((text, Scalar::Float(integer as f64))),
        scalar if scalar.tag() == expected => Ok((text, scalar)),
        scalar => Err(ReadErrorKind::Tag {
            tag: expected,
            found: scalar.tag(),
        }),
    }
}

/// Base64 with padding; line breaks may stand anywhere in it.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let text: Vec<u8> = text
        .bytes()
        .filter(|byte| !matches!(byte, b'\n' | b'\r'))
        .collect();
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut buffer) = (0_u32, 0_u32);
    for byte in text.iter().take(text.len() - padding) {
        buffer = (buffer << 6) | u32::from(digit(*byte)?);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(buffer.checked_shr(bits)?.to_be_bytes()[3]);
            buffer &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

fn key_text(text: Cow<'_, str>, scalar: Scalar) -> Result<String, ReadErrorKind> {
    match scalar {
        Scalar::Text => Ok(text.into_owned()),
        Scalar::Bool(bool) => Ok(bool.to_string()),
        Scalar::Int(integer) => Ok(integer.to_string()),
        Scalar::Float(float) => Ok(float_to_key(float)),
        Scalar::Null => Err(ReadErrorKind::Key { found: "null" }),
        Scalar::Uint(_) => Err(ReadErrorKind::Key {
            found: "an integer above 9223372036854775807",
        }),
    }
}

fn scalar_value(text: Cow<'_, str>, scalar: Scalar) -> Result<Value, ReadErrorKind> {
    Ok(match scalar {
        Scalar::Text => Value::String(text.into_owned()),
        Scalar::Null => Value::Null,
        Scalar::Bool(bool) => Value::Bool(bool),
        Scalar::Int(integer) => Value::from(integer),
        Scalar::Uint(integer) => Value::from(integer),
        Scalar::Float(float) => float_to_json(float).ok_or(ReadErrorKind::NotFinite)?,
    })
}

/// What a value is, for people.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}
