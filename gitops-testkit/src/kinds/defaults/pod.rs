//! Defaults of pods and pod templates.

use serde_json::{Value, json};

use crate::kinds::{
    quantity::Quantity,
    value::{
        items, items_mut, member, object, remove, set, set_default, set_nonzero, sorted, text,
        unset,
    },
};

use super::{claim_spec, protocols, set_missing};

/// The pod template at `key`.
pub(super) fn template(parent: &mut Value, key: &str) {
    if let Some(pod) = object(parent, key).and_then(|t| object(t, "spec")) {
        spec(pod);
    }
}

/// What a Pod gets that a template does not.
pub(super) fn pod(spec: &mut Value) {
    for list in ["containers", "initContainers"] {
        for container in items_mut(spec, list) {
            // A limit without a request is the request, too.
            let limits = container["resources"]["limits"].clone();
            for (name, quantity) in sorted(&limits) {
                let requests = object(container, "resources").and_then(|r| object(r, "requests"));
                if let Some(requests) = requests {
                    set_missing(requests, name, quantity.clone());
                }
            }
        }
    }
    set_missing(spec, "enableServiceLinks", true);
    if spec["hostNetwork"] == true {
        for list in ["containers", "initContainers"] {
            for container in items_mut(spec, list) {
                for port in items_mut(container, "ports") {
                    let number = port["containerPort"].as_i64().unwrap_or(0);
                    set_nonzero(port, "hostPort", number);
                }
            }
        }
    }
}

/// A pod's or a template's spec.
pub(super) fn spec(spec: &mut Value) {
    set_default(spec, "dnsPolicy", "ClusterFirst");
    set_default(spec, "restartPolicy", "Always");
    set_missing(spec, "securityContext", json!({}));
    set_missing(spec, "terminationGracePeriodSeconds", 30);
    set_default(spec, "schedulerName", "default-scheduler");
    // `serviceAccount` is the old name of `serviceAccountName`; both are written.
    let account = match text(spec, "serviceAccountName") {
        "" => text(spec, "serviceAccount"),
        name => name,
    }
    .to_owned();
    if !account.is_empty() {
        set(spec, "serviceAccountName", account.clone());
        set(spec, "serviceAccount", account);
    } else {
        remove(spec, "serviceAccount");
    }
    for volume in items_mut(spec, "volumes") {
        if volume
            .as_object()
            .is_some_and(|v| v.iter().all(|(k, v)| k == "name" || v.is_null()))
        {
            set(volume, "emptyDir", json!({}));
        }
        volume_source(volume);
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for item in items_mut(spec, list) {
            container(item);
        }
    }
    rounded(spec, "overhead");
    if let Some(resources) = member(spec, "resources") {
        rounded(resources, "limits");
        rounded(resources, "requests");
    }
}

fn container(container: &mut Value) {
    let image = text(container, "image");
    let policy = if is_latest(image) {
        "Always"
    } else {
        "IfNotPresent"
    };
    set_default(container, "imagePullPolicy", policy);
    set_default(container, "terminationMessagePath", "/dev/termination-log");
    set_default(container, "terminationMessagePolicy", "File");
    protocols(container, "ports");
    for variable in items_mut(container, "env") {
        if let Some(from) = member(variable, "valueFrom") {
            if let Some(field) = member(from, "fieldRef") {
                set_default(field, "apiVersion", "v1");
            }
            if let Some(file) = member(from, "fileKeyRef") {
                set_missing(file, "optional", false);
            }
        }
    }
    if let Some(resources) = member(container, "resources") {
        rounded(resources, "limits");
        rounded(resources, "requests");
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = member(container, name) {
            set_nonzero(probe, "timeoutSeconds", 1);
            set_nonzero(probe, "periodSeconds", 10);
            set_nonzero(probe, "successThreshold", 1);
            set_nonzero(probe, "failureThreshold", 3);
            handler(probe);
        }
    }
    if let Some(lifecycle) = member(container, "lifecycle") {
        for hook in ["postStart", "preStop"] {
            if let Some(hook) = member(lifecycle, hook) {
                handler(hook);
            }
        }
    }
}

fn handler(handler: &mut Value) {
    if let Some(get) = member(handler, "httpGet") {
        set_default(get, "path", "/");
        set_default(get, "scheme", "HTTP");
    }
    if let Some(grpc) = member(handler, "grpc") {
        set_missing(grpc, "service", "");
    }
}

/// Quantities of containers are rounded up to a thousandth.
fn rounded(parent: &mut Value, key: &str) {
    let Some(Value::Object(list)) = parent.get_mut(key) else {
        return;
    };
    for quantity in list.values_mut() {
        if let Some(Ok(parsed)) = quantity.as_str().map(Quantity::parse) {
            *quantity = Value::String(parsed.rounded_to_milli().canonical());
        }
    }
}

/// Whether the image's tag is `latest`, said or unsaid.
fn is_latest(image: &str) -> bool {
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    let last = name.rsplit('/').next().unwrap_or_default();
    let (repository, tag) = match last.split_once(':') {
        Some((_, tag)) => (
            name.strip_suffix(tag)
                .and_then(|n| n.strip_suffix(':'))
                .unwrap_or(name),
            Some(tag),
        ),
        None => (name, None),
    };
    // What is no image reference has no tag at all.
    let path = repository
        .split_once('/')
        .map_or(repository, |(host, rest)| {
            if host.contains(['.', ':'])
                || host == "localhost"
                || host.chars().any(char::is_uppercase)
            {
                rest
            } else {
                repository
            }
        });
    let valid = !path.is_empty()
        && path.split('/').all(|part| {
            let bytes = part.as_bytes();
            let edge =
                |c: Option<&u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            edge(bytes.first())
                && edge(bytes.last())
                && bytes.iter().all(|c| {
                    c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'_' | b'-')
                })
        });
    valid
        && match (tag, digest) {
            (Some(tag), _) => tag == "latest",
            (None, digest) => digest.is_none(),
        }
}

/// The source of a volume or of a persistent volume.
pub(super) fn volume_source(volume: &mut Value) {
    if let Some(source) = member(volume, "hostPath") {
        set_missing(source, "type", "");
    }
    for key in ["secret", "configMap"] {
        if let Some(source) = member(volume, key) {
            set_missing(source, "defaultMode", 420);
        }
    }
    if let Some(source) = member(volume, "downwardAPI") {
        set_missing(source, "defaultMode", 420);
        field_refs(source);
    }
    if let Some(source) = member(volume, "projected") {
        set_missing(source, "defaultMode", 420);
        for part in items_mut(source, "sources") {
            if let Some(token) = member(part, "serviceAccountToken") {
                set_missing(token, "expirationSeconds", 3600);
            }
            if let Some(downward) = member(part, "downwardAPI") {
                field_refs(downward);
            }
        }
    }
    if let Some(source) = member(volume, "iscsi") {
        set_default(source, "iscsiInterface", "default");
    }
    if let Some(source) = member(volume, "rbd") {
        set_default(source, "pool", "rbd");
        set_default(source, "user", "admin");
        set_default(source, "keyring", "/etc/ceph/keyring");
    }
    if let Some(source) = member(volume, "azureDisk") {
        set_missing(source, "cachingMode", "ReadWrite");
        set_missing(source, "kind", "Shared");
        set_missing(source, "fsType", "ext4");
        set_missing(source, "readOnly", false);
    }
    if let Some(source) = member(volume, "scaleIO") {
        set_default(source, "storageMode", "ThinProvisioned");
        set_default(source, "fsType", "xfs");
    }
    if let Some(source) = member(volume, "image") {
        let policy = if is_latest(text(source, "reference")) {
            "Always"
        } else {
            "IfNotPresent"
        };
        set_default(source, "pullPolicy", policy);
    }
    let claim = member(volume, "ephemeral").and_then(|e| member(e, "volumeClaimTemplate"));
    if let Some(spec) = claim.and_then(|c| object(c, "spec")) {
        claim_spec(spec);
    }
}

fn field_refs(source: &mut Value) {
    for item in items_mut(source, "items") {
        if let Some(field) = member(item, "fieldRef") {
            set_default(field, "apiVersion", "v1");
        }
    }
}

/// The quality-of-service class of a pod.
pub(crate) fn qos_class(spec: &Value) -> &'static str {
    const COUNTED: [&str; 2] = ["cpu", "memory"];
    let mut any = false;
    let mut guaranteed = true;
    let containers = items(&spec["containers"])
        .iter()
        .chain(items(&spec["initContainers"]));
    for container in containers {
        for name in COUNTED {
            let read = |list: &str| {
                container["resources"][list][name]
                    .as_str()
                    .and_then(|q| Quantity::parse(q).ok())
                    .filter(|q| !q.is_zero())
            };
            let (request, limit) = (read("requests"), read("limits"));
            any |= request.is_some() || limit.is_some();
            guaranteed &= match (request, limit) {
                (Some(request), Some(limit)) => request == limit,
                _ => false,
            };
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// Whether a taint toleration for `key` is there.
pub(crate) fn tolerates(spec: &Value, key: &str) -> bool {
    items(&spec["tolerations"]).iter().any(|t| {
        (text(t, "key") == key || (text(t, "key").is_empty() && text(t, "operator") == "Exists"))
            && (text(t, "effect") == "NoExecute" || unset(t, "effect"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_latest_if_it_says_so_or_says_nothing() {
        for (image, latest) in [
            ("nginx", true),
            ("nginx:latest", true),
            ("nginx:1", false),
            ("registry.test:5000/nginx", true),
            ("registry.test:5000/nginx:1.2", false),
            ("nginx@sha256:aaaa", false),
            ("", false),
            (" ", false),
            ("Bad", false),
        ] {
            assert_eq!(is_latest(image), latest, "{image}");
        }
    }

    #[test]
    fn the_class_follows_requests_and_limits() {
        for (resources, class) in [
            (json!({}), "BestEffort"),
            (json!({"requests": {"cpu": "1"}}), "Burstable"),
            (
                json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1000m", "memory": "1Gi"}}),
                "Guaranteed",
            ),
        ] {
            assert_eq!(
                qos_class(&json!({"containers": [{"resources": resources}]})),
                class,
                "{resources}"
            );
        }
    }
}
