//! Laws of patches: a generated patch leads where it was made for.

use gitops_diff::patch;
use gitops_diff::schema::Schema;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::from),
        (-3_i64..3).prop_map(Value::from),
        "[ab/~é]{0,2}".prop_map(Value::from),
    ]
}

/// Any JSON object: small names, so that two of them meet often.
fn object() -> impl Strategy<Value = Value> {
    let value = scalar().prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map("[abc/~]{1,2}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    btree_map("[abc/~]{1,2}", value, 0..4)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

fn with_nulls() -> impl Strategy<Value = Value> {
    object().prop_flat_map(|object| {
        ("[abc]", any::<bool>()).prop_map(move |(name, add)| {
            let mut object = object.clone();
            if add {
                object[name] = Value::Null;
            }
            object
        })
    })
}

fn keyed(
    key: &'static str,
    value: impl Strategy<Value = Value> + 'static,
    others: impl Strategy<Value = Map<String, Value>> + Clone + 'static,
) -> impl Strategy<Value = Value> {
    vec((value, others), 0..4).prop_map(move |elements| {
        let mut seen = Vec::new();
        elements
            .into_iter()
            .filter(|(value, _)| {
                !seen.contains(value) && {
                    seen.push(value.clone());
                    true
                }
            })
            .map(|(value, mut members)| {
                members.insert(key.to_owned(), value);
                Value::Object(members)
            })
            .collect()
    })
}

fn members(
    of: Vec<(&'static str, BoxedStrategy<Value>)>,
) -> impl Strategy<Value = Map<String, Value>> + Clone {
    of.into_iter()
        .map(|(name, value)| proptest::option::of(value).prop_map(move |value| (name, value)))
        .collect::<Vec<_>>()
        .prop_map(|members| {
            members
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect()
        })
}

/// A pod: lists by key within lists by key, sets, unions, atomic lists, maps.
fn pod() -> impl Strategy<Value = Value> {
    let word = || "[abc]{1,2}".prop_map(Value::from);
    let env = keyed("name", word(), members(vec![("value", word().boxed())]));
    let port = (80_i64..84).prop_map(Value::from);
    let ports = keyed(
        "containerPort",
        port,
        members(vec![("name", word().boxed())]),
    );
    let container = members(vec![
        ("image", word().boxed()),
        ("args", vec(word(), 0..3).prop_map(Value::from).boxed()),
        ("env", env.boxed()),
        ("ports", ports.boxed()),
    ]);
    let volume = prop_oneof![
        Just(json!({"emptyDir": {}})),
        word().prop_map(|name| json!({"configMap": {"name": name}})),
        word().prop_map(|path| json!({"hostPath": {"path": path}})),
    ]
    .prop_map(|volume| volume.as_object().cloned().unwrap());
    let spec = members(vec![
        ("containers", keyed("name", word(), container).boxed()),
        ("volumes", keyed("name", word(), volume).boxed()),
        ("nodeSelector", map().boxed()),
        ("hostNetwork", any::<bool>().prop_map(Value::from).boxed()),
    ]);
    let finalizers = proptest::collection::btree_set("[abc]{1,2}", 0..4)
        .prop_map(|set| set.into_iter().collect::<Vec<_>>())
        .prop_shuffle()
        .prop_map(Value::from);
    let metadata = members(vec![
        ("labels", map().boxed()),
        ("finalizers", finalizers.boxed()),
    ]);
    (metadata, spec).prop_map(|(metadata, spec)| json!({"metadata": metadata, "spec": spec}))
}

fn map() -> impl Strategy<Value = Value> {
    btree_map("[abc]{1,2}", "[abc]{0,2}", 0..4).prop_map(|map| json!(map))
}

proptest! {
    #[test]
    fn a_json_patch_leads_where_it_was_made_for(a in with_nulls(), b in with_nulls()) {
        let made = patch::json::generate(&a, &b).unwrap();
        prop_assert_eq!(patch::json::apply(&a, &made).unwrap(), b, "{}", made);
    }

    #[test]
    fn a_merge_patch_leads_where_it_was_made_for(a in with_nulls(), b in object()) {
        let made = patch::merge::generate(&a, &b).unwrap();
        prop_assert_eq!(patch::merge::apply(&a, &made).unwrap(), b, "{}", made);
    }

    #[test]
    fn a_strategic_patch_leads_where_it_was_made_for(a in pod(), b in pod()) {
        let ty = Schema::builtin().type_of("v1", "Pod").unwrap();
        let made = patch::strategic::generate(&a, &b, &ty).unwrap();
        let patched = patch::strategic::apply(&a, &made, &ty).unwrap();
        prop_assert_eq!(patched, b, "{}", made);
    }

    #[test]
    fn the_patch_between_equals_is_empty(a in pod()) {
        let ty = Schema::builtin().type_of("v1", "Pod").unwrap();
        prop_assert_eq!(patch::json::generate(&a, &a).unwrap(), json!([]));
        prop_assert_eq!(patch::merge::generate(&a, &a).unwrap(), json!({}));
        prop_assert_eq!(patch::strategic::generate(&a, &a, &ty).unwrap(), json!({}));
    }

    /// With nothing applied before, three-way adds and changes; with everything
    /// applied before, it leads to what is desired.
    #[test]
    fn three_way_leads_to_desired_when_all_was_ours(a in pod(), b in pod()) {
        let ty = Schema::builtin().type_of("v1", "Pod").unwrap();
        let made = patch::strategic::three_way(Some(&a), &b, &a, &ty).unwrap();
        prop_assert_eq!(patch::strategic::apply(&a, &made, &ty).unwrap(), b.clone(), "{}", made);
        let made = patch::merge::three_way(Some(&a), &b, &a).unwrap();
        prop_assert_eq!(patch::merge::apply(&a, &made).unwrap(), b, "{}", made);
    }
}
