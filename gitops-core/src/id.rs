//! Names of things: kinds, objects, reconcilers, field managers.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A group, version and kind, such as `apps/v1 Deployment`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct GroupVersionKind {
    /// The API group; empty for the core group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The version within the group, such as `v1`.
    pub version: String,
    /// The kind, such as `Deployment`.
    pub kind: String,
}

impl GroupVersionKind {
    /// Takes `apiVersion` and `kind` as they stand in a manifest.
    ///
    /// ```
    /// use gitops_core::GroupVersionKind;
    ///
    /// let deployment = GroupVersionKind::from_api_version("apps/v1", "Deployment");
    /// assert_eq!(deployment.group, "apps");
    /// assert_eq!(deployment.api_version(), "apps/v1");
    /// assert_eq!(GroupVersionKind::from_api_version("v1", "Secret").group, "");
    /// ```
    #[must_use]
    pub fn from_api_version(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self {
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
        }
    }

    /// `apiVersion` as it stands in a manifest.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The same without the version.
    #[must_use]
    pub fn group_kind(&self) -> GroupKind {
        GroupKind {
            group: self.group.clone(),
            kind: self.kind.clone(),
        }
    }
}

impl fmt::Display for GroupVersionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.api_version(), self.kind)
    }
}

/// A kind whatever its version, such as `Deployment.apps`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct GroupKind {
    /// The API group; empty for the core group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The kind.
    pub kind: String,
}

impl GroupKind {
    /// A kind of a group; the core group is the empty text.
    #[must_use]
    pub fn new(group: impl Into<String>, kind: impl Into<String>) -> Self {
        Self {
            group: group.into(),
            kind: kind.into(),
        }
    }
}

impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        Ok(())
    }
}

/// Which object, whatever the version it is spoken of in.
///
/// The version is left out on purpose: `extensions/v1beta1` and `networking.k8s.io/v1`
/// are different groups, but `autoscaling/v1` and `autoscaling/v2` are two views of one
/// stored object, and an object that changes its version in Git is not withdrawn.
///
/// Prints as `Deployment.apps shop/web`, or `Namespace shop` without a namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ObjectId {
    /// The API group; empty for the core group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The namespace; none for a cluster-scoped object, and none before it is known
    /// whether the kind is namespaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

impl ObjectId {
    /// An object in a namespace.
    #[must_use]
    pub fn namespaced(
        kind: GroupKind,
        namespace: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        let GroupKind { group, kind } = kind;
        Self {
            group,
            kind,
            namespace: Some(namespace.into()),
            name: name.into(),
        }
    }

    /// An object without a namespace.
    #[must_use]
    pub fn cluster(kind: GroupKind, name: impl Into<String>) -> Self {
        let GroupKind { group, kind } = kind;
        Self {
            group,
            kind,
            namespace: None,
            name: name.into(),
        }
    }

    /// The object's kind.
    #[must_use]
    pub fn group_kind(&self) -> GroupKind {
        GroupKind {
            group: self.group.clone(),
            kind: self.kind.clone(),
        }
    }

    /// Whether the object is of this kind.
    #[must_use]
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        f.write_str(" ")?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)
    }
}

/// A name that its type does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {name:?} is not valid: {rule}")]
pub struct InvalidName {
    what: &'static str,
    name: String,
    rule: &'static str,
}

macro_rules! name_type {
    ($name:ident, $what:literal, $check:expr, $rule:literal) => {
        impl $name {
            /// Checks the name.
            ///
            /// # Errors
            ///
            /// [`InvalidName`] states the rule that the name breaks.
            pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
                let name = name.into();
                let check: fn(&str) -> bool = $check;
                if check(&name) {
                    Ok(Self(name))
                } else {
                    Err(InvalidName { what: $what, name, rule: $rule })
                }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(name: &str) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = InvalidName;

            fn try_from(name: &str) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(name: String) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = Cow::<'de, str>::deserialize(deserializer)?;
                Self::new(name.into_owned()).map_err(serde::de::Error::custom)
            }
        }

        #[cfg(feature = "schemars")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "description": $rule })
            }
        }
    };
}

/// The name of one reconciler: what tells its objects from another's.
///
/// It stands in a label, an annotation, the inventory's name and (unless another is
/// given) the field manager, so it keeps the rule of a
/// [DNS-1123 label](https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-label-names).
///
/// ```
/// use gitops_core::ReconcilerName;
///
/// assert!(ReconcilerName::new("payments-prod").is_ok());
/// assert!(ReconcilerName::new("Payments").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReconcilerName(String);

name_type!(
    ReconcilerName,
    "reconciler name",
    |name| {
        let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        (1..=63).contains(&name.len())
            && name.bytes().all(|b| alphanumeric(b) || b == b'-')
            && name.bytes().next().is_some_and(alphanumeric)
            && name.bytes().last().is_some_and(alphanumeric)
    },
    "at most 63 characters of a-z, 0-9 and '-', beginning and ending with a letter or digit"
);

/// The name under which the API server books what we own: `fieldManager`.
///
/// One per reconciler: two writers under one name can't be told apart by the server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldManager(String);

name_type!(
    FieldManager,
    "field manager",
    // https://github.com/kubernetes/apimachinery/blob/v0.36.0/pkg/apis/meta/v1/validation/validation.go
    |name| (1..=128).contains(&name.len()) && !name.chars().any(char::is_control),
    "1 to 128 bytes without control characters"
);

impl From<ReconcilerName> for FieldManager {
    fn from(name: ReconcilerName) -> Self {
        Self(name.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_print_for_people() {
        let web = ObjectId::namespaced(GroupKind::new("apps", "Deployment"), "shop", "web");
        assert_eq!(web.to_string(), "Deployment.apps shop/web");
        let shop = ObjectId::cluster(GroupKind::new("", "Namespace"), "shop");
        assert_eq!(shop.to_string(), "Namespace shop");
    }

    #[test]
    fn names_keep_their_rule_through_serde() {
        assert!(serde_json::from_str::<ReconcilerName>("\"ok-1\"").is_ok());
        for bad in ["\"\"", "\"-a\"", "\"a-\"", "\"a.b\"", "\"A\""] {
            let error = serde_json::from_str::<ReconcilerName>(bad).unwrap_err();
            assert!(error.to_string().contains("reconciler name"), "{error}");
        }
        assert!(FieldManager::new("a\nb").is_err());
        assert!(FieldManager::new("x".repeat(129)).is_err());
    }
}
