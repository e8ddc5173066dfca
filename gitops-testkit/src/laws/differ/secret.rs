//! Secrets in answers and errors.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use gitops_core::{DiffError, DiffRequest, Differ, FieldManager, Manifest};
use gitops_diff::schema::Schemas;
use serde_json::{Value, json};

use super::{Law, Subject, manager, rival, shown};
use crate::arb::object::manifest_from;
use crate::arb::{self, Planted};
use crate::laws::LawBroken;

/// No answer and no error shows a secret: not as it is, not escaped as in JSON or in a URL,
/// not in base64 or hex, and no part of it; printed, as `Debug` or as JSON. Other secrets of
/// other lengths in the same places give the same output to the letter, so that
/// neither their length nor anything that is computed from them alone can be seen.
///
/// # Errors
///
/// If one does. The message names the output, and shows the canary: it is no secret.
pub fn secret<'d, D: Differ + ?Sized + 'd>(
    differ: impl Into<Subject<'d, D>>,
    planted: &Planted,
) -> Law {
    let subject = &differ.into();
    let manager = manager();
    let twin = planted.twin();
    for (question, other) in questions(planted).iter().zip(&questions(&twin)) {
        let outputs = question.outputs(subject, &manager);
        let others = other.outputs(subject, &manager);
        for (name, output) in &outputs {
            let broken = |why: String| {
                LawBroken::new("secret", why)
                    .with_text("output", output.clone())
                    .with("desired", &question.desired.value())
                    .with("live", &question.live)
            };
            if let Some(canary) = planted.leak(output) {
                let text = canary.text();
                return Err(broken(format!("{name} shows {text:?} or a part of it")));
            }
            let other = others.get(name).map_or("", String::as_str);
            if other != output {
                let why = format!("{name} says something of the length or the letters of a secret");
                return Err(
                    broken(why).with_text("output of other secrets in the same places", other)
                );
            }
        }
    }
    Ok(())
}

struct Question {
    desired: Manifest,
    live: Value,
}

/// The planted objects as they are, owned by somebody else, and broken in some ways.
fn questions(planted: &Planted) -> Vec<Question> {
    let question = |desired: &Manifest, live: &Value| Question {
        desired: desired.clone(),
        live: live.clone(),
    };
    let text = planted
        .canaries()
        .first()
        .map_or("", |canary| canary.text());
    // The value in a shape that no schema allows: an error may quote what is wrong.
    let mut odd = planted.manifest.value();
    odd["data"] = json!({"list": [text], "text": text, "map": {text: text}});
    let odd = manifest_from(odd).unwrap_or_else(|_| planted.manifest.clone());
    let mut odd_live = planted.live.clone();
    odd_live["data"] = json!([text, {"x": text}]);
    odd_live["metadata"]["managedFields"] = json!([{"manager": "x", "fieldsV1": text}]);
    let theirs = manifest_from(planted.live.clone())
        .ok()
        .and_then(|live| arb::created(&live, &rival(), &Schemas::builtin()).ok());
    let desired = &planted.manifest;
    vec![
        question(desired, &planted.live),
        question(desired, &theirs.unwrap_or_default()),
        question(&odd, &planted.live),
        question(desired, &odd_live),
        question(desired, &json!({})),
    ]
}

impl Question {
    fn outputs<D: Differ + ?Sized>(
        &self,
        subject: &Subject<'_, D>,
        manager: &FieldManager,
    ) -> BTreeMap<&'static str, String> {
        let request = DiffRequest::new(&self.desired, &self.live, manager);
        let mut outputs = BTreeMap::new();
        match subject.differ.diff(&request) {
            Ok(answer) => {
                outputs.insert("Debug of the answer", format!("{answer:?}"));
                outputs.insert("the answer, printed", shown(&answer));
                let json = serde_json::to_string(&answer).unwrap_or_default();
                outputs.insert("the answer as JSON", json);
            }
            Err(error) => {
                outputs.insert("the error", chain(&error));
            }
        }
        let lost = subject.differ.lost(&request);
        outputs.insert("Debug of what is lost", format!("{lost:?}"));
        outputs
    }
}

fn chain(error: &DiffError) -> String {
    let mut text = format!("{error}\n{error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let _ = write!(text, "\n{error}\n{error:?}");
        cause = error.source();
    }
    text
}
