//! Which objects a rule is for.

use std::fmt;

use gitops_core::Manifest;
use regex::{Regex, RegexBuilder};
use serde_json::Value;

/// A regular expression may compile to this many bytes; one that takes more is refused.
const MAX_COMPILED: usize = 1 << 20;

/// A condition on a text.
#[derive(Clone)]
pub(crate) enum Matcher {
    /// This text.
    Exact(String),
    /// `*` for any characters, `?` for one, `[ab]` and `[!ab]` for one of some, `{a,b}` for one
    /// of several.
    Glob(String, Regex),
    /// A regular expression for the whole text.
    Regex(String, Regex),
}

impl Matcher {
    pub(crate) fn exact(text: &str) -> Self {
        Self::Exact(text.to_owned())
    }

    pub(crate) fn glob(text: &str) -> Result<Self, String> {
        if !text.contains(['*', '?', '[', '{', '\\']) {
            return Ok(Self::exact(text));
        }
        let regex = compile(&translate(text)?)?;
        Ok(Self::Glob(text.to_owned(), regex))
    }

    pub(crate) fn regex(text: &str) -> Result<Self, String> {
        Ok(Self::Regex(text.to_owned(), compile(text)?))
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(wanted) => wanted == text,
            Self::Glob(_, regex) | Self::Regex(_, regex) => regex.is_match(text),
        }
    }

    /// What two matchers that mean the same have in common.
    fn identity(&self) -> (&'static str, &str) {
        match self {
            Self::Exact(text) => ("exact", text),
            Self::Glob(text, _) => ("glob", text),
            Self::Regex(text, _) => ("regex", text),
        }
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, text) = self.identity();
        write!(f, "{kind} {text:?}")
    }
}

fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(&format!("^(?:{pattern})$"))
        .size_limit(MAX_COMPILED)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => format!("{pattern:?} is too large an expression"),
            _ => format!("{pattern:?} is not a regular expression"),
        })
}

/// A glob as a regular expression.
fn translate(glob: &str) -> Result<String, String> {
    let mut out = String::from("(?s)");
    let mut depth = 0_usize;
    let mut chars = glob.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '[' => {
                let inner: String = chars.by_ref().take_while(|c| *c != ']').collect();
                let (not, inner) = match inner.strip_prefix(['!', '^']) {
                    Some(inner) => ("^", inner),
                    None => ("", inner.as_str()),
                };
                if inner.is_empty() {
                    return Err(format!("{glob:?}: `[` needs characters and `]` after it"));
                }
                let escaped = inner.replace('\\', r"\\").replace('[', r"\[");
                let escaped = escaped.replace('&', r"\&").replace('~', r"\~");
                out.push_str(&format!("[{not}{escaped}]"));
            }
            '{' => {
                depth += 1;
                out.push_str("(?:");
            }
            '}' if depth > 0 => {
                depth -= 1;
                out.push(')');
            }
            ',' if depth > 0 => out.push('|'),
            '\\' => match chars.next() {
                Some(c) => out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
                None => return Err(format!("{glob:?}: `\\` needs a character after it")),
            },
            c => out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    if depth > 0 {
        return Err(format!("{glob:?}: `}}` is missing"));
    }
    Ok(out)
}

/// Which objects are meant. What isn't there is any.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Selector {
    pub(crate) group: Option<Matcher>,
    pub(crate) version: Option<Matcher>,
    pub(crate) kind: Option<Matcher>,
    pub(crate) name: Option<Matcher>,
    pub(crate) namespace: Option<Matcher>,
    pub(crate) labels: Option<LabelSelector>,
    pub(crate) annotations: Option<LabelSelector>,
}

/// An object as far as a selector looks at it.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) group: &'a str,
    pub(crate) version: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) name: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) content: Content<'a>,
}

/// Where the labels and annotations are.
#[derive(Clone, Copy)]
pub(crate) enum Content<'a> {
    Tree(&'a Value),
    Manifest(&'a Manifest),
}

impl<'a> Subject<'a> {
    pub(crate) fn of_object(object: &'a Value) -> Self {
        let text = |value: Option<&'a Value>| value.and_then(Value::as_str).unwrap_or_default();
        let metadata = object.get("metadata");
        let member = |name: &str| text(metadata.and_then(|metadata| metadata.get(name)));
        let api_version = text(object.get("apiVersion"));
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        Self {
            group,
            version,
            kind: text(object.get("kind")),
            name: member("name"),
            namespace: member("namespace"),
            content: Content::Tree(object),
        }
    }
}

impl Selector {
    pub(crate) fn matches(&self, subject: &Subject<'_>) -> bool {
        let fits = |matcher: &Option<Matcher>, text: &str| {
            matcher.as_ref().is_none_or(|matcher| matcher.matches(text))
        };
        fits(&self.group, subject.group)
            && fits(&self.version, subject.version)
            && fits(&self.kind, subject.kind)
            && fits(&self.name, subject.name)
            && fits(&self.namespace, subject.namespace)
            && self.matches_metadata(subject.content)
    }

    fn matches_metadata(&self, content: Content<'_>) -> bool {
        if self.labels.is_none() && self.annotations.is_none() {
            return true;
        }
        let fits = |selector: &Option<LabelSelector>, object: &Value, map: &str| {
            selector.as_ref().is_none_or(|selector| {
                selector.matches(object.get("metadata").and_then(|it| it.get(map)))
            })
        };
        let both = |object: &Value| {
            fits(&self.labels, object, "labels") && fits(&self.annotations, object, "annotations")
        };
        match content {
            Content::Tree(object) => both(object),
            Content::Manifest(manifest) => both(&manifest.value()),
        }
    }
}

/// A label selector as Kubernetes writes it: `app=web,tier in (a, b),!canary`
/// ([grammar](https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors)).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LabelSelector {
    text: String,
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
    Above(i64),
    Below(i64),
}

impl LabelSelector {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Words { rest: text };
        let mut requirements = Vec::new();
        loop {
            let absent = reader.symbol("!");
            let key = reader.word("the name of a label")?;
            let test = if absent {
                Test::Absent
            } else if reader.symbol("!=") {
                Test::NotIn(vec![reader.optional_word()])
            } else if reader.symbol("==") || reader.symbol("=") {
                Test::In(vec![reader.optional_word()])
            } else if reader.symbol(">") {
                Test::Above(reader.number()?)
            } else if reader.symbol("<") {
                Test::Below(reader.number()?)
            } else {
                match reader.optional_word().as_str() {
                    "" => Test::Exists,
                    "in" => Test::In(reader.list()?),
                    "notin" => Test::NotIn(reader.list()?),
                    other => return Err(format!("{other:?} is no operator of a label selector")),
                }
            };
            requirements.push(Requirement {
                key: key.to_owned(),
                test,
            });
            if reader.is_done() {
                break;
            }
            if !reader.symbol(",") {
                return Err(format!("`,` is missing before {:?}", reader.rest));
            }
        }
        Ok(Self {
            text: text.to_owned(),
            requirements,
        })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    fn matches(&self, labels: Option<&Value>) -> bool {
        self.requirements.iter().all(|requirement| {
            let value = labels
                .and_then(|labels| labels.get(&requirement.key))
                .and_then(Value::as_str);
            let number = || value.and_then(|value| value.parse::<i64>().ok());
            let among = |values: &[String]| {
                value.is_some_and(|value| values.iter().any(|wanted| wanted == value))
            };
            match &requirement.test {
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
                Test::In(values) => among(values),
                Test::NotIn(values) => !among(values),
                Test::Above(bound) => number().is_some_and(|number| number > *bound),
                Test::Below(bound) => number().is_some_and(|number| number < *bound),
            }
        })
    }
}

/// The words and symbols of a label selector.
struct Words<'t> {
    rest: &'t str,
}

impl<'t> Words<'t> {
    fn is_done(&mut self) -> bool {
        self.rest = self.rest.trim_start();
        self.rest.is_empty()
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        self.rest = self.rest.trim_start();
        // `!` alone is another symbol than the beginning of `!=`.
        if symbol == "!" && self.rest.starts_with("!=") {
            return false;
        }
        match self.rest.strip_prefix(symbol) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn optional_word(&mut self) -> String {
        self.rest = self.rest.trim_start();
        let end = self
            .rest
            .find(|c: char| c.is_whitespace() || "=!,()<>".contains(c))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word.to_owned()
    }

    fn word(&mut self, what: &str) -> Result<String, String> {
        let word = self.optional_word();
        if word.is_empty() {
            return Err(format!("{what} is missing before {:?}", self.rest));
        }
        Ok(word)
    }

    fn number(&mut self) -> Result<i64, String> {
        let word = self.word("a number")?;
        word.parse().map_err(|_| format!("{word:?} is no number"))
    }

    fn list(&mut self) -> Result<Vec<String>, String> {
        if !self.symbol("(") {
            return Err(format!("`(` is missing before {:?}", self.rest));
        }
        let mut values = vec![self.optional_word()];
        while self.symbol(",") {
            values.push(self.optional_word());
        }
        if !self.symbol(")") {
            return Err(format!("`)` is missing before {:?}", self.rest));
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_glob_is_for_the_whole_text() {
        for (glob, yes, no) in [
            ("apps", vec!["apps"], vec!["app", "appss", ""]),
            ("*", vec!["", "x", "a/b"], vec![]),
            (
                "*.example.com",
                vec!["a.example.com"],
                vec!["aXexample.com", "a.example.com.x"],
            ),
            ("web-?", vec!["web-1"], vec!["web-", "web-12"]),
            ("web-[a-c]", vec!["web-b"], vec!["web-d", "web-["]),
            ("web-[!a]", vec!["web-b"], vec!["web-a"]),
            ("{a,b*}", vec!["a", "bcd"], vec!["ab", "c"]),
            ("a+b(c)", vec!["a+b(c)"], vec!["aab(c)"]),
            (r"\*", vec!["*"], vec!["x"]),
            ("", vec![""], vec!["x"]),
        ] {
            let matcher = Matcher::glob(glob).unwrap();
            for text in yes {
                assert!(matcher.matches(text), "{glob} {text}");
            }
            for text in no {
                assert!(!matcher.matches(text), "{glob} {text}");
            }
        }
        for bad in ["[", "[]", "{a", "\\", "[z-a]"] {
            assert!(Matcher::glob(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_regular_expression_is_anchored_and_bounded() {
        let matcher = Matcher::regex("web|shop").unwrap();
        assert!(matcher.matches("web") && matcher.matches("shop"));
        assert!(!matcher.matches("webshop") && !matcher.matches("a web"));
        assert!(Matcher::regex("(").is_err());
        let error = Matcher::regex("((a{1000}){1000}){1000}").unwrap_err();
        assert!(error.contains("too large"), "{error}");
    }

    #[test]
    fn a_label_selector_means_what_kubernetes_says() {
        let labels = json!({"app": "web", "tier": "front", "rank": "3"});
        for (selector, matches) in [
            ("app=web", true),
            ("app==web", true),
            ("app = web , tier!=back", true),
            ("app!=web", false),
            ("other!=x", true),
            ("app in (web, shop)", true),
            ("app notin (web,shop)", false),
            ("other notin (a)", true),
            ("app", true),
            ("!app", false),
            ("!other", true),
            ("rank>2", true),
            ("rank<3", false),
            ("app>2", false),
            ("app=web,!tier", false),
        ] {
            let parsed = LabelSelector::parse(selector).unwrap();
            assert_eq!(parsed.matches(Some(&labels)), matches, "{selector}");
        }
        assert!(!LabelSelector::parse("app").unwrap().matches(None));
        for bad in [
            "",
            ",",
            "app=web,",
            "app in web",
            "app in (web",
            "app is x",
            "rank>x",
            "a b c",
        ] {
            assert!(LabelSelector::parse(bad).is_err(), "{bad}");
        }
    }
}
