//! Pods and pod templates.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::kinds::{
    error::{FieldError, Path},
    meta,
    quantity::Quantity,
    rules,
    value::{self, items, sorted, text, unset},
};

use super::{Errors, non_negative, one_of};

/// A pod template: labels, annotations, spec.
pub(super) fn template(template: &Value, path: &Path, errors: &mut Errors) {
    meta::labels(
        &template["metadata"]["labels"],
        &path.child("labels"),
        errors,
    );
    meta::annotations(
        &template["metadata"]["annotations"],
        &path.child("annotations"),
        errors,
    );
    spec(&template["spec"], &path.child("spec"), errors);
    if !items(&template["spec"]["ephemeralContainers"]).is_empty() {
        errors.push(FieldError::forbidden(
            &path.child("spec").child("ephemeralContainers"),
            "ephemeral containers not allowed in pod template",
        ));
    }
}

/// What holds for a Pod but not for templates.
pub(super) fn pod_only(spec: &Value, path: &Path, errors: &mut Errors) {
    if text(spec, "serviceAccountName").is_empty() {
        for (i, volume) in items(&spec["volumes"]).iter().enumerate() {
            for (j, source) in items(&volume["projected"]["sources"]).iter().enumerate() {
                if !unset(source, "serviceAccountToken") {
                    let at = path
                        .child("volumes")
                        .index(i)
                        .child("projected")
                        .child("sources")
                        .index(j);
                    errors.push(FieldError::forbidden(
                        &at.child("serviceAccountToken"),
                        "must not be specified when serviceAccountName is not set",
                    ));
                }
            }
        }
    }
    for list in ["containers", "initContainers"] {
        for (i, container) in items(&spec[list]).iter().enumerate() {
            let image = text(container, "image");
            if image.trim() != image {
                errors.push(FieldError::invalid_str(
                    &path.child(list).index(i).child("image"),
                    image,
                    "must not have leading or trailing whitespace",
                ));
            }
        }
    }
    if !items(&spec["ephemeralContainers"]).is_empty() {
        errors.push(FieldError::forbidden(
            &path.child("ephemeralContainers"),
            "cannot be set on create",
        ));
    }
}

/// The spec of a pod or template.
pub(super) fn spec(spec: &Value, path: &Path, errors: &mut Errors) {
    let volumes = volumes(&spec["volumes"], &path.child("volumes"), errors);
    containers(spec, "containers", &volumes, path, errors);
    containers(spec, "initContainers", &volumes, path, errors);
    if spec["hostNetwork"] == true {
        for list in ["containers", "initContainers"] {
            for (i, container) in items(&spec[list]).iter().enumerate() {
                for (j, port) in items(&container["ports"]).iter().enumerate() {
                    let host = port["hostPort"].as_i64().unwrap_or(0);
                    if host != 0 && port["hostPort"] != port["containerPort"] {
                        errors.push(FieldError::invalid(
                            &path
                                .child(list)
                                .index(i)
                                .child("ports")
                                .index(j)
                                .child("hostPort"),
                            &port["hostPort"],
                            "must match `containerPort` when `hostNetwork` is true",
                        ));
                    }
                }
            }
        }
    }
    match text(spec, "restartPolicy") {
        "" => errors.push(FieldError::required(&path.child("restartPolicy"), "")),
        _ => one_of(
            spec,
            "restartPolicy",
            &["Always", "OnFailure", "Never"],
            path,
            errors,
        ),
    }
    one_of(
        spec,
        "dnsPolicy",
        &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"],
        path,
        errors,
    );
    meta::labels(&spec["nodeSelector"], &path.child("nodeSelector"), errors);
    security(
        &spec["securityContext"],
        &path.child("securityContext"),
        errors,
    );
    for (i, secret) in items(&spec["imagePullSecrets"]).iter().enumerate() {
        if text(secret, "name").is_empty() {
            errors.push(FieldError::required(
                &path.child("imagePullSecrets").index(i).child("name"),
                "",
            ));
        }
    }
    spread(
        &spec["topologySpreadConstraints"],
        &path.child("topologySpreadConstraints"),
        errors,
    );
    let named = [
        (
            "serviceAccountName",
            rules::dns_subdomain as fn(&str) -> Vec<String>,
        ),
        ("nodeName", rules::dns_subdomain),
        ("hostname", rules::dns_label),
        ("subdomain", rules::dns_label),
    ];
    for (key, rule) in named {
        if key == "hostname"
            && let Some(seconds) = spec["activeDeadlineSeconds"].as_i64()
            && !(1..=i64::from(i32::MAX)).contains(&seconds)
        {
            errors.push(FieldError::invalid(
                &path.child("activeDeadlineSeconds"),
                &json!(seconds),
                rules::range(1, i64::from(i32::MAX)),
            ));
        }
        let name = text(spec, key);
        if !name.is_empty() {
            errors.extend(
                rule(name)
                    .into_iter()
                    .map(|m| FieldError::invalid_str(&path.child(key), name, m)),
            );
        }
    }
    tolerations(&spec["tolerations"], &path.child("tolerations"), errors);
    if let Some(seconds) = spec["terminationGracePeriodSeconds"]
        .as_i64()
        .filter(|s| *s < 0)
    {
        errors.push(FieldError::invalid(
            &path.child("terminationGracePeriodSeconds"),
            &json!(seconds),
            value::NOT_NEGATIVE,
        ));
    }
    let class = text(spec, "priorityClassName");
    if !class.is_empty() {
        let at = path.child("priorityClassName");
        errors.extend(
            rules::dns_subdomain(class)
                .into_iter()
                .map(|m| FieldError::invalid_str(&at, class, m)),
        );
    }
}

fn security(context: &Value, path: &Path, errors: &mut Errors) {
    for key in ["runAsUser", "runAsGroup", "fsGroup"] {
        if let Some(id) = context[key]
            .as_i64()
            .filter(|id| !(0..=i64::from(i32::MAX)).contains(id))
        {
            errors.push(FieldError::invalid(
                &path.child(key),
                &json!(id),
                rules::range(0, i64::from(i32::MAX)),
            ));
        }
    }
}

fn volumes<'a>(volumes: &'a Value, path: &Path, errors: &mut Errors) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    for (i, volume) in items(volumes).iter().enumerate() {
        let at = path.index(i);
        let before = errors.len();
        let sources: Vec<&str> = sorted(volume)
            .into_iter()
            .map(|(k, _)| k)
            .filter(|k| *k != "name")
            .collect();
        match sources.as_slice() {
            [] => errors.push(FieldError::required(&at, "must specify a volume type")),
            [first, rest @ ..] => {
                volume_source(volume, first, &at.child(first), errors);
                for extra in rest {
                    errors.push(FieldError::forbidden(
                        &at.child(extra),
                        "may not specify more than 1 volume type",
                    ));
                }
            }
        }
        let name = text(volume, "name");
        if name.is_empty() {
            errors.push(FieldError::required(&at.child("name"), ""));
        } else {
            let found = rules::dns_label(name);
            if found.is_empty() && names.contains(name) {
                errors.push(FieldError::duplicate(&at.child("name"), &json!(name)));
            }
            errors.extend(
                found
                    .into_iter()
                    .map(|m| FieldError::invalid_str(&at.child("name"), name, m)),
            );
        }
        if errors.len() == before {
            names.insert(name);
        }
    }
    names
}

fn volume_source(volume: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    let source = &volume[kind];
    let required: &[&str] = match kind {
        "hostPath" => &["path"],
        "secret" => &["secretName"],
        "configMap" => &["name"],
        "persistentVolumeClaim" => &["claimName"],
        "nfs" => &["server", "path"],
        "csi" => &["driver"],
        "gitRepo" => &["repository"],
        _ => &[],
    };
    for key in required {
        if text(source, key).is_empty() {
            errors.push(FieldError::required(&path.child(key), ""));
        }
    }
    if let Some(mode) = source["defaultMode"]
        .as_i64()
        .filter(|m| !(0..=0o777).contains(m))
    {
        errors.push(FieldError::invalid(
            &path.child("defaultMode"),
            &json!(mode),
            "must be a number between 0 and 0777 (octal), both inclusive",
        ));
    }
    if kind == "hostPath" && text(source, "path").split('/').any(|p| p == "..") {
        errors.push(FieldError::invalid_str(
            &path.child("path"),
            text(source, "path"),
            "must not contain '..'",
        ));
    }
    if matches!(kind, "secret" | "configMap") {
        for (i, item) in items(&source["items"]).iter().enumerate() {
            let at = path.child("items").index(i);
            for key in ["key", "path"] {
                if text(item, key).is_empty() {
                    errors.push(FieldError::required(&at.child(key), ""));
                }
            }
        }
    }
}

fn containers(
    spec: &Value,
    list: &str,
    volumes: &BTreeSet<&str>,
    path: &Path,
    errors: &mut Errors,
) {
    let all = items(&spec[list]);
    let init = list == "initContainers";
    let path = path.child(list);
    if all.is_empty() {
        if !init {
            errors.push(FieldError::required(&path, ""));
        }
        return;
    }
    let mut names: BTreeSet<&str> = if init {
        items(&spec["containers"])
            .iter()
            .map(|c| text(c, "name"))
            .collect()
    } else {
        BTreeSet::new()
    };
    for (i, container) in all.iter().enumerate() {
        let at = path.index(i);
        self::container(container, volumes, &at, errors);
        let name = text(container, "name");
        let nameless = init && name.is_empty();
        if !names.insert(name) && !nameless {
            errors.push(FieldError::duplicate(&at.child("name"), &json!(name)));
        }
        let sidecar = init && text(container, "restartPolicy") == "Always";
        if !init || sidecar {
            lifecycle(&container["lifecycle"], &at.child("lifecycle"), errors);
            for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
                self::probe(&container[probe], probe, &at.child(probe), errors);
            }
        } else {
            for key in [
                "lifecycle",
                "livenessProbe",
                "readinessProbe",
                "startupProbe",
            ] {
                if !unset(container, key) {
                    errors.push(FieldError::forbidden(
                        &at.child(key),
                        "may not be set for init containers without restartPolicy=Always",
                    ));
                }
            }
        }
    }
    if !init {
        host_ports(all, &path, errors);
    }
}

fn host_ports(containers: &[Value], path: &Path, errors: &mut Errors) {
    let mut used = BTreeSet::new();
    for (i, container) in containers.iter().enumerate() {
        for (j, port) in items(&container["ports"]).iter().enumerate() {
            let number = port["hostPort"].as_i64().unwrap_or(0);
            if number != 0 {
                let key = format!(
                    "{}/{}/{number}",
                    text(port, "protocol"),
                    text(port, "hostIP")
                );
                if !used.insert(key.clone()) {
                    let shown = format!(
                        "{}/{}/{number}",
                        text(port, "protocol"),
                        text(port, "hostIP")
                    );
                    let at = path.index(i).child("ports").index(j).child("hostPort");
                    errors.push(FieldError::duplicate(&at, &json!(shown)));
                }
            }
        }
    }
}

fn container(container: &Value, volumes: &BTreeSet<&str>, path: &Path, errors: &mut Errors) {
    let name = text(container, "name");
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    } else {
        errors.extend(
            rules::dns_label(name)
                .into_iter()
                .map(|m| FieldError::invalid_str(&path.child("name"), name, m)),
        );
    }
    if text(container, "image").is_empty() {
        errors.push(FieldError::required(&path.child("image"), ""));
    }
    one_of(
        container,
        "terminationMessagePolicy",
        &["File", "FallbackToLogsOnError"],
        path,
        errors,
    );
    ports(&container["ports"], &path.child("ports"), errors);
    environment(container, path, errors);
    let mut paths = BTreeSet::new();
    for (i, mount) in items(&container["volumeMounts"]).iter().enumerate() {
        let at = path.child("volumeMounts").index(i);
        let name = text(mount, "name");
        if name.is_empty() {
            errors.push(FieldError::required(&at.child("name"), ""));
        }
        if !volumes.contains(name) {
            errors.push(FieldError::not_found(&at.child("name"), &json!(name)));
        }
        let target = text(mount, "mountPath");
        if target.is_empty() {
            errors.push(FieldError::required(&at.child("mountPath"), ""));
        }
        if !paths.insert(target) {
            errors.push(FieldError::invalid_str(
                &at.child("mountPath"),
                target,
                "must be unique",
            ));
        }
        let sub = text(mount, "subPath");
        if sub.starts_with('/') {
            errors.push(FieldError::invalid_str(
                &at.child("subPath"),
                sub,
                "must be a relative path",
            ));
        }
        if sub.split('/').any(|p| p == "..") {
            errors.push(FieldError::invalid_str(
                &at.child("subPath"),
                sub,
                "must not contain '..'",
            ));
        }
    }
    match text(container, "imagePullPolicy") {
        "" => errors.push(FieldError::required(&path.child("imagePullPolicy"), "")),
        _ => one_of(
            container,
            "imagePullPolicy",
            &["Always", "IfNotPresent", "Never"],
            path,
            errors,
        ),
    }
    resources(&container["resources"], &path.child("resources"), errors);
    security(
        &container["securityContext"],
        &path.child("securityContext"),
        errors,
    );
    let context = &container["securityContext"];
    if context["privileged"] == true && context["allowPrivilegeEscalation"] == false {
        errors.push(FieldError::invalid_raw(
            &path.child("securityContext"),
            crate::kinds::dump::internal("core.v1.SecurityContext", context),
            "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
        ));
    }
}

fn ports(ports: &Value, path: &Path, errors: &mut Errors) {
    let mut names = BTreeSet::new();
    for (i, port) in items(ports).iter().enumerate() {
        let at = path.index(i);
        let name = text(port, "name");
        if !name.is_empty() {
            let found = rules::port_name(name);
            if found.is_empty() && !names.insert(name) {
                errors.push(FieldError::duplicate(&at.child("name"), &json!(name)));
            }
            errors.extend(
                found
                    .into_iter()
                    .map(|m| FieldError::invalid_str(&at.child("name"), name, m)),
            );
        }
        let number = port["containerPort"].as_i64().unwrap_or(0);
        if number == 0 {
            errors.push(FieldError::required(&at.child("containerPort"), ""));
        } else {
            let at = at.child("containerPort");
            errors.extend(
                rules::port(number)
                    .into_iter()
                    .map(|m| FieldError::invalid(&at, &json!(number), m)),
            );
        }
        let host = port["hostPort"].as_i64().unwrap_or(0);
        if host != 0 {
            let at = at.child("hostPort");
            errors.extend(
                rules::port(host)
                    .into_iter()
                    .map(|m| FieldError::invalid(&at, &json!(host), m)),
            );
        }
        one_of(port, "protocol", &["SCTP", "TCP", "UDP"], &at, errors);
    }
}

fn environment(container: &Value, path: &Path, errors: &mut Errors) {
    for (i, variable) in items(&container["env"]).iter().enumerate() {
        let at = path.child("env").index(i);
        let name = text(variable, "name");
        if name.is_empty() {
            errors.push(FieldError::required(&at.child("name"), ""));
        } else {
            errors.extend(
                rules::env_name(name)
                    .into_iter()
                    .map(|m| FieldError::invalid_str(&at.child("name"), name, m)),
            );
        }
        if unset(variable, "valueFrom") {
            continue;
        }
        let (from, at) = (&variable["valueFrom"], at.child("valueFrom"));
        let mut sources = 0;
        if !unset(from, "fieldRef") {
            sources += 1;
            let at = at.child("fieldRef");
            let field = text(&from["fieldRef"], "fieldPath");
            if field.is_empty() {
                errors.push(FieldError::required(&at.child("fieldPath"), ""));
            } else if !known_field(field) {
                errors.push(FieldError::not_supported(
                    &at.child("fieldPath"),
                    &json!(field),
                    &[
                        "metadata.name",
                        "metadata.namespace",
                        "metadata.uid",
                        "spec.nodeName",
                        "spec.serviceAccountName",
                        "status.hostIP",
                        "status.hostIPs",
                        "status.podIP",
                        "status.podIPs",
                    ],
                ));
            }
        }
        if !unset(from, "resourceFieldRef") {
            sources += 1;
            if text(&from["resourceFieldRef"], "resource").is_empty() {
                errors.push(FieldError::required(
                    &at.child("resourceFieldRef").child("resource"),
                    "",
                ));
            }
        }
        for key in ["configMapKeyRef", "secretKeyRef"] {
            if !unset(from, key) {
                sources += 1;
                key_reference(&from[key], &at.child(key), errors);
            }
        }
        if !unset(from, "fileKeyRef") {
            sources += 1;
        }
        if sources == 0 {
            errors.push(FieldError::invalid_str(
                &at,
                "",
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
            ));
        } else if !text(variable, "value").is_empty() {
            errors.push(FieldError::invalid_str(
                &at,
                "",
                "may not be specified when `value` is not empty",
            ));
        } else if sources > 1 {
            errors.push(FieldError::invalid_str(
                &at,
                "",
                "may not have more than one field specified at a time",
            ));
        }
    }
    for (i, source) in items(&container["envFrom"]).iter().enumerate() {
        let at = path.child("envFrom").index(i);
        let mut sources = 0;
        for key in ["configMapRef", "secretRef"] {
            if !unset(source, key) {
                sources += 1;
                if text(&source[key], "name").is_empty() {
                    errors.push(FieldError::required(&at.child(key).child("name"), ""));
                }
            }
        }
        if sources == 0 {
            errors.push(FieldError::invalid_str(
                &at,
                "",
                "must specify one of: `configMapRef` or `secretRef`",
            ));
        } else if sources > 1 {
            errors.push(FieldError::invalid_str(
                &at,
                "",
                "may not have more than one field specified at a time",
            ));
        }
    }
}

fn known_field(field: &str) -> bool {
    matches!(
        field,
        "metadata.name"
            | "metadata.namespace"
            | "metadata.uid"
            | "spec.nodeName"
            | "spec.serviceAccountName"
            | "status.hostIP"
            | "status.hostIPs"
            | "status.podIP"
            | "status.podIPs"
    ) || (field.ends_with("']")
        && (field.starts_with("metadata.labels['") || field.starts_with("metadata.annotations['")))
}

fn key_reference(reference: &Value, path: &Path, errors: &mut Errors) {
    if text(reference, "name").is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    let key = text(reference, "key");
    if key.is_empty() {
        errors.push(FieldError::required(&path.child("key"), ""));
    } else {
        errors.extend(
            rules::config_key(key)
                .into_iter()
                .map(|m| FieldError::invalid_str(&path.child("key"), key, m)),
        );
    }
}

/// Limits and requests of a container.
fn resources(resources: &Value, path: &Path, errors: &mut Errors) {
    let read = |q: &Value| q.as_str().and_then(|q| Quantity::parse(q).ok());
    for list in ["limits", "requests"] {
        for (name, quantity) in sorted(&resources[list]) {
            let at = path.child(list).key(name);
            let known = matches!(name, "cpu" | "memory" | "ephemeral-storage")
                || name.starts_with("hugepages-");
            errors.extend(
                rules::qualified_name(name)
                    .into_iter()
                    .map(|m| FieldError::invalid_str(&at, name, m)),
            );
            if !name.contains('/') && !known {
                errors.push(FieldError::invalid_str(
                    &at,
                    name,
                    "must be a standard resource for containers",
                ));
            }
            let Some(amount) = read(quantity) else {
                continue;
            };
            if amount.is_negative() {
                errors.push(FieldError::invalid(&at, quantity, value::NOT_NEGATIVE));
            }
            let extended = name.contains('/') && !name.starts_with("kubernetes.io/");
            if extended && !amount.is_whole() {
                errors.push(FieldError::invalid(&at, quantity, "must be an integer"));
            }
            if list == "requests"
                && let Some(limit) = read(&resources["limits"][name])
            {
                let strict = extended || name.starts_with("hugepages-");
                let shown = limit.canonical();
                let detail = if strict && amount != limit {
                    format!("must be equal to {name} limit of {shown}")
                } else if !strict && amount > limit {
                    format!("must be less than or equal to {name} limit of {shown}")
                } else {
                    continue;
                };
                errors.push(FieldError::invalid(
                    &path.child("requests"),
                    quantity,
                    detail,
                ));
            }
        }
    }
}

fn lifecycle(lifecycle: &Value, path: &Path, errors: &mut Errors) {
    for hook in ["postStart", "preStop"] {
        if !unset(lifecycle, hook) {
            handler(&lifecycle[hook], &path.child(hook), errors);
        }
    }
}

fn handler(handler: &Value, path: &Path, errors: &mut Errors) {
    let mut count = 0;
    for kind in ["exec", "httpGet", "tcpSocket", "grpc", "sleep"] {
        if unset(handler, kind) {
            continue;
        }
        let at = path.child(kind);
        if count > 0 {
            errors.push(FieldError::forbidden(
                &at,
                "may not specify more than 1 handler type",
            ));
            continue;
        }
        count += 1;
        let action = &handler[kind];
        match kind {
            "exec" if items(&action["command"]).is_empty() => {
                errors.push(FieldError::required(&at.child("command"), ""));
            }
            "httpGet" => {
                if text(action, "path").is_empty() {
                    errors.push(FieldError::required(&at.child("path"), ""));
                }
                port_or_name(&action["port"], &at.child("port"), errors);
                one_of(action, "scheme", &["HTTP", "HTTPS"], &at, errors);
                for (i, header) in items(&action["httpHeaders"]).iter().enumerate() {
                    let name = text(header, "name");
                    errors.extend(rules::header_name(name).into_iter().map(|m| {
                        FieldError::invalid_str(
                            &at.child("httpHeaders").index(i).child("name"),
                            name,
                            m,
                        )
                    }));
                }
            }
            "tcpSocket" | "grpc" => port_or_name(&action["port"], &at.child("port"), errors),
            _ => {}
        }
    }
    if count == 0 {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
}

/// A port by number or by name.
pub(super) fn port_or_name(port: &Value, path: &Path, errors: &mut Errors) {
    let found = match port {
        Value::String(name) => rules::port_name(name),
        other => rules::port(other.as_i64().unwrap_or(0)),
    };
    errors.extend(
        found
            .into_iter()
            .map(|m| FieldError::invalid(path, port, m)),
    );
}

fn probe(probe: &Value, name: &str, path: &Path, errors: &mut Errors) {
    if probe.is_null() {
        return;
    }
    handler(probe, path, errors);
    for key in [
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ] {
        non_negative(probe, key, path, errors);
    }
    if name != "readinessProbe" {
        let success = &probe["successThreshold"];
        if !success.is_null() && *success != 1 {
            errors.push(FieldError::invalid(
                &path.child("successThreshold"),
                success,
                "must be 1",
            ));
        }
    } else if !unset(probe, "terminationGracePeriodSeconds") {
        errors.push(FieldError::invalid(
            &path.child("terminationGracePeriodSeconds"),
            &probe["terminationGracePeriodSeconds"],
            "must not be set for readinessProbes",
        ));
    }
}

fn spread(constraints: &Value, path: &Path, errors: &mut Errors) {
    for (i, constraint) in items(constraints).iter().enumerate() {
        let at = path.index(i);
        if constraint["maxSkew"].as_i64().unwrap_or(0) <= 0 {
            errors.push(FieldError::invalid(
                &at.child("maxSkew"),
                &json!(constraint["maxSkew"].as_i64().unwrap_or(0)),
                "must be greater than zero",
            ));
        }
        if text(constraint, "topologyKey").is_empty() {
            errors.push(FieldError::required(
                &at.child("topologyKey"),
                "can not be empty",
            ));
        }
        one_of(
            constraint,
            "whenUnsatisfiable",
            &["DoNotSchedule", "ScheduleAnyway"],
            &at,
            errors,
        );
        meta::label_selector(
            &constraint["labelSelector"],
            &at.child("labelSelector"),
            errors,
        );
    }
}

fn tolerations(tolerations: &Value, path: &Path, errors: &mut Errors) {
    for (i, toleration) in items(tolerations).iter().enumerate() {
        let at = path.index(i);
        let (key, operator) = (text(toleration, "key"), text(toleration, "operator"));
        if !key.is_empty() {
            errors.extend(
                rules::qualified_name(key)
                    .into_iter()
                    .map(|m| FieldError::invalid_str(&at.child("key"), key, m)),
            );
        }
        if key.is_empty() && operator != "Exists" {
            errors.push(FieldError::invalid_str(
                &at.child("operator"),
                operator,
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
            ));
        }
        if !unset(toleration, "tolerationSeconds") && text(toleration, "effect") != "NoExecute" {
            errors.push(FieldError::invalid_str(
                &at.child("effect"),
                text(toleration, "effect"),
                "effect must be 'NoExecute' when `tolerationSeconds` is set",
            ));
        }
        let value = text(toleration, "value");
        match operator {
            "" | "Equal" => errors.extend(
                rules::label_value(value)
                    .into_iter()
                    .map(|m| FieldError::invalid_str(&at.child("operator"), value, m)),
            ),
            "Exists" => {
                if !value.is_empty() {
                    errors.push(FieldError::invalid_raw(
                        &at.child("operator"),
                        crate::kinds::dump::internal("core.v1.Toleration", toleration),
                        "value must be empty when `operator` is 'Exists'",
                    ));
                }
            }
            other => {
                errors.push(FieldError::not_supported(
                    &at.child("operator"),
                    &json!(other),
                    &["Equal", "Exists"],
                ));
            }
        }
        let effect = text(toleration, "effect");
        if !matches!(effect, "" | "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
            errors.push(FieldError::not_supported(
                &at.child("effect"),
                &json!(effect),
                &["NoSchedule", "PreferNoSchedule", "NoExecute"],
            ));
        }
    }
}

/// What may change in the spec of a Pod that exists.
pub(super) fn update(obj: &Value, old: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    let (new, old) = (&obj["spec"], &old["spec"]);
    for list in ["containers", "initContainers"] {
        if items(&new[list]).len() != items(&old[list]).len() {
            errors.push(FieldError::forbidden(
                &path.child(list),
                "pod updates may not add or remove containers",
            ));
            return;
        }
    }
    let (deadline, before) = (
        new["activeDeadlineSeconds"].as_i64(),
        old["activeDeadlineSeconds"].as_i64(),
    );
    match (deadline, before) {
        (Some(now), Some(was)) if now > was => {
            errors.push(FieldError::invalid(
                &path.child("activeDeadlineSeconds"),
                &json!(now),
                format!("must be less than or equal to previous value ({was})"),
            ));
            return;
        }
        (None, Some(_)) => {
            errors.push(FieldError::invalid(
                &path.child("activeDeadlineSeconds"),
                &Value::Null,
                "must not update from a positive integer to nil value",
            ));
        }
        _ => {}
    }
    let (after, earlier) = (items(&new["tolerations"]), items(&old["tolerations"]));
    if !earlier
        .iter()
        .all(|t| after.iter().any(|n| same_toleration(n, t)))
    {
        errors.push(FieldError::forbidden(
            &path.child("tolerations"),
            "existing toleration can not be modified except its tolerationSeconds",
        ));
    }
    if comparable(new) != comparable(old) {
        errors.push(FieldError::forbidden(
            &path,
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        ));
    }
}

fn same_toleration(a: &Value, b: &Value) -> bool {
    ["key", "operator", "value", "effect"]
        .iter()
        .all(|k| text(a, k) == text(b, k))
}

/// The spec without what may change.
fn comparable(spec: &Value) -> Value {
    let mut spec = spec.clone();
    for key in ["activeDeadlineSeconds", "tolerations"] {
        value::remove(&mut spec, key);
    }
    for list in ["containers", "initContainers"] {
        for container in value::items_mut(&mut spec, list) {
            value::remove(container, "image");
        }
    }
    spec
}
