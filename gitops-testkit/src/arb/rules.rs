//! Which fields an object of a type may, should and must have.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use gitops_diff::schema::{FieldType, TypeRef};

const TABLE: &str = include_str!("rules.txt");

/// How often a field is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Always,
    Often,
    Rarely,
}

impl How {
    pub(crate) fn percent(self) -> usize {
        match self {
            Self::Always => 100,
            Self::Often => 55,
            Self::Rarely => 12,
        }
    }
}

#[derive(Debug)]
struct Rule {
    /// Fields of which at most one is there, and how often one is.
    groups: Vec<(Vec<&'static str>, How)>,
}

static RULES: LazyLock<BTreeMap<&'static str, Rule>> = LazyLock::new(|| {
    TABLE
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let name = words.next()?;
            let groups = words.map(|word| {
                let (names, how) = if let Some(names) = word.strip_suffix('!') {
                    (names, How::Always)
                } else if let Some(names) = word.strip_suffix('+') {
                    (names, How::Often)
                } else {
                    (word, How::Rarely)
                };
                (names.split('|').collect(), how)
            });
            Some((
                name,
                Rule {
                    groups: groups.collect(),
                },
            ))
        })
        .collect()
});

/// `core.v1.Container` for `io.k8s.api.core.v1.Container`.
pub(crate) fn short_name(ty: TypeRef<'_>) -> Option<&str> {
    let name = ty.name()?;
    name.strip_prefix("io.k8s.api.")
        .or_else(|| name.strip_prefix("io.k8s.apimachinery.pkg.apis."))
}

fn rule(ty: TypeRef<'_>) -> Option<&'static Rule> {
    RULES.get(short_name(ty)?)
}

/// Fields that alternatives are chosen among: one of `fields` is there, as often as
/// `how` says.
pub(crate) struct Choice<'a> {
    pub(crate) fields: Vec<FieldType<'a>>,
    pub(crate) how: How,
}

/// The choices that make an object of this type.
pub(crate) fn choices(ty: TypeRef<'_>) -> Vec<Choice<'_>> {
    match rule(ty) {
        Some(rule) => rule
            .groups
            .iter()
            .map(|(names, how)| Choice {
                fields: names.iter().filter_map(|name| ty.field(name)).collect(),
                how: *how,
            })
            .collect(),
        None => ty
            .fields()
            .map(|field| Choice {
                how: if field.required() {
                    How::Always
                } else {
                    How::Rarely
                },
                fields: vec![field],
            })
            .collect(),
    }
}

/// Whether this is the name or the namespace of an object.
pub(crate) fn is_metadata_name(ty: TypeRef<'_>, name: &str) -> bool {
    matches!(name, "name" | "namespace")
        && ty
            .name()
            .is_some_and(|ty| ty.ends_with("meta.v1.ObjectMeta"))
}

/// Whether an object of this type may lose the field and still be valid.
pub(crate) fn removable(ty: TypeRef<'_>, name: &str) -> bool {
    if matches!(name, "apiVersion" | "kind" | "metadata") || is_metadata_name(ty, name) {
        return false;
    }
    match rule(ty) {
        Some(rule) => rule
            .groups
            .iter()
            .find(|(names, _)| names.contains(&name))
            .is_none_or(|(_, how)| *how != How::Always),
        None => !ty.field(name).is_some_and(FieldType::required),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gitops_diff::schema::Schema;

    #[test]
    fn every_rule_names_a_type_and_fields_that_there_are() {
        let schema = Schema::builtin();
        let mut types = BTreeMap::new();
        let mut open: Vec<TypeRef<'_>> = schema.kinds().map(|(_, _, ty)| ty).collect();
        let mut seen = Vec::new();
        while let Some(ty) = open.pop() {
            if seen.contains(&ty) {
                continue;
            }
            seen.push(ty);
            if let Some(name) = short_name(ty) {
                types.insert(name, ty);
            }
            open.extend(ty.fields().map(FieldType::ty));
            open.extend(ty.items());
        }
        for (name, rule) in RULES.iter() {
            let ty = types.get(name).unwrap_or_else(|| panic!("no type {name}"));
            for field in rule.groups.iter().flat_map(|(fields, _)| fields) {
                assert!(ty.field(field).is_some(), "{name} has no field {field}");
            }
        }
        assert!(RULES.len() > 90);
    }
}
