use std::time::Duration;

use gitops_core::{Applier as _, ApplyError, Depth};
use gitops_testkit::cluster::{FakeCluster, Fault};
use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::*;

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn a_settled_definition_serves_its_kind() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let widget_kind = widget("w").gvk();
    let kinds = [widget_kind.clone()].into();
    assert!(applier.kinds(&kinds).await.unwrap().is_empty());
    let definition = definition("widgets", "Widget");
    create(&applier, &definition).await;
    let begun = Instant::now();
    applier
        .settle(&[wanted(&definition, Depth::Metadata)], LIMIT)
        .await
        .unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    assert!(applier.kinds(&kinds).await.unwrap()[&widget_kind].namespaced);
    create(&applier, &widget("w")).await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_is_settled_when_it_is_active() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let namespace = ours(
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "finalizers": ["example.com/wait"]}}),
    );
    create(&applier, &namespace).await;
    let wanted = [wanted(&namespace, Depth::Metadata)];
    applier.settle(&wanted, LIMIT).await.unwrap();
    raw(
        &cluster,
        Method::DELETE,
        "/api/v1/namespaces/shop",
        Value::Null,
    )
    .await;
    let error = applier.settle(&wanted, LIMIT).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Namespace shop: not ready after 30 s: it is being deleted"
    );
    assert!(error.is_retryable());
}

#[tokio::test(start_paused = true)]
async fn a_definition_whose_names_are_taken_says_so() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    create(&applier, &definition("widgets", "Widget")).await;
    // The same kind under another name of the resource.
    let second = definition("gizmos", "Widget");
    create(&applier, &second).await;
    let begun = Instant::now();
    let error = applier
        .settle(&[wanted(&second, Depth::Metadata)], LIMIT)
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("CustomResourceDefinition.apiextensions.k8s.io gizmos.example.com: not ready after 30 s: NamesAccepted is False"), "{text}");
    assert!(begun.elapsed() <= LIMIT);
}

#[tokio::test(start_paused = true)]
async fn a_busy_server_is_asked_again_and_a_forbidden_one_is_not() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let definition = definition("widgets", "Widget");
    create(&applier, &definition).await;
    let wanted = [wanted(&definition, Depth::Metadata)];
    cluster.inject(Fault::status(503).verb("get").times(3));
    applier.settle(&wanted, LIMIT).await.unwrap();
    cluster.inject(Fault::status(403).verb("get").always());
    let error = applier.settle(&wanted, LIMIT).await.unwrap_err();
    assert!(matches!(error, ApplyError::Forbidden { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_is_neither_is_not_waited_for() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let wanted = [wanted(&config_map("a", "1"), Depth::Metadata)];
    applier.settle(&wanted, LIMIT).await.unwrap();
    assert!(cluster.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_is_not_waited_for_longer_than_allowed() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let definition = definition("widgets", "Widget");
    create(&applier, &definition).await;
    cluster.inject(Fault::delay(Duration::from_secs(3600)).verb("get").always());
    let begun = Instant::now();
    let error = applier
        .settle(
            &[wanted(&definition, Depth::Metadata)],
            Duration::from_secs(5),
        )
        .await
        .unwrap_err();
    assert!(matches!(error, ApplyError::Unavailable { .. }), "{error}");
    assert!(begun.elapsed() <= Duration::from_secs(6));
}
