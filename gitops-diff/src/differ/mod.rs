//! Whether live already says what desired says: the [`Differ`] that knows schemas.
//!
//! [`SchemaDiffer`] predicts what a server-side apply would change, with no request: it
//! walks desired and live along the schema, and `managedFields` beside them. It needs no
//! normalisation rule for what the schema says (lists with keys, defaults of keys,
//! quantities, base64), and none for defaults, since a field that desired doesn't mention
//! is no difference.
//!
//! ```
//! use gitops_diff::FieldManager;
//! use gitops_diff::differ::SchemaDiffer;
//! use gitops_diff::serde_json::json;
//!
//! let desired = json!({
//!     "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
//!     "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
//! });
//! let live = json!({
//!     "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "uid": "1"},
//!     "spec": {
//!         "clusterIP": "10.0.0.7", "selector": {"app": "shop"},
//!         "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
//!     },
//! });
//! let difference =
//!     SchemaDiffer::builtin().compare(&desired, &live, &FieldManager::new("ours")?)?;
//! let lines: Vec<_> = difference.changes.iter().map(ToString::to_string).collect();
//! assert_eq!(lines, [r#"~ .spec.selector: {"app":"shop"} -> {"app":"web"}"#]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use gitops_core::{
    DiffError, DiffRequest, Differ, Difference, Digest, FieldChange, FieldConflict, FieldManager,
    FieldPath, FieldValue, GroupKind, GroupVersionKind, Manifest, ObjectId, PathElement,
};
use serde_json::Value;

use crate::equality::values_equal;
use crate::ignore::{FieldPattern, IgnoreError, IgnoreRules};
use crate::managed::{self, Versions};
use crate::normalize::{self, Normalizer};
use crate::schema::{Schema, SchemaError, Schemas, TypeRef};
use crate::typed;

mod defaults;
mod list;
mod mask;
mod owners;
mod payload;
mod place;
mod redact;
mod walk;
mod whole;
mod zeros;

use mask::Mask;
use owners::Owners;
use payload::{Payload, Sides};
use place::Place;
use redact::{ObjectSecrets, Secrets};
use walk::Walk;

pub(crate) use list::step_to;

/// Compares desired with live by the schema of the kind.
///
/// Kinds are looked up in the definitions that come with the request, then in what was
/// [added](Self::with_crd), latest first, then among the built-in kinds. A kind that is
/// nowhere is compared by the deduced type: lists as a whole, maps by member.
///
/// What counts as a difference, beyond a plain other value:
///
/// * A field that desired doesn't mention is none, unless we own it, nobody else does,
///   and it is more than its default: then applying takes it away.
/// * `null` in desired asks for the field to go. If live has it in spite of that, it is a
///   difference until the field is ours: then we have asked, and the server filled it in.
/// * An empty list or map is the same as none for built-in kinds. So is a zero (`false`,
///   `0`, `""`) that the server doesn't keep: `tty: false`, but not
///   `automountServiceAccountToken: false`.
/// * The order of elements of a list with keys, or of a set, is no difference.
/// * `status` is compared only for a custom resource that is known to have no status
///   subresource; otherwise an apply doesn't write it.
///
/// Nothing secret is in the answer: of a `Secret` all but its metadata, `type` and
/// `immutable`; copies of the object in annotations, as client-side apply keeps one; and what
/// [`redact`](Self::redact) names. A path is cut before a list element whose key or value is
/// secret.
pub struct SchemaDiffer {
    schemas: Schemas,
    definitions: Vec<Arc<Definition>>,
    secrets: Secrets,
    ignore: IgnoreRules,
    normalizers: Vec<Arc<dyn Normalizer>>,
    /// Definitions that came with requests, by the digest of the manifest.
    seen: Mutex<BTreeMap<Digest, Arc<Definition>>>,
}

/// How many definitions from requests are remembered; then they are forgotten together.
const REMEMBERED: usize = 1024;

/// A custom kind.
struct Definition {
    group: String,
    kind: String,
    schema: Schema,
    /// Whether `status` is a subresource, by version.
    status: BTreeMap<String, bool>,
}

impl Definition {
    fn read(crd: &Value) -> Result<Self, SchemaError> {
        let schema = Schema::from_crd(crd)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let spec = &crd["spec"];
        let status = spec["versions"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|version| {
                (
                    text(&version["name"]),
                    version["subresources"]["status"].is_object(),
                )
            })
            .collect();
        Ok(Self {
            group: text(&spec["group"]),
            kind: text(&spec["names"]["kind"]),
            schema,
            status,
        })
    }

    fn is_of(&self, kind: &GroupVersionKind) -> bool {
        self.group == kind.group && self.kind == kind.kind
    }
}

impl fmt::Debug for SchemaDiffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchemaDiffer")
            .field("schemas", &self.schemas)
            .field("definitions", &self.definitions.len())
            .field("normalizers", &self.normalizers.len())
            .finish_non_exhaustive()
    }
}

impl Default for SchemaDiffer {
    fn default() -> Self {
        Self::builtin()
    }
}

impl SchemaDiffer {
    /// A differ that knows the built-in kinds.
    #[must_use]
    pub fn builtin() -> Self {
        Self {
            schemas: Schemas::builtin(),
            definitions: Vec::new(),
            secrets: Secrets::default(),
            ignore: IgnoreRules::new(),
            normalizers: Vec::new(),
            seen: Mutex::default(),
        }
    }

    /// Adds a custom kind by its `CustomResourceDefinition`.
    ///
    /// # Errors
    ///
    /// If it isn't one, or not a structural one.
    pub fn with_crd(mut self, crd: &Value) -> Result<Self, SchemaError> {
        self.definitions.push(Arc::new(Definition::read(crd)?));
        Ok(self)
    }

    /// Adds the kinds of an OpenAPI v3 document, such as a cluster has at `/openapi/v3`.
    ///
    /// # Errors
    ///
    /// If the document can't be read.
    pub fn with_openapi(self, document: &Value) -> Result<Self, SchemaError> {
        Ok(self.with_schema(Schema::from_openapi(document)?))
    }

    /// Adds kinds that were read already.
    #[must_use]
    pub fn with_schema(mut self, schema: impl Into<Arc<Schema>>) -> Self {
        self.schemas = self.schemas.with(schema);
        self
    }

    /// Adds a normaliser, which runs after the built-in ones and those added before.
    #[must_use]
    pub fn with_normalizer(mut self, normalizer: impl Normalizer + 'static) -> Self {
        self.normalizers.push(Arc::new(normalizer));
        self
    }

    /// Marks a field of a kind, and all that is in it, as secret. `*` stands for any
    /// member or list element.
    ///
    /// ```
    /// use gitops_diff::{FieldManager, GroupKind};
    /// use gitops_diff::differ::SchemaDiffer;
    /// use gitops_diff::serde_json::json;
    ///
    /// let differ = SchemaDiffer::builtin()
    ///     .redact(GroupKind::new("example.com", "Login"), ["spec", "password"]);
    /// let login = |password| {
    ///     json!({"apiVersion": "example.com/v1", "kind": "Login",
    ///            "metadata": {"name": "x"}, "spec": {"password": password}})
    /// };
    /// let manager = FieldManager::new("ours")?;
    /// let difference = differ.compare(&login("new"), &login("old"), &manager)?;
    /// assert_eq!(difference.changes[0].to_string(), "~ .spec.password: secret changed");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn redact<N: Into<String>>(
        mut self,
        kind: GroupKind,
        path: impl IntoIterator<Item = N>,
    ) -> Self {
        self.secrets.add(kind, FieldPattern::of_names(path));
        self
    }

    /// Marks the fields that these rules name as secret, each with all that is in it.
    ///
    /// ```
    /// use gitops_core::FieldManager;
    /// use gitops_diff::SchemaDiffer;
    /// use serde_json::json;
    ///
    /// let rules = serde_json::from_value(json!([
    ///     {"kind": "Pod", "paths": [r#".spec.containers[*].env[name="TOKEN"].value"#]},
    /// ]))?;
    /// let differ = SchemaDiffer::builtin().redact_fields(rules)?;
    /// let pod = |token| {
    ///     json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {
    ///         "containers": [{"name": "app", "env": [{"name": "TOKEN", "value": token}]}]}})
    /// };
    /// let difference = differ.compare(&pod("new"), &pod("old"), &FieldManager::new("ours")?)?;
    /// assert!(difference.changes[0].to_string().ends_with(": secret changed"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If a rule names fields by their manager: who owns a field may change, and what is
    /// secret must not.
    pub fn redact_fields(mut self, rules: IgnoreRules) -> Result<Self, IgnoreError> {
        rules.check_redaction()?;
        self.secrets.rules.extend(rules);
        Ok(self)
    }

    /// Adds rules for fields that are ignored: see [`ignore`](crate::ignore).
    #[must_use]
    pub fn with_ignore(mut self, rules: IgnoreRules) -> Self {
        self.ignore.extend(rules);
        self
    }

    /// Compares two objects as [`Differ::diff`] does, without definitions.
    ///
    /// # Errors
    ///
    /// If one of the two is no object, if they are of different kinds, if they are nested
    /// too deep, or if a list with keys has an element without one, or one twice.
    pub fn compare(
        &self,
        desired: &Value,
        live: &Value,
        manager: &FieldManager,
    ) -> Result<Difference, DiffError> {
        let id = object_id(desired);
        self.compare_as(id, desired, live, manager.as_str(), None, &self.ignore)
    }

    fn compare_as(
        &self,
        id: ObjectId,
        desired: &Value,
        live: &Value,
        manager: &str,
        definition: Option<&Definition>,
        ignore: &IgnoreRules,
    ) -> Result<Difference, DiffError> {
        for (object, what) in [(desired, "desired"), (live, "live")] {
            if !object.is_object() {
                return Err(DiffError::new(id, format!("{what} is no object")));
            }
            if crate::patch::check_depth(object, what).is_err() {
                return Err(DiffError::new(
                    id,
                    format!(
                        "{what} is nested more than {} levels deep",
                        crate::patch::MAX_DEPTH
                    ),
                ));
            }
        }
        let gvk = kind_of(desired);
        let live_kind = kind_of(live);
        if live_kind.group_kind() != gvk.group_kind() {
            return Err(DiffError::new(
                id,
                format!("live is of another kind: {}", live_kind.group_kind()),
            ));
        }
        let kind = gvk.group_kind();
        let (desired, live) = self.normalized(&kind, desired, live);
        let known = self.known(&gvk, definition);
        let ty = self.type_of(&gvk, known);
        let go = ty
            .and_then(TypeRef::name)
            .is_some_and(|name| name.starts_with("io.k8s."));
        let with_status = known.is_some_and(|known| known.status.get(&gvk.version) == Some(&false));
        let secret = is_secret(&gvk);
        let (ignored, ruled) = match (
            ignore.resolve(&desired, &live, ty),
            self.secrets.rules.resolve(&desired, &live, ty),
        ) {
            (Ok(ignored), Ok(ruled)) => (ignored, ruled),
            (Err(problem), _) | (_, Err(problem)) => return Err(DiffError::new(id, problem)),
        };
        let mask = Mask::new(ignored, secret);
        let mut walk = Walk {
            go,
            secrets: self.secrets.of(kind, ruled),
            mask: &mask,
            found: Difference::default(),
        };
        let owners = Owners::of(&live, manager);
        walk.object(&desired, &live, ty, &owners, with_status, secret)
            .map_err(|mut mismatch| {
                walk.secrets.cut(&mut mismatch.path);
                DiffError::new(id, format!("{}: {}", mismatch.path, mismatch.problem))
            })?;
        let Walk {
            mut found, secrets, ..
        } = walk;
        found
            .changes
            .sort_by_cached_key(|change| change.path.to_string());
        found
            .unowned
            .sort_by_cached_key(|field| field.path.to_string());
        found
            .conflicts
            .sort_by_cached_key(|field| field.path.to_string());
        secrets.cut_paths(&mut found);
        Ok(found)
    }

    /// The definition of a custom kind: the one that came with the request, or one added.
    fn known<'d>(
        &'d self,
        gvk: &GroupVersionKind,
        definition: Option<&'d Definition>,
    ) -> Option<&'d Definition> {
        definition.or_else(|| {
            let mut added = self.definitions.iter().rev();
            added.find(|known| known.is_of(gvk)).map(AsRef::as_ref)
        })
    }

    fn type_of<'d>(
        &'d self,
        gvk: &GroupVersionKind,
        known: Option<&'d Definition>,
    ) -> Option<TypeRef<'d>> {
        let api_version = gvk.api_version();
        match known {
            Some(known) => known.schema.type_of(&api_version, &gvk.kind),
            None => self.schemas.type_of(&api_version, &gvk.kind),
        }
    }

    /// Both objects as they are compared. Copied only where a normaliser applies.
    fn normalized<'v>(
        &self,
        kind: &GroupKind,
        desired: &'v Value,
        live: &'v Value,
    ) -> (Cow<'v, Value>, Cow<'v, Value>) {
        let (mut desired, mut live) = (Cow::Borrowed(desired), Cow::Borrowed(live));
        let added = self.normalizers.iter().map(AsRef::as_ref);
        for normalizer in normalize::builtin().iter().copied().chain(added) {
            if normalizer.applies_to(kind) {
                for object in [&mut desired, &mut live] {
                    if normalizer.touches(object) {
                        normalizer.normalize(object.to_mut());
                    }
                }
            }
        }
        (desired, live)
    }

    /// The definition of this kind among those that come with the request.
    fn definition(&self, request: &DiffRequest<'_>) -> Result<Option<Arc<Definition>>, DiffError> {
        let gvk = request.desired.gvk();
        for manifest in request.definitions.iter().rev() {
            // A definition is named for its plural and group.
            let id = manifest.id();
            let ours = id.is("apiextensions.k8s.io", "CustomResourceDefinition")
                && id
                    .name
                    .split_once('.')
                    .is_some_and(|(_, group)| group == gvk.group);
            if !ours {
                continue;
            }
            let definition = self.read_once(manifest)?;
            if definition.is_of(&gvk) {
                return Ok(Some(definition));
            }
        }
        Ok(None)
    }

    fn read_once(&self, manifest: &Manifest) -> Result<Arc<Definition>, DiffError> {
        let digest = manifest.digest();
        let lock = || self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&digest) {
            return Ok(Arc::clone(known));
        }
        let definition = Definition::read(&manifest.value()).map_err(|error| {
            DiffError::new(manifest.id().clone(), "the definition can't be read").because(error)
        })?;
        let definition = Arc::new(definition);
        let mut seen = lock();
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
        seen.insert(digest, Arc::clone(&definition));
        Ok(definition)
    }
}

/// Whether there is more of the object than its metadata.
fn is_whole(live: &Value) -> bool {
    live.as_object().is_some_and(|members| {
        members
            .keys()
            .any(|key| !matches!(key.as_str(), "apiVersion" | "kind" | "metadata"))
    })
}

impl Differ for SchemaDiffer {
    fn diff(&self, request: &DiffRequest<'_>) -> Result<Difference, DiffError> {
        let definition = self.definition(request)?;
        self.compare_as(
            request.desired.id().clone(),
            &request.desired.value(),
            request.live,
            request.manager.as_str(),
            definition.as_deref(),
            &self.ignore,
        )
    }

    /// As the trait says. `before` is what live has, and absent where only the metadata
    /// was read.
    fn lost(&self, request: &DiffRequest<'_>) -> Vec<FieldChange> {
        let Some(Loss {
            desired,
            fields,
            secrets,
        }) = self.loss(request)
        else {
            return Vec::new();
        };
        let read = |path: &FieldPath| {
            let first = path.elements().first();
            is_whole(request.live) || first == Some(&PathElement::Field("metadata".to_owned()))
        };
        let mut lost: Vec<_> = fields
            .into_iter()
            .filter(|(_, ignored)| !ignored)
            .map(|(field, _)| {
                let mut change = FieldChange {
                    before: if read(&field.path) {
                        secrets.show_at(&field.path, at(request.live, &field.path))
                    } else {
                        FieldValue::Unread
                    },
                    after: secrets.show_at(&field.path, at(&desired, &field.path)),
                    path: field.path,
                    owner: field.owner,
                };
                secrets.cut_change(&mut change);
                change
            })
            .collect();
        lost.dedup_by(|a, b| a.path == b.path);
        lost
    }

    fn shaping(&self, desired: &Manifest) -> Option<Digest> {
        self.ignore.digest_for(desired)
    }

    fn is_settled(&self, request: &DiffRequest<'_>) -> bool {
        !self.ignore.is_empty()
            && self.loss(request).is_some_and(|loss| {
                !loss.fields.is_empty() && loss.fields.iter().all(|(_, ignored)| *ignored)
            })
    }

    /// See [`ignore`](crate::ignore) for what is sent in the ignored places.
    fn payload<'a>(&self, request: &DiffRequest<'a>) -> Result<Cow<'a, Manifest>, DiffError> {
        if self.shaping(request.desired).is_none() {
            return Ok(Cow::Borrowed(request.desired));
        }
        let id = || request.desired.id().clone();
        let definition = self.definition(request)?;
        let gvk = request.desired.gvk();
        let ty = self.type_of(&gvk, self.known(&gvk, definition.as_deref()));
        let desired = request.desired.value();
        let live = request.live;
        let ignored = self
            .ignore
            .resolve(&desired, live, ty)
            .map_err(|problem| DiffError::new(id(), problem))?;
        if ignored.is_empty() {
            return Ok(Cow::Borrowed(request.desired));
        }
        let mask = Mask::new(ignored, is_secret(&gvk));
        let manager = request.manager.as_str();
        let ours = match managed::own_entry(&live["metadata"], manager) {
            // The error may hold a value.
            Some(own) => typed::extract(live, &own.fields, ty.unwrap_or(Schema::deduced()))
                .map_err(|_| DiffError::new(id(), "live doesn't fit the schema of its kind"))?,
            None => Value::Null,
        };
        let sides = Sides {
            desired: Some(&desired),
            live: Some(live),
            ours: Some(&ours),
            ty,
        };
        let owners = Owners::of(live, manager);
        let made = Payload { mask: &mask }
            .at(sides, &Place::ROOT, &owners)
            .unwrap_or(Value::Null);
        let manifest = Manifest::new(made, request.desired.origin().clone())
            .map_err(|error| DiffError::new(id(), "what is sent is no object").because(error))?;
        Ok(if manifest.digest() == request.desired.digest() {
            Cow::Borrowed(request.desired)
        } else {
            Cow::Owned(manifest)
        })
    }
}

/// What was lost of one object.
struct Loss<'s> {
    desired: Value,
    /// Each with whether it is ignored.
    fields: Vec<(FieldConflict, bool)>,
    secrets: ObjectSecrets<'s>,
}

impl SchemaDiffer {
    /// What can be said from the metadata alone; none if that is nothing.
    fn loss(&self, request: &DiffRequest<'_>) -> Option<Loss<'_>> {
        let metadata = &request.live["metadata"];
        // Whoever lists many objects leaves the owners out. That nobody is known to own a field
        // doesn't mean that we lost it.
        if metadata["managedFields"]
            .as_array()
            .is_none_or(Vec::is_empty)
        {
            return None;
        }
        let gvk = request.desired.gvk();
        let definition = self.definition(request).ok()?;
        let desired = request.desired.value();
        let manager = request.manager.as_str();
        let known = self.known(&gvk, definition.as_deref());
        let lost = match (known, self.schemas.kind(&gvk.group, &gvk.kind)) {
            (Some(known), _) => {
                let kind = known.schema.kind(&gvk.group, &gvk.kind);
                managed::lost(&kind, &desired, metadata, manager)
            }
            (None, Some(kind)) => managed::lost(&kind, &desired, metadata, manager),
            (None, None) => managed::lost(&Deduced, &desired, metadata, manager),
        };
        let lost = lost.ok()?;
        let ty = self.type_of(&gvk, known);
        let ignored = self.ignore.resolve(&desired, request.live, ty).ok()?;
        let ruled = self
            .secrets
            .rules
            .resolve(&desired, request.live, ty)
            .ok()?;
        let mask = Mask::new(ignored, is_secret(&gvk));
        let owners = Owners::of(request.live, manager);
        let fields = lost
            .into_iter()
            .map(|field| {
                let ignored = !mask.is_empty() && mask.covers(&field.path, &owners);
                (field, ignored)
            })
            .collect();
        Some(Loss {
            desired,
            fields,
            secrets: self.secrets.of(gvk.group_kind(), ruled),
        })
    }
}

fn is_secret(kind: &GroupVersionKind) -> bool {
    kind.group.is_empty() && kind.kind == "Secret"
}

/// A kind of which nothing is known.
struct Deduced;

impl Versions for Deduced {
    fn type_at(&self, _api_version: &str) -> Option<TypeRef<'_>> {
        Some(Schema::deduced())
    }
}

/// What stands at `path`, if keys are stated.
fn at<'v>(value: &'v Value, path: &FieldPath) -> Option<&'v Value> {
    path.elements()
        .iter()
        .try_fold(value, |value, element| match element {
            PathElement::Field(name) => value.get(name),
            PathElement::Key(keys) => value.as_array()?.iter().find(|item| {
                keys.iter()
                    .all(|(name, key)| item.get(name).is_none_or(|value| values_equal(value, key)))
            }),
            PathElement::Value(wanted) => value
                .as_array()?
                .iter()
                .find(|item| values_equal(item, wanted)),
            PathElement::Index(at) => value.get(at),
        })
}

fn kind_of(object: &Value) -> GroupVersionKind {
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    GroupVersionKind::from_api_version(text("apiVersion"), text("kind"))
}

fn object_id(object: &Value) -> ObjectId {
    let kind = kind_of(object);
    let text = |name: &str| {
        object
            .get("metadata")
            .and_then(|metadata| metadata.get(name))
            .and_then(Value::as_str)
    };
    ObjectId {
        group: kind.group,
        kind: kind.kind,
        namespace: text("namespace").map(str::to_owned),
        name: text("name").unwrap_or_default().to_owned(),
    }
}

/// Type and field of everything that a built-in kind has.
#[cfg(test)]
fn fields_of_all_kinds() -> std::collections::BTreeSet<(&'static str, &'static str)> {
    use crate::schema::FieldType;
    use std::collections::BTreeSet;
    let (mut fields, mut seen) = <(BTreeSet<_>, BTreeSet<_>)>::default();
    let mut open: Vec<_> = Schema::builtin().kinds().map(|(_, _, ty)| ty).collect();
    while let Some(ty) = open.pop() {
        if let Some(name) = ty.name() {
            if !seen.insert(name) {
                continue;
            }
            let short = name.rsplit('.').next().unwrap_or_default();
            fields.extend(ty.fields().map(|field| (short, field.name())));
        }
        open.extend(ty.fields().map(FieldType::ty));
        open.extend(ty.items());
        open.extend(ty.values());
    }
    fields
}
