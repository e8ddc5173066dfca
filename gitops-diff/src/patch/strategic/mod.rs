//! Strategic merge patch: a merge patch that knows which lists have keys.
//!
//! `kubectl apply`, `kubectl edit` and `kubectl patch` send it for built-in kinds (the API
//! server refuses it for custom resources). A list with patch strategy `merge` is merged
//! by its merge key, or as a set if its elements are scalars. These directives stand in
//! the patch:
//!
//! | directive | where | means |
//! |---|---|---|
//! | `$patch: replace` | in an object | take the rest of this object instead of merging |
//! | `$patch: delete` | in an object | empty the object |
//! | `$patch: replace` | in an element of a list | take the other elements as the whole list |
//! | `$patch: delete` | in an element of a list | remove the element with this key |
//! | `$patch: merge` | anywhere | an error: merging is what happens anyway |
//! | `$deleteFromPrimitiveList/x` | beside `x` | remove these scalars from the list `x` |
//! | `$setElementOrder/x` | beside `x` | the order that the elements of `x` shall have |
//! | `$retainKeys` | in an object | remove the members that aren't named here |
//!
//! Rules and corner cases are those of
//! [`k8s.io/apimachinery/pkg/util/strategicpatch`](https://pkg.go.dev/k8s.io/apimachinery/pkg/util/strategicpatch).

use serde_json::{Map, Value};

use super::json::escape;
use super::{NO_LIST_OF_LISTS, PatchError, check_depth};
use crate::schema::TypeRef;

mod generate;
mod merge;

pub use generate::{generate, three_way};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList";
const ELEMENT_ORDER: &str = "$setElementOrder";

/// Whether a patch takes a member of this name for a directive.
fn is_directive(name: &str) -> bool {
    name == DIRECTIVE
        || name == RETAIN_KEYS
        || name.starts_with(DELETE_FROM)
        || name.starts_with(ELEMENT_ORDER)
}

/// How the value of a field is patched: `x-kubernetes-patch-strategy` in OpenAPI.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PatchStrategy {
    /// What happens to the value.
    pub action: PatchAction,
    /// Whether a generated patch names the members to keep (`retainKeys`), for unions
    /// such as a volume's source.
    pub retain_keys: bool,
}

/// What a strategic merge patch does to a field that is there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PatchAction {
    /// Objects are merged, lists replaced.
    #[default]
    Default,
    /// Lists are merged too.
    Merge,
    /// Objects are replaced too.
    Replace,
}

impl PatchStrategy {
    /// Reads `x-kubernetes-patch-strategy`, such as `merge,retainKeys`.
    ///
    /// ```
    /// use gitops_diff::patch::strategic::{PatchAction, PatchStrategy};
    ///
    /// let strategy = PatchStrategy::parse("merge,retainKeys").unwrap();
    /// assert_eq!(strategy.action, PatchAction::Merge);
    /// assert!(strategy.retain_keys);
    /// assert_eq!(PatchStrategy::parse("append"), None);
    /// ```
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut strategy = Self::default();
        for part in text.split(',').map(str::trim) {
            match part {
                "" => {}
                "merge" => strategy.action = PatchAction::Merge,
                "replace" => strategy.action = PatchAction::Replace,
                "retainKeys" => strategy.retain_keys = true,
                _ => return None,
            }
        }
        Some(strategy)
    }
}

/// What a strategic merge patch must know of one field.
#[derive(Debug, Clone)]
pub struct PatchField<S> {
    /// The patch strategy.
    pub strategy: PatchStrategy,
    /// The member by which the elements of the list are told apart
    /// (`x-kubernetes-patch-merge-key`).
    pub merge_key: Option<String>,
    /// The type of the field's value, or of the list's elements if it is a list.
    pub schema: S,
}

impl<S> PatchField<S> {
    fn merges_lists(&self) -> bool {
        self.strategy.action == PatchAction::Merge
    }
}

/// What a strategic merge patch must know of an object's type.
///
/// Implemented by [`TypeRef`], and by [`Schemaless`]. A handle that is cheap
/// to clone (a reference, an index) is what is wanted here.
pub trait PatchSchema: Clone {
    /// The member `name` of objects of this type, `None` if they have no such member.
    fn patch_field(&self, name: &str) -> Option<PatchField<Self>>;
}

/// The schema of a type of which nothing is known: every member may be there, objects are
/// merged, lists are replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Schemaless;

impl PatchSchema for Schemaless {
    fn patch_field(&self, _name: &str) -> Option<PatchField<Self>> {
        Some(PatchField {
            strategy: PatchStrategy::default(),
            merge_key: None,
            schema: Self,
        })
    }
}

/// Applies a strategic merge patch to `document`, an object of the type `schema`.
///
/// As on the API server, directives within a value that is new in the document aren't
/// carried out: objects with `$patch` are left out, and other directives stay as members
/// with a strange name, which decoding into the type then drops with a warning.
///
/// # Errors
///
/// A directive or a list that doesn't fit. The API server's words are in the error; values
/// are left out, for they may be secret.
///
/// ```
/// use gitops_diff::patch::strategic;
/// use gitops_diff::schema::Schema;
/// use serde_json::json;
///
/// let service = Schema::builtin().type_of("v1", "Service").unwrap();
/// let live = json!({"spec": {"ports": [{"port": 80}, {"port": 443}]}});
/// let patch = json!({"spec": {"ports": [{"port": 443, "name": "tls"}]}});
/// assert_eq!(
///     strategic::apply(&live, &patch, &service)?,
///     json!({"spec": {"ports": [{"port": 80}, {"port": 443, "name": "tls"}]}}),
/// );
/// # Ok::<(), gitops_diff::patch::PatchError>(())
/// ```
pub fn apply<S: PatchSchema>(
    document: &Value,
    patch: &Value,
    schema: &S,
) -> Result<Value, PatchError> {
    let patch_members = match patch {
        Value::Object(members) => members.clone(),
        // `null` decodes to an empty map in Go.
        Value::Null => Map::new(),
        other => {
            return Err(PatchError::Malformed {
                message: format!(
                    "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
                    super::go_type(other)
                ),
            });
        }
    };
    check_depth(document, "the document")?;
    check_depth(patch, "the patch")?;
    let document = document.as_object().cloned().unwrap_or_default();
    merge::Merge::server_side()
        .objects(document, patch_members, schema)
        .map(Value::Object)
}

/// The kinds of value that Go tells apart in a list: whole and broken numbers are two.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    Bool,
    Whole,
    Broken,
    Text,
    List,
    Object,
}

impl Kind {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Bool,
            Value::Number(number) if number.is_f64() => Self::Broken,
            Value::Number(_) => Self::Whole,
            Value::String(_) => Self::Text,
            Value::Array(_) => Self::List,
            Value::Object(_) => Self::Object,
        }
    }

    /// The Go type that stands for it in a server's error.
    fn go_name(self) -> &'static str {
        match self {
            Self::Null => "%!s(<nil>)",
            Self::Bool => "bool",
            Self::Whole => "int64",
            Self::Broken => "float64",
            Self::Text => "string",
            Self::List => "[]interface {}",
            Self::Object => "map[string]interface {}",
        }
    }
}

/// The one kind of all elements of both lists; `None` if there is no element.
fn element_kind(a: &[Value], b: &[Value], at: &Place<'_>) -> Result<Option<Kind>, PatchError> {
    let mut kind = None;
    for value in a.iter().chain(b) {
        let this = Kind::of(value);
        if this == Kind::List {
            return Err(at.unmergeable(NO_LIST_OF_LISTS.to_owned()));
        }
        // A list with a null in it makes the real server fail too, less politely.
        if this == Kind::Null || *kind.get_or_insert(this) != this {
            return Err(at.unmergeable("list element types are not identical".to_owned()));
        }
    }
    Ok(kind)
}

/// Where in the patch we are, for errors only: a chain of names, joined when one is made.
struct Place<'p> {
    parent: Option<&'p Place<'p>>,
    name: &'p str,
}

impl Place<'_> {
    const ROOT: Place<'static> = Place {
        parent: None,
        name: "",
    };

    fn member<'p>(&'p self, name: &'p str) -> Place<'p> {
        Place {
            parent: Some(self),
            name,
        }
    }

    fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        let mut here = Some(self);
        while let Some(place) = here {
            if place.parent.is_some() {
                names.push(place.name);
            }
            here = place.parent;
        }
        names.reverse();
        names
    }

    fn path(&self) -> String {
        let names = self.names();
        if names.is_empty() {
            "the patch".to_owned()
        } else {
            names.join(".")
        }
    }

    fn inexpressible(&self, reason: &'static str) -> PatchError {
        let names = self.names().into_iter();
        PatchError::Inexpressible {
            path: names.map(|name| format!("/{}", escape(name))).collect(),
            reason,
        }
    }

    fn bad_directive(&self, message: &'static str) -> PatchError {
        PatchError::BadDirective {
            path: self.path(),
            message,
        }
    }

    fn unmergeable(&self, message: String) -> PatchError {
        PatchError::Unmergeable {
            path: self.path(),
            message,
        }
    }

    fn no_merge_key(&self, element: &Map<String, Value>, key: &str) -> PatchError {
        self.unmergeable(format!(
            "map: {} does not contain declared merge key: {key}",
            outline(element)
        ))
    }

    fn bad_type(&self, expected: Kind, found: &Value) -> PatchError {
        self.unmergeable(format!(
            "expected a {}, but received a {}",
            expected.go_name(),
            Kind::of(found).go_name()
        ))
    }
}

/// An object as Go prints a map, values left out.
fn outline(object: &Map<String, Value>) -> String {
    let mut names: Vec<_> = object.keys().map(String::as_str).collect();
    names.sort_unstable();
    let mut out = "map[".to_owned();
    for (at, name) in names.into_iter().enumerate() {
        if at > 0 {
            out.push(' ');
        }
        out.push_str(name);
        out.push_str(":…");
    }
    out.push(']');
    out
}

/// A scalar as text, so that elements can be looked up by it. Equal texts mean equal
/// values of one type, as Go's `==` on two interface values has it.
fn lookup_key(value: &Value) -> String {
    value.to_string()
}

/// The name of the list that a directive such as `$setElementOrder/containers` is about.
fn directive_target<'k>(
    key: &'k str,
    prefix: &str,
    message: &'static str,
    at: &Place<'_>,
) -> Result<&'k str, PatchError> {
    key.strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('/'))
        .ok_or_else(|| at.bad_directive(message))
}

impl PatchSchema for TypeRef<'_> {
    fn patch_field(&self, name: &str) -> Option<PatchField<Self>> {
        let field = self.field(name)?;
        Some(PatchField {
            strategy: PatchStrategy::parse(field.patch_strategy().unwrap_or_default())?,
            merge_key: field.patch_merge_key().map(str::to_owned),
            schema: field.ty().items().unwrap_or(field.ty()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;
    use serde_json::json;

    fn pod() -> TypeRef<'static> {
        Schema::builtin().type_of("v1", "Pod").unwrap()
    }

    #[test]
    fn directives_do_what_they_say() {
        let containers = |list: Value| json!({"spec": {"containers": list}});
        for (live, patch, expected) in [
            // Others' elements keep their place among those whose order is stated.
            (
                containers(json!([{"name": "a"}, {"name": "x"}, {"name": "b"}])),
                json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "b", "image": "i"}]}}),
                containers(json!([{"name": "x"}, {"name": "b", "image": "i"}, {"name": "a"}])),
            ),
            // What is added in the memory of a deleted element counts as old (read in the
            // source of the real server, not recorded).
            (
                containers(json!([{"name": "a"}, {"name": "b"}, {"name": "c"}])),
                json!({"spec": {"$setElementOrder/containers": [{"name": "v"}], "containers": [{"name": "v"}, {"name": "a", "$patch": "delete"}]}}),
                containers(json!([{"name": "b"}, {"name": "c"}, {"name": "v"}])),
            ),
            (
                containers(json!([{"name": "a"}])),
                containers(json!([{"$patch": "replace"}, {"name": "b"}])),
                containers(json!([{"name": "b"}])),
            ),
            (
                json!({"metadata": {"finalizers": ["a", "b"]}}),
                json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a", "z"], "finalizers": ["c"]}}),
                json!({"metadata": {"finalizers": ["c", "b"]}}),
            ),
            (
                json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}),
                json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}]}}),
                json!({"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}}),
            ),
            // An object that is new and holds a directive is left out.
            (
                json!({"spec": {}}),
                json!({"spec": {"nodeSelector": {"$patch": "replace", "a": "b"}}}),
                json!({"spec": {}}),
            ),
            (
                json!({"spec": {"nodeSelector": {"a": "b"}}}),
                json!({"$patch": "delete"}),
                json!({}),
            ),
        ] {
            assert_eq!(apply(&live, &patch, &pod()).unwrap(), expected, "{patch}");
        }
    }

    #[test]
    fn bad_patches_are_refused_with_the_status_of_the_api_server() {
        let live = json!({"spec": {
            "containers": [{"name": "a", "env": [{"name": "E", "value": "hunter2"}]}],
            "volumes": [{"name": "v", "emptyDir": {}}], "nodeSelector": {"a": "b"},
        }, "metadata": {"finalizers": ["a"]}});
        for (patch, code, message) in [
            (
                json!([]),
                400,
                "json: cannot unmarshal array into Go value of type map[string]interface {}",
            ),
            (
                json!({"spec": {"containers": [{"image": "hunter2"}]}}),
                500,
                "map: map[image:…] does not contain declared merge key: name",
            ),
            (
                json!({"spec": {"containers": [{"name": "a", "$patch": "explode"}]}}),
                500,
                "unknown patch type: explode in map: map[$patch:… name:…]",
            ),
            (
                json!({"spec": {"containers": [{"name": "a", "$patch": "merge"}]}}),
                500,
                "merging lists cannot yet be specified in the patch",
            ),
            (
                json!({"spec": {"$patch": "merge"}}),
                500,
                "unknown patch type: merge in map: map[$patch:…]",
            ),
            (
                json!({"spec": {"containers": ["x"]}}),
                500,
                "list element types are not identical",
            ),
            (
                json!({"spec": {"containers": [["x"]]}}),
                422,
                super::super::UNPROCESSABLE,
            ),
            (
                json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name"], "hostPath": {}}]}}),
                400,
                "invalid patch format of retainKeys",
            ),
            (
                json!({"metadata": {"$deleteFromPrimitiveList": ["a"]}}),
                400,
                "invalid patch format of primitive list",
            ),
            (
                json!({"spec": {"$setElementOrdercontainers": []}}),
                400,
                "invalid patch format of setElementOrder list",
            ),
            (
                json!({"spec": {"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "a"}]}}),
                500,
                "The order in patch list doesn't match $setElementOrder list",
            ),
        ] {
            let error = apply(&live, &patch, &pod()).unwrap_err();
            let status = error.status();
            assert_eq!(
                (status.code, status.message.as_str()),
                (code, message),
                "{patch}"
            );
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn three_way_names_only_what_client_side_apply_would() {
        let pod = |containers: Value| json!({"spec": {"containers": containers}});
        let patch = three_way(
            Some(&pod(json!([{"name": "a", "image": "1"}, {"name": "gone"}]))),
            &pod(json!([{"name": "a", "image": "2"}])),
            &pod(json!([{"name": "injected"}, {"name": "a", "image": "1", "tty": true}, {"name": "gone"}])),
            &self::pod(),
        )
        .unwrap();
        assert_eq!(
            patch,
            json!({"spec": {
                "$setElementOrder/containers": [{"name": "a"}],
                "containers": [{"name": "a", "image": "2"}, {"name": "gone", "$patch": "delete"}],
            }})
        );
    }

    #[test]
    fn a_list_with_a_key_twice_is_replaced() {
        let env = |list: Value| json!({"spec": {"containers": [{"name": "a", "env": list}]}});
        let before = env(json!([{"name": "E", "value": "1"}, {"name": "E", "value": "2"}]));
        let after = env(json!([{"name": "E", "value": "2"}]));
        let patch = generate(&before, &after, &pod()).unwrap();
        assert_eq!(apply(&before, &patch, &pod()).unwrap(), after, "{patch}");
    }

    #[test]
    fn depth_is_bounded() {
        let mut deep = json!({});
        for _ in 0..300 {
            deep = json!({"a": deep});
        }
        let error = apply(&json!({}), &deep, &Schemaless).unwrap_err();
        assert_eq!(error, PatchError::TooDeep { what: "the patch" });
        assert!(generate(&deep, &json!({}), &Schemaless).is_err());
    }
}
