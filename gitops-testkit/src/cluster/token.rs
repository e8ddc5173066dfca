//! Tokens of service accounts: signed by the cluster, so that none need be remembered.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use gitops_core::Digest;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::rbac::User;
use super::registry::StorageKey;
use super::state::State;
use super::store::object_key;

fn signature(key: &[u8; 32], text: &str) -> String {
    URL_SAFE_NO_PAD.encode(Digest::of_parts([key.as_slice(), text.as_bytes()]).as_bytes())
}

/// What a token of a service account says.
pub(crate) struct Claims<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) uid: &'a str,
    pub(crate) audiences: &'a [String],
    pub(crate) issued: Timestamp,
    pub(crate) expires: Timestamp,
}

/// Makes a token.
pub(crate) fn issue(state: &State, claims: &Claims<'_>) -> String {
    let header = json!({"alg": "none", "typ": "JWT"}).to_string();
    let payload = json!({
        "aud": claims.audiences,
        "exp": claims.expires.as_second(),
        "iat": claims.issued.as_second(),
        "iss": "https://kubernetes.default.svc",
        "sub": format!("system:serviceaccount:{}:{}", claims.namespace, claims.name),
        "kubernetes.io": {
            "namespace": claims.namespace,
            "serviceaccount": {"name": claims.name, "uid": claims.uid},
        },
    })
    .to_string();
    let text = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(payload)
    );
    format!("{text}.{}", signature(&state.token_key, &text))
}

/// The service account whose token this is, if it still exists and the token is valid.
pub(crate) fn authenticate(state: &State, token: &str, now: Timestamp) -> Option<User> {
    let (text, signed) = token.rsplit_once('.')?;
    if signed != signature(&state.token_key, text) {
        return None;
    }
    let payload = URL_SAFE_NO_PAD.decode(text.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    if claims["exp"].as_i64()? < now.as_second() {
        return None;
    }
    let account = &claims["kubernetes.io"];
    let namespace = account["namespace"].as_str()?;
    let name = account["serviceaccount"]["name"].as_str()?;
    let uid = account["serviceaccount"]["uid"].as_str()?;
    let stored = state
        .store
        .get(
            &StorageKey::new("", "serviceaccounts"),
            &object_key(Some(namespace), name),
        )?
        .value();
    if stored["metadata"]["uid"] != uid {
        return None;
    }
    let mut user = User::new(
        &format!("system:serviceaccount:{namespace}:{name}"),
        &[
            "system:serviceaccounts",
            &format!("system:serviceaccounts:{namespace}"),
        ],
    );
    uid.clone_into(&mut user.uid);
    Some(user)
}
