//! Paths to fields of an object, and what differs there.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One step of a [`FieldPath`].
///
/// These are the four kinds of step that the API server knows in
/// [`fieldsV1`](https://kubernetes.io/docs/reference/using-api/server-side-apply/#managedfields):
/// `f:`, `k:`, `v:` and `i:`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum PathElement {
    /// A member of an object or map: `.name`.
    Field(String),
    /// The element of a list map that has these keys: `[name="app"]`.
    Key(BTreeMap<String, Value>),
    /// The element of a set that has this value: `[="value"]`.
    Value(Value),
    /// The element of an atomic list at this place, counted from zero: `[2]`.
    Index(usize),
}

impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                f.write_str("[")?;
                for (at, (name, value)) in keys.iter().enumerate() {
                    write!(f, "{}{name}={value}", if at == 0 { "" } else { "," })?;
                }
                f.write_str("]")
            }
            Self::Value(value) => write!(f, "[={value}]"),
            Self::Index(at) => write!(f, "[{at}]"),
        }
    }
}

/// The place of a field in an object, as the API server writes it in a conflict:
/// `.spec.template.spec.containers[name="app"].image`.
///
/// ```
/// use gitops_core::FieldPath;
/// use serde_json::json;
///
/// let image = FieldPath::root()
///     .field("spec")
///     .field("containers")
///     .key([("name", json!("app"))])
///     .field("image");
/// assert_eq!(image.to_string(), r#".spec.containers[name="app"].image"#);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct FieldPath {
    elements: Vec<PathElement>,
}

impl FieldPath {
    /// The object itself.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// This path with one more step.
    #[must_use]
    pub fn join(mut self, element: PathElement) -> Self {
        self.elements.push(element);
        self
    }

    /// This path and then the member `name`.
    #[must_use]
    pub fn field(self, name: impl Into<String>) -> Self {
        self.join(PathElement::Field(name.into()))
    }

    /// This path and then the list element with these keys.
    #[must_use]
    pub fn key<N: Into<String>>(self, keys: impl IntoIterator<Item = (N, Value)>) -> Self {
        let keys = keys
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect();
        self.join(PathElement::Key(keys))
    }

    /// This path and then the list element at `at`.
    #[must_use]
    pub fn index(self, at: usize) -> Self {
        self.join(PathElement::Index(at))
    }

    /// The steps, outermost first.
    #[must_use]
    pub fn elements(&self) -> &[PathElement] {
        &self.elements
    }

    /// Adds a step in place.
    pub fn push(&mut self, element: PathElement) {
        self.elements.push(element);
    }

    /// Takes the last step off.
    pub fn pop(&mut self) -> Option<PathElement> {
        self.elements.pop()
    }

    /// Whether `self` is `other` or lies within it.
    #[must_use]
    pub fn starts_with(&self, other: &Self) -> bool {
        self.elements.starts_with(&other.elements)
    }
}

impl FromIterator<PathElement> for FieldPath {
    fn from_iter<I: IntoIterator<Item = PathElement>>(elements: I) -> Self {
        Self {
            elements: elements.into_iter().collect(),
        }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.elements.is_empty() {
            return f.write_str(".");
        }
        self.elements.iter().try_for_each(|element| element.fmt(f))
    }
}

/// Who owns a field: one entry of `metadata.managedFields`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FieldOwner {
    /// The manager's name, such as `kubectl-edit`.
    pub manager: String,
    /// `Apply` or `Update`.
    pub operation: String,
    /// The subresource that was written, such as `scale` or `status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subresource: Option<String>,
    /// When the manager last wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(with = "Option<String>"))]
    pub time: Option<Timestamp>,
}

impl fmt::Display for FieldOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.manager, self.operation)?;
        if let Some(subresource) = &self.subresource {
            write!(f, " of {subresource}")?;
        }
        f.write_str(")")
    }
}

/// A field that another manager owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FieldConflict {
    /// The field.
    pub path: FieldPath,
    /// Its owner, where the server named one.
    pub owner: Option<FieldOwner>,
}

impl fmt::Display for FieldConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.owner {
            Some(owner) => write!(f, "{} owned by {owner}", self.path),
            None => write!(f, "{} owned by nobody we know", self.path),
        }
    }
}

/// One side of a [`FieldChange`]: a value that may be shown, or the fact that there
/// is one that may not.
///
/// A secret never gets into this type: whoever builds a difference decides with the
/// object's kind in hand, and puts [`Redacted`](Self::Redacted) there instead of the
/// value. What is not held can't be printed, logged or stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum FieldValue {
    /// The field isn't there.
    Absent,
    /// The field's value.
    Value(Value),
    /// There is a value, and it is secret.
    Redacted,
    /// The value was not read, as only the object's metadata was looked at.
    Unread,
}

impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("(absent)"),
            Self::Value(value) => value.fmt(f),
            Self::Redacted => f.write_str("(secret)"),
            Self::Unread => f.write_str("(not read)"),
        }
    }
}

/// One field in which an object differs from what is desired.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// The field.
    pub path: FieldPath,
    /// What runs.
    pub before: FieldValue,
    /// What is desired.
    pub after: FieldValue,
    /// Who owns the field now, if that is somebody else and known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<FieldOwner>,
}

impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.before, &self.after) {
            (FieldValue::Absent, after) => write!(f, "+ {} = {after}", self.path)?,
            (before, FieldValue::Absent) => write!(f, "- {} (was {before})", self.path)?,
            (FieldValue::Redacted, FieldValue::Redacted) => {
                write!(f, "~ {}: secret changed", self.path)?;
            }
            (FieldValue::Unread, after) => write!(f, "~ {} = {after}", self.path)?,
            (before, after) => write!(f, "~ {}: {before} -> {after}", self.path)?,
        }
        match &self.owner {
            Some(owner) => write!(f, "  [{owner}]"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_print_as_the_api_server_prints_them() {
        let path = FieldPath::root()
            .field("spec")
            .key([("containerPort", json!(80)), ("protocol", json!("TCP"))])
            .join(PathElement::Value(json!("a")))
            .index(3);
        assert_eq!(
            path.to_string(),
            r#".spec[containerPort=80,protocol="TCP"][="a"][3]"#
        );
        assert_eq!(FieldPath::root().to_string(), ".");
    }

    #[test]
    fn paths_survive_json() {
        let path = FieldPath::root()
            .field("a")
            .key([("k", json!("v"))])
            .index(1);
        let text = serde_json::to_string(&path).unwrap();
        assert_eq!(serde_json::from_str::<FieldPath>(&text).unwrap(), path);
    }

    #[test]
    fn a_changed_secret_shows_neither_side() {
        let change = FieldChange {
            path: FieldPath::root().field("data").field("password"),
            before: FieldValue::Redacted,
            after: FieldValue::Redacted,
            owner: None,
        };
        assert_eq!(change.to_string(), "~ .data.password: secret changed");
    }
}
