//! Values of a type.

use gitops_diff::schema::{ListType, TypeRef};
use serde_json::{Map, Value, json};

use super::dice::Dice;
use super::rules::{How, choices, short_name};
use super::scalar;

/// No value is nested deeper than this: as deep as the affinity of a pod template of a
/// cron job, and a bit.
const DEPTH: usize = 24;

/// Makes values; counts what it has made, so that no value gets large.
pub(crate) struct Generator<'d> {
    pub(crate) dice: &'d mut Dice,
    /// How many more optional values may be made.
    pub(crate) budget: usize,
}

impl Generator<'_> {
    /// A value of this type; `owner` and `field` are where it goes.
    pub(crate) fn value(
        &mut self,
        ty: TypeRef<'_>,
        owner: &str,
        field: &str,
        depth: usize,
    ) -> Value {
        self.budget = self.budget.saturating_sub(1);
        let scalar = ty.scalar().is_some();
        let has_fields = ty.fields().len() > 0;
        if ty.embedded_resource() && !scalar {
            return json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": scalar::label(self.dice)},
            });
        }
        if scalar && !has_fields {
            return scalar::scalar(self.dice, ty, owner, field);
        }
        if ty.list_type().is_some() && !has_fields && ty.items().is_some() {
            return self.list(ty, owner, field, depth);
        }
        if has_fields {
            return Value::Object(self.object(ty, depth));
        }
        if ty.map_type().is_some() {
            return self.map(ty, owner, field, depth);
        }
        // What has no declared shape at all.
        json!(scalar::label(self.dice))
    }

    fn object(&mut self, ty: TypeRef<'_>, depth: usize) -> Map<String, Value> {
        let owner = short_name(ty).unwrap_or("");
        let mut object = Map::new();
        for choice in choices(ty) {
            let percent = match choice.how {
                How::Always => 100,
                _ if self.budget == 0 || depth >= DEPTH => 0,
                how => how.percent(),
            };
            if !self.dice.chance(percent) {
                continue;
            }
            let Some(field) = choice.fields.get(self.dice.below(choice.fields.len())) else {
                continue;
            };
            let value = self.value(field.ty(), owner, field.name(), depth + 1);
            object.insert(field.name().to_owned(), value);
        }
        if let Some(values) = ty.values()
            && ty.preserves_unknown()
            && self.dice.chance(20)
        {
            object
                .entry("free")
                .or_insert_with(|| scalar::scalar(self.dice, values, "", "free"));
        }
        object
    }

    fn map(&mut self, ty: TypeRef<'_>, owner: &str, field: &str, depth: usize) -> Value {
        let mut map = Map::new();
        let count = if self.budget == 0 {
            1
        } else {
            1 + self.dice.below(3)
        };
        for _ in 0..count {
            let Some(values) = ty.values() else { break };
            let key = scalar::map_key(self.dice, field, values);
            // A map of quantities: what is counted says what the quantity is.
            let hint = if values.format() == Some("quantity") {
                key.clone()
            } else {
                field.to_owned()
            };
            let value = if depth >= DEPTH {
                scalar::scalar(self.dice, values, owner, &hint)
            } else {
                self.value(values, owner, &hint, depth + 1)
            };
            map.insert(key, value);
        }
        Value::Object(map)
    }

    fn list(&mut self, ty: TypeRef<'_>, owner: &str, field: &str, depth: usize) -> Value {
        let Some(items) = ty.items() else {
            return Value::Array(Vec::new());
        };
        let most = if self.budget == 0 || depth >= DEPTH {
            1
        } else {
            3
        };
        let count = 1 + self.dice.below(most);
        let mut list = Vec::new();
        for at in 0..count {
            let mut item = self.value(items, owner, field, depth + 1);
            if ty.list_type() == Some(ListType::Map) {
                self.give_keys(&mut item, ty, at);
            }
            let twice = match ty.list_type() {
                Some(ListType::Map) => list.iter().any(|other| same_keys(other, &item, ty)),
                Some(ListType::Set) => list.contains(&item),
                _ => false,
            };
            if !twice {
                list.push(item);
            }
        }
        Value::Array(list)
    }

    /// An element has the keys that have no default: a key that is missing everywhere
    /// would make two elements one.
    fn give_keys(&mut self, item: &mut Value, list: TypeRef<'_>, at: usize) {
        let (Some(items), Some(object)) = (list.items(), item.as_object_mut()) else {
            return;
        };
        for key in list.list_keys() {
            let Some(field) = items.field(key) else {
                continue;
            };
            let has_default = field
                .default()
                .is_some_and(|default| !matches!(default.as_str(), Some("")) && *default != 0);
            if has_default || object.contains_key(key) {
                continue;
            }
            let owner = short_name(items).unwrap_or("");
            let mut value = scalar::scalar(self.dice, field.ty(), owner, key);
            if let Value::String(text) = &mut value
                && field.ty().enum_values().is_none()
            {
                text.push_str(&format!("-{at}"));
            }
            object.insert(key.to_owned(), value);
        }
    }
}

/// Whether two elements of a list are the same element.
pub(crate) fn same_keys(a: &Value, b: &Value, list: TypeRef<'_>) -> bool {
    let default = |key: &str| {
        list.items()
            .and_then(|items| items.field(key))
            .and_then(|field| field.default().cloned())
    };
    list.list_keys().all(|key| {
        let of = |item: &Value| {
            item.get(key)
                .filter(|value| !value.is_null())
                .cloned()
                .or_else(|| default(key))
        };
        of(a) == of(b)
    })
}
