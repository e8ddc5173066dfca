//! From a request to an answer: who asks, what for, whether they may, and who does it.

use http::{HeaderMap, Method};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::call::{Answer, Call};
use super::delete;
use super::discovery;
use super::negotiate::{self, Accepted};
use super::rbac::{self, Attributes, User};
use super::read;
use super::registry::Builtins;
use super::request::{Query, ResourcePath};
use super::review;
use super::state::State;
use super::status::{ApiError, ApiResult};
use super::subresource;
use super::token;
use super::watch::Watch;
use super::write::{self, Target};

/// A request with its body read.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    /// The sender, if the service speaks for one.
    pub(crate) user: Option<&'a User>,
}

/// Users with a token that never expires.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tokens(pub(crate) Vec<(String, User)>);

/// Who somebody without a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoToken {
    Anonymous,
    /// The cluster's administrator: for clients within the process.
    Administrator,
    /// Anonymous, unless the client is made with client-go. Such clients, `kubectl` among
    /// them, keep their credentials back when there is no TLS, so that over plain HTTP
    /// they could never be anybody: they are the administrator.
    AnonymousOrClientGo,
}

/// An answer, ready to be sent.
pub(crate) enum Reply {
    Whole {
        code: u16,
        content_type: String,
        body: Vec<u8>,
        warnings: Vec<String>,
        retry_after: Option<u32>,
    },
    Watch(Box<Watch>),
}

/// What a request turned out to be, for the log.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) user: String,
    pub(crate) verb: String,
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) subresource: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
}

/// The administrator of a cluster.
pub(crate) fn administrator() -> User {
    User::new("kubernetes-admin", &[rbac::MASTERS])
}

/// Finds out who sends a request.
fn authenticate(
    state: &State,
    tokens: &Tokens,
    no_token: NoToken,
    headers: &HeaderMap,
    now: Timestamp,
) -> ApiResult<User> {
    let given = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .and_then(|text| {
            text.strip_prefix("Bearer ")
                .or_else(|| (text == "Bearer").then_some(""))
        });
    let user = match given.map(str::trim) {
        None if no_token == NoToken::Administrator => administrator(),
        None if no_token == NoToken::AnonymousOrClientGo && is_client_go(headers) => {
            administrator()
        }
        None | Some("") => User::anonymous(),
        Some(given) => match tokens.0.iter().find(|(token, _)| token == given) {
            Some((_, user)) => user.clone(),
            None => token::authenticate(state, given, now).ok_or_else(ApiError::unauthorized)?,
        },
    };
    Ok(user)
}

/// Whether a request comes from a program made with client-go: its user agents look like
/// `kubectl/v1.33.1 (linux/amd64) kubernetes/8adc0f0`. It reads a user's token for TLS only
/// (`IsConfigTransportTLS` in `tools/clientcmd/client_config.go`).
fn is_client_go(headers: &HeaderMap) -> bool {
    headers
        .get("user-agent")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|agent| agent.contains(" kubernetes/"))
}

/// The user that the `Impersonate-` headers name, if there are any.
fn impersonated(headers: &HeaderMap) -> ApiResult<Option<User>> {
    let values = |name: &str| -> Vec<String> {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .map(str::to_owned)
            .collect()
    };
    let name = values("impersonate-user")
        .into_iter()
        .next()
        .unwrap_or_default();
    let groups = values("impersonate-group");
    let uid = values("impersonate-uid")
        .into_iter()
        .next()
        .unwrap_or_default();
    let mut extra: Vec<(String, Vec<String>)> = Vec::new();
    for key in headers.keys() {
        if let Some(field) = key.as_str().strip_prefix("impersonate-extra-") {
            extra.push((
                super::request::decode(field, false).to_lowercase(),
                values(key.as_str()),
            ));
        }
    }
    if name.is_empty() {
        if groups.is_empty() && extra.is_empty() && uid.is_empty() {
            return Ok(None);
        }
        return Err(ApiError::bad_request(format!(
            "requested &user.DefaultInfo{{Name:\"\", UID:{uid:?}, Groups:{groups:?}}} without impersonating a user name"
        )));
    }
    let mut user = User {
        groups,
        uid,
        extra,
        ..User::default()
    };
    if user.groups.is_empty()
        && let Some((namespace, _)) = name
            .strip_prefix("system:serviceaccount:")
            .and_then(|rest| rest.split_once(':'))
    {
        user.groups = vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
        ];
    }
    user.name = name;
    user.complete_groups();
    Ok(Some(user))
}

/// Whether `user` may act as `other`.
fn may_impersonate(state: &mut State, user: &User, other: &User) -> bool {
    let mut asks = Vec::new();
    let ask = |resource: &str, name: &str, namespace: &str| Attributes {
        verb: "impersonate".to_owned(),
        resource: resource.to_owned(),
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        ..Attributes::default()
    };
    match other
        .name
        .strip_prefix("system:serviceaccount:")
        .and_then(|rest| rest.split_once(':'))
    {
        Some((namespace, name)) => asks.push(ask("serviceaccounts", name, namespace)),
        None => asks.push(ask("users", &other.name, "")),
    }
    for group in &other.groups {
        let implied = matches!(group.as_str(), rbac::AUTHENTICATED | rbac::UNAUTHENTICATED)
            || other.name.starts_with("system:serviceaccount:")
                && group.starts_with("system:serviceaccounts");
        if !implied {
            asks.push(ask("groups", group, ""));
        }
    }
    if !other.uid.is_empty() {
        asks.push(Attributes {
            group: "authentication.k8s.io".to_owned(),
            ..ask("uids", &other.uid, "")
        });
    }
    for (key, values) in &other.extra {
        for value in values {
            asks.push(Attributes {
                group: "authentication.k8s.io".to_owned(),
                subresource: key.clone(),
                ..ask("userextras", value, "")
            });
        }
    }
    state.ensure_roles();
    asks.iter()
        .all(|ask| rbac::authorize(state, user, ask).is_some())
}

/// Whether `user` may; the 403 if not.
pub(crate) fn authorize(state: &mut State, user: &User, ask: &Attributes) -> ApiResult<()> {
    if user.is_master() {
        return Ok(());
    }
    state.ensure_roles();
    if rbac::authorize(state, user, ask).is_some() {
        return Ok(());
    }
    Err(refused(user, ask))
}

fn refused(user: &User, ask: &Attributes) -> ApiError {
    if let Some(path) = &ask.path {
        let mut error = ApiError::new(
            403,
            "Forbidden",
            format!(
                "forbidden: User {:?} cannot {} path {path:?}",
                user.name, ask.verb
            ),
        );
        error.details = Some(json!({}));
        return error;
    }
    ApiError::forbidden(
        &ask.group,
        &ask.resource,
        &ask.name,
        &rbac::refusal(user, ask),
    )
}

fn verb_of(method: &Method, path: Option<&ResourcePath>, query: &Query) -> String {
    let verb = match *method {
        Method::GET | Method::HEAD => match path {
            Some(path) if path.name.is_none() || path.old_watch => {
                if path.old_watch || query.flag("watch") {
                    "watch"
                } else {
                    "list"
                }
            }
            _ => "get",
        },
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if path.is_some_and(|path| path.name.is_none()) => "deletecollection",
        Method::DELETE => "delete",
        _ => return method.as_str().to_ascii_lowercase(),
    };
    if path.is_none() {
        return method.as_str().to_ascii_lowercase();
    }
    verb.to_owned()
}

/// What a request is about, as far as its first line says.
pub(crate) fn describe(method: &Method, path: &str, query: &str, facts: &mut Facts) {
    let query = Query::parse(query);
    let path = ResourcePath::parse(path);
    facts.verb = verb_of(method, path.as_ref(), &query);
    if let Some(path) = path {
        facts.group = path.group;
        facts.resource = path.resource;
        facts.subresource = path.subresource;
        facts.namespace = path.namespace;
        facts.name = path.name;
    }
}

/// Answers a request.
pub(crate) fn answer(
    state: &mut State,
    tokens: &Tokens,
    no_token: NoToken,
    request: &Request<'_>,
    facts: &mut Facts,
) -> Reply {
    match respond(state, tokens, no_token, request, facts) {
        Ok(reply) => reply,
        Err(error) => error_reply(&error),
    }
}

/// An error as a reply.
pub(crate) fn error_reply(error: &ApiError) -> Reply {
    if error.plain_text {
        return Reply::Whole {
            code: error.code,
            content_type: "text/plain; charset=utf-8".to_owned(),
            body: error.message.clone().into_bytes(),
            warnings: Vec::new(),
            retry_after: None,
        };
    }
    Reply::Whole {
        code: error.code,
        content_type: "application/json".to_owned(),
        body: line(&error.to_status()),
        warnings: error.warnings.clone(),
        retry_after: error.retry_after,
    }
}

fn line(value: &Value) -> Vec<u8> {
    let mut text = value.to_string().into_bytes();
    text.push(b'\n');
    text
}

fn respond(
    state: &mut State,
    tokens: &Tokens,
    no_token: NoToken,
    request: &Request<'_>,
    facts: &mut Facts,
) -> ApiResult<Reply> {
    let now = state.now();
    let query = Query::parse(request.query);
    let path = ResourcePath::parse(request.path);
    let verb = verb_of(request.method, path.as_ref(), &query);
    let mut user = match request.user {
        Some(user) => user.clone(),
        None => authenticate(state, tokens, no_token, request.headers, now)?,
    };
    let ask = ask_for(path.as_ref(), &query, &verb, request.path);
    if let Some(other) = impersonated(request.headers)? {
        if !may_impersonate(state, &user, &other) {
            let ask = Attributes {
                verb: format!("impersonate-on:user-info:{}", ask.verb),
                ..ask
            };
            return Err(refused(&user, &ask));
        }
        user = other;
    }
    facts.user.clone_from(&user.name);
    authorize(state, &user, &ask)?;
    match path {
        None => discovery::answer(state, request, &query),
        Some(path) => resource(state, request, &path, &query, &user, &verb, now),
    }
}

/// What a request asks for, as the authorizer sees it.
fn ask_for(path: Option<&ResourcePath>, query: &Query, verb: &str, raw: &str) -> Attributes {
    let Some(path) = path else {
        return Attributes {
            verb: verb.to_owned(),
            path: Some(raw.to_owned()),
            ..Attributes::default()
        };
    };
    // A list of one name asks for that name.
    let selected = match verb {
        "list" | "watch" | "deletecollection" => query
            .get("fieldSelector")
            .and_then(|text| {
                text.split(',').find_map(|term| {
                    term.strip_prefix("metadata.name==")
                        .or_else(|| term.strip_prefix("metadata.name="))
                })
            })
            .map(str::to_owned),
        _ => None,
    };
    Attributes {
        verb: verb.to_owned(),
        group: path.group.clone(),
        resource: path.resource.clone(),
        subresource: path.subresource.clone().unwrap_or_default(),
        name: path.name.clone().or(selected).unwrap_or_default(),
        namespace: path
            .authorization_namespace()
            .unwrap_or_default()
            .to_owned(),
        path: None,
    }
}

/// The answer for a path below a group that serves nothing there.
fn nothing_there(path: &ResourcePath) -> ApiError {
    if Builtins::get().has_group(&path.group) {
        ApiError::no_such_path()
    } else {
        ApiError::page_not_found()
    }
}

fn resource(
    state: &mut State,
    request: &Request<'_>,
    path: &ResourcePath,
    query: &Query,
    user: &User,
    verb: &str,
    now: Timestamp,
) -> ApiResult<Reply> {
    let resource = state
        .resource(&path.group, &path.version, &path.resource)
        .ok_or_else(|| nothing_there(path))?;
    // A namespaced resource without a namespace can only be read as a whole, a
    // cluster-wide one has none.
    let misplaced = matches!(
        (resource.namespaced, &path.namespace, &path.name),
        (true, None, Some(_)) | (false, Some(_), _)
    );
    if misplaced || !path.rest.is_empty() && !subresource::takes_path(path) {
        return Err(nothing_there(path));
    }
    if resource.namespaced && path.namespace.is_none() && !matches!(verb, "list" | "watch") {
        return Err(ApiError::method_not_allowed());
    }
    let mut call = Call {
        resource: resource.clone(),
        path,
        query,
        headers: request.headers,
        body: request.body,
        user,
        accepted: Accepted::JSON,
        now,
        warnings: Vec::new(),
    };
    if let Some(custom) = &resource.custom {
        call.warnings.extend(custom.deprecation.clone());
    }
    if let Some(warning) = resource.builtin.and_then(crate::kinds::Kind::deprecation) {
        call.warnings.push(warning.to_owned());
    }
    if path.resource == "componentstatuses" {
        return Err(ApiError::no_such_path());
    }
    let prepared = call.warnings.clone();
    call.accepted = negotiate::accept(call.header("accept"))?;
    let result = dispatch(state, &mut call, verb);
    match result {
        Ok(Outcome::Watch(watch)) => Ok(Reply::Watch(watch)),
        Ok(Outcome::Answer(answer)) => finish(&call, answer),
        Err(error) => {
            let warnings = if call.warnings.is_empty() {
                prepared
            } else {
                call.warnings
            };
            Err(error.with_warnings(&warnings))
        }
    }
}

enum Outcome {
    Answer(Answer),
    Watch(Box<Watch>),
}

fn dispatch(state: &mut State, call: &mut Call<'_>, verb: &str) -> ApiResult<Outcome> {
    state_for(state, call);
    if let Some(sub) = call.path.subresource.clone() {
        return subresource::answer(state, call, &sub, verb).map(Outcome::Answer);
    }
    if review::is_review(&call.resource) {
        return match verb {
            "create" => review::create(state, call).map(Outcome::Answer),
            _ => Err(ApiError::method_not_allowed()),
        };
    }
    let allowed = match (verb, call.path.name.is_some()) {
        ("get" | "update" | "patch" | "delete" | "watch", true)
        | ("list" | "watch" | "create" | "deletecollection", false) => call.resource.has_verb(verb),
        _ => false,
    };
    if !allowed {
        return Err(ApiError::method_not_allowed());
    }
    let answer = match verb {
        "get" => read::get(state, call)?,
        "list" => read::list(state, call)?,
        "watch" => return Watch::start(state, call).map(|watch| Outcome::Watch(Box::new(watch))),
        "create" => write::create(state, call)?,
        "update" => write::update(state, call, Target::Main)?,
        "patch" => write::patch(state, call, Target::Main)?,
        "delete" => delete::delete(state, call)?,
        "deletecollection" => delete::delete_collection(state, call)?,
        _ => return Err(ApiError::method_not_allowed()),
    };
    Ok(Outcome::Answer(answer))
}

/// Makes what is made late.
fn state_for(state: &mut State, call: &Call<'_>) {
    if call.resource.group == "rbac.authorization.k8s.io" {
        state.ensure_roles();
    }
}

/// Puts an answer into the form that was asked for.
fn finish(call: &Call<'_>, answer: Answer) -> ApiResult<Reply> {
    let content_type = if call.accepted.yaml {
        "application/yaml"
    } else {
        "application/json"
    };
    let whole = |code: u16, content_type: &str, body: Vec<u8>| Reply::Whole {
        code,
        content_type: content_type.to_owned(),
        body,
        warnings: call.warnings.clone(),
        retry_after: None,
    };
    Ok(match answer {
        Answer::Text { code, body } => whole(code, "text/plain", body.into_bytes()),
        Answer::Json { code, body } if call.accepted.yaml => {
            let value: Value = serde_json::from_str(&body).unwrap_or_default();
            whole(
                code,
                content_type,
                gitops_core::yaml::to_yaml(&value).into_bytes(),
            )
        }
        Answer::Json { code, body } => whole(code, content_type, body.into_bytes()),
        Answer::Object { code, object } => {
            let list = object.get("items").is_some() || object["kind"] == "Table";
            let object = if list {
                object
            } else {
                read::object_in_form(call, object)
                    .map_err(|error| error.with_warnings(&call.warnings))?
            };
            if call.accepted.yaml {
                whole(
                    code,
                    content_type,
                    gitops_core::yaml::to_yaml(&object).into_bytes(),
                )
            } else {
                whole(code, content_type, line(&object))
            }
        }
    })
}

/// A JSON reply to something that isn't a resource.
pub(crate) fn json_reply(content_type: &str, value: &Value) -> Reply {
    Reply::Whole {
        code: 200,
        content_type: content_type.to_owned(),
        body: line(value),
        warnings: Vec::new(),
        retry_after: None,
    }
}

/// A reply in plain text.
pub(crate) fn text_reply(text: &str) -> Reply {
    Reply::Whole {
        code: 200,
        content_type: "text/plain; charset=utf-8".to_owned(),
        body: text.as_bytes().to_vec(),
        warnings: Vec::new(),
        retry_after: None,
    }
}
