//! Label and field selectors.

use serde_json::Value;

use super::status::{ApiError, ApiResult};

/// A parsed label selector.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LabelSelector {
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Exists,
    NotExists,
    In,
    NotIn,
    Greater,
    Less,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Symbol(&'static str),
}

fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let symbols = ["==", "!=", "=", "!", ",", "(", ")", ">", "<"];
        if let Some(symbol) = symbols.into_iter().find(|s| rest.starts_with(s)) {
            out.push(Token::Symbol(symbol));
            rest = &rest[symbol.len()..];
        } else if first.is_whitespace() {
            rest = rest.trim_start();
        } else {
            let end = rest
                .find(|c: char| c.is_whitespace() || "=!,()<>".contains(c))
                .unwrap_or(rest.len());
            out.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        }
    }
    out
}

fn shown(token: Option<&Token>) -> String {
    match token {
        Some(Token::Word(word)) => word.clone(),
        Some(Token::Symbol(symbol)) => (*symbol).to_owned(),
        None => String::new(),
    }
}

impl LabelSelector {
    /// Parses the text of `labelSelector`.
    pub(crate) fn parse(text: &str) -> ApiResult<Self> {
        let tokens = tokens(text);
        let mut at = 0;
        let mut requirements = Vec::new();
        if tokens.is_empty() {
            return Ok(Self::default());
        }
        loop {
            let negated = tokens.get(at) == Some(&Token::Symbol("!"));
            if negated {
                at += 1;
            }
            let Some(Token::Word(key)) = tokens.get(at) else {
                return Err(ApiError::bad_request(format!(
                    "found '{}', expected: !, identifier, or 'end of string'",
                    shown(tokens.get(at))
                )));
            };
            at += 1;
            check_key(key)?;
            let (operator, values) = if negated {
                (Operator::NotExists, Vec::new())
            } else {
                Self::parse_operator(key, &tokens, &mut at)?
            };
            requirements.push(Requirement {
                key: key.clone(),
                operator,
                values,
            });
            match tokens.get(at) {
                None => break,
                Some(Token::Symbol(",")) => {
                    at += 1;
                    if !matches!(tokens.get(at), Some(Token::Word(_) | Token::Symbol("!"))) {
                        return Err(ApiError::bad_request(format!(
                            "found '{}', expected: identifier after ','",
                            shown(tokens.get(at))
                        )));
                    }
                }
                other => {
                    return Err(ApiError::bad_request(format!(
                        "found '{}', expected: ',' or 'end of string'",
                        shown(other)
                    )));
                }
            }
        }
        Ok(Self { requirements })
    }

    fn parse_operator(
        key: &str,
        tokens: &[Token],
        at: &mut usize,
    ) -> ApiResult<(Operator, Vec<String>)> {
        let operator = match tokens.get(*at) {
            None | Some(Token::Symbol(",")) => return Ok((Operator::Exists, Vec::new())),
            Some(Token::Symbol("=" | "==")) => Operator::In,
            Some(Token::Symbol("!=")) => Operator::NotIn,
            Some(Token::Symbol(">")) => Operator::Greater,
            Some(Token::Symbol("<")) => Operator::Less,
            Some(Token::Word(word)) if word == "in" || word == "notin" => {
                let operator = if word == "in" {
                    Operator::In
                } else {
                    Operator::NotIn
                };
                *at += 1;
                return Ok((operator, Self::parse_set(key, tokens, at)?));
            }
            other => {
                return Err(ApiError::bad_request(format!(
                    "unable to parse requirement: found '{}', expected: in, notin, =, ==, !=, gt, lt",
                    shown(other)
                )));
            }
        };
        *at += 1;
        let value = match tokens.get(*at) {
            Some(Token::Word(word)) => {
                *at += 1;
                word.clone()
            }
            _ => String::new(),
        };
        if matches!(operator, Operator::Greater | Operator::Less) {
            if value.parse::<i64>().is_err() {
                return Err(ApiError::bad_request(format!(
                    "unable to parse requirement: values[0][{key}]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer"
                )));
            }
        } else {
            check_value(key, 0, &value)?;
        }
        Ok((operator, vec![value]))
    }

    fn parse_set(key: &str, tokens: &[Token], at: &mut usize) -> ApiResult<Vec<String>> {
        if tokens.get(*at) != Some(&Token::Symbol("(")) {
            return Err(ApiError::bad_request(format!(
                "unable to parse requirement: found '{}' expected: '('",
                shown(tokens.get(*at))
            )));
        }
        *at += 1;
        let mut values = Vec::new();
        let mut expect_value = true;
        loop {
            match tokens.get(*at) {
                Some(Token::Word(word)) if expect_value => {
                    check_value(key, values.len(), word)?;
                    values.push(word.clone());
                    expect_value = false;
                }
                Some(Token::Symbol(",")) => {
                    if expect_value {
                        values.push(String::new());
                    }
                    expect_value = true;
                }
                Some(Token::Symbol(")")) => {
                    if expect_value {
                        values.push(String::new());
                    }
                    *at += 1;
                    values.sort();
                    values.dedup();
                    return Ok(values);
                }
                other => {
                    return Err(ApiError::bad_request(format!(
                        "unable to parse requirement: found '{}', expected: ',', or ')'",
                        shown(other)
                    )));
                }
            }
            *at += 1;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether an object with these `labels` (a JSON object or nothing) is selected.
    pub(crate) fn matches(&self, labels: Option<&Value>) -> bool {
        self.requirements.iter().all(|requirement| {
            let value = labels
                .and_then(|labels| labels.get(&requirement.key))
                .and_then(Value::as_str);
            let listed = |value: &str| requirement.values.iter().any(|v| v == value);
            match requirement.operator {
                Operator::Exists => value.is_some(),
                Operator::NotExists => value.is_none(),
                Operator::In => value.is_some_and(listed),
                Operator::NotIn => !value.is_some_and(listed),
                Operator::Greater | Operator::Less => {
                    let left = value.and_then(|v| v.parse::<i64>().ok());
                    let right = requirement
                        .values
                        .first()
                        .and_then(|v| v.parse::<i64>().ok());
                    match (left, right) {
                        (Some(left), Some(right)) if requirement.operator == Operator::Greater => {
                            left > right
                        }
                        (Some(left), Some(right)) => left < right,
                        _ => false,
                    }
                }
            }
        })
    }

    /// The selector of a `LabelSelector` object (`matchLabels`, `matchExpressions`).
    pub(crate) fn from_object(selector: &Value) -> Self {
        let mut requirements = Vec::new();
        if let Some(labels) = selector.get("matchLabels").and_then(Value::as_object) {
            for (key, value) in labels {
                requirements.push(Requirement {
                    key: key.clone(),
                    operator: Operator::In,
                    values: vec![value.as_str().unwrap_or_default().to_owned()],
                });
            }
        }
        for expression in selector
            .get("matchExpressions")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let operator = match expression.get("operator").and_then(Value::as_str) {
                Some("In") => Operator::In,
                Some("NotIn") => Operator::NotIn,
                Some("DoesNotExist") => Operator::NotExists,
                _ => Operator::Exists,
            };
            requirements.push(Requirement {
                key: expression
                    .get("key")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned(),
                operator,
                values: expression
                    .get("values")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect(),
            });
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { requirements }
    }
}

impl std::fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, requirement) in self.requirements.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            let key = &requirement.key;
            match (requirement.operator, requirement.values.as_slice()) {
                (Operator::Exists, _) => write!(f, "{key}")?,
                (Operator::NotExists, _) => write!(f, "!{key}")?,
                (Operator::In, [one]) => write!(f, "{key}={one}")?,
                (Operator::In, many) => write!(f, "{key} in ({})", many.join(","))?,
                (Operator::NotIn, many) => write!(f, "{key} notin ({})", many.join(","))?,
                (Operator::Greater, many) => write!(f, "{key}>{}", many.join(","))?,
                (Operator::Less, many) => write!(f, "{key}<{}", many.join(","))?,
            }
        }
        Ok(())
    }
}

fn check_key(key: &str) -> ApiResult<()> {
    let errors = crate::kinds::rules::qualified_name(key);
    match errors.first() {
        None => Ok(()),
        Some(error) => Err(ApiError::bad_request(format!(
            "unable to parse requirement: key: Invalid value: {key:?}: {error}"
        ))),
    }
}

fn check_value(key: &str, at: usize, value: &str) -> ApiResult<()> {
    match crate::kinds::rules::label_value(value).first() {
        None => Ok(()),
        Some(error) => Err(ApiError::bad_request(format!(
            "unable to parse requirement: values[{at}][{key}]: Invalid value: {value:?}: {error}"
        ))),
    }
}

/// A parsed field selector: field, whether it must differ, value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldSelector {
    terms: Vec<(String, bool, String)>,
}

impl FieldSelector {
    /// Parses the text of `fieldSelector`; `supported` tells the fields of the kind,
    /// and how it refuses others.
    pub(crate) fn parse(text: &str, supported: &SelectableFields<'_>) -> ApiResult<Self> {
        let mut terms = Vec::new();
        for term in split_terms(text) {
            if term.is_empty() {
                continue;
            }
            let Some((field, differs, value)) = split_term(&term) else {
                return Err(ApiError::bad_request(format!(
                    "invalid selector: '{text}'; can't understand '{term}'"
                )));
            };
            let value = unescape(value).map_err(|()| {
                ApiError::bad_request(format!(
                    "invalid field selector: invalid escape sequence in {text:?}"
                ))
            })?;
            if !supported.contains(field) {
                return Err(ApiError::bad_request(supported.refusal(field)));
            }
            terms.push((field.to_owned(), differs, value));
        }
        Ok(Self { terms })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.terms
            .iter()
            .all(|(field, differs, value)| (field_text(object, field) == *value) != *differs)
    }
}

fn field_text(object: &Value, field: &str) -> String {
    let field = match field {
        "source" => "source.component",
        "name" => "metadata.name",
        "status.podIPs" => "status.podIP",
        other => other,
    };
    let mut at = object;
    for part in field.split('.') {
        match at.get(part) {
            Some(next) => at = next,
            None => {
                return match field {
                    "spec.unschedulable" | "spec.hostNetwork" => "false".to_owned(),
                    "status.successful" | "status.replicas" => "0".to_owned(),
                    _ => String::new(),
                };
            }
        }
    }
    match at {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn split_terms(text: &str) -> Vec<String> {
    let mut terms = Vec::new();
    let mut term = String::new();
    let mut escaped = false;
    for c in text.chars() {
        if c == ',' && !escaped {
            terms.push(std::mem::take(&mut term));
        } else {
            term.push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    terms.push(term);
    terms
}

fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    for (at, _) in term.char_indices() {
        let rest = &term[at..];
        for (operator, differs) in [("!=", true), ("==", false), ("=", false)] {
            if let Some(value) = rest.strip_prefix(operator) {
                return Some((&term[..at], differs, value));
            }
        }
    }
    None
}

fn unescape(value: &str) -> Result<String, ()> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                _ => return Err(()),
            },
            ',' | '=' => return Err(()),
            c => out.push(c),
        }
    }
    Ok(out)
}

/// The fields that a kind can be selected by, besides its name and namespace.
pub(crate) struct SelectableFields<'a> {
    fields: Vec<&'a str>,
    namespaced: bool,
    refusal: Refusal,
}

#[derive(Clone, Copy)]
enum Refusal {
    Plain,
    Known,
    Named(&'static str),
}

impl<'a> SelectableFields<'a> {
    /// Those of a built-in kind. The lists stand in each group's `conversion.go`.
    pub(crate) fn builtin(group: &str, kind: &str, namespaced: bool) -> Self {
        let (fields, refusal): (&[&str], Refusal) = match (group, kind) {
            ("", "Pod") => (
                &[
                    "spec.nodeName",
                    "spec.restartPolicy",
                    "spec.schedulerName",
                    "spec.serviceAccountName",
                    "spec.hostNetwork",
                    "status.phase",
                    "status.podIP",
                    "status.podIPs",
                    "status.nominatedNodeName",
                ],
                Refusal::Plain,
            ),
            ("", "Node") => (&["spec.unschedulable"], Refusal::Plain),
            ("", "ReplicationController") => (&["status.replicas"], Refusal::Plain),
            ("", "Event") => (
                &[
                    "involvedObject.kind",
                    "involvedObject.namespace",
                    "involvedObject.name",
                    "involvedObject.uid",
                    "involvedObject.apiVersion",
                    "involvedObject.resourceVersion",
                    "involvedObject.fieldPath",
                    "reason",
                    "reportingComponent",
                    "source",
                    "type",
                ],
                Refusal::Plain,
            ),
            ("events.k8s.io", "Event") => (
                &[
                    "regarding.kind",
                    "regarding.namespace",
                    "regarding.name",
                    "regarding.uid",
                    "regarding.apiVersion",
                    "regarding.resourceVersion",
                    "regarding.fieldPath",
                    "reason",
                    "reportingController",
                    "type",
                ],
                Refusal::Plain,
            ),
            ("", "Namespace") => (&["status.phase", "name"], Refusal::Plain),
            ("", "Secret") => (&["type"], Refusal::Plain),
            ("", "Service") => (&["spec.clusterIP", "spec.type"], Refusal::Plain),
            ("batch", "Job") => (&["status.successful"], Refusal::Named("batchv1.Job")),
            ("apps", "StatefulSet") => {
                (&["status.successful"], Refusal::Named("appsv1.StatefulSet"))
            }
            ("certificates.k8s.io", "CertificateSigningRequest") => {
                (&["spec.signerName"], Refusal::Plain)
            }
            _ => (&[], Refusal::Known),
        };
        Self {
            fields: fields.to_vec(),
            namespaced: namespaced || matches!(refusal, Refusal::Known),
            refusal,
        }
    }

    /// Those that a custom resource definition names (`selectableFields`).
    pub(crate) fn custom(fields: Vec<&'a str>) -> Self {
        Self {
            fields,
            namespaced: true,
            refusal: Refusal::Plain,
        }
    }

    fn contains(&self, field: &str) -> bool {
        field == "metadata.name"
            || (field == "metadata.namespace" && self.namespaced)
            || self.fields.contains(&field)
    }

    fn refusal(&self, field: &str) -> String {
        match self.refusal {
            Refusal::Plain => format!("field label not supported: {field}"),
            Refusal::Known => format!(
                "{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
            ),
            Refusal::Named("batchv1.Job") => {
                format!("field label {field:?} not supported for batchv1.Job")
            }
            Refusal::Named(kind) => format!("field label not supported for {kind}: {field}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn label_selectors_of_every_form() {
        let labels = json!({"a": "x", "b": "", "n": "5"});
        for (text, expected) in [
            ("", true),
            ("a", true),
            ("!a", false),
            ("a=x", true),
            ("a==x", true),
            ("a!=x", false),
            ("z!=x", true),
            ("a in (x, y)", true),
            ("a notin (x)", false),
            ("z notin (x)", true),
            ("b=", true),
            ("a in ()", false),
            (" a = x , ! z ", true),
            ("n>4", true),
            ("n<4", false),
            ("a=x,b=c", false),
        ] {
            let selector = LabelSelector::parse(text).unwrap();
            assert_eq!(selector.matches(Some(&labels)), expected, "{text}");
        }
        for bad in [
            "a b",
            "=x",
            "a in x",
            "a=b c",
            "(",
            ",",
            "a,",
            "a within (b)",
            "n>x",
        ] {
            assert_eq!(LabelSelector::parse(bad).unwrap_err().code, 400, "{bad}");
        }
    }

    #[test]
    fn field_selectors_know_their_kind() {
        let secret = SelectableFields::builtin("", "Secret", true);
        let object = json!({"metadata": {"name": "x"}, "type": "Opaque"});
        for (text, expected) in [
            ("type=Opaque", true),
            ("type!=Opaque", false),
            ("metadata.name==x,type=Opaque", true),
            ("", true),
        ] {
            let selector = FieldSelector::parse(text, &secret).unwrap();
            assert_eq!(selector.matches(&object), expected, "{text}");
        }
        let error = FieldSelector::parse("spec.x=1", &secret).unwrap_err();
        assert_eq!(error.message, "field label not supported: spec.x");
        let error = FieldSelector::parse("nonsense", &secret).unwrap_err();
        assert_eq!(
            error.message,
            "invalid selector: 'nonsense'; can't understand 'nonsense'"
        );
    }
}
