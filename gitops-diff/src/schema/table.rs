//! The compact text form of a schema: what the built-in kinds are kept as.
//!
//! One line per type, and under it, each behind a tab, one line per field. A type is
//! known by its place, counted from zero. A part of a line is a letter, a colon and the
//! value; `d:` and `e:` (JSON) are always last, since they may hold spaces.
//!
//! ```text
//! s:string f:byte                a scalar, its format
//! l:map i:17 k:name              a list, its elements' type, its keys
//! m:granular v:3 n:io.k8s…       a map, its values' type, its name
//! \tcontainers 18 ! p:merge q:name   a field, its type, required, patch strategy and key
//! g:apps/v1,Deployment           a kind that the type above it is
//! ```

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::{Field, ListType, NONE, Node, Scalar, Schema, SchemaError, Span, flag, shape};

const HEADER: &str = "gitops-schema 1";

const FLAGS: [(char, u8); 6] = [
    ('?', flag::NULLABLE),
    ('*', flag::PRESERVE_UNKNOWN),
    ('#', flag::INT_OR_STRING),
    ('@', flag::EMBEDDED),
    ('=', flag::NAMED),
    ('/', flag::GRANULAR),
];

impl Schema {
    /// Reads the text form that [`to_table`](Self::to_table) writes.
    ///
    /// # Errors
    ///
    /// With the line, if it isn't such a text.
    pub fn from_table(text: impl Into<String>) -> Result<Self, SchemaError> {
        read(Cow::Owned(text.into()))
    }

    pub(super) fn from_table_static(text: &'static str) -> Result<Self, SchemaError> {
        read(Cow::Borrowed(text))
    }

    /// The schema as a compact text, one line per type and field: to be kept and read
    /// again far faster than the document it was made from.
    ///
    /// # Errors
    ///
    /// If a name in it has a space or a line break, which the text can't hold.
    pub fn to_table(&self) -> Result<String, SchemaError> {
        let mut out = String::with_capacity(self.text.len() * 2);
        out.push_str(HEADER);
        out.push('\n');
        let mut kinds: HashMap<u32, Vec<String>> = HashMap::new();
        for (version, kind, id) in &self.kinds {
            let kind = format!("{},{}", self.str(*version), self.str(*kind));
            kinds.entry(*id).or_default().push(kind);
        }
        for (at, node) in self.nodes.iter().enumerate() {
            let id = u32::try_from(at).unwrap_or(NONE);
            self.write_node(&mut out, node)
                .and_then(|()| {
                    self.type_ref(id)
                        .field_slice()
                        .iter()
                        .try_for_each(|field| self.write_field(&mut out, field))
                })
                .map_err(|name| SchemaError::Table {
                    line: at,
                    problem: format!("the name {name:?} can't be written"),
                })?;
            for kind in kinds.remove(&id).unwrap_or_default() {
                let _ = writeln!(out, "g:{kind}");
            }
        }
        Ok(out)
    }

    fn word(&self, span: Span) -> Result<&str, String> {
        let text = self.str(span);
        if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(text.to_owned());
        }
        Ok(text)
    }

    fn write_node(&self, out: &mut String, node: &Node) -> Result<(), String> {
        let mut parts: Vec<String> = Vec::new();
        if node.shapes & shape::SCALAR != 0 {
            parts.push(format!("s:{}", scalar_name(node.scalar)));
        }
        if node.shapes & shape::LIST != 0 {
            parts.push(format!("l:{}", list_name(node.list)));
        }
        if node.shapes & shape::MAP != 0 {
            parts.push(format!(
                "m:{}",
                if node.map_atomic {
                    "atomic"
                } else {
                    "granular"
                }
            ));
        }
        if node.items != NONE {
            parts.push(format!("i:{}", node.items));
        }
        if node.values != NONE {
            parts.push(format!("v:{}", node.values));
        }
        let (at, len) = node.keys;
        for key in self
            .keys
            .get(at as usize..(at + len) as usize)
            .unwrap_or_default()
        {
            parts.push(format!("k:{}", self.word(*key)?));
        }
        let flags: String = FLAGS
            .iter()
            .filter(|(_, flag)| node.flags & flag != 0)
            .map(|(letter, _)| letter)
            .collect();
        if !flags.is_empty() {
            parts.push(format!("x:{flags}"));
        }
        if node.format.len > 0 {
            parts.push(format!("f:{}", self.word(node.format)?));
        }
        if node.name.len > 0 {
            parts.push(format!("n:{}", self.word(node.name)?));
        }
        if node.enumeration.len > 0 {
            parts.push(format!("e:{}", self.str(node.enumeration)));
        }
        if parts.is_empty() {
            parts.push("-".to_owned());
        }
        out.push_str(&parts.join(" "));
        out.push('\n');
        Ok(())
    }

    fn write_field(&self, out: &mut String, field: &Field) -> Result<(), String> {
        let _ = write!(out, "\t{} {}", self.word(field.name)?, field.ty);
        if field.required {
            out.push_str(" !");
        }
        if field.strategy.len > 0 {
            let _ = write!(out, " p:{}", self.word(field.strategy)?);
        }
        if field.merge_key.len > 0 {
            let _ = write!(out, " q:{}", self.word(field.merge_key)?);
        }
        if let Some(value) = field
            .default
            .checked_sub(1)
            .and_then(|at| self.defaults.get(at as usize))
        {
            let _ = write!(out, " d:{value}");
        }
        out.push('\n');
        Ok(())
    }
}

fn scalar_name(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::Numeric => "numeric",
        Scalar::String => "string",
        Scalar::Boolean => "boolean",
        Scalar::Untyped => "untyped",
    }
}

fn list_name(list: ListType) -> &'static str {
    match list {
        ListType::Atomic => "atomic",
        ListType::Set => "set",
        ListType::Map => "map",
    }
}

struct Lines {
    nodes: Vec<Node>,
    fields: Vec<Field>,
    keys: Vec<Span>,
    defaults: Vec<Value>,
    kinds: Vec<(Span, Span, u32)>,
}

fn read(text: Cow<'static, str>) -> Result<Schema, SchemaError> {
    let mut lines = Lines {
        nodes: Vec::with_capacity(text.len() / 64),
        fields: Vec::with_capacity(text.len() / 32),
        keys: Vec::new(),
        defaults: Vec::new(),
        kinds: Vec::new(),
    };
    let mut seen: HashMap<&str, u32> = HashMap::new();
    let mut at = 0_usize;
    for (line, content) in text.split('\n').enumerate() {
        let end = at + content.len() + 1;
        let read = if line == 0 {
            (content == HEADER).then_some(()).ok_or("not a type table")
        } else if content.is_empty() {
            Ok(())
        } else if let Some(field) = content.strip_prefix('\t') {
            lines.field(field, at + 1, &mut seen)
        } else if let Some(kind) = content.strip_prefix("g:") {
            lines.kind(kind, at + 2)
        } else {
            lines.node(content, at)
        };
        read.map_err(|problem| SchemaError::Table {
            line: line + 1,
            problem: problem.to_owned(),
        })?;
        at = end;
    }
    drop(seen);
    let Lines {
        nodes,
        fields,
        keys,
        defaults,
        mut kinds,
    } = lines;
    let str = |span: Span| text.get(span.at as usize..(span.at + span.len) as usize);
    kinds.sort_by(|a, b| (str(a.0), str(a.1)).cmp(&(str(b.0), str(b.1))));
    // A reference to a type that isn't there would only be found when it is used.
    let known = |id: u32| id == NONE || (id as usize) < nodes.len();
    let whole = nodes.len() >= 2
        && nodes
            .iter()
            .all(|node| known(node.items) && known(node.values))
        && fields.iter().all(|field| known(field.ty));
    if !whole {
        return Err(SchemaError::Table {
            line: 1,
            problem: "a type refers to one that isn't there".to_owned(),
        });
    }
    Ok(Schema {
        text,
        nodes,
        fields,
        keys,
        defaults,
        kinds,
    })
}

fn span(at: usize, text: &str) -> Span {
    Span {
        at: u32::try_from(at).unwrap_or(u32::MAX),
        len: u32::try_from(text.len()).unwrap_or(0),
    }
}

/// The parts of a line and where they begin; the last one may hold spaces.
fn parts(line: &str, at: usize) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = Some((at, line));
    std::iter::from_fn(move || {
        let (at, text) = rest.take()?;
        let end = if text.starts_with("d:") || text.starts_with("e:") {
            None
        } else {
            text.find(' ')
        };
        match end {
            Some(end) => {
                rest = Some((at + end + 1, text.get(end + 1..)?));
                Some((at, text.get(..end)?))
            }
            None => Some((at, text)),
        }
    })
}

fn number(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| "expected a number")
}

impl Lines {
    fn node(&mut self, line: &str, at: usize) -> Result<(), &'static str> {
        let mut node = Node::new();
        let begin = u32::try_from(self.fields.len()).unwrap_or(NONE);
        node.fields = (begin, 0);
        let keys = self.keys.len();
        for (at, part) in parts(line, at) {
            if part == "-" {
                continue;
            }
            let (letter, value) = part
                .split_once(':')
                .ok_or("expected a letter and a colon")?;
            let place = span(at + 2, value);
            match letter {
                "s" => {
                    node.shapes |= shape::SCALAR;
                    node.scalar = match value {
                        "numeric" => Scalar::Numeric,
                        "string" => Scalar::String,
                        "boolean" => Scalar::Boolean,
                        "untyped" => Scalar::Untyped,
                        _ => return Err("unknown scalar"),
                    };
                }
                "l" => {
                    node.shapes |= shape::LIST;
                    node.list = match value {
                        "atomic" => ListType::Atomic,
                        "set" => ListType::Set,
                        "map" => ListType::Map,
                        _ => return Err("unknown list type"),
                    };
                }
                "m" => {
                    node.shapes |= shape::MAP;
                    node.map_atomic = match value {
                        "atomic" => true,
                        "granular" => false,
                        _ => return Err("unknown map type"),
                    };
                }
                "i" => node.items = number(value)?,
                "v" => node.values = number(value)?,
                "k" => self.keys.push(place),
                "x" => {
                    for letter in value.chars() {
                        let (_, flag) = FLAGS
                            .iter()
                            .find(|(other, _)| *other == letter)
                            .ok_or("unknown flag")?;
                        node.flags |= flag;
                    }
                }
                "f" => node.format = place,
                "n" => node.name = place,
                "e" => node.enumeration = place,
                _ => return Err("unknown letter"),
            }
        }
        if self.keys.len() > keys {
            node.keys = (
                u32::try_from(keys).unwrap_or(0),
                u32::try_from(self.keys.len() - keys).unwrap_or(0),
            );
        }
        self.nodes.push(node);
        Ok(())
    }

    fn field<'t>(
        &mut self,
        line: &'t str,
        at: usize,
        seen: &mut HashMap<&'t str, u32>,
    ) -> Result<(), &'static str> {
        let node = self
            .nodes
            .last_mut()
            .ok_or("a field before the first type")?;
        let mut parts = parts(line, at);
        let (place, name) = parts.next().ok_or("a field without a name")?;
        let (_, ty) = parts.next().ok_or("a field without a type")?;
        let mut field = Field {
            name: span(place, name),
            ty: number(ty)?,
            default: 0,
            required: false,
            strategy: Span::default(),
            merge_key: Span::default(),
        };
        for (at, part) in parts {
            match part.split_once(':') {
                None if part == "!" => field.required = true,
                Some(("p", value)) => field.strategy = span(at + 2, value),
                Some(("q", value)) => field.merge_key = span(at + 2, value),
                Some(("d", text)) => {
                    field.default = match seen.get(text) {
                        Some(at) => *at,
                        None => {
                            let value = serde_json::from_str(text).map_err(|_| "not JSON")?;
                            self.defaults.push(value);
                            let at = u32::try_from(self.defaults.len()).unwrap_or(0);
                            seen.insert(text, at);
                            at
                        }
                    };
                }
                _ => return Err("unknown part of a field"),
            }
        }
        node.fields.1 += 1;
        self.fields.push(field);
        Ok(())
    }

    fn kind(&mut self, kind: &str, at: usize) -> Result<(), &'static str> {
        let id = self
            .nodes
            .len()
            .checked_sub(1)
            .ok_or("a kind before the first type")?;
        let (version, name) = kind
            .split_once(',')
            .ok_or("a kind has a version and a name")?;
        self.kinds.push((
            span(at, version),
            span(at + version.len() + 1, name),
            u32::try_from(id).unwrap_or(NONE),
        ));
        Ok(())
    }
}
