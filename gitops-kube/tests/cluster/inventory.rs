use std::collections::BTreeSet;

use gitops_core::{
    Applier as _, Digest, GroupKind, Inventory, InventoryEntry, InventoryStore as _, ObjectId,
    RevisionId, StoreError,
};
use gitops_kube::{INVENTORY_LABEL, KubeApplier, KubeInventory};
use gitops_testkit::cluster::{FakeCluster, Fault};
use http::Method;
use serde_json::{Value, json};

use crate::support::*;

fn store(cluster: &FakeCluster) -> KubeInventory {
    KubeInventory::new(cluster.client(), us(), "default")
}

fn id(number: usize) -> ObjectId {
    ObjectId::namespaced(
        GroupKind::new("apps", "Deployment"),
        "shop",
        format!("object-{number}"),
    )
}

fn entry(number: usize) -> InventoryEntry {
    InventoryEntry {
        version: "v1".into(),
        uid: Some(format!("00000000-0000-0000-0000-{number:012}")),
        applied: Some(Digest::of(&number.to_be_bytes())),
        baseline: Some(Digest::of(&[1])),
        file: Some("clusters/prod/shop/deployment.yaml".parse().unwrap()),
        ..InventoryEntry::default()
    }
}

fn inventory(numbers: impl IntoIterator<Item = usize>) -> Inventory {
    Inventory {
        revision: Some(revision("1")),
        entries: numbers
            .into_iter()
            .map(|number| (id(number), entry(number)))
            .collect(),
    }
}

fn revision(text: &str) -> RevisionId {
    serde_json::from_value(json!(text)).unwrap()
}

fn keys(inventory: &Inventory) -> BTreeSet<ObjectId> {
    inventory.entries.keys().cloned().collect()
}

async fn shards(cluster: &FakeCluster) -> Vec<(String, usize)> {
    let path =
        format!("/api/v1/namespaces/default/configmaps?labelSelector={INVENTORY_LABEL}={US}");
    let list = raw(cluster, Method::GET, &path, Value::Null).await;
    let items = list["items"].as_array().unwrap();
    let shard = |item: &Value| {
        let text = item["data"]["inventory.json"].as_str().unwrap();
        (
            item["metadata"]["name"].as_str().unwrap().to_owned(),
            text.len(),
        )
    };
    items.iter().map(shard).collect()
}

fn path(shard: usize) -> String {
    format!("/api/v1/namespaces/default/configmaps/gitops-inventory-{US}-{shard}")
}

#[tokio::test]
async fn there_is_none_before_the_first_save_and_then_there_is() {
    let cluster = FakeCluster::new();
    let store = store(&cluster);
    assert_eq!(store.load().await.unwrap(), None);
    let saved = inventory(0..3);
    store.save(&saved).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(saved.clone()));
    // Another process sees the same.
    assert_eq!(self::store(&cluster).load().await.unwrap(), Some(saved));
    // An empty inventory is not the same as none.
    store.save(&Inventory::default()).await.unwrap();
    assert_eq!(
        self::store(&cluster).load().await.unwrap(),
        Some(Inventory::default())
    );
}

#[tokio::test]
async fn the_appliers_own_inventory_is_where_it_was_asked_to_be() {
    let cluster = FakeCluster::new();
    let applier = KubeApplier::builder(cluster.client())
        .reconciler(US)
        .inventory_namespace("kube-system")
        .build()
        .unwrap();
    let store = applier.inventory().unwrap();
    store.save(&inventory(0..1)).await.unwrap();
    let map = raw(
        &cluster,
        Method::GET,
        &format!("/api/v1/namespaces/kube-system/configmaps/gitops-inventory-{US}-0"),
        Value::Null,
    )
    .await;
    assert_eq!(map["metadata"]["labels"][INVENTORY_LABEL], US);
    assert!(
        map["metadata"]["labels"]
            .get(gitops_core::RECONCILER_LABEL)
            .is_none()
    );
    assert_eq!(map["metadata"]["managedFields"][0]["manager"], US);
}

#[tokio::test]
async fn a_save_that_changes_nothing_sends_nothing() {
    let cluster = FakeCluster::new();
    let store = store(&cluster);
    store.save(&inventory(0..3)).await.unwrap();
    let mark = cluster.mark();
    store.save(&inventory(0..3)).await.unwrap();
    assert!(cluster.requests_since(mark).is_empty());
    // Nor does it after a restart.
    let again = self::store(&cluster);
    let loaded = again.load().await.unwrap().unwrap();
    let mark = cluster.mark();
    again.save(&loaded).await.unwrap();
    assert!(cluster.requests_since(mark).is_empty());
}

#[tokio::test]
async fn thousands_of_objects_are_spread_and_only_what_changed_is_written() {
    let cluster = FakeCluster::new();
    let store = store(&cluster);
    let saved = inventory(0..5000);
    store.save(&saved).await.unwrap();
    assert_eq!(store.load().await.unwrap().as_ref(), Some(&saved));
    let spread = shards(&cluster).await;
    assert_eq!(spread.len(), 4, "{spread:?}");
    assert!(
        spread.iter().all(|(_, size)| *size <= 512 << 10),
        "{spread:?}"
    );

    let mark = cluster.mark();
    let mut changed = saved.clone();
    changed.entries.get_mut(&id(77)).unwrap().baseline = None;
    store.save(&changed).await.unwrap();
    let writes = cluster.writes_since(mark);
    assert_eq!(writes.len(), 1);
    let mark = cluster.mark();
    changed.revision = Some(revision("2"));
    store.save(&changed).await.unwrap();
    let writes = cluster.writes_since(mark);
    assert_eq!(writes.len(), 1);
    assert!(writes[0].name.as_deref().unwrap().ends_with("-0"));
    assert_eq!(self::store(&cluster).load().await.unwrap(), Some(changed));
    // It gets smaller again, and what is left is found.
    store.save(&inventory(10..12)).await.unwrap();
    assert_eq!(
        self::store(&cluster).load().await.unwrap(),
        Some(inventory(10..12))
    );
}

/// Cuts a save off after so many writes, in each of three ways.
fn cut(cluster: &FakeCluster, writes: usize, way: usize) {
    let fault = match way {
        0 => Fault::refuse_connection(),
        1 => Fault::lose_answer(),
        _ => Fault::status(500),
    };
    let writing = |request: &gitops_testkit::cluster::RequestInfo| {
        matches!(request.verb.as_str(), "create" | "update")
    };
    cluster.inject(fault.when(writing).nth(writes + 1));
    cluster.inject(
        Fault::refuse_connection()
            .when(writing)
            .nth(writes + 1)
            .always(),
    );
}

/// Saves `new` over `old` with each write in turn as the one that a save is cut off at.
/// `prepare` is done before the save.
async fn cut_everywhere(
    old: Option<&Inventory>,
    new: &Inventory,
    way: usize,
    prepare: impl AsyncFn(&FakeCluster),
) -> usize {
    for writes in 0.. {
        let cluster = FakeCluster::new();
        let small = || store(&cluster).shard_size(2048);
        let writer = small();
        if let Some(old) = old {
            writer.save(old).await.unwrap();
            prepare(&cluster).await;
            assert_eq!(writer.load().await.unwrap().as_ref(), Some(old));
        }
        cut(&cluster, writes, (writes + way) % 3);
        let done = writer.save(new).await.is_ok();
        cluster.clear_faults();

        let old = old.cloned().unwrap_or_default();
        let reader = small();
        let found = keys(&reader.load().await.unwrap().unwrap_or_default());
        for both in keys(&old).intersection(&keys(new)) {
            assert!(found.contains(both), "{both} is lost after {writes} writes");
        }
        for one in &found {
            assert!(old.entries.contains_key(one) || new.entries.contains_key(one));
        }
        // Whoever goes on brings it to its end: another process, or the same one.
        let next = if writes % 2 == 0 { &reader } else { &writer };
        next.save(new).await.unwrap();
        assert_eq!(small().load().await.unwrap().as_ref(), Some(new));
        if done {
            return writes;
        }
    }
    unreachable!()
}

#[tokio::test]
async fn whatever_write_a_save_is_cut_off_at_nothing_is_lost() {
    // Small shards, so that there are many: it grows in steps, and shrinks.
    let steps = [
        (None, inventory(0..12)),
        (Some(inventory(0..3)), inventory(0..24)),
        (Some(inventory(0..24)), inventory(12..50)),
        (Some(inventory(0..40)), inventory(36..38)),
    ];
    let mut writes = 0;
    for (way, (old, new)) in steps.iter().enumerate() {
        writes += cut_everywhere(old.as_ref(), new, way, async |_| {}).await;
    }
    assert!(writes > 40, "{writes}");
}

#[tokio::test]
async fn an_entry_in_the_wrong_place_is_not_lost_on_its_way_home() {
    let old = inventory(0..24);
    let mut new = inventory(0..24);
    for entry in new.entries.values_mut() {
        entry.baseline = None;
    }
    let move_one = async |cluster: &FakeCluster| {
        let read = async |shard: usize| {
            let map = raw(cluster, Method::GET, &path(shard), Value::Null).await;
            let text = map["data"]["inventory.json"].as_str().unwrap();
            serde_json::from_str::<Value>(text).unwrap()
        };
        let (mut first, mut third) = (read(0).await, read(3).await);
        let entries = first["inventory"]["entries"].as_array_mut().unwrap();
        let entry = entries.pop().unwrap();
        third["inventory"]["entries"]
            .as_array_mut()
            .unwrap()
            .push(entry);
        for (shard, content) in [(0, first), (3, third)] {
            let data = json!({"data": {"inventory.json": content.to_string()}});
            raw(cluster, Method::PATCH, &path(shard), data).await;
        }
    };
    for way in 0..3 {
        cut_everywhere(Some(&old), &new, way, move_one).await;
    }
}

#[tokio::test]
async fn a_save_that_is_dropped_in_the_middle_is_made_good() {
    let cluster = FakeCluster::new();
    let store = store(&cluster);
    store.save(&inventory(0..3)).await.unwrap();
    cluster.inject(Fault::delay(std::time::Duration::from_secs(60)).verb("update"));
    let new = inventory(0..4);
    let saving = tokio::time::timeout(std::time::Duration::from_millis(20), store.save(&new));
    assert!(saving.await.is_err());
    cluster.clear_faults();
    store.save(&new).await.unwrap();
    assert_eq!(self::store(&cluster).load().await.unwrap(), Some(new));
}

#[tokio::test]
async fn a_second_writer_is_noticed_and_loses_nothing() {
    let cluster = FakeCluster::new();
    let (a, b) = (store(&cluster), store(&cluster));
    a.save(&inventory(0..3)).await.unwrap();
    b.load().await.unwrap();
    a.save(&inventory(0..4)).await.unwrap();
    let error = b.save(&inventory(0..2)).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    assert!(error.to_string().contains("another replica"), "{error}");
    // It stays so until it has been read again.
    b.save(&inventory(0..2)).await.unwrap_err();
    assert_eq!(b.load().await.unwrap(), Some(inventory(0..4)));
    b.save(&inventory(0..2)).await.unwrap();
    // A first save over what is there is one, too.
    let c = store(&cluster);
    let error = c.save(&inventory(5..6)).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    // So is one over what somebody deleted.
    raw(&cluster, Method::DELETE, &path(0), Value::Null).await;
    let error = b.save(&inventory(0..9)).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
}

#[tokio::test]
async fn what_cannot_be_understood_is_corrupt_and_never_empty() {
    let cluster = FakeCluster::new();
    let writer = store(&cluster).shard_size(4096);
    writer.save(&inventory(0..40)).await.unwrap();
    let count = shards(&cluster).await.len();
    assert!(count >= 4);
    let saved = raw(&cluster, Method::GET, &path(1), Value::Null).await;
    let good = saved["data"]["inventory.json"].as_str().unwrap().to_owned();
    let newer = good.replacen("\"version\":1", "\"version\":2", 1);
    let other = good.replacen("\"shard\":1", "\"shard\":2", 1);
    for (text, says) in [
        (Some(""), "key inventory.json: EOF"),
        (Some("{"), "key inventory.json: EOF"),
        (Some("[]"), "key inventory.json"),
        (Some("{\"version\":1}"), "missing field"),
        (Some(newer.as_str()), "version 2 of the format"),
        (Some(other.as_str()), "belongs to"),
        (None, "has no key inventory.json"),
    ] {
        raw(
            &cluster,
            Method::PATCH,
            &path(1),
            json!({"data": {"inventory.json": text}}),
        )
        .await;
        let error = store(&cluster).load().await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        assert!(!error.is_retryable());
        let error = error.to_string();
        assert!(error.contains(says), "{error}");
        assert!(error.contains(&format!("-{US}-1")), "{error}");
        assert!(error.contains("restore the ConfigMap"), "{error}");
    }
    raw(
        &cluster,
        Method::PATCH,
        &path(1),
        json!({"data": {"inventory.json": good}}),
    )
    .await;
    assert_eq!(
        store(&cluster).load().await.unwrap(),
        Some(inventory(0..40))
    );
    for missing in [1, 0] {
        raw(&cluster, Method::DELETE, &path(missing), Value::Null).await;
        let error = store(&cluster).load().await.unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&format!("{US}-{missing} is missing")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn what_a_newer_version_wrote_into_an_entry_is_kept() {
    let cluster = FakeCluster::new();
    let writer = store(&cluster);
    let mut saved = inventory(0..1);
    let novel = &mut saved.entries.get_mut(&id(0)).unwrap().other;
    novel.insert("novel".into(), json!({"x": [1]}));
    writer.save(&saved).await.unwrap();
    let reader = store(&cluster);
    let loaded = reader.load().await.unwrap().unwrap();
    assert_eq!(loaded, saved);
}

#[tokio::test]
async fn why_it_cannot_be_saved_is_told() {
    let cluster = FakeCluster::new();
    let nowhere = KubeInventory::new(cluster.client(), us(), "nowhere");
    assert_eq!(nowhere.load().await.unwrap(), None);
    let error = nowhere.save(&inventory(0..1)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "inventory nowhere/gitops-inventory-payments: namespace \"nowhere\" does not exist; \
         create it, or keep the inventory in another one (inventory_namespace)"
    );
    let nobody = KubeInventory::new(cluster.client_as("nobody", &[]), us(), "default");
    let error = nobody.load().await.unwrap_err();
    assert!(matches!(error, StoreError::Forbidden { .. }), "{error}");
    let error = nobody.save(&inventory(0..1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Forbidden { .. }), "{error}");
    cluster.inject(Fault::status(503).verb("list"));
    let error = store(&cluster).load().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn an_inventory_that_fits_nowhere_is_refused_before_anything_is_written() {
    let cluster = FakeCluster::new();
    let tiny = store(&cluster).shard_size(10);
    let error = tiny.save(&inventory(0..3)).await.unwrap_err();
    assert!(
        error.to_string().contains("more than 1024 ConfigMaps"),
        "{error}"
    );
    assert!(cluster.requests().is_empty());
}
