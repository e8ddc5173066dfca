//! Laws of fields, merging and ownership, on a type with every shape that a schema can have.

use gitops_core::{FieldPath, PathElement};
use gitops_diff::fieldset::FieldSet;
use gitops_diff::managed::{
    self, Applied, Apply, ManagedError, ManagedFields, Target, Track, baseline, lost, own_entry,
};
use gitops_diff::schema::Schema;
use gitops_diff::typed;
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::subsequence;
use serde_json::{Map, Value, json};

const VERSION: &str = "example.com/v1";
const KIND: &str = "Widget";

/// A type with every kind of list and map.
fn schema() -> Schema {
    let text = json!({"type": "string"});
    let number = json!({"type": "integer"});
    Schema::from_crd(&json!({
        "kind": "CustomResourceDefinition",
        "spec": {
            "group": "example.com", "names": {"kind": KIND},
            "versions": [{"name": "v1", "schema": {"openAPIV3Schema": {
                "type": "object",
                "properties": {"spec": {"type": "object", "properties": {
                    "text": text, "count": number, "flag": {"type": "boolean"},
                    "port": {"x-kubernetes-int-or-string": true},
                    "tags": {"type": "array", "items": text, "x-kubernetes-list-type": "set"},
                    "order": {"type": "array", "items": text, "x-kubernetes-list-type": "atomic"},
                    "byName": {"type": "array", "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name"],
                        "items": {"type": "object", "properties": {
                            "name": text, "value": text,
                            "inner": {"type": "array", "x-kubernetes-list-type": "map",
                                "x-kubernetes-list-map-keys": ["id"],
                                "items": {"type": "object", "properties": {"id": number, "v": text}}},
                            "opts": {"type": "object", "additionalProperties": text}}}},
                    "byTwo": {"type": "array", "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["port", "protocol"],
                        "items": {"type": "object", "properties": {
                            "port": number, "protocol": {"type": "string", "default": "TCP"},
                            "note": text}}},
                    "granular": {"type": "object", "additionalProperties": text},
                    "atomicMap": {"type": "object", "x-kubernetes-map-type": "atomic",
                        "additionalProperties": text},
                    "nested": {"type": "object", "properties": {"left": text, "deep":
                        {"type": "object", "properties": {"x": text, "y": number}}}},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}
                }}}
            }}}]
        }
    }))
    .unwrap()
}

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn later() -> Timestamp {
    "2026-01-02T03:04:06Z".parse().unwrap()
}

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "x<y>&\"\\", "ü\u{1}"]).prop_map(str::to_owned)
}

fn members(
    fields: Vec<(&'static str, BoxedStrategy<Value>)>,
) -> impl Strategy<Value = Map<String, Value>> {
    let len = fields.len();
    subsequence(fields, 0..=len).prop_flat_map(|fields| {
        let (names, values): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
        values.prop_map(move |values| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .zip(values)
                .collect()
        })
    })
}

fn any_map(value: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    prop::collection::btree_map(word(), value, 0..3)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
        .boxed()
}

/// A list of objects in any order, each with another key.
fn keyed(
    keys: Vec<Value>,
    rest: impl Fn() -> Vec<(&'static str, BoxedStrategy<Value>)> + 'static,
) -> BoxedStrategy<Value> {
    let len = keys.len();
    (subsequence(keys, 0..=len).prop_shuffle(), any::<u8>())
        .prop_flat_map(move |(keys, _)| {
            keys.into_iter()
                .map(|key| {
                    members(rest()).prop_map(move |mut members| {
                        members.extend(key.as_object().unwrap().clone());
                        Value::Object(members)
                    })
                })
                .collect::<Vec<_>>()
        })
        .prop_map(Value::Array)
        .boxed()
}

fn spec() -> impl Strategy<Value = Value> {
    let text = || word().prop_map(Value::from).boxed();
    let number = || (0..3_i64).prop_map(Value::from).boxed();
    let words = |shuffled: bool| {
        let all = vec!["a", "b", "c", "d"];
        let words = subsequence(all, 0..=4);
        let words = if shuffled {
            words.prop_shuffle().boxed()
        } else {
            words.boxed()
        };
        words.prop_map(|words| json!(words)).boxed()
    };
    let name = |name: &str| json!({"name": name});
    let free = prop_oneof![number(), text(), any_map(any_map(number())), words(true)].boxed();
    members(vec![
        ("text", text()),
        ("count", number()),
        ("flag", any::<bool>().prop_map(Value::from).boxed()),
        ("port", prop_oneof![text(), number()].boxed()),
        ("tags", words(true)),
        ("order", words(true)),
        (
            "byName",
            keyed(vec![name("a"), name("b"), name("c<d")], move || {
                vec![
                    ("value", word().prop_map(Value::from).boxed()),
                    ("opts", any_map(word().prop_map(Value::from).boxed())),
                    (
                        "inner",
                        keyed(vec![json!({"id": 9}), json!({"id": 10})], || {
                            vec![("v", word().prop_map(Value::from).boxed())]
                        }),
                    ),
                ]
            }),
        ),
        (
            "byTwo",
            keyed(
                vec![
                    json!({"port": 80}),
                    json!({"port": 80, "protocol": "UDP"}),
                    json!({"port": 443, "protocol": "TCP"}),
                ],
                || vec![("note", word().prop_map(Value::from).boxed())],
            ),
        ),
        ("granular", any_map(text())),
        ("atomicMap", any_map(text())),
        (
            "nested",
            members(vec![
                ("left", text()),
                (
                    "deep",
                    members(vec![("x", text()), ("y", number())])
                        .prop_map(Value::Object)
                        .boxed(),
                ),
            ])
            .prop_map(Value::Object)
            .boxed(),
        ),
        ("free", any_map(free)),
    ])
    .prop_map(Value::Object)
}

/// A configuration without empty lists.
///
/// The API server doesn't count an empty list that is told apart by key or value as a
/// field, and so loses track of it: when the last member beside it is given up, the
/// object around goes too, whoever owns it, and comes back with the next apply. We do
/// the same, so that applying again is not without effect there.
fn full_object() -> impl Strategy<Value = Value> {
    fn fill(value: Value) -> Option<Value> {
        match value {
            Value::Array(items) if items.is_empty() => None,
            Value::Array(items) => Some(items.into_iter().filter_map(fill).collect()),
            Value::Object(members) => Some(Value::Object(
                members
                    .into_iter()
                    .filter_map(|(name, member)| Some((name, fill(member)?)))
                    .collect(),
            )),
            other => Some(other),
        }
    }
    object().prop_map(|object| fill(object).unwrap())
}

/// A configuration.
fn object() -> impl Strategy<Value = Value> {
    (spec(), any_map(word().prop_map(Value::from).boxed())).prop_map(|(spec, labels)| {
        let mut object = json!({
            "apiVersion": VERSION, "kind": KIND, "metadata": {"name": "w"}, "spec": spec,
        });
        if labels != json!({}) {
            object["metadata"]["labels"] = labels;
        }
        object
    })
}

struct World {
    schema: Schema,
}

impl World {
    fn new() -> Self {
        Self { schema: schema() }
    }

    fn with<T>(&self, act: impl FnOnce(&Target<'_>) -> T) -> T {
        let kind = self.schema.kind("example.com", KIND);
        act(&Target::new(&kind, VERSION, KIND))
    }

    fn apply(
        &self,
        live: Option<&Value>,
        applied: &Value,
        manager: &str,
        force: bool,
        time: Timestamp,
    ) -> Result<Applied, ManagedError> {
        let mut apply = Apply::new(applied, manager, time);
        apply.live = live;
        apply.force = force;
        self.with(|target| managed::apply(target, &apply))
    }

    fn fields<'a>(&'a self, object: &'a Value) -> FieldSet<'a> {
        typed::field_set(object, self.schema.type_of(VERSION, KIND).unwrap()).unwrap()
    }
}

/// What a manager owns in an object.
fn owned<'a>(object: &'a Value, manager: &str) -> FieldSet<'a> {
    own_entry(&object["metadata"], manager).map_or_else(FieldSet::new, |entry| entry.fields)
}

fn spec_leaves(set: &FieldSet<'_>) -> Vec<FieldPath> {
    let spec = PathElement::Field("spec".to_owned());
    set.leaves()
        .paths()
        .filter(|path| path.elements().len() > 1 && path.elements()[0] == spec)
        .collect()
}

/// The member or element at a path.
fn at<'v>(value: &'v Value, path: &FieldPath) -> Option<&'v Value> {
    path.elements()
        .iter()
        .try_fold(value, |value, element| match element {
            PathElement::Field(name) => value.get(name),
            PathElement::Key(keys) => value.as_array()?.iter().find(|item| {
                keys.iter().all(|(name, key)| match item.get(name) {
                    Some(value) => value == key,
                    None => name == "protocol" && key == "TCP",
                })
            }),
            PathElement::Value(wanted) => value.as_array()?.iter().find(|item| *item == wanted),
            PathElement::Index(at) => value.get(at),
        })
}

proptest! {
    #[test]
    fn fields_v1_is_read_back_as_it_was_written(object in object()) {
        let world = World::new();
        let set = world.fields(&object);
        let value = set.to_fields_v1();
        prop_assert_eq!(&FieldSet::from_fields_v1(&value).unwrap(), &set);
        let text = set.to_fields_v1_text();
        prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        let paths: FieldSet<'_> = set.paths().collect();
        prop_assert_eq!(&paths, &set);
        prop_assert_eq!(set.paths().count(), set.len());
    }

    #[test]
    fn sets_of_fields_obey_the_laws_of_sets(a in object(), b in object()) {
        let world = World::new();
        let (a, b) = (world.fields(&a), world.fields(&b));
        prop_assert_eq!(a.union(&b), b.union(&a));
        prop_assert_eq!(a.intersection(&b), b.intersection(&a));
        prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a.clone());
        prop_assert!(a.difference(&b).intersection(&b).is_empty());
        prop_assert!(a.intersection(&b).is_subset(&a) && a.is_subset(&a.union(&b)));
        prop_assert!(a.recursive_difference(&b).is_subset(&a.difference(&b)));
        prop_assert!(a.leaves().is_subset(&a));
        prop_assert_eq!(a.union(&b).len() + a.intersection(&b).len(), a.len() + b.len());
    }

    #[test]
    fn comparing_finds_nothing_in_what_is_the_same_and_all_in_what_is_new(
        a in object(), b in object(),
    ) {
        let world = World::new();
        let ty = world.schema.type_of(VERSION, KIND).unwrap();
        prop_assert!(typed::compare(&a, &a.clone(), ty).unwrap().is_same());
        let there = typed::compare(&a, &b, ty).unwrap();
        let back = typed::compare(&b, &a, ty).unwrap();
        prop_assert_eq!(there.added, back.removed);
        prop_assert_eq!(there.removed, back.added);
        prop_assert_eq!(there.modified, back.modified);
    }

    #[test]
    fn a_merge_says_all_that_was_applied_and_merging_again_changes_nothing(
        a in object(), b in object(),
    ) {
        let world = World::new();
        let ty = world.schema.type_of(VERSION, KIND).unwrap();
        let merged = typed::merge(&a, &b, ty).unwrap();
        let from_b = typed::compare(&merged, &b, ty).unwrap();
        prop_assert!(from_b.added.is_empty(), "{:?}", from_b.added);
        prop_assert!(from_b.modified.is_empty(), "{:?}", from_b.modified);
        prop_assert_eq!(typed::merge(&merged, &b, ty).unwrap(), merged);
    }

    #[test]
    fn applying_again_changes_nothing(
        a in full_object(), b in full_object(),
    ) {
        let world = World::new();
        let first = world.apply(None, &a, "ours", false, now()).unwrap().object;
        let again = world.apply(Some(&first), &a, "ours", false, later()).unwrap();
        prop_assert_eq!(&again.object, &first);
        prop_assert!(!again.changed);

        // Also when another manager has been there, and fields were given up.
        let second = world.apply(Some(&first), &b, "theirs", true, now()).unwrap().object;
        let third = world.apply(Some(&second), &b, "ours", true, now()).unwrap().object;
        let again = world.apply(Some(&third), &b, "ours", false, later()).unwrap();
        prop_assert_eq!(&again.object, &third);
        prop_assert!(!again.changed);
        prop_assert_eq!(
            baseline(&third["metadata"], "ours"),
            baseline(&again.object["metadata"], "ours")
        );
    }

    #[test]
    fn an_update_without_a_change_keeps_owners_and_times(a in object(), b in object()) {
        let world = World::new();
        let live = world.apply(None, &a, "ours", false, now()).unwrap().object;
        let live = world.apply(Some(&live), &b, "theirs", true, now()).unwrap().object;
        let mut uid = live.clone();
        uid["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000001");
        let tracked = world.with(|target| {
            managed::track(target, Track::new(uid.clone(), "kubectl", later()).live(&uid))
        });
        prop_assert_eq!(tracked.unwrap(), uid);
    }

    #[test]
    fn managers_of_disjoint_fields_never_conflict(whole in full_object(), pick in any::<u64>()) {
        let world = World::new();
        let ty = world.schema.type_of(VERSION, KIND).unwrap();
        let fields = world.fields(&whole).leaves();
        let part = |mine: bool| {
            let picked: FieldSet<'_> = fields
                .paths()
                .enumerate()
                .filter(|(at, _)| (pick >> (at % 64) & 1 == 1) == mine)
                .map(|(_, path)| path)
                .collect();
            let mut part = typed::extract(&whole, &picked, ty).unwrap();
            if part.is_null() {
                part = json!({});
            }
            part["apiVersion"] = json!(VERSION);
            part["kind"] = json!(KIND);
            part["metadata"]["name"] = json!("w");
            part
        };
        let (left, right) = (part(true), part(false));
        let live = world.apply(None, &left, "left", false, now()).unwrap().object;
        let live = world.apply(Some(&live), &right, "right", false, now()).unwrap().object;
        for path in fields.paths().filter(|path| at(&whole, path).is_some_and(|v| !v.is_null())) {
            prop_assert!(at(&live, &path).is_some(), "{} is missing in {}", path, live);
        }
        // And one after the other may apply again.
        prop_assert!(!world.apply(Some(&live), &left, "left", false, later()).unwrap().changed);
    }

    #[test]
    fn a_field_that_is_given_up_goes_if_and_only_if_nobody_else_owns_it(
        first in full_object(), other in full_object(), second in full_object(),
    ) {
        let world = World::new();
        let live = world.apply(None, &first, "ours", false, now()).unwrap().object;
        let live = world.apply(Some(&live), &other, "theirs", true, now()).unwrap().object;
        let before = owned(&live, "ours").into_owned();
        let after = world.apply(Some(&live), &second, "ours", true, now()).unwrap().object;
        let wanted = world.fields(&second);
        let theirs = owned(&live, "theirs");
        for path in spec_leaves(&before.difference(&wanted)) {
            if wanted.reaches(&path) {
                continue;
            }
            let kept = at(&after, &path).is_some_and(|value| !value.is_null());
            let elsewhere = theirs.reaches(&path);
            // A container of which parts are still owned stays with them.
            prop_assert_eq!(kept, elsewhere, "{} in {}", path, after);
        }
    }

    #[test]
    fn force_moves_ownership(first in object(), second in object()) {
        let world = World::new();
        let live = world.apply(None, &first, "ours", false, now()).unwrap().object;
        let refused = world.apply(Some(&live), &second, "theirs", false, now());
        let forced = world.apply(Some(&live), &second, "theirs", true, later()).unwrap();
        match refused {
            Ok(applied) => prop_assert_eq!(applied.object["spec"].clone(), forced.object["spec"].clone()),
            Err(ManagedError::Conflicts(conflicts)) => {
                let (ours, theirs) = (owned(&forced.object, "ours"), owned(&forced.object, "theirs"));
                for conflict in conflicts.iter() {
                    prop_assert!(!ours.contains(&conflict.path), "{}", conflict.path);
                    prop_assert!(theirs.reaches(&conflict.path), "{}", conflict.path);
                }
                // Which is what we then find lost, with the manager that has it.
                let kind = world.schema.kind("example.com", KIND);
                let lost = lost(&kind, &first, &forced.object["metadata"], "ours").unwrap();
                for conflict in conflicts.iter() {
                    let found = lost.iter().any(|lost| {
                        conflict.path.starts_with(&lost.path) || lost.path.starts_with(&conflict.path)
                    });
                    prop_assert!(found, "{} not in {:?}", conflict.path, lost);
                }
                let named = lost.iter().filter_map(|lost| lost.owner.as_ref());
                prop_assert!(named.into_iter().all(|owner| owner.manager == "theirs"));
                prop_assert_ne!(
                    baseline(&live["metadata"], "ours"),
                    baseline(&forced.object["metadata"], "ours")
                );
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn entries_never_name_what_is_not_there(
        steps in prop::collection::vec((full_object(), 0..3_usize, any::<bool>()), 1..5),
    ) {
        let world = World::new();
        let mut live: Option<Value> = None;
        for (config, manager, apply) in &steps {
            let manager = ["a", "b", "c"][*manager];
            let next = if *apply || live.is_none() {
                world.apply(live.as_ref(), config, manager, true, now()).unwrap().object
            } else {
                let mut object = config.clone();
                object["metadata"]["managedFields"] = Value::Null;
                let track = Track::new(object, manager, now());
                let track = match &live {
                    Some(live) => track.live(live),
                    None => track,
                };
                world.with(|target| managed::track(target, track)).unwrap()
            };
            let there = world.fields(&next);
            for entry in ManagedFields::of(&next).unwrap().iter() {
                for path in entry.fields.leaves().paths() {
                    prop_assert!(
                        there.reaches(&path) || at(&next, &path).is_some(),
                        "{} of {} isn't in {}", path, entry.manager, next
                    );
                }
            }
            live = Some(next);
        }
    }
}
