//! Rules for fields that are somebody else's business: what they name is no difference, and an
//! apply leaves it as it is.
//!
//! An [`IgnoreRule`] says which objects it is for and which of their fields it names: by
//! [path](FieldPattern), by JSON pointer, by jq expression, or by the manager that owns them.
//! [`IgnoreRules`] are read from a form of our own, or from what Argo CD and Flux have; hand
//! them to [`SchemaDiffer::with_ignore`](crate::SchemaDiffer::with_ignore).
//!
//! ```
//! use gitops_core::FieldManager;
//! use gitops_diff::ignore::IgnoreRules;
//! use gitops_diff::SchemaDiffer;
//! use serde_json::json;
//!
//! let rules: IgnoreRules = serde_json::from_value(json!([
//!     {"group": "apps", "kind": "Deployment", "paths": [".spec.replicas"]},
//!     {"kind": "*", "namespace": "shop-*", "managers": ["istio-*"]},
//! ]))?;
//! let differ = SchemaDiffer::builtin().with_ignore(rules);
//!
//! let deployment = |replicas| {
//!     json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
//!            "spec": {"replicas": replicas}})
//! };
//! let difference = differ.compare(&deployment(2), &deployment(7), &FieldManager::new("ours")?)?;
//! assert!(difference.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What an ignored field is
//!
//! * It is in no [`Difference`](gitops_core::Difference), and not among the fields that were
//!   [lost](gitops_core::Differ::lost).
//! * An object that isn't there yet is made with all that Git says, ignored fields included.
//! * On an object that is there, an [apply](gitops_core::Differ::payload) doesn't change it and
//!   doesn't make it go. Where it is ours, live's value is sent, so that it stays ours; where it
//!   isn't, it is left out.
//! * An element of a list with keys that isn't there yet is made with all that Git says, too. One
//!   that Git no longer has goes, whatever is ignored in it.
//! * A list or map that the server takes as one value (such as `command`) is sent with live's
//!   value in the ignored place and Git's around it.
//! * What tells the object from others, and the marks by which we know it as ours, can't be
//!   ignored.
//!
//! `docs/design/0007-ignore-rules.md` has the reasons.

mod form;
#[cfg(feature = "jq")]
mod jq;
mod pattern;
mod resolve;
mod selector;

use gitops_core::{Digest, GroupKind, Manifest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use pattern::PatternStep;
pub use pattern::{FieldPattern, ParsePatternError};
pub(crate) use resolve::Ignored;

use form::Form;
use selector::{Content, Matcher, Selector, Subject};

/// Why a rule can't be read: where in the text it is wrong, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct IgnoreError {
    place: String,
    problem: String,
}

impl IgnoreError {
    fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            problem: problem.into(),
        }
    }

    /// The place, such as `spec.ignoreDifferences[0].jsonPointers[1]`.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The same with `outer` before the place.
    fn within(mut self, outer: &str) -> Self {
        let dot = if self.place.starts_with('[') { "" } else { "." };
        self.place = format!("{outer}{dot}{}", self.place);
        self
    }
}

/// Some fields of some objects.
///
/// In JSON and YAML a rule has these members, all of them optional; one that names no field
/// is refused.
///
/// | member | means |
/// |---|---|
/// | `group`, `kind`, `name`, `namespace`, `version` | which objects: a glob (`*`, `?`, `[ab]`, `{a,b}`), or a regular expression between slashes. What is left out is any; `group: ""` is the core group |
/// | `labelSelector`, `annotationSelector` | which objects, by what Git says of them: `app=web,tier in (a,b)` |
/// | `paths` | fields, each a [`FieldPattern`] |
/// | `jsonPointers` | fields, as RFC 6901 has them: `/spec/replicas`. A number is a place in a list, on either side on its own |
/// | `jq` | fields, as jq expressions that give paths: `.spec.containers[] \| select(.name == "app") \| .image` |
/// | `managers` | the fields that a manager of this name (a glob) owns |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "Form")]
pub struct IgnoreRule {
    selector: Selector,
    paths: Vec<FieldPattern>,
    pointers: Vec<Pointer>,
    jq: Vec<Expression>,
    managers: Vec<Matcher>,
}

/// A JSON pointer, with its text.
#[derive(Debug, Clone, PartialEq)]
struct Pointer {
    text: String,
    parts: Vec<String>,
}

impl Pointer {
    fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(match text {
                "" => "the empty pointer is the whole object; name a field of it".to_owned(),
                _ => format!("{text:?}: a JSON pointer begins with `/`"),
            });
        };
        if text.len() > pattern::MAX_LENGTH {
            return Err("a JSON pointer is at most 4096 bytes long".to_owned());
        }
        Ok(Self {
            text: text.to_owned(),
            parts: rest.split('/').map(crate::patch::json::unescape).collect(),
        })
    }
}

/// A jq expression, with its text.
#[derive(Debug, Clone)]
struct Expression {
    text: String,
    #[cfg(feature = "jq")]
    program: std::sync::Arc<jq::Program>,
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Expression {
    #[cfg(feature = "jq")]
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self {
            text: text.to_owned(),
            program: std::sync::Arc::new(jq::Program::parse(text)?),
        })
    }

    #[cfg(not(feature = "jq"))]
    fn parse(text: &str) -> Result<Self, String> {
        Err(format!(
            "{text:?}: jq expressions need the feature `jq` of gitops-diff"
        ))
    }
}

impl IgnoreRule {
    /// A rule for all objects, that names no field yet.
    #[must_use]
    pub fn any() -> Self {
        Self {
            selector: Selector::default(),
            paths: Vec::new(),
            pointers: Vec::new(),
            jq: Vec::new(),
            managers: Vec::new(),
        }
    }

    /// A rule for the objects of one kind, that names no field yet.
    ///
    /// ```
    /// use gitops_core::GroupKind;
    /// use gitops_diff::ignore::IgnoreRule;
    ///
    /// let rule = IgnoreRule::of_kind(&GroupKind::new("apps", "Deployment"))
    ///     .in_namespace("shop-*")?
    ///     .path(".spec.replicas".parse()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn of_kind(kind: &GroupKind) -> Self {
        let mut rule = Self::any();
        rule.selector.group = Some(Matcher::exact(&kind.group));
        rule.selector.kind = Some(Matcher::exact(&kind.kind));
        rule
    }

    /// Only for objects of this name, a glob.
    ///
    /// # Errors
    ///
    /// If it is no glob.
    pub fn named(mut self, name: &str) -> Result<Self, IgnoreError> {
        self.selector.name = Some(glob("name", name)?);
        Ok(self)
    }

    /// Only for objects in this namespace, a glob.
    ///
    /// # Errors
    ///
    /// If it is no glob.
    pub fn in_namespace(mut self, namespace: &str) -> Result<Self, IgnoreError> {
        self.selector.namespace = Some(glob("namespace", namespace)?);
        Ok(self)
    }

    /// Names fields by their path.
    #[must_use]
    pub fn path(mut self, path: FieldPattern) -> Self {
        self.paths.push(path);
        self
    }

    /// Names a field by a JSON pointer.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn json_pointer(mut self, pointer: &str) -> Result<Self, IgnoreError> {
        let parsed = Pointer::parse(pointer).map_err(|it| IgnoreError::new("jsonPointer", it))?;
        self.pointers.push(parsed);
        Ok(self)
    }

    /// Names fields by a jq expression.
    ///
    /// # Errors
    ///
    /// If it can't be read, or holds what gives no path.
    #[cfg(feature = "jq")]
    #[cfg_attr(docsrs, doc(cfg(feature = "jq")))]
    pub fn jq(mut self, expression: &str) -> Result<Self, IgnoreError> {
        let parsed = Expression::parse(expression).map_err(|it| IgnoreError::new("jq", it))?;
        self.jq.push(parsed);
        Ok(self)
    }

    /// Names the fields that a manager of this name owns, a glob.
    ///
    /// # Errors
    ///
    /// If it is no glob.
    pub fn manager(mut self, name: &str) -> Result<Self, IgnoreError> {
        self.managers.push(glob("manager", name)?);
        Ok(self)
    }

    /// Whether the rule is for this object.
    ///
    /// ```
    /// use gitops_diff::ignore::IgnoreRule;
    /// use serde_json::json;
    ///
    /// let rule = IgnoreRule::any().named("web-*")?;
    /// let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web-1"}});
    /// assert!(rule.is_for(&object));
    /// # Ok::<(), gitops_diff::ignore::IgnoreError>(())
    /// ```
    #[must_use]
    pub fn is_for(&self, object: &Value) -> bool {
        self.selector.matches(&Subject::of_object(object))
    }

    fn names_nothing(&self) -> bool {
        self.paths.is_empty()
            && self.pointers.is_empty()
            && self.jq.is_empty()
            && self.managers.is_empty()
    }

    fn digest(&self) -> Digest {
        let form = serde_json::to_string(&Form::from(self.clone())).unwrap_or_default();
        Digest::of(form.as_bytes())
    }
}

fn glob(place: &str, text: &str) -> Result<Matcher, IgnoreError> {
    Matcher::glob(text).map_err(|problem| IgnoreError::new(place, problem))
}

/// The rules of a reconciler: what any of them names is ignored.
///
/// In JSON and YAML it is a list of [`IgnoreRule`]s.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<IgnoreRule>", into = "Vec<IgnoreRule>")]
pub struct IgnoreRules {
    rules: Vec<IgnoreRule>,
    digests: Vec<Digest>,
}

#[cfg(feature = "schemars")]
impl schemars::JsonSchema for IgnoreRule {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "IgnoreRule".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Form::json_schema(generator)
    }
}

#[cfg(feature = "schemars")]
impl schemars::JsonSchema for IgnoreRules {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "IgnoreRules".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Vec::<IgnoreRule>::json_schema(generator)
    }
}

impl IgnoreRules {
    /// No rules: nothing is ignored.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            rules: Vec::new(),
            digests: Vec::new(),
        }
    }

    /// Reads rules in whatever form they are: a list in our own form, an Argo CD `Application`
    /// (or a map with its `ignoreDifferences`), or a Flux `HelmRelease` or `Kustomization`.
    ///
    /// # Errors
    ///
    /// If it is none of these, or a rule in it can't be read.
    pub fn from_value(value: &Value) -> Result<Self, IgnoreError> {
        form::read(value)
    }

    /// Reads what Argo CD has: an `Application` or `ApplicationSet`, or its
    /// [`ignoreDifferences`](https://argo-cd.readthedocs.io/en/stable/user-guide/diffing/) list.
    ///
    /// As there, `group` and `kind` are globs, an entry without `group` is for the core
    /// group, and `name` and `namespace` are exact. The rules always count in what is applied,
    /// as with `RespectIgnoreDifferences=true`.
    ///
    /// ```
    /// use gitops_diff::ignore::IgnoreRules;
    /// use serde_json::json;
    ///
    /// let rules = IgnoreRules::from_argo_cd(&json!([
    ///     {"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"]},
    ///     {"group": "*", "kind": "*", "managedFieldsManagers": ["kube-controller-manager"]},
    /// ]))?;
    /// assert_eq!(rules.len(), 2);
    ///
    /// let error = IgnoreRules::from_argo_cd(&json!([{"kind": "A", "jsonPointers": ["spec"]}]));
    /// assert_eq!(
    ///     error.unwrap_err().to_string(),
    ///     r#"ignoreDifferences[0].jsonPointers[0]: "spec": a JSON pointer begins with `/`"#
    /// );
    /// # Ok::<(), gitops_diff::ignore::IgnoreError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If it is none of these, or an entry can't be read.
    pub fn from_argo_cd(value: &Value) -> Result<Self, IgnoreError> {
        form::read_argo_cd(value)
    }

    /// Reads what Flux has: a `HelmRelease`
    /// ([`spec.driftDetection.ignore`](https://fluxcd.io/flux/components/helm/helmreleases/#ignore-rules)),
    /// a `Kustomization` (`spec.ignore`), or such a list.
    ///
    /// As there, the members of `target` but the two selectors are regular expressions for the
    /// whole text, and what is left out or empty is any.
    ///
    /// ```
    /// use gitops_diff::ignore::IgnoreRules;
    /// use serde_json::json;
    ///
    /// let rules = IgnoreRules::from_flux(&json!([
    ///     {"paths": ["/spec/replicas"], "target": {"kind": "Deployment", "name": "web|shop"}},
    /// ]))?;
    /// assert_eq!(rules.len(), 1);
    /// # Ok::<(), gitops_diff::ignore::IgnoreError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If it is none of these, or an entry can't be read.
    pub fn from_flux(value: &Value) -> Result<Self, IgnoreError> {
        form::read_flux(value)
    }

    /// Adds a rule.
    pub fn push(&mut self, rule: IgnoreRule) {
        self.digests.push(rule.digest());
        self.rules.push(rule);
    }

    /// The rules.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &IgnoreRule> {
        self.rules.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether the rules can name secrets.
    pub(crate) fn check_redaction(&self) -> Result<(), IgnoreError> {
        match self.rules.iter().position(|rule| !rule.managers.is_empty()) {
            Some(at) => Err(IgnoreError::new(
                format!("rules[{at}].managers"),
                "what is secret doesn't depend on who owns it; name the fields",
            )),
            None => Ok(()),
        }
    }

    /// A digest of the rules for this object; `None` if there is none for it.
    pub(crate) fn digest_for(&self, manifest: &Manifest) -> Option<Digest> {
        if self.rules.is_empty() {
            return None;
        }
        let kind = manifest.gvk();
        let id = manifest.id();
        let subject = Subject {
            group: &id.group,
            version: &kind.version,
            kind: &id.kind,
            name: &id.name,
            namespace: id.namespace.as_deref().unwrap_or_default(),
            content: Content::Manifest(manifest),
        };
        let mut digests = self
            .rules
            .iter()
            .zip(&self.digests)
            .filter(|(rule, _)| rule.selector.matches(&subject))
            .map(|(_, digest)| &digest.as_bytes()[..])
            .peekable();
        digests.peek()?;
        Some(Digest::of_parts(digests))
    }
}

impl FromIterator<IgnoreRule> for IgnoreRules {
    fn from_iter<I: IntoIterator<Item = IgnoreRule>>(rules: I) -> Self {
        let mut all = Self::new();
        all.extend(rules);
        all
    }
}

impl Extend<IgnoreRule> for IgnoreRules {
    fn extend<I: IntoIterator<Item = IgnoreRule>>(&mut self, rules: I) {
        rules.into_iter().for_each(|rule| self.push(rule));
    }
}

impl IntoIterator for IgnoreRules {
    type Item = IgnoreRule;
    type IntoIter = std::vec::IntoIter<IgnoreRule>;

    fn into_iter(self) -> Self::IntoIter {
        self.rules.into_iter()
    }
}

impl From<Vec<IgnoreRule>> for IgnoreRules {
    fn from(rules: Vec<IgnoreRule>) -> Self {
        rules.into_iter().collect()
    }
}

impl From<IgnoreRules> for Vec<IgnoreRule> {
    fn from(rules: IgnoreRules) -> Self {
        rules.rules
    }
}
