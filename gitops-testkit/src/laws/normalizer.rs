//! Laws of a [`Normalizer`].
//!
//! | law | says |
//! |---|---|
//! | [`idempotent`] | normalising twice is normalising once |
//! | [`pure`](fn@pure) | the same object becomes the same, in whichever order its members come |
//! | [`identity`] | the object stays the object it is, and its owners its owners |

use gitops_core::GroupVersionKind;
use gitops_diff::normalize::Normalizer;
use gitops_diff::schema::builtin_resources;
use serde_json::Value;

use super::{Check, LawBroken};
use crate::arb::place::reversed;
use crate::arb::{self, Objects};

type Law = Result<(), LawBroken>;

fn normal<N: Normalizer + ?Sized>(normalizer: &N, object: &Value) -> Value {
    let mut object = object.clone();
    normalizer.normalize(&mut object);
    object
}

/// Runs all laws on objects of the built-in kinds that the normaliser
/// [applies to](Normalizer::applies_to), as often as proptest is told to.
///
/// ```
/// use gitops_core::GroupKind;
/// use gitops_diff::normalize::Normalizer;
/// use gitops_testkit::laws;
/// use serde_json::Value;
///
/// /// Cuts a character off each time.
/// struct Nibbler;
///
/// impl Normalizer for Nibbler {
///     fn applies_to(&self, kind: &GroupKind) -> bool {
///         kind.kind == "Service"
///     }
///     fn normalize(&self, object: &mut Value) {
///         if let Some(Value::String(name)) = object["spec"]["ports"][0].get_mut("name") {
///             name.pop();
///         }
///     }
/// }
///
/// let broken = laws::check_normalizer(&Nibbler).unwrap_err();
/// assert_eq!(broken.law(), "idempotent");
/// ```
///
/// # Errors
///
/// The first law that is broken, with the smallest input that shows it; or that it applies
/// to no built-in kind, and so nothing was checked: name the kind that it applies to with
/// [`Check::custom_resource`] then.
pub fn check_normalizer<N: Normalizer + ?Sized>(normalizer: &N) -> Law {
    Check::new().normalizer(normalizer)
}

/// Objects of all built-in kinds that it applies to.
pub(super) fn objects<N: Normalizer + ?Sized>(normalizer: &N) -> Option<Objects> {
    let kinds: Vec<GroupVersionKind> = builtin_resources()
        .iter()
        .map(|resource| GroupVersionKind::from_api_version(&resource.api_version(), &resource.kind))
        .filter(|kind| normalizer.applies_to(&kind.group_kind()))
        .collect();
    arb::objects_of(&kinds)
}

/// Normalising twice is normalising once.
///
/// # Errors
///
/// If it isn't.
pub fn idempotent<N: Normalizer + ?Sized>(normalizer: &N, object: &Value) -> Law {
    let once = normal(normalizer, object);
    let twice = normal(normalizer, &once);
    if once == twice {
        return Ok(());
    }
    Err(
        LawBroken::new("idempotent", "normalising again changes the object again")
            .with("object", object)
            .with("once", &once)
            .with("twice", &twice),
    )
}

/// The same object becomes the same, in whichever order its members come.
///
/// # Errors
///
/// If it doesn't.
pub fn pure<N: Normalizer + ?Sized>(normalizer: &N, object: &Value) -> Law {
    let first = normal(normalizer, object);
    for (why, again) in [
        ("the second time it becomes something else", object.clone()),
        (
            "with its members in the opposite order it becomes something else",
            reversed(object),
        ),
    ] {
        let again = normal(normalizer, &again);
        if again != first {
            return Err(LawBroken::new("pure", why)
                .with("object", object)
                .with("first", &first)
                .with("then", &again));
        }
    }
    Ok(())
}

/// The object stays the object it is, and its owners its owners: `apiVersion`, `kind`,
/// `metadata.name`, `metadata.namespace` and `metadata.managedFields` aren't touched.
///
/// # Errors
///
/// If one of them is.
pub fn identity<N: Normalizer + ?Sized>(normalizer: &N, object: &Value) -> Law {
    let normal = normal(normalizer, object);
    for pointer in [
        "/apiVersion",
        "/kind",
        "/metadata/name",
        "/metadata/namespace",
        "/metadata/managedFields",
    ] {
        if object.pointer(pointer) != normal.pointer(pointer) {
            let field = pointer.replace('/', ".");
            return Err(LawBroken::new("identity", format!("{field} was touched"))
                .with("object", object)
                .with("normalised", &normal));
        }
    }
    Ok(())
}
