//! What the engine asks for, and what it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::{
    Applied, ApplyError, ApplyRequest, DeleteRequest, Deleted, EventKind, GroupVersionKind,
    Inventory, KindInfo, LiveEvent, Observation, Plan, RenderError, Rendered, Report, Revision,
    Snapshot, SourceError, StoreError, Wanted,
};

use super::ReconcileError;

/// Which request a response answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectId(pub(super) u64);

/// One thing that the engine asks the world for: one call of one seam.
#[derive(Debug)]
#[non_exhaustive]
pub enum Request {
    /// [`Source::resolve`](crate::Source::resolve).
    Resolve,
    /// [`Source::fetch`](crate::Source::fetch).
    Fetch(Revision),
    /// [`Renderer::render`](crate::Renderer::render).
    Render(Snapshot),
    /// [`Applier::kinds`](crate::Applier::kinds).
    Kinds(BTreeSet<GroupVersionKind>),
    /// [`InventoryStore::load`](crate::InventoryStore::load).
    LoadInventory,
    /// [`InventoryStore::save`](crate::InventoryStore::save).
    SaveInventory(Inventory),
    /// [`Applier::observe`](crate::Applier::observe).
    Observe(Vec<Wanted>),
    /// [`Applier::apply`](crate::Applier::apply).
    Apply(ApplyRequest),
    /// [`Applier::delete`](crate::Applier::delete).
    Delete(DeleteRequest),
    /// [`Applier::settle`](crate::Applier::settle).
    Settle(Vec<Wanted>, Duration),
    /// Nothing for a while.
    Wait(Duration),
}

impl Request {
    /// What is asked for in one word, for a trace.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Fetch(_) => "fetch",
            Self::Render(_) => "render",
            Self::Kinds(_) => "kinds",
            Self::LoadInventory => "load-inventory",
            Self::SaveInventory(_) => "save-inventory",
            Self::Observe(_) => "observe",
            Self::Apply(_) => "apply",
            Self::Delete(_) => "delete",
            Self::Settle(..) => "settle",
            Self::Wait(_) => "wait",
        }
    }
}

/// The answer to a [`Request`], variant by variant.
#[derive(Debug)]
#[non_exhaustive]
pub enum Response {
    /// To [`Request::Resolve`].
    Resolved(Result<Revision, SourceError>),
    /// To [`Request::Fetch`].
    Fetched(Result<Snapshot, SourceError>),
    /// To [`Request::Render`].
    Rendered(Result<Rendered, RenderError>),
    /// To [`Request::Kinds`].
    Kinds(Result<BTreeMap<GroupVersionKind, KindInfo>, ApplyError>),
    /// To [`Request::LoadInventory`].
    InventoryLoaded(Result<Option<Inventory>, StoreError>),
    /// To [`Request::SaveInventory`].
    InventorySaved(Result<(), StoreError>),
    /// To [`Request::Observe`].
    Observed(Observation),
    /// To [`Request::Apply`].
    Applied(Result<Applied, ApplyError>),
    /// To [`Request::Delete`].
    Deleted(Result<Deleted, ApplyError>),
    /// To [`Request::Settle`].
    Settled(Result<(), ApplyError>),
    /// To [`Request::Wait`].
    Waited,
}

/// What the engine is told.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input {
    /// Begin to work towards this.
    Start(Goal),
    /// A request was carried out.
    Done(EffectId, Response),
    /// The source may have something new.
    Look,
    /// Something happened in the target.
    Live(LiveEvent),
    /// Finish the write that is under way, record what was done, and stop.
    Stop,
}

/// What the engine works towards.
#[derive(Debug)]
#[non_exhaustive]
pub enum Goal {
    /// A plan, and nothing written.
    Plan,
    /// Exactly this plan.
    Execute(Box<Plan>),
    /// One pass: what the source says now is made real.
    Once,
    /// Pass after pass, and drift healed in between, until [`Input::Stop`].
    Continuous,
}

/// What the engine wants done.
#[derive(Debug)]
#[non_exhaustive]
pub enum Effect {
    /// Carry out the request and answer with its id.
    Request(EffectId, Request),
    /// The answer to this request isn't wanted any more. Giving it all the same does no harm.
    Cancel(EffectId),
    /// From now on tell of these objects with [`Input::Live`], in place of those before.
    Watch(Vec<Wanted>),
    /// Tell the world.
    Emit(EventKind),
    /// The goal is reached, or can't be.
    Finished(Result<Outcome, ReconcileError>),
}

/// What came of a [`Goal`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// Of [`Goal::Plan`].
    Planned(Plan),
    /// Of [`Goal::Execute`] and [`Goal::Once`].
    Reported(Report),
    /// Of [`Goal::Continuous`], once it was stopped.
    Stopped,
}
