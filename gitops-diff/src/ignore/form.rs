//! How rules are written: our own form, Argo CD's and Flux's.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::selector::{LabelSelector, Matcher, Selector};
use super::{Expression, IgnoreError, IgnoreRule, IgnoreRules, Pointer};

/// A rule in our own form.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schemars", schemars(rename = "IgnoreRule"))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Form {
    /// The API group: a glob, or a regular expression between slashes. Left out: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    /// The version, in the same way.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// The kind, in the same way.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    /// The object's name, in the same way.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Its namespace, in the same way.
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    /// A condition on its labels, such as `app=web`.
    #[serde(skip_serializing_if = "Option::is_none")]
    label_selector: Option<String>,
    /// A condition on its annotations.
    #[serde(skip_serializing_if = "Option::is_none")]
    annotation_selector: Option<String>,
    /// Fields by path, such as `.spec.containers[name="app"].image`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    paths: Vec<String>,
    /// Fields by JSON pointer, such as `/spec/replicas`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    json_pointers: Vec<String>,
    /// Fields by jq expressions that give paths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    jq: Vec<String>,
    /// The fields that managers of these names own: globs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    managers: Vec<String>,
}

/// An entry of Argo CD's `ignoreDifferences`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ArgoCd {
    group: String,
    kind: String,
    name: String,
    namespace: String,
    json_pointers: Vec<String>,
    jq_path_expressions: Vec<String>,
    managed_fields_managers: Vec<String>,
}

/// An entry of Flux's `ignore`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Flux {
    paths: Vec<String>,
    target: Option<Target>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Target {
    group: String,
    version: String,
    kind: String,
    name: String,
    namespace: String,
    label_selector: String,
    annotation_selector: String,
}

type Outcome<T> = Result<T, IgnoreError>;

/// A text that may be left out, read in one way or another.
fn read_if<T>(
    place: &str,
    text: Option<&String>,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Outcome<Option<T>> {
    text.map(|text| read(text).map_err(|problem| IgnoreError::new(place, problem)))
        .transpose()
}

/// A list of texts, each read in one way.
fn read_all<T, E: ToString>(
    place: &str,
    texts: &[String],
    read: impl Fn(&str) -> Result<T, E>,
) -> Outcome<Vec<T>> {
    let read = |(at, text): (usize, &String)| {
        read(text).map_err(|error| IgnoreError::new(format!("{place}[{at}]"), error.to_string()))
    };
    texts.iter().enumerate().map(read).collect()
}

/// A glob, or a regular expression between slashes.
fn glob_or_regex(text: &str) -> Result<Matcher, String> {
    let inner = text.strip_prefix('/').and_then(|it| it.strip_suffix('/'));
    match inner {
        Some(regex) => Matcher::regex(regex),
        None => Matcher::glob(text),
    }
}

fn to_text(matcher: Matcher) -> String {
    match matcher {
        Matcher::Exact(text) if text.contains(['*', '?', '[', '{', '\\']) => text
            .chars()
            .flat_map(|c| [Some('\\').filter(|_| "*?[{\\".contains(c)), Some(c)])
            .flatten()
            .collect(),
        Matcher::Exact(text) | Matcher::Glob(text, _) => text,
        Matcher::Regex(text, _) => format!("/{text}/"),
    }
}

impl TryFrom<Form> for IgnoreRule {
    type Error = IgnoreError;

    fn try_from(form: Form) -> Outcome<Self> {
        let rule = Self {
            selector: Selector {
                group: read_if("group", form.group.as_ref(), glob_or_regex)?,
                version: read_if("version", form.version.as_ref(), glob_or_regex)?,
                kind: read_if("kind", form.kind.as_ref(), glob_or_regex)?,
                name: read_if("name", form.name.as_ref(), glob_or_regex)?,
                namespace: read_if("namespace", form.namespace.as_ref(), glob_or_regex)?,
                labels: read_if(
                    "labelSelector",
                    form.label_selector.as_ref(),
                    LabelSelector::parse,
                )?,
                annotations: read_if(
                    "annotationSelector",
                    form.annotation_selector.as_ref(),
                    LabelSelector::parse,
                )?,
            },
            paths: read_all("paths", &form.paths, str::parse::<super::FieldPattern>)?,
            pointers: read_all("jsonPointers", &form.json_pointers, Pointer::parse)?,
            jq: read_all("jq", &form.jq, Expression::parse)?,
            managers: read_all("managers", &form.managers, Matcher::glob)?,
        };
        named_something(
            rule,
            "a rule names fields by paths, jsonPointers, jq or managers",
        )
    }
}

fn named_something(rule: IgnoreRule, problem: &str) -> Outcome<IgnoreRule> {
    if rule.names_nothing() {
        return Err(IgnoreError::new("rule", problem));
    }
    Ok(rule)
}

impl From<IgnoreRule> for Form {
    fn from(rule: IgnoreRule) -> Self {
        let Selector {
            group,
            version,
            kind,
            name,
            namespace,
            labels,
            annotations,
        } = rule.selector;
        let selector = |selector: Option<LabelSelector>| selector.map(|it| it.as_str().to_owned());
        Self {
            group: group.map(to_text),
            version: version.map(to_text),
            kind: kind.map(to_text),
            name: name.map(to_text),
            namespace: namespace.map(to_text),
            label_selector: selector(labels),
            annotation_selector: selector(annotations),
            paths: rule.paths.iter().map(ToString::to_string).collect(),
            json_pointers: rule.pointers.into_iter().map(|it| it.text).collect(),
            jq: rule.jq.into_iter().map(|it| it.text).collect(),
            managers: rule.managers.into_iter().map(to_text).collect(),
        }
    }
}

impl TryFrom<ArgoCd> for IgnoreRule {
    type Error = IgnoreError;

    fn try_from(entry: ArgoCd) -> Outcome<Self> {
        let unless_empty = |text: &str| (!text.is_empty()).then(|| Matcher::exact(text));
        let glob = |place, text: &String| read_if(place, Some(text), Matcher::glob);
        if entry.kind.is_empty() {
            return Err(IgnoreError::new("kind", "is missing; `*` is any kind"));
        }
        let rule = Self {
            selector: Selector {
                group: glob("group", &entry.group)?,
                kind: glob("kind", &entry.kind)?,
                name: unless_empty(&entry.name),
                namespace: unless_empty(&entry.namespace),
                ..Selector::default()
            },
            paths: Vec::new(),
            pointers: read_all("jsonPointers", &entry.json_pointers, Pointer::parse)?,
            jq: read_all(
                "jqPathExpressions",
                &entry.jq_path_expressions,
                Expression::parse,
            )?,
            managers: entry
                .managed_fields_managers
                .iter()
                .map(|name| Matcher::exact(name))
                .collect(),
        };
        named_something(
            rule,
            "an entry names fields by jsonPointers, jqPathExpressions or managedFieldsManagers",
        )
    }
}

impl TryFrom<Flux> for IgnoreRule {
    type Error = IgnoreError;

    fn try_from(entry: Flux) -> Outcome<Self> {
        let target = entry.target.unwrap_or_default();
        let regex = |place: &str, text: &str| {
            let text = Some(text.to_owned()).filter(|text| !text.is_empty());
            read_if(place, text.as_ref(), Matcher::regex)
        };
        let selector = |place: &str, text: &str| {
            let text = Some(text.to_owned()).filter(|text| !text.is_empty());
            read_if(place, text.as_ref(), LabelSelector::parse)
        };
        let rule = Self {
            selector: Selector {
                group: regex("target.group", &target.group)?,
                version: regex("target.version", &target.version)?,
                kind: regex("target.kind", &target.kind)?,
                name: regex("target.name", &target.name)?,
                namespace: regex("target.namespace", &target.namespace)?,
                labels: selector("target.labelSelector", &target.label_selector)?,
                annotations: selector("target.annotationSelector", &target.annotation_selector)?,
            },
            paths: Vec::new(),
            pointers: read_all("paths", &entry.paths, Pointer::parse)?,
            jq: Vec::new(),
            managers: Vec::new(),
        };
        named_something(rule, "an entry names fields by paths")
    }
}

/// A list of entries of one form.
fn read_list<T>(list: &Value, place: &str) -> Outcome<IgnoreRules>
where
    T: DeserializeOwned,
    IgnoreRule: TryFrom<T, Error = IgnoreError>,
{
    let Some(entries) = list.as_array() else {
        return Err(IgnoreError::new(place, "is no list of rules"));
    };
    let read = |(at, entry): (usize, &Value)| {
        let place = format!("{place}[{at}]");
        let form = T::deserialize(entry)
            .map_err(|error| IgnoreError::new(place.clone(), error.to_string()))?;
        IgnoreRule::try_from(form).map_err(|error| error.within(&place))
    };
    entries.iter().enumerate().map(read).collect()
}

/// Where an object of another tool has its rules.
struct Home {
    group: &'static str,
    kind: &'static str,
    place: &'static [&'static str],
    tool: Tool,
}

#[derive(Clone, Copy, PartialEq)]
enum Tool {
    ArgoCd,
    Flux,
}

impl Tool {
    fn read(self, list: &Value, place: &str) -> Outcome<IgnoreRules> {
        match self {
            Self::ArgoCd => read_list::<ArgoCd>(list, place),
            Self::Flux => read_list::<Flux>(list, place),
        }
    }
}

const HOMES: &[Home] = &[
    Home {
        group: "argoproj.io",
        kind: "Application",
        place: &["spec", "ignoreDifferences"],
        tool: Tool::ArgoCd,
    },
    Home {
        group: "argoproj.io",
        kind: "ApplicationSet",
        place: &["spec", "template", "spec", "ignoreDifferences"],
        tool: Tool::ArgoCd,
    },
    Home {
        group: "helm.toolkit.fluxcd.io",
        kind: "HelmRelease",
        place: &["spec", "driftDetection", "ignore"],
        tool: Tool::Flux,
    },
    Home {
        group: "kustomize.toolkit.fluxcd.io",
        kind: "Kustomization",
        place: &["spec", "ignore"],
        tool: Tool::Flux,
    },
];

/// The rules of an object of another tool; `None` if it is of none that has any.
fn read_home(object: &Value, tool: Option<Tool>) -> Option<Outcome<IgnoreRules>> {
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    let (group, _) = text("apiVersion")?.split_once('/')?;
    let kind = text("kind")?;
    let home = HOMES.iter().find(|home| {
        home.group == group && home.kind == kind && tool.is_none_or(|tool| tool == home.tool)
    })?;
    let found = home
        .place
        .iter()
        .try_fold(object, |value, name| value.get(*name))
        .filter(|list| !list.is_null());
    Some(match found {
        Some(list) => home.tool.read(list, &home.place.join(".")),
        // One that ignores nothing.
        None => Ok(IgnoreRules::new()),
    })
}

pub(super) fn read(value: &Value) -> Outcome<IgnoreRules> {
    if let Some(rules) = read_home(value, None) {
        return rules;
    }
    if let Some(list) = value.get("ignoreDifferences") {
        return read_list::<ArgoCd>(list, "ignoreDifferences");
    }
    if value.is_array() {
        return read_list::<Form>(value, "rules");
    }
    Err(IgnoreError::new(
        "rules",
        "expected a list of rules, an Argo CD Application, or a Flux HelmRelease or Kustomization",
    ))
}

pub(super) fn read_argo_cd(value: &Value) -> Outcome<IgnoreRules> {
    if let Some(rules) = read_home(value, Some(Tool::ArgoCd)) {
        return rules;
    }
    let list = value.get("ignoreDifferences").unwrap_or(value);
    Tool::ArgoCd.read(list, "ignoreDifferences")
}

pub(super) fn read_flux(value: &Value) -> Outcome<IgnoreRules> {
    if let Some(rules) = read_home(value, Some(Tool::Flux)) {
        return rules;
    }
    let list = value.get("ignore").unwrap_or(value);
    Tool::Flux.read(list, "ignore")
}
