//! Field errors and the message an API server makes of them.

use std::fmt;

use serde_json::{Value, json};

/// Where in an object a field is, in the server's own spelling:
/// `spec.containers[0].name`, `metadata.annotations[example.com/a]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// The object itself.
    #[must_use]
    pub fn root() -> Self {
        Self(String::new())
    }

    /// A path from dotted text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The member `name` of this object.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() {
            Self(name.to_owned())
        } else {
            Self(format!("{}.{name}", self.0))
        }
    }

    /// Element `index` of this list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// The entry `key` of this map.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is wrong with a field, as `field.ErrorType` of apimachinery names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A value that must be unique is there twice.
    Duplicate,
    /// The value may not be set.
    Forbidden,
    /// The server failed while it looked at the value.
    Internal,
    /// The value breaks a rule.
    Invalid,
    /// The value refers to something that isn't there.
    NotFound,
    /// The value is none of the known ones.
    NotSupported,
    /// There is no value and there must be one.
    Required,
    /// The value has too many bytes.
    TooLong,
    /// There are too many values.
    TooMany,
    /// The value is of the wrong JSON type.
    TypeInvalid,
}

impl ErrorKind {
    /// The `reason` of a cause in a Status.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::Internal => "InternalError",
            Self::Invalid => "FieldValueInvalid",
            Self::NotFound => "FieldValueNotFound",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Required => "FieldValueRequired",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Duplicate => "Duplicate value",
            Self::Forbidden => "Forbidden",
            Self::Internal => "Internal error",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotFound => "Not found",
            Self::NotSupported => "Unsupported value",
            Self::Required => "Required value",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
        }
    }
}

/// One thing that is wrong with an object.
#[derive(Clone, PartialEq, Eq)]
pub struct FieldError {
    /// What is wrong.
    pub kind: ErrorKind,
    /// Where: a [`Path`] as text, or `<nil>` for the whole object.
    pub field: String,
    /// The value as the server prints it. `None`: not printed.
    bad: Option<String>,
    /// The rest of the sentence; may be empty.
    pub detail: String,
}

/// Prints the field and the kind, never the value: it may be part of a Secret.
impl fmt::Debug for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FieldError")
            .field("kind", &self.kind)
            .field("field", &self.field)
            .field("detail", &self.detail)
            .finish_non_exhaustive()
    }
}

impl FieldError {
    fn make(kind: ErrorKind, field: &Path, bad: Option<String>, detail: impl Into<String>) -> Self {
        Self {
            kind,
            field: if field.0.is_empty() {
                "<nil>".to_owned()
            } else {
                field.0.clone()
            },
            bad,
            detail: detail.into(),
        }
    }

    /// The value at `field` breaks the rule `detail`.
    #[must_use]
    pub fn invalid(field: &Path, bad: &Value, detail: impl Into<String>) -> Self {
        Self::make(ErrorKind::Invalid, field, Some(print(bad)), detail)
    }

    /// The same for a string.
    #[must_use]
    pub fn invalid_str(field: &Path, bad: &str, detail: impl Into<String>) -> Self {
        Self::make(ErrorKind::Invalid, field, Some(quote(bad)), detail)
    }

    /// The same with text that is already printed.
    #[must_use]
    pub fn invalid_raw(field: &Path, bad: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::make(ErrorKind::Invalid, field, Some(bad.into()), detail)
    }

    /// The same without the value.
    #[must_use]
    pub fn invalid_omitted(field: &Path, detail: impl Into<String>) -> Self {
        Self::make(ErrorKind::Invalid, field, None, detail)
    }

    /// There must be a value.
    #[must_use]
    pub fn required(field: &Path, detail: impl Into<String>) -> Self {
        Self::make(ErrorKind::Required, field, None, detail)
    }

    /// There may be no value.
    #[must_use]
    pub fn forbidden(field: &Path, detail: impl Into<String>) -> Self {
        Self::make(ErrorKind::Forbidden, field, None, detail)
    }

    /// The value is there twice.
    #[must_use]
    pub fn duplicate(field: &Path, bad: &Value) -> Self {
        Self::make(ErrorKind::Duplicate, field, Some(print(bad)), "")
    }

    /// The same with text that is already printed.
    #[must_use]
    pub fn duplicate_raw(field: &Path, bad: impl Into<String>) -> Self {
        Self::make(ErrorKind::Duplicate, field, Some(bad.into()), "")
    }

    /// The value refers to nothing.
    #[must_use]
    pub fn not_found(field: &Path, bad: &Value) -> Self {
        Self::make(ErrorKind::NotFound, field, Some(print(bad)), "")
    }

    /// The value is none of `supported`, which is printed in the order given.
    #[must_use]
    pub fn not_supported<S: AsRef<str>>(field: &Path, bad: &Value, supported: &[S]) -> Self {
        Self::not_supported_raw(field, print(bad), supported)
    }

    /// The same with text that is already printed.
    #[must_use]
    pub fn not_supported_raw<S: AsRef<str>>(
        field: &Path,
        bad: impl Into<String>,
        supported: &[S],
    ) -> Self {
        let detail = if supported.is_empty() {
            String::new()
        } else {
            let known: Vec<String> = supported.iter().map(|s| quote(s.as_ref())).collect();
            format!("supported values: {}", known.join(", "))
        };
        Self::make(ErrorKind::NotSupported, field, Some(bad.into()), detail)
    }

    /// The value has more than `max` bytes.
    #[must_use]
    pub fn too_long(field: &Path, max: usize) -> Self {
        Self::make(
            ErrorKind::TooLong,
            field,
            None,
            format!("may not be more than {max} bytes"),
        )
    }

    /// There are `actual` values where `max` are allowed.
    #[must_use]
    pub fn too_many(field: &Path, actual: usize, max: usize) -> Self {
        let noun = if max == 1 { "item" } else { "items" };
        Self::make(
            ErrorKind::TooMany,
            field,
            Some(actual.to_string()),
            format!("must have at most {max} {noun}"),
        )
    }

    /// The value is of the wrong JSON type.
    #[must_use]
    pub fn type_invalid(field: &Path, bad: &Value, detail: impl Into<String>) -> Self {
        Self::make(ErrorKind::TypeInvalid, field, Some(print(bad)), detail)
    }

    /// The cause's message: everything but the field.
    #[must_use]
    pub fn body(&self) -> String {
        let mut text = self.kind.label().to_owned();
        let shown = !matches!(
            self.kind,
            ErrorKind::Required | ErrorKind::Forbidden | ErrorKind::TooLong | ErrorKind::Internal
        );
        if let (true, Some(bad)) = (shown, &self.bad) {
            text.push_str(": ");
            text.push_str(bad);
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }

    /// The error as one `details.causes` entry of a Status.
    #[must_use]
    pub fn cause(&self) -> Value {
        json!({"reason": self.kind.reason(), "message": self.body(), "field": self.field})
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

/// The errors as one text: a single one as it is, several in brackets, equal ones once.
#[must_use]
pub fn aggregate(errors: &[FieldError]) -> String {
    let mut texts: Vec<String> = Vec::with_capacity(errors.len());
    for error in errors {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    match texts.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

/// The Status that answers a request whose object is invalid: code 422, reason `Invalid`.
///
/// `kind` and `group` are those of the object (`Deployment`, `apps`), as
/// [`NewInvalid`](https://pkg.go.dev/k8s.io/apimachinery/pkg/api/errors#NewInvalid) takes them.
///
/// ```
/// use gitops_testkit::kinds::{FieldError, Path, invalid_status};
/// let errors = [FieldError::required(&Path::new("spec.selector"), "")];
/// let status = invalid_status("Deployment", "apps", "web", &errors);
/// assert_eq!(status["message"], r#"Deployment.apps "web" is invalid: spec.selector: Required value"#);
/// assert_eq!(status["details"]["causes"][0]["reason"], "FieldValueRequired");
/// ```
#[must_use]
pub fn invalid_status(kind: &str, group: &str, name: &str, errors: &[FieldError]) -> Value {
    let qualified = if group.is_empty() {
        kind.to_owned()
    } else {
        format!("{kind}.{group}")
    };
    let mut details = serde_json::Map::new();
    if !name.is_empty() {
        details.insert("name".into(), json!(name));
    }
    if !group.is_empty() {
        details.insert("group".into(), json!(group));
    }
    if !kind.is_empty() {
        details.insert("kind".into(), json!(kind));
    }
    details.insert(
        "causes".into(),
        errors.iter().map(FieldError::cause).collect(),
    );
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("{qualified} {} is invalid: {}", quote(name), aggregate(errors)),
        "reason": "Invalid", "details": details, "code": 422,
    })
}

/// The same for an object of a built-in kind.
#[must_use]
pub fn invalid(kind: super::Kind, name: &str, errors: &[FieldError]) -> Value {
    // Events are one kind in the server, of the core group, whichever group serves them.
    let group = if kind.group() == "events.k8s.io" {
        ""
    } else {
        kind.group()
    };
    invalid_status(kind.name(), group, name, errors)
}

/// A value as `field.Error` prints it: strings quoted as Go does, the rest as JSON.
#[must_use]
pub(crate) fn print(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        other => go_json(other),
    }
}

/// JSON as Go's `json.Marshal` writes it: keys sorted, `<`, `>` and `&` escaped.
#[must_use]
pub(crate) fn go_json(value: &Value) -> String {
    let mut out = String::new();
    write_json(value, &mut out);
    out
}

fn write_json(value: &Value, out: &mut String) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
        Value::String(text) => out.push_str(&json_string(text)),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by(|a, b| a.0.cmp(b.0));
            out.push('{');
            for (i, (key, item)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&json_string(key));
                out.push(':');
                write_json(item, out);
            }
            out.push('}');
        }
    }
}

/// A JSON string with Go's HTML-safe escapes.
pub(crate) fn json_string(text: &str) -> String {
    Value::from(text)
        .to_string()
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// A string as Go's `%q` prints it.
#[must_use]
pub(crate) fn quote(text: &str) -> String {
    use fmt::Write as _;
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_messages_are_printed_once_but_stay_two_causes() {
        let path = Path::new("spec").child("metrics").index(0).child("type");
        let error = FieldError::not_supported(&path, &json!("Strange"), &["Pods", "Resource"]);
        let status = invalid_status("X", "", "n", &[error.clone(), error]);
        assert_eq!(
            status["message"],
            r#"X "n" is invalid: spec.metrics[0].type: Unsupported value: "Strange": supported values: "Pods", "Resource""#
        );
        assert_eq!(
            status["details"]["causes"].as_array().map(Vec::len),
            Some(2)
        );
    }

    #[test]
    fn strings_are_quoted_as_go_quotes_them() {
        assert_eq!(quote("a\"b\\c\n\u{1}é"), "\"a\\\"b\\\\c\\n\\x01é\"");
        assert_eq!(
            go_json(&json!({"b": "<&>", "a": [1, null]})),
            "{\"a\":[1,null],\"b\":\"\\u003c\\u0026\\u003e\"}"
        );
    }

    #[test]
    fn debug_never_shows_the_value() {
        let error = FieldError::invalid_str(&Path::new("data[a]"), "hunter2", "bad");
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}
