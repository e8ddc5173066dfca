//! Key-aware paths that stand for one field or several.

use std::fmt;
use std::str::FromStr;

use gitops_core::FieldPath;
use serde_json::{Number, Value};

use crate::equality::values_equal;
use crate::fieldset::{Step, write_json};

/// Longer paths are refused, so that a rule from anywhere costs little.
pub(super) const MAX_LENGTH: usize = 4096;

/// The place of one field or of several: a [`FieldPath`] in which `*` stands for any member
/// or list element.
///
/// ```text
/// spec.template.spec.containers[name="app"].image    the element with this key
/// .spec.ports[port=80,protocol="TCP"].nodePort       several keys; some of them are enough
/// .metadata.annotations["example.com/checked"]       a member with dots or slashes in its name
/// .metadata.finalizers[="example.com/hold"]          an element of a set, by its value
/// .spec.containers[*].image    .data.*               any element, any member
/// .spec.rules[0].host                                the place in a list, counted from zero
/// ```
///
/// It is what [`FieldPath`] prints, so a path of a difference can be made a rule as it is;
/// but a name that holds more than letters, digits, `-`, `_`, `/` and `$` has to be quoted.
///
/// ```
/// use gitops_diff::ignore::FieldPattern;
///
/// let pattern: FieldPattern = r#"spec.containers[name="app"].image"#.parse()?;
/// assert_eq!(pattern.to_string(), r#".spec.containers[name="app"].image"#);
///
/// let error = "spec.containers[name=app].image".parse::<FieldPattern>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     r#"at character 22: a text is written in quotes, as in [name="app"]"#
/// );
/// # Ok::<(), gitops_diff::ignore::ParsePatternError>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct FieldPattern {
    steps: Vec<PatternStep>,
}

/// One step of a pattern.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PatternStep {
    /// Any member or list element.
    Any,
    Field(String),
    /// The element that has these keys, and perhaps others. Sorted by name.
    Key(Vec<(String, Value)>),
    Value(Value),
    Index(usize),
}

impl PatternStep {
    /// Whether `step` is one that this stands for.
    pub(crate) fn matches(&self, step: &Step<'_>) -> bool {
        match (self, step) {
            (Self::Any, _) => true,
            (Self::Field(name), Step::Field(other)) => name == other.as_ref(),
            (Self::Key(wanted), Step::Key(keys)) => wanted.iter().all(|(name, value)| {
                keys.iter()
                    .any(|(key, other)| key == name && values_equal(other, value))
            }),
            (Self::Value(value), Step::Value(other)) => values_equal(value, other),
            (Self::Index(at), Step::Index(other)) => at == other,
            _ => false,
        }
    }

    /// Whether the element `item` at the place `at` of a list without keys is meant.
    pub(crate) fn matches_item(&self, at: usize, item: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::Field(_) => false,
            Self::Key(keys) => keys.iter().all(|(name, value)| {
                item.get(name)
                    .is_some_and(|member| values_equal(member, value))
            }),
            Self::Value(value) => values_equal(value, item),
            Self::Index(index) => at == *index,
        }
    }

    pub(crate) fn from_step(step: &Step<'_>) -> Self {
        match step {
            Step::Field(name) => Self::Field(name.to_string()),
            Step::Key(keys) => Self::Key(
                keys.iter()
                    .map(|(name, value)| (name.to_string(), value.clone().into_owned()))
                    .collect(),
            ),
            Step::Value(value) => Self::Value(value.clone().into_owned()),
            Step::Index(at) => Self::Index(*at),
        }
    }
}

impl FieldPattern {
    /// The pattern of these member names, in which `*` stands for any member or element.
    #[must_use]
    pub fn of_names<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        let step = |name: String| match name.as_str() {
            "*" => PatternStep::Any,
            _ => PatternStep::Field(name),
        };
        Self {
            steps: names.into_iter().map(|name| step(name.into())).collect(),
        }
    }

    pub(crate) fn steps(&self) -> &[PatternStep] {
        &self.steps
    }

    /// Whether `path` is a field that the pattern stands for, or lies within one.
    ///
    /// ```
    /// use gitops_core::FieldPath;
    /// use gitops_diff::ignore::FieldPattern;
    ///
    /// let pattern: FieldPattern = ".data.*".parse()?;
    /// let data = FieldPath::root().field("data");
    /// assert!(pattern.covers(&data.clone().field("mode")));
    /// assert!(!pattern.covers(&data));
    /// # Ok::<(), gitops_diff::ignore::ParsePatternError>(())
    /// ```
    #[must_use]
    pub fn covers(&self, path: &FieldPath) -> bool {
        let elements = path.elements();
        let mut both = self.steps.iter().zip(elements);
        elements.len() >= self.steps.len()
            && both.all(|(step, element)| step.matches(&Step::from_element(element)))
    }
}

impl From<FieldPath> for FieldPattern {
    fn from(path: FieldPath) -> Self {
        let steps = path
            .elements()
            .iter()
            .map(|element| PatternStep::from_step(&Step::from_element(element)))
            .collect();
        Self { steps }
    }
}

/// Whether a member name can stand in a path as it is.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_name_char)
}

fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_' | '/' | '$')
}

impl fmt::Display for PatternStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = |value: &Value| {
            let mut text = String::new();
            write_json(&mut text, value);
            text
        };
        match self {
            Self::Any => f.write_str("[*]"),
            Self::Field(name) if is_plain(name) => write!(f, ".{name}"),
            Self::Field(name) => write!(f, "[{}]", Value::String(name.clone())),
            Self::Key(keys) => {
                f.write_str("[")?;
                for (at, (name, value)) in keys.iter().enumerate() {
                    let comma = if at == 0 { "" } else { "," };
                    write!(f, "{comma}{name}={}", json(value))?;
                }
                f.write_str("]")
            }
            Self::Value(value) => write!(f, "[={}]", json(value)),
            Self::Index(at) => write!(f, "[{at}]"),
        }
    }
}

impl fmt::Display for FieldPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| step.fmt(f))
    }
}

impl fmt::Debug for FieldPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FieldPattern({self})")
    }
}

/// Why a text is not a [`FieldPattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {problem}")]
pub struct ParsePatternError {
    at: usize,
    problem: &'static str,
}

impl ParsePatternError {
    /// The place in the text, counted in characters from one.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }
}

impl FromStr for FieldPattern {
    type Err = ParsePatternError;

    fn from_str(text: &str) -> Result<Self, ParsePatternError> {
        let mut reader = Reader { text, at: 0 };
        if text.len() > MAX_LENGTH {
            return Err(reader.error("a path is at most 4096 bytes long"));
        }
        let mut steps = Vec::new();
        // The first name needs no dot before it.
        if reader.peek().is_some_and(|c| c != '.' && c != '[') {
            steps.push(reader.name()?);
        }
        while let Some(c) = reader.peek() {
            steps.push(match c {
                '.' => {
                    reader.skip();
                    reader.name()?
                }
                '[' => {
                    reader.skip();
                    reader.bracket()?
                }
                _ => {
                    return Err(reader.error(
                        "a step begins with `.` or `[`; write a name with other characters \
                         in quotes, as in [\"a b\"]",
                    ));
                }
            });
        }
        if steps.is_empty() {
            return Err(reader.error("a path names at least one member"));
        }
        Ok(Self { steps })
    }
}

struct Reader<'t> {
    text: &'t str,
    /// In bytes.
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip(&mut self) {
        self.at += self.peek().map_or(0, char::len_utf8);
    }

    fn error(&self, problem: &'static str) -> ParsePatternError {
        let before = self.text.get(..self.at).unwrap_or_default();
        ParsePatternError {
            at: before.chars().count() + 1,
            problem,
        }
    }

    fn take(&mut self, wanted: char, problem: &'static str) -> Result<(), ParsePatternError> {
        if self.peek() == Some(wanted) {
            self.skip();
            Ok(())
        } else {
            Err(self.error(problem))
        }
    }

    fn while_name(&mut self) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !is_name_char(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    /// What may stand after a dot.
    fn name(&mut self) -> Result<PatternStep, ParsePatternError> {
        match self.peek() {
            Some('"') => Ok(PatternStep::Field(self.quoted()?)),
            Some('*') => {
                self.skip();
                match self.peek() {
                    None | Some('.' | '[') => Ok(PatternStep::Any),
                    Some(_) => {
                        Err(self.error("`*` stands for a whole name, not for a part of one"))
                    }
                }
            }
            _ => {
                let name = self.while_name();
                if name.is_empty() {
                    return Err(self.error("a member name is missing"));
                }
                if self.peek() == Some('*') {
                    return Err(self.error("`*` stands for a whole name, not for a part of one"));
                }
                Ok(PatternStep::Field(name.to_owned()))
            }
        }
    }

    /// What may stand in brackets, and the closing one.
    fn bracket(&mut self) -> Result<PatternStep, ParsePatternError> {
        let step = match self.peek() {
            Some('*') => {
                self.skip();
                PatternStep::Any
            }
            Some('"') => PatternStep::Field(self.quoted()?),
            Some('=') => {
                self.skip();
                PatternStep::Value(self.value()?)
            }
            Some(c) if c.is_ascii_digit() => {
                let digits = self.while_name();
                match digits.parse() {
                    Ok(at) => PatternStep::Index(at),
                    Err(_) => return Err(self.error("a place in a list is a number")),
                }
            }
            _ => PatternStep::Key(self.keys()?),
        };
        self.take(']', "`]` is missing")?;
        Ok(step)
    }

    fn keys(&mut self) -> Result<Vec<(String, Value)>, ParsePatternError> {
        let mut keys: Vec<(String, Value)> = Vec::new();
        loop {
            let name = self.while_name();
            if name.is_empty() {
                return Err(self.error(
                    "in brackets stands `*`, a key as in [name=\"app\"], a value as in [=\"a\"], \
                     a quoted name or a place in a list",
                ));
            }
            self.take('=', "`=` and the value of the key are missing")?;
            if keys.iter().any(|(known, _)| known == name) {
                return Err(self.error("this key stands here twice"));
            }
            keys.push((name.to_owned(), self.value()?));
            if self.peek() != Some(',') {
                keys.sort_by(|(a, _), (b, _)| a.cmp(b));
                return Ok(keys);
            }
            self.skip();
        }
    }

    /// A text in quotes, as JSON has it.
    fn quoted(&mut self) -> Result<String, ParsePatternError> {
        let mut escaped = false;
        let rest = self.rest();
        for (at, c) in rest.char_indices().skip(1) {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => {
                    let text = rest.get(..=at).unwrap_or_default();
                    let read = serde_json::from_str(text)
                        .map_err(|_| self.error("the text in quotes isn't written as in JSON"))?;
                    self.at += text.len();
                    return Ok(read);
                }
                _ => {}
            }
        }
        Err(self.error("the closing quote is missing"))
    }

    /// A text, a number, true or false.
    fn value(&mut self) -> Result<Value, ParsePatternError> {
        if self.peek() == Some('"') {
            return self.quoted().map(Value::String);
        }
        let rest = self.rest();
        let end = rest.find([',', ']']).unwrap_or(rest.len());
        let text = rest.get(..end).unwrap_or_default();
        let value = match text {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => match text.parse::<Number>() {
                Ok(number) => Value::Number(number),
                Err(_) => {
                    return Err(self.error("a text is written in quotes, as in [name=\"app\"]"));
                }
            },
        };
        self.at += end;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_printed_is_read_back() {
        for (text, printed) in [
            ("spec.replicas", ".spec.replicas"),
            (".spec.replicas", ".spec.replicas"),
            (
                r#"spec.template.spec.containers[name="app"].image"#,
                r#".spec.template.spec.containers[name="app"].image"#,
            ),
            (".spec.containers[*].image", ".spec.containers[*].image"),
            (".data.*", ".data[*]"),
            ("*.x", "[*].x"),
            (
                r#"metadata.annotations["example.com/a.b"]"#,
                r#".metadata.annotations["example.com/a.b"]"#,
            ),
            (
                r#"metadata.annotations."example.com/a.b""#,
                r#".metadata.annotations["example.com/a.b"]"#,
            ),
            (r#"metadata.labels["plain"]"#, ".metadata.labels.plain"),
            (
                r#".metadata.finalizers[="example.com/hold"]"#,
                r#".metadata.finalizers[="example.com/hold"]"#,
            ),
            (
                r#".spec.ports[protocol="TCP",port=80]"#,
                r#".spec.ports[port=80,protocol="TCP"]"#,
            ),
            (".spec.rules[0].host", ".spec.rules[0].host"),
            (r#"["a]\"b"].c"#, r#"["a]\"b"].c"#),
            (".x[y=true].z[=1.5]", ".x[y=true].z[=1.5]"),
        ] {
            let pattern: FieldPattern = text.parse().unwrap();
            assert_eq!(pattern.to_string(), printed, "{text}");
            assert_eq!(printed.parse::<FieldPattern>().unwrap(), pattern);
        }
    }

    #[test]
    fn a_path_that_is_none_is_refused_with_its_place() {
        for (text, at, problem) in [
            ("", 1, "at least one"),
            (".", 2, "name is missing"),
            ("a..b", 3, "name is missing"),
            ("a.b ", 4, "begins with"),
            ("a[", 3, "in brackets stands"),
            ("a[x", 4, "`=` and the value"),
            ("a[x=1", 6, "`]` is missing"),
            ("a[x=1,x=2]", 9, "twice"),
            ("a[x=y]", 5, "in quotes"),
            ("a[\"x]", 3, "closing quote"),
            ("a[\"\\q\"]", 3, "as in JSON"),
            ("a[0x]", 5, "is a number"),
            ("a[99999999999999999999999]", 26, "is a number"),
            ("a.b*", 4, "a whole name"),
            ("ü.*b", 4, "a whole name"),
            ("a]b", 2, "begins with"),
        ] {
            let error = text.parse::<FieldPattern>().unwrap_err();
            assert_eq!(error.at(), at, "{text}: {error}");
            assert!(error.to_string().contains(problem), "{text}: {error}");
        }
        assert!("x".repeat(5000).parse::<FieldPattern>().is_err());
    }

    #[test]
    fn a_pattern_covers_what_it_names_and_all_in_it() {
        let image = FieldPath::root()
            .field("spec")
            .field("containers")
            .key([("name", json!("app")), ("port", json!(80))])
            .field("image");
        for (pattern, covered) in [
            (r#"spec.containers[name="app"].image"#, true),
            (r#"spec.containers[name="app"]"#, true),
            (r#"spec.containers[name="app",port=80].image"#, true),
            (r#"spec.containers[name="app",port=81].image"#, false),
            (r#"spec.containers[name="side"].image"#, false),
            ("spec.containers[*].image", true),
            ("spec.*.*.*", true),
            ("spec.*.*.*.*", false),
            ("spec.containers[0].image", false),
            ("spec", true),
            ("status", false),
        ] {
            let parsed: FieldPattern = pattern.parse().unwrap();
            assert_eq!(parsed.covers(&image), covered, "{pattern}");
        }
        assert!(FieldPattern::from(image.clone()).covers(&image));
    }
}
