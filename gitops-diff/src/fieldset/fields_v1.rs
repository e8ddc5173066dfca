//! `fieldsV1`, both ways.

use serde_json::{Map, Value};

use super::element::{Step, write_string};
use super::{FieldSet, Node};

/// Deeper than any object that this crate reads can be (see `value::MAX_DEPTH`).
const MAX_DEPTH: usize = 130;

/// Why `fieldsV1` could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("fieldsV1{path}: {problem}")]
#[non_exhaustive]
pub struct FieldsError {
    /// The way to the entry, from key to key.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
}

impl<'a> FieldSet<'a> {
    /// Reads `fieldsV1`. Names are borrowed from it.
    ///
    /// Keys of a kind that isn't known are left out, as the API server does.
    ///
    /// # Errors
    ///
    /// If a key can't be read, if something isn't an object, or if it is nested deeper
    /// than any object can be.
    pub fn from_fields_v1(fields: &'a Value) -> Result<Self, FieldsError> {
        Ok(Self::read_fields_v1(fields)?.0)
    }

    /// The same, and whether [`to_fields_v1`](Self::to_fields_v1) gives back `fields`.
    pub(crate) fn read_fields_v1(fields: &'a Value) -> Result<(Self, bool), FieldsError> {
        let mut written = Written {
            same: !fields.is_null(),
            key: String::new(),
        };
        let (_, set) = read(fields, 0, &mut written)?;
        Ok((set, written.same))
    }

    /// The set as `fieldsV1`.
    #[must_use]
    pub fn to_fields_v1(&self) -> Value {
        self.to_object(false)
    }

    fn to_object(&self, member: bool) -> Value {
        let mut out = Map::new();
        if member && !self.is_empty() {
            out.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for node in &self.nodes {
            let mut key = String::new();
            node.step.write_key(&mut key);
            out.insert(key, node.children.to_object(node.member));
        }
        Value::Object(out)
    }

    /// The set as the text of `fieldsV1`, byte for byte as the API server stores it.
    #[must_use]
    pub fn to_fields_v1_text(&self) -> String {
        let mut out = String::new();
        let mut key = String::new();
        self.write(false, &mut out, &mut key);
        out
    }

    fn write(&self, member: bool, out: &mut String, key: &mut String) {
        out.push('{');
        let mut first = true;
        if member && !self.is_empty() {
            out.push_str("\".\":{}");
            first = false;
        }
        for Node {
            step,
            member,
            children,
        } in &self.nodes
        {
            if !first {
                out.push(',');
            }
            first = false;
            key.clear();
            step.write_key(key);
            write_string(out, key, false);
            out.push(':');
            children.write(*member, out, key);
        }
        out.push('}');
    }
}

/// How what is read would be written.
struct Written {
    /// Whether it would be written just so.
    same: bool,
    /// Room for a key as it would be written.
    key: String,
}

/// What lies within, and whether the place itself is a member.
fn read<'a>(
    fields: &'a Value,
    depth: usize,
    written: &mut Written,
) -> Result<(bool, FieldSet<'a>), FieldsError> {
    let error = |problem: &str| FieldsError {
        path: String::new(),
        problem: problem.to_owned(),
    };
    let entries = match fields {
        Value::Object(entries) => entries,
        // The API server reads it as if it were empty.
        Value::Null => {
            written.same = false;
            return Ok((true, FieldSet::new()));
        }
        _ => return Err(error("expected an object")),
    };
    if depth > MAX_DEPTH {
        return Err(error("nested too deep"));
    }
    let mut set = FieldSet::new();
    let mut member = false;
    for (key, value) in entries {
        if key == "." {
            member = true;
            written.same &= entries.len() > 1 && value.as_object().is_some_and(Map::is_empty);
            continue;
        }
        let Some(step) = Step::from_key(key).map_err(|problem| error(&problem))? else {
            written.same = false;
            continue;
        };
        if written.same && !matches!(step, Step::Field(_)) {
            written.key.clear();
            written.key.reserve(key.len());
            step.write_key(&mut written.key);
            written.same = written.key == *key;
        }
        let (is_member, children) = read(value, depth + 1, written).map_err(|mut inner| {
            inner.path = format!("[{key:?}]{}", inner.path);
            inner
        })?;
        set.put(step, is_member, children);
    }
    set.settle();
    // Keys that were left out may have been all that there was.
    written.same &= depth == 0 || !set.is_empty() || entries.is_empty();
    Ok((member || set.is_empty(), set))
}
