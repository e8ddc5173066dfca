//! Lists as tables, for people.

use serde_json::{Value, json};

use super::call::Call;
use super::read::partial;
use super::status::{ApiError, ApiResult};
use crate::{crd, kinds};

/// What a row says of its object.
#[derive(Clone, Copy, PartialEq)]
enum Include {
    Metadata,
    Object,
    None,
}

/// `objects` as a Table.
pub(crate) fn table(
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
    let resource = &call.resource;
    let now = call.now;
    let definitions = match &resource.custom {
        Some(custom) => crd::columns(&custom.version),
        None => kinds::table_columns(resource.builtin),
    };
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let cells = match &resource.custom {
                Some(custom) => crd::cells(&custom.version, object, now),
                None => kinds::table_cells(resource.builtin, object, now),
            };
            let shown = match include {
                Include::Metadata => partial(object, call.accepted.meta_version()),
                Include::Object => object.clone(),
                Include::None => Value::Null,
            };
            json!({"cells": cells, "object": shown})
        })
        .collect();
    Ok(json!({
        "kind": "Table", "apiVersion": call.accepted.meta_version(), "metadata": meta,
        "columnDefinitions": if columns { definitions } else { Value::Null },
        "rows": rows,
    }))
}
