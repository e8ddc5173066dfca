//! Reviews: requests that are answered and not stored; and who may grant what.

use serde_json::{Value, json};

use super::call::{Answer, Call, meta_text};
use super::options::{OptionsKind, WriteOptions};
use super::ownership;
use super::rbac::{self, Attributes, Roles as _, User};
use super::registry::Resource;
use super::server::authorize;
use super::state::State;
use super::status::{ApiError, ApiResult, Cause};
use super::token;
use super::write;

/// Whether objects of `resource` are questions.
pub(crate) fn is_review(resource: &Resource) -> bool {
    matches!(
        resource.group.as_str(),
        "authorization.k8s.io" | "authentication.k8s.io"
    )
}

/// `POST` of a review.
pub(crate) fn create(state: &mut State, call: &mut Call<'_>) -> ApiResult<Answer> {
    let options = WriteOptions::read(call.query, OptionsKind::Create, call.user_agent())?;
    let resource = call.resource.clone();
    let mut object = write::read_object_of(call, &resource, &options)?;
    call.settle_namespace(&mut object)?;
    state.ensure_roles();
    object = ownership::track_as(call, &resource, "", object, &options.manager)?;
    match resource.kind.as_str() {
        "SelfSubjectReview" => {
            object["metadata"]["creationTimestamp"] = json!(super::clock::seconds(call.now));
            object["status"] = json!({"userInfo": call.user.info()});
        }
        "TokenReview" => review_token(state, call, &mut object),
        "SelfSubjectRulesReview" => review_rules(state, call, &mut object),
        _ => review_access(state, call, &mut object)?,
    }
    if object["metadata"].is_null() {
        object["metadata"] = json!({});
    }
    Ok(Answer::Object { code: 201, object })
}

fn invalid(cause: Cause) -> ApiError {
    ApiError::invalid("authorization.k8s.io", "", "", &[cause])
}

fn review_access(state: &mut State, call: &Call<'_>, object: &mut Value) -> ApiResult<()> {
    let spec = object.get("spec").cloned().unwrap_or_else(|| json!({}));
    let text = |value: &Value, key: &str| {
        value
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let resource = spec.get("resourceAttributes").filter(|v| !v.is_null());
    let path = spec.get("nonResourceAttributes").filter(|v| !v.is_null());
    let kind = call.resource.kind.as_str();
    let others = kind != "SelfSubjectAccessReview";
    match (resource, path) {
        (Some(_), Some(path)) => {
            let shown = json!({"Path": path["path"].as_str().unwrap_or_default(), "Verb": path["verb"].as_str().unwrap_or_default()});
            return Err(invalid(Cause::invalid(
                "spec.nonResourceAttributes",
                &shown,
                "cannot be specified in combination with resourceAttributes",
            )));
        }
        (None, None) => {
            return Err(invalid(Cause::invalid(
                "spec.resourceAttributes",
                &Value::Null,
                "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            )));
        }
        _ => {}
    }
    let mut user = call.user.clone();
    if others {
        let groups: Vec<String> = spec
            .get("groups")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        user = User {
            name: text(&spec, "user"),
            groups,
            ..User::default()
        };
        if user.name.is_empty() && user.groups.is_empty() {
            return Err(invalid(Cause::invalid(
                "spec.user",
                &json!(""),
                "at least one of user or group must be specified",
            )));
        }
    }
    let ask = match (resource, path) {
        (Some(resource), _) => Attributes {
            verb: text(resource, "verb"),
            group: text(resource, "group"),
            resource: text(resource, "resource"),
            subresource: text(resource, "subresource"),
            name: text(resource, "name"),
            namespace: text(resource, "namespace"),
            path: None,
        },
        (_, Some(path)) => Attributes {
            verb: text(path, "verb"),
            path: Some(text(path, "path")),
            ..Attributes::default()
        },
        _ => Attributes::default(),
    };
    if kind == "LocalSubjectAccessReview" {
        let namespace = call.namespace().unwrap_or_default();
        if ask.namespace != namespace {
            return Err(invalid(Cause::invalid(
                "spec.resourceAttributes.namespace",
                &json!(ask.namespace),
                "must match metadata.namespace",
            )));
        }
    }
    let verdict = rbac::authorize(state, &user, &ask);
    let mut status = json!({"allowed": verdict.is_some()});
    if let Some(reason) = verdict.filter(|reason| !reason.is_empty()) {
        status["reason"] = json!(reason);
    }
    object["status"] = status;
    Ok(())
}

fn review_rules(state: &State, call: &Call<'_>, object: &mut Value) {
    let namespace = object
        .pointer("/spec/namespace")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let rules = rbac::rules_of(state, call.user, &namespace);
    let (paths, resources): (Vec<Value>, Vec<Value>) = rules
        .into_iter()
        .partition(|rule| rule.get("nonResourceURLs").is_some());
    object["status"] =
        json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false});
}

fn review_token(state: &State, call: &Call<'_>, object: &mut Value) {
    let given = object
        .pointer("/spec/token")
        .and_then(Value::as_str)
        .unwrap_or_default();
    object["status"] = match token::authenticate(state, given, call.now) {
        Some(user) => json!({"authenticated": true, "user": user.info()}),
        None => json!({"user": {}, "error": "invalid bearer token"}),
    };
}

/// Refuses roles and bindings that grant more than their writer holds.
pub(crate) fn check_escalation(
    state: &mut State,
    call: &Call<'_>,
    object: &Value,
) -> ApiResult<()> {
    if call.resource.group != "rbac.authorization.k8s.io" || call.user.is_master() {
        return Ok(());
    }
    let resource = call.resource.plural.clone();
    let namespace = call.namespace().unwrap_or_default().to_owned();
    let name = meta_text(object, "name").to_owned();
    let ask = |verb: &str, resource: &str, name: &str| Attributes {
        verb: verb.to_owned(),
        group: "rbac.authorization.k8s.io".to_owned(),
        resource: resource.to_owned(),
        name: name.to_owned(),
        namespace: namespace.clone(),
        ..Attributes::default()
    };
    let wanted = match resource.as_str() {
        "roles" | "clusterroles" => {
            if authorize(state, call.user, &ask("escalate", &resource, &name)).is_ok() {
                return Ok(());
            }
            object
                .get("rules")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default()
        }
        _ => {
            let kind = object
                .pointer("/roleRef/kind")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let role = object
                .pointer("/roleRef/name")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let of = if kind == "ClusterRole" {
                "clusterroles"
            } else {
                "roles"
            };
            if authorize(state, call.user, &ask("bind", of, role)).is_ok() {
                return Ok(());
            }
            let rules = if kind == "ClusterRole" {
                state.cluster_role_rules(role)
            } else {
                state.role_rules(&namespace, role)
            };
            rules
                .ok_or_else(|| ApiError::not_found("rbac.authorization.k8s.io", &resource, role))?
        }
    };
    let held = rbac::rules_of(state, call.user, &namespace);
    let missing = rbac::missing(&held, &wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let groups: Vec<String> = call.user.groups.iter().map(|g| format!("{g:?}")).collect();
    Err(ApiError::forbidden(
        "rbac.authorization.k8s.io",
        &resource,
        &name,
        &format!(
            "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
            call.user.name,
            groups.join(" "),
            missing.join("\n")
        ),
    ))
}
