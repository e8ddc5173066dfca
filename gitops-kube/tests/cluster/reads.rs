use std::collections::BTreeSet;

use gitops_core::{
    Applier as _, ApplyError, Depth, GroupKind, GroupVersionKind, KindInfo, ObjectId, Owner, Wanted,
};
use gitops_testkit::cluster::{FakeCluster, Fault};
use http::Method;
use serde_json::json;

use crate::support::*;

fn map(name: &str, depth: Depth) -> Wanted {
    Wanted {
        id: id_of("ConfigMap", name),
        version: "v1".into(),
        depth,
    }
}

async fn create_maps(cluster: &FakeCluster, count: usize) {
    for number in 0..count {
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("m{number:04}")}, "data": {"a": "1"}});
        raw(
            cluster,
            Method::POST,
            "/api/v1/namespaces/default/configmaps",
            body,
        )
        .await;
    }
}

fn verbs(cluster: &FakeCluster, mark: gitops_testkit::cluster::Mark) -> Vec<String> {
    let requests = cluster.requests_since(mark);
    let verbs = requests
        .into_iter()
        .filter(|request| !request.resource.is_empty());
    verbs.map(|request| request.verb).collect()
}

#[tokio::test]
async fn each_object_that_is_wanted_is_in_the_answer() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    create(&applier, &config_map("a", "1")).await;
    let observation = applier
        .observe(&[map("a", Depth::Metadata), map("b", Depth::Whole)])
        .await;
    let a = observation[&id_of("ConfigMap", "a")]
        .as_ref()
        .unwrap()
        .as_ref()
        .unwrap();
    assert_eq!(a.object["kind"], "ConfigMap");
    assert_eq!(a.object["apiVersion"], "v1");
    assert!(a.object.get("data").is_none());
    assert!(
        observation[&id_of("ConfigMap", "b")]
            .as_ref()
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_few_are_read_and_many_are_listed() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    for number in 0..30 {
        create(&applier, &config_map(&format!("m{number}"), "1")).await;
    }
    let few: Vec<_> = (0..4)
        .map(|number| map(&format!("m{number}"), Depth::Metadata))
        .collect();
    let mark = cluster.mark();
    applier.observe(&few).await;
    assert_eq!(verbs(&cluster, mark), ["get"; 4]);

    let many: Vec<_> = (0..30)
        .map(|number| map(&format!("m{number}"), Depth::Metadata))
        .collect();
    let mark = cluster.mark();
    let observation = applier.observe(&many).await;
    assert_eq!(verbs(&cluster, mark), ["list"]);
    assert_eq!(observation.len(), 30);
    for (id, live) in &observation {
        let live = live.as_ref().unwrap().as_ref().unwrap();
        assert_eq!(&live.id, id);
        assert_eq!(live.owner, Owner::Us);
        assert!(live.baseline.is_some());
        assert!(live.object["metadata"].get("managedFields").is_none());
    }

    // Of many, only those that are wanted whole are read whole.
    let mut some = many.clone();
    some[3].depth = Depth::Whole;
    let mark = cluster.mark();
    let observation = applier.observe(&some).await;
    assert_eq!(verbs(&cluster, mark), ["list", "get"]);
    let whole = observation[&some[3].id].as_ref().unwrap().as_ref().unwrap();
    assert_eq!(whole.object["data"]["key"], "1");
    assert_eq!(whole.depth, Depth::Whole);
}

#[tokio::test]
async fn many_that_are_nobodys_are_found_page_by_page() {
    let cluster = FakeCluster::new();
    create_maps(&cluster, 1200).await;
    let applier = applier(&cluster);
    let all: Vec<_> = (0..1210)
        .map(|number| map(&format!("m{number:04}"), Depth::Metadata))
        .collect();
    let mark = cluster.mark();
    let observation = applier.observe(&all).await;
    let there = observation
        .values()
        .filter(|live| live.as_ref().unwrap().is_some());
    assert_eq!(there.count(), 1200);
    assert_eq!(observation.len(), 1210);
    // Ours (there are none), and three pages of all.
    assert_eq!(verbs(&cluster, mark), ["list"; 4]);
}

#[tokio::test]
async fn a_few_among_thousands_are_not_searched_for_in_lists() {
    let cluster = FakeCluster::new();
    create_maps(&cluster, 1600).await;
    let applier = applier(&cluster);
    let six: Vec<_> = (1590..1596)
        .map(|number| map(&format!("m{number:04}"), Depth::Metadata))
        .collect();
    let mark = cluster.mark();
    let observation = applier.observe(&six).await;
    assert!(
        observation
            .values()
            .all(|live| live.as_ref().unwrap().is_some())
    );
    let verbs = verbs(&cluster, mark);
    assert_eq!(verbs.iter().filter(|verb| *verb == "list").count(), 2);
    assert_eq!(verbs.iter().filter(|verb| *verb == "get").count(), 6);
}

#[tokio::test]
async fn a_list_that_expires_is_begun_again() {
    let cluster = FakeCluster::new();
    create_maps(&cluster, 1200).await;
    let applier = applier(&cluster);
    let all: Vec<_> = (0..1200)
        .map(|number| map(&format!("m{number:04}"), Depth::Metadata))
        .collect();
    cluster.inject(
        Fault::status(410)
            .verb("list")
            .resource("configmaps")
            .nth(3),
    );
    let observation = applier.observe(&all).await;
    assert!(
        observation
            .values()
            .all(|live| live.as_ref().unwrap().is_some())
    );
}

#[tokio::test]
async fn objects_in_many_namespaces_are_one_list() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let mut all = Vec::new();
    for number in 0..8 {
        let namespace = format!("n{number}");
        let body =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        raw(&cluster, Method::POST, "/api/v1/namespaces", body).await;
        let manifest = ours(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": namespace}}),
        );
        create(&applier, &manifest).await;
        all.push(wanted(&manifest, Depth::Metadata));
    }
    let mark = cluster.mark();
    let observation = applier.observe(&all).await;
    assert!(
        observation
            .values()
            .all(|live| live.as_ref().unwrap().is_some())
    );
    assert_eq!(verbs(&cluster, mark), ["list"]);
}

#[tokio::test]
async fn one_objects_trouble_is_no_others() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    create(&applier, &config_map("a", "1")).await;
    create(&applier, &config_map("b", "1")).await;
    cluster.inject(Fault::status(403).verb("get").name("a").always());
    let observation = applier
        .observe(&[map("a", Depth::Whole), map("b", Depth::Whole)])
        .await;
    let a = observation[&id_of("ConfigMap", "a")].as_ref().unwrap_err();
    assert!(matches!(a, ApplyError::Forbidden { .. }), "{a}");
    assert!(
        observation[&id_of("ConfigMap", "b")]
            .as_ref()
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn lists_that_are_forbidden_cost_nothing_but_reads() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let names: Vec<_> = (0..9).map(|number| format!("m{number}")).collect();
    for name in &names {
        create(&applier, &config_map(name, "1")).await;
    }
    cluster.inject(Fault::status(403).verb("list").always());
    let all: Vec<_> = names
        .iter()
        .map(|name| map(name, Depth::Metadata))
        .collect();
    let observation = applier.observe(&all).await;
    assert!(
        observation
            .values()
            .all(|live| live.as_ref().unwrap().is_some())
    );
}

#[tokio::test]
async fn marks_of_others_and_marks_that_keep_are_read() {
    let cluster = FakeCluster::new();
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a",
        "labels": {"kustomize.toolkit.fluxcd.io/name": "apps"},
        "annotations": {"helm.sh/resource-policy": "keep"}}});
    raw(
        &cluster,
        Method::POST,
        "/api/v1/namespaces/default/configmaps",
        body,
    )
    .await;
    let live = live(&applier(&cluster), &config_map("a", "1")).await;
    assert_eq!(live.owner.to_string(), "Flux (Kustomization apps)");
    assert_eq!(live.keep.as_deref(), Some("helm.sh/resource-policy: keep"));
    assert_eq!(live.baseline, None);
}

#[tokio::test]
async fn an_object_of_a_version_that_is_not_served_is_found_in_another() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let definition = definition("widgets", "Widget");
    create(&applier, &definition).await;
    let settled = [wanted(&definition, Depth::Metadata)];
    let limit = std::time::Duration::from_secs(10);
    applier.settle(&settled, limit).await.unwrap();
    create(&applier, &widget("w")).await;
    let old = Wanted {
        version: "v1alpha1".into(),
        ..wanted(&widget("w"), Depth::Metadata)
    };
    let observation = applier.observe(std::slice::from_ref(&old)).await;
    let live = observation[&old.id].as_ref().unwrap().as_ref().unwrap();
    assert_eq!(live.object["apiVersion"], "example.com/v1");
}

#[tokio::test]
async fn an_object_of_a_kind_that_nobody_knows_is_an_error_and_not_absent() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let id = ObjectId::namespaced(GroupKind::new("example.com", "Gadget"), "default", "g");
    let all: Vec<_> = (0..9)
        .map(|number| Wanted {
            id: ObjectId {
                name: format!("g{number}"),
                ..id.clone()
            },
            version: "v1".into(),
            depth: Depth::Metadata,
        })
        .collect();
    let observation = applier.observe(&all).await;
    assert_eq!(observation.len(), 9);
    for live in observation.values() {
        let error = live.as_ref().unwrap_err();
        assert!(matches!(error, ApplyError::UnknownKind { .. }), "{error}");
    }
}

#[tokio::test]
async fn definitions_are_those_of_the_custom_kinds() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let definition = definition("widgets", "Widget");
    create(&applier, &definition).await;
    let settled = [wanted(&definition, Depth::Metadata)];
    let limit = std::time::Duration::from_secs(10);
    applier.settle(&settled, limit).await.unwrap();
    let kinds: BTreeSet<_> = [
        GroupVersionKind::from_api_version("v1", "ConfigMap"),
        GroupVersionKind::from_api_version("networking.k8s.io/v1", "Ingress"),
        GroupVersionKind::from_api_version("example.com/v1", "Widget"),
        GroupVersionKind::from_api_version("example.com/v1", "Nothing"),
    ]
    .into();
    let known = applier.kinds(&kinds).await.unwrap();
    let defined: Vec<_> = known
        .iter()
        .filter_map(|(kind, info)| Some((&*kind.kind, info.definition.as_ref()?)))
        .collect();
    let [("Widget", found)] = defined[..] else {
        panic!("{defined:?}");
    };
    assert_eq!(found.id().name, "widgets.example.com");
    let found = found.value();
    assert!(found["spec"]["versions"][0]["schema"].is_object());
    assert_eq!(
        found.get("status"),
        None,
        "it changes while the kind doesn't"
    );
}

#[tokio::test]
async fn who_may_not_read_definitions_goes_without() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let definition = definition("widgets", "Widget");
    create(&applier, &definition).await;
    let settled = [wanted(&definition, Depth::Metadata)];
    let limit = std::time::Duration::from_secs(10);
    applier.settle(&settled, limit).await.unwrap();
    let kind = GroupVersionKind::from_api_version("example.com/v1", "Widget");
    let read = Fault::status(403)
        .verb("get")
        .resource("customresourcedefinitions");
    cluster.inject(read.always());
    let known = applier.kinds(&[kind.clone()].into()).await.unwrap();
    assert_eq!(known[&kind], KindInfo::new(true));

    // That the server is busy says nothing of the kind.
    cluster.clear_faults();
    let busy = Fault::status(503)
        .verb("get")
        .resource("customresourcedefinitions");
    cluster.inject(busy.always());
    let error = applier.kinds(&[kind].into()).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
}
