//! Everything that can be wrong with what a reconciler is given: one clear error that names the
//! place, the others go on, nothing is pruned, nothing is lost, and the loop heals when the cause
//! goes away.
//!
//! Each bad commit here changes `api` and withdraws `old` besides: the first has to be applied, the
//! second must not be pruned, for nobody knows what such a commit means to withdraw.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use gitops_core::{ObjectOutcome, ObjectReport, PruneHold, Report};
use gitops_git::{Credentials, GitSource};
use gitops_testkit::cluster::{Fault, Mark};
use gitops_testkit::repo::{CommitBuilder, RepoFault, RequestKind};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use tokio::net::TcpStream;

use crate::cluster;
use crate::world::{Running, World, config_map, names, only_trouble};

/// What must never be told.
const CANARY: &str = "hunter2-canary";

/// A world at rest, and then a commit with something wrong in it.
struct Bad {
    world: World,
    running: Running,
    mark: Mark,
    report: Arc<Report>,
}

impl Bad {
    async fn commit(
        world: World,
        bad: impl FnOnce(CommitBuilder<'_>) -> CommitBuilder<'_>,
    ) -> Self {
        let running = world.settled().await;
        Self::commit_to(world, running, bad).await
    }

    async fn commit_to(
        world: World,
        mut running: Running,
        bad: impl FnOnce(CommitBuilder<'_>) -> CommitBuilder<'_>,
    ) -> Self {
        let commit = world
            .repo
            .commit("a bad one")
            .file("shop/api.yaml", config_map("api", "slow"))
            .remove("shop/old.yaml");
        bad(commit).save().unwrap();
        let mark = world.cluster.mark();
        running.look();
        let report = running.finished().await;
        Self {
            world,
            running,
            mark,
            report,
        }
    }

    /// Asserts that there is one error that holds these words, and that all else is well.
    async fn says(&self, words: &[&str]) {
        let trouble = only_trouble(&self.report);
        for word in words {
            assert!(trouble.contains(word), "no {word:?} in {trouble:?}");
        }
        assert_eq!(
            names(&self.report, &ObjectOutcome::Updated),
            ["api"],
            "{}",
            self.report
        );
        assert_eq!(self.world.mode("api").await.as_deref(), Some("slow"));
        // What is wrong before anything is done, and what goes wrong when it is done.
        let hold = match self.report.problems.is_empty() && !self.skipped() {
            true => PruneHold::Failed { withdrawn: 1 },
            false => PruneHold::Incomplete,
        };
        assert_eq!(self.report.hold, Some(hold), "{}", self.report);
        self.world.assert_nothing_deleted(self.mark);
        self.world.assert_all_there().await;
    }

    /// Whether the plan had left the object out.
    fn skipped(&self) -> bool {
        let skipped =
            |object: &ObjectReport| matches!(object.outcome, ObjectOutcome::Skipped { .. });
        self.report.objects.iter().any(skipped)
    }

    /// Waits until all is well, and asserts that what was withdrawn is gone then, and nothing else.
    async fn heals(mut self) -> World {
        self.running.healed().await;
        assert_eq!(self.world.mode("old").await, None);
        assert_eq!(self.world.mode("api").await.as_deref(), Some("slow"));
        assert!(self.world.mode("web").await.is_some());
        let deletes: Vec<_> = self
            .world
            .cluster
            .requests_since(self.mark)
            .into_iter()
            .filter(|request| request.verb.starts_with("delete"))
            .collect();
        assert_eq!(deletes.len(), 1, "{deletes:?}");
        assert_eq!(deletes[0].name.as_deref(), Some("old"));
        let told = self.running.told();
        assert!(!told.contains(CANARY), "{told}");
        self.running.stop().await;
        self.world
    }
}

// ---- Manifests -------------------------------------------------------------------------------

#[tokio::test]
async fn malformed_yaml_in_one_file() {
    let bad = Bad::commit(World::new(), |commit| {
        commit.file(
            "shop/web.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web\ndata: [\n",
        )
    })
    .await;
    bad.says(&["shop/web.yaml", "line 4"]).await;
    // Nothing but a commit can help, so it isn't tried again and again; what drifts is healed.
    let mut bad = bad;
    bad.world.edit("api", "odd").await;
    bad.running.drift_healed("api").await;
    assert_eq!(bad.world.mode("api").await.as_deref(), Some("slow"));
    bad.world
        .repo
        .commit("mend")
        .file("shop/web.yaml", config_map("web", "new"))
        .save()
        .unwrap();
    bad.running.look();
    let world = bad.heals().await;
    assert_eq!(world.mode("web").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn a_document_that_is_no_object() {
    let text = config_map("web", "fast") + "---\nkind: ConfigMap\nmetadata: {name: x}\n";
    let bad = Bad::commit(World::new(), |commit| commit.file("shop/web.yaml", text)).await;
    bad.says(&["shop/web.yaml", "document 2", "line 8", "apiVersion"])
        .await;
    bad.world
        .repo
        .commit("mend")
        .file("shop/web.yaml", config_map("web", "new"))
        .save()
        .unwrap();
    bad.running.look();
    bad.heals().await;
}

#[tokio::test]
async fn an_object_that_stands_in_two_files() {
    let bad = Bad::commit(World::new(), |commit| {
        commit.file("shop/zweb.yaml", config_map("web", "other"))
    })
    .await;
    bad.says(&["shop/zweb.yaml:1", "ConfigMap web", "shop/web.yaml:1"])
        .await;
    assert_eq!(bad.world.mode("web").await.as_deref(), Some("fast"));
    bad.world
        .repo
        .commit("mend")
        .remove("shop/zweb.yaml")
        .save()
        .unwrap();
    bad.running.look();
    bad.heals().await;
}

#[tokio::test]
async fn a_link_that_leads_out_of_the_repository() {
    let bad = Bad::commit(World::new(), |commit| {
        commit.symlink("shop/passwords.yaml", "../../../../../../etc/passwd")
    })
    .await;
    bad.says(&["shop/passwords.yaml"]).await;
    bad.world
        .repo
        .commit("mend")
        .remove("shop/passwords.yaml")
        .save()
        .unwrap();
    bad.running.look();
    bad.heals().await;
}

#[tokio::test]
async fn a_kind_that_nobody_knows() {
    let bad = Bad::commit(World::new(), |commit| {
        let gizmo = "apiVersion: example.com/v1\nkind: Gizmo\nmetadata: {name: g}\n";
        commit.file("shop/gizmo.yaml", gizmo)
    })
    .await;
    bad.says(&[
        "shop/gizmo.yaml:1",
        "Gizmo.example.com g",
        "does not know kind example.com/v1 Gizmo",
    ])
    .await;
    // Somebody installs the operator that defines it.
    bad.world
        .create(json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "gizmos.example.com"},
            "spec": {
                "group": "example.com", "scope": "Namespaced",
                "names": {"plural": "gizmos", "singular": "gizmo", "kind": "Gizmo", "listKind": "GizmoList"},
                "versions": [{"name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object"}}}],
            },
        }))
        .await;
    let world = bad.heals().await;
    let gizmos = cluster::api(&world.cluster.client(), "example.com/v1", "Gizmo").await;
    gizmos.get("g").await.unwrap();
}

#[tokio::test]
async fn a_namespace_that_does_not_exist() {
    let bad = Bad::commit(World::new(), |commit| {
        let lost =
            config_map("lost", "fast").replace("name: lost", "name: lost\n  namespace: nowhere");
        commit.file("shop/lost.yaml", lost)
    })
    .await;
    bad.says(&[
        "ConfigMap nowhere/lost",
        "namespace \"nowhere\" does not exist",
        "shop/lost.yaml:1",
    ])
    .await;
    bad.world
        .create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "nowhere"}}))
        .await;
    let world = bad.heals().await;
    assert!(world.inventory().await.contains("ConfigMap nowhere/lost"));
}

#[tokio::test]
async fn an_object_that_the_server_refuses() {
    let bad = Bad::commit(World::new(), |commit| {
        let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 99999}]}\n";
        commit.file("shop/service.yaml", service)
    })
    .await;
    bad.says(&[
        "Service default/web",
        "refused",
        "spec.ports[0].port",
        "99999",
        "shop/service.yaml:1",
    ])
    .await;
    bad.world
        .repo
        .commit("mend")
        .remove("shop/service.yaml")
        .save()
        .unwrap();
    bad.running.look();
    bad.heals().await;
}

#[tokio::test]
async fn a_field_that_the_kind_does_not_have() {
    let bad = Bad::commit(World::new(), |commit| {
        commit.file("shop/web.yaml", config_map("web", "fast") + "dota: {}\n")
    })
    .await;
    bad.says(&["ConfigMap default/web", "dota", "shop/web.yaml:1"])
        .await;
    bad.world
        .repo
        .commit("mend")
        .file("shop/web.yaml", config_map("web", "new"))
        .save()
        .unwrap();
    bad.running.look();
    bad.heals().await;
}

#[tokio::test]
async fn a_secret_that_the_server_refuses_is_not_shown() {
    for (kind, data) in [
        // Each is refused with a message that quotes, or may quote, what it refuses.
        (
            "kubernetes.io/dockerconfigjson",
            format!("stringData: {{.dockerconfigjson: {CANARY}}}"),
        ),
        ("Opaque", format!("data: {{password: '{CANARY}!'}}")),
        ("Opaque", format!("data: {{'{CANARY}/x': YQ==}}")),
    ] {
        let secret =
            format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ntype: {kind}\n{data}\n");
        let bad = Bad::commit(World::new(), |commit| {
            commit.file("shop/secret.yaml", secret)
        })
        .await;
        bad.says(&["Secret default/s", "refused", "shop/secret.yaml:1"])
            .await;
        let told = format!("{} {:?}", bad.report, bad.report);
        assert!(!told.contains(CANARY), "{told}");
        bad.world
            .repo
            .commit("mend")
            .remove("shop/secret.yaml")
            .save()
            .unwrap();
        bad.running.look();
        bad.heals().await;
    }
}

// ---- The cluster -------------------------------------------------------------------------------

#[tokio::test]
async fn a_403_on_one_object() {
    let world = World::new();
    let running = world.settled().await;
    world
        .cluster
        .inject(Fault::status(403).verb("patch").name("web").always());
    let bad = Bad::commit_to(world, running, |commit| {
        commit.file("shop/web.yaml", config_map("web", "new"))
    })
    .await;
    bad.says(&["ConfigMap default/web", "shop/web.yaml:1", "forbidden"])
        .await;
    assert_eq!(bad.world.mode("web").await.as_deref(), Some("fast"));
    bad.world.cluster.clear_faults();
    let world = bad.heals().await;
    assert_eq!(world.mode("web").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn a_role_that_does_not_allow_one_kind() {
    let world = World::new();
    let role = |rules: serde_json::Value| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "deployer"}, "rules": rules})
    };
    let maps = json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]});
    let see =
        json!({"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch"]});
    let change =
        json!({"apiGroups": [""], "resources": ["services"], "verbs": ["patch", "create"]});
    world.create(role(json!([maps, see]))).await;
    world
        .create(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "deployer"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "deployer"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "robot"}]}))
        .await;
    let robot = world.cluster.client_as("robot", &["system:authenticated"]);
    let mut running = world.start_as(robot, world.source());
    assert!(running.finished().await.is_success());
    running.watching().await;
    let bad = Bad::commit_to(world, running, |commit| {
        let service =
            "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n";
        commit.file("shop/service.yaml", service)
    })
    .await;
    bad.says(&[
        "Service default/web",
        "robot",
        "cannot patch",
        "services",
        "shop/service.yaml:1",
    ])
    .await;
    let roles = cluster::api(
        &bad.world.cluster.client(),
        "rbac.authorization.k8s.io/v1",
        "ClusterRole",
    )
    .await;
    let granted = Patch::Merge(role(json!([maps, see, change])));
    roles
        .patch("deployer", &PatchParams::default(), &granted)
        .await
        .unwrap();
    bad.heals().await;
}

#[tokio::test]
async fn a_field_that_belongs_to_another_manager() {
    let world = World::new();
    let mut theirs = PatchParams::apply("their-tool");
    let api = world.config_maps().await;
    let map = |data: serde_json::Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared"}, "data": data});
    api.patch(
        "shared",
        &theirs,
        &Patch::Apply(map(json!({"mode": "theirs"}))),
    )
    .await
    .unwrap();
    let bad = Bad::commit(world, |commit| {
        commit.file("shop/shared.yaml", config_map("shared", "ours"))
    })
    .await;
    bad.says(&[
        "ConfigMap default/shared",
        ".data.mode",
        "their-tool",
        "shop/shared.yaml:1",
    ])
    .await;
    assert_eq!(bad.world.mode("shared").await.as_deref(), Some("theirs"));
    // They give it up.
    theirs.force = true;
    api.patch("shared", &theirs, &Patch::Apply(map(json!({"other": "x"}))))
        .await
        .unwrap();
    let world = bad.heals().await;
    assert_eq!(world.mode("shared").await.as_deref(), Some("ours"));
}

#[tokio::test]
async fn an_object_that_belongs_to_another_tool() {
    for (tool, metadata) in [
        (
            "Argo CD (their-app)",
            json!({"annotations": {"argocd.argoproj.io/tracking-id": "their-app:/ConfigMap:default/shared"}}),
        ),
        (
            "Flux (Kustomization their-app)",
            json!({"labels": {
            "kustomize.toolkit.fluxcd.io/name": "their-app", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}}),
        ),
    ] {
        let world = World::new();
        let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"mode": "theirs"}, "metadata": metadata});
        object["metadata"]["name"] = "shared".into();
        world.create(object).await;
        let bad = Bad::commit(world, |commit| {
            commit.file("shop/shared.yaml", config_map("shared", "ours"))
        })
        .await;
        bad.says(&[
            "ConfigMap default/shared",
            "belongs to",
            tool,
            "shop/shared.yaml:1",
        ])
        .await;
        assert_eq!(bad.world.mode("shared").await.as_deref(), Some("theirs"));
        let api = bad.world.config_maps().await;
        api.delete("shared", &DeleteParams::default())
            .await
            .unwrap();
        let mark = bad.world.cluster.mark();
        let world = Bad { mark, ..bad }.heals().await;
        assert_eq!(world.mode("shared").await.as_deref(), Some("ours"));
    }
}

#[tokio::test]
async fn a_cluster_that_is_out_of_reach() {
    let world = World::new();
    let mut running = world.settled().await;
    world
        .repo
        .commit("change")
        .file("shop/api.yaml", config_map("api", "slow"))
        .remove("shop/old.yaml")
        .save()
        .unwrap();
    let mark = world.cluster.mark();
    world.cluster.inject(Fault::refuse_connection().always());
    running.look();
    let report = running.finished().await;
    assert!(!report.is_success() && report.written() == 0, "{report}");
    world.cluster.clear_faults();
    world.assert_nothing_deleted(mark);
    world.assert_all_there().await;
    running.healed().await;
    assert_eq!(world.mode("api").await.as_deref(), Some("slow"));
    assert_eq!(world.mode("old").await, None);
    running.stop().await;
}

// ---- The Git server ----------------------------------------------------------------------------

/// A world at rest, then a new commit that can't be read for some reason, which is seen in the
/// events; then the reason goes away, and nobody has to look.
async fn unreadable(
    world: World,
    mut running: Running,
    break_it: impl FnOnce(&World),
    words: &[&str],
    mend_it: impl FnOnce(&World),
) {
    world
        .repo
        .commit("a good one")
        .file("shop/api.yaml", config_map("api", "slow"))
        .remove("shop/old.yaml")
        .save()
        .unwrap();
    break_it(&world);
    let mark = world.cluster.mark();
    running.look();
    let error = running.failed().await;
    assert_eq!(error.lines().count(), 1, "{error}");
    let address = world.server.address().to_string();
    for word in words.iter().copied().chain([address.as_str()]) {
        assert!(error.contains(word), "no {word:?} in {error:?}");
    }
    world.assert_untouched(mark).await;
    assert_eq!(world.mode("api").await.as_deref(), Some("fast"));

    // What was applied last is still held up.
    world.edit("web", "odd").await;
    running.drift_healed("web").await;
    assert_eq!(world.mode("web").await.as_deref(), Some("fast"));

    mend_it(&world);
    let report = running.next_success(2).await;
    assert_eq!(report.revision.subject(), "a good one");
    assert_eq!(world.mode("api").await.as_deref(), Some("slow"));
    assert_eq!(world.mode("old").await, None);
    assert!(world.mode("web").await.is_some());
    let told = running.told();
    assert!(!told.contains(CANARY), "{told}");
    running.stop().await;
}

#[tokio::test]
async fn a_git_server_that_resets_connections() {
    let world = World::new();
    let running = world.settled().await;
    let fault = |world: &World| world.server.inject(RepoFault::Reset);
    unreadable(world, running, fault, &["broke off"], |world| {
        world.server.clear_faults()
    })
    .await;
}

#[tokio::test]
async fn a_git_server_that_fails() {
    let world = World::new();
    let running = world.settled().await;
    let fault = |world: &World| world.server.inject(RepoFault::Status(503));
    unreadable(world, running, fault, &["HTTP 503"], |world| {
        world.server.clear_faults()
    })
    .await;
}

#[tokio::test]
async fn a_git_server_that_claims_a_commit_it_does_not_have() {
    let world = World::new();
    let running = world.settled().await;
    let lie = "dead".repeat(10);
    let claim = RepoFault::ClaimRef {
        name: "refs/heads/main".into(),
        id: lie.clone(),
    };
    unreadable(
        world,
        running,
        |world| world.server.inject(claim),
        &[&lie],
        |world| world.server.clear_faults(),
    )
    .await;
}

#[tokio::test]
async fn a_git_server_whose_answers_break_off() {
    for (fault, word) in [
        (RepoFault::Truncate { after: 60 }, "broke off"),
        (RepoFault::EndEarly { after: 60 }, "broke"),
        (RepoFault::Corrupt { at: 80 }, "broke"),
    ] {
        let world = World::new();
        let running = world.settled().await;
        let inject = |world: &World| world.server.inject_on(RequestKind::Fetch, fault);
        unreadable(world, running, inject, &[word], |world| {
            world.server.clear_faults()
        })
        .await;
    }
}

#[tokio::test]
async fn a_git_server_that_shows_a_login_page() {
    let world = World::new();
    let running = world.settled().await;
    let page = RepoFault::Page(format!("<html>please log in, {CANARY}</html>"));
    unreadable(
        world,
        running,
        |world| world.server.inject(page),
        &["broken answer"],
        |world| world.server.clear_faults(),
    )
    .await;
}

#[tokio::test]
async fn a_token_that_is_not_accepted() {
    let world = World::new();
    world.server.require_basic("x-access-token", CANARY);
    let source = world.source().credentials(Credentials::token(CANARY));
    let mut running = world.start(source);
    assert!(running.finished().await.is_success());
    running.watching().await;
    let expire = |world: &World| world.server.require_basic("x-access-token", "another one");
    let renew = |world: &World| world.server.require_basic("x-access-token", CANARY);
    unreadable(world, running, expire, &["authentication failed"], renew).await;
}

#[tokio::test]
async fn credentials_in_the_url_are_not_told() {
    let world = World::new();
    world.server.require_basic("ada", CANARY);
    let url = world
        .server
        .url()
        .replace("http://", &format!("http://ada:{CANARY}@"));
    let mut running = world.start(World::source_of(&url));
    assert!(running.finished().await.is_success());
    running.watching().await;
    let lock = |world: &World| world.server.require_basic("ada", "another one");
    let open = |world: &World| world.server.require_basic("ada", CANARY);
    unreadable(world, running, lock, &["authentication failed"], open).await;
}

#[tokio::test]
async fn a_branch_that_is_gone() {
    let world = World::new();
    let running = world.settled().await;
    let delete = |world: &World| {
        world.repo.branch("kept", "main").unwrap();
        world.repo.delete_branch("main").unwrap();
    };
    let restore = |world: &World| world.repo.force_push("main", "kept").unwrap();
    unreadable(world, running, delete, &["no branch main"], restore).await;
}

#[tokio::test]
async fn a_folder_that_is_gone() {
    let world = World::new();
    let running = world.settled().await;
    let remove = |world: &World| {
        world.repo.branch("kept", "main").unwrap();
        let moved = world.repo.commit("move everything").remove("shop");
        moved.file("elsewhere/README", "x").save().unwrap();
    };
    let restore = |world: &World| world.repo.force_push("main", "kept").unwrap();
    unreadable(
        world,
        running,
        remove,
        &["no directory shop in commit"],
        restore,
    )
    .await;
}

#[tokio::test]
async fn a_folder_outside_the_repository_is_refused_at_once() {
    let world = World::new();
    for path in ["../x", "shop/../../x", "/etc", "shop/..", ".git/../x"] {
        let error = GitSource::builder(world.server.url())
            .path(path)
            .build()
            .unwrap_err();
        assert!(error.to_string().contains(path), "{error}");
    }
}

/// A port that refuses connections until it forwards them to a server.
struct Port {
    socket: tokio::net::TcpSocket,
    to: SocketAddr,
}

impl Port {
    /// Bound and not listened on: nobody else can take it.
    fn closed(to: SocketAddr) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket
            .bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .unwrap();
        Self { socket, to }
    }

    fn open(self) {
        let listener = self.socket.listen(16).unwrap();
        let to = self.to;
        tokio::spawn(async move {
            while let Ok((mut here, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut there = TcpStream::connect(to).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
                });
            }
        });
    }
}

#[tokio::test]
async fn a_git_server_that_is_down_when_the_reconciler_starts() {
    let world = World::new();
    world.settled().await.stop().await;
    world
        .repo
        .commit("withdraw")
        .remove("shop/old.yaml")
        .save()
        .unwrap();
    let port = Port::closed(world.server.address());
    let address = port.socket.local_addr().unwrap();
    let mark = world.cluster.mark();
    let mut running = world.start(World::source_of(&format!("http://{address}/repo.git")));
    let error = running.failed().await;
    for word in [
        address.to_string().as_str(),
        "could not be reached",
        "refused",
    ] {
        assert!(error.contains(word), "no {word:?} in {error:?}");
    }
    world.assert_untouched(mark).await;
    port.open();
    let report = running.healed().await;
    assert_eq!(names(&report, &ObjectOutcome::Pruned), ["old"]);
    assert_eq!(world.mode("old").await, None);
    assert_eq!(world.inventory().await.len(), 2);
    running.stop().await;
}
