//! Get and list.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::call::{Answer, Call};
use super::negotiate::Form;
use super::options::{ListOptions, VersionMatch, get_version};
use super::registry::Resource;
use super::selectors::{FieldSelector, LabelSelector, SelectableFields};
use super::state::State;
use super::status::{ApiError, ApiResult};
use super::table;

/// What a list, a watch or a deletecollection selects.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    pub(crate) labels: LabelSelector,
    pub(crate) fields: FieldSelector,
}

impl Selection {
    pub(crate) fn read(call: &Call<'_>) -> ApiResult<Self> {
        let labels = LabelSelector::parse(call.query.get("labelSelector").unwrap_or_default())?;
        let resource = &call.resource;
        let supported = match &resource.custom {
            Some(custom) => SelectableFields::custom(custom.selectable_fields()),
            None => SelectableFields::builtin(&resource.group, &resource.kind, resource.namespaced),
        };
        let fields = FieldSelector::parse(
            call.query.get("fieldSelector").unwrap_or_default(),
            &supported,
        )?;
        Ok(Self { labels, fields })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.labels.matches(object.pointer("/metadata/labels")) && self.fields.matches(object)
    }
}

/// `GET` of an object.
pub(crate) fn get(state: &mut State, call: &mut Call<'_>) -> ApiResult<Answer> {
    check_version(state, get_version(call.query)?)?;
    let resource = call.resource.clone();
    let stored = state
        .find(&resource, call.namespace(), call.name())
        .ok_or_else(|| call.not_found())?;
    Ok(Answer::ok(state.load(&resource, &stored)))
}

/// Refuses a version that the store has not reached.
pub(crate) fn check_version(state: &State, asked: u64) -> ApiResult<()> {
    let current = state.store.resource_version();
    if asked > current {
        return Err(ApiError::too_large_resource_version(asked, current));
    }
    Ok(())
}

/// What a list says about itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page {
    pub(crate) version: u64,
    pub(crate) continue_token: Option<String>,
    pub(crate) remaining: Option<usize>,
}

/// Where the next page begins.
#[derive(Debug)]
struct Token {
    /// `None` goes on with what there is now.
    version: Option<u64>,
    after: String,
}

impl Token {
    fn write(&self) -> String {
        let version = self
            .version
            .map_or(-1, |v| i64::try_from(v).unwrap_or(i64::MAX));
        let text =
            json!({"v": "meta.k8s.io/v1", "rv": version, "start": format!("{}\0", self.after)});
        URL_SAFE_NO_PAD.encode(text.to_string())
    }

    fn read(text: &str) -> ApiResult<Self> {
        let bad = |why: &str| {
            ApiError::bad_request(format!(
                "invalid continue token: continue key is not valid: {why}"
            ))
        };
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| bad("illegal base64 data"))?;
        let token: Value =
            serde_json::from_slice(&bytes).map_err(|_| bad("not a token of this server"))?;
        if token["v"] != "meta.k8s.io/v1" {
            return Err(bad("server does not recognize this encoded version"));
        }
        let version = token.get("rv").and_then(Value::as_i64).unwrap_or(0);
        let start = token
            .get("start")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if version == 0 || start.is_empty() {
            return Err(bad("incorrect encoded start resourceVersion"));
        }
        Ok(Self {
            version: u64::try_from(version).ok(),
            after: start.trim_end_matches('\0').to_owned(),
        })
    }
}

const EXPIRED_TOKEN: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

/// `GET` of a collection.
pub(crate) fn list(state: &mut State, call: &mut Call<'_>) -> ApiResult<Answer> {
    let options = ListOptions::read(call.query)?;
    let selection = Selection::read(call)?;
    let resource = call.resource.clone();
    let current = state.store.resource_version();
    let token = options
        .continue_token
        .as_deref()
        .map(Token::read)
        .transpose()?;
    let mut version = match options.version {
        VersionMatch::Exact(version) => {
            check_version(state, version)?;
            Some(version)
        }
        VersionMatch::NotOlderThan(version) => {
            check_version(state, version)?;
            None
        }
        VersionMatch::Latest => None,
    };
    if let Some(token) = &token {
        version = token.version;
    }
    let objects: Vec<(String, Value)> = match version {
        Some(version) if version < current => {
            let Some(list) = state
                .store
                .list_at(&resource.storage, call.namespace(), version)
            else {
                return Err(expired(token.as_ref()));
            };
            list.into_iter()
                .map(|(key, stored)| (key.to_string(), state.load(&resource, &stored)))
                .collect()
        }
        _ => {
            if selection.is_empty()
                && options.limit == 0
                && token.is_none()
                && call.accepted.form == Form::Object
                && !resource.is_custom()
                && plain(&resource)
            {
                return Ok(raw_list(state, call, &resource, current));
            }
            state
                .store
                .list(&resource.storage, call.namespace())
                .into_iter()
                .map(|(key, stored)| (key.to_string(), state.load(&resource, stored)))
                .collect()
        }
    };
    let mut items = Vec::new();
    let mut page = Page {
        version: version.unwrap_or(current),
        ..Page::default()
    };
    let mut last = String::new();
    let selected: Vec<(String, Value)> = objects
        .into_iter()
        .filter(|(key, _)| token.as_ref().is_none_or(|t| *key > t.after))
        .filter(|(_, object)| selection.matches(object))
        .collect();
    let total = selected.len();
    for (key, object) in selected {
        if options.limit > 0 && items.len() == options.limit {
            page.continue_token = Some(
                Token {
                    version: Some(page.version),
                    after: last.clone(),
                }
                .write(),
            );
            if selection.is_empty() {
                page.remaining = Some(total - items.len());
            }
            break;
        }
        last = key;
        items.push(object);
    }
    list_answer(state, call, items, &page)
}

/// Whether objects are served as they are stored.
fn plain(resource: &Resource) -> bool {
    resource.group != "events.k8s.io" && !resource.is("autoscaling", "horizontalpodautoscalers")
}

fn expired(token: Option<&Token>) -> ApiError {
    match token {
        None => ApiError::new(
            410,
            "Expired",
            "The resourceVersion for the provided list is too old.",
        ),
        Some(token) => {
            let mut error = ApiError::new(410, "Expired", EXPIRED_TOKEN);
            let mut status = error.to_status();
            let again = Token {
                version: None,
                after: token.after.clone(),
            };
            status["metadata"]["continue"] = json!(again.write());
            error.status = Some(status);
            error
        }
    }
}

/// A whole list without looking into its objects.
fn raw_list(state: &State, call: &Call<'_>, resource: &Resource, version: u64) -> Answer {
    let objects = state.store.list(&resource.storage, call.namespace());
    let mut body = format!(
        "{{\"kind\":\"{}\",\"apiVersion\":\"{}\",\"metadata\":{{\"resourceVersion\":\"{version}\"}},\"items\":[",
        resource.list_kind,
        resource.api_version()
    );
    body.reserve(
        objects
            .iter()
            .map(|(_, stored)| stored.json().len() + 1)
            .sum(),
    );
    for (at, (_, stored)) in objects.into_iter().enumerate() {
        if at > 0 {
            body.push(',');
        }
        body.push_str(stored.json());
    }
    body.push_str("]}\n");
    Answer::Json { code: 200, body }
}

/// A list in the form that was asked for.
pub(crate) fn list_answer(
    state: &State,
    call: &Call<'_>,
    items: Vec<Value>,
    page: &Page,
) -> ApiResult<Answer> {
    let resource = &call.resource;
    let version = if page.version == 0 {
        state.store.resource_version()
    } else {
        page.version
    };
    let mut meta = Map::new();
    meta.insert("resourceVersion".to_owned(), json!(version.to_string()));
    if let Some(token) = &page.continue_token {
        meta.insert("continue".to_owned(), json!(token));
    }
    if let Some(remaining) = page.remaining {
        meta.insert("remainingItemCount".to_owned(), json!(remaining));
    }
    let object = match call.accepted.form {
        Form::Object => {
            let items: Vec<Value> = if resource.is_custom() {
                meta.entry("continue".to_owned())
                    .or_insert_with(|| json!(""));
                items
            } else {
                items.into_iter().map(without_type).collect()
            };
            json!({
                "kind": resource.list_kind, "apiVersion": resource.api_version(),
                "metadata": meta, "items": items,
            })
        }
        Form::PartialList => {
            let items: Vec<Value> = items
                .iter()
                .map(|item| partial(item, call.accepted.meta_version()))
                .collect();
            json!({
                "kind": "PartialObjectMetadataList", "apiVersion": call.accepted.meta_version(),
                "metadata": meta, "items": if items.is_empty() { Value::Null } else { json!(items) },
            })
        }
        Form::Table => table::table(call, &items, Value::Object(meta), true)?,
        Form::Partial => {
            return Err(ApiError::new(
                406,
                "NotAcceptable",
                format!(
                    "you requested PartialObjectMetadata, but the requested object is a list (*{})",
                    go_type(resource, true)
                ),
            ));
        }
    };
    Ok(Answer::ok(object))
}

/// An object in the form that was asked for.
pub(crate) fn object_in_form(call: &Call<'_>, object: Value) -> ApiResult<Value> {
    if object["kind"] == "Status" {
        return Ok(object);
    }
    match call.accepted.form {
        Form::Object => Ok(object),
        Form::Partial => Ok(partial(&object, call.accepted.meta_version())),
        Form::Table => {
            let version = object.pointer("/metadata/resourceVersion").cloned();
            let meta = match version {
                Some(version) => json!({"resourceVersion": version}),
                None => json!({}),
            };
            table::table(call, &[object], meta, true)
        }
        Form::PartialList => Err(ApiError::new(
            406,
            "NotAcceptable",
            format!(
                "you requested PartialObjectMetadataList, but the requested object is not a list (*{})",
                go_type(&call.resource, false)
            ),
        )),
    }
}

/// The name of a kind's internal Go type.
fn go_type(resource: &Resource, list: bool) -> String {
    if resource.is_custom() {
        return if list {
            "unstructured.UnstructuredList"
        } else {
            "unstructured.Unstructured"
        }
        .to_owned();
    }
    let package = match resource.group.split('.').next().unwrap_or_default() {
        "" => "core",
        "events" => "core",
        other => other,
    };
    let kind = if list {
        &resource.list_kind
    } else {
        &resource.kind
    };
    format!("{package}.{kind}")
}

pub(crate) fn without_type(mut object: Value) -> Value {
    if let Some(map) = object.as_object_mut() {
        map.remove("apiVersion");
        map.remove("kind");
    }
    object
}

/// The metadata of an object as `PartialObjectMetadata`.
pub(crate) fn partial(object: &Value, api_version: &str) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": api_version,
        "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({})),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_text() {
        let token = Token {
            version: Some(7),
            after: "ns/a".to_owned(),
        };
        let back = Token::read(&token.write()).unwrap();
        assert_eq!((back.version, back.after.as_str()), (Some(7), "ns/a"));
        assert_eq!(Token::read("rubbish").unwrap_err().code, 400);
        let loose = Token {
            version: None,
            after: "a".to_owned(),
        };
        assert_eq!(Token::read(&loose.write()).unwrap().version, None);
    }
}
