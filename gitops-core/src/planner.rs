//! From what is desired and what runs to a [`Plan`]: a pure function.
//!
//! The engine calls these functions; they are public so that a plan can be made with no
//! cluster at all, from recorded state.
//!
//! 1. [`Desired::resolve`] turns rendered manifests into the set of objects that ought to be.
//! 2. [`wanted`] says what has to be looked at; whoever looks adds it to the [`Observation`],
//!    and asks again until nothing is wanted.
//! 3. [`plan`] decides.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    Action, Adoption, ApplyError, Conflicts, Depth, DiffRequest, Differ, Difference, Digest,
    FailureDomain, FieldChange, FieldConflict, FieldManager, GroupVersionKind, Heal, Inventory,
    InventoryEntry, KindInfo, LiveObject, Manifest, ObjectId, Observation, Owner, Plan, Policy,
    Problem, Prune, PruneHold, ReconcilerName, Rendered, Revision, Verb, Wanted, mark_owned,
    wave_of,
};

/// The objects that ought to be at one revision.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Desired {
    /// The revision.
    pub revision: Revision,
    /// The manifests, each with its namespace and our marks on it.
    pub manifests: BTreeMap<ObjectId, Manifest>,
    /// The definitions of the custom kinds: those that the target has, and then those among
    /// the manifests, which are what it will have.
    pub definitions: Vec<Manifest>,
    /// The kinds that they define. The target may not know them yet.
    pub defined: BTreeSet<GroupVersionKind>,
    /// What is wrong with the rest.
    pub problems: Vec<Problem>,
    /// Whether some of the problems are kinds that nobody knows yet. Another look may help.
    pub has_unknown_kinds: bool,
    /// What a person may want to know.
    pub warnings: Vec<String>,
}

impl Desired {
    /// Gives every manifest its namespace and the marks of `reconciler`.
    ///
    /// `kinds` says which kinds are namespaced; kinds that are defined by one of the manifests
    /// needn't be in it. A manifest of a kind that nobody knows, and an object that is there
    /// twice, become problems.
    #[must_use]
    pub fn resolve(
        revision: Revision,
        rendered: Rendered,
        kinds: &BTreeMap<GroupVersionKind, KindInfo>,
        default_namespace: &str,
        reconciler: &ReconcilerName,
    ) -> Self {
        let Rendered {
            manifests: read,
            mut problems,
            warnings,
        } = rendered;
        let stated = || read.iter().filter(|manifest| is_definition(manifest));
        let own: BTreeMap<_, _> = stated().flat_map(defined_kinds).collect();
        let defined = own.keys().cloned().collect();
        let mut definitions: Vec<Manifest> = Vec::new();
        for info in kinds.values() {
            // One definition may be that of several kinds: each version is one.
            let known =
                |found: &&Manifest| definitions.iter().all(|other| other.id() != found.id());
            if let Some(found) = info.definition.as_ref().filter(known) {
                definitions.push(found.clone());
            }
        }
        definitions.extend(stated().cloned());
        let mut all = kinds.clone();
        all.extend(own);

        let mut has_unknown_kinds = false;
        let mut manifests: BTreeMap<ObjectId, Manifest> = BTreeMap::new();
        for manifest in read {
            let origin = manifest.origin().clone();
            let Some(info) = all.get(&manifest.gvk()) else {
                let error = ApplyError::UnknownKind {
                    object: manifest.id().clone(),
                    kind: Box::new(manifest.gvk()),
                };
                has_unknown_kinds = true;
                let message = format!("{origin}: {error}");
                problems.push(
                    Problem::new(message)
                        .at(origin)
                        .about(manifest.id().clone()),
                );
                continue;
            };
            let namespace = info.namespaced.then(|| {
                manifest
                    .id()
                    .namespace
                    .as_deref()
                    .unwrap_or(default_namespace)
            });
            let manifest = mark_owned(&manifest.in_namespace(namespace), reconciler);
            let id = manifest.id().clone();
            if let Some(first) = manifests.get(&id) {
                let message = format!("{origin}: {id} is already defined in {}", first.origin());
                problems.push(Problem::new(message).at(origin).about(id));
                continue;
            }
            manifests.insert(id, manifest);
        }
        Self {
            revision,
            manifests,
            definitions,
            defined,
            problems,
            has_unknown_kinds,
            warnings,
        }
    }

    /// The kinds that have to be known to resolve these manifests.
    #[must_use]
    pub fn kinds_needed(rendered: &Rendered) -> BTreeSet<GroupVersionKind> {
        let defined: BTreeSet<_> = rendered
            .manifests
            .iter()
            .filter(|manifest| is_definition(manifest))
            .flat_map(|manifest| defined_kinds(manifest).into_iter().map(|(kind, _)| kind))
            .collect();
        let kinds: BTreeSet<_> = rendered.manifests.iter().map(Manifest::gvk).collect();
        kinds.difference(&defined).cloned().collect()
    }
}

fn is_definition(manifest: &Manifest) -> bool {
    manifest
        .id()
        .is("apiextensions.k8s.io", "CustomResourceDefinition")
}

/// The kinds that a `CustomResourceDefinition` defines.
fn defined_kinds(definition: &Manifest) -> Vec<(GroupVersionKind, KindInfo)> {
    let value = definition.value();
    let text = |value: &Value, pointer: &str| {
        value
            .pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let (Some(group), Some(kind)) = (
        text(&value, "/spec/group"),
        text(&value, "/spec/names/kind"),
    ) else {
        return Vec::new();
    };
    let info = KindInfo::new(text(&value, "/spec/scope").as_deref() == Some("Namespaced"));
    let versions = value.pointer("/spec/versions").and_then(Value::as_array);
    versions
        .into_iter()
        .flatten()
        .filter(|version| {
            version
                .get("served")
                .and_then(Value::as_bool)
                .unwrap_or(false)
        })
        .filter_map(|version| text(version, "/name"))
        .map(|version| {
            (
                GroupVersionKind {
                    group: group.clone(),
                    version,
                    kind: kind.clone(),
                },
                info.clone(),
            )
        })
        .collect()
}

/// What a plan is made from.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct PlanInput<'a> {
    /// Whose plan it is.
    pub reconciler: &'a ReconcilerName,
    /// The name under which is written.
    pub manager: &'a FieldManager,
    /// What ought to be.
    pub desired: &'a Desired,
    /// What was made so far.
    pub inventory: &'a Inventory,
    /// The digests of the last applied manifests that the inventory may not hold, as their
    /// content is secret.
    pub applied: &'a BTreeMap<ObjectId, crate::Digest>,
    /// What runs, as far as it was looked at.
    pub observation: &'a Observation,
    /// What may be done.
    pub policy: &'a Policy,
    /// How to compare.
    pub differ: &'a dyn Differ,
    /// The objects to plan for; none for all of them.
    pub only: Option<&'a BTreeSet<ObjectId>>,
    /// Whether a watch tells of every change, so that an object that nothing was told of is as
    /// it was left and needn't be looked at.
    pub watched: bool,
}

impl<'a> PlanInput<'a> {
    /// The input of a plan for all objects, none of which is watched.
    #[must_use]
    pub fn new(
        reconciler: &'a ReconcilerName,
        manager: &'a FieldManager,
        desired: &'a Desired,
        inventory: &'a Inventory,
        observation: &'a Observation,
        policy: &'a Policy,
        differ: &'a dyn Differ,
    ) -> Self {
        const NONE: &BTreeMap<ObjectId, crate::Digest> = &BTreeMap::new();
        Self {
            reconciler,
            manager,
            desired,
            inventory,
            applied: NONE,
            observation,
            policy,
            differ,
            only: None,
            watched: false,
        }
    }

    fn desired(&self) -> impl Iterator<Item = (&'a ObjectId, &'a Manifest)> + use<'a> {
        covered(&self.desired.manifests, self.only)
    }

    fn withdrawn(&self) -> impl Iterator<Item = (&'a ObjectId, &'a InventoryEntry)> + use<'a> {
        let desired = &self.desired.manifests;
        covered(&self.inventory.entries, self.only).filter(|(id, _)| !desired.contains_key(*id))
    }

    /// Whether the manifest is the one that was applied last, under the same rules.
    fn is_applied(&self, entry: &InventoryEntry, manifest: &Manifest) -> bool {
        let applied = entry
            .applied
            .or_else(|| self.applied.get(manifest.id()).copied());
        applied == Some(applied_digest(self.differ, manifest))
    }

    /// Whether the metadata shows what is to be written: what was lost, and that live has no say
    /// in what is sent.
    fn shows_enough(&self, manifest: &Manifest, live: &LiveObject) -> bool {
        self.is_settled(manifest, live)
            || (self.differ.shaping(manifest).is_none() && !self.lost(manifest, live).is_empty())
    }

    /// Whether all that was lost is ignored.
    fn is_settled(&self, manifest: &Manifest, live: &LiveObject) -> bool {
        self.differ.is_settled(&self.request(manifest, live))
    }

    fn lost(&self, manifest: &Manifest, live: &LiveObject) -> Vec<FieldChange> {
        self.differ.lost(&self.request(manifest, live))
    }

    fn request(&self, manifest: &'a Manifest, live: &'a LiveObject) -> DiffRequest<'a> {
        DiffRequest::new(manifest, &live.object, self.manager)
            .with_definitions(&self.desired.definitions)
    }
}

/// What is remembered of a manifest that was applied: its digest, and that of the rules by which
/// it was.
pub(crate) fn applied_digest(differ: &dyn Differ, manifest: &Manifest) -> Digest {
    let digest = manifest.digest();
    match differ.shaping(manifest) {
        Some(rules) => Digest::of_parts([&digest.as_bytes()[..], &rules.as_bytes()[..]]),
        None => digest,
    }
}

/// The entries to plan for: those of a few objects are looked up, not searched for.
fn covered<'a, T>(
    all: &'a BTreeMap<ObjectId, T>,
    only: Option<&'a BTreeSet<ObjectId>>,
) -> impl Iterator<Item = (&'a ObjectId, &'a T)> + use<'a, T> {
    let everything = only.is_none().then(|| all.iter());
    let few = only.map(|only| only.iter().filter_map(|id| all.get_key_value(id)));
    everything
        .into_iter()
        .flatten()
        .chain(few.into_iter().flatten())
}

/// Whether the object is as it was left: the same object, and nobody touched what we own.
fn is_as_left(entry: &InventoryEntry, live: &LiveObject) -> bool {
    live.baseline.is_some()
        && entry.baseline == live.baseline
        && entry.uid.as_deref() == Some(&live.uid)
}

/// What has to be looked at, or looked at more closely, before [`plan`] can decide.
///
/// An object at rest costs its metadata; only one that changed on either side is read whole.
/// Once the answers are in the observation, ask again; an empty answer means enough was seen.
#[must_use]
pub fn wanted(input: &PlanInput<'_>) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    let mut want = |id: &ObjectId, version: String, depth| {
        wanted.push(Wanted {
            id: id.clone(),
            version,
            depth,
        });
    };
    for (id, manifest) in input.desired() {
        let entry = input.inventory.entries.get(id);
        let version = || manifest.gvk().version;
        match input.observation.get(id) {
            None => match entry {
                Some(entry) if input.is_applied(entry, manifest) => {
                    if !input.watched {
                        want(id, version(), Depth::Metadata);
                    }
                }
                Some(entry) if entry.uid.is_some() => want(id, version(), Depth::Whole),
                _ => want(id, version(), Depth::Metadata),
            },
            Some(Ok(Some(live))) if live.depth == Depth::Metadata && !live.terminating => {
                let enough = match entry {
                    Some(entry) if input.is_applied(entry, manifest) => {
                        is_as_left(entry, live)
                            || (entry.uid.as_deref() == Some(&live.uid)
                                && input.shows_enough(manifest, live))
                    }
                    _ => refuse_owner(input.policy, entry, live).is_some(),
                };
                if !enough {
                    want(id, version(), Depth::Whole);
                }
            }
            Some(_) => {}
        }
    }
    for (id, entry) in input.withdrawn() {
        if !input.observation.contains_key(id) {
            want(id, entry.version.clone(), Depth::Metadata);
        }
    }
    wanted
}

/// Why an existing object may not be taken over, if it may not.
fn refuse_owner(
    policy: &Policy,
    entry: Option<&InventoryEntry>,
    live: &LiveObject,
) -> Option<String> {
    let known = entry.is_some_and(|entry| entry.uid.as_deref() == Some(&live.uid));
    match (&live.owner, policy.adoption) {
        (Owner::Us, _) | (_, Adoption::Always) | (Owner::Nobody, Adoption::Unowned) => None,
        // The mark was stripped from what is ours: that is drift.
        (Owner::Nobody, Adoption::Never) if known => None,
        (Owner::Nobody, Adoption::Never) => Some(
            "exists already and is not ours; policy adopts nothing: delete it, or allow adoption"
                .into(),
        ),
        (owner, _) => Some(format!(
            "belongs to {owner}; hand it over there first, or allow adoption of what others own"
        )),
    }
}

/// Decides what to do.
///
/// Everything that [`wanted`] asks for must have been observed; an object that wasn't is
/// skipped with that as the reason.
#[must_use]
pub fn plan(input: &PlanInput<'_>) -> Plan {
    let mut actions = Vec::new();
    let mut unchanged = 0;
    for (id, manifest) in input.desired() {
        match decide(input, id, manifest) {
            Some(verb) => actions.push(Action {
                object: id.clone(),
                version: manifest.gvk().version,
                wave: wave_of(&id.group_kind()),
                origin: Some(manifest.origin().clone()),
                desired: (!manifest.is_sensitive()).then(|| manifest.digest()),
                verb,
            }),
            None => unchanged += 1,
        }
    }
    let problems = input.desired.problems.clone();
    let skips = |actions: &[Action]| {
        actions
            .iter()
            .filter(|action| matches!(action.verb, Verb::Skip { .. }))
            .count()
    };
    let mut incomplete = !problems.is_empty() || skips(&actions) > 0;
    if incomplete && input.policy.failure_domain == FailureDomain::Set {
        let trouble = problems.len() + skips(&actions);
        for action in actions.iter_mut().filter(|action| action.verb.writes()) {
            action.verb = Verb::Skip {
                reason: format!(
                    "not written: policy is all or nothing, and {trouble} other things are wrong"
                ),
            };
        }
    }

    let mut leaving = Vec::new();
    for (id, entry) in input.withdrawn() {
        let verb = withdraw(input, id, entry);
        incomplete |= match input.observation.get(id) {
            Some(Ok(_) | Err(ApplyError::UnknownKind { .. })) => false,
            None | Some(Err(_)) => true,
        };
        leaving.push(Action {
            object: id.clone(),
            version: entry.version.clone(),
            wave: wave_of(&id.group_kind()),
            origin: None,
            desired: None,
            verb,
        });
    }
    let pruned = leaving
        .iter()
        .filter(|action| matches!(action.verb, Verb::Prune { .. }))
        .count();
    let held = input.inventory.entries.len();
    let consented = input.policy.consent.as_ref() == Some(&input.desired.revision.id);
    let hold = match input.policy.prune {
        _ if leaving.is_empty() => None,
        _ if incomplete => {
            // It isn't known what was withdrawn, so nothing is forgotten either.
            leaving.clear();
            Some(PruneHold::Incomplete)
        }
        Prune::Limited(limit) if !consented && !limit.allows(pruned, held) => {
            leaving.retain(|action| !matches!(action.verb, Verb::Prune { .. }));
            Some(PruneHold::Limit {
                withdrawn: pruned,
                held,
                limit,
            })
        }
        _ => None,
    };

    actions.sort_by(|a, b| (a.wave, &a.object).cmp(&(b.wave, &b.object)));
    leaving.sort_by(|a, b| (b.wave, &a.object).cmp(&(a.wave, &b.object)));
    actions.extend(leaving);
    Plan {
        reconciler: input.reconciler.clone(),
        base: input.inventory.revision.clone(),
        target: input.desired.revision.clone(),
        actions,
        problems,
        hold,
        unchanged,
    }
}

/// What to do with an object that ought to be; nothing if it is as it should be.
fn decide(input: &PlanInput<'_>, id: &ObjectId, manifest: &Manifest) -> Option<Verb> {
    let skip = |reason: String| Some(Verb::Skip { reason });
    let entry = input.inventory.entries.get(id);
    let live = match input.observation.get(id) {
        None => {
            let at_rest = entry.is_some_and(|entry| input.is_applied(entry, manifest));
            if input.watched && at_rest {
                return None;
            }
            return skip("was not looked at".into());
        }
        // Its definition is made in the same pass, before it.
        Some(Err(ApplyError::UnknownKind { kind, .. }))
            if input.desired.defined.contains(&**kind) =>
        {
            return Some(Verb::Create);
        }
        Some(Err(error)) => {
            let name = format!("{id}: ");
            return skip(error.to_string().replacen(&name, "", 1));
        }
        Some(Ok(None)) => {
            return match entry {
                Some(entry) if entry.uid.is_some() && input.policy.heal == Heal::Report => {
                    Some(Verb::Keep {
                        reason: "was deleted by somebody; policy only reports drift".into(),
                    })
                }
                _ => Some(Verb::Create),
            };
        }
        Some(Ok(Some(live))) => live,
    };
    if live.terminating {
        return skip("is being deleted; it is made anew once it is gone".into());
    }
    if let Some(reason) = refuse_owner(input.policy, entry, live) {
        return skip(reason);
    }
    let known = entry.filter(|entry| entry.uid.as_deref() == Some(&live.uid));
    let applied = known.is_some_and(|entry| input.is_applied(entry, manifest));
    if applied && known.is_some_and(|entry| is_as_left(entry, live)) {
        return None;
    }
    let difference = if live.depth == Depth::Whole {
        match input.differ.diff(&input.request(manifest, live)) {
            Ok(difference) => difference,
            Err(error) => return skip(error.to_string()),
        }
    } else if applied && input.is_settled(manifest, live) {
        Difference::default()
    } else {
        let changes = input.lost(manifest, live);
        if changes.is_empty() || input.differ.shaping(manifest).is_some() {
            return skip("was not looked at closely enough".into());
        }
        let conflicts = changes
            .iter()
            .filter(|change| change.owner.is_some())
            .map(|change| FieldConflict {
                path: change.path.clone(),
                owner: change.owner.clone(),
            })
            .collect();
        Difference {
            changes,
            conflicts,
            ..Difference::default()
        }
    };
    if difference.is_empty() {
        return Some(Verb::Record {
            uid: live.uid.clone(),
            baseline: live.baseline,
        });
    }
    if applied && input.policy.heal == Heal::Report {
        let fields: Vec<_> = difference
            .changes
            .iter()
            .map(|change| change.path.to_string())
            .collect();
        return Some(Verb::Keep {
            reason: format!("drifted in {}; policy only reports drift", fields.join(" ")),
        });
    }
    let Difference {
        changes, conflicts, ..
    } = difference;
    // On an object that we manage, Git speaks last: that is what healing means. On one
    // that we are about to adopt, and where drift is only reported, the owner is asked first.
    let heals = known.is_some() && input.policy.heal == Heal::Automatic;
    if !conflicts.is_empty() && !heals && input.policy.conflicts == Conflicts::Refuse {
        return skip(
            ApplyError::Conflict {
                object: id.clone(),
                fields: conflicts,
            }
            .to_string()
            .replacen(&format!("{id}: "), "", 1),
        );
    }
    let uid = live.uid.clone();
    Some(match known {
        Some(_) => Verb::Update {
            uid,
            changes,
            forced: conflicts,
        },
        None => Verb::Adopt {
            uid,
            from: live.owner.clone(),
            changes,
            forced: conflicts,
        },
    })
}

/// What to do with an object that was withdrawn.
fn withdraw(input: &PlanInput<'_>, id: &ObjectId, entry: &InventoryEntry) -> Verb {
    let live = match input.observation.get(id) {
        None => {
            return Verb::Skip {
                reason: "was not looked at".into(),
            };
        }
        // With its kind went all its objects.
        Some(Ok(None) | Err(ApplyError::UnknownKind { .. })) => return Verb::Forget,
        Some(Err(error)) => {
            return Verb::Skip {
                reason: error.to_string(),
            };
        }
        Some(Ok(Some(live))) => live,
    };
    if let Some(reason) = release(entry, live) {
        return Verb::Release { reason };
    }
    if live.terminating {
        return Verb::Keep {
            reason: "was withdrawn and is being deleted".into(),
        };
    }
    if input.policy.prune == Prune::Off {
        return Verb::Keep {
            reason: "was withdrawn; policy prunes nothing".into(),
        };
    }
    if input.policy.protects(&id.group_kind()) {
        return Verb::Skip {
            reason: format!(
                "was withdrawn and is kept, as its deletion takes other things along; allow \
                 {} to be pruned, or delete it by hand",
                id.group_kind()
            ),
        };
    }
    Verb::Prune {
        uid: live.uid.clone(),
    }
}

/// Why a withdrawn object may not be deleted, now that it is looked at.
pub(crate) fn release(entry: &InventoryEntry, live: &LiveObject) -> Option<String> {
    if entry.uid.as_ref().is_some_and(|uid| *uid != live.uid) {
        return Some("is another object of the same name, not the one we made".into());
    }
    match &live.owner {
        Owner::Us => {}
        Owner::Nobody => return Some("doesn't carry our mark any more".into()),
        owner @ Owner::Other { .. } => return Some(format!("belongs to {owner} now")),
    }
    let keep = live.keep.as_ref().or(entry.keep.as_ref())?;
    Some(format!("is kept by its mark {keep}"))
}
