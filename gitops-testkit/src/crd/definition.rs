//! What the server sets in a CustomResourceDefinition.

use serde_json::{Value, json};

use crate::kinds::value::{items, items_mut, member, object, set, set_default, text, unset};

/// Sets what a client left out of a definition: list kind, singular, conversion.
pub(crate) fn default_definition(obj: &mut Value) {
    let Some(spec) = object(obj, "spec") else {
        return;
    };
    if let Some(names) = object(spec, "names") {
        let kind = text(names, "kind").to_owned();
        if !kind.is_empty() {
            set_default(names, "singular", kind.to_lowercase());
            set_default(names, "listKind", format!("{kind}List"));
        }
    }
    if let Some(conversion) = object(spec, "conversion") {
        set_default(conversion, "strategy", "None");
        let service = member(conversion, "webhook")
            .and_then(|w| member(w, "clientConfig"))
            .and_then(|c| member(c, "service"));
        if let Some(service) = service {
            if unset(service, "port") {
                set(service, "port", 443);
            }
        }
    }
    for version in items_mut(spec, "versions") {
        for column in items_mut(version, "additionalPrinterColumns") {
            set_default(column, "type", "");
        }
    }
}

fn storage_version(obj: &Value) -> Option<&str> {
    items(&obj["spec"]["versions"])
        .iter()
        .find(|v| v["storage"] == true)
        .map(|v| text(v, "name"))
}

/// A new definition starts without conditions, with its storage version as the stored one.
pub(crate) fn prepare_create(obj: &mut Value) {
    let stored: Vec<&str> = storage_version(obj).into_iter().collect();
    let status = json!({"storedVersions": stored});
    set(obj, "status", status);
}

/// An update keeps the status; a new storage version joins the stored ones.
pub(crate) fn prepare_update(obj: &mut Value, _old: &Value) {
    let Some(storage) = storage_version(obj).map(str::to_owned) else {
        return;
    };
    let known = items(&obj["status"]["storedVersions"])
        .iter()
        .any(|v| *v == *storage);
    if known {
        return;
    }
    if let Some(status) = object(obj, "status") {
        let mut versions = items(&status["storedVersions"]).to_vec();
        versions.push(json!(storage));
        set(status, "storedVersions", Value::Array(versions));
    }
}

/// Checks a new definition.
pub(crate) fn validate_definition(_obj: &Value) -> Vec<crate::kinds::FieldError> {
    Vec::new()
}

/// Checks a changed definition.
pub(crate) fn validate_definition_update(
    _obj: &Value,
    _old: &Value,
) -> Vec<crate::kinds::FieldError> {
    Vec::new()
}
