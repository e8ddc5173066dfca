//! Carrying out one plan, as a step machine.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::order::carries_others;
use crate::planner::{Desired, applied_digest, release};
use crate::{
    Action, Applied, ApplyError, ApplyRequest, DeleteRequest, Deleted, Depth, DiffRequest, Digest,
    EventKind, FieldConflict, Inventory, InventoryEntry, LiveObject, Manifest, ObjectId,
    ObjectOutcome, ObjectReport, Observation, Owner, Plan, Policy, Precondition, PruneHold, Report,
    Revision, Verb, Wanted, WriteOutcome, keep_mark, retry_delay,
};

use super::effect::{Effect, EffectId, Request, Response};
use super::machine::EngineConfig;

/// Gives out the ids of effects.
#[derive(Debug, Default)]
pub(super) struct EffectIds(u64);

impl EffectIds {
    pub(super) fn next(&mut self) -> EffectId {
        self.0 += 1;
        EffectId(self.0)
    }
}

/// What an execution leaves behind.
#[derive(Debug)]
pub(super) struct Executed {
    pub(super) report: Report,
    /// What there is now.
    pub(super) inventory: Arc<Inventory>,
    /// What of it the store knows.
    pub(super) saved: Arc<Inventory>,
    /// The digests of the manifests that were applied.
    pub(super) applied: BTreeMap<ObjectId, Digest>,
    /// The versions that our last acknowledged writes made.
    pub(super) written: BTreeMap<ObjectId, String>,
    /// Whether an object moved under us, or the store did.
    pub(super) stale: bool,
    /// How long the server asked us to stay away.
    pub(super) retry_after: Option<Duration>,
}

/// One step of the work, in order.
#[derive(Debug)]
enum Step {
    /// Write the new objects into the inventory before the first of them is made.
    WriteAhead,
    /// Apply these actions, side by side.
    Apply(Vec<usize>),
    /// Wait until what was applied can carry others.
    Settle(Vec<usize>),
    /// Delete these, side by side.
    Prune(Vec<usize>),
    /// Write what was done into the inventory.
    Record,
}

/// What is under way for one effect.
#[derive(Debug)]
enum Job {
    SaveAhead {
        inventory: Arc<Inventory>,
    },
    Apply {
        action: usize,
        attempt: u32,
    },
    Settle,
    /// Looks at an object that moved while it was written.
    LookAgain {
        action: usize,
        attempt: u32,
    },
    /// Looks at a withdrawn object once more, right before it is deleted.
    Look {
        action: usize,
        attempt: u32,
    },
    Delete {
        action: usize,
        attempt: u32,
    },
    Wait {
        then: Box<Todo>,
    },
    Record {
        inventory: Arc<Inventory>,
    },
}

/// What was seen of an object when the plan was made.
struct Seen {
    uid: String,
    version: String,
    baseline: Option<Digest>,
    /// The object, if all of it was looked at.
    whole: Option<Arc<Value>>,
}

impl Seen {
    fn new(live: &LiveObject) -> Self {
        Self {
            uid: live.uid.clone(),
            version: live.resource_version.clone(),
            baseline: live.baseline,
            whole: (live.depth == Depth::Whole).then(|| Arc::clone(&live.object)),
        }
    }
}

/// What is to be issued.
#[derive(Debug)]
enum Todo {
    Apply {
        action: usize,
        attempt: u32,
    },
    LookAgain {
        action: usize,
        attempt: u32,
    },
    Look {
        action: usize,
        attempt: u32,
    },
    Delete {
        action: usize,
        attempt: u32,
        live: Box<LiveObject>,
    },
}

pub(super) struct Execution {
    config: Arc<EngineConfig>,
    plan: Arc<Plan>,
    digest: Digest,
    revision: Arc<Revision>,
    desired: Arc<Desired>,
    seen: BTreeMap<ObjectId, Seen>,
    /// The actions of which what is sent was made with what was seen.
    shaped: BTreeSet<usize>,
    policy: Arc<Policy>,
    started: Timestamp,
    /// Whether the plan is for all objects, and not for a few that drifted.
    whole: bool,
    steps: VecDeque<Step>,
    queue: VecDeque<Todo>,
    jobs: BTreeMap<EffectId, Job>,
    /// As it is in the store.
    saved: Arc<Inventory>,
    /// As it ought to be.
    inventory: Arc<Inventory>,
    outcomes: BTreeMap<usize, ObjectReport>,
    /// How many withdrawn objects were not deleted, as others failed.
    spared: usize,
    applied: BTreeMap<ObjectId, Digest>,
    written: BTreeMap<ObjectId, String>,
    errors: Vec<String>,
    stale: bool,
    retry_after: Option<Duration>,
    interrupted: bool,
    /// Nothing may be written any more: the inventory could not be written ahead.
    barred: bool,
    finished: bool,
}

impl Execution {
    /// Prepares to carry out `plan`. `observation` is what the plan was made from: the
    /// versions of the objects are taken from it.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is one thing that a plan needs"
    )]
    pub(super) fn new(
        config: Arc<EngineConfig>,
        plan: Plan,
        desired: Arc<Desired>,
        observation: &Observation,
        (inventory, saved): (Arc<Inventory>, Arc<Inventory>),
        policy: Arc<Policy>,
        started: Timestamp,
        whole: bool,
    ) -> Self {
        let seen = observation
            .iter()
            .filter_map(|(id, seen)| match seen {
                Ok(Some(live)) => Some((id.clone(), Seen::new(live))),
                _ => None,
            })
            .collect();
        let steps = steps(&plan);
        Self {
            config,
            digest: plan.digest(),
            revision: Arc::new(plan.target.clone()),
            plan: Arc::new(plan),
            desired,
            seen,
            shaped: BTreeSet::new(),
            policy,
            started,
            whole,
            steps,
            queue: VecDeque::new(),
            jobs: BTreeMap::new(),
            saved,
            inventory,
            outcomes: BTreeMap::new(),
            spared: 0,
            applied: BTreeMap::new(),
            written: BTreeMap::new(),
            errors: Vec::new(),
            stale: false,
            retry_after: None,
            interrupted: false,
            barred: false,
            finished: false,
        }
    }

    pub(super) fn plan(&self) -> (&Arc<Plan>, Digest) {
        (&self.plan, self.digest)
    }

    /// Begins. What it wants done is added to `out`; the result is there when it is done.
    pub(super) fn start(
        &mut self,
        now: Timestamp,
        ids: &mut EffectIds,
        out: &mut Vec<Effect>,
    ) -> Option<Executed> {
        self.advance(now, ids, out)
    }

    /// Issues nothing new but the record of what was done. What is under way is waited for.
    pub(super) fn interrupt(
        &mut self,
        now: Timestamp,
        ids: &mut EffectIds,
        out: &mut Vec<Effect>,
    ) -> Option<Executed> {
        self.interrupted = true;
        self.queue.clear();
        self.steps.retain(|step| matches!(step, Step::Record));
        let waits: Vec<_> = self
            .jobs
            .iter()
            .filter(|(_, job)| matches!(job, Job::Wait { .. } | Job::Settle))
            .map(|(id, _)| *id)
            .collect();
        for id in waits {
            self.jobs.remove(&id);
            out.push(Effect::Cancel(id));
        }
        self.advance(now, ids, out)
    }

    /// Takes an answer.
    pub(super) fn done(
        &mut self,
        id: EffectId,
        response: Response,
        now: Timestamp,
        ids: &mut EffectIds,
        out: &mut Vec<Effect>,
    ) -> Option<Executed> {
        let job = self.jobs.remove(&id)?;
        match (job, response) {
            (Job::SaveAhead { inventory }, Response::InventorySaved(result)) => match result {
                Ok(()) => self.saved = inventory,
                Err(error) => {
                    self.stale |= matches!(error, crate::StoreError::Conflict { .. });
                    self.errors.push(format!("{error}; nothing was written"));
                    self.barred = true;
                    self.steps.clear();
                }
            },
            (Job::Apply { action, attempt }, Response::Applied(result)) => {
                self.applied(action, attempt, result, ids, out);
            }
            (Job::Settle, Response::Settled(result)) => {
                if let Err(error) = result {
                    self.errors.push(error.to_string());
                }
            }
            (Job::Look { action, attempt }, Response::Observed(mut observation)) => {
                let object = &self.plan.actions[action].object;
                let seen = observation.remove(object).unwrap_or(Ok(None));
                self.looked(action, attempt, seen, ids, out);
            }
            (Job::LookAgain { action, attempt }, Response::Observed(mut observation)) => {
                let object = &self.plan.actions[action].object;
                let seen = observation.remove(object).unwrap_or(Ok(None));
                self.looked_again(action, attempt, seen, ids, out);
            }
            (Job::Delete { action, attempt }, Response::Deleted(result)) => {
                self.deleted(action, attempt, result, ids, out);
            }
            (Job::Wait { then }, Response::Waited) => self.queue.push_back(*then),
            (Job::Record { inventory }, Response::InventorySaved(result)) => match result {
                Ok(()) => self.saved = inventory,
                Err(error) => {
                    self.stale |= matches!(error, crate::StoreError::Conflict { .. });
                    self.errors.push(error.to_string());
                }
            },
            // The shell answered something else than it was asked: say so, and go on.
            (job, response) => {
                self.errors
                    .push(format!("internal: {response:?} is no answer to {job:?}"));
            }
        }
        self.advance(now, ids, out)
    }

    /// Issues what can be issued, and takes the next step when one is complete.
    fn advance(
        &mut self,
        now: Timestamp,
        ids: &mut EffectIds,
        out: &mut Vec<Effect>,
    ) -> Option<Executed> {
        loop {
            while !self.interrupted && self.jobs.len() < usize::from(self.policy.concurrency.max(1))
            {
                let Some(todo) = self.queue.pop_front() else {
                    break;
                };
                self.issue(todo, ids, out);
            }
            if !self.jobs.is_empty() {
                return None;
            }
            if !self.queue.is_empty() && !self.interrupted {
                continue;
            }
            match self.steps.pop_front() {
                Some(step) => self.begin(step, ids, out),
                None => return self.finish(now),
            }
        }
    }

    fn begin(&mut self, step: Step, ids: &mut EffectIds, out: &mut Vec<Effect>) {
        match step {
            Step::WriteAhead => {
                for action in &self.plan.actions {
                    if matches!(action.verb, Verb::Create | Verb::Adopt { .. })
                        && !self.inventory.entries.contains_key(&action.object)
                    {
                        let entry = InventoryEntry {
                            version: action.version.clone(),
                            file: action.origin.as_ref().map(|origin| origin.file.clone()),
                            ..InventoryEntry::default()
                        };
                        let inventory = Arc::make_mut(&mut self.inventory);
                        inventory.entries.insert(action.object.clone(), entry);
                    }
                }
                if self.is_unsaved() {
                    let id = ids.next();
                    let inventory = self.inventory.clone();
                    out.push(save(id, &inventory));
                    self.jobs.insert(id, Job::SaveAhead { inventory });
                }
            }
            Step::Apply(actions) => {
                for action in actions {
                    match &self.plan.actions[action].verb {
                        Verb::Create | Verb::Update { .. } | Verb::Adopt { .. } => {
                            self.queue.push_back(Todo::Apply { action, attempt: 0 });
                        }
                        _ => self.note(action, out),
                    }
                }
            }
            Step::Settle(actions) => {
                let wanted: Vec<_> = actions
                    .iter()
                    .filter(|action| {
                        self.outcomes
                            .get(action)
                            .is_some_and(|report| report.outcome.is_success())
                    })
                    .map(|action| &self.plan.actions[*action])
                    .map(|action| Wanted {
                        id: action.object.clone(),
                        version: action.version.clone(),
                        depth: Depth::Whole,
                    })
                    .collect();
                if !wanted.is_empty() {
                    let id = ids.next();
                    self.jobs.insert(id, Job::Settle);
                    let timeout = self.policy.settle_timeout;
                    out.push(Effect::Request(id, Request::Settle(wanted, timeout)));
                }
            }
            Step::Prune(actions) => {
                // Whether an object was withdrawn or merely moved isn't known for sure while
                // others failed; they may have been meant to take its place. One that was
                // withdrawn and is kept on purpose stands in nobody's way.
                let failed = self.outcomes.values().any(|report| match report.outcome {
                    ObjectOutcome::Skipped { .. } => report.origin.is_some(),
                    ref outcome => !outcome.is_success(),
                });
                if failed || !self.errors.is_empty() {
                    self.spared += actions.len();
                } else {
                    let looks = actions.into_iter();
                    self.queue
                        .extend(looks.map(|action| Todo::Look { action, attempt: 0 }));
                }
            }
            Step::Record => {
                // A commit that changes nothing here is not worth a write.
                let succeeded = self.whole
                    && !self.plan.actions.is_empty()
                    && !self.interrupted
                    && self.errors.is_empty()
                    && self.plan.problems.is_empty()
                    && self
                        .outcomes
                        .values()
                        .all(|report| report.outcome.is_success());
                if succeeded && self.inventory.revision.as_ref() != Some(&self.revision.id) {
                    let inventory = Arc::make_mut(&mut self.inventory);
                    inventory.revision = Some(self.revision.id.clone());
                }
                if self.is_unsaved() {
                    let id = ids.next();
                    let inventory = self.inventory.clone();
                    out.push(save(id, &inventory));
                    self.jobs.insert(id, Job::Record { inventory });
                }
            }
        }
    }

    /// Whether the store doesn't know what there is now.
    fn is_unsaved(&self) -> bool {
        !Arc::ptr_eq(&self.inventory, &self.saved) && self.inventory != self.saved
    }

    /// Takes an object out of the inventory.
    fn forget(&mut self, object: &ObjectId) {
        if self.inventory.entries.contains_key(object) {
            Arc::make_mut(&mut self.inventory).entries.remove(object);
        }
    }

    /// Notes in the inventory that an object is as its manifest says. What is noted already is
    /// not written again: the inventory of a million objects is not copied to heal one.
    fn note_applied(&mut self, object: &ObjectId, uid: String, baseline: Option<Digest>) {
        let Some(manifest) = self.desired.manifests.get(object) else {
            return;
        };
        let known = self.inventory.entries.get(object);
        let applied = applied_digest(&*self.config.differ, manifest);
        let entry = InventoryEntry {
            version: manifest.gvk().version,
            uid: Some(uid),
            applied: (!manifest.is_sensitive()).then_some(applied),
            baseline,
            keep: keep_mark(&manifest.value()["metadata"]),
            file: Some(manifest.origin().file.clone()),
            other: known.map(|known| known.other.clone()).unwrap_or_default(),
        };
        if known != Some(&entry) {
            let inventory = Arc::make_mut(&mut self.inventory);
            inventory.entries.insert(object.clone(), entry);
        }
        self.applied.insert(object.clone(), applied);
    }

    fn issue(&mut self, todo: Todo, ids: &mut EffectIds, out: &mut Vec<Effect>) {
        let id = ids.next();
        let (job, request) = match todo {
            Todo::Apply { action, attempt } => {
                let request = match self.apply_request(action) {
                    Ok(request) => request,
                    Err(error) => {
                        let outcome = ObjectOutcome::Failed {
                            error,
                            retryable: false,
                        };
                        self.report(action, outcome, Vec::new(), out);
                        return;
                    }
                };
                (Job::Apply { action, attempt }, Request::Apply(request))
            }
            Todo::Look { action, attempt } => {
                let request = self.look_request(action, Depth::Metadata);
                (Job::Look { action, attempt }, request)
            }
            Todo::LookAgain { action, attempt } => {
                // What was sent was made with what was seen: it is made anew.
                let depth = match self.shaped.contains(&action) {
                    true => Depth::Whole,
                    false => Depth::Metadata,
                };
                let request = self.look_request(action, depth);
                (Job::LookAgain { action, attempt }, request)
            }
            Todo::Delete {
                action,
                attempt,
                live,
            } => {
                let version = self.plan.actions[action].version.clone();
                let request = DeleteRequest::new(&live, version);
                (Job::Delete { action, attempt }, Request::Delete(request))
            }
        };
        self.jobs.insert(id, job);
        out.push(Effect::Request(id, request));
    }

    /// A look at one object.
    fn look_request(&self, action: usize, depth: Depth) -> Request {
        let Action {
            object, version, ..
        } = &self.plan.actions[action];
        Request::Observe(vec![Wanted {
            id: object.clone(),
            version: version.clone(),
            depth,
        }])
    }

    /// What is sent: what is desired, but for what is ignored of an object that is there.
    fn payload<'a>(
        &'a self,
        manifest: &'a Manifest,
        verb: &Verb,
    ) -> Result<Cow<'a, Manifest>, String> {
        let EngineConfig {
            differ, manager, ..
        } = &*self.config;
        let changes = matches!(verb, Verb::Update { .. } | Verb::Adopt { .. });
        if !changes || differ.shaping(manifest).is_none() {
            return Ok(Cow::Borrowed(manifest));
        }
        let seen = self.seen.get(manifest.id());
        let Some(whole) = seen.and_then(|seen| seen.whole.as_deref()) else {
            return Err("internal: the object was not read, and some of it is ignored".into());
        };
        let request =
            DiffRequest::new(manifest, whole, manager).with_definitions(&self.desired.definitions);
        differ.payload(&request).map_err(|error| error.to_string())
    }

    fn apply_request(&mut self, action: usize) -> Result<ApplyRequest, String> {
        let Action { object, verb, .. } = &self.plan.actions[action];
        let Some(manifest) = self.desired.manifests.get(object) else {
            return Err("internal: the plan names an object that is not desired".into());
        };
        let payload = self.payload(manifest, verb)?;
        let shaped = matches!(payload, Cow::Owned(_));
        let precondition = |uid: &String, forced: &[FieldConflict]| match self.seen.get(object) {
            // Only what was seen is overruled, and sent back.
            Some(seen) if shaped || !forced.is_empty() => Precondition::Version {
                uid: uid.clone(),
                resource_version: seen.version.clone(),
            },
            _ => Precondition::Uid { uid: uid.clone() },
        };
        let (precondition, force) = match verb {
            Verb::Create => (Precondition::Absent, false),
            Verb::Update { uid, forced, .. } | Verb::Adopt { uid, forced, .. } => {
                (precondition(uid, forced), !forced.is_empty())
            }
            verb => return Err(format!("internal: {} is no write", verb.name())),
        };
        let request = ApplyRequest::new(payload.into_owned(), precondition).forced(force);
        if shaped {
            self.shaped.insert(action);
        }
        Ok(request)
    }

    /// Whether to try again, and when.
    fn again(&mut self, error: &ApplyError, attempt: u32) -> Option<Duration> {
        if !error.is_retryable() {
            self.stale |= matches!(error, ApplyError::Stale { .. });
            return None;
        }
        let wait = error
            .retry_after()
            .unwrap_or_default()
            .max(retry_delay(attempt));
        // A server that wants to be left alone for long is obeyed by the next pass.
        if self.interrupted || attempt >= self.policy.retries || wait > Duration::from_secs(30) {
            self.retry_after = self.retry_after.max(error.retry_after());
            return None;
        }
        Some(wait)
    }

    /// Does `todo` once more after a while, if that may help.
    fn again_or_fail(
        &mut self,
        error: &ApplyError,
        mut todo: Todo,
        ids: &mut EffectIds,
        out: &mut Vec<Effect>,
    ) {
        let (Todo::Apply { action, attempt }
        | Todo::LookAgain { action, attempt }
        | Todo::Look { action, attempt }
        | Todo::Delete {
            action, attempt, ..
        }) = &mut todo;
        let action = *action;
        match self.again(error, *attempt) {
            Some(wait) => {
                *attempt += 1;
                self.later(wait, todo, ids, out);
            }
            None => self.fail(action, error, out),
        }
    }

    fn later(&mut self, wait: Duration, then: Todo, ids: &mut EffectIds, out: &mut Vec<Effect>) {
        let id = ids.next();
        self.jobs.insert(
            id,
            Job::Wait {
                then: Box::new(then),
            },
        );
        out.push(Effect::Request(id, Request::Wait(wait)));
    }

    fn applied(
        &mut self,
        action: usize,
        attempt: u32,
        result: Result<Applied, ApplyError>,
        ids: &mut EffectIds,
        out: &mut Vec<Effect>,
    ) {
        let answer = match result {
            Ok(answer) => answer,
            // A status that a controller writes moves the version, and is none of our business.
            Err(ApplyError::Stale { .. })
                if self.pins_version(action)
                    && attempt < self.policy.retries
                    && !self.interrupted =>
            {
                self.queue.push_front(Todo::LookAgain {
                    action,
                    attempt: attempt + 1,
                });
                return;
            }
            Err(error) => {
                self.again_or_fail(&error, Todo::Apply { action, attempt }, ids, out);
                return;
            }
        };
        let object = self.plan.actions[action].object.clone();
        self.note_applied(&object, answer.uid, answer.baseline);
        self.written.insert(object, answer.resource_version);
        let outcome = match (&self.plan.actions[action].verb, answer.outcome) {
            (_, WriteOutcome::Unchanged) => ObjectOutcome::Unchanged,
            (Verb::Adopt { from, .. }, _) if *from != Owner::Us => ObjectOutcome::Adopted,
            (_, WriteOutcome::Created) => ObjectOutcome::Created,
            (_, WriteOutcome::Updated) => ObjectOutcome::Updated,
        };
        self.report(action, outcome, answer.warnings, out);
    }

    /// Whether the write of an action names the version that was seen.
    fn pins_version(&self, action: usize) -> bool {
        self.shaped.contains(&action)
            || matches!(
                &self.plan.actions[action].verb,
                Verb::Update { forced, .. } | Verb::Adopt { forced, .. } if !forced.is_empty()
            )
    }

    /// An object moved while it was written. If nobody touched what is ours since the plan was
    /// made, the plan stands.
    fn looked_again(
        &mut self,
        action: usize,
        attempt: u32,
        seen: Result<Option<LiveObject>, ApplyError>,
        ids: &mut EffectIds,
        out: &mut Vec<Effect>,
    ) {
        let object = self.plan.actions[action].object.clone();
        let stands = |live: &LiveObject, seen: &Seen| {
            live.uid == seen.uid && live.baseline == seen.baseline && !live.terminating
        };
        match seen {
            Ok(Some(live))
                if self
                    .seen
                    .get(&object)
                    .is_some_and(|seen| stands(&live, seen)) =>
            {
                self.seen.insert(object, Seen::new(&live));
                self.queue.push_front(Todo::Apply { action, attempt });
            }
            Ok(_) => {
                self.stale = true;
                let reason = "somebody else writes to it; it is looked at anew".into();
                self.fail(action, &ApplyError::Stale { object, reason }, out);
            }
            Err(error) => self.again_or_fail(&error, Todo::LookAgain { action, attempt }, ids, out),
        }
    }

    fn looked(
        &mut self,
        action: usize,
        attempt: u32,
        seen: Result<Option<LiveObject>, ApplyError>,
        ids: &mut EffectIds,
        out: &mut Vec<Effect>,
    ) {
        let object = self.plan.actions[action].object.clone();
        let live = match seen {
            Ok(Some(live)) => live,
            Ok(None) => {
                self.forget(&object);
                self.report(action, ObjectOutcome::Forgotten, Vec::new(), out);
                return;
            }
            Err(error) => {
                self.again_or_fail(&error, Todo::Look { action, attempt }, ids, out);
                return;
            }
        };
        let planned = match &self.plan.actions[action].verb {
            Verb::Prune { uid } => *uid == live.uid,
            _ => false,
        };
        let entry = self
            .inventory
            .entries
            .get(&object)
            .cloned()
            .unwrap_or_default();
        if let Some(reason) = release(&entry, &live) {
            self.forget(&object);
            self.report(action, ObjectOutcome::Released { reason }, Vec::new(), out);
        } else if live.terminating {
            self.report(action, ObjectOutcome::Terminating, Vec::new(), out);
        } else if planned {
            let todo = Todo::Delete {
                action,
                attempt,
                live: Box::new(live),
            };
            // Right behind the look, before anything else is begun.
            self.queue.push_front(todo);
        } else {
            let error = ApplyError::Stale {
                object,
                reason: "it is another object than the one in the plan".into(),
            };
            self.stale = true;
            self.fail(action, &error, out);
        }
    }

    fn deleted(
        &mut self,
        action: usize,
        attempt: u32,
        result: Result<Deleted, ApplyError>,
        ids: &mut EffectIds,
        out: &mut Vec<Effect>,
    ) {
        match result {
            Ok(Deleted::Gone) => {
                let object = self.plan.actions[action].object.clone();
                self.forget(&object);
                self.report(action, ObjectOutcome::Pruned, Vec::new(), out);
            }
            Ok(Deleted::Terminating) => {
                self.report(action, ObjectOutcome::Terminating, Vec::new(), out);
            }
            Err(error) => {
                // The object moved between the look and the delete: look again, at once.
                let moved = matches!(error, ApplyError::Stale { .. });
                if moved && attempt < self.policy.retries && !self.interrupted {
                    let attempt = attempt + 1;
                    self.queue.push_front(Todo::Look { action, attempt });
                } else {
                    self.again_or_fail(&error, Todo::Look { action, attempt }, ids, out);
                }
            }
        }
    }

    fn fail(&mut self, action: usize, error: &ApplyError, out: &mut Vec<Effect>) {
        let outcome = ObjectOutcome::Failed {
            error: error.to_string(),
            retryable: error.is_retryable() || matches!(error, ApplyError::Stale { .. }),
        };
        self.report(action, outcome, Vec::new(), out);
    }

    /// Reports an action that needs no request.
    fn note(&mut self, action: usize, out: &mut Vec<Effect>) {
        let Action { object, verb, .. } = self.plan.actions[action].clone();
        let outcome = match verb {
            Verb::Record { uid, baseline } => {
                self.note_applied(&object, uid, baseline);
                ObjectOutcome::Unchanged
            }
            Verb::Release { reason } => {
                self.forget(&object);
                ObjectOutcome::Released { reason }
            }
            Verb::Forget => {
                self.forget(&object);
                ObjectOutcome::Forgotten
            }
            Verb::Keep { reason } => ObjectOutcome::Kept { reason },
            Verb::Skip { reason } => ObjectOutcome::Skipped { reason },
            verb => ObjectOutcome::Failed {
                error: format!("internal: {} needs a request", verb.name()),
                retryable: false,
            },
        };
        self.report(action, outcome, Vec::new(), out);
    }

    fn report(
        &mut self,
        action: usize,
        outcome: ObjectOutcome,
        warnings: Vec<String>,
        out: &mut Vec<Effect>,
    ) {
        let Action {
            object,
            origin,
            verb,
            ..
        } = &self.plan.actions[action];
        let (fields, forced) = match verb {
            Verb::Update {
                changes, forced, ..
            }
            | Verb::Adopt {
                changes, forced, ..
            } => (
                changes
                    .iter()
                    .map(|change| change.path.to_string())
                    .collect(),
                forced.clone(),
            ),
            _ => (Vec::new(), Vec::new()),
        };
        let report = ObjectReport {
            object: object.clone(),
            origin: origin.clone(),
            outcome,
            fields,
            forced,
            warnings,
        };
        // An object that was only recorded is no deed.
        if !matches!(report.outcome, ObjectOutcome::Unchanged) {
            out.push(Effect::Emit(EventKind::Object {
                revision: self.revision.clone(),
                plan: self.digest,
                report: Box::new(report.clone()),
            }));
        }
        self.outcomes.insert(action, report);
    }

    fn finish(&mut self, now: Timestamp) -> Option<Executed> {
        if std::mem::replace(&mut self.finished, true) {
            return None;
        }
        let took = now.duration_since(self.started);
        let spared = (self.spared > 0).then_some(PruneHold::Failed {
            withdrawn: self.spared,
        });
        let report = Report {
            reconciler: self.plan.reconciler.clone(),
            revision: (*self.revision).clone(),
            plan: self.digest,
            objects: std::mem::take(&mut self.outcomes).into_values().collect(),
            unchanged: self.plan.unchanged,
            problems: self.plan.problems.clone(),
            hold: self.plan.hold.clone().or(spared),
            errors: std::mem::take(&mut self.errors),
            interrupted: self.interrupted && !self.barred,
            took: Duration::try_from(took).unwrap_or_default(),
        };
        Some(Executed {
            report,
            // What was done is remembered even if it could not be saved: the next pass
            // tries again.
            inventory: std::mem::take(&mut self.inventory),
            saved: std::mem::take(&mut self.saved),
            applied: std::mem::take(&mut self.applied),
            written: std::mem::take(&mut self.written),
            stale: self.stale,
            retry_after: self.retry_after,
        })
    }
}

fn save(id: EffectId, inventory: &Inventory) -> Effect {
    Effect::Request(id, Request::SaveInventory(inventory.clone()))
}

/// Cuts a plan into steps.
fn steps(plan: &Plan) -> VecDeque<Step> {
    let leaves = |action: &Action| action.origin.is_none();
    let mut steps = VecDeque::from([Step::WriteAhead]);
    let waves: BTreeSet<u16> = plan.actions.iter().map(|action| action.wave).collect();
    let of = |wave: u16, leaving: bool| -> Vec<usize> {
        plan.actions
            .iter()
            .enumerate()
            .filter(|(_, action)| action.wave == wave && leaves(action) == leaving)
            .map(|(at, _)| at)
            .collect()
    };
    for &wave in &waves {
        let actions = of(wave, false);
        if actions.is_empty() {
            continue;
        }
        let carriers: Vec<_> = actions
            .iter()
            .copied()
            .filter(|at| {
                let action = &plan.actions[*at];
                action.verb.writes() && carries_others(&action.object.group_kind())
            })
            .collect();
        steps.push_back(Step::Apply(actions));
        if !carriers.is_empty() {
            steps.push_back(Step::Settle(carriers));
        }
    }
    for &wave in waves.iter().rev() {
        let (prunes, notes): (Vec<_>, Vec<_>) = of(wave, true)
            .into_iter()
            .partition(|at| matches!(plan.actions[*at].verb, Verb::Prune { .. }));
        if !notes.is_empty() {
            steps.push_back(Step::Apply(notes));
        }
        if !prunes.is_empty() {
            steps.push_back(Step::Prune(prunes));
        }
    }
    steps.push_back(Step::Record);
    steps
}
