//! `fieldsV1`, and the sets that it is read into.

use gitops_diff::fieldset::FieldSet;
use serde_json::{Map, Value, json};

use crate::input::{Bytes, texts};

/// Reads two `fieldsV1` and checks the laws of the sets.
///
/// # Panics
///
/// If one is broken.
pub fn check(data: &[u8]) {
    let mut values = texts(data, 2).unwrap_or_else(|| {
        let mut bytes = Bytes::new(data);
        vec![fields(&mut bytes, 0), fields(&mut bytes, 0)]
    });
    values.resize(2, json!({}));
    let sets: Vec<FieldSet<'_>> = values.iter().filter_map(read).collect();
    for set in &sets {
        round(set);
    }
    if let [a, b] = sets.as_slice() {
        algebra(a, b);
    }
}

fn read(value: &Value) -> Option<FieldSet<'_>> {
    match FieldSet::from_fields_v1(value) {
        Ok(set) => Some(set),
        Err(error) => {
            assert!(error.to_string().starts_with("fieldsV1"), "{error}");
            assert_eq!(FieldSet::from_fields_v1(value), Err(error));
            None
        }
    }
}

/// What was read is written, and read back the same.
fn round(set: &FieldSet<'_>) {
    let value = set.to_fields_v1();
    let back = FieldSet::from_fields_v1(&value).expect("what was written can be read");
    assert_eq!(&back, set);
    let text = set.to_fields_v1_text();
    assert_eq!(
        serde_json::from_str::<Value>(&text).ok().as_ref(),
        Some(&value)
    );
    assert_eq!(back.to_fields_v1_text(), text);

    let paths: FieldSet<'_> = set.paths().collect();
    assert_eq!(&paths, set);
    assert_eq!(set.paths().count(), set.len());
    assert!(set.paths().all(|path| set.contains(&path)));
    assert_eq!(set.is_empty(), set.len() == 0);
    assert_eq!(&set.clone().into_owned(), set);
}

fn algebra(a: &FieldSet<'_>, b: &FieldSet<'_>) {
    let (both, either) = (a.intersection(b), a.union(b));
    assert_eq!(either, b.union(a));
    assert_eq!(both, b.intersection(a));
    assert_eq!(either.len() + both.len(), a.len() + b.len());
    assert_eq!(a.difference(b).union(&both), *a);
    assert!(a.difference(b).intersection(b).is_empty());
    assert!(both.is_subset(a) && a.is_subset(&either));
    assert!(a.recursive_difference(b).is_subset(&a.difference(b)));
    assert!(a.leaves().is_subset(a));
    round(&either);
    round(&both);
    round(&a.difference(b));
}

fn fields(bytes: &mut Bytes<'_>, depth: usize) -> Value {
    let mut entries = Map::new();
    for _ in 0..bytes.below(5) {
        let key = match bytes.below(16) {
            0 => ".".to_owned(),
            1 => format!("i:{}", bytes.byte()),
            2..5 => format!("v:{}", bytes.value(9)),
            5..8 => {
                let keys: Map<String, Value> = (0..bytes.below(3))
                    .map(|_| (bytes.name(), bytes.value(10)))
                    .collect();
                format!("k:{}", Value::Object(keys))
            }
            8 => bytes.name(),
            _ => format!("f:{}", bytes.name()),
        };
        let within = match depth {
            0..8 => fields(bytes, depth + 1),
            _ => json!({}),
        };
        entries.insert(key, within);
    }
    Value::Object(entries)
}
