//! The cluster's own controllers: namespaces finish deleting, dependents of what is gone
//! are collected, Deployments roll out.
//!
//! They run after each write, to the end, in an order that is always the same: the next
//! request sees their work done.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::call::{finalizers, meta_text, metadata_mut};
use super::clock::seconds;
use super::convert;
use super::custom_objects::set_condition;
use super::delete;
use super::options::DeleteOptions;
use super::ownership;
use super::registry::{Builtins, Resource};
use super::state::{State, namespaces};
use super::store::object_key;

/// How often the controllers may wake each other; more is a circle.
const ROUNDS: usize = 1000;

const MANAGER: &str = "kube-controller-manager";

/// An object and where it is.
struct Found {
    resource: std::sync::Arc<Resource>,
    key: String,
    object: Value,
}

impl Found {
    fn namespace(&self) -> Option<&str> {
        Some(meta_text(&self.object, "namespace")).filter(|n| !n.is_empty())
    }

    fn name(&self) -> &str {
        meta_text(&self.object, "name")
    }

    fn uid(&self) -> &str {
        meta_text(&self.object, "uid")
    }

    fn is_terminating(&self) -> bool {
        !meta_text(&self.object, "deletionTimestamp").is_empty()
    }
}

/// Lets the controllers work until there is nothing left to do.
pub(crate) fn run(state: &mut State) {
    for _ in 0..ROUNDS {
        if state.store.take_touched().is_empty() {
            return;
        }
        roll_out_deployments(state);
        collect_garbage(state);
        finish_namespaces(state);
    }
    tracing::warn!("the controllers don't come to rest");
}

fn everything(state: &State) -> Vec<Found> {
    let mut found = Vec::new();
    for resource in state.preferred_resources() {
        for (key, stored) in state.store.list(&resource.storage, None) {
            found.push(Found {
                resource: resource.clone(),
                key: key.to_string(),
                object: state.load(&resource, stored),
            });
        }
    }
    found
}

fn delete_object(state: &mut State, found: &Found, propagation: Option<&str>) {
    let options = DeleteOptions {
        // Nobody runs pods here, so nobody would end them.
        grace_period: Some(0),
        uid: Some(found.uid().to_owned()),
        propagation: propagation.map(str::to_owned),
        ..DeleteOptions::default()
    };
    let now = state.now();
    delete::delete_quietly(
        state,
        &found.resource,
        found.namespace(),
        found.name(),
        &options,
        now,
    );
}

/// Takes a finalizer off, and the object away if it was the last.
fn finish(state: &mut State, found: &Found, finalizer: &str) {
    let mut left = finalizers(&found.object);
    left.retain(|f| f != finalizer);
    let mut object = found.object.clone();
    if left.is_empty() {
        metadata_mut(&mut object).remove("finalizers");
    } else {
        metadata_mut(&mut object).insert("finalizers".to_owned(), json!(left));
    }
    if delete::emptied(&found.resource, &object, &found.object) {
        delete::remove(state, &found.resource, found.namespace(), &found.key);
    } else {
        let mut stored = convert::to_storage(&found.resource, object);
        state
            .store
            .put(&found.resource.storage, &found.key, &mut stored);
    }
}

fn owners(object: &Value) -> Vec<&Value> {
    object
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .collect()
}

/// The garbage collector: absent owners, foreground and orphaning deletion.
fn collect_garbage(state: &mut State) {
    let all = everything(state);
    let known: BTreeSet<(String, String)> = all
        .iter()
        .map(|found| {
            (
                found.uid().to_owned(),
                found.namespace().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    let is_there = |uid: &str, namespace: &str| {
        let here = (uid.to_owned(), namespace.to_owned());
        let anywhere = (uid.to_owned(), String::new());
        known.contains(&here) || known.contains(&anywhere)
    };
    for owner in all.iter().filter(|found| found.is_terminating()) {
        let had = finalizers(&owner.object);
        let dependents: Vec<&Found> = all
            .iter()
            .filter(|found| {
                owners(&found.object)
                    .iter()
                    .any(|o| o["uid"] == owner.uid())
            })
            .collect();
        if had.iter().any(|f| f == "orphan") {
            for dependent in dependents {
                let mut object = dependent.object.clone();
                let left: Vec<Value> = owners(&object)
                    .into_iter()
                    .filter(|o| o["uid"] != owner.uid())
                    .cloned()
                    .collect();
                let meta = metadata_mut(&mut object);
                if left.is_empty() {
                    meta.remove("ownerReferences");
                } else {
                    meta.insert("ownerReferences".to_owned(), json!(left));
                }
                let mut stored = convert::to_storage(&dependent.resource, object);
                state
                    .store
                    .put(&dependent.resource.storage, &dependent.key, &mut stored);
            }
            finish(state, owner, "orphan");
        } else if had.iter().any(|f| f == "foregroundDeletion") {
            let blocking = dependents.iter().any(|d| {
                owners(&d.object)
                    .iter()
                    .any(|o| o["uid"] == owner.uid() && o["blockOwnerDeletion"] == true)
            });
            for dependent in dependents.iter().filter(|d| !d.is_terminating()) {
                delete_object(state, dependent, Some("Foreground"));
            }
            if !blocking {
                finish(state, owner, "foregroundDeletion");
            }
        }
    }
    for found in &all {
        let owners = owners(&found.object);
        let namespace = found.namespace().unwrap_or_default();
        let orphaned = !owners.is_empty()
            && !owners.iter().any(|o| {
                o["uid"]
                    .as_str()
                    .is_some_and(|uid| is_there(uid, namespace))
            });
        if orphaned && !found.is_terminating() {
            delete_object(state, found, Some("Background"));
        }
    }
}

/// Empties namespaces that are being deleted, and lets them go.
fn finish_namespaces(state: &mut State) {
    let Some(resource) = Builtins::get().find("", "v1", "namespaces").cloned() else {
        return;
    };
    let terminating: Vec<(String, Value)> = state
        .store
        .list(&namespaces(), None)
        .into_iter()
        .map(|(key, stored)| (key.to_string(), state.load(&resource, stored)))
        .filter(|(_, namespace)| !meta_text(namespace, "deletionTimestamp").is_empty())
        .collect();
    for (name, namespace) in terminating {
        let inside: Vec<Found> = everything(state)
            .into_iter()
            .filter(|found| found.namespace() == Some(name.as_str()))
            .collect();
        for found in inside.iter().filter(|found| !found.is_terminating()) {
            delete_object(state, found, Some("Background"));
        }
        let left = everything(state)
            .iter()
            .any(|found| found.namespace() == Some(name.as_str()));
        if left {
            continue;
        }
        let mut object = namespace.clone();
        if let Some(list) = object
            .pointer_mut("/spec/finalizers")
            .and_then(Value::as_array_mut)
        {
            list.retain(|f| f != "kubernetes");
            if list.is_empty() {
                object["spec"] = json!({});
            }
        }
        if delete::emptied(&resource, &object, &namespace) {
            delete::remove(state, &resource, None, &name);
        } else if object != namespace {
            let mut stored = convert::to_storage(&resource, object);
            state.store.put(&namespaces(), &name, &mut stored);
        }
    }
}

/// Makes every Deployment available: its status says that all replicas are.
fn roll_out_deployments(state: &mut State) {
    let Some(resource) = Builtins::get().find("apps", "v1", "deployments").cloned() else {
        return;
    };
    let now = state.now();
    let all: Vec<Value> = state
        .store
        .list(&resource.storage, None)
        .into_iter()
        .map(|(_, stored)| state.load(&resource, stored))
        .collect();
    for live in all {
        let generation = live
            .pointer("/metadata/generation")
            .and_then(Value::as_i64)
            .unwrap_or(0);
        let paused = live.pointer("/spec/paused") == Some(&Value::Bool(true));
        let observed = live
            .pointer("/status/observedGeneration")
            .and_then(Value::as_i64)
            .unwrap_or(0);
        if observed >= generation || !meta_text(&live, "deletionTimestamp").is_empty() {
            continue;
        }
        let replicas = live
            .pointer("/spec/replicas")
            .and_then(Value::as_i64)
            .unwrap_or(1);
        let mut object = live.clone();
        object["status"]["observedGeneration"] = json!(generation);
        if !paused {
            for key in [
                "replicas",
                "updatedReplicas",
                "readyReplicas",
                "availableReplicas",
            ] {
                if replicas == 0 {
                    if let Some(status) = object["status"].as_object_mut() {
                        status.remove(key);
                    }
                } else {
                    object["status"][key] = json!(replicas);
                }
            }
            set_condition(
                &mut object,
                "Available",
                "True",
                "MinimumReplicasAvailable",
                "Deployment has minimum availability.",
                now,
            );
            let name = meta_text(&live, "name");
            let message = format!("Deployment {name:?} has successfully progressed.");
            set_condition(
                &mut object,
                "Progressing",
                "True",
                "NewReplicaSetAvailable",
                &message,
                now,
            );
            for condition in object["status"]["conditions"]
                .as_array_mut()
                .into_iter()
                .flatten()
            {
                condition["lastUpdateTime"] = json!(seconds(now));
            }
        }
        let key = object_key(
            Some(meta_text(&live, "namespace")),
            meta_text(&live, "name"),
        );
        match ownership::track_own(&resource, "status", &live, object, MANAGER, now) {
            Ok(object) => {
                let mut stored = convert::to_storage(&resource, object);
                state.store.put(&resource.storage, &key, &mut stored);
            }
            Err(error) => tracing::warn!(
                error = error.message,
                "a Deployment's status was not written"
            ),
        }
    }
}
