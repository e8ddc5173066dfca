//! Shared workloads of the benches.

pub mod cases;
pub mod instructions;
pub mod objects;
pub mod world;

use async_trait::async_trait;
use gitops_core::{Revision, Snapshot, Source, SourceError};

/// A source of one revision, in memory.
pub struct Fixed {
    files: Snapshot,
}

impl Fixed {
    /// The files at the one revision there is.
    #[must_use]
    pub fn new(files: Snapshot) -> Self {
        Self { files }
    }
}

#[async_trait]
impl Source for Fixed {
    async fn resolve(&self) -> Result<Revision, SourceError> {
        Ok(Revision::new("fixed"))
    }

    async fn fetch(&self, _: &Revision) -> Result<Snapshot, SourceError> {
        Ok(self.files.clone())
    }

    fn describe(&self) -> String {
        "files in memory".into()
    }
}

/// Manifests of `count` objects, Deployments of about a kilobyte and small ConfigMaps in turn, in
/// namespace `load`: the mix of `reference/reliability-performance.md`, "Workload W".
#[must_use]
pub fn workload(count: usize) -> Vec<(String, String)> {
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: load\n".to_owned();
    let mut files = vec![("namespace.yaml".to_owned(), namespace)];
    for at in 0..count.saturating_sub(1) {
        let content = if at % 2 == 0 {
            deployment(at)
        } else {
            config_map(at)
        };
        files.push((format!("{:03}/{at:06}.yaml", at / 1000), content));
    }
    files
}

/// The name of object number `at` of [`workload`].
#[must_use]
pub fn name(at: usize) -> String {
    format!("object-{at:06}")
}

fn config_map(at: usize) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {}\n  namespace: load\ndata:\n  \
         mode: fast\n  level: \"{at}\"\n",
        name(at)
    )
}

fn deployment(at: usize) -> String {
    let name = name(at);
    format!(
        r"apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  namespace: load
  labels:
    app.kubernetes.io/name: {name}
    app.kubernetes.io/part-of: load
spec:
  replicas: 2
  selector:
    matchLabels:
      app.kubernetes.io/name: {name}
  template:
    metadata:
      labels:
        app.kubernetes.io/name: {name}
        app.kubernetes.io/part-of: load
    spec:
      serviceAccountName: default
      containers:
        - name: app
          image: registry.example.com/load/{name}:1.0.{at}
          ports:
            - name: http
              containerPort: 8080
          env:
            - name: LEVEL
              value: '{at}'
          resources:
            requests:
              cpu: 100m
              memory: 64Mi
            limits:
              memory: 128Mi
          readinessProbe:
            httpGet:
              path: /ready
              port: http
"
    )
}
