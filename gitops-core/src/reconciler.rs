//! The async shell around the engine.

use std::pin::pin;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesUnordered, StreamExt};
use tokio::sync::{Mutex, Notify, broadcast};
use tokio_util::sync::CancellationToken;

use crate::engine::{
    Effect, EffectId, Engine, EngineConfig, Goal, Input, Outcome, ReconcileError, Request, Response,
};
use crate::{
    Applier, Clock, Differ, Event, EventKind, EventSink, FieldManager, InvalidName, InventoryStore,
    LiveEvent, Plan, Policy, ReconcilerName, Renderer, Report, Source, SystemClock,
};

/// Keeps a target as a source says it should be.
///
/// ```
/// # use gitops_core::*;
/// # async fn example(source: impl Source + 'static, renderer: impl Renderer + 'static,
/// #     differ: impl Differ + 'static, applier: impl Applier + 'static)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// let reconciler = Reconciler::builder("payments-prod")
///     .source(source)
///     .renderer(renderer)
///     .differ(differ)
///     .applier(applier)
///     .policy(Policy::default().prune(PruneLimit::percent(20)))
///     .build()?;
///
/// let plan = reconciler.plan().await?; // a value: print it, store it, test it
/// let report = reconciler.execute(plan).await?;
/// assert!(report.is_success(), "{report}");
/// # Ok(())
/// # }
/// ```
///
/// One call at a time: a second one while the first is under way is [`ReconcileError::Busy`].
pub struct Reconciler {
    engine: Mutex<Engine>,
    shell: Shell,
}

struct Shell {
    name: ReconcilerName,
    source: Arc<dyn Source>,
    renderer: Arc<dyn Renderer>,
    applier: Arc<dyn Applier>,
    inventory: Arc<dyn InventoryStore>,
    clock: Arc<dyn Clock>,
    sinks: Vec<Arc<dyn EventSink>>,
    events: broadcast::Sender<Event>,
    look: Arc<Notify>,
}

/// A subscriber that is slower than this many events misses some, and is told so.
const EVENT_BUFFER: usize = 4096;

impl Reconciler {
    /// Begins a reconciler of this name.
    ///
    /// The name marks the objects, names the inventory and, unless the applier was told
    /// otherwise, is the field manager: it must be unique in the target.
    pub fn builder(name: impl Into<String>) -> ReconcilerBuilder {
        ReconcilerBuilder {
            name: name.into(),
            source: None,
            renderer: None,
            differ: None,
            applier: None,
            inventory: None,
            policy: Policy::default(),
            clock: Arc::new(SystemClock),
            sinks: Vec::new(),
        }
    }

    /// What there is to do now. Nothing is written.
    ///
    /// # Errors
    ///
    /// If the source, the inventory or the target can't be read. What is wrong with single
    /// objects is in the plan.
    pub async fn plan(&self) -> Result<Plan, ReconcileError> {
        match self.pass(Goal::Plan).await? {
            Outcome::Planned(plan) => Ok(plan),
            _ => Err(ReconcileError::Internal("a plan was asked for")),
        }
    }

    /// Does exactly what `plan` says.
    ///
    /// The plan's revision is rendered again and the target is looked at again. If that
    /// doesn't lead to the same plan, nothing is written.
    ///
    /// # Errors
    ///
    /// [`ReconcileError::Moved`] if there is something else to do now; else as for
    /// [`plan`](Self::plan).
    pub async fn execute(&self, plan: Plan) -> Result<Report, ReconcileError> {
        self.reported(Goal::Execute(Box::new(plan))).await
    }

    /// Makes what the source says now real, once.
    ///
    /// # Errors
    ///
    /// As for [`plan`](Self::plan). What went wrong with single objects is in the report.
    pub async fn reconcile_once(&self) -> Result<Report, ReconcileError> {
        self.reported(Goal::Once).await
    }

    /// Makes what the source says real, again and again: new revisions as they appear, drift
    /// as it happens.
    ///
    /// When `shutdown` is cancelled, the writes that are under way are finished and recorded,
    /// no new one is begun, and the call returns. An error doesn't end it: it is an
    /// [`EventKind::Failed`], and there is another try after a growing while.
    ///
    /// # Errors
    ///
    /// [`ReconcileError::Busy`] if another call is under way.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), ReconcileError> {
        self.drive(Goal::Continuous, Some(shutdown)).await.map(drop)
    }

    /// Makes a running reconciler look at its source now, as a webhook would.
    pub fn look(&self) {
        self.shell.look.notify_one();
    }

    /// The events from now on.
    #[must_use]
    pub fn subscribe(&self) -> EventStream {
        EventStream {
            receiver: self.shell.events.subscribe(),
            missed: 0,
        }
    }

    /// The reconciler's name.
    #[must_use]
    pub fn name(&self) -> &ReconcilerName {
        &self.shell.name
    }

    async fn pass(&self, goal: Goal) -> Result<Outcome, ReconcileError> {
        self.drive(goal, None).await
    }

    async fn reported(&self, goal: Goal) -> Result<Report, ReconcileError> {
        match self.pass(goal).await? {
            Outcome::Reported(report) => Ok(report),
            _ => Err(ReconcileError::Internal("a report was asked for")),
        }
    }

    async fn drive(
        &self,
        goal: Goal,
        shutdown: Option<CancellationToken>,
    ) -> Result<Outcome, ReconcileError> {
        let mut engine = self.engine.try_lock().map_err(|_| ReconcileError::Busy)?;
        // A call that was dropped half-way may have written without our learning of it.
        engine.reset();
        Box::pin(self.shell.drive(&mut engine, goal, shutdown)).await
    }
}

impl std::fmt::Debug for Reconciler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reconciler")
            .field("name", &self.shell.name)
            .field("source", &self.shell.source.describe())
            .finish_non_exhaustive()
    }
}

type Answer = (EffectId, Response);

impl Shell {
    async fn drive(
        &self,
        engine: &mut Engine,
        goal: Goal,
        shutdown: Option<CancellationToken>,
    ) -> Result<Outcome, ReconcileError> {
        let continuous = matches!(goal, Goal::Continuous);
        let shutdown = shutdown.unwrap_or_default();
        let mut stopped = false;
        let mut watch: Option<BoxStream<'static, LiveEvent>> = None;
        let mut under_way: FuturesUnordered<BoxFuture<'_, Option<Answer>>> =
            FuturesUnordered::new();
        let mut cancels = std::collections::BTreeMap::new();
        let mut changed = self.source.changed();
        let mut inputs = std::collections::VecDeque::from([Input::Start(goal)]);
        loop {
            while let Some(input) = inputs.pop_front() {
                for effect in engine.step(input, self.clock.now()) {
                    match effect {
                        Effect::Request(id, request) => {
                            tracing::trace!(?id, request = request.name(), "asked for");
                            let cancel = CancellationToken::new();
                            cancels.insert(id, cancel.clone());
                            under_way.push(Box::pin(async move {
                                let answer = pin!(self.carry_out(request));
                                let response = cancel.run_until_cancelled(answer).await?;
                                Some((id, response))
                            }));
                        }
                        Effect::Cancel(id) => {
                            if let Some(cancel) = cancels.remove(&id) {
                                cancel.cancel();
                            }
                        }
                        Effect::Watch(objects) => watch = Some(self.applier.watch(objects)),
                        Effect::Emit(kind) => self.emit(kind),
                        Effect::Finished(result) => return result,
                    }
                }
            }
            let input = tokio::select! {
                biased;
                () = shutdown.cancelled(), if !stopped => {
                    stopped = true;
                    Some(Input::Stop)
                }
                Some(answer) = under_way.next() => answer.map(|(id, response)| {
                    cancels.remove(&id);
                    tracing::trace!(?id, "answered");
                    Input::Done(id, response)
                }),
                event = next(&mut watch) => match event {
                    Some(event) => Some(Input::Live(event)),
                    // The contract says that it never ends.
                    None => {
                        watch = None;
                        let reason = "the watch ended".into();
                        Some(Input::Live(LiveEvent::Interrupted { reason }))
                    }
                },
                () = &mut changed, if continuous => {
                    changed = self.source.changed();
                    Some(Input::Look)
                }
                () = self.look.notified(), if continuous => Some(Input::Look),
            };
            inputs.extend(input);
        }
    }

    async fn carry_out(&self, request: Request) -> Response {
        match request {
            Request::Resolve => Response::Resolved(self.source.resolve().await),
            Request::Fetch(revision) => Response::Fetched(self.source.fetch(&revision).await),
            Request::Render(snapshot) => Response::Rendered(self.render(snapshot).await),
            Request::Kinds(kinds) => Response::Kinds(self.applier.kinds(&kinds).await),
            Request::LoadInventory => Response::InventoryLoaded(self.inventory.load().await),
            Request::SaveInventory(inventory) => {
                Response::InventorySaved(self.inventory.save(&inventory).await)
            }
            Request::Observe(wanted) => Response::Observed(self.applier.observe(&wanted).await),
            Request::Apply(request) => Response::Applied(self.applier.apply(&request).await),
            Request::Delete(request) => Response::Deleted(self.applier.delete(&request).await),
            Request::Settle(objects, timeout) => {
                Response::Settled(self.applier.settle(&objects, timeout).await)
            }
            Request::Wait(time) => {
                tokio::time::sleep(time).await;
                Response::Waited
            }
        }
    }

    /// Rendering is work for the processor: it gets a thread, so that watches and timers go on.
    async fn render(
        &self,
        snapshot: crate::Snapshot,
    ) -> Result<crate::Rendered, crate::RenderError> {
        let renderer = self.renderer.clone();
        let runtime = tokio::runtime::Handle::current();
        let work = move || runtime.block_on(renderer.render(&snapshot));
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|panic| {
                Err(crate::RenderError::Failed {
                    message: "the renderer panicked".into(),
                    source: Some(panic.into()),
                })
            })
    }

    fn emit(&self, kind: EventKind) {
        let event = Event {
            time: self.clock.now(),
            reconciler: self.name.clone(),
            kind,
        };
        trace(&event);
        for sink in &self.sinks {
            sink.emit(&event);
        }
        // Nobody needs to listen.
        let _ = self.events.send(event);
    }
}

async fn next(watch: &mut Option<BoxStream<'static, LiveEvent>>) -> Option<LiveEvent> {
    match watch {
        Some(watch) => watch.next().await,
        None => std::future::pending().await,
    }
}

fn trace(event: &Event) {
    let reconciler = event.reconciler.as_str();
    match &event.kind {
        EventKind::RevisionFound { revision, .. } => {
            tracing::info!(reconciler, revision = %revision.id, "revision found");
        }
        EventKind::Object { report, .. } if !report.outcome.is_success() => {
            tracing::warn!(reconciler, "{report}");
        }
        EventKind::Object { report, .. } => tracing::info!(reconciler, "{report}"),
        EventKind::Drift {
            object,
            deleted,
            changes,
        } => {
            tracing::warn!(reconciler, %object, deleted, fields = changes.len(), "drift");
        }
        EventKind::Healed { object, took, .. } => {
            tracing::info!(reconciler, %object, ?took, "healed");
        }
        EventKind::Contested {
            object,
            heals,
            wait,
            rivals,
        } => {
            tracing::warn!(reconciler, %object, heals, ?wait, ?rivals, "contested");
        }
        EventKind::Failed { error, retry_in } => {
            tracing::error!(reconciler, error, ?retry_in, "the pass failed");
        }
        EventKind::WatchInterrupted { reason } => {
            tracing::warn!(reconciler, reason, "the watch was interrupted");
        }
        _ => {}
    }
}

/// The events of a [`Reconciler`], one by one.
#[derive(Debug)]
pub struct EventStream {
    receiver: broadcast::Receiver<Event>,
    missed: u64,
}

impl EventStream {
    /// The next event; none once the reconciler is gone.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.receiver.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(count)) => self.missed += count,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// How many events were dropped because this reader was too slow.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }
}

/// Builds a [`Reconciler`].
#[must_use]
pub struct ReconcilerBuilder {
    name: String,
    source: Option<Arc<dyn Source>>,
    renderer: Option<Arc<dyn Renderer>>,
    differ: Option<Arc<dyn Differ>>,
    applier: Option<Arc<dyn Applier>>,
    inventory: Option<Arc<dyn InventoryStore>>,
    policy: Policy,
    clock: Arc<dyn Clock>,
    sinks: Vec<Arc<dyn EventSink>>,
}

/// Why a [`Reconciler`] could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The name is not valid.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A part was not given.
    #[error("a reconciler needs {0}")]
    Missing(&'static str),
}

impl ReconcilerBuilder {
    /// Where desired state comes from.
    pub fn source(mut self, source: impl Source + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// What the files mean.
    pub fn renderer(mut self, renderer: impl Renderer + 'static) -> Self {
        self.renderer = Some(Arc::new(renderer));
        self
    }

    /// How desired is compared with live.
    pub fn differ(mut self, differ: impl Differ + 'static) -> Self {
        self.differ = Some(Arc::new(differ));
        self
    }

    /// Where it is made real.
    pub fn applier(mut self, applier: impl Applier + 'static) -> Self {
        self.applier = Some(Arc::new(applier));
        self
    }

    /// Where the inventory is kept. Default: where the applier keeps it.
    pub fn inventory(mut self, inventory: impl InventoryStore + 'static) -> Self {
        self.inventory = Some(Arc::new(inventory));
        self
    }

    /// What may be done without asking.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// What tells the time. Default: the system.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Adds a place where events go.
    pub fn sink(mut self, sink: impl EventSink + 'static) -> Self {
        self.sinks.push(Arc::new(sink));
        self
    }

    /// Builds it. Nothing is called yet.
    ///
    /// # Errors
    ///
    /// If a part is missing or the name is not valid.
    pub fn build(self) -> Result<Reconciler, BuildError> {
        let name = ReconcilerName::new(self.name)?;
        let source = self.source.ok_or(BuildError::Missing("a source"))?;
        let renderer = self.renderer.ok_or(BuildError::Missing("a renderer"))?;
        let differ = self.differ.ok_or(BuildError::Missing("a differ"))?;
        let applier = self.applier.ok_or(BuildError::Missing("an applier"))?;
        let inventory =
            self.inventory
                .or_else(|| applier.inventory())
                .ok_or(BuildError::Missing(
                    "an inventory, as its applier brings none",
                ))?;
        let manager: FieldManager = applier.field_manager().clone();
        let engine = Engine::new(EngineConfig {
            name: name.clone(),
            manager,
            default_namespace: applier.default_namespace().to_owned(),
            policy: self.policy,
            differ,
            renderer: renderer.digest(),
        });
        let (events, _) = broadcast::channel(EVENT_BUFFER);
        let shell = Shell {
            name,
            source,
            renderer,
            applier,
            inventory,
            clock: self.clock,
            sinks: self.sinks,
            events,
            look: Arc::new(Notify::new()),
        };
        Ok(Reconciler {
            engine: Mutex::new(engine),
            shell,
        })
    }
}

const _: fn() = || {
    fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Reconciler>();
};
