//! The engine: a pure step machine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::planner::{self, Desired, PlanInput};
use crate::{
    Differ, Digest, EventKind, FieldManager, GroupKind, Inventory, LiveObject, ObjectId,
    ObjectOutcome, ObjectReport, Observation, Plan, Policy, ReconcilerName, Rendered, Report,
    Revision, RevisionId, StoreError, retry_delay,
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
    pub(super) config: Arc<EngineConfig>,
    pub(super) policy: Arc<Policy>,
    pub(super) ids: EffectIds,
    pub(super) goal: Option<Goal>,
    pub(super) task: Task,
    pub(super) stopping: bool,

    // What is remembered from pass to pass.
    pub(super) rendered: Option<RenderedSet>,
    pub(super) desired: Option<Arc<Desired>>,
    pub(super) inventory: Option<Arc<Inventory>>,
    pub(super) saved: Arc<Inventory>,
    /// What a pass found to be wholly as it should be, and nothing happened since.
    pub(super) settled: Option<Settled>,
    pub(super) applied: BTreeMap<ObjectId, Digest>,
    pub(super) written: BTreeMap<ObjectId, String>,
    pub(super) announced: Option<RevisionId>,

    // What only matters while it runs on and on.
    pub(super) watched: BTreeSet<GroupKind>,
    pub(super) watch: Watch,
    pub(super) dirty: BTreeMap<ObjectId, Drift>,
    pub(super) reported: BTreeMap<ObjectId, Option<Digest>>,
    pub(super) heals: Heals,
    pub(super) look_again: bool,
    pub(super) probe: Option<EffectId>,
    pub(super) retry: Option<EffectId>,
    pub(super) heal_timer: Option<(EffectId, Timestamp)>,
    pub(super) failures: u32,
}

/// How far what the watch tells can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// There is none, or it hasn't told everything yet.
    Off,
    /// It broke. What was made since it was set up, and went while it was broken, it can't
    /// tell of.
    Broken,
    /// It is back, and a pass has yet to look at everything once.
    Catching,
    /// Nothing happens without its telling.
    Ready,
}

/// All objects of one rendering are as they should be.
pub(super) struct Settled {
    rendered: Digest,
    objects: usize,
}

/// What was rendered, and from what.
pub(super) struct RenderedSet {
    pub(super) from: Digest,
    pub(super) rendered: Rendered,
}

/// An object that is not as we left it.
#[derive(Debug)]
pub(super) struct Drift {
    /// As it was last seen; none if it is gone.
    pub(super) live: Option<LiveObject>,
    pub(super) since: Timestamp,
    pub(super) announced: bool,
}

/// What is being worked on. Each variant waits for the answer to one request.
pub(super) enum Task {
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
pub(super) struct Observing {
    pub(super) pass: Pass,
    pub(super) observation: Observation,
    pub(super) rounds: u32,
}

/// What a pass is about.
pub(super) struct Pass {
    pub(super) started: Timestamp,
    /// The objects that are healed; none for a pass over all of them.
    pub(super) healing: Option<BTreeMap<ObjectId, Timestamp>>,
}

/// An object is looked at once for its metadata and once as a whole.
const MAX_ROUNDS: u32 = 3;

impl Engine {
    /// An engine that knows nothing yet.
    #[must_use]
    pub fn new(config: EngineConfig) -> Self {
        Self {
            policy: Arc::new(config.policy.clone()),
            config: Arc::new(config),
            ids: EffectIds::default(),
            goal: None,
            task: Task::Idle,
            stopping: false,
            rendered: None,
            desired: None,
            inventory: None,
            saved: Arc::default(),
            settled: None,
            applied: BTreeMap::new(),
            written: BTreeMap::new(),
            announced: None,
            watched: BTreeSet::new(),
            watch: Watch::Off,
            dirty: BTreeMap::new(),
            reported: BTreeMap::new(),
            heals: Heals::default(),
            look_again: false,
            probe: None,
            retry: None,
            heal_timer: None,
            failures: 0,
        }
    }

    /// Takes one input at the time `now` and returns what follows from it.
    pub fn step(&mut self, input: Input, now: Timestamp) -> Vec<Effect> {
        let mut out = Vec::new();
        match input {
            Input::Start(goal) => self.begin(goal, now, &mut out),
            Input::Done(id, response) => self.done(id, response, now, &mut out),
            Input::Look => self.look(&mut out),
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
        self.unwatch();
        self.forget_inventory();
    }

    /// The inventory is not what we thought: it is loaded again before anything is decided, and
    /// everything is looked at once more.
    fn forget_inventory(&mut self) {
        self.inventory = None;
        self.settled = None;
        self.watched.clear();
        self.watch = Watch::Off;
    }

    fn unwatch(&mut self) {
        self.watched.clear();
        self.watch = Watch::Off;
        self.dirty.clear();
        self.reported.clear();
        self.look_again = false;
        self.probe = None;
        self.retry = None;
        self.heal_timer = None;
    }

    pub(super) fn request(&mut self, request: Request, out: &mut Vec<Effect>) -> EffectId {
        let id = self.ids.next();
        out.push(Effect::Request(id, request));
        id
    }

    pub(super) fn continuous(&self) -> bool {
        matches!(self.goal, Some(Goal::Continuous))
    }

    // ---- From the beginning of a pass to its plan ----------------------------------------

    pub(super) fn begin(&mut self, goal: Goal, now: Timestamp, out: &mut Vec<Effect>) {
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

    pub(super) fn resolve(&mut self, out: &mut Vec<Effect>) {
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
        let known = self.is_resolved(&revision);
        if known && self.inventory.is_some() {
            self.observe_all(now, out);
        } else if known {
            self.load(revision, out);
        } else {
            let id = self.request(Request::Fetch(revision.clone()), out);
            self.task = Task::Fetching(id, revision);
        }
    }

    /// Whether it is known what is desired at `revision`, down to every kind.
    fn is_resolved(&self, revision: &Revision) -> bool {
        self.desired
            .as_ref()
            .is_some_and(|desired| desired.revision == *revision && !desired.has_unknown_kinds)
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

    /// Remembers whether everything is as it should be, so that a pass in which nothing changed
    /// needn't go through all objects to find that out again.
    fn settle(&mut self, report: &Report, pass: &Pass) {
        if !report.is_success() {
            self.settled = None;
            return;
        }
        if pass.healing.is_some() {
            return;
        }
        let mut settled = report.unchanged;
        let mut at_rest = true;
        for object in &report.objects {
            match object.outcome {
                ObjectOutcome::Created
                | ObjectOutcome::Updated
                | ObjectOutcome::Adopted
                | ObjectOutcome::Unchanged => settled += 1,
                ObjectOutcome::Pruned
                | ObjectOutcome::Released { .. }
                | ObjectOutcome::Forgotten => {}
                _ => at_rest = false,
            }
        }
        self.settled = self
            .rendered
            .as_ref()
            .filter(|_| at_rest)
            .map(|set| Settled {
                rendered: set.from,
                objects: settled,
            });
    }

    /// The plan of a pass in which nothing can have changed: the same files, and a watch that told
    /// of nothing.
    fn quiet_plan(&self) -> Option<Plan> {
        let settled = self.settled.as_ref()?;
        let (desired, inventory) = (self.desired.as_ref()?, self.inventory.as_ref()?);
        let same = self.rendered.as_ref()?.from == settled.rendered;
        let told_nothing = self.watch == Watch::Ready && self.dirty.is_empty();
        (same && told_nothing && self.continuous()).then(|| Plan {
            reconciler: self.config.name.clone(),
            base: inventory.revision.clone(),
            target: desired.revision.clone(),
            actions: Vec::new(),
            problems: Vec::new(),
            hold: None,
            unchanged: settled.objects,
        })
    }

    fn observe_all(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let pass = Pass {
            started: now,
            healing: None,
        };
        if let Some(plan) = self.quiet_plan() {
            self.planned(plan, pass, &Observation::new(), now, out);
            return;
        }
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
    pub(super) fn seen_drift(&self, only: Option<&BTreeSet<ObjectId>>) -> Observation {
        self.dirty
            .iter()
            .filter(|(id, _)| only.is_none_or(|only| only.contains(*id)))
            .map(|(id, drift)| (id.clone(), Ok(drift.live.clone())))
            .collect()
    }

    pub(super) fn with_input<T>(
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
        input.watched = self.watch == Watch::Ready;
        Some(decide(&input))
    }

    /// Looks until enough is seen, then decides.
    pub(super) fn observe(&mut self, observing: Observing, now: Timestamp, out: &mut Vec<Effect>) {
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
            Arc::clone(&self.config),
            plan,
            desired,
            observation,
            (inventory, self.saved.clone()),
            self.policy.clone(),
            pass.started,
            pass.healing.is_none(),
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
                    let inventory = Arc::new(inventory);
                    self.saved = inventory.clone();
                    self.inventory = Some(inventory);
                    if self.is_resolved(&revision) {
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
        // Kinds that were unknown may be known by now.
        match &self.desired {
            Some(desired) if self.inventory.is_some() && !desired.has_unknown_kinds => {
                let mut desired = Desired::clone(desired);
                desired.revision = revision;
                self.desired = Some(Arc::new(desired));
                self.observe_all(now, out);
            }
            _ => self.resolve_kinds(revision, now, out),
        }
    }

    // ---- The end of a pass ----------------------------------------------------------------

    pub(super) fn executed(&mut self, executed: Executed, now: Timestamp, out: &mut Vec<Effect>) {
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
        let same = |before: &Arc<Inventory>| Arc::ptr_eq(before, &inventory);
        let inventory_changed = !self.inventory.as_ref().is_some_and(same);
        if inventory_changed {
            self.applied
                .retain(|id, _| inventory.entries.contains_key(id));
            self.written
                .retain(|id, _| inventory.entries.contains_key(id));
        }
        self.inventory = Some(inventory);
        self.saved = saved;
        if let Some(probe) = self.probe.take() {
            out.push(Effect::Cancel(probe));
        }
        self.tell_healed(&report, &pass, now, out);

        let success = report.is_success();
        self.settle(&report, &pass);
        let interrupted = report.interrupted;
        let broken = !report.errors.is_empty();
        // What is wrong in Git is mended by a commit; all else may mend itself.
        let unknown = self
            .desired
            .as_ref()
            .is_some_and(|desired| desired.has_unknown_kinds);
        // So is what was withdrawn and is kept on purpose: by a commit, or by another policy.
        let failed = |object: &ObjectReport| match object.outcome {
            ObjectOutcome::Skipped { .. } => object.origin.is_some(),
            ref outcome => !outcome.is_success(),
        };
        let hopeful = broken || unknown || report.objects.iter().any(failed);
        if self.watch == Watch::Catching && pass.healing.is_none() && !interrupted {
            self.watch = Watch::Ready;
        }
        if !self.continuous() {
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
            // Somebody else wrote the inventory.
            self.forget_inventory();
        }
        if self.stopping {
            self.finish(Ok(Outcome::Stopped), out);
            return;
        }
        if inventory_changed || self.watched.is_empty() {
            self.watch(out);
        }
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

    fn fail(&mut self, error: ReconcileError, now: Timestamp, out: &mut Vec<Effect>) {
        self.task = Task::Idle;
        if matches!(error, ReconcileError::Store(StoreError::Conflict { .. })) {
            self.forget_inventory();
        }
        if !self.continuous() {
            self.finish(Err(error), out);
            return;
        }
        if self.stopping {
            self.finish(Ok(Outcome::Stopped), out);
            return;
        }
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
        // Git may be out of reach; what drifted is healed all the same.
        self.rest(now, out);
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
