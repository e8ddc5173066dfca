//! The state of a cluster behind its lock: the store, and what is derived from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use gitops_core::Clock;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::allocator::Allocator;
use super::clock::seconds;
use super::convert;
use super::custom;
use super::random::Random;
use super::rbac::Roles;
use super::registry::{Builtins, Resource, StorageKey};
use super::selectors::LabelSelector;
use super::store::{Store, Stored, object_key};

const BOOTSTRAP: &str = include_str!("data/bootstrap.json");

/// How many versions the bootstrap objects of a new cluster may take.
const BOOTSTRAP_VERSIONS: u64 = 200;

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) random: Random,
    pub(crate) clock: Arc<dyn Clock>,
    /// The resources of custom resource definitions, by group.
    customs: BTreeMap<String, Vec<Arc<Resource>>>,
    /// The key of service account tokens.
    pub(crate) token_key: [u8; 32],
    /// Whether the bootstrap roles are in the store.
    roles_ready: bool,
    started: Timestamp,
    /// Cluster IPs and node ports of Services.
    pub(crate) allocator: Allocator,
}

pub(crate) fn namespaces() -> StorageKey {
    StorageKey::new("", "namespaces")
}

pub(crate) fn definitions() -> StorageKey {
    StorageKey::new("apiextensions.k8s.io", "customresourcedefinitions")
}

const RBAC: &str = "rbac.authorization.k8s.io";

impl State {
    pub(crate) fn new(seed: u64, clock: Arc<dyn Clock>, log_size: usize) -> Self {
        let started = clock.now();
        let mut state = Self {
            store: Store::new(log_size),
            random: Random::new(seed),
            clock,
            customs: BTreeMap::new(),
            token_key: token_key(seed),
            roles_ready: false,
            started,
            allocator: Allocator::new(seed),
        };
        // The roles come when they are first asked for; their versions lie here.
        state.store.skip_versions(BOOTSTRAP_VERSIONS);
        for name in ["kube-system", "kube-public", "kube-node-lease", "default"] {
            state.add_namespace(name);
        }
        state.add_kubernetes_service();
        state.reclaim_addresses();
        state.store.compact();
        state
    }

    /// A state around a store that was saved.
    pub(crate) fn restored(seed: u64, random: u64, clock: Arc<dyn Clock>, store: Store) -> Self {
        let started = clock.now();
        let mut state = Self {
            store,
            random: Random::new(random),
            clock,
            customs: BTreeMap::new(),
            token_key: token_key(seed),
            roles_ready: true,
            started,
            allocator: Allocator::new(random),
        };
        state.refresh_customs();
        state.reclaim_addresses();
        state
    }

    fn add_namespace(&mut self, name: &str) {
        let mut namespace = json!({
            "metadata": {
                "name": name,
                "uid": self.random.uid(),
                "creationTimestamp": seconds(self.started),
                "labels": {"kubernetes.io/metadata.name": name},
                "managedFields": [{
                    "manager": "kube-apiserver", "operation": "Update", "apiVersion": "v1",
                    "time": seconds(self.started), "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:kubernetes.io/metadata.name": {}}}},
                }],
            },
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        });
        self.store.put(&namespaces(), name, &mut namespace);
    }

    fn add_kubernetes_service(&mut self) {
        let mut service = json!({
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "uid": self.random.uid(),
                "creationTimestamp": seconds(self.started),
                "labels": {"component": "apiserver", "provider": "kubernetes"},
            },
            "spec": {
                "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "type": "ClusterIP",
                "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None",
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
            },
            "status": {"loadBalancer": {}},
        });
        self.store.put(
            &StorageKey::new("", "services"),
            "default/kubernetes",
            &mut service,
        );
    }

    /// Books the addresses of the Services that there are.
    fn reclaim_addresses(&mut self) {
        for (_, stored) in self.store.list(&StorageKey::new("", "services"), None) {
            self.allocator.hold(&stored.value());
        }
    }

    /// Puts the bootstrap roles and bindings into the store, once.
    pub(crate) fn ensure_roles(&mut self) {
        if std::mem::replace(&mut self.roles_ready, true) {
            return;
        }
        let bootstrap: Value = serde_json::from_str(BOOTSTRAP).unwrap_or_default();
        let mut version = 2;
        for (list, resource) in [
            ("clusterRoles", "clusterroles"),
            ("clusterRoleBindings", "clusterrolebindings"),
        ] {
            let key = StorageKey::new(RBAC, resource);
            for object in bootstrap
                .get(list)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                let mut object = object.clone();
                let name = object["metadata"]["name"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                object["metadata"]["uid"] = json!(self.random.uid());
                object["metadata"]["creationTimestamp"] = json!(seconds(self.started));
                object["metadata"]["resourceVersion"] = json!(version.to_string());
                self.store.place(&key, &name, &object, version);
                version += 1;
            }
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The resource that a path names.
    pub(crate) fn resource(
        &self,
        group: &str,
        version: &str,
        plural: &str,
    ) -> Option<Arc<Resource>> {
        if let Some(found) = Builtins::get().find(group, version, plural) {
            return Some(found.clone());
        }
        self.customs
            .get(group)?
            .iter()
            .find(|r| r.version == version && r.plural == plural)
            .cloned()
    }

    /// The custom resources of all groups, in order of the groups.
    pub(crate) fn customs(&self) -> &BTreeMap<String, Vec<Arc<Resource>>> {
        &self.customs
    }

    /// Every resource, each in its preferred version.
    pub(crate) fn preferred_resources(&self) -> Vec<Arc<Resource>> {
        let builtins = Builtins::get();
        let mut found: Vec<Arc<Resource>> = Vec::new();
        for group in builtins.groups() {
            for version in &group.versions {
                for resource in builtins.of_version(&group.name, version) {
                    if !found.iter().any(|f| f.storage == resource.storage) {
                        found.push(resource.clone());
                    }
                }
            }
        }
        for resources in self.customs.values() {
            for resource in resources {
                if !found.iter().any(|f| f.storage == resource.storage) {
                    found.push(resource.clone());
                }
            }
        }
        found
    }

    /// Reads the definitions anew.
    pub(crate) fn refresh_customs(&mut self) {
        let mut customs: BTreeMap<String, Vec<Arc<Resource>>> = BTreeMap::new();
        for (_, stored) in self.store.list(&definitions(), None) {
            let crd = stored.value();
            if !condition(&crd, "Established") {
                continue;
            }
            for resource in custom::resources(&crd) {
                customs
                    .entry(resource.group.clone())
                    .or_default()
                    .push(Arc::new(resource));
            }
        }
        self.customs = customs;
    }

    /// An object of `resource` as its version shows it, with `apiVersion` and `kind`.
    pub(crate) fn load(&self, resource: &Resource, stored: &Stored) -> Value {
        convert::from_storage(resource, stored.value())
    }

    pub(crate) fn find(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
    ) -> Option<Arc<Stored>> {
        self.store
            .get(&resource.storage, &object_key(namespace, name))
            .cloned()
    }

    /// A namespace, if there is one.
    pub(crate) fn namespace(&self, name: &str) -> Option<Value> {
        self.store
            .get(&namespaces(), name)
            .map(|stored| stored.value())
    }
}

/// Whether a condition of `object` is true.
pub(crate) fn condition(object: &Value, kind: &str) -> bool {
    object
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .any(|c| c["type"] == kind && c["status"] == "True")
}

fn token_key(seed: u64) -> [u8; 32] {
    *gitops_core::Digest::of_parts([b"service account tokens".as_slice(), &seed.to_be_bytes()])
        .as_bytes()
}

impl Roles for State {
    fn cluster_role_bindings(&self) -> Vec<Value> {
        self.rbac("clusterrolebindings", None)
    }

    fn role_bindings(&self, namespace: &str) -> Vec<Value> {
        self.rbac("rolebindings", Some(namespace))
    }

    fn cluster_role_rules(&self, name: &str) -> Option<Vec<Value>> {
        self.store
            .get(&StorageKey::new(RBAC, "clusterroles"), name)?;
        let rules = self.aggregated(name, &mut Vec::new());
        Some(rules)
    }

    fn role_rules(&self, namespace: &str, name: &str) -> Option<Vec<Value>> {
        let key = object_key(Some(namespace), name);
        let role = self
            .store
            .get(&StorageKey::new(RBAC, "roles"), &key)?
            .value();
        Some(
            role.get("rules")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default(),
        )
    }
}

impl State {
    fn rbac(&self, resource: &str, namespace: Option<&str>) -> Vec<Value> {
        self.store
            .list(&StorageKey::new(RBAC, resource), namespace)
            .into_iter()
            .map(|(_, stored)| stored.value())
            .collect()
    }

    /// The rules of a role that another one aggregates; `seen` ends circles.
    fn aggregated(&self, name: &str, seen: &mut Vec<String>) -> Vec<Value> {
        if seen.iter().any(|s| s == name) {
            return Vec::new();
        }
        seen.push(name.to_owned());
        let Some(role) = self.store.get(&StorageKey::new(RBAC, "clusterroles"), name) else {
            return Vec::new();
        };
        let role = role.value();
        let mut rules = role
            .get("rules")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let selectors: Vec<LabelSelector> = role
            .pointer("/aggregationRule/clusterRoleSelectors")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(LabelSelector::from_object)
            .collect();
        if !selectors.is_empty() {
            for other in self.rbac("clusterroles", None) {
                if selectors
                    .iter()
                    .any(|s| s.matches(other.pointer("/metadata/labels")))
                {
                    let other = other["metadata"]["name"]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned();
                    rules.extend(self.aggregated(&other, seen));
                }
            }
        }
        rules
    }
}
