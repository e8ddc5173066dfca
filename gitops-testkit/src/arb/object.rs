//! Whole objects as a strategy, and how they shrink.

use std::sync::Arc;

use gitops_core::{GroupKind, GroupVersionKind, Manifest, Origin, RelPath};
use gitops_diff::schema::{Schema, TypeRef};
use proptest::arbitrary::any;
use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

use super::dice::Dice;
use super::generate::Generator;
use super::place::{At, at_mut, remove};
use super::rules::removable;
use super::scalar;
use super::settle::settle;

/// So many optional values one object has at most.
const BUDGET: usize = 120;

/// Where the types of a kind are.
#[derive(Clone)]
pub(crate) enum SchemaOf {
    Builtin,
    Own(Arc<Schema>),
}

impl SchemaOf {
    pub(crate) fn get(&self) -> &Schema {
        match self {
            Self::Builtin => Schema::builtin(),
            Self::Own(schema) => schema,
        }
    }
}

/// A kind that objects are made of.
#[derive(Clone)]
pub(crate) struct Recipe {
    pub(crate) schema: SchemaOf,
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) namespaced: bool,
    pub(crate) weight: u32,
}

impl Recipe {
    fn ty(&self) -> TypeRef<'_> {
        match self.schema.get().type_of(&self.api_version, &self.kind) {
            Some(ty) => ty,
            None => Schema::deduced(),
        }
    }

    fn make(&self, dice: &mut Dice) -> Value {
        let ty = self.ty();
        let mut generator = Generator {
            dice,
            budget: BUDGET,
        };
        let mut object = match generator.value(ty, "", "", 0) {
            Value::Object(object) => object,
            _ => Map::new(),
        };
        let mut metadata = match object.remove("metadata") {
            Some(Value::Object(metadata)) => metadata,
            _ => Map::new(),
        };
        metadata.retain(|name, _| matches!(name.as_str(), "labels" | "annotations"));
        metadata.insert("name".into(), json!(scalar::label(dice)));
        if self.namespaced {
            let namespace = dice.word(&["default", "shop", "infra"]);
            metadata.insert("namespace".into(), json!(namespace));
        }
        if dice.chance(5) {
            metadata.insert("finalizers".into(), json!(["example.com/guard"]));
        }
        // The status is the controllers' business, not that of a manifest.
        object.remove("status");
        object.insert("apiVersion".into(), json!(self.api_version));
        object.insert("kind".into(), json!(self.kind));
        object.insert("metadata".into(), Value::Object(metadata));
        Value::Object(object)
    }
}

/// Valid objects of some kinds, as a proptest strategy.
///
/// The value is the object as JSON; [`manifests`](Self::manifests) makes [`Manifest`]s of
/// it. A failing object shrinks by losing what it may lose (fields, list elements) and by
/// its scalars becoming plain, and stays valid on the way.
///
/// ```
/// use gitops_testkit::arb;
/// use proptest::prelude::*;
///
/// proptest!(|(object in arb::object())| {
///     prop_assert!(object["metadata"]["name"].is_string());
/// });
/// ```
#[derive(Clone)]
pub struct Objects {
    recipes: Arc<[Recipe]>,
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kinds = self.recipes.iter().map(|recipe| &recipe.kind);
        f.debug_set().entries(kinds).finish()
    }
}

impl Objects {
    pub(crate) fn of(recipes: Vec<Recipe>) -> Self {
        Self {
            recipes: recipes.into(),
        }
    }

    /// The same as [`Manifest`]s, from a file named after the object.
    pub fn manifests(self) -> impl Strategy<Value = Manifest> + Clone {
        self.prop_filter_map("an object with a name", |object| manifest_from(object).ok())
    }

    fn pick(&self, dice: &mut Dice) -> Option<usize> {
        let total: u32 = self.recipes.iter().map(|recipe| recipe.weight).sum();
        let mut at = dice.below(total as usize) as u32;
        self.recipes.iter().position(|recipe| {
            let here = at < recipe.weight;
            at = at.saturating_sub(recipe.weight);
            here
        })
    }
}

impl Objects {
    /// Objects of these kinds and of those, each as often as it was.
    ///
    /// ```
    /// use gitops_testkit::arb;
    /// use serde_json::json;
    ///
    /// let definition = json!({
    ///     "kind": "CustomResourceDefinition",
    ///     "spec": {"group": "example.com", "names": {"kind": "Widget"}, "versions": [{"name": "v1"}]},
    /// });
    /// let objects = arb::object().or(arb::custom_resource(&definition)?);
    /// # let _ = objects;
    /// # Ok::<_, gitops_diff::schema::SchemaError>(())
    /// ```
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        let recipes = self.recipes.iter().chain(others.recipes.iter());
        Self::of(recipes.cloned().collect())
    }

    /// Only those of kinds of which it is true; `None` if there are none.
    pub(crate) fn only(&self, wanted: &dyn Fn(&GroupKind) -> bool) -> Option<Self> {
        let recipes: Vec<Recipe> = self
            .recipes
            .iter()
            .filter(|recipe| {
                let kind = GroupVersionKind::from_api_version(&recipe.api_version, &recipe.kind);
                wanted(&kind.group_kind())
            })
            .cloned()
            .collect();
        (!recipes.is_empty()).then(|| Self::of(recipes))
    }
}

/// An object as a manifest that comes from `<kind>.yaml`.
pub(crate) fn manifest_from(object: Value) -> Result<Manifest, gitops_core::ManifestError> {
    let kind = object["kind"].as_str().unwrap_or("object").to_lowercase();
    let file = RelPath::new(&format!("{kind}.yaml")).unwrap_or_else(|_| RelPath::root());
    Manifest::new(object, Origin::new(file, 1, 1))
}

impl Strategy for Objects {
    type Tree = ObjectTree;
    type Value = Value;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let mut dice = Dice::new(any::<u64>().new_tree(runner)?.current());
        let Some(recipe) = self.pick(&mut dice).and_then(|at| self.recipes.get(at)) else {
            return Err("no kind to make objects of".into());
        };
        let mut value = recipe.make(&mut dice);
        settle(&mut value, recipe.ty());
        Ok(ObjectTree {
            recipe: recipe.clone(),
            value,
            before: None,
            next: 0,
            improved: false,
        })
    }
}

/// An object on its way to the smallest one that still fails.
pub struct ObjectTree {
    recipe: Recipe,
    value: Value,
    /// What it was before the step that is being tried.
    before: Option<Value>,
    /// Which step is tried next.
    next: usize,
    /// Whether a step of this round worked.
    improved: bool,
}

impl std::fmt::Debug for ObjectTree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.value.fmt(f)
    }
}

impl ObjectTree {
    /// Makes the next step that changes something.
    fn step(&mut self) -> bool {
        loop {
            let steps = steps(&self.value, self.recipe.ty());
            let Some(step) = steps.get(self.next) else {
                if !std::mem::take(&mut self.improved) {
                    return false;
                }
                self.next = 0;
                continue;
            };
            let mut smaller = self.value.clone();
            step.take(&mut smaller);
            settle(&mut smaller, self.recipe.ty());
            if smaller != self.value {
                self.before = Some(std::mem::replace(&mut self.value, smaller));
                return true;
            }
            self.next += 1;
        }
    }
}

impl ValueTree for ObjectTree {
    type Value = Value;

    fn current(&self) -> Value {
        self.value.clone()
    }

    fn simplify(&mut self) -> bool {
        // The step before worked. What came after it has moved to its place.
        self.improved |= self.before.take().is_some();
        self.step()
    }

    fn complicate(&mut self) -> bool {
        // It didn't: back, and on with the next one.
        let Some(before) = self.before.take() else {
            return false;
        };
        self.value = before;
        self.next += 1;
        self.step()
    }
}

/// One step that makes an object smaller.
struct Step {
    way: Vec<At>,
    /// How far the value is from the root, and what it becomes.
    to: Option<Value>,
}

impl Step {
    fn take(&self, root: &mut Value) {
        match &self.to {
            None => remove(root, &self.way),
            Some(to) => {
                if let Some(value) = at_mut(root, &self.way) {
                    *value = to.clone();
                }
            }
        }
    }
}

/// All steps, the boldest first: what is nearest to the root goes before its parts.
fn steps(value: &Value, ty: TypeRef<'_>) -> Vec<Step> {
    let mut found = Vec::new();
    collect(value, Some(ty), &mut Vec::new(), &mut found);
    found.sort_by_key(|step| (step.to.is_some(), step.way.len()));
    found
}

fn collect(value: &Value, ty: Option<TypeRef<'_>>, way: &mut Vec<At>, found: &mut Vec<Step>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                way.push(At::Member(name.clone()));
                if ty.is_none_or(|ty| removable(ty, name)) {
                    found.push(Step {
                        way: way.clone(),
                        to: None,
                    });
                }
                let fixed = way.len() == 1 && matches!(name.as_str(), "apiVersion" | "kind");
                if !fixed {
                    collect(member, ty.and_then(|ty| ty.member(name)), way, found);
                }
                way.pop();
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                way.push(At::Item(at));
                if items.len() > 1 {
                    found.push(Step {
                        way: way.clone(),
                        to: None,
                    });
                }
                collect(item, ty.and_then(TypeRef::items), way, found);
                way.pop();
            }
        }
        // Only texts that are nothing but text: a number or a name may have to be what it is.
        Value::String(text) if is_free(text) => found.push(Step {
            way: way.clone(),
            to: Some(json!("a")),
        }),
        _ => {}
    }
}

/// Whether it is a text that stands for nothing else: those that [`scalar::text`] makes.
fn is_free(text: &str) -> bool {
    text.contains(|c: char| c.is_whitespace() || !c.is_ascii())
        && !text.starts_with(['*', '@'])
        && !text.contains(" * ")
}
