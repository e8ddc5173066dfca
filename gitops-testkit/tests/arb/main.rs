//! The generators make what they say they make.
#![expect(clippy::unwrap_used, reason = "a panic in a test names its line")]

use std::cell::RefCell;
use std::collections::BTreeMap;

use gitops_core::GroupVersionKind;
use gitops_diff::schema::{Schema, builtin_resources};
use gitops_diff::typed::{self, Duplicates};
use gitops_testkit::arb;
use gitops_testkit::kinds::{self, Kind, decode_value};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use serde_json::Value;

fn runner(cases: u32) -> TestRunner {
    TestRunner::new_with_rng(
        Config {
            cases,
            failure_persistence: None,
            ..Config::default()
        },
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    )
}

fn kind_of(object: &Value) -> Kind {
    let gvk = GroupVersionKind::from_api_version(
        object["apiVersion"].as_str().unwrap(),
        object["kind"].as_str().unwrap(),
    );
    Kind::lookup(&gvk.group, &gvk.version, &gvk.kind).unwrap()
}

fn check_types(object: &Value) -> Result<(), TestCaseError> {
    let ty = Schema::builtin().type_of_object(object).unwrap();
    typed::validate(object, ty, Duplicates::Refused)
        .map_err(|error| TestCaseError::fail(format!("{error}\n{object:#}")))
}

fn check_strict(object: &Value) -> Result<(), TestCaseError> {
    let decoded = decode_value(kind_of(object), object)
        .map_err(|error| TestCaseError::fail(format!("{error:?}\n{object:#}")))?;
    prop_assert!(
        decoded.strict.is_empty(),
        "{:?}\n{object:#}",
        decoded.strict
    );
    Ok(())
}

/// What the API server says to a create of the object.
fn check_valid(object: &Value) -> Result<(), TestCaseError> {
    let kind = kind_of(object);
    let mut stored = decode_value(kind, object).unwrap().object;
    kinds::default(kind, &mut stored, None);
    kinds::admit(kind, &mut stored, None);
    kinds::prepare_create(kind, &mut stored);
    let errors = kinds::validate_create(kind, &stored);
    prop_assert!(
        errors.is_empty(),
        "{}\n{object:#}",
        kinds::aggregate(&errors)
    );
    Ok(())
}

#[test]
fn the_judge_of_validity_refuses_what_is_not_valid() {
    use serde_json::json;
    let metadata = json!({"name": "a", "namespace": "default"});
    for object in [
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {
            "selector": {"matchLabels": {"app": "b"}},
            "template": {"metadata": {"labels": {"app": "a"}},
                "spec": {"containers": [{"name": "a", "image": "a"}]}}}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"ports": [{"port": 1}, {"port": 2}]}}),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata,
            "spec": {"rules": [{"http": {"paths": [{"path": "a", "pathType": "Exact",
                "backend": {"service": {"name": "a", "port": {"number": 1}}}}]}}]}}),
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": metadata, "spec": {"maxReplicas": 0,
                "scaleTargetRef": {"kind": "Deployment", "name": "a"}}}),
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata,
            "spec": {"schedule": "now", "jobTemplate": {"spec": {"template":
                {"spec": {"containers": [{"name": "a", "image": "a"}]}}}}}}),
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata,
            "spec": {"minAvailable": 1, "maxUnavailable": 1}}),
    ] {
        assert!(check_valid(&object).is_err(), "{object:#}");
    }
}

fn nodes(value: &Value) -> usize {
    1 + match value {
        Value::Object(members) => members.values().map(nodes).sum(),
        Value::Array(items) => items.iter().map(nodes).sum(),
        _ => 0,
    }
}

#[test]
fn common_objects_are_what_a_server_takes_and_are_small() {
    runner(1500)
        .run(&arb::object(), |object| {
            check_types(&object)?;
            check_strict(&object)?;
            check_valid(&object)?;
            prop_assert!(nodes(&object) < 400, "{} nodes", nodes(&object));
            Ok(())
        })
        .unwrap();
}

#[test]
fn objects_of_every_kind_fit_their_schema() {
    let mut kinds = 0;
    for resource in builtin_resources() {
        let kind = GroupVersionKind::from_api_version(&resource.api_version(), &resource.kind);
        let Some(objects) = arb::object_of(&kind) else {
            continue;
        };
        kinds += 1;
        runner(12)
            .run(&objects, |object| {
                check_types(&object)?;
                check_strict(&object)
            })
            .unwrap_or_else(|error| panic!("{kind:?}: {error}"));
    }
    assert!(kinds > 60, "{kinds}");
}

#[test]
fn all_common_kinds_come_up() {
    let seen = RefCell::new(BTreeMap::<String, usize>::new());
    runner(1000)
        .run(&arb::object(), |object| {
            let kind = object["kind"].as_str().unwrap().to_owned();
            *seen.borrow_mut().entry(kind).or_default() += 1;
            Ok(())
        })
        .unwrap();
    let seen = seen.into_inner();
    assert_eq!(seen.len(), 19, "{seen:?}");
    assert!(seen["Deployment"] > seen["PersistentVolumeClaim"]);
}

/// The smallest object on which the property fails.
fn smallest(strategy: &arb::Objects, fails: impl Fn(&Value) -> bool) -> Value {
    let result = runner(5000).run(strategy, |object| {
        // Also on the way.
        check_types(&object).unwrap();
        check_valid(&object).unwrap();
        prop_assert!(!fails(&object));
        Ok(())
    });
    match result {
        Err(TestError::Fail(_, object)) => object,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_failure_shrinks_to_what_matters() {
    let deployment = GroupVersionKind::from_api_version("apps/v1", "Deployment");
    let deployments = arb::object_of(&deployment).unwrap();
    let object = smallest(&deployments, |object| {
        object
            .pointer("/spec/template/spec/containers/0/readinessProbe")
            .is_some()
    });
    assert!(nodes(&object) <= 30, "{object:#}");
    let members = object["spec"]["template"]["spec"].as_object().unwrap();
    assert_eq!(members.len(), 1, "{object:#}");

    let maps = GroupVersionKind::from_api_version("v1", "ConfigMap");
    let object = smallest(&arb::object_of(&maps).unwrap(), |object| {
        object["data"]
            .as_object()
            .is_some_and(|data| data.len() > 1)
    });
    assert_eq!(object["data"].as_object().unwrap().len(), 2, "{object:#}");
    assert!(nodes(&object) <= 9, "{object:#}");
}
