//! Where a zero is a value.
//!
//! Go leaves a zero (`false`, `0`, `""`) out of JSON, so what a manifest states as
//! `tty: false` the server stores as nothing. Not so where the field is a pointer:
//! `automountServiceAccountToken: false` is kept, and means something else than nothing.

use serde_json::Value;

use crate::schema::TypeRef;

/// The fields that are pointers to a scalar, by the name of their type, as
/// `k8s.io/api` of Kubernetes 1.36 declares them. Sorted.
#[rustfmt::skip]
const POINTERS: &[(&str, &[&str])] = &[
    ("AllocatedDeviceStatus", &["shareID"]),
    ("AppArmorProfile", &["localhostProfile"]),
    ("AzureDiskVolumeSource", &["cachingMode", "fsType", "kind", "readOnly"]),
    ("AzureFilePersistentVolumeSource", &["secretNamespace"]),
    ("CSIDriverSpec", &[
        "attachRequired", "fsGroupPolicy", "nodeAllocatableUpdatePeriodSeconds",
        "podInfoOnMount", "preventPodSchedulingIfMissing", "requiresRepublish", "seLinuxMount",
        "serviceAccountTokenInSecrets", "storageCapacity",
    ]),
    ("CSIStorageCapacity", &["capacity", "maximumVolumeSize"]),
    ("CSIVolumeSource", &["fsType", "readOnly"]),
    ("CapacityRequestPolicy", &["default"]),
    ("CapacityRequestPolicyRange", &["max", "min", "step"]),
    ("CertificateSigningRequestSpec", &["expirationSeconds"]),
    ("ClientIPConfig", &["timeoutSeconds"]),
    ("ClusterTrustBundleProjection", &["name", "optional", "signerName"]),
    ("ConfigMap", &["immutable"]),
    ("ConfigMapEnvSource", &["optional"]),
    ("ConfigMapKeySelector", &["optional"]),
    ("ConfigMapProjection", &["optional"]),
    ("ConfigMapVolumeSource", &["defaultMode", "optional"]),
    ("Container", &["restartPolicy"]),
    ("ContainerStatus", &["started", "stopSignal"]),
    ("CronJobSpec", &[
        "failedJobsHistoryLimit", "startingDeadlineSeconds", "successfulJobsHistoryLimit",
        "suspend", "timeZone",
    ]),
    ("CustomResourceDefinitionVersion", &["deprecationWarning"]),
    ("CustomResourceSubresourceScale", &["labelSelectorPath"]),
    ("DaemonSetSpec", &["revisionHistoryLimit"]),
    ("DaemonSetStatus", &["collisionCount"]),
    ("DeploymentSpec", &["progressDeadlineSeconds", "replicas", "revisionHistoryLimit"]),
    ("DeploymentStatus", &["collisionCount", "terminatingReplicas"]),
    ("Device", &["allNodes", "allowMultipleAllocations", "bindsToNode", "nodeName"]),
    ("DeviceAttribute", &["bool", "int", "string", "version"]),
    ("DeviceClassSpec", &["extendedResourceName"]),
    ("DeviceConstraint", &["distinctAttribute", "matchAttribute"]),
    ("DeviceRequestAllocationResult", &["adminAccess", "shareID"]),
    ("DeviceToleration", &["tolerationSeconds"]),
    ("DownwardAPIVolumeFile", &["mode"]),
    ("DownwardAPIVolumeSource", &["defaultMode"]),
    ("EmptyDirVolumeSource", &["sizeLimit"]),
    ("Endpoint", &["hostname", "nodeName", "zone"]),
    ("EndpointAddress", &["nodeName"]),
    ("EndpointConditions", &["ready", "serving", "terminating"]),
    ("EndpointPort", &["appProtocol", "name", "port", "protocol"]),
    ("EphemeralContainer", &["restartPolicy"]),
    ("ExactDeviceRequest", &["adminAccess"]),
    ("ExemptPriorityLevelConfiguration", &["lendablePercent", "nominalConcurrencyShares"]),
    ("FCVolumeSource", &["lun"]),
    ("FileKeySelector", &["optional"]),
    ("GRPCAction", &["service"]),
    ("GlusterfsPersistentVolumeSource", &["endpointsNamespace"]),
    ("HPAScalingRules", &["selectPolicy", "stabilizationWindowSeconds", "tolerance"]),
    ("HTTPIngressPath", &["pathType"]),
    ("HorizontalPodAutoscalerSpec", &["minReplicas", "targetCPUUtilizationPercentage"]),
    ("HorizontalPodAutoscalerStatus", &["currentCPUUtilizationPercentage", "observedGeneration"]),
    ("HostPathVolumeSource", &["type"]),
    ("ISCSIPersistentVolumeSource", &["initiatorName"]),
    ("ISCSIVolumeSource", &["initiatorName"]),
    ("IngressClassParametersReference", &["apiGroup", "namespace", "scope"]),
    ("IngressPortStatus", &["error"]),
    ("IngressSpec", &["ingressClassName"]),
    ("JSONSchemaProps", &[
        "$ref", "default", "example", "maxItems", "maxLength", "maxProperties", "maximum",
        "minItems", "minLength", "minProperties", "minimum", "multipleOf",
        "x-kubernetes-list-type", "x-kubernetes-map-type",
        "x-kubernetes-preserve-unknown-fields",
    ]),
    ("JobSpec", &[
        "activeDeadlineSeconds", "backoffLimit", "backoffLimitPerIndex", "completionMode",
        "completions", "managedBy", "manualSelector", "maxFailedIndexes", "parallelism",
        "podReplacementPolicy", "suspend", "ttlSecondsAfterFinished",
    ]),
    ("JobStatus", &["failedIndexes", "ready", "terminating"]),
    ("KeyToPath", &["mode"]),
    ("LeaseSpec", &[
        "holderIdentity", "leaseDurationSeconds", "leaseTransitions", "preferredHolder",
        "strategy",
    ]),
    ("Lifecycle", &["stopSignal"]),
    ("LimitedPriorityLevelConfiguration", &[
        "borrowingLimitPercent", "lendablePercent", "nominalConcurrencyShares",
    ]),
    ("LoadBalancerIngress", &["ipMode"]),
    ("LocalVolumeSource", &["fsType"]),
    ("MatchResources", &["matchPolicy"]),
    ("MetricTarget", &["averageUtilization", "averageValue", "value"]),
    ("MetricValueStatus", &["averageUtilization", "averageValue", "value"]),
    ("MutatingAdmissionPolicySpec", &["failurePolicy"]),
    ("MutatingWebhook", &[
        "failurePolicy", "matchPolicy", "reinvocationPolicy", "sideEffects", "timeoutSeconds",
    ]),
    ("NamedRuleWithOperations", &["scope"]),
    ("NetworkPolicyPort", &["endPort", "port", "protocol"]),
    ("NodeAllocatableResourceMapping", &["allocationMultiplier", "capacityKey"]),
    ("NodeFeatures", &["supplementalGroupsPolicy"]),
    ("NodeRuntimeHandlerFeatures", &["recursiveReadOnlyMounts", "userNamespaces"]),
    ("NodeSwapStatus", &["capacity"]),
    ("ObjectMeta", &["deletionGracePeriodSeconds"]),
    ("OwnerReference", &["blockOwnerDeletion", "controller"]),
    ("ParamRef", &["parameterNotFoundAction"]),
    ("PersistentVolumeClaimSpec", &[
        "storageClassName", "volumeAttributesClassName", "volumeMode",
    ]),
    ("PersistentVolumeClaimStatus", &["currentVolumeAttributesClassName"]),
    ("PersistentVolumeSpec", &["volumeAttributesClassName", "volumeMode"]),
    ("PodCertificateProjection", &["maxExpirationSeconds"]),
    ("PodDNSConfigOption", &["value"]),
    ("PodDisruptionBudgetSpec", &[
        "maxUnavailable", "minAvailable", "unhealthyPodEvictionPolicy",
    ]),
    ("PodFailurePolicyOnExitCodesRequirement", &["containerName"]),
    ("PodResourceClaim", &["resourceClaimName", "resourceClaimTemplateName"]),
    ("PodResourceClaimStatus", &["resourceClaimName"]),
    ("PodSchedulingGroup", &["podGroupName"]),
    ("PodSecurityContext", &[
        "fsGroup", "fsGroupChangePolicy", "runAsGroup", "runAsNonRoot", "runAsUser",
        "seLinuxChangePolicy", "supplementalGroupsPolicy",
    ]),
    ("PodSpec", &[
        "activeDeadlineSeconds", "automountServiceAccountToken", "enableServiceLinks",
        "hostUsers", "hostnameOverride", "preemptionPolicy", "priority", "runtimeClassName",
        "setHostnameAsFQDN", "shareProcessNamespace", "terminationGracePeriodSeconds",
    ]),
    ("PortStatus", &["error"]),
    ("PriorityClass", &["preemptionPolicy"]),
    ("Probe", &["terminationGracePeriodSeconds"]),
    ("ProjectedVolumeSource", &["defaultMode"]),
    ("ReplicaSetSpec", &["replicas"]),
    ("ReplicaSetStatus", &["terminatingReplicas"]),
    ("ReplicationControllerSpec", &["replicas"]),
    ("ResourceHealth", &["message"]),
    ("ResourceSliceSpec", &["allNodes", "nodeName", "perDeviceNodeSelection"]),
    ("RollingUpdateDaemonSet", &["maxSurge", "maxUnavailable"]),
    ("RollingUpdateDeployment", &["maxSurge", "maxUnavailable"]),
    ("RollingUpdateStatefulSetStrategy", &["maxUnavailable", "partition"]),
    ("RuleWithOperations", &["scope"]),
    ("SeccompProfile", &["localhostProfile"]),
    ("Secret", &["immutable"]),
    ("SecretEnvSource", &["optional"]),
    ("SecretKeySelector", &["optional"]),
    ("SecretProjection", &["optional"]),
    ("SecretVolumeSource", &["defaultMode", "optional"]),
    ("SecurityContext", &[
        "allowPrivilegeEscalation", "privileged", "procMount", "readOnlyRootFilesystem",
        "runAsGroup", "runAsNonRoot", "runAsUser",
    ]),
    ("ServiceAccount", &["automountServiceAccountToken"]),
    ("ServiceAccountTokenProjection", &["expirationSeconds"]),
    ("ServicePort", &["appProtocol"]),
    ("ServiceReference", &["path", "port"]),
    ("ServiceSpec", &[
        "allocateLoadBalancerNodePorts", "internalTrafficPolicy", "ipFamilyPolicy",
        "loadBalancerClass", "trafficDistribution",
    ]),
    ("StatefulSetSpec", &["replicas", "revisionHistoryLimit"]),
    ("StatefulSetStatus", &["collisionCount"]),
    ("StorageClass", &["allowVolumeExpansion", "reclaimPolicy", "volumeBindingMode"]),
    ("SuccessPolicyRule", &["succeededCount", "succeededIndexes"]),
    ("TokenRequest", &["expirationSeconds"]),
    ("Toleration", &["tolerationSeconds"]),
    ("TopologySpreadConstraint", &["minDomains", "nodeAffinityPolicy", "nodeTaintsPolicy"]),
    ("TypedLocalObjectReference", &["apiGroup"]),
    ("TypedObjectReference", &["apiGroup", "namespace"]),
    ("ValidatingAdmissionPolicySpec", &["failurePolicy"]),
    ("ValidatingWebhook", &["failurePolicy", "matchPolicy", "sideEffects", "timeoutSeconds"]),
    ("Validation", &["reason"]),
    ("ValidationRule", &["optionalOldSelf", "reason"]),
    ("VolumeAttachmentSource", &["persistentVolumeName"]),
    ("VolumeError", &["errorCode"]),
    ("VolumeMount", &["mountPropagation", "recursiveReadOnly"]),
    ("VolumeMountStatus", &["recursiveReadOnly"]),
    ("VolumeNodeResources", &["count"]),
    ("WebhookClientConfig", &["url"]),
    ("WindowsSecurityContextOptions", &[
        "gmsaCredentialSpec", "gmsaCredentialSpecName", "hostProcess", "runAsUserName",
    ]),
];

/// Whether the server stores nothing where the member `name` of an object of type `ty` is
/// stated as `value`: a zero in a field that can't hold nothing otherwise.
pub(super) fn is_left_out(ty: Option<TypeRef<'_>>, name: &str, value: &Value) -> bool {
    let zero = match value {
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    let Some(ty) = ty.filter(|ty| zero && ty.field(name).is_some()) else {
        return false;
    };
    let Some(short) = ty.name().and_then(|name| name.rsplit('.').next()) else {
        return false;
    };
    let pointers = POINTERS
        .binary_search_by_key(&short, |(ty, _)| ty)
        .ok()
        .and_then(|at| POINTERS.get(at));
    pointers.is_none_or(|(_, fields)| fields.binary_search(&name).is_err())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differ::fields_of_all_kinds;
    use crate::schema::Schema;
    use serde_json::json;

    #[test]
    fn the_table_is_sorted_and_every_field_in_it_is_there() {
        assert!(POINTERS.is_sorted_by_key(|(ty, _)| *ty));
        assert!(POINTERS.iter().all(|(_, fields)| fields.is_sorted()));
        let known = fields_of_all_kinds();
        for (ty, fields) in POINTERS {
            for field in *fields {
                assert!(known.contains(&(*ty, *field)), "{ty}.{field}");
            }
        }
    }

    #[test]
    fn a_zero_is_left_out_unless_the_field_is_a_pointer() {
        let pod = Schema::builtin().type_of("v1", "Pod");
        let spec = pod.and_then(|ty| ty.at(["spec"]));
        for (name, value, left_out) in [
            ("hostNetwork", json!(false), true),
            ("hostNetwork", json!(true), false),
            ("nodeName", json!(""), true),
            ("automountServiceAccountToken", json!(false), false),
            ("terminationGracePeriodSeconds", json!(0), false),
            ("runtimeClassName", json!(""), false),
            ("noSuchField", json!(""), false),
            ("volumes", json!([]), false),
        ] {
            assert_eq!(is_left_out(spec, name, &value), left_out, "{name}");
        }
        let config = Schema::builtin().type_of("v1", "ConfigMap");
        let data = config.and_then(|ty| ty.at(["data"]));
        assert!(!is_left_out(data, "a", &json!("")), "a map keeps it");
    }
}
