use gitops_core::{
    Applier as _, ApplyError, ApplyRequest, DeleteRequest, Deleted, Depth, Owner, Precondition,
    WriteOutcome,
};
use gitops_kube::KubeApplier;
use gitops_testkit::cluster::FakeCluster;
use http::Method;
use serde_json::{Value, json};

use crate::support::*;

#[tokio::test]
async fn an_object_is_created_then_unchanged_then_updated() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let created = create(&applier, &config_map("a", "1")).await;
    assert_eq!(created.outcome, WriteOutcome::Created);
    let uid = || Precondition::Uid {
        uid: created.uid.clone(),
    };
    let same = apply(&applier, &config_map("a", "1"), uid()).await.unwrap();
    assert_eq!(same.outcome, WriteOutcome::Unchanged);
    assert_eq!(same.resource_version, created.resource_version);
    assert_eq!(same.baseline, created.baseline);
    let other = apply(&applier, &config_map("a", "2"), uid()).await.unwrap();
    assert_eq!(other.outcome, WriteOutcome::Updated);
    assert_ne!(other.resource_version, created.resource_version);
    assert_eq!(other.uid, created.uid);
}

#[tokio::test]
async fn a_noop_is_known_as_one_without_a_look_before() {
    let cluster = FakeCluster::new();
    let created = create(&applier(&cluster), &config_map("a", "1")).await;
    // Another process, which knows only what the plan says.
    let precondition = Precondition::Version {
        uid: created.uid.clone(),
        resource_version: created.resource_version.clone(),
    };
    let again = apply(&applier(&cluster), &config_map("a", "1"), precondition)
        .await
        .unwrap();
    assert_eq!(again.outcome, WriteOutcome::Unchanged);
}

#[tokio::test]
async fn what_an_apply_answers_is_what_is_observed() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let manifest = deployment("web", 2);
    let created = create(&applier, &manifest).await;
    assert!(created.baseline.is_some());
    let live = live(&applier, &manifest).await;
    assert_eq!(live.uid, created.uid);
    assert_eq!(live.resource_version, created.resource_version);
    assert_eq!(live.baseline, created.baseline);
    assert_eq!(live.owner, Owner::Us);
    assert!(!live.terminating);
}

#[tokio::test]
async fn an_object_that_should_not_be_there_is_not_written() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    raw(
        &cluster,
        Method::POST,
        "/api/v1/namespaces/default/configmaps",
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"theirs": "x"}}),
    )
    .await;
    let before = live(&applier, &config_map("a", "1")).await;
    // One that would conflict, and one that wouldn't.
    for manifest in [
        config_map("a", "1"),
        ours(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}, "data": {"theirs": "y"}}),
        ),
    ] {
        let error = apply(&applier, &manifest, Precondition::Absent)
            .await
            .unwrap_err();
        assert!(matches!(error, ApplyError::Stale { .. }), "{error}");
        let after = live(&applier, &manifest).await;
        assert_eq!(after.resource_version, before.resource_version);
    }
}

#[tokio::test]
async fn another_object_of_the_same_name_is_not_written() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let manifest = config_map("a", "1");
    let first = create(&applier, &manifest).await;
    let seen = live(&applier, &manifest).await;
    let deleted = applier
        .delete(&DeleteRequest::new(&seen, "v1"))
        .await
        .unwrap();
    assert_eq!(deleted, Deleted::Gone);
    let uid = Precondition::Uid { uid: first.uid };
    let missing = apply(&applier, &manifest, uid.clone()).await.unwrap_err();
    assert!(matches!(missing, ApplyError::Stale { .. }), "{missing}");
    create(&applier, &manifest).await;
    let other = apply(&applier, &config_map("a", "2"), uid)
        .await
        .unwrap_err();
    assert!(matches!(other, ApplyError::Stale { .. }), "{other}");
    assert_eq!(live(&applier, &manifest).await.object["data"]["key"], "1");
}

#[tokio::test]
async fn an_object_that_moved_is_not_written_when_the_version_counts() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let manifest = config_map("a", "1");
    create(&applier, &manifest).await;
    let seen = live(&applier, &manifest).await;
    raw(
        &cluster,
        Method::PATCH,
        "/api/v1/namespaces/default/configmaps/a",
        json!({"data": {"more": "x"}}),
    )
    .await;
    let error = apply(&applier, &config_map("a", "2"), exactly(&seen))
        .await
        .unwrap_err();
    assert!(matches!(error, ApplyError::Stale { .. }), "{error}");
    assert!(!error.is_retryable());
    let by_uid = Precondition::Uid { uid: seen.uid };
    let applied = apply(&applier, &config_map("a", "2"), by_uid)
        .await
        .unwrap();
    assert_eq!(applied.outcome, WriteOutcome::Updated);
}

#[tokio::test]
async fn a_conflict_names_the_field_and_who_has_it() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let manifest = deployment("web", 2);
    create(&applier, &manifest).await;
    raw(
        &cluster,
        Method::PATCH,
        "/apis/apps/v1/namespaces/default/deployments/web/scale?fieldManager=kubectl-scale",
        json!({"spec": {"replicas": 5}}),
    )
    .await;
    raw(
        &cluster,
        Method::PATCH,
        "/apis/apps/v1/namespaces/default/deployments/web?fieldManager=kubectl-edit",
        json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "example.com/app:2"}]}}},
               "metadata": {"labels": {"gitops-sdk.dev/reconciler": "x"}}}),
    )
    .await;
    let seen = live(&applier, &manifest).await;
    let ApplyError::Conflict { fields, .. } = apply(&applier, &manifest, exactly(&seen))
        .await
        .unwrap_err()
    else {
        panic!("no conflict");
    };
    let told: Vec<_> = fields.iter().map(ToString::to_string).collect();
    assert!(
        told.contains(&".spec.replicas owned by kubectl-scale (Update of scale)".to_owned()),
        "{told:?}"
    );
    assert!(
        told.contains(
            &".metadata.labels.gitops-sdk.dev/reconciler owned by kubectl-edit (Update)".to_owned()
        ),
        "{told:?}"
    );
    let label = fields
        .iter()
        .find(|field| field.path.to_string().contains("labels"))
        .unwrap();
    assert_eq!(label.path.elements().len(), 3);

    let forced = ApplyRequest::new(manifest.clone(), exactly(&seen)).forced(true);
    let applied = applier.apply(&forced).await.unwrap();
    assert_eq!(applied.outcome, WriteOutcome::Updated);
    assert_eq!(
        live(&applier, &manifest).await.object["spec"]["replicas"],
        2
    );
    let stale = applier.apply(&forced).await.unwrap_err();
    assert!(matches!(stale, ApplyError::Stale { .. }), "{stale}");
}

#[tokio::test]
async fn what_was_exported_from_a_cluster_is_applied_all_the_same() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    create(&applier, &config_map("a", "1")).await;
    let mut exported = Value::clone(&live(&applier, &config_map("a", "1")).await.object);
    exported["metadata"]["name"] = "b".into();
    assert!(exported["metadata"]["managedFields"].is_array());
    let created = create(&applier, &ours(exported)).await;
    assert_eq!(created.outcome, WriteOutcome::Created);
}

#[tokio::test]
async fn writes_carry_the_field_manager_that_was_named() {
    let cluster = FakeCluster::new();
    let applier = KubeApplier::builder(cluster.client())
        .reconciler(US)
        .field_manager("ops & co")
        .build()
        .unwrap();
    create(&applier, &config_map("a", "1")).await;
    let live = live(&applier, &config_map("a", "1")).await;
    assert_eq!(
        live.object["metadata"]["managedFields"][0]["manager"],
        "ops & co"
    );
    assert!(live.baseline.is_some());
}

#[tokio::test]
async fn an_applier_needs_a_name() {
    let cluster = FakeCluster::new();
    let nameless = KubeApplier::builder(cluster.client()).build().unwrap_err();
    assert!(nameless.to_string().contains("reconciler(..)"));
    let bad = KubeApplier::builder(cluster.client())
        .reconciler("Not OK")
        .build()
        .unwrap_err();
    assert!(bad.to_string().contains("reconciler name"), "{bad}");
}

#[tokio::test]
async fn a_delete_takes_away_what_was_seen_and_nothing_else() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let manifest = config_map("a", "1");
    create(&applier, &manifest).await;
    let seen = live(&applier, &manifest).await;
    let uid = Precondition::Uid {
        uid: seen.uid.clone(),
    };
    apply(&applier, &config_map("a", "2"), uid).await.unwrap();
    let request = DeleteRequest::new(&seen, "v1");
    let stale = applier.delete(&request).await.unwrap_err();
    assert!(matches!(stale, ApplyError::Stale { .. }), "{stale}");
    let seen = live(&applier, &manifest).await;
    let request = DeleteRequest::new(&seen, "v1");
    assert_eq!(applier.delete(&request).await.unwrap(), Deleted::Gone);
    assert_eq!(applier.delete(&request).await.unwrap(), Deleted::Gone);
    assert!(found(&applier, &manifest).await.is_none());
    let body = cluster.requests().pop().map(|request| request.verb);
    assert_eq!(body.as_deref(), Some("get"));
}

#[tokio::test]
async fn an_object_with_finalizers_is_terminating() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let manifest = ours(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default", "finalizers": ["example.com/wait"]}}),
    );
    create(&applier, &manifest).await;
    let seen = live(&applier, &manifest).await;
    let request = DeleteRequest::new(&seen, "v1");
    assert_eq!(
        applier.delete(&request).await.unwrap(),
        Deleted::Terminating
    );
    assert!(live(&applier, &manifest).await.terminating);
}

#[tokio::test]
async fn kinds_that_answer_with_the_deleted_object_are_gone() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let manifest = ours(
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "default"}, "spec": {"ports": [{"port": 80}]}}),
    );
    create(&applier, &manifest).await;
    let seen = live(&applier, &manifest).await;
    let request = DeleteRequest::new(&seen, "v1");
    assert_eq!(applier.delete(&request).await.unwrap(), Deleted::Gone);
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_refused_without_a_request() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    for name in ["..", ".", "a/b", "a%2fb"] {
        let manifest = ours(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}}),
        );
        let error = apply(&applier, &manifest, Precondition::Absent)
            .await
            .unwrap_err();
        assert!(matches!(error, ApplyError::Rejected { .. }), "{error}");
    }
    let manifest = ours(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "../../x"}}),
    );
    let wanted = wanted(&manifest, Depth::Whole);
    let observed = applier.observe(std::slice::from_ref(&wanted)).await;
    assert!(observed[&wanted.id].is_err());
    assert!(cluster.requests().is_empty());
}

#[tokio::test]
async fn names_with_reserved_characters_are_addressed_as_they_are() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let manifest = ours(
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "system:a b?c"}, "rules": []}),
    );
    create(&applier, &manifest).await;
    assert_eq!(
        live(&applier, &manifest).await.object["metadata"]["name"],
        "system:a b?c"
    );
}

#[tokio::test]
async fn namespaces_that_are_missing_or_going_are_named() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let within = |namespace: &str| {
        ours(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": namespace}}),
        )
    };
    let missing = apply(&applier, &within("nowhere"), Precondition::Absent)
        .await
        .unwrap_err();
    assert_eq!(
        missing.to_string(),
        "ConfigMap nowhere/a: namespace \"nowhere\" does not exist"
    );
    let namespace = ours(
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "going", "finalizers": ["example.com/wait"]}}),
    );
    create(&applier, &namespace).await;
    raw(
        &cluster,
        Method::DELETE,
        "/api/v1/namespaces/going",
        Value::Null,
    )
    .await;
    let going = apply(&applier, &within("going"), Precondition::Absent)
        .await
        .unwrap_err();
    assert_eq!(
        going.to_string(),
        "ConfigMap going/a: namespace \"going\" is being deleted"
    );
}
