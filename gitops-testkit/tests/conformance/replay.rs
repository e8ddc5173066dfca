//! Sending the requests of a scenario.

use std::collections::BTreeMap;
use std::time::Duration;

use gitops_testkit::cluster::{ClusterService, FakeCluster};
use http_body_util::{BodyExt as _, Full};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::matching::{
    Bindings, compare, contains, edit, order_managed_fields, remove, sort_unordered,
};

const TOKEN: &str = "replay";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Scenario {
    #[serde(default)]
    setup: Vec<Step>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    request: Request,
    #[serde(default)]
    capture: BTreeMap<String, String>,
    poll: Option<Poll>,
    #[serde(default, rename = "match")]
    matching: Option<String>,
    #[serde(default)]
    ignore: Vec<String>,
    #[serde(default)]
    unordered: Vec<String>,
    response: Expected,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    method: String,
    path: String,
    #[serde(default)]
    query: BTreeMap<String, Value>,
    #[serde(default)]
    headers: BTreeMap<String, Value>,
    /// As text: the order of members counts.
    body: Option<Box<serde_json::value::RawValue>>,
    raw_body: Option<String>,
    body_from: Option<BodyFrom>,
}

#[derive(Deserialize)]
struct BodyFrom {
    var: String,
    #[serde(default)]
    patch: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Poll {
    status: Option<u16>,
    until: Option<Value>,
    timeout_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Expected {
    status: u16,
    content_type: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
    body: Option<Value>,
    text: Option<String>,
    events: Option<Value>,
}

/// What came of a scenario: for each step, what differs.
pub(crate) struct Outcome {
    pub(crate) steps: Vec<Vec<String>>,
}

struct Answer {
    status: u16,
    content_type: String,
    warnings: Vec<String>,
    body: Value,
    text: String,
    watch: bool,
}

struct Player {
    service: ClusterService,
    variables: BTreeMap<String, Value>,
    bindings: Bindings,
}

/// Runs a scenario on a cluster of its own.
pub(crate) async fn run(scenario: &Scenario) -> Outcome {
    let cluster = FakeCluster::builder().token(TOKEN).build();
    let id = "xbcdfghj";
    let variables = [
        ("id", id.to_owned()),
        ("ns", format!("ns1-{id}")),
        ("ns2", format!("ns2-{id}")),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), Value::String(value)))
    .collect();
    let mut player = Player {
        service: cluster.outside_service(),
        variables,
        bindings: Bindings::default(),
    };
    for step in &scenario.setup {
        let problems = player.play(step, true).await;
        if !problems.is_empty() {
            let told = vec![format!("setup: {}", problems.join("; "))];
            return Outcome {
                steps: scenario.steps.iter().map(|_| told.clone()).collect(),
            };
        }
    }
    let mut steps = Vec::new();
    for step in &scenario.steps {
        steps.push(player.play(step, false).await);
    }
    Outcome { steps }
}

impl Player {
    /// Replaces variables; `Err` names one that isn't known.
    fn fill_text(&self, text: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(start) = rest.find("{{") {
            let Some(end) = rest[start..].find("}}") else {
                break;
            };
            let name = &rest[start + 2..start + end];
            out.push_str(&rest[..start]);
            match self.variables.get(name) {
                Some(Value::String(value)) => out.push_str(value),
                Some(other) => out.push_str(&other.to_string()),
                None => return Err(format!("unresolved variable {name}")),
            }
            rest = &rest[start + end + 2..];
        }
        out.push_str(rest);
        Ok(out)
    }

    /// Replaces variables in JSON text, where they stand within strings.
    fn fill_json(&self, text: &str) -> Result<String, String> {
        let mut text = text.to_owned();
        for (name, value) in &self.variables {
            let hole = format!("{{{{{name}}}}}");
            if let Value::String(inner) = value {
                let quoted = Value::String(inner.clone()).to_string();
                text = text.replace(&hole, &quoted[1..quoted.len() - 1]);
            } else {
                text = text.replace(&format!("\"{hole}\""), &value.to_string());
            }
        }
        self.fill_text(&text)
    }

    fn fill(&self, value: &Value) -> Result<Value, String> {
        Ok(match value {
            Value::String(text) => {
                let whole = text.strip_prefix("{{").and_then(|t| t.strip_suffix("}}"));
                match whole.and_then(|name| self.variables.get(name)) {
                    Some(value) => value.clone(),
                    None => Value::String(self.fill_text(text)?),
                }
            }
            Value::Array(items) => Value::Array(
                items
                    .iter()
                    .map(|i| self.fill(i))
                    .collect::<Result<_, _>>()?,
            ),
            Value::Object(map) => Value::Object(
                map.iter()
                    .map(|(key, value)| Ok((self.fill_text(key)?, self.fill(value)?)))
                    .collect::<Result<_, String>>()?,
            ),
            other => other.clone(),
        })
    }

    async fn play(&mut self, step: &Step, setup: bool) -> Vec<String> {
        let answer = match self.ask(step).await {
            Ok(answer) => answer,
            Err(problem) => return vec![problem],
        };
        let mut out = self.check(step, &answer, setup);
        for (name, pointer) in &step.capture {
            match answer.body.pointer(pointer) {
                Some(value) => {
                    self.variables.insert(name.clone(), value.clone());
                }
                None => out.push(format!("nothing to capture at {pointer}")),
            }
        }
        out
    }

    async fn ask(&self, step: &Step) -> Result<Answer, String> {
        let Some(poll) = &step.poll else {
            return self.send(&step.request).await;
        };
        let until = poll
            .until
            .as_ref()
            .map(|until| self.fill(until))
            .transpose()?;
        let deadline =
            tokio::time::Instant::now() + Duration::from_secs(poll.timeout_seconds.unwrap_or(10));
        loop {
            let answer = self.send(&step.request).await?;
            let done = answer.status == poll.status.unwrap_or(200)
                && until
                    .as_ref()
                    .is_none_or(|until| contains(until, &answer.body));
            if done || tokio::time::Instant::now() >= deadline {
                return Ok(answer);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn send(&self, request: &Request) -> Result<Answer, String> {
        let mut uri = percent(&self.fill_text(&request.path)?, b"/:");
        for (at, (key, value)) in request.query.iter().enumerate() {
            let values = match value {
                Value::Array(many) => many.clone(),
                one => vec![one.clone()],
            };
            for value in values {
                let value = match self.fill(&value)? {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                uri.push(if at == 0 && !uri.contains('?') {
                    '?'
                } else {
                    '&'
                });
                uri.push_str(&format!("{}={}", percent(key, b""), percent(&value, b"")));
            }
        }
        let body = match (&request.body, &request.raw_body, &request.body_from) {
            (Some(body), _, _) => Some(self.fill_json(body.get())?),
            (_, Some(raw), _) => Some(self.fill_text(raw)?),
            (_, _, Some(from)) => {
                let value = self
                    .variables
                    .get(&from.var)
                    .ok_or_else(|| format!("unresolved variable {}", from.var))?;
                let patch = self.fill(&json!(from.patch))?;
                Some(edit(value.clone(), patch.as_array().unwrap()).to_string())
            }
            _ => None,
        };
        let mut headers: BTreeMap<String, Vec<String>> = [
            ("accept", "application/json".to_owned()),
            ("user-agent", "conformance/1.0".to_owned()),
            ("authorization", format!("Bearer {TOKEN}")),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), vec![value]))
        .collect();
        if body.is_some() && matches!(request.method.as_str(), "POST" | "PUT" | "DELETE") {
            headers.insert(
                "content-type".to_owned(),
                vec!["application/json".to_owned()],
            );
        }
        for (name, value) in &request.headers {
            let values = match self.fill(value)? {
                Value::Null => Vec::new(),
                Value::Array(many) => many
                    .iter()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect(),
                Value::String(one) => vec![one],
                other => vec![other.to_string()],
            };
            headers.insert(name.to_ascii_lowercase(), values);
        }
        let mut sent = http::Request::builder()
            .method(request.method.as_str())
            .uri(&uri);
        for (name, values) in &headers {
            for value in values {
                sent = sent.header(name, value.trim_end());
            }
        }
        let sent = sent
            .body(Full::new(bytes::Bytes::from(body.unwrap_or_default())))
            .map_err(|e| format!("{uri}: {e}"))?;
        let answer = self
            .service
            .clone()
            .oneshot(sent)
            .await
            .map_err(|e| e.to_string())?;
        let watch = request
            .query
            .get("watch")
            .is_some_and(|v| matches!(v.as_str(), Some("1" | "true")));
        Ok(read(answer, watch).await)
    }

    fn check(&mut self, step: &Step, answer: &Answer, setup: bool) -> Vec<String> {
        let expected = &step.response;
        let mut out = Vec::new();
        let matching = if setup {
            "status"
        } else {
            step.matching.as_deref().unwrap_or("exact")
        };
        if expected.status != answer.status {
            let message = answer.body["message"].as_str().unwrap_or_default();
            out.push(format!(
                "status: expected {} got {} ({message})",
                expected.status, answer.status
            ));
            if expected.status / 100 != answer.status / 100 {
                return out;
            }
        }
        if matching == "status" {
            return out;
        }
        if let Some(content_type) = &expected.content_type
            && *content_type != answer.content_type
        {
            out.push(format!(
                "content type: expected {content_type} got {}",
                answer.content_type
            ));
        }
        if matching == "status+reason" {
            if let Some(body) = &expected.body {
                for key in ["kind", "apiVersion", "status", "reason", "code"] {
                    if body.get(key) != answer.body.get(key) {
                        out.push(format!(
                            "/{key}: expected {:?} got {:?}",
                            body.get(key),
                            answer.body.get(key)
                        ));
                    }
                }
            }
            return out;
        }
        let subset = matching == "subset";
        let warnings = match self.fill(&json!(expected.warnings)) {
            Ok(warnings) => warnings,
            Err(problem) => return vec![problem],
        };
        compare(
            &warnings,
            &json!(answer.warnings),
            "warnings",
            &mut self.bindings,
            &mut out,
            false,
        );
        if let Some(text) = &expected.text {
            let text = self.fill_text(text).unwrap_or_default();
            let same = if subset {
                answer.text.contains(&text)
            } else {
                answer.text == text
            };
            if !same {
                out.push(format!("text: expected {text:?} got {:?}", answer.text));
            }
        }
        for (wanted, is_events) in [(&expected.body, false), (&expected.events, true)] {
            let Some(wanted) = wanted else {
                continue;
            };
            let mut wanted = match self.fill(wanted) {
                Ok(wanted) => wanted,
                Err(problem) => {
                    out.push(problem);
                    continue;
                }
            };
            let mut actual = answer.body.clone();
            if is_events && !answer.watch {
                out.push("not a watch".to_owned());
                continue;
            }
            if is_events {
                keep_end_bookmarks(&mut wanted);
                keep_end_bookmarks(&mut actual);
            }
            for pointer in &step.ignore {
                for side in [&mut wanted, &mut actual] {
                    if is_events {
                        side.as_array_mut()
                            .into_iter()
                            .flatten()
                            .for_each(|event| remove(event, pointer));
                    } else {
                        remove(side, pointer);
                    }
                }
            }
            for pointer in &step.unordered {
                sort_unordered(&mut wanted, pointer);
                sort_unordered(&mut actual, pointer);
            }
            order_managed_fields(&mut wanted, "", None);
            order_managed_fields(&mut actual, "", if subset { None } else { Some(&mut out) });
            compare(&wanted, &actual, "", &mut self.bindings, &mut out, subset);
        }
        out
    }
}

/// Drops bookmarks but those that end the initial events, of which only the metadata stays.
fn keep_end_bookmarks(events: &mut Value) {
    let Some(list) = events.as_array_mut() else {
        return;
    };
    list.retain(|event| {
        event["type"] != "BOOKMARK"
            || event
                .pointer("/object/metadata/annotations/k8s.io~1initial-events-end")
                .is_some()
    });
    for event in list {
        if event["type"] == "BOOKMARK"
            && let Some(object) = event["object"].as_object_mut()
        {
            object.retain(|key, _| matches!(key.as_str(), "kind" | "apiVersion" | "metadata"));
        }
    }
}

async fn read(answer: http::Response<gitops_testkit::cluster::ClusterBody>, watch: bool) -> Answer {
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let header = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let content_type = header("content-type");
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let watch = watch && parts.status == 200;
    let json = content_type.starts_with("application/json")
        || content_type.starts_with("text/plain") && text.starts_with('{');
    let body = if watch {
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .collect()
    } else if json {
        serde_json::from_str(&text).unwrap_or_default()
    } else {
        Value::Null
    };
    Answer {
        status: parts.status.as_u16(),
        warnings: parts
            .headers
            .get_all("warning")
            .iter()
            .map(|v| v.to_str().unwrap().to_owned())
            .collect(),
        content_type,
        body,
        text,
        watch,
    }
}

fn percent(text: &str, keep: &[u8]) -> String {
    text.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) || keep.contains(&b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}
