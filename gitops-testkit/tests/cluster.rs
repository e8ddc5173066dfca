//! The fake cluster as its users meet it.
#![expect(clippy::unwrap_used, reason = "a panic in a test names its line")]

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use gitops_testkit::cluster::{FakeCluster, Fault};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::runtime::watcher;
use serde_json::{Value, json};

fn config_map(name: &str, data: Value) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": data})).unwrap()
}

fn maps(cluster: &FakeCluster) -> Api<ConfigMap> {
    Api::namespaced(cluster.client(), "default")
}

fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        _ => 0,
    }
}

#[tokio::test]
async fn a_stale_update_is_a_conflict() {
    let cluster = FakeCluster::new();
    let maps = maps(&cluster);
    let first = maps
        .create(&PostParams::default(), &config_map("a", json!({"x": "1"})))
        .await
        .unwrap();
    let patch = Patch::Merge(json!({"data": {"x": "2"}}));
    maps.patch("a", &PatchParams::default(), &patch)
        .await
        .unwrap();
    let error = maps
        .replace("a", &PostParams::default(), &first)
        .await
        .unwrap_err();
    assert_eq!(code(&error), 409);
}

#[tokio::test]
async fn an_apply_that_changes_nothing_keeps_the_version() {
    let cluster = FakeCluster::new();
    let maps = maps(&cluster);
    let wanted = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}});
    let params = PatchParams::apply("ours");
    let first = maps
        .patch("a", &params, &Patch::Apply(&wanted))
        .await
        .unwrap();
    let again = maps
        .patch("a", &params, &Patch::Apply(&wanted))
        .await
        .unwrap();
    assert_eq!(
        first.metadata.resource_version,
        again.metadata.resource_version
    );

    let mut other = wanted.clone();
    other["data"]["x"] = json!("2");
    let error = maps
        .patch("a", &PatchParams::apply("theirs"), &Patch::Apply(&other))
        .await
        .unwrap_err();
    assert_eq!(code(&error), 409);
    maps.patch(
        "a",
        &PatchParams::apply("theirs").force(),
        &Patch::Apply(&other),
    )
    .await
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_watcher_follows_and_recovers_from_lost_history() {
    let cluster = FakeCluster::new();
    let api = maps(&cluster);
    api.create(&PostParams::default(), &config_map("a", json!({})))
        .await
        .unwrap();
    let mut events = watcher(api.clone(), watcher::Config::default()).boxed();
    let next = async |events: &mut futures::stream::BoxStream<'static, _>| loop {
        let event: Result<watcher::Event<ConfigMap>, watcher::Error> = events.next().await.unwrap();
        match event {
            Ok(watcher::Event::Apply(map) | watcher::Event::InitApply(map)) => {
                break format!("+{}", map.metadata.name.unwrap());
            }
            Ok(watcher::Event::Delete(map)) => break format!("-{}", map.metadata.name.unwrap()),
            _ => {}
        }
    };
    assert_eq!(next(&mut events).await, "+a");
    api.create(&PostParams::default(), &config_map("b", json!({})))
        .await
        .unwrap();
    assert_eq!(next(&mut events).await, "+b");
    // The watch breaks, and what happened meanwhile is forgotten: it has to list again.
    cluster.break_watches();
    api.delete("a", &DeleteParams::default()).await.unwrap();
    cluster.compact();
    assert_eq!(next(&mut events).await, "+b");
}

#[tokio::test(start_paused = true)]
async fn a_delete_between_list_and_watch_is_not_lost() {
    let cluster = FakeCluster::new();
    let api = maps(&cluster);
    api.create(&PostParams::default(), &config_map("a", json!({})))
        .await
        .unwrap();
    let list = api.list(&ListParams::default()).await.unwrap();
    api.delete("a", &DeleteParams::default()).await.unwrap();
    let version = list.metadata.resource_version.unwrap();
    let params = WatchParams::default().timeout(1);
    let mut events: Vec<_> = api
        .watch(&params, &version)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    events.retain(|event| !matches!(event, WatchEvent::Bookmark(_)));
    assert!(
        matches!(events.as_slice(), [WatchEvent::Deleted(map)] if map.metadata.name.as_deref() == Some("a")),
        "{events:?}"
    );
}

#[tokio::test]
async fn a_lost_answer_hides_a_write_that_took_effect() {
    let cluster = FakeCluster::new();
    let api = maps(&cluster);
    cluster.inject(Fault::lose_answer().verb("create").resource("configmaps"));
    api.create(&PostParams::default(), &config_map("a", json!({})))
        .await
        .unwrap_err();
    assert!(api.get_opt("a").await.unwrap().is_some());
    assert_eq!(cluster.requests()[0].status, 0);
}

#[tokio::test(start_paused = true)]
async fn faults_strike_the_request_they_are_aimed_at() {
    let cluster = FakeCluster::new();
    let api = maps(&cluster);
    cluster.inject(Fault::status(429).verb("list").nth(2));
    cluster.inject(
        Fault::delay(Duration::from_secs(7))
            .verb("get")
            .name("slow"),
    );
    api.list(&ListParams::default()).await.unwrap();
    assert_eq!(
        code(&api.list(&ListParams::default()).await.unwrap_err()),
        429
    );
    api.list(&ListParams::default()).await.unwrap();
    let before = cluster.now();
    let _ = api.get_opt("slow").await.unwrap();
    assert_eq!(cluster.now().duration_since(before).as_secs(), 7);
}

#[tokio::test]
async fn the_log_tells_writes_from_reads_and_dry_runs() {
    let cluster = FakeCluster::new();
    let api = maps(&cluster);
    let mark = cluster.mark();
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    api.create(&dry, &config_map("a", json!({}))).await.unwrap();
    let _ = api.get_opt("a").await.unwrap();
    cluster.assert_no_writes_since(mark);
    api.create(&PostParams::default(), &config_map("a", json!({})))
        .await
        .unwrap();
    api.delete("a", &DeleteParams::default()).await.unwrap();
    cluster.assert_writes_since(mark, &["create configmaps/*", "delete configmaps/a"]);
    cluster.assert_no_secret_reads_since(mark);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        cluster.assert_no_writes_since(mark)
    }));
    let message = *caught.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("delete configmaps/default/a"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_saved_cluster_goes_on_from_the_time_it_was_saved() {
    let cluster = FakeCluster::new();
    tokio::time::advance(std::time::Duration::from_secs(3600)).await;
    let back = FakeCluster::builder()
        .restore(&cluster.save())
        .controllers(true)
        .build();
    assert_eq!(back.now(), cluster.now());
}

#[tokio::test]
async fn a_saved_cluster_comes_back_with_its_versions() {
    let cluster = FakeCluster::builder().seed(7).build();
    let made = maps(&cluster)
        .create(&PostParams::default(), &config_map("a", json!({"k": "v"})))
        .await
        .unwrap();
    let text = serde_json::to_string(&cluster.save()).unwrap();
    let back = FakeCluster::restore(&serde_json::from_str(&text).unwrap());
    assert_eq!(maps(&back).get("a").await.unwrap(), made);
    assert_eq!(back.resource_version(), cluster.resource_version());
    let later = maps(&back)
        .create(&PostParams::default(), &config_map("b", json!({})))
        .await
        .unwrap();
    assert!(
        later
            .metadata
            .resource_version
            .unwrap()
            .parse::<u64>()
            .unwrap()
            > cluster.resource_version()
    );
    assert_ne!(later.metadata.uid, made.metadata.uid);
}

#[tokio::test]
async fn the_same_seed_makes_the_same_cluster() {
    let story = async |seed| {
        let cluster = FakeCluster::builder().seed(seed).build();
        let mut map = config_map("x", json!({}));
        map.metadata.name = None;
        map.metadata.generate_name = Some("gen-".into());
        maps(&cluster)
            .create(&PostParams::default(), &map)
            .await
            .unwrap()
    };
    assert_eq!(story(1).await, story(1).await);
    assert_ne!(story(1).await.metadata.name, story(2).await.metadata.name);
}

#[tokio::test]
async fn roles_say_what_a_user_may() {
    let cluster = FakeCluster::new();
    let viewer: Api<ConfigMap> = Api::namespaced(cluster.client_as("ann", &[]), "default");
    assert_eq!(
        code(&viewer.list(&ListParams::default()).await.unwrap_err()),
        403
    );
    let bindings: Api<k8s_openapi::api::rbac::v1::RoleBinding> =
        Api::namespaced(cluster.client(), "default");
    let binding = serde_json::from_value(json!({
        "metadata": {"name": "ann"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "ann"}],
    }))
    .unwrap();
    bindings
        .create(&PostParams::default(), &binding)
        .await
        .unwrap();
    viewer.list(&ListParams::default()).await.unwrap();
    let error = viewer
        .create(&PostParams::default(), &config_map("a", json!({})))
        .await
        .unwrap_err();
    assert_eq!(code(&error), 403);
}

fn deployment() -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "registry.test/web:1"}]}}},
    }))
    .unwrap()
}

#[tokio::test]
async fn deployments_roll_out_if_controllers_run() {
    for on in [false, true] {
        let cluster = FakeCluster::builder().controllers(on).build();
        let api: Api<Deployment> = Api::namespaced(cluster.client(), "default");
        api.create(&PostParams::default(), &deployment())
            .await
            .unwrap();
        let status = api.get("web").await.unwrap().status.unwrap();
        assert_eq!(status.available_replicas, on.then_some(2));
        assert_eq!(status.observed_generation, on.then_some(1));
    }
}

#[tokio::test]
async fn dependents_go_with_their_owner_or_are_let_go() {
    for (policy, params, left) in [
        ("Background", DeleteParams::background(), false),
        ("Foreground", DeleteParams::foreground(), false),
        ("Orphan", DeleteParams::orphan(), true),
    ] {
        let cluster = FakeCluster::builder().controllers(true).build();
        let api = maps(&cluster);
        let owner = api
            .create(&PostParams::default(), &config_map("owner", json!({})))
            .await
            .unwrap();
        let mut child = config_map("child", json!({}));
        child.metadata.owner_references = serde_json::from_value(json!([{
            "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid, "blockOwnerDeletion": true,
        }]))
        .unwrap();
        api.create(&PostParams::default(), &child).await.unwrap();
        let _ = api.delete("owner", &params).await.unwrap();
        assert!(api.get_opt("owner").await.unwrap().is_none(), "{policy}");
        let child = api.get_opt("child").await.unwrap();
        assert_eq!(child.is_some(), left, "{policy}");
        assert!(child.is_none_or(|c| c.metadata.owner_references.is_none()));
    }
}

#[tokio::test]
async fn a_namespace_empties_and_goes() {
    let cluster = FakeCluster::builder().controllers(true).build();
    let namespaces: Api<Namespace> = Api::all(cluster.client());
    let shop = serde_json::from_value(json!({"metadata": {"name": "shop"}})).unwrap();
    namespaces
        .create(&PostParams::default(), &shop)
        .await
        .unwrap();
    let api: Api<ConfigMap> = Api::namespaced(cluster.client(), "shop");
    let mut held = config_map("held", json!({}));
    held.metadata.finalizers = Some(vec!["example.com/hold".into()]);
    api.create(&PostParams::default(), &held).await.unwrap();
    api.create(&PostParams::default(), &config_map("free", json!({})))
        .await
        .unwrap();
    let _ = namespaces
        .delete("shop", &DeleteParams::default())
        .await
        .unwrap();
    assert!(api.get_opt("free").await.unwrap().is_none());
    assert!(
        namespaces.get_opt("shop").await.unwrap().is_some(),
        "a finalizer holds it"
    );
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    api.patch("held", &PatchParams::default(), &release)
        .await
        .unwrap();
    assert!(namespaces.get_opt("shop").await.unwrap().is_none());
}

#[tokio::test]
async fn it_serves_over_http() {
    let cluster = FakeCluster::new();
    let server = cluster.serve("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let config: kube::config::Kubeconfig =
        kube::config::Kubeconfig::from_yaml(&cluster.kubeconfig(&server.url())).unwrap();
    let config = kube::Config::from_custom_kubeconfig(config, &Default::default())
        .await
        .unwrap();
    let api: Api<ConfigMap> = Api::default_namespaced(kube::Client::try_from(config).unwrap());
    api.create(&PostParams::default(), &config_map("a", json!({})))
        .await
        .unwrap();
    assert!(maps(&cluster).get_opt("a").await.unwrap().is_some());
    server.shutdown().await;
    assert!(api.get_opt("a").await.is_err());
}

#[tokio::test]
async fn clusters_do_not_share_anything() {
    let (one, two) = (FakeCluster::new(), FakeCluster::new());
    maps(&one)
        .create(&PostParams::default(), &config_map("a", json!({})))
        .await
        .unwrap();
    assert!(maps(&two).get_opt("a").await.unwrap().is_none());
}
