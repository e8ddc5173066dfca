//! What a delivery is about, as far as it helps not to wake somebody.

use http::HeaderMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Sender;

/// What a delivery tells.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Nothing that moves a ref: a ping, an event of another kind.
    Nothing,
    /// Something moved, or may have.
    Something,
    /// These refs moved, each by its full name.
    Moved(Vec<String>),
}

/// Reads what a sender sends; none where it is something else.
pub(crate) fn read(sender: Sender, headers: &HeaderMap, body: &[u8]) -> Option<Told> {
    let event = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match sender {
        Sender::GitHub => hub(event("x-github-event")?, body),
        Sender::Gitea => hub(
            event("x-forgejo-event").or_else(|| event("x-gitea-event"))?,
            body,
        ),
        Sender::GitLab => match event("x-gitlab-event")? {
            "Push Hook" | "Tag Push Hook" | "System Hook" => {
                let push: Push = json(body)?;
                Some(push.reference.map_or(Told::Something, one))
            }
            _ => json::<Anything>(body).map(|_| Told::Nothing),
        },
        Sender::BitbucketCloud => match event("x-event-key")? {
            "repo:push" => {
                let push: CloudPush = json(body)?;
                let sides = push.push.changes.into_iter().flat_map(|c| [c.new, c.old]);
                Some(moved(sides.flatten().filter_map(CloudRef::full_name)))
            }
            _ => json::<Anything>(body).map(|_| Told::Nothing),
        },
        Sender::BitbucketServer => match event("x-event-key")? {
            "repo:refs_changed" => {
                let push: ServerPush = json(body)?;
                Some(moved(
                    push.changes.into_iter().map(|change| change.reference.id),
                ))
            }
            "diagnostics:ping" => Some(Told::Nothing),
            _ => json::<Anything>(body).map(|_| Told::Nothing),
        },
        Sender::AzureDevOps => {
            let event: AzureEvent = json(body)?;
            if event.event_type != "git.push" {
                return Some(Told::Nothing);
            }
            let updates = event.resource.and_then(|resource| resource.ref_updates);
            Some(moved(
                updates.into_iter().flatten().map(|update| update.name),
            ))
        }
        Sender::Generic => Some(Told::Something),
    }
}

/// GitHub, and those that do as it does.
fn hub(event: &str, body: &[u8]) -> Option<Told> {
    match event {
        "push" => {
            let push: Push = json(body)?;
            Some(push.reference.map_or(Told::Something, one))
        }
        "create" | "delete" => {
            let change: Created = json(body)?;
            let folder = match change.ref_type.as_deref() {
                Some("branch") => "refs/heads/",
                Some("tag") => "refs/tags/",
                _ => return Some(Told::Something),
            };
            Some(one(format!("{folder}{}", change.reference)))
        }
        _ => json::<Anything>(body).map(|_| Told::Nothing),
    }
}

fn one(reference: String) -> Told {
    Told::Moved(vec![reference])
}

fn moved(references: impl Iterator<Item = String>) -> Told {
    let references: Vec<_> = references.collect();
    match references.is_empty() {
        true => Told::Something,
        false => Told::Moved(references),
    }
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}

/// Any JSON object.
#[derive(Deserialize)]
struct Anything {}

#[derive(Deserialize)]
struct Push {
    #[serde(rename = "ref")]
    reference: Option<String>,
}

#[derive(Deserialize)]
struct Created {
    #[serde(rename = "ref")]
    reference: String,
    ref_type: Option<String>,
}

#[derive(Deserialize)]
struct CloudPush {
    push: CloudChanges,
}

#[derive(Deserialize)]
struct CloudChanges {
    changes: Vec<CloudChange>,
}

#[derive(Deserialize)]
struct CloudChange {
    new: Option<CloudRef>,
    old: Option<CloudRef>,
}

#[derive(Deserialize)]
struct CloudRef {
    #[serde(rename = "type")]
    kind: String,
    name: String,
}

impl CloudRef {
    fn full_name(self) -> Option<String> {
        let folder = match self.kind.as_str() {
            "branch" | "named_branch" => "refs/heads/",
            "tag" | "annotated_tag" => "refs/tags/",
            _ => return None,
        };
        Some(format!("{folder}{}", self.name))
    }
}

#[derive(Deserialize)]
struct ServerPush {
    changes: Vec<ServerChange>,
}

#[derive(Deserialize)]
struct ServerChange {
    #[serde(rename = "ref")]
    reference: ServerRef,
}

#[derive(Deserialize)]
struct ServerRef {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AzureEvent {
    event_type: String,
    resource: Option<AzureResource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AzureResource {
    ref_updates: Option<Vec<AzureUpdate>>,
}

#[derive(Deserialize)]
struct AzureUpdate {
    name: String,
}
