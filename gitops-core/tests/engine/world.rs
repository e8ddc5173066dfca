//! A world in memory that carries out what the engine asks for, one request after the other,
//! in a fixed order and with no clock but its own. It can lose power before any request, or
//! right after it took effect.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use gitops_core::engine::{
    Effect, EffectId, Engine, EngineConfig, Goal, Input, Outcome, Request, Response,
};
use gitops_core::*;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// Compares member by member what desired speaks of. Enough for the engine, which only asks
/// whether there is a difference.
pub(crate) struct Members;

impl Differ for Members {
    fn diff(&self, request: &DiffRequest<'_>) -> Result<Difference, DiffError> {
        let mut difference = Difference::default();
        compare(
            &FieldPath::root(),
            &request.desired.value(),
            request.live,
            &mut difference,
        );
        let rival = rival(request.live);
        for change in &mut difference.changes {
            change.owner = rival.clone();
        }
        if let Some(owner) = rival {
            difference.conflicts = difference
                .changes
                .iter()
                .map(|change| FieldConflict {
                    path: change.path.clone(),
                    owner: Some(owner.clone()),
                })
                .collect();
        }
        Ok(difference)
    }

    fn lost(&self, request: &DiffRequest<'_>) -> Vec<FieldChange> {
        let taken = request
            .live
            .pointer("/metadata/taken")
            .and_then(Value::as_str);
        taken
            .map(|path| FieldChange {
                path: FieldPath::root().field(path),
                before: FieldValue::Unread,
                after: FieldValue::Redacted,
                owner: rival(request.live),
            })
            .into_iter()
            .collect()
    }
}

fn rival(live: &Value) -> Option<FieldOwner> {
    let manager = live.pointer("/metadata/rival")?.as_str()?;
    Some(FieldOwner {
        manager: manager.into(),
        operation: "Update".into(),
        subresource: None,
        time: None,
    })
}

fn compare(path: &FieldPath, desired: &Value, live: &Value, out: &mut Difference) {
    match (desired, live) {
        (Value::Object(desired), Value::Object(live)) => {
            for (key, value) in desired {
                let path = path.clone().field(key.as_str());
                compare(&path, value, live.get(key).unwrap_or(&Value::Null), out);
            }
        }
        (desired, live) if desired == live => {}
        (desired, live) => out.changes.push(FieldChange {
            path: path.clone(),
            before: FieldValue::Value(live.clone()),
            after: FieldValue::Value(desired.clone()),
            owner: None,
        }),
    }
}

/// Where the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    Before,
    After,
}

#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) uid: String,
    pub(crate) version: u64,
    pub(crate) value: Value,
    pub(crate) terminating: bool,
}

pub(crate) type Refusal = Arc<dyn Fn(&Request) -> Option<Trouble> + Send + Sync>;

/// What a request may come to instead of being carried out.
pub(crate) enum Trouble {
    Apply(fn(ObjectId) -> ApplyError),
    Source(SourceErrorKind),
    Store,
}

pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) commits: Vec<Vec<(&'static str, String)>>,
    pub(crate) head: usize,
    pub(crate) objects: BTreeMap<ObjectId, Stored>,
    pub(crate) saved: Option<Inventory>,
    pub(crate) log: Vec<String>,
    pub(crate) events: Vec<EventKind>,
    pub(crate) refuse: Option<Refusal>,
    pub(crate) crash: Option<(usize, Crash)>,
    pub(crate) policy: Policy,
    /// Namespaced kinds that the target knows besides the usual ones.
    pub(crate) known_kinds: Vec<&'static str>,
    /// Objects that keep a finalizer: deleting them only marks them.
    pub(crate) finalized: BTreeSet<ObjectId>,
    /// What the watch has to tell.
    pub(crate) news: VecDeque<LiveEvent>,
    watching: bool,
    next_version: u64,
    requests: usize,
}

pub(crate) fn name() -> ReconcilerName {
    ReconcilerName::new("test").unwrap()
}

pub(crate) fn config_map(name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: shop}}\ndata: {{v: '{value}'}}\n"
    )
}

pub(crate) fn id(kind: &str, name: &str) -> ObjectId {
    let kind = GroupKind::new("", kind);
    match kind.kind.as_str() {
        "Namespace" => ObjectId::cluster(kind, name),
        _ => ObjectId::namespaced(kind, "shop", name),
    }
}

impl World {
    pub(crate) fn new(files: Vec<(&'static str, String)>) -> Self {
        Self {
            now: Timestamp::constant(1_800_000_000, 0),
            commits: vec![files],
            head: 0,
            objects: BTreeMap::new(),
            saved: None,
            log: Vec::new(),
            events: Vec::new(),
            refuse: None,
            crash: None,
            policy: Policy::default(),
            known_kinds: Vec::new(),
            finalized: BTreeSet::new(),
            news: VecDeque::new(),
            watching: false,
            next_version: 1,
            requests: 0,
        }
    }

    pub(crate) fn commit(&mut self, files: Vec<(&'static str, String)>) {
        self.commits.push(files);
        self.head = self.commits.len() - 1;
    }

    pub(crate) fn engine(&self) -> Engine {
        Engine::new(EngineConfig {
            name: name(),
            manager: name().into(),
            default_namespace: "default".into(),
            policy: self.policy.clone(),
            differ: Arc::new(Members),
            renderer: Digest::of(b"test"),
        })
    }

    /// One pass of a new engine, as a process that was started for it.
    pub(crate) fn once(&mut self) -> Result<Report, String> {
        let mut engine = self.engine();
        self.pass(&mut engine)
    }

    pub(crate) fn pass(&mut self, engine: &mut Engine) -> Result<Report, String> {
        match self.run(engine, Goal::Once, |_| false) {
            Some(Ok(Outcome::Reported(report))) => Ok(report),
            Some(Err(error)) => Err(error.chain()),
            None => Err("lost power".into()),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn plan(&mut self, engine: &mut Engine) -> Plan {
        match self.run(engine, Goal::Plan, |_| false) {
            Some(Ok(Outcome::Planned(plan))) => plan,
            other => panic!("{other:?}"),
        }
    }

    /// Runs on and on until nothing is left to do but to wait longer than a minute, then stops.
    pub(crate) fn settle(&mut self, engine: &mut Engine) {
        self.feed(engine, Input::Start(Goal::Continuous));
    }

    /// Gives a running engine one more input, and carries out what follows from it.
    pub(crate) fn feed(&mut self, engine: &mut Engine, input: Input) {
        self.drive(engine, input, |_| false);
    }

    pub(crate) fn run(
        &mut self,
        engine: &mut Engine,
        goal: Goal,
        stop_at: impl Fn(&str) -> bool,
    ) -> Option<Result<Outcome, ReconcileError>> {
        self.drive(engine, Input::Start(goal), stop_at)
    }

    fn drive(
        &mut self,
        engine: &mut Engine,
        input: Input,
        stop_at: impl Fn(&str) -> bool,
    ) -> Option<Result<Outcome, ReconcileError>> {
        let mut inputs = VecDeque::from([input]);
        let mut requests: VecDeque<(EffectId, Request)> = VecDeque::new();
        let mut waits: BTreeMap<EffectId, Timestamp> = BTreeMap::new();
        loop {
            while let Some(input) = inputs.pop_front() {
                for effect in engine.step(input, self.now) {
                    match effect {
                        Effect::Request(id, Request::Wait(time)) => {
                            let time = SignedDuration::try_from(time).unwrap();
                            waits.insert(id, self.now.saturating_add(time).unwrap());
                        }
                        Effect::Request(id, request) => requests.push_back((id, request)),
                        Effect::Cancel(id) => {
                            requests.retain(|(request, _)| *request != id);
                            waits.remove(&id);
                        }
                        Effect::Watch(objects) => {
                            self.watching = true;
                            for wanted in objects {
                                let event = self.seen(&wanted.id);
                                self.news.push_back(event);
                            }
                            self.news.push_back(LiveEvent::Ready);
                        }
                        Effect::Emit(event) => self.events.push(event),
                        Effect::Finished(result) => return Some(result),
                        other => panic!("{other:?}"),
                    }
                }
            }
            if let Some((id, request)) = requests.pop_front() {
                let line = describe(&request);
                let at = self.requests;
                self.requests += 1;
                if self.crash == Some((at, Crash::Before)) {
                    return None;
                }
                self.log.push(line.clone());
                let response = self.carry_out(request);
                if self.crash == Some((at, Crash::After)) {
                    return None;
                }
                if stop_at(&line) {
                    inputs.push_back(Input::Stop);
                }
                inputs.push_back(Input::Done(id, response));
            } else if let Some(event) = self.news.pop_front() {
                inputs.push_back(Input::Live(event));
            } else {
                let (&id, &due) = waits.iter().min_by_key(|(_, due)| **due)?;
                if due.duration_since(self.now) > SignedDuration::from_secs(60) {
                    return None;
                }
                waits.remove(&id);
                self.now = self.now.max(due);
                inputs.push_back(Input::Done(id, Response::Waited));
            }
        }
    }

    /// Carries out one request of somebody who drives the engine by hand. Time passes at once.
    pub(crate) fn answer(&mut self, request: Request) -> Response {
        self.log.push(describe(&request));
        match request {
            Request::Wait(_) => Response::Waited,
            request => self.carry_out(request),
        }
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests
    }

    /// Somebody else writes.
    pub(crate) fn edit(&mut self, id: &ObjectId, manager: &str, edit: impl FnOnce(&mut Value)) {
        let version = self.version();
        let stored = self.objects.get_mut(id).unwrap();
        edit(&mut stored.value);
        stored.value["metadata"]["rival"] = json!(manager);
        stored.value["metadata"]["taken"] = json!("data");
        stored.version = version;
        let event = self.seen(id);
        self.tell(event);
    }

    /// Somebody else deletes.
    pub(crate) fn remove(&mut self, id: &ObjectId) {
        self.objects.remove(id);
        let event = LiveEvent::Gone {
            id: id.clone(),
            uid: None,
        };
        self.tell(event);
    }

    pub(crate) fn lose_everything(&mut self) {
        let ids: Vec<_> = self.objects.keys().cloned().collect();
        for id in ids {
            self.remove(&id);
        }
    }

    pub(crate) fn data(&self, id: &ObjectId) -> Option<&str> {
        self.objects.get(id)?.value.pointer("/data/v")?.as_str()
    }

    /// The writes in the log, without the saves of the inventory.
    pub(crate) fn writes(&self) -> Vec<&str> {
        self.log
            .iter()
            .filter(|line| line.starts_with("apply ") || line.starts_with("delete "))
            .map(String::as_str)
            .collect()
    }

    pub(crate) fn tell(&mut self, event: LiveEvent) {
        if self.watching {
            self.news.push_back(event);
        }
    }

    fn version(&mut self) -> u64 {
        self.next_version += 1;
        self.next_version
    }

    fn seen(&self, id: &ObjectId) -> LiveEvent {
        match self.live(id, Depth::Metadata) {
            Some(live) => LiveEvent::Seen(live),
            None => LiveEvent::Gone {
                id: id.clone(),
                uid: None,
            },
        }
    }

    fn live(&self, id: &ObjectId, depth: Depth) -> Option<LiveObject> {
        let stored = self.objects.get(id)?;
        let metadata = &stored.value["metadata"];
        let object = match depth {
            Depth::Metadata => json!({ "metadata": metadata }),
            Depth::Whole => stored.value.clone(),
        };
        let version = stored.version.to_string();
        let mut live = LiveObject::new(id.clone(), &stored.uid, version, depth, Arc::new(object));
        live.owner = owner_of(metadata, id, &name());
        live.keep = keep_mark(metadata);
        live.terminating = stored.terminating;
        live.baseline = baseline(stored);
        Some(live)
    }

    fn carry_out(&mut self, request: Request) -> Response {
        let trouble = self.refuse.clone().and_then(|refuse| refuse(&request));
        match request {
            Request::Resolve => Response::Resolved(match trouble {
                Some(Trouble::Source(kind)) => {
                    Err(SourceError::new(kind, "no answer from git.test"))
                }
                _ => Ok(Revision::new(format!("commit-{}", self.head))),
            }),
            Request::Fetch(revision) => {
                let at: usize = revision
                    .id
                    .as_str()
                    .strip_prefix("commit-")
                    .unwrap()
                    .parse()
                    .unwrap();
                Response::Fetched(match trouble {
                    Some(Trouble::Source(kind)) => Err(SourceError::new(kind, "cut off")),
                    _ => Ok(Snapshot::from_files(self.commits[at].clone()).unwrap()),
                })
            }
            Request::Render(snapshot) => Response::Rendered(Ok(render(&snapshot))),
            Request::Kinds(kinds) => {
                let known = |kind: &GroupVersionKind| match kind.kind.as_str() {
                    "ConfigMap" | "Secret" | "PersistentVolumeClaim" => Some(KindInfo::new(true)),
                    "Namespace" => Some(KindInfo::new(false)),
                    kind if self.known_kinds.contains(&kind) => Some(KindInfo::new(true)),
                    _ => None,
                };
                Response::Kinds(Ok(kinds
                    .into_iter()
                    .filter_map(|kind| known(&kind).map(|info| (kind, info)))
                    .collect()))
            }
            Request::LoadInventory => Response::InventoryLoaded(Ok(self.saved.clone())),
            Request::SaveInventory(inventory) => Response::InventorySaved(match trouble {
                Some(Trouble::Store) => Err(StoreError::Unavailable {
                    name: "test".into(),
                    reason: "full".into(),
                    source: None,
                }),
                _ => {
                    self.saved = Some(inventory);
                    Ok(())
                }
            }),
            Request::Observe(wanted) => {
                let see = |wanted: Wanted| match &trouble {
                    Some(Trouble::Apply(error)) => (wanted.id.clone(), Err(error(wanted.id))),
                    _ => {
                        let live = self.live(&wanted.id, wanted.depth);
                        (wanted.id, Ok(live))
                    }
                };
                Response::Observed(wanted.into_iter().map(see).collect())
            }
            Request::Apply(request) => Response::Applied(match trouble {
                Some(Trouble::Apply(error)) => Err(error(request.manifest.id().clone())),
                _ => self.apply(&request),
            }),
            Request::Delete(request) => Response::Deleted(match trouble {
                Some(Trouble::Apply(error)) => Err(error(request.id)),
                _ => self.delete(&request),
            }),
            Request::Settle(..) => Response::Settled(Ok(())),
            other => panic!("{other:?}"),
        }
    }

    fn stale<T>(object: &ObjectId, reason: &str) -> Result<T, ApplyError> {
        Err(ApplyError::Stale {
            object: object.clone(),
            reason: reason.into(),
        })
    }

    fn apply(&mut self, request: &ApplyRequest) -> Result<Applied, ApplyError> {
        let id = request.manifest.id();
        // The first invariant: no object is made that a crash could orphan.
        let known = self
            .saved
            .as_ref()
            .is_some_and(|saved| saved.entries.contains_key(id));
        assert!(known, "{id} is written and not in the saved inventory");
        match (&request.precondition, self.objects.get(id)) {
            (Precondition::Uid { uid } | Precondition::Version { uid, .. }, Some(stored))
                if *uid != stored.uid =>
            {
                return Self::stale(id, "uid");
            }
            (
                Precondition::Version {
                    resource_version, ..
                },
                Some(stored),
            ) if *resource_version != stored.version.to_string() => {
                return Self::stale(id, "version");
            }
            (Precondition::Uid { .. } | Precondition::Version { .. }, None) => {
                return Self::stale(id, "gone");
            }
            _ => {}
        }
        assert!(
            !request.force || matches!(request.precondition, Precondition::Version { .. }),
            "forced without the version that was seen"
        );
        let version = self.version();
        let mut outcome = WriteOutcome::Updated;
        let stored = self.objects.entry(id.clone()).or_insert_with(|| {
            outcome = WriteOutcome::Created;
            Stored {
                uid: format!("uid-{version}"),
                version,
                value: json!({}),
                terminating: false,
            }
        });
        stored.value = request.manifest.value();
        stored.version = version;
        let uid = stored.uid.clone();
        let answer = Applied::new(outcome, uid, version.to_string(), baseline(stored));
        let event = self.seen(id);
        self.tell(event);
        Ok(answer)
    }

    fn delete(&mut self, request: &DeleteRequest) -> Result<Deleted, ApplyError> {
        let id = &request.id;
        let known = self
            .saved
            .as_ref()
            .is_some_and(|saved| saved.entries.contains_key(id));
        assert!(known, "{id} is deleted and not in the saved inventory");
        let version = self.version();
        let Some(stored) = self.objects.get_mut(id) else {
            return Ok(Deleted::Gone);
        };
        if stored.uid != request.uid || stored.version.to_string() != request.resource_version {
            return Self::stale(id, "moved");
        }
        if self.finalized.contains(id) {
            stored.terminating = true;
            stored.version = version;
            let event = self.seen(id);
            self.tell(event);
            return Ok(Deleted::Terminating);
        }
        self.objects.remove(id);
        self.tell(LiveEvent::Gone {
            id: id.clone(),
            uid: Some(request.uid.clone()),
        });
        Ok(Deleted::Gone)
    }
}

/// As the real one: of what we own, and not of what others took from it.
fn baseline(stored: &Stored) -> Option<Digest> {
    let taken = stored
        .value
        .pointer("/metadata/taken")
        .and_then(Value::as_str)
        .unwrap_or("");
    let ours = stored
        .value
        .pointer("/metadata/labels")?
        .get(RECONCILER_LABEL)?;
    Some(Digest::of(
        format!("{} {taken} {ours}", stored.uid).as_bytes(),
    ))
}

fn render(snapshot: &Snapshot) -> Rendered {
    let mut rendered = Rendered::default();
    for (path, _) in snapshot.files().unwrap() {
        let bytes = snapshot.read(&path).unwrap();
        let text = std::str::from_utf8(&bytes).unwrap();
        for (at, document) in (1..).zip(text.split("---\n")) {
            let origin = Origin::new(path.clone(), at, 1);
            let documents = gitops_core::yaml::read_documents(
                path.as_str(),
                document.as_bytes(),
                &gitops_core::yaml::ReadLimits::default(),
            );
            for error in documents.errors {
                rendered
                    .problems
                    .push(Problem::new(error.to_string()).at(origin.clone()));
            }
            for document in documents.documents {
                match Manifest::new(document.value, origin.clone()) {
                    Ok(manifest) => rendered.manifests.push(manifest),
                    Err(error) => {
                        rendered
                            .problems
                            .push(Problem::new(error.to_string()).at(origin.clone()));
                    }
                }
            }
        }
    }
    rendered
}

fn describe(request: &Request) -> String {
    match request {
        Request::Resolve => "resolve".into(),
        Request::Fetch(revision) => format!("fetch {}", revision.id),
        Request::Render(_) => "render".into(),
        Request::Kinds(_) => "kinds".into(),
        Request::LoadInventory => "load".into(),
        Request::SaveInventory(inventory) => {
            let names: Vec<_> = inventory
                .entries
                .keys()
                .map(|id| id.name.as_str())
                .collect();
            format!("save {}", names.join(","))
        }
        Request::Observe(wanted) => {
            let names: Vec<_> = wanted
                .iter()
                .map(|wanted| match wanted.depth {
                    Depth::Metadata => wanted.id.name.clone(),
                    Depth::Whole => format!("{}!", wanted.id.name),
                })
                .collect();
            format!("observe {}", names.join(","))
        }
        Request::Apply(request) => {
            let force = if request.force { " (forced)" } else { "" };
            format!("apply {}{force}", request.manifest.id().name)
        }
        Request::Delete(request) => format!("delete {}", request.id.name),
        Request::Settle(objects, _) => format!("settle {}", objects.len()),
        other => format!("{other:?}"),
    }
}
