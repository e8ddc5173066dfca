//! Between the form in which objects are stored and the versions in which they are served.

use serde_json::{Map, Value, json};

use super::registry::Resource;

/// An object out of the store, as `resource` shows it.
pub(crate) fn from_storage(resource: &Resource, stored: Value) -> Value {
    let Value::Object(mut object) = stored else {
        return stored;
    };
    if let Some(custom) = &resource.custom {
        object.insert("apiVersion".to_owned(), json!(resource.api_version()));
        object.insert("kind".to_owned(), json!(resource.kind));
        let mut object = Value::Object(object);
        super::custom_objects::on_read(custom, &mut object);
        return object;
    }
    if resource.group == "events.k8s.io" {
        rename(&mut object, &EVENT_FIELDS, Direction::ToNew);
    }
    if resource.is("autoscaling", "horizontalpodautoscalers") && resource.version == "v1" {
        super::autoscaling::to_v1(&mut object);
    }
    object.insert("apiVersion".to_owned(), json!(resource.api_version()));
    object.insert("kind".to_owned(), json!(resource.kind));
    let mut object = Value::Object(object);
    if let Some(kind) = resource.builtin.filter(|_| has_views(resource)) {
        crate::kinds::normalize(kind, &mut object);
    }
    object
}

/// Whether a resource is one of several views of what is stored.
fn has_views(resource: &Resource) -> bool {
    resource.plural == "events" || resource.is("autoscaling", "horizontalpodautoscalers")
}

/// An object as it is stored.
pub(crate) fn to_storage(resource: &Resource, mut object: Value) -> Value {
    if let Some(custom) = &resource.custom {
        object["apiVersion"] = json!(format!("{}/{}", resource.group, custom.storage_version));
        return object;
    }
    if let Some(map) = object.as_object_mut() {
        map.remove("apiVersion");
        map.remove("kind");
        if resource.group == "events.k8s.io" {
            rename(map, &EVENT_FIELDS, Direction::ToOld);
        }
        if resource.is("autoscaling", "horizontalpodautoscalers") && resource.version == "v1" {
            super::autoscaling::from_v1(map);
        }
    }
    object
}

/// The names of an Event's fields in the core group and in `events.k8s.io`.
const EVENT_FIELDS: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    ToNew,
    ToOld,
}

fn rename(object: &mut Map<String, Value>, names: &[(&str, &str)], direction: Direction) {
    for (old, new) in names {
        let (from, to) = match direction {
            Direction::ToNew => (old, new),
            Direction::ToOld => (new, old),
        };
        if let Some(value) = object.remove(*from) {
            object.insert((*to).to_owned(), value);
        }
    }
}
