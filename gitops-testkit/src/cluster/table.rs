//! Lists as tables, for people.

use serde_json::{Value, json};

use super::call::Call;
use super::read::partial;
use super::state::State;
use super::status::{ApiError, ApiResult};

/// What a row says of its object.
#[derive(Clone, Copy, PartialEq)]
enum Include {
    Metadata,
    Object,
    None,
}

/// `objects` as a Table.
pub(crate) fn table(
    _state: &State,
    call: &Call<'_>,
    objects: &[Value],
    meta: Value,
    columns: bool,
) -> ApiResult<Value> {
    let include = match call.query.get("includeObject") {
        None | Some("" | "Metadata") => Include::Metadata,
        Some("Object") => Include::Object,
        Some("None") => Include::None,
        Some(other) => {
            return Err(ApiError::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: must be 'Metadata', 'Object', 'None', or empty"
            )));
        }
    };
    let definitions = json!([{"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}]);
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let shown = match include {
                Include::Metadata => partial(object, call.accepted.meta_version()),
                Include::Object => object.clone(),
                Include::None => Value::Null,
            };
            json!({"cells": [object["metadata"]["name"]], "object": shown})
        })
        .collect();
    Ok(json!({
        "kind": "Table", "apiVersion": call.accepted.meta_version(), "metadata": meta,
        "columnDefinitions": if columns { definitions } else { Value::Null },
        "rows": rows,
    }))
}
