//! Workloads: Deployment, ReplicaSet, StatefulSet, DaemonSet, ReplicationController, Job, CronJob.

use serde_json::{Value, json};

use crate::kinds::{
    dump,
    error::{FieldError, Path},
    meta, rules,
    value::{self, items, sorted, text, unset},
};

use super::{Errors, IMMUTABLE, cron, non_negative, one_of, pod};

/// A selector: there, valid, not empty. `empty` ends the message about an empty one.
fn selector(spec: &Value, path: &Path, empty: &str, errors: &mut Errors) {
    let at = path.child("selector");
    let selector = &spec["selector"];
    if selector.is_null() {
        errors.push(FieldError::required(&at, ""));
        return;
    }
    meta::label_selector(selector, &at, errors);
    if is_empty_selector(selector) && !empty.is_empty() {
        errors.push(FieldError::invalid(&at, selector, empty));
    }
}

fn is_empty_selector(selector: &Value) -> bool {
    selector["matchLabels"]
        .as_object()
        .is_none_or(serde_json::Map::is_empty)
        && items(&selector["matchExpressions"]).is_empty()
}

/// Whether a label selector selects `labels`. No selector selects nothing.
pub(crate) fn selects(selector: &Value, labels: &Value) -> bool {
    if selector.is_null() {
        return false;
    }
    sorted(&selector["matchLabels"])
        .into_iter()
        .all(|(k, v)| labels.get(k) == Some(v))
        && items(&selector["matchExpressions"])
            .iter()
            .all(|requirement| {
                let value = labels.get(text(requirement, "key"));
                let listed = value.is_some_and(|v| items(&requirement["values"]).contains(v));
                match text(requirement, "operator") {
                    "In" => listed,
                    "NotIn" => !listed,
                    "Exists" => value.is_some(),
                    "DoesNotExist" => value.is_none(),
                    _ => false,
                }
            })
}

const MISMATCH: &str = "`selector` does not match template `labels`";

/// The template of a workload whose pods live for ever.
fn lasting_template(spec: &Value, path: &Path, errors: &mut Errors) {
    let at = path.child("template");
    let labels = &spec["template"]["metadata"]["labels"];
    let empty = !spec["selector"].is_null() && is_empty_selector(&spec["selector"]);
    // An empty selector is reported as such, not as one that doesn't match.
    let matches = empty || selects(&spec["selector"], labels);
    if !matches {
        errors.push(FieldError::invalid(
            &at.child("metadata").child("labels"),
            labels,
            MISMATCH,
        ));
    }
    pod::template(&with_claims(spec), &at, errors);
    let pod = &spec["template"]["spec"];
    if text(pod, "restartPolicy") != "Always" {
        errors.push(FieldError::not_supported(
            &at.child("spec").child("restartPolicy"),
            &pod["restartPolicy"],
            &["Always"],
        ));
    }
    if !unset(pod, "activeDeadlineSeconds") {
        errors.push(FieldError::forbidden(
            &at.child("spec").child("activeDeadlineSeconds"),
            "activeDeadlineSeconds in ReplicaSet is not Supported",
        ));
    }
}

/// The pod template with a volume for each claim of a StatefulSet that the pod itself has none
/// for: what its containers mount may come from either.
fn with_claims(spec: &Value) -> std::borrow::Cow<'_, Value> {
    let claims = items(&spec["volumeClaimTemplates"]);
    if claims.is_empty() {
        return std::borrow::Cow::Borrowed(&spec["template"]);
    }
    let mut template = spec["template"].clone();
    let mut volumes = items(&template["spec"]["volumes"]).to_vec();
    for claim in claims {
        let name = &claim["metadata"]["name"];
        if !volumes.iter().any(|volume| volume["name"] == *name) {
            let source = serde_json::json!({ "claimName": name });
            volumes.push(serde_json::json!({ "name": name, "persistentVolumeClaim": source }));
        }
    }
    template["spec"]["volumes"] = Value::Array(volumes);
    std::borrow::Cow::Owned(template)
}

/// A count or a percentage that is not negative.
fn int_or_percent(value: &Value, path: &Path, errors: &mut Errors) {
    match value {
        Value::String(text) => {
            errors.extend(
                rules::percent(text)
                    .into_iter()
                    .map(|m| FieldError::invalid(path, value, m)),
            );
        }
        Value::Number(n) if n.as_i64().is_some_and(|n| n < 0) => {
            errors.push(FieldError::invalid(path, value, value::NOT_NEGATIVE));
        }
        _ => {}
    }
}

fn not_above_hundred(value: &Value, path: &Path, errors: &mut Errors) {
    if let Some(percent) = value
        .as_str()
        .and_then(|t| t.strip_suffix('%'))
        .and_then(|t| t.parse::<i64>().ok())
        && percent > 100
    {
        errors.push(FieldError::invalid(
            path,
            value,
            "must not be greater than 100%",
        ));
    }
}

fn amount(value: &Value) -> i64 {
    match value {
        Value::String(text) => text
            .strip_suffix('%')
            .and_then(|t| t.parse().ok())
            .unwrap_or(0),
        other => other.as_i64().unwrap_or(0),
    }
}

/// Checks of `int-or-percent` fields that a disruption budget shares.
pub(super) fn budget(value: &Value, path: &Path, errors: &mut Errors) {
    int_or_percent(value, path, errors);
    not_above_hundred(value, path, errors);
}

pub(super) fn deployment(spec: &Value, path: &Path, errors: &mut Errors) {
    non_negative(spec, "replicas", path, errors);
    selector(
        spec,
        path,
        "empty selector is invalid for deployment",
        errors,
    );
    lasting_template(spec, path, errors);
    let at = path.child("strategy");
    let strategy = &spec["strategy"];
    match text(strategy, "type") {
        "Recreate" => {
            if !unset(strategy, "rollingUpdate") {
                errors.push(FieldError::forbidden(
                    &at.child("rollingUpdate"),
                    "may not be specified when strategy `type` is 'Recreate'",
                ));
            }
        }
        "RollingUpdate" => {
            let (rolling, at) = (&strategy["rollingUpdate"], at.child("rollingUpdate"));
            int_or_percent(
                &rolling["maxUnavailable"],
                &at.child("maxUnavailable"),
                errors,
            );
            int_or_percent(&rolling["maxSurge"], &at.child("maxSurge"), errors);
            if amount(&rolling["maxUnavailable"]) == 0 && amount(&rolling["maxSurge"]) == 0 {
                errors.push(FieldError::invalid(
                    &at.child("maxUnavailable"),
                    &rolling["maxUnavailable"],
                    "may not be 0 when `maxSurge` is 0",
                ));
            }
            not_above_hundred(
                &rolling["maxUnavailable"],
                &at.child("maxUnavailable"),
                errors,
            );
        }
        _ => errors.push(FieldError::not_supported_raw(
            &at,
            dump::internal("apps.v1.DeploymentStrategy", strategy),
            &["Recreate", "RollingUpdate"],
        )),
    }
    non_negative(spec, "minReadySeconds", path, errors);
    non_negative(spec, "revisionHistoryLimit", path, errors);
    if let Some(deadline) = spec["progressDeadlineSeconds"].as_i64() {
        non_negative(spec, "progressDeadlineSeconds", path, errors);
        if deadline <= spec["minReadySeconds"].as_i64().unwrap_or(0) {
            errors.push(FieldError::invalid(
                &path.child("progressDeadlineSeconds"),
                &json!(deadline),
                "must be greater than minReadySeconds",
            ));
        }
    }
}

pub(super) fn replica_set(spec: &Value, path: &Path, errors: &mut Errors) {
    non_negative(spec, "replicas", path, errors);
    non_negative(spec, "minReadySeconds", path, errors);
    selector(
        spec,
        path,
        "empty selector is invalid for deployment",
        errors,
    );
    lasting_template(spec, path, errors);
}

pub(super) fn replication_controller(spec: &Value, path: &Path, errors: &mut Errors) {
    non_negative(spec, "minReadySeconds", path, errors);
    let chosen = &spec["selector"];
    if chosen.as_object().is_none_or(serde_json::Map::is_empty) {
        errors.push(FieldError::required(&path.child("selector"), ""));
    }
    non_negative(spec, "replicas", path, errors);
    if unset(spec, "template") {
        errors.push(FieldError::required(&path.child("template"), ""));
        return;
    }
    let as_selector = json!({"selector": {"matchLabels": chosen}, "template": spec["template"]});
    lasting_template(&as_selector, path, errors);
}

pub(super) fn stateful_set(spec: &Value, path: &Path, errors: &mut Errors) {
    match text(spec, "podManagementPolicy") {
        "" => errors.push(FieldError::required(&path.child("podManagementPolicy"), "")),
        "OrderedReady" | "Parallel" => {}
        other => errors.push(FieldError::invalid_str(
            &path.child("podManagementPolicy"),
            other,
            "must be 'OrderedReady' or 'Parallel'",
        )),
    }
    let at = path.child("updateStrategy");
    let strategy = &spec["updateStrategy"];
    match text(strategy, "type") {
        "" => errors.push(FieldError::required(&at, "")),
        "OnDelete" => {
            if !unset(strategy, "rollingUpdate") {
                errors.push(FieldError::invalid_raw(
                    &at.child("rollingUpdate"),
                    dump::internal(
                        "apps.v1.RollingUpdateStatefulSetStrategy",
                        &strategy["rollingUpdate"],
                    ),
                    "only allowed for updateStrategy 'RollingUpdate'",
                ));
            }
        }
        "RollingUpdate" => {
            non_negative(
                &strategy["rollingUpdate"],
                "partition",
                &at.child("rollingUpdate"),
                errors,
            );
        }
        _ => errors.push(FieldError::invalid_raw(
            &at,
            dump::internal("apps.v1.StatefulSetUpdateStrategy", strategy),
            "must be 'RollingUpdate' or 'OnDelete'",
        )),
    }
    let retention = path.child("persistentVolumeClaimRetentionPolicy");
    for key in ["whenDeleted", "whenScaled"] {
        one_of(
            &spec["persistentVolumeClaimRetentionPolicy"],
            key,
            &["Retain", "Delete"],
            &retention,
            errors,
        );
    }
    non_negative(spec, "replicas", path, errors);
    non_negative(spec, "minReadySeconds", path, errors);
    let service = text(spec, "serviceName");
    if !service.is_empty() {
        let at = path.child("serviceName");
        errors.extend(
            rules::dns_subdomain(service)
                .into_iter()
                .map(|m| FieldError::invalid_str(&at, service, m)),
        );
    }
    selector(
        spec,
        path,
        "empty selector is invalid for statefulset",
        errors,
    );
    lasting_template(spec, path, errors);
}

pub(super) fn daemon_set(spec: &Value, path: &Path, errors: &mut Errors) {
    meta::label_selector(&spec["selector"], &path.child("selector"), errors);
    let labels = &spec["template"]["metadata"]["labels"];
    if !spec["selector"].is_null() && !selects(&spec["selector"], labels) {
        errors.push(FieldError::invalid(
            &path.child("template").child("metadata").child("labels"),
            labels,
            MISMATCH,
        ));
    }
    if !spec["selector"].is_null() && is_empty_selector(&spec["selector"]) {
        errors.push(FieldError::invalid(
            &path.child("selector"),
            &spec["selector"],
            "empty selector is invalid for daemonset",
        ));
    }
    if spec["selector"].is_null() {
        errors.push(FieldError::required(&path.child("selector"), ""));
    }
    let at = path.child("template");
    pod::template(&spec["template"], &at, errors);
    let pod = &spec["template"]["spec"];
    if text(pod, "restartPolicy") != "Always" {
        errors.push(FieldError::not_supported(
            &at.child("spec").child("restartPolicy"),
            &pod["restartPolicy"],
            &["Always"],
        ));
    }
    non_negative(spec, "minReadySeconds", path, errors);
    let at = path.child("updateStrategy");
    let strategy = &spec["updateStrategy"];
    match text(strategy, "type") {
        "OnDelete" => {}
        "RollingUpdate" => {
            let (rolling, at) = (&strategy["rollingUpdate"], at.child("rollingUpdate"));
            int_or_percent(
                &rolling["maxUnavailable"],
                &at.child("maxUnavailable"),
                errors,
            );
            not_above_hundred(
                &rolling["maxUnavailable"],
                &at.child("maxUnavailable"),
                errors,
            );
            int_or_percent(&rolling["maxSurge"], &at.child("maxSurge"), errors);
            not_above_hundred(&rolling["maxSurge"], &at.child("maxSurge"), errors);
            let (unavailable, surge) = (
                amount(&rolling["maxUnavailable"]),
                amount(&rolling["maxSurge"]),
            );
            if unavailable != 0 && surge != 0 {
                errors.push(FieldError::invalid(
                    &at.child("maxSurge"),
                    &rolling["maxSurge"],
                    "may not be set when maxUnavailable is non-zero",
                ));
            } else if unavailable == 0 && surge == 0 {
                errors.push(FieldError::required(
                    &at.child("maxUnavailable"),
                    "cannot be 0 when maxSurge is 0",
                ));
            }
        }
        _ => one_of(
            strategy,
            "type",
            &["OnDelete", "RollingUpdate"],
            &at,
            errors,
        ),
    }
    non_negative(spec, "revisionHistoryLimit", path, errors);
}

/// The generated selector of a Job, which must be the generated one.
pub(super) fn generated_selector(obj: &Value, errors: &mut Errors) {
    let spec = &obj["spec"];
    if spec["manualSelector"] == true || spec["selector"].is_null() {
        return;
    }
    let (uid, name) = (
        text(&obj["metadata"], "uid"),
        text(&obj["metadata"], "name"),
    );
    let labels = &spec["template"]["metadata"]["labels"];
    let at = Path::new("spec.template.metadata.labels");
    let mut expect = |key: &str, value: &str| {
        if text(labels, key) != value && !labels.is_null() {
            errors.push(FieldError::invalid(
                &at,
                labels,
                format!("must be '{value}'"),
            ));
        }
    };
    if labels.get("controller-uid").is_some() {
        expect("controller-uid", uid);
    }
    if labels.get("job-name").is_some() {
        expect("job-name", name);
    }
    if labels.get("batch.kubernetes.io/controller-uid").is_some() {
        expect("batch.kubernetes.io/controller-uid", uid);
    }
    let generated = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
    let legacy = json!({"matchLabels": {"controller-uid": uid}});
    if spec["selector"] != generated && spec["selector"] != legacy {
        errors.push(FieldError::invalid(
            &Path::new("spec.selector"),
            &spec["selector"],
            "`selector` not auto-generated",
        ));
    }
}

/// The spec of a Job, with its selector.
pub(super) fn job(spec: &Value, path: &Path, errors: &mut Errors) {
    if spec["selector"].is_null() {
        errors.push(FieldError::required(&path.child("selector"), ""));
    } else {
        meta::label_selector(&spec["selector"], &path.child("selector"), errors);
    }
    let labels = &spec["template"]["metadata"]["labels"];
    job_body(spec, path, errors, |errors| {
        if !selects(&spec["selector"], labels) {
            errors.push(FieldError::invalid(
                &path.child("template").child("metadata").child("labels"),
                labels,
                MISMATCH,
            ));
        }
    });
}

/// What a Job and the template of a CronJob share. `check_labels` runs where the server
/// looks at the selector: after the counts, before the pod template.
fn job_body(spec: &Value, path: &Path, errors: &mut Errors, check_labels: impl Fn(&mut Errors)) {
    for key in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
    ] {
        non_negative(spec, key, path, errors);
    }
    for key in ["backoffLimitPerIndex", "maxFailedIndexes"] {
        non_negative(spec, key, path, errors);
    }
    let mode = text(spec, "completionMode");
    if !mode.is_empty() {
        if !matches!(mode, "NonIndexed" | "Indexed") {
            errors.push(FieldError::not_supported(
                &path.child("completionMode"),
                &json!(mode),
                &["NonIndexed", "Indexed"],
            ));
        }
        if mode == "Indexed" && unset(spec, "completions") {
            errors.push(FieldError::required(
                &path.child("completions"),
                "when completion mode is Indexed",
            ));
        }
        if mode != "Indexed" {
            for key in ["backoffLimitPerIndex", "maxFailedIndexes"] {
                if !unset(spec, key) {
                    errors.push(FieldError::invalid(
                        &path.child(key),
                        &spec[key],
                        "requires indexed completion mode",
                    ));
                }
            }
        }
    }
    if !unset(spec, "maxFailedIndexes") && unset(spec, "backoffLimitPerIndex") {
        errors.push(FieldError::required(
            &path.child("backoffLimitPerIndex"),
            "when maxFailedIndexes is specified",
        ));
    }
    let replacement = text(spec, "podReplacementPolicy");
    if !matches!(replacement, "" | "Failed" | "TerminatingOrFailed") {
        errors.push(FieldError::not_supported(
            &path.child("podReplacementPolicy"),
            &json!(replacement),
            &["Failed", "TerminatingOrFailed"],
        ));
    }
    let at = path.child("template");
    check_labels(errors);
    pod::template(&spec["template"], &at, errors);
    let restart = text(&spec["template"]["spec"], "restartPolicy");
    let at = at.child("spec").child("restartPolicy");
    match restart {
        "" | "Always" => {
            errors.push(FieldError::required(
                &at,
                "valid values: \"OnFailure\", \"Never\"",
            ));
        }
        "OnFailure" | "Never" => {}
        other => errors.push(FieldError::not_supported(
            &at,
            &json!(other),
            &["OnFailure", "Never"],
        )),
    }
}

pub(super) fn cron_job(spec: &Value, path: &Path, errors: &mut Errors) {
    let schedule = text(spec, "schedule");
    let at = path.child("schedule");
    if schedule.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else {
        if let Err(error) = cron::check(schedule) {
            errors.push(FieldError::invalid_str(&at, schedule, error));
        } else if schedule.contains("TZ") {
            errors.push(FieldError::invalid_str(
                &at,
                schedule,
                "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
            ));
        }
    }
    non_negative(spec, "startingDeadlineSeconds", path, errors);
    if let Some(zone) = spec["timeZone"].as_str() {
        let at = path.child("timeZone");
        if zone.is_empty() {
            errors.push(FieldError::invalid_str(
                &at,
                zone,
                "timeZone must be nil or non-empty string",
            ));
        } else if zone.eq_ignore_ascii_case("local") {
            errors.push(FieldError::invalid_str(&at, zone, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"));
        } else if !cron::is_zone(zone) {
            errors.push(FieldError::invalid_str(
                &at,
                zone,
                format!("unknown time zone {zone}"),
            ));
        }
    }
    match text(spec, "concurrencyPolicy") {
        "" => errors.push(FieldError::required(&path.child("concurrencyPolicy"), "")),
        _ => one_of(
            spec,
            "concurrencyPolicy",
            &["Allow", "Forbid", "Replace"],
            path,
            errors,
        ),
    }
    let at = path.child("jobTemplate");
    let template = &spec["jobTemplate"];
    if !unset(&template["spec"], "selector") {
        errors.push(FieldError::invalid(
            &at.child("spec").child("selector"),
            &template["spec"]["selector"],
            "`selector` will be auto-generated",
        ));
    }
    if template["spec"]["manualSelector"] == true {
        errors.push(FieldError::not_supported(
            &at.child("spec").child("manualSelector"),
            &json!(true),
            &["nil", "false"],
        ));
    }
    job_body(&template["spec"], &at.child("spec"), errors, |_| {});
    non_negative(spec, "successfulJobsHistoryLimit", path, errors);
    non_negative(spec, "failedJobsHistoryLimit", path, errors);
}

/// Fields of a Job that may not change.
pub(super) fn job_update(obj: &Value, old: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    let (new, old) = (&obj["spec"], &old["spec"]);
    // An elastic indexed Job may change completions together with parallelism.
    let elastic = text(new, "completionMode") == "Indexed"
        && new["completions"] == new["parallelism"]
        && !new["completions"].is_null()
        && !old["completions"].is_null();
    if new["completions"] != old["completions"] && !elastic {
        errors.push(FieldError::invalid(
            &path.child("completions"),
            &new["completions"],
            IMMUTABLE,
        ));
    }
    if new["selector"] != old["selector"] {
        errors.push(FieldError::invalid(
            &path.child("selector"),
            &new["selector"],
            IMMUTABLE,
        ));
    }
    let loose = old["suspend"] == true;
    if job_template(new, loose) != job_template(old, loose) {
        errors.push(FieldError::invalid_raw(
            &path.child("template"),
            dump::internal("core.v1.PodTemplateSpec", &new["template"]),
            IMMUTABLE,
        ));
    }
    for key in [
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "managedBy",
        "successPolicy",
    ] {
        if new[key] != old[key] {
            errors.push(FieldError::invalid(&path.child(key), &new[key], IMMUTABLE));
        }
    }
}

/// The template; `loose`: without what may change while a Job is suspended.
fn job_template(spec: &Value, loose: bool) -> Value {
    let mut template = spec["template"].clone();
    if loose {
        if let Some(pod) = value::member(&mut template, "spec") {
            for key in ["nodeSelector", "affinity", "tolerations", "schedulingGates"] {
                value::remove(pod, key);
            }
        }
        if let Some(meta) = value::member(&mut template, "metadata") {
            for key in ["labels", "annotations"] {
                value::remove(meta, key);
            }
        }
    }
    template
}

/// Fields of a StatefulSet that may not change: all but a few.
pub(super) fn stateful_set_update(obj: &Value, old: &Value, errors: &mut Errors) {
    const MUTABLE: [&str; 7] = [
        "replicas",
        "template",
        "updateStrategy",
        "minReadySeconds",
        "ordinals",
        "persistentVolumeClaimRetentionPolicy",
        "revisionHistoryLimit",
    ];
    let strip = |spec: &Value| {
        let mut spec = spec.clone();
        for key in MUTABLE {
            value::remove(&mut spec, key);
        }
        spec
    };
    if strip(&obj["spec"]) != strip(&old["spec"]) {
        errors.push(FieldError::forbidden(
            &Path::new("spec"),
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        ));
    }
}

/// Counts in the status of a workload: not negative, none above the total.
pub(super) fn status(name: &str, status: &Value, errors: &mut Errors) {
    let path = Path::new("status");
    let (counts, parts): (&[&str], &[&str]) = match name {
        "Deployment" => (
            &[
                "observedGeneration",
                "replicas",
                "updatedReplicas",
                "readyReplicas",
                "availableReplicas",
                "unavailableReplicas",
                "terminatingReplicas",
                "collisionCount",
            ],
            &["updatedReplicas", "readyReplicas", "availableReplicas"],
        ),
        "ReplicaSet" | "ReplicationController" => (
            &[
                "replicas",
                "fullyLabeledReplicas",
                "readyReplicas",
                "availableReplicas",
                "terminatingReplicas",
                "observedGeneration",
            ],
            &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"],
        ),
        "StatefulSet" => (
            &[
                "replicas",
                "readyReplicas",
                "currentReplicas",
                "updatedReplicas",
                "availableReplicas",
                "observedGeneration",
                "collisionCount",
            ],
            &[
                "readyReplicas",
                "currentReplicas",
                "updatedReplicas",
                "availableReplicas",
            ],
        ),
        "DaemonSet" => (
            &[
                "currentNumberScheduled",
                "numberMisscheduled",
                "desiredNumberScheduled",
                "numberReady",
                "observedGeneration",
                "updatedNumberScheduled",
                "numberAvailable",
                "numberUnavailable",
            ],
            &[],
        ),
        "Job" => (
            &["active", "succeeded", "failed", "ready", "terminating"],
            &[],
        ),
        "PodDisruptionBudget" => (
            &[
                "disruptionsAllowed",
                "currentHealthy",
                "desiredHealthy",
                "expectedPods",
            ],
            &[],
        ),
        "HorizontalPodAutoscaler" => (&["currentReplicas", "desiredReplicas"], &[]),
        _ => return,
    };
    for key in counts {
        non_negative(status, key, &path, errors);
    }
    let count = |key: &str| status[key].as_i64().unwrap_or(0);
    for key in parts {
        if count(key) > count("replicas") {
            errors.push(FieldError::invalid(
                &path.child(key),
                &json!(count(key)),
                "cannot be greater than status.replicas",
            ));
        }
    }
    if !parts.is_empty() && count("availableReplicas") > count("readyReplicas") {
        let bound = if name == "StatefulSet" {
            "status.readyReplicas"
        } else {
            "readyReplicas"
        };
        errors.push(FieldError::invalid(
            &path.child("availableReplicas"),
            &json!(count("availableReplicas")),
            format!("cannot be greater than {bound}"),
        ));
    }
}
