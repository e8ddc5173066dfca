//! The engine as a step machine: what it decides, in which order, and what a crash leaves.
#![expect(clippy::unwrap_used, reason = "a panic in a test names its line")]

mod world;

use std::sync::Arc;

use gitops_core::engine::{Goal, Input, Outcome, Request};
use gitops_core::*;
use world::{Crash, Trouble, World, config_map, id};

fn namespace() -> (&'static str, String) {
    (
        "ns.yaml",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n".into(),
    )
}

fn shop() -> Vec<(&'static str, String)> {
    vec![
        ("a.yaml", config_map("a", "1")),
        ("b.yaml", config_map("b", "1")),
        ("c.yaml", config_map("c", "1")),
        namespace(),
    ]
}

fn without(file: &str) -> Vec<(&'static str, String)> {
    shop()
        .into_iter()
        .filter(|(name, _)| *name != file)
        .collect()
}

fn changed(value: &str) -> Vec<(&'static str, String)> {
    let mut files = shop();
    files[0].1 = config_map("a", value);
    files
}

#[test]
fn the_inventory_is_written_before_the_first_object_and_the_namespace_before_its_content() {
    let mut world = World::new(shop());
    let report = world.once().unwrap();
    assert!(report.is_success(), "{report}");
    assert_eq!(
        world.log,
        [
            "resolve",
            "fetch commit-0",
            "render",
            "load",
            "kinds",
            "observe a,b,c,shop",
            "save a,b,c,shop",
            "apply shop",
            "settle 1",
            "apply a",
            "apply b",
            "apply c",
            "save a,b,c,shop",
        ]
    );
    let saved = world.saved.clone().unwrap();
    assert_eq!(saved.revision.unwrap().as_str(), "commit-0");
    assert!(saved.entries.values().all(|entry| entry.baseline.is_some()));
}

#[test]
fn a_second_process_looks_at_metadata_and_writes_nothing() {
    let mut world = World::new(shop());
    world.once().unwrap();
    world.log.clear();
    let report = world.once().unwrap();
    assert!(report.is_success(), "{report}");
    assert_eq!((report.unchanged, report.objects.len()), (4, 0));
    assert_eq!(
        world.log,
        [
            "resolve",
            "fetch commit-0",
            "render",
            "load",
            "kinds",
            "observe a,b,c,shop"
        ]
    );
}

#[test]
fn a_running_reconciler_asks_nothing_but_git_when_nothing_changed() {
    let mut world = World::new(shop());
    let mut engine = world.engine();
    world.settle(&mut engine);
    world.log.clear();
    world.feed(&mut engine, Input::Look);
    assert_eq!(world.log, ["resolve"]);
    // A commit that changes no file costs its fetch.
    world.commit(shop());
    world.log.clear();
    world.feed(&mut engine, Input::Look);
    assert_eq!(world.log, ["resolve", "fetch commit-1"]);
}

#[test]
fn one_changed_file_is_one_read_one_write_and_one_record() {
    let mut world = World::new(shop());
    let mut engine = world.engine();
    world.settle(&mut engine);
    world.commit(changed("2"));
    world.log.clear();
    world.feed(&mut engine, Input::Look);
    assert_eq!(
        world.log,
        [
            "resolve",
            "fetch commit-1",
            "render",
            "kinds",
            "observe a!",
            "apply a",
            "save a,b,c,shop"
        ]
    );
    assert_eq!(world.data(&id("ConfigMap", "a")), Some("2"));
}

#[test]
fn drift_is_healed_from_the_event_alone_and_the_rival_is_named() {
    let mut world = World::new(shop());
    let mut engine = world.engine();
    world.settle(&mut engine);
    world.log.clear();
    world.events.clear();
    world.edit(&id("ConfigMap", "b"), "kubectl-edit", |value| {
        value["data"]["v"] = "9".into()
    });
    let event = world.news.pop_front().unwrap();
    world.feed(&mut engine, Input::Live(event));
    assert_eq!(
        world.log[0], "apply b (forced)",
        "no read before the healing write"
    );
    assert_eq!(world.data(&id("ConfigMap", "b")), Some("1"));
    let told = world.events.iter().find_map(|event| match event {
        EventKind::Drift {
            object, changes, ..
        } => Some((object.clone(), changes.clone())),
        _ => None,
    });
    let (object, changes) = told.unwrap();
    assert_eq!(object.name, "b");
    assert_eq!(changes[0].owner.as_ref().unwrap().manager, "kubectl-edit");
    assert!(
        world
            .events
            .iter()
            .any(|event| matches!(event, EventKind::Healed { .. }))
    );
}

#[test]
fn an_object_that_was_never_made_is_not_told_as_deleted() {
    let mut world = World::new(shop());
    world.refuse = Some(refuse_apply("a", |object| ApplyError::Forbidden {
        object,
        reason: "no".into(),
    }));
    let mut engine = world.engine();
    world.settle(&mut engine);
    let told = |event: &EventKind| matches!(event, EventKind::Drift { .. });
    assert!(!world.events.iter().any(told), "{:?}", world.events);
}

#[test]
fn what_was_deleted_by_hand_comes_back() {
    let mut world = World::new(shop());
    let mut engine = world.engine();
    world.settle(&mut engine);
    world.remove(&id("ConfigMap", "b"));
    let event = world.news.pop_front().unwrap();
    world.feed(&mut engine, Input::Live(event));
    assert_eq!(world.data(&id("ConfigMap", "b")), Some("1"));
}

#[test]
fn a_status_written_meanwhile_does_not_stop_the_healing() {
    let mut world = World::new(shop());
    let mut engine = world.engine();
    world.settle(&mut engine);
    world.log.clear();
    world.events.clear();
    let b = id("ConfigMap", "b");
    world.edit(&b, "kubectl-edit", |value| value["data"]["v"] = "9".into());
    let event = world.news.pop_front().unwrap();
    // Its controller answers to the edit before we do.
    world.objects.get_mut(&b).unwrap().version += 1000;
    world.feed(&mut engine, Input::Live(event));
    assert_eq!(
        world.log[..3],
        ["apply b (forced)", "observe b", "apply b (forced)"]
    );
    assert_eq!(world.data(&b), Some("1"));
    let failed = |event: &EventKind| matches!(event, EventKind::Object { report, .. } if !report.outcome.is_success());
    assert!(!world.events.iter().any(failed), "{:?}", world.events);
}

#[test]
fn drift_that_is_only_reported_is_left_as_it_is() {
    let mut world = World::new(shop());
    world.policy = Policy::default().heal(Heal::Report);
    let mut engine = world.engine();
    world.settle(&mut engine);
    world.log.clear();
    world.edit(&id("ConfigMap", "b"), "kubectl-edit", |value| {
        value["data"]["v"] = "9".into()
    });
    let event = world.news.pop_front().unwrap();
    world.feed(&mut engine, Input::Live(event));
    let again = LiveEvent::Ready;
    world.feed(&mut engine, Input::Live(again));
    assert!(world.log.is_empty(), "{:?}", world.log);
    let told = world
        .events
        .iter()
        .filter(|event| matches!(event, EventKind::Drift { .. }))
        .count();
    assert_eq!(told, 1);
    // The next commit goes on with the others and leaves it alone as well.
    world.commit(changed("2"));
    world.feed(&mut engine, Input::Look);
    assert_eq!(world.writes(), ["apply a"]);
    assert_eq!(world.data(&id("ConfigMap", "b")), Some("9"));
}

#[test]
fn a_fight_over_a_field_slows_down_and_names_the_rival() {
    let mut world = World::new(shop());
    let mut engine = world.engine();
    world.settle(&mut engine);
    let began = world.now;
    for round in 0..12 {
        world.edit(&id("ConfigMap", "b"), "rival", |value| {
            value["data"]["v"] = format!("x{round}").into();
        });
        let event = world.news.pop_back().unwrap();
        world.feed(&mut engine, Input::Live(event));
    }
    let contested: Vec<_> = world
        .events
        .iter()
        .filter_map(|event| match event {
            EventKind::Contested {
                heals,
                wait,
                rivals,
                ..
            } => Some((*heals, wait.as_secs(), rivals.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(contested[0], (6, 1, vec!["rival".to_owned()]));
    assert!(contested.len() >= 4, "{contested:?}");
    assert!(
        world.now.duration_since(began).as_secs() >= 7,
        "the heals took their time"
    );
}

#[test]
fn what_was_withdrawn_is_looked_at_once_more_and_deleted() {
    let mut world = World::new(shop());
    world.once().unwrap();
    world.commit(without("b.yaml"));
    world.log.clear();
    let report = world.once().unwrap();
    assert!(report.is_success(), "{report}");
    assert_eq!(
        world.log[5..],
        [
            "observe a,c,shop,b",
            "observe b",
            "delete b",
            "save a,c,shop"
        ]
    );
    assert!(!world.objects.contains_key(&id("ConfigMap", "b")));
}

#[test]
fn the_inventory_keeps_an_object_until_it_is_gone() {
    let mut world = World::new(shop());
    let b = id("ConfigMap", "b");
    world.finalized.insert(b.clone());
    let mut engine = world.engine();
    world.settle(&mut engine);
    world.commit(without("b.yaml"));
    world.feed(&mut engine, Input::Look);
    assert!(world.objects[&b].terminating);
    assert!(world.saved.as_ref().unwrap().entries.contains_key(&b));
    world.log.clear();
    world.remove(&b);
    let event = world.news.pop_front().unwrap();
    world.feed(&mut engine, Input::Live(event));
    assert_eq!(world.log, ["save a,c,shop"]);
}

#[test]
fn more_than_the_limit_is_not_pruned_and_a_consent_counts_for_one_revision() {
    let mut world = World::new(shop());
    world.policy = Policy::default().prune(PruneLimit::percent(20));
    world.once().unwrap();
    world.commit(vec![namespace()]);
    let report = world.once().unwrap();
    assert!(!report.is_success());
    assert!(
        matches!(
            report.hold,
            Some(PruneHold::Limit {
                withdrawn: 3,
                held: 4,
                ..
            })
        ),
        "{report}"
    );
    assert_eq!(world.objects.len(), 4);
    world.policy = world.policy.clone().consent(RevisionId::new("commit-0"));
    assert!(
        world.once().unwrap().hold.is_some(),
        "consent to another revision"
    );
    world.policy = world.policy.clone().consent(RevisionId::new("commit-1"));
    let report = world.once().unwrap();
    assert!(report.is_success(), "{report}");
    assert_eq!(world.objects.len(), 1);
}

#[test]
fn an_empty_repository_prunes_nothing() {
    let mut world = World::new(vec![("a.yaml", config_map("a", "1"))]);
    world.once().unwrap();
    world.commit(vec![("README.yaml", "# nothing here".into())]);
    let report = world.once().unwrap();
    assert!(report.hold.is_some(), "{report}");
    assert_eq!(world.objects.len(), 1);
}

#[test]
fn protected_kinds_ask() {
    let mut world = World::new(shop());
    world.once().unwrap();
    world.commit(without("ns.yaml"));
    let report = world.once().unwrap();
    assert!(!report.is_success());
    assert!(
        report.to_string().contains("allow Namespace to be pruned"),
        "{report}"
    );
    assert!(world.objects.contains_key(&id("Namespace", "shop")));
    world.policy = Policy::default().prune_kind(GroupKind::new("", "Namespace"));
    assert!(world.once().unwrap().is_success());
    assert!(!world.objects.contains_key(&id("Namespace", "shop")));
}

#[test]
fn what_is_kept_on_purpose_keeps_nothing_else() {
    let claim =
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data, namespace: shop}\n";
    let mut files = shop();
    files.push(("claim.yaml", claim.into()));
    let mut world = World::new(files);
    world.once().unwrap();
    // A claim goes before the ConfigMaps do, and is protected.
    world.commit(without("b.yaml"));
    let report = world.once().unwrap();
    assert!(
        world
            .objects
            .contains_key(&id("PersistentVolumeClaim", "data"))
    );
    assert!(
        !world.objects.contains_key(&id("ConfigMap", "b")),
        "{report}"
    );
    assert_eq!(report.hold, None);
    assert!(!report.is_success(), "the claim is still to be decided on");
}

#[test]
fn what_git_says_of_a_kind_counts_for_more_than_what_the_cluster_knows_of_it() {
    use gitops_core::planner::Desired;
    let definition = |plural: &str, served: &str| {
        let text = format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n\
             metadata: {{name: {plural}.example.com}}\n\
             spec: {{group: example.com, scope: Namespaced, names: {{kind: {plural}}}, \
             versions: [{{name: {served}, served: true}}]}}\n"
        );
        let file = RelPath::new("crd.yaml").unwrap();
        let read = yaml::read_manifests(&file, text.as_bytes(), &yaml::ReadLimits::default());
        read.manifests.into_iter().next().unwrap()
    };
    let kind = |api_version: &str, name: &str| {
        (
            GroupVersionKind::from_api_version(api_version, name),
            KindInfo::new(true).defined_by(definition(name, "v1")),
        )
    };
    let kinds = [
        kind("example.com/v1", "gears"),
        kind("example.com/v2", "gears"),
        kind("example.com/v1", "nuts"),
    ];
    let mut rendered = Rendered::default();
    rendered.manifests.push(definition("gears", "v3"));
    let desired = Desired::resolve(
        Revision::new("1"),
        rendered,
        &kinds.into(),
        "default",
        &world::name(),
    );
    // The last one counts.
    let found: Vec<_> = desired
        .definitions
        .iter()
        .map(|found| {
            let version = found.value()["spec"]["versions"][0]["name"].clone();
            format!("{} {version}", found.id().name)
        })
        .collect();
    assert_eq!(
        found,
        [
            r#"gears.example.com "v1""#,
            r#"nuts.example.com "v1""#,
            r#"gears.example.com "v3""#
        ]
    );
}

#[test]
fn an_object_whose_kind_is_gone_is_forgotten_and_holds_up_nobody() {
    use gitops_core::planner::{Desired, PlanInput, plan};
    let manager = FieldManager::from(world::name());
    let (name, policy) = (world::name(), Policy::default());
    let desired = Desired::resolve(
        Revision::new("1"),
        Rendered::default(),
        &std::collections::BTreeMap::new(),
        "default",
        &name,
    );
    let kind = GroupVersionKind::from_api_version("example.com/v1", "Widget");
    let widget = ObjectId::namespaced(kind.group_kind(), "shop", "w");
    let mut inventory = Inventory::default();
    let entry = InventoryEntry {
        version: "v1".into(),
        uid: Some("u".into()),
        ..Default::default()
    };
    inventory.entries.insert(widget.clone(), entry);
    let decide = |error: ApplyError| {
        let observation = Observation::from([(widget.clone(), Err(error))]);
        plan(&PlanInput::new(
            &name,
            &manager,
            &desired,
            &inventory,
            &observation,
            &policy,
            &world::Members,
        ))
    };
    let gone = decide(ApplyError::UnknownKind {
        object: widget.clone(),
        kind: Box::new(kind),
    });
    assert_eq!(gone.counts()["forget"], 1, "{gone}");
    assert_eq!(gone.hold, None);
    let unsure = decide(ApplyError::Unavailable {
        what: "discovery".into(),
        reason: "503".into(),
        retry_after: None,
        source: None,
    });
    assert!(unsure.actions.is_empty(), "{unsure}");
    assert_eq!(unsure.hold, Some(PruneHold::Incomplete));
}

#[test]
fn what_is_kept_on_purpose_is_not_tried_again_and_again() {
    let mut world = World::new(shop());
    let mut engine = world.engine();
    world.settle(&mut engine);
    world.commit(without("ns.yaml"));
    world.log.clear();
    world.feed(&mut engine, Input::Look);
    assert!(world.objects.contains_key(&id("Namespace", "shop")));
    let passes = world.log.iter().filter(|line| *line == "resolve").count();
    assert_eq!(passes, 1, "{:?}", world.log);
}

#[test]
fn an_opt_out_of_the_last_applied_manifest_counts_though_it_was_stripped() {
    let mut world = World::new(vec![
        namespace(),
        ("a.yaml", config_map("a", "1")),
        (
            "k.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: k, namespace: shop, annotations: \
             {kustomize.toolkit.fluxcd.io/prune: disabled}}\n"
                .into(),
        ),
    ]);
    world.once().unwrap();
    let k = id("ConfigMap", "k");
    let annotations = &mut world.objects.get_mut(&k).unwrap().value["metadata"]["annotations"];
    annotations
        .as_object_mut()
        .unwrap()
        .remove("kustomize.toolkit.fluxcd.io/prune");
    world.commit(vec![namespace(), ("a.yaml", config_map("a", "1"))]);
    let report = world.once().unwrap();
    assert!(report.is_success(), "{report}");
    assert!(report.to_string().contains("released"), "{report}");
    assert!(world.objects.contains_key(&k));
    assert!(!world.saved.as_ref().unwrap().entries.contains_key(&k));
}

#[test]
fn a_broken_file_stops_neither_the_others_nor_does_it_prune() {
    let mut world = World::new(shop());
    world.once().unwrap();
    let mut files = changed("2");
    files[1] = ("b.yaml", "apiVersion: v1\nkind: [".into());
    world.commit(files);
    let report = world.once().unwrap();
    assert!(!report.is_success());
    assert_eq!(world.data(&id("ConfigMap", "a")), Some("2"));
    assert_eq!(world.objects.len(), 4);
    assert_eq!(report.hold, Some(PruneHold::Incomplete));
    assert!(report.problems[0].message.starts_with("b.yaml"), "{report}");
    // Mended, all is well again.
    world.commit(changed("2"));
    assert!(world.once().unwrap().is_success());
}

#[test]
fn all_or_nothing_writes_nothing() {
    let mut world = World::new(shop());
    world.policy = Policy::default().failure_domain(FailureDomain::Set);
    let mut files = shop();
    files[1] = ("b.yaml", "kind: [".into());
    world.commit(files);
    let report = world.once().unwrap();
    assert!(!report.is_success());
    assert!(world.objects.is_empty(), "{report}");
}

#[test]
fn an_unknown_kind_is_named_with_its_file_and_the_others_go_on() {
    let mut files = shop();
    let odd = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\n";
    files.push(("w.yaml", odd.into()));
    let mut world = World::new(files);
    let report = world.once().unwrap();
    assert_eq!(world.objects.len(), 4);
    let problem = &report.problems[0].message;
    assert!(
        problem.starts_with("w.yaml:1: Widget.example.com w: "),
        "{problem}"
    );
    assert!(problem.contains("example.com/v1 Widget"), "{problem}");
}

#[test]
fn an_object_that_is_there_twice_is_a_problem_that_names_both_files() {
    let mut files = shop();
    files.push(("z.yaml", config_map("a", "other")));
    let mut world = World::new(files);
    let report = world.once().unwrap();
    let problem = &report.problems[0].message;
    assert!(
        problem.contains("z.yaml:1") && problem.contains("a.yaml:1"),
        "{problem}"
    );
    assert_eq!(world.data(&id("ConfigMap", "a")), Some("1"));
}

#[test]
fn a_source_in_trouble_prunes_nothing_and_heals_when_it_is_back() {
    for kind in [
        SourceErrorKind::Unreachable,
        SourceErrorKind::Unauthorized,
        SourceErrorKind::Corrupt,
    ] {
        let mut world = World::new(shop());
        world.once().unwrap();
        world.refuse = Some(Arc::new(move |request| {
            matches!(request, Request::Resolve | Request::Fetch(_)).then_some(Trouble::Source(kind))
        }));
        world.log.clear();
        let error = world.once().unwrap_err();
        assert!(error.contains("no answer from git.test"), "{error}");
        assert!(world.writes().is_empty());
        assert_eq!(world.objects.len(), 4);

        // A running one goes on trying, and finds its way back alone.
        let mut engine = world.engine();
        world.settle(&mut engine);
        assert!(
            world
                .events
                .iter()
                .any(|event| matches!(event, EventKind::Failed { .. })),
            "it was told"
        );
        world.refuse = None;
        world.commit(changed("2"));
        world.feed(&mut engine, Input::Look);
        assert_eq!(world.data(&id("ConfigMap", "a")), Some("2"));
    }
}

fn refuse_apply(name: &'static str, error: fn(ObjectId) -> ApplyError) -> world::Refusal {
    Arc::new(move |request| match request {
        Request::Apply(apply) if apply.manifest.id().name == name => Some(Trouble::Apply(error)),
        _ => None,
    })
}

#[test]
fn one_forbidden_object_is_an_error_the_others_go_on_and_it_heals_when_it_may() {
    let mut world = World::new(shop());
    world.once().unwrap();
    world.commit({
        let mut files = changed("2");
        files.retain(|(name, _)| *name != "c.yaml");
        files[1].1 = config_map("b", "2");
        files
    });
    world.refuse = Some(refuse_apply("a", |object| ApplyError::Forbidden {
        object,
        reason: "no".into(),
    }));
    let mut engine = world.engine();
    world.settle(&mut engine);
    assert_eq!(world.data(&id("ConfigMap", "a")), Some("1"));
    assert_eq!(world.data(&id("ConfigMap", "b")), Some("2"));
    assert!(
        world.objects.contains_key(&id("ConfigMap", "c")),
        "nothing is pruned meanwhile"
    );
    let told = world.events.iter().any(|event| {
        matches!(event, EventKind::Object { report, .. }
            if report.to_string().contains("ConfigMap shop/a: forbidden: no"))
    });
    assert!(told, "{:?}", world.events);
    // One error is one error, however many objects were withdrawn besides.
    let report = world.events.iter().rev().find_map(|event| match event {
        EventKind::Finished { report } => Some(report.clone()),
        _ => None,
    });
    let report = report.unwrap();
    let unwell = |object: &&ObjectReport| !object.outcome.is_success();
    assert_eq!(report.objects.iter().filter(unwell).count(), 1, "{report}");
    assert_eq!(report.hold, Some(PruneHold::Failed { withdrawn: 1 }));
    world.refuse = None;
    world.now = world
        .now
        .saturating_add(jiff::SignedDuration::from_mins(10))
        .unwrap();
    world.feed(&mut engine, Input::Look);
    assert_eq!(world.data(&id("ConfigMap", "a")), Some("2"));
    assert!(
        !world.objects.contains_key(&id("ConfigMap", "c")),
        "now it is"
    );
}

#[test]
fn a_busy_server_is_tried_again_within_the_pass() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let mut world = World::new(shop());
    let tries = Arc::new(AtomicUsize::new(0));
    let count = tries.clone();
    world.refuse = Some(Arc::new(move |request| match request {
        Request::Apply(apply) if apply.manifest.id().name == "a" => (count
            .fetch_add(1, Ordering::Relaxed)
            < 3)
        .then_some(Trouble::Apply(|object| ApplyError::Unavailable {
            what: object.to_string(),
            reason: "too many requests".into(),
            retry_after: Some(std::time::Duration::from_secs(2)),
            source: None,
        })),
        _ => None,
    }));
    let began = world.now;
    let report = world.once().unwrap();
    assert!(report.is_success(), "{report}");
    assert_eq!(tries.load(Ordering::Relaxed), 4);
    assert!(
        world.now.duration_since(began).as_secs() >= 6,
        "Retry-After is obeyed"
    );
}

#[test]
fn nothing_is_written_when_the_inventory_can_not_be_written() {
    let mut world = World::new(shop());
    world.refuse = Some(Arc::new(|request| {
        matches!(request, Request::SaveInventory(_)).then_some(Trouble::Store)
    }));
    let report = world.once().unwrap();
    assert!(!report.is_success());
    assert!(report.errors[0].contains("nothing was written"), "{report}");
    assert!(world.objects.is_empty());
    world.refuse = None;
    assert!(world.once().unwrap().is_success());
}

#[test]
fn an_object_of_somebody_else_is_left_alone_and_its_owner_named() {
    let mut world = World::new(shop());
    world.once().unwrap();
    world.saved = None;
    for stored in world.objects.values_mut() {
        let metadata = &mut stored.value["metadata"];
        metadata["annotations"] = serde_json::json!({});
        metadata["labels"] = serde_json::json!({"kustomize.toolkit.fluxcd.io/name": "apps"});
    }
    world.log.clear();
    let report = world.once().unwrap();
    assert!(world.writes().is_empty(), "{:?}", world.log);
    assert!(
        report
            .to_string()
            .contains("belongs to Flux (Kustomization apps)"),
        "{report}"
    );
    world.policy = Policy::default().adoption(Adoption::Always);
    let report = world.once().unwrap();
    assert!(report.is_success(), "{report}");
    assert!(report.to_string().contains("adopted"), "{report}");
}

#[test]
fn a_lost_inventory_is_found_again_by_the_marks() {
    let mut world = World::new(shop());
    world.once().unwrap();
    world.saved = None;
    world.log.clear();
    let report = world.once().unwrap();
    assert!(report.is_success(), "{report}");
    assert!(world.writes().is_empty(), "{:?}", world.log);
    assert_eq!(world.saved.as_ref().unwrap().entries.len(), 4);
}

#[test]
fn another_object_of_the_same_name_is_not_deleted() {
    let mut world = World::new(shop());
    world.once().unwrap();
    let b = id("ConfigMap", "b");
    world.objects.get_mut(&b).unwrap().uid = "somebody-elses".into();
    world.commit(without("b.yaml"));
    let report = world.once().unwrap();
    assert!(
        report.to_string().contains("not the one we made"),
        "{report}"
    );
    assert!(world.objects.contains_key(&b));
}

#[test]
fn a_plan_is_executed_as_it_is_or_refused() {
    let mut world = World::new(shop());
    let mut engine = world.engine();
    let plan = world.plan(&mut engine);
    assert_eq!(plan.counts()["create"], 4);
    let text = serde_json::to_string(&plan).unwrap();
    let read: Plan = serde_json::from_str(&text).unwrap();
    assert_eq!(read.digest(), plan.digest(), "a plan survives being stored");
    // Somebody else makes one of the objects.
    let mut other = world.engine();
    world.commit(shop());
    world.head = 0;
    let result = world
        .run(&mut other, Goal::Execute(Box::new(read)), |_| false)
        .unwrap();
    assert!(matches!(result, Ok(Outcome::Reported(report)) if report.is_success()));
    let result = world
        .run(&mut engine, Goal::Execute(Box::new(plan)), |_| false)
        .unwrap();
    assert!(
        matches!(result, Err(ReconcileError::Moved { .. })),
        "{result:?}"
    );
}

#[test]
fn a_shutdown_finishes_the_write_under_way_and_records_it() {
    let mut world = World::new(shop());
    world.policy = Policy::default().concurrency(1);
    let mut engine = world.engine();
    let result = world
        .run(&mut engine, Goal::Continuous, |line| line == "apply a")
        .unwrap();
    assert!(matches!(result, Ok(Outcome::Stopped)));
    assert_eq!(world.writes(), ["apply shop", "apply a"]);
    assert_eq!(world.log.last().unwrap(), "save a,b,c,shop");
    let entry = &world.saved.as_ref().unwrap().entries[&id("ConfigMap", "a")];
    assert!(entry.uid.is_some() && entry.baseline.is_some());
}

#[test]
fn a_newer_commit_takes_over_between_two_writes() {
    let mut world = World::new(shop());
    world.policy = Policy::default().concurrency(1);
    let mut engine = world.engine();
    // The first answer to an apply is preceded by the news of a commit.
    let mut commits = vec![changed("2")];
    let mut inputs = std::collections::VecDeque::from([Input::Start(Goal::Continuous)]);
    // Drive by hand until the first object is written.
    while let Some(input) = inputs.pop_front() {
        let now = world.now;
        for effect in engine.step(input, now) {
            if let gitops_core::engine::Effect::Request(id, request) = effect {
                let first = matches!(&request, Request::Apply(_)) && !commits.is_empty();
                let response = world.answer(request);
                if first {
                    world.commit(commits.remove(0));
                    inputs.push_back(Input::Look);
                }
                inputs.push_back(Input::Done(id, response));
            }
        }
    }
    assert_eq!(world.data(&id("ConfigMap", "a")), Some("2"));
    let interrupted = world.log.iter().filter(|line| *line == "apply a").count();
    assert_eq!(
        interrupted, 1,
        "the old value was never written: {:?}",
        world.log
    );
}

#[test]
fn a_watch_that_broke_is_not_trusted_before_everything_was_looked_at() {
    let mut world = World::new(shop());
    let mut engine = world.engine();
    world.settle(&mut engine);
    let reason = "reset".to_owned();
    world.feed(&mut engine, Input::Live(LiveEvent::Interrupted { reason }));
    // It goes while nobody looks, and the watch will never tell.
    world.objects.remove(&id("ConfigMap", "b"));
    world.log.clear();
    world.feed(&mut engine, Input::Live(LiveEvent::Ready));
    assert_eq!(world.log[..2], ["resolve", "observe a,b,c,shop"]);
    assert_eq!(world.data(&id("ConfigMap", "b")), Some("1"));
    world.log.clear();
    world.feed(&mut engine, Input::Look);
    assert_eq!(world.log, ["resolve"], "now it is trusted again");
}

#[test]
fn drift_is_healed_while_git_is_out_of_reach() {
    let mut world = World::new(shop());
    let mut engine = world.engine();
    world.settle(&mut engine);
    world.refuse = Some(Arc::new(|request| {
        matches!(request, Request::Resolve).then_some(Trouble::Source(SourceErrorKind::Unreachable))
    }));
    world.feed(&mut engine, Input::Look);
    world.edit(&id("ConfigMap", "b"), "kubectl-edit", |value| {
        value["data"]["v"] = "9".into()
    });
    let event = world.news.pop_front().unwrap();
    world.feed(&mut engine, Input::Live(event));
    assert_eq!(world.data(&id("ConfigMap", "b")), Some("1"));
}

#[test]
fn a_kind_that_comes_to_be_known_is_applied_without_another_commit() {
    let mut files = shop();
    let odd = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, namespace: shop}\n";
    files.push(("w.yaml", odd.into()));
    let mut world = World::new(files);
    let mut engine = world.engine();
    world.settle(&mut engine);
    let widget = ObjectId::namespaced(GroupKind::new("example.com", "Widget"), "shop", "w");
    assert!(!world.objects.contains_key(&widget));
    world.known_kinds.push("Widget");
    world.now = world
        .now
        .saturating_add(jiff::SignedDuration::from_mins(10))
        .unwrap();
    world.feed(&mut engine, Input::Look);
    assert!(world.objects.contains_key(&widget));
}

/// A history with everything in it: a change, a withdrawal, a return.
fn history() -> World {
    let mut world = World::new(shop());
    world.once().unwrap();
    let mut files = changed("2");
    files.retain(|(name, _)| *name != "c.yaml");
    files.push(("d.yaml", config_map("d", "1")));
    world.commit(files);
    world
}

#[test]
fn a_crash_at_any_request_loses_nothing_and_orphans_nothing() {
    let steady = {
        let mut world = history();
        let before = world.requests();
        world.once().unwrap();
        (before, world.requests(), names(&world))
    };
    let (first, last, expected) = steady;
    assert_eq!(expected, ["a", "b", "d", "shop"]);
    for at in first..last {
        for crash in [Crash::Before, Crash::After] {
            let mut world = history();
            world.crash = Some((at, crash));
            assert!(world.once().is_err(), "request {at}, {crash:?}");
            let saved = world.saved.clone().unwrap();
            for object in world.objects.keys() {
                assert!(
                    saved.entries.contains_key(object),
                    "{object} is an orphan at {at} {crash:?}"
                );
            }
            world.crash = None;
            let report = world.once().unwrap();
            assert!(
                report.is_success(),
                "after a crash at {at} {crash:?}: {report}"
            );
            assert_eq!(names(&world), expected, "after a crash at {at} {crash:?}");
            assert_eq!(world.data(&id("ConfigMap", "a")), Some("2"));
            let quiet = world.once().unwrap();
            assert_eq!(quiet.written(), 0);
        }
    }
}

#[test]
fn two_crashes_lose_nothing_either() {
    let mut world = history();
    let first = world.requests();
    world.once().unwrap();
    let expected = names(&world);
    let length = world.requests() - first;
    for one in 0..length {
        for two in 0..length {
            let mut world = history();
            world.crash = Some((first + one, Crash::After));
            assert!(world.once().is_err());
            world.crash = Some((world.requests() + two, Crash::After));
            let _ = world.once();
            world.crash = None;
            let report = world.once().unwrap();
            assert!(report.is_success(), "{one} {two}: {report}");
            assert_eq!(names(&world), expected);
        }
    }
}

#[test]
fn the_end_depends_on_the_last_commit_and_not_on_the_way() {
    let last = || {
        vec![
            namespace(),
            ("a.yaml", config_map("a", "9")),
            ("z.yaml", config_map("z", "1")),
        ]
    };
    let mut direct = World::new(last());
    direct.once().unwrap();
    let mut long = World::new(shop());
    long.policy = Policy::default().prune(PruneLimit::unlimited());
    for files in [
        without("a.yaml"),
        changed("5"),
        vec![namespace()],
        shop(),
        last(),
    ] {
        long.once().unwrap();
        long.commit(files);
    }
    long.once().unwrap();
    assert_eq!(names(&direct), names(&long));
    assert_eq!(
        direct.data(&id("ConfigMap", "a")),
        long.data(&id("ConfigMap", "a"))
    );
}

#[test]
fn a_lost_target_is_rebuilt_by_a_running_reconciler() {
    let mut world = World::new(shop());
    let mut engine = world.engine();
    world.settle(&mut engine);
    world.lose_everything();
    world.feed(&mut engine, Input::Live(LiveEvent::Ready));
    assert_eq!(names(&world), ["a", "b", "c", "shop"]);
}

#[test]
fn the_digest_of_a_secret_is_stored_nowhere() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: shop}\n\
                  stringData: {password: hunter2}\n";
    let mut world = World::new(vec![namespace(), ("s.yaml", secret.into())]);
    let mut engine = world.engine();
    let plan = world.plan(&mut engine);
    assert!(
        plan.actions
            .iter()
            .all(|action| { (action.object.kind == "Secret") == action.desired.is_none() })
    );
    world.once().unwrap();
    let saved = world.saved.clone().unwrap();
    assert_eq!(saved.entries[&id("Secret", "s")].applied, None);
    for text in [
        serde_json::to_string(&saved).unwrap(),
        serde_json::to_string(&plan).unwrap(),
        plan.to_string(),
        format!("{:?}", world.events),
        serde_json::to_string(&world.events).unwrap(),
    ] {
        assert!(
            !text.contains("hunter2") && !text.contains("aHVudGVyMg"),
            "{text}"
        );
    }
    // A new process can't know by digest; it compares, and writes nothing.
    world.log.clear();
    assert!(world.once().unwrap().is_success());
    assert!(world.writes().is_empty(), "{:?}", world.log);
}

fn names(world: &World) -> Vec<String> {
    let mut names: Vec<_> = world.objects.keys().map(|id| id.name.clone()).collect();
    names.sort();
    names
}
