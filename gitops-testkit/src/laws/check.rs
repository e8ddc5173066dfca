//! Running laws on generated input.

use std::hash::{BuildHasher as _, Hasher as _};

use gitops_core::Differ;
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, RngSeed, TestError, TestRng, TestRunner};

use gitops_diff::normalize::Normalizer;
use gitops_diff::schema::{Schema, SchemaError, Schemas};
use serde_json::Value;

use super::{LawBroken, Subject, differ, normalizer};
use crate::arb::{self, Edit, EditKind, Objects, RIVAL};

/// How laws are run: how many cases each, from which seed.
///
/// ```
/// use gitops_testkit::laws::Check;
///
/// let check = Check::new().seed(7).cases(64).without_ownership();
/// # let _ = check;
/// ```
#[derive(Debug, Clone)]
pub struct Check {
    cases: u32,
    seed: u64,
    ownership: bool,
    /// Custom kinds instead of the built-in ones.
    custom: Option<Objects>,
    definitions: Vec<Value>,
}

impl Default for Check {
    fn default() -> Self {
        Self::new()
    }
}

impl Check {
    /// All laws, and what proptest itself goes by: `PROPTEST_CASES` cases of each, 256 if
    /// unset, from `PROPTEST_RNG_SEED`, fresh if unset.
    #[must_use]
    pub fn new() -> Self {
        Self {
            cases: Config::default().cases,
            seed: match Config::default().rng_seed {
                RngSeed::Fixed(seed) => seed,
                // Keyed from the system's randomness.
                RngSeed::Random => std::hash::RandomState::new().build_hasher().finish(),
            },
            ownership: true,
            custom: None,
            definitions: Vec::new(),
        }
    }

    /// The same on instances of this `CustomResourceDefinition` (and of others that were
    /// named before) instead of objects of built-in kinds. The definition comes with every
    /// question to a differ.
    ///
    /// ```
    /// use gitops_diff::SchemaDiffer;
    /// use gitops_testkit::laws::Check;
    /// use serde_json::json;
    ///
    /// let backups = json!({
    ///     "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    ///     "metadata": {"name": "backups.example.com"},
    ///     "spec": {
    ///         "group": "example.com", "scope": "Namespaced",
    ///         "names": {"kind": "Backup", "plural": "backups"},
    ///         "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
    ///             "type": "object", "properties": {"spec": {"type": "object", "properties": {
    ///                 "schedule": {"type": "string", "default": "@daily"},
    ///                 "volumes": {
    ///                     "type": "array", "x-kubernetes-list-type": "map",
    ///                     "x-kubernetes-list-map-keys": ["name"],
    ///                     "items": {"type": "object", "required": ["name"], "properties": {
    ///                         "name": {"type": "string"}, "keep": {"type": "integer"},
    ///                     }},
    ///                 },
    ///             }}},
    ///         }}}],
    ///     },
    /// });
    /// let check = Check::new().cases(64).custom_resource(&backups)?;
    /// check.differ(&SchemaDiffer::builtin())?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If it isn't a definition with a name and a schema.
    pub fn custom_resource(mut self, definition: &Value) -> Result<Self, SchemaError> {
        let objects = arb::custom_resource(definition)?;
        Subject::new(&()).with_definition(definition)?;
        self.custom = Some(match self.custom {
            Some(custom) => custom.or(objects),
            None => objects,
        });
        self.definitions.push(definition.clone());
        Ok(self)
    }

    /// What the laws are run on.
    fn objects(&self) -> Objects {
        self.custom.clone().unwrap_or_else(arb::any_object)
    }

    /// The same with this many cases of each law.
    #[must_use]
    pub fn cases(mut self, cases: u32) -> Self {
        self.cases = cases;
        self
    }

    /// The same from this seed: that of a message of a broken law shows the same again.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Without the laws of ownership: for a differ that compares values alone.
    #[must_use]
    pub fn without_ownership(mut self) -> Self {
        self.ownership = false;
        self
    }

    /// Runs `law` on what `inputs` makes. This is how laws of your own run as those of
    /// this module do.
    ///
    /// # Errors
    ///
    /// The law as it is broken by the smallest input that breaks it.
    pub fn law<S: Strategy>(
        &self,
        inputs: S,
        law: impl Fn(&S::Value) -> Result<(), LawBroken>,
    ) -> Result<(), LawBroken> {
        let config = Config {
            cases: self.cases,
            failure_persistence: None,
            ..Config::default()
        };
        let mut seed = [0; 32];
        for (to, from) in seed.iter_mut().zip(self.seed.to_le_bytes().iter().cycle()) {
            *to = *from;
        }
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        let result = TestRunner::new_with_rng(config, rng).run(&inputs, |input| Ok(law(&input)?));
        let again = match result {
            Ok(()) => return Ok(()),
            Err(TestError::Fail(reason, input)) => law(&input)
                .err()
                .unwrap_or_else(|| LawBroken::new("unknown", reason.to_string())),
            Err(TestError::Abort(reason)) => LawBroken::new("unknown", reason.to_string()),
        };
        Err(again.in_run(self.seed, self.cases))
    }

    /// Runs the laws of a differ; see [`laws::differ`](super::differ).
    ///
    /// # Errors
    ///
    /// The first law that is broken, with the smallest input that shows it.
    pub fn differ<D: Differ + ?Sized>(&self, differ: &D) -> Result<(), LawBroken> {
        use EditKind::{Add, Change, Remove, Status};
        let mut subject = Subject::new(differ);
        for definition in &self.definitions {
            subject = subject
                .with_definition(definition)
                .map_err(|error| LawBroken::new("definitions", error.to_string()))?;
        }
        let of = || subject.clone();
        let manifest = || self.objects().manifests();
        let edit = |kinds: &[EditKind]| arb::edit_of(kinds);
        let tampering = || (manifest(), edit(&[Change, Change, Remove]));
        let story = || (manifest(), vec(arb::edit(), 0..4), arb::edit());

        self.law(manifest(), |m| differ::reflexive(of(), m))?;
        self.law((manifest(), arb::edit()), |(m, e)| differ::pure(of(), m, e))?;
        self.law((manifest(), arb::edit()), |(m, e)| {
            differ::key_order(of(), m, e)
        })?;
        self.law(manifest(), |m| differ::served(of(), m))?;
        self.law((manifest(), vec(edit(&[Add, Status]), 1..4)), |(m, e)| {
            differ::foreign(of(), m, e)
        })?;
        self.law(tampering(), |(m, e)| differ::found(of(), m, e))?;
        self.law((manifest(), vec(arb::edit(), 1..4)), |(m, e)| {
            differ::honest(of(), m, e)
        })?;
        self.law(any::<u8>(), |count| differ::definitions(of(), *count))?;
        self.law(arb::secret_manifest(), |planted| {
            differ::secret(of(), planted)
        })?;
        if !self.ownership {
            return Ok(());
        }
        self.law((manifest(), edit(&[Remove])), |(m, e)| {
            differ::withdrawn(of(), m, e)
        })?;
        self.law((manifest(), edit(&[Remove])), |(m, e)| {
            differ::shared(of(), m, e)
        })?;
        self.law((manifest(), edit(&[Change])), |(m, e)| {
            differ::conflict(of(), m, e)
        })?;
        self.law((manifest(), edit(&[Change])), |(m, e)| {
            differ::unowned(of(), m, e)
        })?;
        self.law((manifest(), edit(&[Change])), |(m, e)| {
            differ::forced(of(), m, e)
        })?;
        self.law((manifest(), any::<u64>()), |(m, split)| {
            differ::disjoint(of(), m, *split)
        })?;
        self.law(story(), |(m, e, next)| differ::reapplied(of(), m, e, next))?;
        self.law(story(), |(m, e, next)| differ::predicted(of(), m, e, next))?;
        self.law(tampering(), |(m, e)| differ::lost(of(), m, e))
    }

    /// Runs the laws of a normaliser; see [`laws::normalizer`](super::normalizer).
    ///
    /// # Errors
    ///
    /// As [`check_normalizer`](super::check_normalizer).
    pub fn normalizer<N: Normalizer + ?Sized>(&self, normalizer: &N) -> Result<(), LawBroken> {
        let objects = match &self.custom {
            Some(custom) => custom.only(&|kind| normalizer.applies_to(kind)),
            None => normalizer::objects(normalizer),
        };
        let Some(objects) = objects else {
            let why = "it applies to none of the kinds, and so nothing was checked";
            return Err(LawBroken::new("applies", why));
        };
        let mut schemas = Schemas::builtin();
        for definition in &self.definitions {
            let schema = Schema::from_crd(definition)
                .map_err(|error| LawBroken::new("applies", error.to_string()))?;
            schemas = schemas.with(schema);
        }
        // As they are desired, as somebody edited them, and as they are kept.
        let inputs = (objects, vec(arb::edit(), 0..3)).prop_map(move |(object, edits)| {
            let edited = |object, edit: &Edit| edit.apply_in(&object, &schemas).object;
            let mut object = edits.iter().fold(object, edited);
            if let (true, Some(metadata)) = (edits.len() == 2, object["metadata"].as_object_mut()) {
                let managed = serde_json::json!([{"manager": RIVAL, "operation": "Update"}]);
                metadata.insert("managedFields".into(), managed);
            }
            object
        });
        self.law(inputs.clone(), |o| normalizer::identity(normalizer, o))?;
        self.law(inputs.clone(), |o| normalizer::pure(normalizer, o))?;
        self.law(inputs, |o| normalizer::idempotent(normalizer, o))
    }
}
