//! The entries of `metadata.managedFields`.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use gitops_core::FieldOwner;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::fieldset::FieldSet;

/// How a manager writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// By server-side apply.
    Apply,
    /// By anything else: create, update, patch.
    Update,
}

impl Operation {
    /// As `managedFields` has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// Who owns fields: what tells one entry of `managedFields` from another.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Manager<'a> {
    /// The name, such as `kubectl-edit`.
    pub name: Cow<'a, str>,
    /// How it writes.
    pub operation: Operation,
    /// The `apiVersion` at which it writes; empty for [`Operation::Apply`], of which a
    /// manager has one entry, whatever the version.
    pub api_version: Cow<'a, str>,
    /// The subresource through which it writes; empty for none.
    pub subresource: Cow<'a, str>,
}

impl Manager<'_> {
    /// The text by which the API server orders managers: the entry as JSON.
    pub(crate) fn identifier(&self) -> String {
        let mut members = Vec::new();
        for (name, value) in [
            ("manager", self.name.as_ref()),
            ("operation", self.operation.as_str()),
            ("apiVersion", &self.api_version),
            ("subresource", &self.subresource),
        ] {
            if !value.is_empty() {
                let mut text = String::new();
                crate::fieldset::write_json_string(&mut text, value, true);
                members.push(format!("\"{name}\":{text}"));
            }
        }
        format!("{{{}}}", members.join(","))
    }

    /// The same, with names of its own.
    #[must_use]
    pub fn into_owned(self) -> Manager<'static> {
        Manager {
            name: Cow::Owned(self.name.into_owned()),
            operation: self.operation,
            api_version: Cow::Owned(self.api_version.into_owned()),
            subresource: Cow::Owned(self.subresource.into_owned()),
        }
    }
}

/// As a conflict names it: `"alpha"`, `"kubectl-edit" using apps/v1`,
/// `"hpa" with subresource "scale" using apps/v1`.
impl fmt::Display for Manager<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::value::quoted(f, &self.name)?;
        if !self.subresource.is_empty() {
            f.write_str(" with subresource ")?;
            crate::value::quoted(f, &self.subresource)?;
        }
        if self.operation == Operation::Update {
            write!(f, " using {}", self.api_version)?;
        }
        Ok(())
    }
}

/// One entry: a manager and the fields that it owns.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Entry<'a> {
    /// Who.
    pub manager: Manager<'a>,
    /// The `apiVersion` at which the fields were recorded.
    pub api_version: Cow<'a, str>,
    /// When the manager last changed something, to the second.
    pub time: Option<Timestamp>,
    /// What.
    pub fields: FieldSet<'a>,
    /// The entry as it was read, while nothing in it has changed, if it would be written
    /// just so.
    source: Option<&'a Value>,
}

impl<'a> Entry<'a> {
    pub(crate) fn new(
        manager: Manager<'a>,
        api_version: Cow<'a, str>,
        time: Option<Timestamp>,
        fields: FieldSet<'a>,
    ) -> Self {
        Self {
            manager,
            api_version,
            time,
            fields,
            source: None,
        }
    }

    pub(crate) fn set_fields(&mut self, fields: FieldSet<'a>) {
        if fields != self.fields {
            self.fields = fields;
            self.source = None;
        }
    }

    pub(crate) fn set_version(&mut self, api_version: Cow<'a, str>) {
        if self.api_version != api_version {
            self.api_version = api_version;
            self.source = None;
        }
    }

    pub(crate) fn set_time(&mut self, time: Option<Timestamp>) {
        if self.time != time {
            self.time = time;
            self.source = None;
        }
    }

    fn read(entry: &'a Value) -> Result<Self, String> {
        let text = |name: &str| match entry.get(name) {
            None | Some(Value::Null) => Ok(""),
            Some(Value::String(text)) => Ok(text.as_str()),
            Some(_) => Err(format!("{name} must be a text")),
        };
        let operation = match text("operation")? {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return Err("operation must be `Apply` or `Update`".to_owned()),
        };
        let api_version = text("apiVersion")?;
        if api_version.is_empty() {
            return Err("apiVersion must not be empty".to_owned());
        }
        match text("fieldsType")? {
            "FieldsV1" => {}
            "" => return Err("missing fieldsType in managed fields entry".to_owned()),
            other => {
                return Err(format!(
                    "invalid fieldsType {other:?} in managed fields entry"
                ));
            }
        }
        let time = match text("time")? {
            "" => None,
            text => Some(
                text.parse::<Timestamp>()
                    .map_err(|_| "time isn't a timestamp".to_owned())?,
            ),
        };
        let (fields, same) = match entry.get("fieldsV1") {
            Some(fields) => FieldSet::read_fields_v1(fields).map_err(|error| error.to_string())?,
            None => (FieldSet::new(), false),
        };
        let source = Some(entry).filter(|entry| same && is_canonical(entry));
        Ok(Self {
            manager: Manager {
                name: Cow::Borrowed(text("manager")?),
                operation,
                api_version: Cow::Borrowed(match operation {
                    Operation::Apply => "",
                    Operation::Update => api_version,
                }),
                subresource: Cow::Borrowed(text("subresource")?),
            },
            api_version: Cow::Borrowed(api_version),
            time,
            fields,
            source,
        })
    }

    fn to_value(&self) -> Value {
        if let Some(source) = self.source {
            return source.clone();
        }
        let mut out = Map::new();
        let mut put = |name: &str, value: &str| {
            if !value.is_empty() {
                out.insert(name.to_owned(), Value::from(value));
            }
        };
        put("manager", &self.manager.name);
        put("operation", self.manager.operation.as_str());
        put("apiVersion", &self.api_version);
        if let Some(time) = self.time {
            put("time", &seconds(time));
        }
        put("fieldsType", "FieldsV1");
        put("subresource", &self.manager.subresource);
        out.insert("fieldsV1".to_owned(), self.fields.to_fields_v1());
        Value::Object(out)
    }

    fn order(&self, other: &Self) -> Ordering {
        let second = |entry: &Self| entry.time.map_or(0, Timestamp::as_second);
        self.manager
            .operation
            .cmp(&other.manager.operation)
            .then_with(|| second(self).cmp(&second(other)))
            .then_with(|| self.manager.name.cmp(&other.manager.name))
            .then_with(|| self.api_version.cmp(&other.api_version))
            .then_with(|| self.manager.subresource.cmp(&other.manager.subresource))
    }

    /// The owner, as the rest of the SDK names it.
    #[must_use]
    pub fn owner(&self) -> FieldOwner {
        FieldOwner {
            manager: self.manager.name.clone().into_owned(),
            operation: self.manager.operation.as_str().to_owned(),
            subresource: match self.manager.subresource.as_ref() {
                "" => None,
                name => Some(name.to_owned()),
            },
            time: self.time,
        }
    }
}

/// Whether an entry has nothing but the members that it is written with, none of them
/// empty. `fieldsV1` isn't looked at.
fn is_canonical(entry: &Value) -> bool {
    entry
        .as_object()
        .into_iter()
        .flatten()
        .all(|(name, value)| {
            let text = value.as_str().unwrap_or("");
            match name.as_str() {
                "fieldsV1" => true,
                // A time that could be read, of this length: 2026-01-02T03:04:05Z.
                "time" => {
                    text.len() == 20
                        && text.ends_with('Z')
                        && text.as_bytes().get(10) == Some(&b'T')
                }
                "manager" | "operation" | "apiVersion" | "fieldsType" | "subresource" => {
                    !text.is_empty()
                }
                _ => false,
            }
        })
}

/// A time as the API server writes it.
fn seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second())
        .unwrap_or(time)
        .to_string()
}

/// All entries of an object.
#[derive(Debug, Clone, Default)]
pub struct ManagedFields<'a> {
    pub(crate) entries: Vec<Entry<'a>>,
}

impl<'a> ManagedFields<'a> {
    /// Reads the value of `metadata.managedFields`.
    ///
    /// # Errors
    ///
    /// A message, if an entry can't be read.
    pub fn read(managed: &'a Value) -> Result<Self, String> {
        let list = match managed {
            Value::Null => return Ok(Self::default()),
            Value::Array(list) => list,
            _ => return Err("managedFields must be a list".to_owned()),
        };
        let mut out = Self {
            entries: Vec::with_capacity(list.len()),
        };
        for entry in list {
            let entry = Entry::read(entry)?;
            // A manager has one entry; of several the last one counts.
            match out.get_mut(&entry.manager) {
                Some(place) => *place = entry,
                None => out.entries.push(entry),
            }
        }
        Ok(out)
    }

    /// Reads the entries of an object.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn of(object: &'a Value) -> Result<Self, String> {
        Self::read(&object["metadata"]["managedFields"])
    }

    /// The entries.
    pub fn iter(&self) -> impl Iterator<Item = &Entry<'a>> {
        self.entries.iter()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry of a manager.
    #[must_use]
    pub fn get(&self, manager: &Manager<'_>) -> Option<&Entry<'a>> {
        self.entries.iter().find(|entry| entry.manager == *manager)
    }

    pub(crate) fn get_mut(&mut self, manager: &Manager<'_>) -> Option<&mut Entry<'a>> {
        self.entries
            .iter_mut()
            .find(|entry| entry.manager == *manager)
    }

    pub(crate) fn take(&mut self, manager: &Manager<'_>) -> Option<Entry<'a>> {
        let at = self
            .entries
            .iter()
            .position(|entry| entry.manager == *manager)?;
        Some(self.entries.remove(at))
    }

    /// The entries as JSON, in the API server's order; null if there are none.
    #[must_use]
    pub fn to_value(&self) -> Value {
        if self.entries.is_empty() {
            return Value::Null;
        }
        let mut sorted: Vec<&Entry<'a>> = self.entries.iter().collect();
        sorted.sort_by(|a, b| a.order(b));
        Value::Array(sorted.into_iter().map(Entry::to_value).collect())
    }
}

/// Puts the entries into an object, or takes them away if there are none.
pub(crate) fn put(object: &mut Value, managed: Value) {
    let Some(members) = object.as_object_mut() else {
        return;
    };
    if managed.is_null() {
        if let Some(metadata) = members.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        return;
    }
    let metadata = members
        .entry("metadata")
        .or_insert_with(|| Value::Object(Map::new()));
    if metadata.is_null() {
        *metadata = Value::Object(Map::new());
    }
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.insert("managedFields".to_owned(), managed);
    }
}

/// Puts the times of `live` back into `object`, if nothing but times in `managedFields`
/// tells them apart, and answers whether they are equal then.
///
/// The API server does this last, when an object is about to be stored: a write that
/// changes nothing leaves the object, and its `resourceVersion`, as they are. A caller
/// that sets defaults does it after that.
pub fn keep_times(live: &Value, object: &mut Value) -> bool {
    fn without_times(entries: &Value) -> Vec<Vec<(&String, &Value)>> {
        let list = entries.as_array().into_iter().flatten();
        list.map(|entry| {
            let members = entry.as_object().into_iter().flatten();
            let mut members: Vec<_> = members.filter(|(name, _)| *name != "time").collect();
            members.sort_by_key(|(name, _)| *name);
            members
        })
        .collect()
    }
    fn same_but(a: &Value, b: &Value, name: &str, equal: impl Fn(&Value, &Value) -> bool) -> bool {
        let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else {
            return a == b;
        };
        let count = |map: &Map<String, Value>| map.len() - usize::from(map.contains_key(name));
        count(a) == count(b)
            && a.iter()
                .filter(|(other, _)| *other != name)
                .all(|(name, a)| b.get(name) == Some(a))
            && equal(
                a.get(name).unwrap_or(&Value::Null),
                b.get(name).unwrap_or(&Value::Null),
            )
    }
    // Entries are sorted by time, so the order may differ as well.
    let sorted = |entries: &Value| -> Vec<String> {
        let mut texts: Vec<String> = without_times(entries)
            .iter()
            .map(|entry| {
                let parts = entry.iter().map(|(name, value)| format!("{name}:{value}"));
                parts.collect::<Vec<_>>().join(",")
            })
            .collect();
        texts.sort();
        texts
    };
    let same = same_but(live, object, "metadata", |a, b| {
        same_but(a, b, "managedFields", |a, b| {
            without_times(a) == without_times(b) || sorted(a) == sorted(b)
        })
    });
    if same {
        put(object, live["metadata"]["managedFields"].clone());
    }
    same
}
