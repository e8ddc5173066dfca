//! What the engine does between passes: it listens to the source and to the target, and heals.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::{
    DiffRequest, Differ, EventKind, FieldChange, Heal, LiveEvent, LiveObject, ObjectId,
    ObjectOutcome, Report, Wanted,
};

use super::effect::{Effect, Request, Response};
use super::machine::{Drift, Engine, Observing, Pass, Task, Watch};

impl Engine {
    pub(super) fn look(&mut self, out: &mut Vec<Effect>) {
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
    }

    pub(super) fn probed(&mut self, response: Response, now: Timestamp, out: &mut Vec<Effect>) {
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
    pub(super) fn watch(&mut self, out: &mut Vec<Effect>) {
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
        self.watch = Watch::Off;
        out.push(Effect::Watch(objects));
    }

    pub(super) fn live(&mut self, event: LiveEvent, now: Timestamp, out: &mut Vec<Effect>) {
        if !self.continuous() {
            return;
        }
        match event {
            LiveEvent::Ready => {
                self.watch = match self.watch {
                    Watch::Broken | Watch::Catching => Watch::Catching,
                    Watch::Off | Watch::Ready => Watch::Ready,
                };
                out.push(Effect::Emit(EventKind::Watching));
                if self.watch == Watch::Catching {
                    match self.task {
                        Task::Idle if !self.stopping => self.resolve(out),
                        _ => self.look_again = true,
                    }
                }
            }
            LiveEvent::Interrupted { reason } => {
                self.watch = Watch::Broken;
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
            // What never was can't be missed.
            None => entry.uid.is_some() || !desired,
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
    pub(super) fn rest(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
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
            // Only what was withdrawn and is gone now needs anything done, and what is ignored
            // to be recorded.
            let mut dirty = std::mem::take(&mut self.dirty);
            dirty.retain(|id, drift| {
                desired
                    .as_ref()
                    .is_some_and(|desired| !desired.manifests.contains_key(id))
                    || self.is_settled(id, drift.live.as_ref())
            });
            self.dirty = dirty;
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
                let Some(drift) = self.dirty.get(id) else {
                    continue;
                };
                if self.is_settled(id, drift.live.as_ref()) {
                    continue;
                }
                if let Some(wait) = self.heals.count(id, now) {
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

    /// Asks the differ about an object as it was last seen; `None` if it is gone or withdrawn.
    fn ask<T>(
        &self,
        id: &ObjectId,
        live: Option<&LiveObject>,
        question: impl FnOnce(&dyn Differ, &DiffRequest<'_>) -> T,
    ) -> Option<T> {
        let (desired, live) = (self.desired.as_ref()?, live?);
        let manifest = desired.manifests.get(id)?;
        let request = DiffRequest::new(manifest, &live.object, &self.config.manager)
            .with_definitions(&desired.definitions);
        Some(question(&*self.config.differ, &request))
    }

    fn lost(&self, id: &ObjectId, live: Option<&LiveObject>) -> Vec<FieldChange> {
        self.ask(id, live, |differ, request| differ.lost(request))
            .unwrap_or_default()
    }

    /// Whether all that was lost is ignored: there is something to record, and nothing to heal.
    fn is_settled(&self, id: &ObjectId, live: Option<&LiveObject>) -> bool {
        self.ask(id, live, |differ, request| differ.is_settled(request))
            .unwrap_or_default()
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
            if drift.announced || !wanted || known || self.is_settled(id, drift.live.as_ref()) {
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

    pub(super) fn tell_healed(
        &mut self,
        report: &Report,
        pass: &Pass,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
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

/// Whether version `a` is older than `b`. Versions of one server that are numbers grow; of
/// others nothing can be said.
/// <https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>
fn older(a: &str, b: &str) -> bool {
    match (a.parse::<u128>(), b.parse::<u128>()) {
        (Ok(a), Ok(b)) => a < b,
        _ => false,
    }
}
