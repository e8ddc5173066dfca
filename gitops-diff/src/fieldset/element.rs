//! One step of a path, in the API server's order.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use gitops_core::PathElement;
use serde_json::{Number, Value};

use crate::value;

/// One step: [`PathElement`] with borrowed names, and ordered.
///
/// The order is the one of `fieldsV1`: members by name, then list elements by key, then
/// set elements by value, then places.
#[derive(Debug, Clone)]
pub(crate) enum Step<'a> {
    Field(Cow<'a, str>),
    /// Sorted by name.
    Key(Vec<(Cow<'a, str>, Cow<'a, Value>)>),
    Value(Cow<'a, Value>),
    Index(usize),
}

impl<'a> Step<'a> {
    pub(crate) fn field(name: &'a str) -> Self {
        Self::Field(Cow::Borrowed(name))
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Value(_) => 2,
            Self::Index(_) => 3,
        }
    }

    pub(crate) fn into_owned(self) -> Step<'static> {
        match self {
            Self::Field(name) => Step::Field(Cow::Owned(name.into_owned())),
            Self::Key(keys) => Step::Key(
                keys.into_iter()
                    .map(|(name, value)| {
                        (
                            Cow::Owned(name.into_owned()),
                            Cow::Owned(value.into_owned()),
                        )
                    })
                    .collect(),
            ),
            Self::Value(value) => Step::Value(Cow::Owned(value.into_owned())),
            Self::Index(at) => Step::Index(at),
        }
    }

    pub(crate) fn to_element(&self) -> PathElement {
        match self {
            Self::Field(name) => PathElement::Field(name.clone().into_owned()),
            Self::Key(keys) => PathElement::Key(
                keys.iter()
                    .map(|(name, value)| (name.clone().into_owned(), value.clone().into_owned()))
                    .collect(),
            ),
            Self::Value(value) => PathElement::Value(value.clone().into_owned()),
            Self::Index(at) => PathElement::Index(*at),
        }
    }

    pub(crate) fn from_element(element: &'a PathElement) -> Self {
        match element {
            PathElement::Field(name) => Self::field(name),
            PathElement::Key(keys) => Self::Key(
                keys.iter()
                    .map(|(name, value)| (Cow::Borrowed(name.as_str()), Cow::Borrowed(value)))
                    .collect(),
            ),
            PathElement::Value(value) => Self::Value(Cow::Borrowed(value)),
            PathElement::Index(at) => Self::Index(*at),
        }
    }

    /// Reads a key of `fieldsV1`. `Ok(None)`: a kind of step that is not known, which
    /// is to be left out, as the API server does.
    pub(crate) fn from_key(key: &'a str) -> Result<Option<Self>, String> {
        let Some((kind, rest)) = key.split_at_checked(2) else {
            return Err(format!("{key:?}: a key has a letter, a colon and a name"));
        };
        match kind {
            "f:" => Ok(Some(Self::field(rest))),
            "v:" => first_value(rest)
                .map(|value| Some(Self::Value(Cow::Owned(as_read(value)))))
                .ok_or_else(|| format!("{key:?}: the value isn't JSON")),
            "k:" => {
                let Keys(keys) = first_value(rest)
                    .ok_or_else(|| format!("{key:?}: the keys aren't a JSON object"))?;
                Ok(Some(Self::Key(keys)))
            }
            "i:" => rest
                .parse::<i64>()
                .and_then(|_| rest.parse())
                .map(|at| Some(Self::Index(at)))
                .map_err(|_| format!("{key:?}: the index isn't a number")),
            _ if kind.ends_with(':') => Ok(None),
            _ => Err(format!("{key:?}: missing colon")),
        }
    }

    /// Writes the key of `fieldsV1` for this step.
    pub(crate) fn write_key(&self, out: &mut String) {
        match self {
            Self::Field(name) => {
                out.push_str("f:");
                out.push_str(name);
            }
            Self::Key(keys) => {
                out.push_str("k:{");
                for (at, (name, value)) in keys.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    write_string(out, name, false);
                    out.push(':');
                    write_json(out, value);
                }
                out.push('}');
            }
            Self::Value(value) => {
                out.push_str("v:");
                write_json(out, value);
            }
            Self::Index(at) => {
                out.push_str("i:");
                out.push_str(&at.to_string());
            }
        }
    }
}

/// A text as the API server writes it into JSON. Inside of values it also escapes what
/// could be taken for HTML.
pub(crate) fn write_string(out: &mut String, text: &str, html: bool) {
    use std::fmt::Write as _;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' if html => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

pub(crate) fn write_json(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => write_string(out, text, true),
        Value::Number(number) => write_number(out, number),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_json(out, item);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (at, (name, member)) in members.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_string(out, name, true);
                out.push(':');
                write_json(out, member);
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}

/// The JSON value that a text begins with. The API server doesn't look at what follows.
fn first_value<'t, T: serde::Deserialize<'t>>(text: &'t str) -> Option<T> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter();
    values.next()?.ok()
}

/// The keys of a list element, sorted by name, read without a map in between. Of a name that
/// stands twice the last value counts.
struct Keys<'a>(Vec<(Cow<'a, str>, Cow<'a, Value>)>);

impl<'de> serde::Deserialize<'de> for Keys<'_> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Keys<'static>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<M: serde::de::MapAccess<'de>>(
                self,
                mut members: M,
            ) -> Result<Self::Value, M::Error> {
                let mut keys: Vec<(Cow<'static, str>, _)> = Vec::with_capacity(2);
                while let Some((name, value)) = members.next_entry::<String, Value>()? {
                    keys.push((Cow::Owned(name), Cow::Owned(as_read(value))));
                }
                keys.sort_by(|(a, _), (b, _)| a.cmp(b));
                keys.dedup_by(|later, kept| {
                    let same = later.0 == kept.0;
                    if same {
                        std::mem::swap(later, kept);
                    }
                    same
                });
                Ok(Keys(keys))
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}

/// A value of a key as the API server has it once it has read it: every number is a
/// float. An integer stays one where that makes no difference.
fn as_read(value: Value) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float)
                if float.fract() == 0.0
                    && float.abs() <= EXACT
                    && (float != 0.0 || float.is_sign_positive()) =>
            {
                Value::from(float as i64)
            }
            Some(float) => Value::from(float),
            None => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(as_read).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, member)| (name, as_read(member)))
            .collect(),
        other => other,
    }
}

/// A number as Go's JSON has it: no fraction where there is none, and an exponent only
/// below 1e-6 and from 1e21 on.
fn write_number(out: &mut String, number: &Number) {
    use std::fmt::Write as _;
    // To write to a text never fails.
    let _ = match number.as_f64() {
        Some(float) if number.is_f64() => {
            if float == 0.0 || (1e-6..1e21).contains(&float.abs()) {
                write!(out, "{float}")
            } else {
                let text = format!("{float:e}");
                match text.split_once('e') {
                    Some((digits, exponent)) => match exponent.strip_prefix('-') {
                        Some(exponent) => write!(out, "{digits}e-{exponent:0>2}"),
                        None => write!(out, "{digits}e+{exponent}"),
                    },
                    None => write!(out, "{text}"),
                }
            }
        }
        _ => write!(out, "{number}"),
    };
}

impl Ord for Step<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(a), Self::Field(b)) => a.cmp(b),
            (Self::Key(a), Self::Key(b)) => {
                for ((a_name, a), (b_name, b)) in a.iter().zip(b) {
                    let order = a_name.cmp(b_name).then_with(|| value::compare(a, b));
                    if order.is_ne() {
                        return order;
                    }
                }
                a.len().cmp(&b.len())
            }
            (Self::Value(a), Self::Value(b)) => value::compare(a, b),
            (Self::Index(a), Self::Index(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Step<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Step<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Step<'_> {}

/// As the API server writes it in a message.
impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                f.write_str("[")?;
                for (at, (name, value)) in keys.iter().enumerate() {
                    write!(f, "{}{name}=", if at == 0 { "" } else { "," })?;
                    value::key_text(f, value)?;
                }
                f.write_str("]")
            }
            Self::Value(value) => {
                f.write_str("[=")?;
                value::key_text(f, value)?;
                f.write_str("]")
            }
            Self::Index(at) => write!(f, "[{at}]"),
        }
    }
}
