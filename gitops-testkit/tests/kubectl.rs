//! The real `kubectl` against the fake cluster.
//!
//! `TEST_ASSET_KUBECTL` names the binary (several, with `:` between them), as in envtest;
//! otherwise the one on the path is taken. Without any the test says so and passes.
#![expect(clippy::unwrap_used, reason = "a panic in a test names its line")]

use std::path::{Path, PathBuf};
use std::process::Stdio;

use gitops_testkit::cluster::FakeCluster;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

fn binaries() -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os("TEST_ASSET_KUBECTL") {
        return std::env::split_paths(&named).collect();
    }
    std::env::var_os("PATH")
        .into_iter()
        .flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
        .map(|folder| folder.join("kubectl"))
        .filter(|binary| binary.is_file())
        .take(1)
        .collect()
}

struct Kubectl<'a> {
    binary: &'a Path,
    home: &'a Path,
}

impl Kubectl<'_> {
    async fn run(&self, arguments: &str, input: &str) -> (bool, String) {
        let mut child = Command::new(self.binary)
            .args(arguments.split(' '))
            .env_clear()
            .env("HOME", self.home)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("KUBECONFIG", self.home.join("config"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A kubectl that reads nothing may be gone already.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    }

    async fn ok(&self, arguments: &str) -> String {
        self.ok_with(arguments, "").await
    }

    async fn ok_with(&self, arguments: &str, input: &str) -> String {
        let (good, text) = self.run(arguments, input).await;
        assert!(good, "{} {arguments}: {text}", self.binary.display());
        text
    }
}

const MANIFESTS: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: 'registry.test/web:1'}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {mode: fast}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_works_against_it() {
    let binaries = binaries();
    if binaries.is_empty() {
        println!("SKIPPED: no kubectl; set TEST_ASSET_KUBECTL or put one on the path");
    }
    for binary in &binaries {
        let home = tempfile::tempdir().unwrap();
        let cluster = FakeCluster::builder().controllers(true).build();
        let server = cluster.serve("127.0.0.1:0".parse().unwrap()).await.unwrap();
        std::fs::write(
            home.path().join("config"),
            cluster.kubeconfig(&server.url()),
        )
        .unwrap();
        story(
            &Kubectl {
                binary,
                home: home.path(),
            },
            &cluster,
        )
        .await;
        server.shutdown().await;
    }
}

async fn story(kubectl: &Kubectl<'_>, cluster: &FakeCluster) {
    kubectl.ok("create namespace shop").await;
    assert!(
        kubectl
            .ok("get namespaces -o name")
            .await
            .contains("namespace/shop")
    );

    // What newer versions send as protobuf.
    for what in [
        "configmap made --from-literal=a=b",
        "secret generic made --from-literal=a=b",
        "serviceaccount made",
        "role made --verb=get --resource=pods",
        "rolebinding made --role=made --serviceaccount=shop:made",
        "deployment made --image=registry.test/x:1 --replicas=3",
        "job made --image=registry.test/x:1",
        "service clusterip made --tcp=80:8080",
        "ingress made --rule=example.com/a=made:80",
        "poddisruptionbudget made --selector=app=made --min-available=50%",
    ] {
        kubectl.ok(&format!("create -n shop {what}")).await;
    }
    assert_eq!(
        kubectl
            .ok("get -n shop secret made -o jsonpath={.data.a}")
            .await,
        "Yg=="
    );
    assert_eq!(
        kubectl
            .ok("get -n shop ingress made -o jsonpath={.spec.rules[0].host}")
            .await,
        "example.com"
    );

    // Client-side, then the server's way, then again: nothing to change.
    let applied = kubectl.ok_with("apply -n shop -f -", MANIFESTS).await;
    assert!(applied.contains("deployment.apps/web created"), "{applied}");
    let changed = MANIFESTS.replace("fast", "slow");
    assert!(
        !kubectl.run("diff -n shop -f -", &changed).await.0,
        "diff finds a difference"
    );
    let applied = kubectl.ok_with("apply -n shop -f -", &changed).await;
    assert!(
        applied.contains("configmap/settings configured"),
        "{applied}"
    );
    assert!(
        applied.contains("deployment.apps/web unchanged"),
        "{applied}"
    );
    kubectl
        .ok_with(
            "apply -n shop --server-side --force-conflicts -f -",
            &changed,
        )
        .await;
    let mark = cluster.mark();
    kubectl
        .ok_with("apply -n shop --server-side -f -", &changed)
        .await;
    assert_eq!(cluster.writes_since(mark).len(), 3);

    assert_eq!(
        kubectl
            .ok("get -n shop configmap settings -o jsonpath={.data.mode}")
            .await,
        "slow"
    );
    assert!(
        kubectl
            .ok("get -n shop deployment web -o yaml")
            .await
            .contains("image: registry.test/web:1")
    );
    let all = kubectl.ok("get all -A").await;
    assert!(
        all.contains("deployment.apps/web") && all.contains("service/kubernetes"),
        "{all}"
    );

    kubectl
        .ok("scale -n shop deployment/web --replicas=5")
        .await;
    assert_eq!(
        kubectl
            .ok("get -n shop deployment web -o jsonpath={.spec.replicas}")
            .await,
        "5"
    );
    let rolled = kubectl
        .ok("rollout status -n shop deployment/web --timeout=20s")
        .await;
    assert!(rolled.contains("successfully rolled out"), "{rolled}");
    kubectl
        .ok("wait -n shop --for=condition=Available deployment/web --timeout=20s")
        .await;
    kubectl.ok("label -n shop deployment/web tier=front").await;
    kubectl
        .ok("annotate -n shop deployment/web example.com/a=b")
        .await;
    assert!(
        kubectl
            .ok("get -n shop deployments -l tier=front -o name")
            .await
            .contains("web")
    );
    kubectl
        .ok("set image -n shop deployment/web web=registry.test/web:2")
        .await;

    assert!(
        kubectl
            .ok("explain deployment.spec.replicas")
            .await
            .contains("replicas")
    );
    assert!(kubectl.ok("api-resources").await.contains("deployments"));
    assert!(kubectl.ok("auth can-i create pods").await.contains("yes"));
    let (good, refused) = kubectl
        .run(
            "create -n shop -f -",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\nbogus: 1\n",
        )
        .await;
    assert!(!good && refused.contains("unknown field"), "{refused}");

    let watched = kubectl
        .run(
            "get -n shop configmaps --watch --output-watch-events --request-timeout=2s",
            "",
        )
        .await
        .1;
    assert!(
        watched.contains("ADDED") && watched.contains("settings"),
        "{watched}"
    );

    kubectl.ok("delete -n shop configmap settings").await;
    kubectl.ok("delete namespace shop --timeout=20s").await;
    assert!(!kubectl.ok("get namespaces -o name").await.contains("shop"));
}
