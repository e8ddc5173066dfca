//! What an endpoint resets.

use crate::fieldset::FieldSet;

/// The fields that a write through an endpoint can't change, and which nobody can own
/// through it: the status, when the object itself is written; the rest, when its status
/// is. For [`Target::reset`](super::Target::reset).
///
/// `subresource` is empty for the object itself, `has_status` says whether the kind has
/// a status subresource. What each built-in kind resets beyond that is what its strategy
/// in Kubernetes 1.36 states (`GetResetFields` in `pkg/registry`).
///
/// ```
/// use gitops_diff::managed::reset_fields;
///
/// let fields = reset_fields("apps", "Deployment", "status", true);
/// let paths: Vec<String> = fields.paths().map(|path| path.to_string()).collect();
/// assert_eq!(paths, [".spec", ".metadata.labels"]);
/// ```
#[must_use]
pub fn reset_fields(
    group: &str,
    kind: &str,
    subresource: &str,
    has_status: bool,
) -> FieldSet<'static> {
    let spec: &[&str] = &["spec"];
    let metadata: &[&str] = &["metadata"];
    match subresource {
        "" if has_status => FieldSet::of_names([["status"].as_slice()]),
        "status" => match (group, kind) {
            ("apps", "Deployment") => FieldSet::of_names([spec, ["metadata", "labels"].as_slice()]),
            ("", "Pod") => FieldSet::of_names([
                spec,
                ["metadata", "deletionTimestamp"].as_slice(),
                ["metadata", "ownerReferences"].as_slice(),
            ]),
            (
                "admissionregistration.k8s.io"
                | "apiextensions.k8s.io"
                | "apiregistration.k8s.io"
                | "flowcontrol.apiserver.k8s.io",
                _,
            )
            | ("storage.k8s.io", "VolumeAttachment") => FieldSet::of_names([spec, metadata]),
            _ => FieldSet::of_names([spec]),
        },
        _ => FieldSet::new(),
    }
}
