//! Secrets that must not be seen again.

use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use gitops_core::Manifest;
use proptest::arbitrary::any;
use proptest::strategy::Strategy;
use serde_json::{Value, json};

use super::dice::Dice;
use super::object::manifest_from;
use super::scalar;

/// Letters that no digest in hex has, so that a part of a canary is never found in one by
/// chance.
const LETTERS: &[u8] = b"ghjkmnpqrstvwxyz";

/// So many letters of a canary in a row are a leak.
const TELLING: usize = 8;

/// A text that is nowhere but where it was planted.
#[derive(Debug, Clone)]
pub struct Canary {
    core: String,
    text: String,
    /// What gives it away, made when first asked for.
    forms: OnceLock<Arc<[String]>>,
}

impl PartialEq for Canary {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Canary {}

impl Canary {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let length = 24 + dice.below(24);
        let core: String = (0..length)
            .filter_map(|_| LETTERS.get(dice.below(LETTERS.len())))
            .map(|letter| char::from(*letter))
            .collect();
        // What surrounds it is written differently in JSON, in YAML and in Go's JSON.
        let text = match dice.below(4) {
            0 => core.clone(),
            1 => format!("\"{core}\"\\\n"),
            2 => format!("<{core}&é>"),
            _ => format!(" {core}\u{1}"),
        };
        Self {
            core,
            text,
            forms: OnceLock::new(),
        }
    }

    /// The text as it was planted.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether `output` shows it, or a part of eight letters: as it is, in base64 (of the
    /// text, or of a text that holds it), in hex, or escaped as in a URL.
    #[must_use]
    pub fn is_in(&self, output: &str) -> bool {
        let forms = self.forms.get_or_init(|| self.make_forms().into());
        forms.iter().any(|form| output.contains(form))
    }

    fn make_forms(&self) -> Vec<String> {
        let core = self.core.as_bytes();
        let mut forms = Vec::new();
        for window in core.windows(TELLING) {
            forms.push(String::from_utf8_lossy(window).into_owned());
            forms.push(window.iter().map(|byte| format!("{byte:02x}")).collect());
            forms.push(window.iter().map(|byte| format!("{byte:02X}")).collect());
            forms.push(window.iter().map(|byte| format!("%{byte:02X}")).collect());
        }
        // Base64 shows three bytes at a time; where the groups begin depends on what is in
        // front. The first and the last group may hold bytes of the neighbours.
        for shift in 0..3 {
            let aligned = core.get(shift..).unwrap_or_default();
            let whole = aligned.len() - aligned.len() % 3;
            let encoded = STANDARD.encode(aligned.get(..whole).unwrap_or_default());
            forms.extend(
                encoded
                    .as_bytes()
                    .windows(12)
                    .map(|window| String::from_utf8_lossy(window).into_owned()),
            );
        }
        let safe: Vec<String> = forms
            .iter()
            .map(|form| form.replace('+', "-").replace('/', "_"))
            .collect();
        forms.extend(safe);
        forms
    }
}

/// A secret manifest, an older one that runs, and the canaries in both.
#[derive(Clone)]
pub struct Planted {
    /// What is desired: a `Secret`.
    pub manifest: Manifest,
    /// What runs: the same with some other canaries, the annotation of client-side apply
    /// among them.
    pub live: Value,
    canaries: Vec<Canary>,
    seeds: Seeds,
}

/// What it was made from.
#[derive(Debug, Clone, Copy)]
struct Seeds {
    /// Which fields there are, and which of them are equal.
    shape: u64,
    secrets: u64,
}

impl Planted {
    /// The same objects with other secrets, of other lengths, in the same places: what is
    /// equal is equal there too, and what differs differs.
    ///
    /// ```
    /// use gitops_testkit::arb;
    /// use proptest::prelude::*;
    ///
    /// proptest!(|(planted in arb::secret_manifest())| {
    ///     let twin = planted.twin();
    ///     prop_assert_eq!(planted.manifest.id(), twin.manifest.id());
    ///     prop_assert!(twin.leak(planted.manifest.json()).is_none());
    /// });
    /// ```
    #[must_use]
    pub fn twin(&self) -> Self {
        let seeds = Seeds {
            secrets: self.seeds.secrets.wrapping_add(1),
            ..self.seeds
        };
        plant(seeds).unwrap_or_else(|| self.clone())
    }

    /// The canaries.
    #[must_use]
    pub fn canaries(&self) -> &[Canary] {
        &self.canaries
    }

    /// The canary that `output` shows, if it shows one.
    #[must_use]
    pub fn leak(&self, output: &str) -> Option<&Canary> {
        self.canaries.iter().find(|canary| canary.is_in(output))
    }
}

impl std::fmt::Debug for Planted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Planted")
            .field("manifest", &self.manifest.json())
            .field("live", &self.live.to_string())
            .finish_non_exhaustive()
    }
}

/// Secrets with canaries in them: in `data`, in `stringData`, in the annotation of
/// client-side apply. What is desired and what runs differ in some.
///
/// ```
/// use gitops_testkit::arb;
/// use proptest::prelude::*;
///
/// proptest!(|(planted in arb::secret_manifest())| {
///     // A manifest's Debug shows no content; its JSON does.
///     let debug = format!("{:?}", planted.manifest);
///     prop_assert!(planted.leak(&debug).is_none());
///     prop_assert!(planted.leak(planted.manifest.json()).is_some());
/// });
/// ```
pub fn secret_manifest() -> impl Strategy<Value = Planted> + Clone {
    (any::<u64>(), any::<u64>()).prop_filter_map("a secret with a name", |(shape, secrets)| {
        plant(Seeds { shape, secrets })
    })
}

fn plant(seeds: Seeds) -> Option<Planted> {
    let dice = &mut Dice::new(seeds.shape);
    let mut secrets = Dice::new(seeds.secrets);
    let mut canaries = Vec::new();
    let mut canary = || {
        let canary = Canary::new(&mut secrets);
        canaries.push(canary.clone());
        canary.text
    };
    let name = scalar::label(dice);
    let metadata = json!({"name": name, "namespace": "shop"});
    let mut desired = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata});
    let mut live = desired.clone();
    let count = 1 + dice.below(3);
    for at in 0..count {
        let key = format!("key-{at}");
        let mine = canary();
        let theirs = match dice.below(3) {
            0 => mine.clone(),
            _ => canary(),
        };
        let plain = dice.chance(40);
        let (field, value) = if plain {
            ("stringData", json!(mine))
        } else {
            ("data", json!(STANDARD.encode(&mine)))
        };
        desired[field][&key] = value;
        if dice.chance(80) {
            live["data"][&key] = json!(STANDARD.encode(&theirs));
        }
    }
    if dice.chance(60) {
        live["data"]["only-live"] = json!(STANDARD.encode(canary()));
    }
    if dice.chance(60) {
        let mut last = desired.clone();
        last["stringData"]["was"] = json!(canary());
        last["data"]["gone"] = json!(URL_SAFE.encode(canary()));
        let name = "kubectl.kubernetes.io/last-applied-configuration";
        live["metadata"]["annotations"][name] = json!(last.to_string());
        if dice.chance(50) {
            // Desired may state the annotation itself, as an export of a live object does.
            desired["metadata"]["annotations"][name] =
                json!(json!({"stringData": {"a": canary()}}).to_string());
        }
    }
    live["metadata"]["uid"] = json!("8d7a3e52-0f3c-4b1e-9c56-1f0e2a7b4c11");
    live["metadata"]["resourceVersion"] = json!("41");
    Some(Planted {
        manifest: manifest_from(desired).ok()?,
        live,
        canaries,
        seeds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_found_however_it_is_written() {
        for seed in 0..200 {
            let canary = Canary::new(&mut Dice::new(seed));
            let text = canary.text();
            let json = serde_json::to_string(text).unwrap();
            let nested = serde_json::to_string(&json).unwrap();
            let around = STANDARD.encode(format!("{}{text}tail", "x".repeat(seed as usize % 7)));
            let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
            for output in [
                text.to_owned(),
                json,
                nested,
                format!("{text:?}"),
                STANDARD.encode(text),
                URL_SAFE.encode(text),
                around,
                hex,
                canary.core[5..15].to_owned(),
            ] {
                assert!(canary.is_in(&output), "{seed}: {output:?} of {text:?}");
            }
            assert!(!canary.is_in("nothing: (redacted) 8d7a3e52-0f3c-4b1e"));
            assert!(!canary.is_in(&Canary::new(&mut Dice::new(seed + 1)).text));
        }
    }
}
