//! Rules of certificates that something else fills in.

use gitops_core::GroupKind;
use serde_json::{Map, Value};

use super::{Normalizer, at, at_mut, elements, elements_mut, is};
use crate::equality::decode;

/// A `caBundle` without a certificate in it is a placeholder: generators write `""` or
/// `Cg==`, a line break, and an injector puts the certificate there. So the placeholder is
/// taken as if it were not stated. A bundle that holds anything is compared as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlaceholderBundles;

const ADMISSION: &str = "admissionregistration.k8s.io";
const CONVERSION: &[&str] = &["spec", "conversion", "webhook", "clientConfig"];

fn holds_placeholder(client: &Map<String, Value>) -> bool {
    client
        .get("caBundle")
        .and_then(Value::as_str)
        .and_then(decode)
        .is_some_and(|bytes| bytes.iter().all(u8::is_ascii_whitespace))
}

/// The objects in which a bundle may be, and that aren't list elements.
const PLACES: [&[&str]; 2] = [CONVERSION, &["spec"]];

impl Normalizer for PlaceholderBundles {
    fn applies_to(&self, kind: &GroupKind) -> bool {
        is(kind, ADMISSION, "MutatingWebhookConfiguration")
            || is(kind, ADMISSION, "ValidatingWebhookConfiguration")
            || is(kind, "apiextensions.k8s.io", "CustomResourceDefinition")
            || is(kind, "apiregistration.k8s.io", "APIService")
    }

    fn touches(&self, object: &Value) -> bool {
        let webhooks = elements(object.get("webhooks"))
            .filter_map(|webhook| webhook.get("clientConfig")?.as_object());
        let others = PLACES
            .into_iter()
            .filter_map(|path| at(object, path)?.as_object());
        webhooks.chain(others).any(holds_placeholder)
    }

    fn normalize(&self, object: &mut Value) {
        let strip = |client: Option<&mut Value>| {
            if let Some(Value::Object(client)) = client
                && holds_placeholder(client)
            {
                client.remove("caBundle");
            }
        };
        for webhook in elements_mut(object.get_mut("webhooks")) {
            strip(webhook.get_mut("clientConfig"));
        }
        for path in PLACES {
            strip(at_mut(object, path));
        }
    }
}
