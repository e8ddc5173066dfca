//! What a served schema makes of instances: pruning, defaults, validation.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value, json};

use crate::kinds::{
    FieldError, NameRule, Path, decode_metadata,
    error::{print, quote},
    validate_metadata_at,
    value::{items, sorted, text, unset},
};

use super::format;

/// Largest compiled pattern, in bytes. Patterns come from definitions, which anyone may write.
const PATTERN_SIZE: usize = 1 << 20;

/// The structural schema of one version of a custom resource.
///
/// ```
/// use gitops_testkit::crd::Schema;
/// use serde_json::json;
/// let schema = Schema::new(&json!({"type": "object", "properties": {"spec": {"type": "object",
///     "properties": {"size": {"type": "integer", "default": 3, "maximum": 5}}}}}));
/// let mut object = json!({"metadata": {}, "spec": {"colour": "red"}});
/// assert_eq!(schema.prune(&mut object), [r#"unknown field "spec.colour""#]);
/// schema.default(&mut object);
/// assert_eq!(object["spec"]["size"], 3);
/// object["spec"]["size"] = json!(9);
/// assert_eq!(schema.validate(&object)[0].to_string(),
///     "spec.size: Invalid value: 9: spec.size in body should be less than or equal to 5");
/// ```
#[derive(Clone, Debug)]
pub struct Schema {
    root: Value,
    patterns: BTreeMap<String, Option<Regex>>,
}

impl Schema {
    /// Reads the `openAPIV3Schema` of a version.
    #[must_use]
    pub fn new(open_api: &Value) -> Self {
        let mut patterns = BTreeMap::new();
        collect_patterns(open_api, &mut patterns);
        Self {
            root: open_api.clone(),
            patterns,
        }
    }

    /// The schema as it stands in the definition.
    #[must_use]
    pub fn as_value(&self) -> &Value {
        &self.root
    }

    /// Removes what the schema does not know and nulls that mean "not set"; coerces the metadata
    /// of embedded resources. Gives `unknown field "…"` for each field removed, sorted.
    ///
    /// `apiVersion`, `kind` and `metadata` of the object itself always stay.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        let mut unknown = Vec::new();
        if let Value::Object(map) = object {
            let kept: Vec<(String, Value)> = ["apiVersion", "kind", "metadata"]
                .iter()
                .filter_map(|k| Some(((*k).to_owned(), map.remove(*k)?)))
                .collect();
            let mut rest = Value::Object(std::mem::take(map));
            prune(&mut rest, &self.root, "", false, &mut unknown);
            drop_nulls(&mut rest, &self.root);
            if let Value::Object(rest) = rest {
                *map = rest;
            }
            map.extend(kept);
        }
        unknown.sort();
        unknown.dedup();
        let mut embedded = Vec::new();
        coerce_embedded(object, &self.root, "", true, &mut embedded);
        unknown.extend(embedded);
        unknown
            .iter()
            .map(|path| format!("unknown field {}", quote(path)))
            .collect()
    }

    /// Sets the defaults of the schema, on what a client sent or on what the store holds.
    pub fn default(&self, object: &mut Value) {
        if let Value::Object(map) = object {
            let kept = ["apiVersion", "kind", "metadata"].map(|k| (k, map.remove(k)));
            default(object, &self.root);
            if let Value::Object(map) = object {
                for (key, value) in kept {
                    if let Some(value) = value {
                        map.insert(key.to_owned(), value);
                    }
                }
            }
        }
    }

    /// Checks an object: the schema, embedded resources, lists that are sets or maps.
    #[must_use]
    pub fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        self.check(object, &self.root, &Location::root(), &mut errors);
        embedded(object, &self.root, &Path::root(), true, &mut errors);
        list_types(object, &self.root, &Path::root(), &mut errors);
        errors
    }

    /// Checks an update. An error in a value that did not change does not count: an object
    /// that broke a rule before the rule was made can still be changed elsewhere.
    #[must_use]
    pub fn validate_update(&self, object: &Value, old: &Value) -> Vec<FieldError> {
        let before = self.validate(old);
        self.validate(object)
            .into_iter()
            .filter(|error| {
                let same = before.iter().any(|b| b == error);
                !(same
                    && pointed(object, &error.field).is_some()
                    && pointed(object, &error.field) == pointed(old, &error.field))
            })
            .collect()
    }

    /// Checks what a write of `/status` brings: the status alone, in messages without its name.
    #[must_use]
    pub fn validate_status(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let schema = &self.root["properties"]["status"];
        if !schema.is_null() && !unset(object, "status") {
            let at = Location {
                path: Path::new("status"),
                shown: String::new(),
            };
            self.check(&object["status"], schema, &at, &mut errors);
            list_types(&object["status"], schema, &Path::new("status"), &mut errors);
        }
        errors
    }

    fn check(&self, value: &Value, schema: &Value, at: &Location, errors: &mut Vec<FieldError>) {
        if !schema.is_object() || (value.is_null() && schema["nullable"] == true) {
            return;
        }
        let shown = |text: &str| format!("{} in body {text}", at.shown);
        let invalid = |bad: Value, text: &str| FieldError::invalid(&at.path, &bad, shown(text));
        self.check_type(value, schema, at, errors);
        self.check_combined(value, schema, at, errors);
        if let Some(text) = value.as_str() {
            let length = text.chars().count() as u64;
            if let Some(max) = schema["maxLength"].as_u64().filter(|max| length > *max) {
                errors.push(FieldError::too_long(
                    &at.path,
                    usize::try_from(max).unwrap_or(usize::MAX),
                ));
            }
            if let Some(min) = schema["minLength"].as_u64().filter(|min| length < *min) {
                errors.push(invalid(
                    value.clone(),
                    &format!("should be at least {min} chars long"),
                ));
            }
            if let Some(pattern) = schema["pattern"].as_str() {
                let matches = self
                    .patterns
                    .get(pattern)
                    .and_then(Option::as_ref)
                    .is_none_or(|r| r.is_match(text));
                if !matches {
                    errors.push(invalid(value.clone(), &format!("should match '{pattern}'")));
                }
            }
            let name = text_of(schema, "format");
            if !format::is_valid(name, text) {
                errors.push(FieldError::type_invalid(
                    &at.path,
                    value,
                    shown(&format!("must be of type {name}: {}", quote(text))),
                ));
            }
        }
        if let Value::Number(number) = value {
            check_number(number, value, schema, at, &shown, errors);
        }
        if let Value::Array(list) = value {
            let length = list.len() as u64;
            if let Some(min) = schema["minItems"].as_u64().filter(|min| length < *min) {
                errors.push(invalid(
                    json!(length),
                    &format!("should have at least {min} items"),
                ));
            }
            if let Some(max) = schema["maxItems"].as_u64().filter(|max| length > *max) {
                errors.push(FieldError::too_many(
                    &at.path,
                    list.len(),
                    usize::try_from(max).unwrap_or(usize::MAX),
                ));
            }
            for (i, item) in list.iter().enumerate() {
                self.check(item, &schema["items"], &at.index(i), errors);
            }
        }
        if let Some(values) = schema["enum"].as_array()
            && !values.contains(value)
        {
            let known: Vec<String> = values
                .iter()
                .map(|v| {
                    v.as_str()
                        .map_or_else(|| crate::kinds::error::go_json(v), str::to_owned)
                })
                .collect();
            errors.push(FieldError::not_supported_raw(
                &at.path,
                print(value),
                &known,
            ));
        }
        if let Value::Object(map) = value {
            self.check_object(map, schema, at, &invalid, errors);
        }
    }

    fn check_type(
        &self,
        value: &Value,
        schema: &Value,
        at: &Location,
        errors: &mut Vec<FieldError>,
    ) {
        let wanted = text_of(schema, "type");
        let either = schema["x-kubernetes-int-or-string"] == true;
        let actual = type_name(value);
        let fits = if either {
            matches!(actual, "integer" | "string")
        } else {
            match wanted {
                "" => true,
                "number" => matches!(actual, "integer" | "number"),
                "integer" => {
                    actual == "integer"
                        || value
                            .as_f64()
                            .is_some_and(|f| actual == "number" && f.fract() == 0.0)
                }
                other => other == actual,
            }
        };
        if !fits {
            let wanted = if either { "integer,string" } else { wanted };
            errors.push(FieldError::type_invalid(
                &at.path,
                &json!(actual),
                format!(
                    "{} in body must be of type {wanted}: \"{actual}\"",
                    at.shown
                ),
            ));
        }
    }

    fn check_combined(
        &self,
        value: &Value,
        schema: &Value,
        at: &Location,
        errors: &mut Vec<FieldError>,
    ) {
        let attempt = |schema: &Value| {
            let mut found = Vec::new();
            self.check(value, schema, at, &mut found);
            found
        };
        let whole = |text: String| {
            FieldError::invalid_str(&Path::root(), "", format!("{} {text}", quote(&at.shown)))
        };
        let any = items(&schema["anyOf"]);
        if !any.is_empty() {
            let mut tries: Vec<_> = any.iter().map(attempt).collect();
            if !tries.iter().any(Vec::is_empty) {
                errors.push(whole(
                    "must validate at least one schema (anyOf)".to_owned(),
                ));
                errors.append(&mut tries.swap_remove(0));
            }
        }
        let one = items(&schema["oneOf"]);
        if !one.is_empty() {
            let mut tries: Vec<_> = one.iter().map(attempt).collect();
            match tries.iter().filter(|t| t.is_empty()).count() {
                1 => {}
                0 => {
                    errors.push(whole(
                        "must validate one and only one schema (oneOf). Found none valid"
                            .to_owned(),
                    ));
                    errors.append(&mut tries.swap_remove(0));
                }
                many => errors.push(whole(format!(
                    "must validate one and only one schema (oneOf). Found {many} valid alternatives"
                ))),
            }
        }
        let all = items(&schema["allOf"]);
        if !all.is_empty() {
            let tries: Vec<_> = all.iter().map(attempt).collect();
            let valid = tries.iter().filter(|t| t.is_empty()).count();
            errors.extend(tries.into_iter().flatten());
            if valid < all.len() {
                let none = if valid == 0 { ". None validated" } else { "" };
                errors.push(whole(format!(
                    "must validate all the schemas (allOf){none}"
                )));
            }
        }
        if !unset(schema, "not") && attempt(&schema["not"]).is_empty() {
            errors.push(whole("must not validate the schema (not)".to_owned()));
        }
    }

    fn check_object(
        &self,
        map: &Map<String, Value>,
        schema: &Value,
        at: &Location,
        invalid: &dyn Fn(Value, &str) -> FieldError,
        errors: &mut Vec<FieldError>,
    ) {
        let count = map.len() as u64;
        if let Some(min) = schema["minProperties"].as_u64().filter(|min| count < *min) {
            errors.push(invalid(
                json!(count),
                &format!("should have at least {min} properties"),
            ));
        }
        if let Some(max) = schema["maxProperties"].as_u64().filter(|max| count > *max) {
            errors.push(FieldError::too_many(
                &at.path,
                map.len(),
                usize::try_from(max).unwrap_or(usize::MAX),
            ));
        }
        let properties = &schema["properties"];
        let additional = &schema["additionalProperties"];
        let members = Value::Object(map.clone());
        for (key, value) in sorted(&members) {
            match properties.get(key) {
                Some(property) => self.check(value, property, &at.child(key), errors),
                None if additional.is_object() => {
                    self.check(value, additional, &at.child(key), errors)
                }
                None => {}
            }
        }
        for key in items(&schema["required"]).iter().filter_map(Value::as_str) {
            if !map.contains_key(key) {
                errors.push(FieldError::required(&at.child(key).path, ""));
            }
        }
    }
}

/// A place in an instance: as causes and as messages name it.
struct Location {
    path: Path,
    /// Without the prefix under which a part is validated.
    shown: String,
}

impl Location {
    fn root() -> Self {
        Self {
            path: Path::root(),
            shown: String::new(),
        }
    }

    fn child(&self, key: &str) -> Self {
        let shown = if self.shown.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.shown)
        };
        Self {
            path: self.path.child(key),
            shown,
        }
    }

    fn index(&self, index: usize) -> Self {
        Self {
            path: self.path.index(index),
            shown: format!("{}[{index}]", self.shown),
        }
    }
}

fn text_of<'a>(schema: &'a Value, key: &str) -> &'a str {
    text(schema, key)
}

fn check_number(
    number: &serde_json::Number,
    value: &Value,
    schema: &Value,
    at: &Location,
    shown: &dyn Fn(&str) -> String,
    errors: &mut Vec<FieldError>,
) {
    let amount = number.as_f64().unwrap_or(0.0);
    let bound = |key: &str| schema[key].as_f64();
    let text = |key: &str| schema[key].to_string().trim_end_matches(".0").to_owned();
    if let Some(unit) = bound("multipleOf").filter(|u| *u > 0.0) {
        let ratio = amount / unit;
        if (ratio - ratio.round()).abs() > 1e-9 {
            let text = shown(&format!("should be a multiple of {}", text("multipleOf")));
            errors.push(FieldError::invalid(&at.path, value, text));
        }
    }
    if let Some(max) = bound("maximum") {
        let exclusive = schema["exclusiveMaximum"] == true;
        if amount > max || (exclusive && amount >= max) {
            let relation = if exclusive {
                "less than"
            } else {
                "less than or equal to"
            };
            errors.push(FieldError::invalid(
                &at.path,
                value,
                shown(&format!("should be {relation} {}", text("maximum"))),
            ));
        }
    }
    if let Some(min) = bound("minimum") {
        let exclusive = schema["exclusiveMinimum"] == true;
        if amount < min || (exclusive && amount <= min) {
            let relation = if exclusive {
                "greater than"
            } else {
                "greater than or equal to"
            };
            errors.push(FieldError::invalid(
                &at.path,
                value,
                shown(&format!("should be {relation} {}", text("minimum"))),
            ));
        }
    }
    // Whether the value fits the format, which no field is named for.
    let (kind, format) = (text_of(schema, "type"), text_of(schema, "format"));
    let whole = number.as_i64();
    let fits = match (kind, format) {
        ("integer", "int32") => whole.is_some_and(|n| i32::try_from(n).is_ok()),
        ("integer", "uint32") => whole.is_some_and(|n| u32::try_from(n).is_ok()),
        ("integer", _) => whole.is_some() || number.as_u64().is_some() || amount.fract() == 0.0,
        ("number", "float") => amount.abs() <= f64::from(f32::MAX),
        _ => true,
    };
    if !fits {
        let format = if format.is_empty() {
            "(default format)".to_owned()
        } else {
            format!("with format {format}")
        };
        errors.push(FieldError::invalid_str(
            &Path::root(),
            "",
            format!(
                "Checked value must be of type {kind} {format} in {}",
                at.shown
            ),
        ));
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn collect_patterns(schema: &Value, patterns: &mut BTreeMap<String, Option<Regex>>) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::String(pattern)) = map.get("pattern") {
                patterns
                    .entry(pattern.clone())
                    .or_insert_with(|| compile(pattern).ok());
            }
            map.values().for_each(|v| collect_patterns(v, patterns));
        }
        Value::Array(list) => list.iter().for_each(|v| collect_patterns(v, patterns)),
        _ => {}
    }
}

/// Compiles a pattern of a schema.
pub(super) fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    regex::RegexBuilder::new(pattern)
        .size_limit(PATTERN_SIZE)
        .build()
}

fn prune(value: &mut Value, schema: &Value, path: &str, preserve: bool, unknown: &mut Vec<String>) {
    let preserve =
        preserve && !schema.is_object() || schema["x-kubernetes-preserve-unknown-fields"] == true;
    match value {
        Value::Object(map) => {
            let embedded = schema["x-kubernetes-embedded-resource"] == true;
            let properties = &schema["properties"];
            let additional = &schema["additionalProperties"];
            let keys: Vec<String> = map.keys().cloned().collect();
            for key in keys {
                if embedded && matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
                    continue;
                }
                let at = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                let inner = match properties.get(&key) {
                    Some(property) => Some(property),
                    None if additional.is_object() => Some(additional),
                    None => None,
                };
                match (inner, map.get_mut(&key)) {
                    (Some(inner), Some(member)) => prune(member, inner, &at, false, unknown),
                    (None, Some(_)) if preserve || *additional == true => {}
                    (None, _) => {
                        map.remove(&key);
                        unknown.push(at);
                    }
                    (Some(_), None) => {}
                }
            }
        }
        Value::Array(list) => {
            let inner = &schema["items"];
            if inner.is_object() {
                for (i, item) in list.iter_mut().enumerate() {
                    prune(item, inner, &format!("{path}[{i}]"), false, unknown);
                }
            } else if !preserve {
                for item in list.iter_mut() {
                    prune(item, &Value::Null, path, false, unknown);
                }
            }
        }
        _ => {}
    }
}

/// A null where the schema allows none, and no default would replace it, means "not set".
fn drop_nulls(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(map) => {
            let (properties, additional) = (&schema["properties"], &schema["additionalProperties"]);
            map.retain(|key, member| {
                let inner = properties.get(key).unwrap_or(additional);
                !(member.is_null()
                    && properties.get(key).is_some()
                    && inner["nullable"] != true
                    && unset(inner, "default"))
            });
            for (key, member) in map.iter_mut() {
                let inner = properties.get(key).unwrap_or(additional);
                drop_nulls(member, inner);
            }
        }
        Value::Array(list) => list
            .iter_mut()
            .for_each(|item| drop_nulls(item, &schema["items"])),
        _ => {}
    }
}

fn default(value: &mut Value, schema: &Value) {
    let replace = |value: &Value, schema: &Value| value.is_null() && schema["nullable"] != true;
    match value {
        Value::Object(map) => {
            for (key, property) in sorted(&schema["properties"]) {
                if let Some(preset) = property.get("default")
                    && map.get(key).is_none_or(|v| replace(v, property))
                {
                    map.insert(key.to_owned(), preset.clone());
                }
            }
            for (key, member) in map.iter_mut() {
                let inner = match schema["properties"].get(key) {
                    Some(property) => property,
                    None => {
                        let additional = &schema["additionalProperties"];
                        if let (true, Some(preset)) =
                            (replace(member, additional), additional.get("default"))
                        {
                            *member = preset.clone();
                        }
                        additional
                    }
                };
                default(member, inner);
            }
        }
        Value::Array(list) => {
            let inner = &schema["items"];
            for item in list {
                if let (true, Some(preset)) = (replace(item, inner), inner.get("default")) {
                    *item = preset.clone();
                }
                default(item, inner);
            }
        }
        _ => {}
    }
}

/// Reads the metadata of embedded resources as an ObjectMeta.
fn coerce_embedded(
    value: &mut Value,
    schema: &Value,
    path: &str,
    root: bool,
    unknown: &mut Vec<String>,
) {
    match value {
        Value::Object(map) => {
            if !root
                && schema["x-kubernetes-embedded-resource"] == true
                && let Some(metadata) = map.get_mut("metadata")
                && let Ok(read) = decode_metadata(metadata)
            {
                *metadata = read.object;
                for text in read.strict {
                    let name = text.split('"').nth(1).unwrap_or_default();
                    unknown.push(format!("{path}.metadata.{name}"));
                }
            }
            for (key, member) in map.iter_mut() {
                let at = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                let inner = schema["properties"]
                    .get(key)
                    .unwrap_or(&schema["additionalProperties"]);
                coerce_embedded(member, inner, &at, false, unknown);
            }
        }
        Value::Array(list) => {
            for (i, item) in list.iter_mut().enumerate() {
                coerce_embedded(
                    item,
                    &schema["items"],
                    &format!("{path}[{i}]"),
                    false,
                    unknown,
                );
            }
        }
        _ => {}
    }
}

fn embedded(value: &Value, schema: &Value, path: &Path, root: bool, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(map) => {
            if !root && schema["x-kubernetes-embedded-resource"] == true {
                for key in ["apiVersion", "kind"] {
                    if text(value, key).is_empty() {
                        errors.push(FieldError::required(&path.child(key), ""));
                    }
                }
                let metadata = &value["metadata"];
                if !text(metadata, "name").is_empty() {
                    errors.extend(
                        validate_metadata_at(
                            metadata,
                            false,
                            NameRule::PathSegment,
                            false,
                            &path.child("metadata"),
                        )
                        .into_iter()
                        .filter(|e| !e.field.ends_with(".namespace")),
                    );
                }
            }
            for (key, member) in sorted(&Value::Object(map.clone())) {
                let inner = schema["properties"]
                    .get(key)
                    .unwrap_or(&schema["additionalProperties"]);
                embedded(member, inner, &path.child(key), false, errors);
            }
        }
        Value::Array(list) => {
            for (i, item) in list.iter().enumerate() {
                embedded(item, &schema["items"], &path.index(i), false, errors);
            }
        }
        _ => {}
    }
}

/// Entries of sets and maps that occur twice.
fn list_types(value: &Value, schema: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(_) => {
            for (key, member) in sorted(value) {
                let inner = schema["properties"]
                    .get(key)
                    .unwrap_or(&schema["additionalProperties"]);
                list_types(member, inner, &path.child(key), errors);
            }
        }
        Value::Array(list) => {
            let keys: Vec<Value> = match text_of(schema, "x-kubernetes-list-type") {
                "set" => list.clone(),
                "map" => list
                    .iter()
                    .map(|item| {
                        let names = items(&schema["x-kubernetes-list-map-keys"])
                            .iter()
                            .filter_map(Value::as_str);
                        names
                            .filter_map(|n| Some((n.to_owned(), item.get(n)?.clone())))
                            .collect::<Map<_, _>>()
                            .into()
                    })
                    .collect(),
                _ => Vec::new(),
            };
            let mut seen = std::collections::BTreeSet::new();
            for (i, key) in keys.iter().enumerate() {
                if !seen.insert(crate::kinds::error::go_json(key)) {
                    errors.push(FieldError::duplicate(&path.index(i), key));
                }
            }
            for (i, item) in list.iter().enumerate() {
                list_types(item, &schema["items"], &path.index(i), errors);
            }
        }
        _ => {}
    }
}

/// The value at a field path; `None` for the whole object or what isn't there.
fn pointed<'a>(object: &'a Value, field: &str) -> Option<&'a Value> {
    if field.is_empty() || field == "<nil>" {
        return None;
    }
    let mut at = object;
    for part in field.split('.') {
        let (name, rest) = part.split_once('[').map_or((part, ""), |(n, r)| (n, r));
        at = at.get(name)?;
        for index in rest.split('[').filter(|r| !r.is_empty()) {
            let index = index.trim_end_matches(']');
            at = match index.parse::<usize>() {
                Ok(i) if at.is_array() => at.get(i)?,
                _ => at.get(index)?,
            };
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        Schema::new(
            &json!({"type": "object", "required": ["spec"], "properties": {"spec": {"type": "object", "properties": {
                "pat": {"type": "string", "pattern": "^[a-z]{2,}$", "maxLength": 4},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                    "properties": {"typed": {"type": "object", "properties": {"in": {"type": "string"}}}}},
                "list": {"type": "array", "items": {"type": "object", "properties": {"k": {"type": "string"}, "d": {"type": "number", "default": 1.5}}}},
                "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "any": {"type": "object", "anyOf": [{"required": ["x"]}, {"required": ["y"]}]},
            }}}}),
        )
    }

    #[test]
    fn unknown_fields_are_removed_and_named_sorted() {
        let mut object = json!({"apiVersion": "a/v1", "kind": "K", "metadata": {"name": "n"}, "top": 1,
            "spec": {"zz": 1, "free": {"a": {"b": [1]}, "typed": {"out": 1, "in": "x"}}, "list": [{"k": "1", "q": 2}]}});
        let unknown = schema().prune(&mut object);
        assert_eq!(
            unknown,
            [
                r#"unknown field "spec.free.typed.out""#,
                r#"unknown field "spec.list[0].q""#,
                r#"unknown field "spec.zz""#,
                r#"unknown field "top""#
            ]
        );
        assert_eq!(
            object["spec"],
            json!({"free": {"a": {"b": [1]}, "typed": {"in": "x"}}, "list": [{"k": "1"}]})
        );
    }

    #[test]
    fn defaults_reach_into_lists() {
        let mut object = json!({"spec": {"list": [{}, {"d": 2}]}});
        schema().default(&mut object);
        assert_eq!(object["spec"]["list"], json!([{"d": 1.5}, {"d": 2}]));
    }

    #[test]
    fn each_broken_rule_is_reported() {
        for (spec, messages) in [
            (
                json!({"pat": "A"}),
                vec!["spec.pat: Invalid value: \"A\": spec.pat in body should match '^[a-z]{2,}$'"],
            ),
            (
                json!({"pat": "abcde"}),
                vec!["spec.pat: Too long: may not be more than 4 bytes"],
            ),
            (
                json!({"set": ["a", "a"]}),
                vec!["spec.set[1]: Duplicate value: \"a\""],
            ),
            (
                json!({"any": {}}),
                vec![
                    "<nil>: Invalid value: \"\": \"spec.any\" must validate at least one schema (anyOf)",
                    "spec.any.x: Required value",
                ],
            ),
            (
                json!({"pat": 1}),
                vec![
                    "spec.pat: Invalid value: \"integer\": spec.pat in body must be of type string: \"integer\"",
                ],
            ),
        ] {
            let found: Vec<_> = schema()
                .validate(&json!({"spec": spec}))
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(found, messages, "{spec}");
        }
    }

    #[test]
    fn what_was_wrong_before_does_not_block_other_changes() {
        let old = json!({"spec": {"pat": "A"}});
        assert!(
            schema()
                .validate_update(&json!({"spec": {"pat": "A", "set": []}}), &old)
                .is_empty()
        );
        assert_eq!(
            schema()
                .validate_update(&json!({"spec": {"pat": "B"}}), &old)
                .len(),
            1
        );
    }
}
