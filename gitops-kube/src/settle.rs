//! Waiting until what was applied can carry what needs it.

use std::time::Duration;

use gitops_core::{ApplyError, Depth, GroupVersionKind, ObjectId, Wanted};
use serde_json::Value;
use tokio::time::Instant;

use crate::applier::{Inner, is_definition, kind_of};
use crate::failure::About;
use crate::observe::get;

/// The first pause between two looks; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Waits for all of them, one after the other: they settle side by side anyway.
pub(crate) async fn settle(
    inner: &Inner,
    objects: &[Wanted],
    timeout: Duration,
) -> Result<(), ApplyError> {
    let deadline = Instant::now() + timeout;
    for object in objects {
        if !(is_namespace(&object.id) || is_definition(&object.id)) {
            continue;
        }
        let mut pause = FIRST_PAUSE;
        loop {
            let state = tokio::time::timeout_at(deadline, state(inner, object)).await;
            let reason = match state {
                Ok(Ok(None)) => break,
                Ok(Ok(Some(reason))) => reason,
                // A busy server may have time again before ours is up.
                Ok(Err(error)) if error.is_retryable() => {
                    pause = pause.max(error.retry_after().unwrap_or_default());
                    error.to_string()
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => "no answer".to_owned(),
            };
            if Instant::now() + pause >= deadline {
                return Err(ApplyError::Unavailable {
                    what: object.id.to_string(),
                    reason: format!("not ready after {} s: {reason}", timeout.as_secs_f32()),
                    retry_after: None,
                    source: None,
                });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
    Ok(())
}

fn is_namespace(id: &ObjectId) -> bool {
    id.is("", "Namespace")
}

/// What is missing, or `None` if nothing is.
async fn state(inner: &Inner, object: &Wanted) -> Result<Option<String>, ApplyError> {
    let live = get(inner, &object.id, &object.version, Depth::Whole).await?;
    let Some(live) = live else {
        return Ok(Some("it does not exist".into()));
    };
    if live.terminating {
        return Ok(Some("it is being deleted".into()));
    }
    if is_namespace(&object.id) {
        let phase = live.object.pointer("/status/phase").and_then(Value::as_str);
        return Ok((phase != Some("Active"))
            .then(|| format!("its phase is {:?}", phase.unwrap_or_default())));
    }
    if let Some(reason) = not_established(&live.object) {
        return Ok(Some(reason));
    }
    for kind in served(&live.object) {
        let kind_of_it = kind_of(&object.id, &object.version);
        let about = About::new(&object.id, &kind_of_it);
        match inner.discovery.is_served(&inner.transport, &kind).await {
            Ok(true) => {}
            Ok(false) => return Ok(Some(format!("{kind} is not served yet"))),
            Err(failure) => return Err(about.error(failure)),
        }
    }
    Ok(None)
}

/// Why the definition is not established, from its conditions.
fn not_established(definition: &Value) -> Option<String> {
    let conditions = definition
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    let condition = |name: &str| {
        conditions
            .into_iter()
            .flatten()
            .find(|condition| condition.get("type").and_then(Value::as_str) == Some(name))
    };
    let member = |condition: &Value, name: &str| {
        let text = condition.get(name).and_then(Value::as_str);
        crate::transport::one_line(text.unwrap_or_default(), 300)
    };
    if condition("Established").is_some_and(|found| member(found, "status") == "True") {
        return None;
    }
    // Names that are taken are why it is not established, if they are.
    let told = condition("NamesAccepted")
        .filter(|found| member(found, "status") == "False")
        .or_else(|| condition("Established"));
    Some(match told {
        Some(told) => format!(
            "{} is {} ({}: {})",
            member(told, "type"),
            member(told, "status"),
            member(told, "reason"),
            member(told, "message")
        ),
        None => "it has no condition Established".into(),
    })
}

/// The kinds that the definition serves.
fn served(definition: &Value) -> Vec<GroupVersionKind> {
    let text = |pointer: &str| {
        let text = definition.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let versions = definition
        .pointer("/spec/versions")
        .and_then(Value::as_array);
    versions
        .into_iter()
        .flatten()
        .filter(|version| version.get("served").and_then(Value::as_bool) == Some(true))
        .filter_map(|version| version.get("name")?.as_str())
        .map(|version| GroupVersionKind {
            group: text("/spec/group"),
            version: version.to_owned(),
            kind: text("/spec/names/kind"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn why_a_definition_is_not_established_is_told() {
        let with = |conditions: Value| json!({"status": {"conditions": conditions}});
        for (conditions, says) in [
            (json!([{"type": "Established", "status": "True"}]), None),
            (json!([]), Some("no condition Established")),
            (
                json!([
                    {"type": "Established", "status": "False", "reason": "NotAccepted", "message": "not all names are accepted"},
                    {"type": "NamesAccepted", "status": "False", "reason": "PluralConflict", "message": "\"x\" is already in use"},
                ]),
                Some("NamesAccepted is False (PluralConflict: \"x\" is already in use)"),
            ),
        ] {
            let reason = not_established(&with(conditions));
            match says {
                None => assert_eq!(reason, None),
                Some(says) => assert!(
                    reason.as_ref().is_some_and(|is| is.contains(says)),
                    "{reason:?}"
                ),
            }
        }
    }

    #[test]
    fn only_served_versions_are_waited_for() {
        let definition = json!({"spec": {"group": "example.com", "names": {"kind": "Widget"}, "versions": [
            {"name": "v1", "served": true}, {"name": "v1alpha1", "served": false}, {"name": "v2"},
        ]}});
        let kinds = served(&definition);
        assert_eq!(kinds.len(), 1);
        assert_eq!(kinds[0].to_string(), "example.com/v1 Widget");
    }
}
