//! The three patch formats: what is generated leads where it was made for.

use gitops_diff::patch::{PatchError, json, merge, strategic};
use gitops_diff::schema::{Schema, TypeRef};
use serde_json::{Value, json};

use crate::input::{Bytes, MARKER, is_marked, names_marked, texts};

/// The kinds whose objects are patched.
const KINDS: [(&str, &str); 6] = [
    ("v1", "Pod"),
    ("apps/v1", "Deployment"),
    ("v1", "Service"),
    ("v1", "ConfigMap"),
    ("networking.k8s.io/v1", "Ingress"),
    ("example.com/v1", "Unknown"),
];

/// Reads two objects and a patch. Text: the objects, the patch; their type is the one that
/// the first says it has.
///
/// # Panics
///
/// If a law is broken.
pub fn check(data: &[u8]) {
    let schema = Schema::builtin();
    let mut values = texts(data, 3).unwrap_or_else(|| {
        let mut bytes = Bytes::new(data);
        let (api_version, kind) = bytes.pick(&KINDS).unwrap_or_default();
        let ty = schema.type_of(api_version, kind);
        let mut object = || {
            let mut object = bytes.value_of(ty.unwrap_or(Schema::deduced()), 0);
            if let Some(members) = object.as_object_mut() {
                members.insert("apiVersion".into(), json!(api_version));
                members.insert("kind".into(), json!(kind));
            }
            object
        };
        let (a, b) = (object(), object());
        let patch = patch(&mut bytes, &a, ty);
        vec![a, b, patch]
    });
    values.resize(3, Value::Null);
    let [a, b, patch] = values.as_slice() else {
        return;
    };
    let ty = schema.type_of_object(a);
    secrets(&values, ty);
    json_patch(a, b, patch);
    merge_patch(a, b, patch);
    strategic_patch(a, b, patch, ty.unwrap_or(Schema::deduced()));
}

/// A patch of any format: a list of operations, or an object with directives.
fn patch(bytes: &mut Bytes<'_>, object: &Value, ty: Option<TypeRef<'_>>) -> Value {
    if bytes.yes() {
        let operations = (0..bytes.below(6)).map(|_| operation(bytes, object));
        return Value::Array(operations.collect());
    }
    let mut patch = bytes.value_of(ty.unwrap_or(Schema::deduced()), 0);
    directives(bytes, &mut patch);
    patch
}

fn operation(bytes: &mut Bytes<'_>, object: &Value) -> Value {
    const OPS: [&str; 7] = ["add", "remove", "replace", "move", "copy", "test", "Add"];
    let mut operation = json!({
        "op": bytes.pick(&OPS), "path": pointer(bytes, object), "from": pointer(bytes, object),
        "value": bytes.value(8),
    });
    if let (1, Some(members)) = (bytes.below(8), operation.as_object_mut()) {
        let name = bytes.pick(&["op", "path", "from", "value"]).unwrap_or("op");
        members.remove(name);
    }
    operation
}

/// A pointer to a place that there may be.
fn pointer(bytes: &mut Bytes<'_>, object: &Value) -> String {
    let mut pointer = String::new();
    let mut value = Some(object);
    while bytes.yes() {
        let name = match value {
            Some(Value::Object(members)) if bytes.byte() % 8 != 7 => {
                let names: Vec<&String> = members.keys().collect();
                bytes.pick(&names).cloned().unwrap_or_default()
            }
            Some(Value::Array(items)) if bytes.byte() % 8 != 7 => {
                bytes.below(items.len() + 1).to_string()
            }
            _ => match bytes.below(4) {
                0 => "-".to_owned(),
                1 => "-1".to_owned(),
                _ => bytes.name(),
            },
        };
        value = value.and_then(|value| match value {
            Value::Array(items) => items.get(name.parse::<usize>().ok()?),
            value => value.get(&name),
        });
        pointer.push('/');
        pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
    }
    pointer
}

/// Puts directives in, here and there.
fn directives(bytes: &mut Bytes<'_>, patch: &mut Value) {
    match patch {
        Value::Object(members) => {
            let names: Vec<String> = members.keys().cloned().collect();
            for name in &names {
                if let Some(member) = members.get_mut(name) {
                    match bytes.below(12) {
                        11 => *member = Value::Null,
                        _ => directives(bytes, member),
                    }
                }
            }
            let about = bytes.pick(&names.iter().map(String::as_str).collect::<Vec<_>>());
            let about = about.unwrap_or("a").to_owned();
            match bytes.below(16) {
                11 => {
                    let way = bytes.pick(&["replace", "delete", "merge", "x"]);
                    members.insert("$patch".into(), json!(way));
                }
                12 => {
                    members.insert("$retainKeys".into(), json!([about]));
                }
                13 => {
                    let order = members.get(&about).cloned().unwrap_or(bytes.value(10));
                    members.insert(format!("$setElementOrder/{about}"), order);
                }
                14 => {
                    let gone = members.get(&about).cloned().unwrap_or(bytes.value(10));
                    members.insert(format!("$deleteFromPrimitiveList/{about}"), gone);
                }
                15 => {
                    members.insert("$retainKeys".into(), bytes.value(9));
                }
                _ => {}
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| directives(bytes, item)),
        _ => {}
    }
}

/// No error shows a value, and every error has an answer of the API server.
fn secrets(values: &[Value], ty: Option<TypeRef<'_>>) {
    let [a, b, patch] = values else { return };
    let ty = ty.unwrap_or(Schema::deduced());
    // An operation's path may be named, and so may the names of members.
    let paths = |operation: &Value| {
        let named = ["op", "path", "from"];
        named.iter().any(|name| is_marked(&operation[*name]))
    };
    let named = values.iter().any(names_marked)
        || patch.as_array().is_some_and(|all| all.iter().any(paths));
    if named || !values.iter().any(is_marked) {
        return;
    }
    for result in [
        json::apply(a, patch),
        json::generate(a, b),
        merge::apply(a, patch),
        merge::generate(a, b),
        merge::three_way(Some(patch), b, a),
        strategic::apply(a, patch, &ty),
        strategic::generate(a, b, &ty),
        strategic::three_way(Some(patch), b, a, &ty),
    ] {
        if let Err(error) = result {
            let shown = format!("{error} {error:?} {:?}", error.status());
            assert!(!shown.contains(MARKER), "a value is shown: {shown}");
        }
    }
}

fn json_patch(a: &Value, b: &Value, patch: &Value) {
    match json::generate(a, b) {
        Ok(made) => {
            assert_eq!(json::apply(a, &made).as_ref(), Ok(b), "{made}");
            assert_eq!(made == json!([]), a == b, "{made}");
        }
        Err(error) => assert!(matches!(error, PatchError::Inexpressible { .. }), "{error}"),
    }
    // What the patch made of it can be said as a patch that we make.
    if let Ok(patched) = json::apply(a, patch)
        && let Ok(made) = json::generate(a, &patched)
    {
        assert_eq!(json::apply(a, &made), Ok(patched), "{made}");
    }
}

fn merge_patch(a: &Value, b: &Value, patch: &Value) {
    if let Ok(made) = merge::generate(a, b) {
        assert_eq!(merge::apply(a, &made).as_ref(), Ok(b), "{made}");
        assert_eq!(made == json!({}), a == b, "{made}");
    }
    if let Ok(patched) = merge::apply(a, patch) {
        // A patch that was applied has nothing left to say; but where it put a list in the
        // place of an object, the server keeps nulls in it the first time.
        let again = merge::apply(&patched, patch);
        assert_eq!(
            again.as_ref().map(without_nulls),
            Ok(without_nulls(&patched))
        );
        let made = merge::generate(a, &patched);
        if let (true, Ok(made)) = (a.is_object(), made) {
            assert_eq!(merge::apply(a, &made), Ok(patched), "{made}");
        }
    }
    if let Ok(made) = merge::three_way(Some(a), b, a) {
        let patched = merge::apply(a, &made);
        assert_eq!(
            patched.as_ref().map(without_nulls),
            Ok(without_nulls(b)),
            "{made} for {a}"
        );
    }
}

fn strategic_patch(a: &Value, b: &Value, patch: &Value, ty: TypeRef<'_>) {
    // An object that a server keeps has no nulls.
    let a = &without_nulls(a);
    // The same scalar twice in a merged list can't be said.
    if [a, b, patch].into_iter().any(twice) {
        return;
    }
    let leads = |made: &Value, to: &Value| {
        // Nor can a member that reads like a directive.
        if to.to_string().contains("\"$") {
            return;
        }
        // A list that is replaced since a key stands in it twice: the server puts elements
        // with the same key side by side.
        let loose = made.to_string().contains(r#"{"$patch":"replace"}"#);
        let patched = strategic::apply(a, made, &ty);
        let patched = patched.as_ref().map(|patched| settled(patched, loose));
        assert_eq!(patched, Ok(settled(to, loose)), "{made} for {a}");
    };
    if let Ok(made) = strategic::generate(a, b, &ty) {
        leads(&made, b);
        if without_nulls(a) == without_nulls(b) {
            assert_eq!(made, json!({}));
        }
    }
    if let Ok(made) = strategic::three_way(Some(a), b, a, &ty) {
        leads(&made, b);
    }
    let _ = strategic::three_way(Some(patch), b, a, &ty);
    let patched = strategic::apply(a, patch, &ty);
    assert_eq!(strategic::apply(a, patch, &ty), patched);
    if let Ok(patched) = patched
        && let Ok(made) = strategic::generate(a, &patched, &ty)
    {
        leads(&made, &patched);
    }
}

/// Without nulls, and if the order says nothing, with all lists in the same order.
fn settled(value: &Value, loose: bool) -> Value {
    fn sort(value: &mut Value) {
        match value {
            Value::Object(members) => members.values_mut().for_each(sort),
            Value::Array(items) => {
                items.iter_mut().for_each(sort);
                items.sort_by_cached_key(Value::to_string);
            }
            _ => {}
        }
    }
    let mut settled = without_nulls(value);
    if loose {
        sort(&mut settled);
    }
    settled
}

/// Whether a scalar stands twice in a list.
fn twice(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().enumerate().any(|(at, item)| {
            let scalar = !item.is_array() && !item.is_object();
            twice(item) || scalar && items[..at].contains(item)
        }),
        Value::Object(members) => members.values().any(twice),
        _ => false,
    }
}

/// A member that is null is none, on the API server.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(_, member)| !member.is_null())
            .map(|(name, member)| (name.clone(), without_nulls(member)))
            .collect(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}
