//! The engine: a pure step machine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::planner::{self, Desired, PlanInput};
use crate::{
    DiffRequest, Differ, Digest, EventKind, FieldChange, FieldManager, GroupKind, Heal, Inventory,
    LiveEvent, LiveObject, ObjectId, ObjectOutcome, Observation, Plan, Policy, ReconcilerName,
    Rendered, Report, Revision, RevisionId, StoreError, Wanted, retry_delay,
};

use super::effect::{Effect, EffectId, Goal, Input, Outcome, Request, Response};
use super::execution::{EffectIds, Executed, Execution};
use super::heals::Heals;
use super::{ReconcileError, SourceStage};

/// What an [`Engine`] is made of.
#[derive(Clone)]
pub struct EngineConfig {
    /// The reconciler's name.
    pub name: ReconcilerName,
    /// The name under which the applier writes.
    pub manager: FieldManager,
    /// The namespace of namespaced objects whose manifest names none.
    pub default_namespace: String,
    /// What may be done.
    pub policy: Policy,
    /// How to compare.
    pub differ: Arc<dyn Differ>,
    /// [`Renderer::digest`](crate::Renderer::digest).
    pub renderer: Digest,
}

/// The decisions of a reconciler as a step machine, with no clock, no network and no
/// randomness in it.
///
/// `step(input, now)` takes one [`Input`] and gives the [`Effect`]s that follow from it. Whoever
/// drives it carries out the requests, in any order and side by side, and puts in their
/// answers. So a run is replayed by replaying its inputs, and a crash between any two
/// requests is a matter of dropping the engine. [`Reconciler`](crate::Reconciler) is the shell
/// that drives it with real seams; a simulation is another.
pub struct Engine {
    config: EngineConfig,
    policy: Arc<Policy>,
    ids: EffectIds,
    goal: Option<Goal>,
    task: Task,
    stopping: bool,

    // What is remembered from pass to pass.
    rendered: Option<RenderedSet>,
    desired: Option<Arc<Desired>>,
    inventory: Option<Inventory>,
    saved: Inventory,
    applied: BTreeMap<ObjectId, Digest>,
    written: BTreeMap<ObjectId, String>,
    announced: Option<RevisionId>,

    // What only matters while it runs on and on.
    watched: BTreeSet<GroupKind>,
    watch_ready: bool,
    dirty: BTreeMap<ObjectId, Drift>,
    reported: BTreeMap<ObjectId, Option<Digest>>,
    heals: Heals,
    look_again: bool,
    probe: Option<EffectId>,
    retry: Option<EffectId>,
    heal_timer: Option<(EffectId, Timestamp)>,
    failures: u32,
    /// Whether the last pass left everything as it should be.
    settled: bool,
}

/// What was rendered, and from what.
struct RenderedSet {
    from: Digest,
    rendered: Rendered,
}

/// An object that is not as we left it.
#[derive(Debug)]
struct Drift {
    /// As it was last seen; none if it is gone.
    live: Option<LiveObject>,
    since: Timestamp,
    announced: bool,
}

/// What is being worked on. Each variant waits for the answer to one request.
enum Task {
    Idle,
    Resolving(EffectId),
    Fetching(EffectId, Revision),
    Rendering(EffectId, Revision, Digest),
    Loading(EffectId, Revision),
    Kinds(EffectId, Revision),
    Observing(EffectId, Observing),
    Executing(Box<Execution>, Pass),
}

/// What is looked at, and for what.
struct Observing {
    pass: Pass,
    observation: Observation,
    rounds: u32,
}

/// What a pass is about.
struct Pass {
    started: Timestamp,
    /// The objects that are healed; none for a pass over all of them.
    healing: Option<BTreeMap<ObjectId, Timestamp>>,
}

/// An object is looked at once for its metadata and once as a whole.
const MAX_ROUNDS: u32 = 3;

impl Engine {
    /// An engine that knows nothing yet.
    #[must_use]
    pub fn new(config: EngineConfig) -> Self {
        Self {
            policy: Arc::new(config.policy.clone()),
            config,
            ids: EffectIds::default(),
            goal: None,
            task: Task::Idle,
            stopping: false,
            rendered: None,
            desired: None,
            inventory: None,
            saved: Inventory::default(),
            applied: BTreeMap::new(),
            written: BTreeMap::new(),
            announced: None,
            watched: BTreeSet::new(),
            watch_ready: false,
            dirty: BTreeMap::new(),
            reported: BTreeMap::new(),
            heals: Heals::default(),
            look_again: false,
            probe: None,
            retry: None,
            heal_timer: None,
            failures: 0,
            settled: false,
        }
    }

    /// Takes one input at the time `now` and returns what follows from it.
    pub fn step(&mut self, input: Input, now: Timestamp) -> Vec<Effect> {
        let mut out = Vec::new();
        match input {
            Input::Start(goal) => self.begin(goal, now, &mut out),
            Input::Done(id, response) => self.done(id, response, now, &mut out),
            Input::Look => self.look(now, &mut out),
            Input::Live(event) => self.live(event, now, &mut out),
            Input::Stop => self.stop(now, &mut out),
        }
        out
    }

    /// Forgets the watch and the work under way, as after a shell gave up half-way. What was
    /// learnt of the inventory is read anew.
    pub fn reset(&mut self) {
        self.goal = None;
        self.task = Task::Idle;
        self.stopping = false;
        self.inventory = None;
        self.unwatch();
    }

    fn unwatch(&mut self) {
        self.watched.clear();
        self.watch_ready = false;
        self.dirty.clear();
        self.reported.clear();
        self.look_again = false;
        self.probe = None;
        self.retry = None;
        self.heal_timer = None;
    }

    fn request(&mut self, request: Request, out: &mut Vec<Effect>) -> EffectId {
        let id = self.ids.next();
        out.push(Effect::Request(id, request));
        id
    }

    fn continuous(&self) -> bool {
        matches!(self.goal, Some(Goal::Continuous))
    }

    // ---- From the beginning of a pass to its plan ----------------------------------------

    fn begin(&mut self, goal: Goal, now: Timestamp, out: &mut Vec<Effect>) {
        self.stopping = false;
        self.unwatch();
        self.failures = 0;
        let target = match &goal {
            Goal::Execute(plan) => Some(plan.target.clone()),
            _ => None,
        };
        self.goal = Some(goal);
        match target {
            Some(revision) => self.resolved(revision, now, out),
            None => self.resolve(out),
        }
    }

    fn resolve(&mut self, out: &mut Vec<Effect>) {
        self.look_again = false;
        if let Some(timer) = self.retry.take() {
            out.push(Effect::Cancel(timer));
        }
        let id = self.request(Request::Resolve, out);
        self.task = Task::Resolving(id);
    }

    fn resolved(&mut self, revision: Revision, now: Timestamp, out: &mut Vec<Effect>) {
        if self.announced.as_ref() != Some(&revision.id) {
            let previous = self.announced.replace(revision.id.clone());
            out.push(Effect::Emit(EventKind::RevisionFound {
                revision: Arc::new(revision.clone()),
                previous,
            }));
        }
        let known = self
            .desired
            .as_ref()
            .is_some_and(|desired| desired.revision == revision);
        if known && self.inventory.is_some() {
            self.observe_all(now, out);
        } else if known {
            self.load(revision, out);
        } else {
            let id = self.request(Request::Fetch(revision.clone()), out);
            self.task = Task::Fetching(id, revision);
        }
    }

    fn load(&mut self, revision: Revision, out: &mut Vec<Effect>) {
        let id = self.request(Request::LoadInventory, out);
        self.task = Task::Loading(id, revision);
    }

    /// What is desired at `revision` is rendered; gives it namespaces and marks.
    fn resolve_kinds(&mut self, revision: Revision, now: Timestamp, out: &mut Vec<Effect>) {
        if self.inventory.is_none() {
            self.load(revision, out);
            return;
        }
        let needed = match &self.rendered {
            Some(set) => Desired::kinds_needed(&set.rendered),
            None => BTreeSet::new(),
        };
        if needed.is_empty() {
            self.kinds_known(revision, &BTreeMap::new(), now, out);
        } else {
            let id = self.request(Request::Kinds(needed), out);
            self.task = Task::Kinds(id, revision);
        }
    }

    fn kinds_known(
        &mut self,
        revision: Revision,
        kinds: &BTreeMap<crate::GroupVersionKind, crate::KindInfo>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let rendered = self
            .rendered
            .as_ref()
            .map(|set| set.rendered.clone())
            .unwrap_or_default();
        let desired = Desired::resolve(
            revision,
            rendered,
            kinds,
            &self.config.default_namespace,
            &self.config.name,
        );
        self.desired = Some(Arc::new(desired));
        self.observe_all(now, out);
    }

    fn observe_all(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let pass = Pass {
            started: now,
            healing: None,
        };
        let observation = self.seen_drift(None);
        self.observe(
            Observing {
                pass,
                observation,
                rounds: 0,
            },
            now,
            out,
        );
    }

    /// What the watch told of objects that drifted, as an observation.
    fn seen_drift(&self, only: Option<&BTreeSet<ObjectId>>) -> Observation {
        self.dirty
            .iter()
            .filter(|(id, _)| only.is_none_or(|only| only.contains(*id)))
            .map(|(id, drift)| (id.clone(), Ok(drift.live.clone())))
            .collect()
    }

    fn with_input<T>(
        &self,
        pass: &Pass,
        observation: &Observation,
        decide: impl FnOnce(&PlanInput<'_>) -> T,
    ) -> Option<T> {
        let desired = self.desired.as_ref()?;
        let inventory = self.inventory.as_ref()?;
        let only = pass
            .healing
            .as_ref()
            .map(|healing| healing.keys().cloned().collect());
        let mut input = PlanInput::new(
            &self.config.name,
            &self.config.manager,
            desired,
            inventory,
            observation,
            &self.policy,
            &*self.config.differ,
        );
        input.applied = &self.applied;
        input.only = only.as_ref();
        input.watched = self.watch_ready;
        Some(decide(&input))
    }

    /// Looks until enough is seen, then decides.
    fn observe(&mut self, observing: Observing, now: Timestamp, out: &mut Vec<Effect>) {
        let Observing {
            pass,
            observation,
            rounds,
        } = observing;
        let wanted = self
            .with_input(&pass, &observation, planner::wanted)
            .unwrap_or_default();
        if !wanted.is_empty() && rounds < MAX_ROUNDS {
            let id = self.request(Request::Observe(wanted), out);
            self.task = Task::Observing(
                id,
                Observing {
                    pass,
                    observation,
                    rounds: rounds + 1,
                },
            );
            return;
        }
        let Some(plan) = self.with_input(&pass, &observation, planner::plan) else {
            self.fail(
                ReconcileError::Internal("nothing was loaded to plan from"),
                now,
                out,
            );
            return;
        };
        self.planned(plan, pass, &observation, now, out);
    }

    fn planned(
        &mut self,
        plan: Plan,
        pass: Pass,
        observation: &Observation,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        match &self.goal {
            Some(Goal::Plan) => return self.finish(Ok(Outcome::Planned(plan)), out),
            Some(Goal::Execute(asked)) if asked.digest() != plan.digest() => {
                let error = ReconcileError::Moved {
                    asked: asked.digest(),
                    now: Box::new(plan),
                };
                return self.finish(Err(error), out);
            }
            None => return,
            Some(_) => {}
        }
        let (Some(desired), Some(inventory)) = (self.desired.clone(), self.inventory.clone())
        else {
            self.fail(
                ReconcileError::Internal("nothing was loaded to execute"),
                now,
                out,
            );
            return;
        };
        let quiet = plan.is_empty();
        let mut execution = Execution::new(
            plan,
            desired,
            observation,
            inventory,
            self.saved.clone(),
            self.policy.clone(),
            pass.started,
        );
        if !quiet {
            let (plan, digest) = execution.plan();
            out.push(Effect::Emit(EventKind::Planned {
                plan: plan.clone(),
                digest,
            }));
        }
        let executed = execution.start(now, &mut self.ids, out);
        self.task = Task::Executing(Box::new(execution), pass);
        if let Some(executed) = executed {
            self.executed(executed, now, out);
        }
    }

    // ---- Answers --------------------------------------------------------------------------

    fn done(&mut self, id: EffectId, response: Response, now: Timestamp, out: &mut Vec<Effect>) {
        if self.retry == Some(id) {
            self.retry = None;
            if matches!(self.task, Task::Idle) {
                self.resolve(out);
            }
            return;
        }
        if self.heal_timer.is_some_and(|(timer, _)| timer == id) {
            self.heal_timer = None;
            self.rest(now, out);
            return;
        }
        if self.probe == Some(id) {
            self.probe = None;
            self.probed(response, now, out);
            return;
        }
        match std::mem::replace(&mut self.task, Task::Idle) {
            Task::Executing(mut execution, pass) => {
                let executed = execution.done(id, response, now, &mut self.ids, out);
                self.task = Task::Executing(execution, pass);
                if let Some(executed) = executed {
                    self.executed(executed, now, out);
                }
            }
            task if task.awaits() == Some(id) => self.answered(task, response, now, out),
            // An answer that nobody waits for any more.
            task => self.task = task,
        }
    }

    fn answered(&mut self, task: Task, response: Response, now: Timestamp, out: &mut Vec<Effect>) {
        match (task, response) {
            (Task::Resolving(_), Response::Resolved(result)) => match result {
                Ok(revision) => self.resolved(revision, now, out),
                Err(error) => self.fail(
                    ReconcileError::Source {
                        stage: SourceStage::Resolve,
                        source: error,
                    },
                    now,
                    out,
                ),
            },
            (Task::Fetching(_, revision), Response::Fetched(result)) => match result {
                Ok(snapshot) => {
                    let digests = [snapshot.digest(), self.config.renderer];
                    let from = Digest::of_parts(digests.iter().map(|d| &d.as_bytes()[..]));
                    // The same files rendered the same way: nothing to render.
                    if self.rendered.as_ref().is_some_and(|set| set.from == from) {
                        self.rerendered(revision, now, out);
                    } else {
                        let id = self.request(Request::Render(snapshot), out);
                        self.task = Task::Rendering(id, revision, from);
                    }
                }
                Err(error) => self.fail(
                    ReconcileError::Source {
                        stage: SourceStage::Fetch,
                        source: error,
                    },
                    now,
                    out,
                ),
            },
            (Task::Rendering(_, revision, from), Response::Rendered(result)) => match result {
                Ok(rendered) => {
                    self.rendered = Some(RenderedSet { from, rendered });
                    self.resolve_kinds(revision, now, out);
                }
                Err(error) => self.fail(ReconcileError::Render(error), now, out),
            },
            (Task::Loading(_, revision), Response::InventoryLoaded(result)) => match result {
                Ok(inventory) => {
                    let inventory = inventory.unwrap_or_default();
                    self.saved = inventory.clone();
                    self.inventory = Some(inventory);
                    let known = self
                        .desired
                        .as_ref()
                        .is_some_and(|desired| desired.revision == revision);
                    if known {
                        self.observe_all(now, out);
                    } else {
                        self.resolve_kinds(revision, now, out);
                    }
                }
                Err(error) => self.fail(ReconcileError::Store(error), now, out),
            },
            (Task::Kinds(_, revision), Response::Kinds(result)) => match result {
                Ok(kinds) => self.kinds_known(revision, &kinds, now, out),
                Err(error) => self.fail(ReconcileError::Applier(error), now, out),
            },
            (Task::Observing(_, mut observing), Response::Observed(seen)) => {
                observing.observation.extend(seen);
                self.observe(observing, now, out);
            }
            _ => self.fail(
                ReconcileError::Internal("an answer that doesn't fit its request"),
                now,
                out,
            ),
        }
    }

    /// The files are as they were: only the revision is new.
    fn rerendered(&mut self, revision: Revision, now: Timestamp, out: &mut Vec<Effect>) {
        // Kinds that were unknown may be known by now: only a set without problems is reused.
        match &self.desired {
            Some(desired) if self.inventory.is_some() && desired.problems.is_empty() => {
                let mut desired = Desired::clone(desired);
                desired.revision = revision;
                self.desired = Some(Arc::new(desired));
                self.observe_all(now, out);
            }
            _ => self.resolve_kinds(revision, now, out),
        }
    }

    // ---- The end of a pass ----------------------------------------------------------------

    fn executed(&mut self, executed: Executed, now: Timestamp, out: &mut Vec<Effect>) {
        let Task::Executing(_, pass) = std::mem::replace(&mut self.task, Task::Idle) else {
            return;
        };
        let Executed {
            report,
            inventory,
            saved,
            applied,
            written,
            stale,
            retry_after,
        } = executed;
        self.applied.extend(applied);
        self.written.extend(written);
        self.applied
            .retain(|id, _| inventory.entries.contains_key(id));
        self.written
            .retain(|id, _| inventory.entries.contains_key(id));
        self.inventory = Some(inventory);
        self.saved = saved;
        if let Some(probe) = self.probe.take() {
            out.push(Effect::Cancel(probe));
        }
        self.tell_healed(&report, &pass, now, out);

        let success = report.is_success();
        if pass.healing.is_none() {
            self.settled = success;
        } else {
            self.settled &= success;
        }
        let interrupted = report.interrupted;
        let broken = !report.errors.is_empty();
        // What is wrong in Git is mended by a commit; all else may mend itself.
        let hopeful = broken
            || report
                .objects
                .iter()
                .any(|object| !object.outcome.is_success());
        if !self.continuous() {
            if broken {
                self.inventory = None;
            }
            out.push(Effect::Emit(EventKind::Finished {
                report: Arc::new(report.clone()),
            }));
            self.finish(Ok(Outcome::Reported(report)), out);
            return;
        }
        let quiet = report.objects.is_empty() && success;
        if !quiet || pass.healing.is_none() {
            out.push(Effect::Emit(EventKind::Finished {
                report: Arc::new(report),
            }));
        }
        if broken && stale {
            // Somebody else wrote the inventory: read it again before anything is decided.
            self.inventory = None;
        }
        if self.stopping {
            self.finish(Ok(Outcome::Stopped), out);
            return;
        }
        self.watch(out);
        if interrupted || self.look_again {
            self.resolve(out);
            return;
        }
        if hopeful {
            let wait = retry_delay(self.failures).max(retry_after.unwrap_or_default());
            self.failures = self.failures.saturating_add(1);
            self.schedule_retry(wait, out);
        } else if pass.healing.is_none() {
            self.failures = 0;
        }
        self.rest(now, out);
    }

    fn schedule_retry(&mut self, wait: Duration, out: &mut Vec<Effect>) {
        if self.retry.is_none() {
            self.retry = Some(self.request(Request::Wait(wait), out));
        }
    }

    fn fail(&mut self, error: ReconcileError, _now: Timestamp, out: &mut Vec<Effect>) {
        self.task = Task::Idle;
        if matches!(error, ReconcileError::Store(StoreError::Conflict { .. })) {
            self.inventory = None;
        }
        if !self.continuous() {
            self.finish(Err(error), out);
            return;
        }
        if self.stopping {
            self.finish(Ok(Outcome::Stopped), out);
            return;
        }
        self.settled = false;
        let retry_in = retry_delay(self.failures);
        self.failures = self.failures.saturating_add(1);
        out.push(Effect::Emit(EventKind::Failed {
            error: error.chain(),
            retry_in,
        }));
        self.schedule_retry(retry_in, out);
        if self.look_again {
            self.resolve(out);
        }
    }

    fn finish(&mut self, result: Result<Outcome, ReconcileError>, out: &mut Vec<Effect>) {
        self.task = Task::Idle;
        self.goal = None;
        self.stopping = false;
        for timer in [
            self.retry.take(),
            self.heal_timer.take().map(|(id, _)| id),
            self.probe.take(),
        ]
        .into_iter()
        .flatten()
        {
            out.push(Effect::Cancel(timer));
        }
        self.unwatch();
        out.push(Effect::Finished(result));
    }

    fn stop(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if self.goal.is_none() || self.stopping {
            return;
        }
        self.stopping = true;
        match std::mem::replace(&mut self.task, Task::Idle) {
            Task::Executing(mut execution, pass) => {
                let executed = execution.interrupt(now, &mut self.ids, out);
                self.task = Task::Executing(execution, pass);
                if let Some(executed) = executed {
                    self.executed(executed, now, out);
                }
            }
            task => {
                out.extend(task.awaits().map(Effect::Cancel));
                let result = if self.continuous() {
                    Ok(Outcome::Stopped)
                } else {
                    Err(ReconcileError::Stopped)
                };
                self.finish(result, out);
            }
        }
    }

    // ---- Between passes -------------------------------------------------------------------

    fn look(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if !self.continuous() || self.stopping {
            return;
        }
        match &self.task {
            Task::Idle => self.resolve(out),
            // A pass is under way: see whether there really is something newer, and if so
            // let it take over at the next safe point.
            Task::Executing(..) if self.probe.is_none() => {
                self.probe = Some(self.request(Request::Resolve, out));
            }
            // Before that nothing has been written: look once more when it is over.
            _ => self.look_again = true,
        }
        let _ = now;
    }

    fn probed(&mut self, response: Response, now: Timestamp, out: &mut Vec<Effect>) {
        let Response::Resolved(Ok(revision)) = response else {
            // The regular look that follows will say what is wrong.
            self.look_again = true;
            return;
        };
        let current = self.desired.as_ref().map(|desired| &desired.revision);
        if current == Some(&revision) {
            return;
        }
        self.look_again = true;
        if let Task::Executing(mut execution, pass) = std::mem::replace(&mut self.task, Task::Idle)
        {
            let executed = execution.interrupt(now, &mut self.ids, out);
            self.task = Task::Executing(execution, pass);
            if let Some(executed) = executed {
                self.executed(executed, now, out);
            }
        }
    }

    /// Watches what the inventory holds, if that has come to hold other kinds.
    fn watch(&mut self, out: &mut Vec<Effect>) {
        let Some(inventory) = &self.inventory else {
            return;
        };
        let kinds: BTreeSet<_> = inventory.entries.keys().map(ObjectId::group_kind).collect();
        if kinds == self.watched {
            return;
        }
        let objects = inventory
            .entries
            .iter()
            .map(|(id, entry)| Wanted {
                id: id.clone(),
                version: entry.version.clone(),
                depth: crate::Depth::Metadata,
            })
            .collect();
        self.watched = kinds;
        self.watch_ready = false;
        out.push(Effect::Watch(objects));
    }

    fn live(&mut self, event: LiveEvent, now: Timestamp, out: &mut Vec<Effect>) {
        if !self.continuous() {
            return;
        }
        match event {
            LiveEvent::Ready => {
                self.watch_ready = true;
                out.push(Effect::Emit(EventKind::Watching));
            }
            LiveEvent::Interrupted { reason } => {
                self.watch_ready = false;
                out.push(Effect::Emit(EventKind::WatchInterrupted { reason }));
            }
            LiveEvent::Seen(live) => {
                let id = live.id.clone();
                self.note(id, Some(live), now);
            }
            LiveEvent::Gone { id, uid } => {
                let ours = self
                    .inventory
                    .as_ref()
                    .and_then(|inventory| inventory.entries.get(&id));
                // The end of an object that was replaced meanwhile is no news.
                let replaced = match (ours.and_then(|entry| entry.uid.as_ref()), &uid) {
                    (Some(ours), Some(gone)) => ours != gone,
                    _ => false,
                };
                if !replaced {
                    self.note(id, None, now);
                }
            }
        }
        self.rest(now, out);
    }

    /// Remembers what the watch told, if it is news.
    fn note(&mut self, id: ObjectId, live: Option<LiveObject>, now: Timestamp) {
        if let Some(live) = &live
            && self
                .written
                .get(&id)
                .is_some_and(|ours| older(&live.resource_version, ours))
        {
            return;
        }
        let since = self.dirty.get(&id).map_or(now, |drift| drift.since);
        let announced = self.dirty.get(&id).is_some_and(|drift| drift.announced);
        self.dirty.insert(
            id,
            Drift {
                live,
                since,
                announced,
            },
        );
    }

    /// Whether what the watch told of an object needs anything done.
    fn is_drift(&self, id: &ObjectId, live: Option<&LiveObject>) -> bool {
        let Some(entry) = self
            .inventory
            .as_ref()
            .and_then(|inventory| inventory.entries.get(id))
        else {
            return false;
        };
        let desired = self
            .desired
            .as_ref()
            .is_some_and(|desired| desired.manifests.contains_key(id));
        match live {
            None => true,
            Some(live)
                if self
                    .written
                    .get(id)
                    .is_some_and(|ours| older(&live.resource_version, ours)) =>
            {
                false
            }
            // A withdrawn object that is still there is a matter of a pass, not of healing.
            Some(_) if !desired => false,
            // It goes; when it is gone there will be an event.
            Some(live) if live.terminating => false,
            Some(live) => {
                entry.uid.as_ref() != Some(&live.uid)
                    || entry.baseline.is_none()
                    || entry.baseline != live.baseline
            }
        }
    }

    /// Nothing is under way: heals what drifted, as far as it is time.
    fn rest(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if !matches!(self.task, Task::Idle) || !self.continuous() || self.stopping {
            return;
        }
        let calm: Vec<_> = self
            .dirty
            .iter()
            .filter(|(id, drift)| !self.is_drift(id, drift.live.as_ref()))
            .map(|(id, _)| id.clone())
            .collect();
        for id in calm {
            self.dirty.remove(&id);
            self.reported.remove(&id);
        }
        self.tell_drift(out);
        if self.policy.heal == Heal::Report {
            let desired = self.desired.clone();
            // Only what was withdrawn and is gone now needs anything done.
            self.dirty.retain(|id, _| {
                desired
                    .as_ref()
                    .is_some_and(|desired| !desired.manifests.contains_key(id))
            });
        }
        let mut due = BTreeMap::new();
        let mut next: Option<Timestamp> = None;
        for (id, drift) in &self.dirty {
            let at = self.heals.due(id);
            if at.is_none_or(|at| at <= now) {
                due.insert(id.clone(), drift.since);
            } else {
                next = match (next, at) {
                    (Some(next), Some(at)) => Some(next.min(at)),
                    (next, at) => next.or(at),
                };
            }
        }
        if !due.is_empty() {
            for id in due.keys() {
                if let Some(wait) = self.heals.count(id, now)
                    && let Some(drift) = self.dirty.get(id)
                {
                    out.push(Effect::Emit(EventKind::Contested {
                        object: id.clone(),
                        heals: self.heals.times(id),
                        wait,
                        rivals: self.rivals(id, drift),
                    }));
                }
            }
            let only: BTreeSet<_> = due.keys().cloned().collect();
            let observation = self.seen_drift(Some(&only));
            let pass = Pass {
                started: now,
                healing: Some(due),
            };
            // What is being healed is dirty no more; what the watch tells from now on counts.
            self.dirty.retain(|id, _| !only.contains(id));
            self.observe(
                Observing {
                    pass,
                    observation,
                    rounds: 0,
                },
                now,
                out,
            );
        } else if let Some(at) = next
            && self.heal_timer.is_none_or(|(_, timer)| at < timer)
        {
            if let Some((timer, _)) = self.heal_timer.take() {
                out.push(Effect::Cancel(timer));
            }
            let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
            let id = self.request(Request::Wait(wait), out);
            self.heal_timer = Some((id, at));
        }
    }

    fn lost(&self, id: &ObjectId, live: Option<&LiveObject>) -> Vec<FieldChange> {
        let (Some(desired), Some(live)) = (&self.desired, live) else {
            return Vec::new();
        };
        let Some(manifest) = desired.manifests.get(id) else {
            return Vec::new();
        };
        let request = DiffRequest::new(manifest, &live.object, &self.config.manager)
            .with_definitions(&desired.definitions);
        self.config.differ.lost(&request)
    }

    fn rivals(&self, id: &ObjectId, drift: &Drift) -> Vec<String> {
        let owners: BTreeSet<_> = self
            .lost(id, drift.live.as_ref())
            .into_iter()
            .filter_map(|change| change.owner)
            .map(|owner| owner.manager)
            .collect();
        owners.into_iter().collect()
    }

    fn tell_drift(&mut self, out: &mut Vec<Effect>) {
        let desired = self.desired.clone();
        let mut events = Vec::new();
        for (id, drift) in &self.dirty {
            let wanted = desired
                .as_ref()
                .is_some_and(|desired| desired.manifests.contains_key(id));
            let state = drift.live.as_ref().and_then(|live| live.baseline);
            let known = self.reported.get(id) == Some(&state);
            if drift.announced || !wanted || known {
                continue;
            }
            events.push((
                id.clone(),
                state,
                EventKind::Drift {
                    object: id.clone(),
                    deleted: drift.live.is_none(),
                    changes: self.lost(id, drift.live.as_ref()),
                },
            ));
        }
        for (id, state, event) in events {
            if let Some(drift) = self.dirty.get_mut(&id) {
                drift.announced = true;
            }
            if self.policy.heal == Heal::Report {
                self.reported.insert(id, state);
            }
            out.push(Effect::Emit(event));
        }
    }

    fn tell_healed(&mut self, report: &Report, pass: &Pass, now: Timestamp, out: &mut Vec<Effect>) {
        let Some(healing) = &pass.healing else { return };
        for object in &report.objects {
            let Some(since) = healing.get(&object.object) else {
                continue;
            };
            let healed = matches!(
                object.outcome,
                ObjectOutcome::Created | ObjectOutcome::Updated | ObjectOutcome::Adopted
            );
            if healed {
                out.push(Effect::Emit(EventKind::Healed {
                    object: object.object.clone(),
                    took: Duration::try_from(now.duration_since(*since)).unwrap_or_default(),
                    fields: object.fields.clone(),
                    rivals: object.forced.clone(),
                }));
            }
        }
    }
}

impl Task {
    /// The request whose answer is waited for. An execution waits for several.
    fn awaits(&self) -> Option<EffectId> {
        match self {
            Self::Idle | Self::Executing(..) => None,
            Self::Resolving(id)
            | Self::Fetching(id, _)
            | Self::Rendering(id, ..)
            | Self::Loading(id, _)
            | Self::Kinds(id, _)
            | Self::Observing(id, _) => Some(*id),
        }
    }
}

/// Whether version `a` is older than `b`. Versions of one server that are numbers grow; of
/// others nothing can be said.
/// <https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>
fn older(a: &str, b: &str) -> bool {
    match (a.parse::<u128>(), b.parse::<u128>()) {
        (Ok(a), Ok(b)) => a < b,
        _ => false,
    }
}
