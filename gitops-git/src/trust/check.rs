//! Deciding whether to believe a revision.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gitops_core::{Clock, Signer};
use gix::ObjectId;
use gix::bstr::ByteSlice as _;
use gix::objs::{CommitRef, Kind, TreeRefIter};

use super::accepted::{Accepted, AcceptedStore};
use super::signed::{self, SignedCommit};
use super::{Identity, PathRule, SignatureError, Trust, TrustMode};
use crate::error::{GitError, one_line};
use crate::pattern::matches_pattern;

/// Longer histories are not walked: a repository of the Linux kernel's size has as many.
const MAX_HISTORY: usize = 2_000_000;
/// So many verified revisions are remembered, to be fetched without another look.
const MAX_REMEMBERED: usize = 65_536;

/// Objects, and the history behind them.
pub(crate) trait Graph {
    /// Reads an object, whole and checked against its id.
    fn object(&self, id: &ObjectId, kind: Kind) -> Result<Vec<u8>, GitError>;
    /// Whether a commit is there.
    fn has(&self, commit: &ObjectId) -> Result<bool, GitError>;
    fn hash(&self) -> gix::hash::Kind;
    fn remote(&self) -> String;
    /// Fails once the caller is gone or time is up.
    fn check(&self) -> Result<(), GitError>;
}

/// What wants to be believed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) commit: ObjectId,
    /// The ref it was found at.
    pub(crate) name: &'a str,
    /// The annotated tag that the ref is at.
    pub(crate) tag: Option<ObjectId>,
}

/// A source's trust, with what it has accepted.
pub(crate) struct Guard {
    trust: Trust,
    starting_from: Option<ObjectId>,
    store: Arc<dyn AcceptedStore>,
    clock: Arc<dyn Clock>,
    allowed_rewrite: Mutex<Option<ObjectId>>,
    remembered: Mutex<Remembered>,
    turn: Mutex<()>,
}

#[derive(Default)]
struct Remembered {
    commits: BTreeSet<ObjectId>,
    order: VecDeque<ObjectId>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Guard {
    pub(crate) fn new(
        trust: Trust,
        store: Arc<dyn AcceptedStore>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, GitError> {
        let (trust, starting_from) = trust.checked()?;
        Ok(Self {
            trust,
            starting_from,
            store,
            clock,
            allowed_rewrite: Mutex::default(),
            remembered: Mutex::default(),
            turn: Mutex::default(),
        })
    }

    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Held from the look at the ref until it is accepted: of two at once, the slower one
    /// would take the newer commit for a rewrite of its own.
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        lock(&self.turn)
    }

    pub(crate) fn allow_rewrite(&self, to: ObjectId) {
        *lock(&self.allowed_rewrite) = Some(to);
    }

    /// Believes what a ref is at now, or says why not.
    pub(crate) fn accept(
        &self,
        candidate: Candidate<'_>,
        graph: &dyn Graph,
    ) -> Result<Vec<Signer>, GitError> {
        let last = self.last(graph)?;
        let check = Check {
            guard: self,
            graph,
            candidate,
        };
        if let Some((reference, commit)) = &last {
            check.forward(reference, *commit)?;
        }
        let signers = check.content(last.map(|(_, commit)| commit))?;
        let accepted = Accepted {
            reference: candidate.name.to_owned(),
            commit: candidate.commit.to_string(),
        };
        self.store
            .save(&accepted)
            .map_err(|source| GitError::Accepted {
                remote: graph.remote(),
                action: "saved",
                source,
            })?;
        lock(&self.allowed_rewrite).take_if(|allowed| *allowed == candidate.commit);
        self.remember(candidate.commit);
        Ok(signers)
    }

    /// Believes a commit that somebody asks for by its id, or says why not.
    pub(crate) fn vouch(&self, commit: ObjectId, graph: &dyn Graph) -> Result<(), GitError> {
        if lock(&self.remembered).commits.contains(&commit) {
            return Ok(());
        }
        let last = self.last(graph)?.map(|(_, commit)| commit);
        if last == Some(commit) {
            return Ok(());
        }
        let check = Check {
            guard: self,
            graph,
            candidate: Candidate {
                commit,
                name: "",
                tag: None,
            },
        };
        if self.trust.mode.wants_tag() {
            return Err(check.disallowed(
                "it was not resolved by this source, and what is trusted is the tag that led \
                 to a commit",
            ));
        }
        check.content(last)?;
        self.remember(commit);
        Ok(())
    }

    fn last(&self, graph: &dyn Graph) -> Result<Option<(String, ObjectId)>, GitError> {
        let failed = |source| GitError::Accepted {
            remote: graph.remote(),
            action: "read",
            source,
        };
        let Some(accepted) = self.store.load().map_err(failed)? else {
            return Ok(None);
        };
        let commit = crate::reference::whole_id(&accepted.commit)
            .filter(|id| id.kind() == graph.hash())
            .ok_or_else(|| {
                failed(std::io::Error::new(
                    std::io::ErrorKind::InvalidData,
                    "not a commit of this repository",
                ))
            })?;
        Ok(Some((accepted.reference, commit)))
    }

    fn remember(&self, commit: ObjectId) {
        let mut remembered = lock(&self.remembered);
        if remembered.commits.insert(commit) {
            remembered.order.push_back(commit);
            if remembered.order.len() > MAX_REMEMBERED
                && let Some(oldest) = remembered.order.pop_front()
            {
                remembered.commits.remove(&oldest);
            }
        }
    }
}

struct Check<'a> {
    guard: &'a Guard,
    graph: &'a dyn Graph,
    candidate: Candidate<'a>,
}

/// What a walk needs of a commit.
struct Links {
    tree: ObjectId,
    parents: Vec<ObjectId>,
    seconds: i64,
}

/// Signers in the order they were found, one for each key.
#[derive(Default)]
struct Signers(Vec<(Identity, ObjectId)>);

impl Signers {
    fn add(&mut self, identities: Vec<Identity>, object: ObjectId) {
        for identity in identities {
            if !self.0.iter().any(|(known, _)| known.key == identity.key) {
                self.0.push((identity, object));
            }
        }
    }

    /// How many people they are, of those that a rule names.
    fn people(&self, rule: &PathRule) -> usize {
        let mut people: Vec<Vec<&Identity>> = Vec::new();
        for (identity, _) in &self.0 {
            let counts =
                rule.signers.is_empty() || rule.signers.iter().any(|name| identity.is_named(name));
            if !counts {
                continue;
            }
            // One that shares something with two others makes them one.
            let (same, mut others): (Vec<_>, Vec<_>) = people
                .into_iter()
                .partition(|person| person.iter().any(|known| known.is_same_person(identity)));
            let mut person: Vec<&Identity> = same.into_iter().flatten().collect();
            person.push(identity);
            others.push(person);
            people = others;
        }
        people.len()
    }
}

impl Check<'_> {
    fn trust(&self) -> &Trust {
        &self.guard.trust
    }

    fn disallowed(&self, reason: impl Into<String>) -> GitError {
        GitError::Disallowed {
            remote: self.graph.remote(),
            revision: self.candidate.commit.to_string(),
            reason: reason.into(),
        }
    }

    fn unverified(&self, object: &ObjectId) -> impl Fn(SignatureError) -> GitError + use<> {
        let (remote, object) = (self.graph.remote(), object.to_string());
        move |reason| GitError::Unverified {
            remote: remote.clone(),
            object: object.clone(),
            reason,
        }
    }

    /// Refuses a name that moved anywhere but forward.
    fn forward(&self, reference: &str, last: ObjectId) -> Result<(), GitError> {
        let Candidate { commit, name, .. } = self.candidate;
        if !self.trust().fast_forward_only || commit == last {
            return Ok(());
        }
        let moved_back = if name.starts_with("refs/tags/") {
            // Another tag, such as the next version's, is no move of this one.
            reference == name
        } else {
            !self.descends(commit, last)?
        };
        let allowed = *lock(&self.guard.allowed_rewrite) == Some(commit);
        if moved_back && !allowed {
            return Err(GitError::Rewritten {
                remote: self.graph.remote(),
                reference: one_line(name),
                from: last.to_string(),
                to: commit.to_string(),
            });
        }
        Ok(())
    }

    /// Everything but the movement.
    fn content(&self, last: Option<ObjectId>) -> Result<Vec<Signer>, GitError> {
        let Candidate { commit, tag, .. } = self.candidate;
        let mut signers = Signers::default();
        let mut on_tip = Signers::default();
        if self.trust().mode.wants_tag() {
            let Some(tag) = tag else {
                return Err(self.disallowed(
                    "what is followed is no annotated tag, and a signed one is asked for",
                ));
            };
            on_tip.add(self.tag(&tag)?, tag);
        }
        match self.trust().mode {
            TrustMode::Tag => self.people(&commit, &self.strict(&commit)?, None)?,
            TrustMode::Head | TrustMode::TagAndHead => on_tip.add(self.commit(&commit)?, commit),
            TrustMode::EveryCommit => {
                on_tip.add(self.commit(&commit)?, commit);
                let anchors: Vec<_> = last.into_iter().chain(self.guard.starting_from).collect();
                for each in self.since(commit, &anchors)? {
                    if each != commit {
                        signers.add(self.commit(&each)?, each);
                    }
                }
            }
        }
        if let Some(start) = self.guard.starting_from
            && !self.descends(commit, start)?
        {
            return Err(self.disallowed(format!("it does not come from {start}")));
        }
        for rule in &self.trust().rules {
            self.rule(rule, &on_tip, &mut signers)?;
        }
        let mut all = on_tip;
        for (identity, object) in signers.0 {
            all.add(vec![identity], object);
        }
        Ok(all
            .0
            .into_iter()
            .map(|(identity, object)| {
                Signer::new(one_line(&identity.shown), identity.key, object.to_string())
            })
            .collect())
    }

    fn raw(&self, id: &ObjectId, kind: Kind) -> Result<Vec<u8>, GitError> {
        self.graph.check()?;
        self.graph.object(id, kind)
    }

    fn strict(&self, id: &ObjectId) -> Result<SignedCommit, GitError> {
        let data = self.raw(id, Kind::Commit)?;
        signed::commit(&data, self.graph.hash()).map_err(self.unverified(id))
    }

    /// Who signed a commit.
    fn commit(&self, id: &ObjectId) -> Result<Vec<Identity>, GitError> {
        let commit = self.strict(id)?;
        let now = self.guard.clock.now();
        let identities = self
            .trust()
            .verify(commit.signed.as_ref(), commit.committer.seconds, now)
            .map_err(self.unverified(id))?;
        self.people(id, &commit, Some(&identities))?;
        Ok(identities)
    }

    /// Refuses authors and committers who are not among those that may be.
    fn people(
        &self,
        id: &ObjectId,
        commit: &SignedCommit,
        signed_by: Option<&[Identity]>,
    ) -> Result<(), GitError> {
        let refuse = |role: &str, address: &str, why: &str| {
            self.disallowed(format!(
                "the {role} of commit {id}, {:?}, {why}",
                one_line(address)
            ))
        };
        for (role, patterns, ident) in [
            ("author", &self.trust().authors, &commit.author),
            ("committer", &self.trust().committers, &commit.committer),
        ] {
            let allowed = patterns.is_empty()
                || patterns.iter().any(|pattern| {
                    // Neither mail hosts nor people tell addresses apart by case.
                    matches_pattern(&pattern.to_lowercase(), &ident.email.to_lowercase())
                });
            if !allowed {
                return Err(refuse(role, &ident.email, "is not among those allowed"));
            }
        }
        let address = &commit.committer.email;
        if self.trust().signer_is_committer
            && let Some(signed_by) = signed_by
            && !signed_by.iter().any(|signer| signer.is_named(address))
        {
            return Err(refuse("committer", address, "is not who signed it"));
        }
        Ok(())
    }

    /// Who signed a tag, which has to be the one the ref is named for.
    fn tag(&self, id: &ObjectId) -> Result<Vec<Identity>, GitError> {
        let data = self.raw(id, Kind::Tag)?;
        let tag = signed::tag(&data, self.graph.hash()).map_err(self.unverified(id))?;
        let wanted = self.candidate.name.strip_prefix("refs/tags/");
        if Some(tag.name.as_str()) != wanted {
            return Err(self.disallowed(format!(
                "its tag calls itself {:?} and stands at {:?}",
                one_line(&tag.name),
                one_line(self.candidate.name)
            )));
        }
        if tag.kind != "commit" || tag.object != self.candidate.commit {
            return Err(self.disallowed(format!(
                "the tag {} is of the {} {}",
                one_line(&tag.name),
                one_line(&tag.kind),
                tag.object
            )));
        }
        let seconds = tag.tagger.as_ref().map_or(0, |tagger| tagger.seconds);
        self.trust()
            .verify(tag.signed.as_ref(), seconds, self.guard.clock.now())
            .map_err(self.unverified(id))
    }

    /// Looks for the people that a rule asks for, back to where the directory was another.
    fn rule(&self, rule: &PathRule, on_tip: &Signers, found: &mut Signers) -> Result<(), GitError> {
        let mut signers = Signers::default();
        for (identity, object) in &on_tip.0 {
            signers.add(vec![identity.clone()], *object);
        }
        let tip = self.candidate.commit;
        let wanted = self.directory(&self.links(&tip)?.tree, &rule.path)?;
        let mut seen = BTreeSet::from([tip]);
        let mut next = VecDeque::from([tip]);
        // Nothing that was never there needs to be signed.
        let mut never_there = wanted.is_none();
        while signers.people(rule) < rule.at_least {
            let Some(commit) = next.pop_front() else {
                if never_there {
                    return Ok(());
                }
                let place = match rule.path.as_str() {
                    "" => "the repository's content".to_owned(),
                    path => format!("the content of {path}"),
                };
                return Err(self.disallowed(format!(
                    "{place} is signed by {} of {} people that are asked for",
                    signers.people(rule),
                    rule.at_least
                )));
            };
            if seen.len() > MAX_HISTORY {
                return Err(self.too_long());
            }
            // What is signed badly counts for nothing here; the mode decides on refusing it.
            match self.commit(&commit) {
                Ok(identities) => signers.add(identities, commit),
                Err(GitError::Unverified { .. } | GitError::Disallowed { .. }) => {}
                Err(error) => return Err(error),
            }
            let parents = self.links(&commit)?.parents;
            let first = parents.first().copied();
            for parent in parents {
                if seen.contains(&parent) {
                    continue;
                }
                if self.directory(&self.links(&parent)?.tree, &rule.path)? != wanted {
                    never_there = false;
                    continue;
                }
                // A merge may bring back an old state that was signed once. It vouches only
                // if it was made on top of what was there.
                let on_top = match first {
                    Some(first) if first != parent => self.descends(parent, first)?,
                    _ => true,
                };
                if on_top {
                    seen.insert(parent);
                    next.push_back(parent);
                }
            }
        }
        found.0.extend(signers.0);
        Ok(())
    }

    fn too_long(&self) -> GitError {
        GitError::Limit {
            remote: self.graph.remote(),
            what: "commits of history",
            limit: MAX_HISTORY as u64,
        }
    }

    fn links(&self, id: &ObjectId) -> Result<Links, GitError> {
        let data = self.raw(id, Kind::Commit)?;
        let broken = |reason: String| GitError::Object {
            remote: self.graph.remote(),
            object: id.to_string(),
            reason,
        };
        let commit = CommitRef::from_bytes(&data, self.graph.hash())
            .map_err(|error| broken(format!("is no commit: {}", one_line(&error.to_string()))))?;
        Ok(Links {
            tree: commit.tree(),
            parents: commit.parents().collect(),
            seconds: commit
                .committer()
                .ok()
                .and_then(|committer| committer.time().ok())
                .map_or(0, |time| time.seconds),
        })
    }

    /// What is at a path in a tree.
    fn directory(&self, tree: &ObjectId, path: &str) -> Result<Option<ObjectId>, GitError> {
        let mut at = *tree;
        let mut parts = path.split('/').filter(|part| !part.is_empty()).peekable();
        while let Some(part) = parts.next() {
            let data = self.raw(&at, Kind::Tree)?;
            let mut found = None;
            for entry in TreeRefIter::from_bytes(&data, self.graph.hash()) {
                let entry = entry.map_err(|error| GitError::Object {
                    remote: self.graph.remote(),
                    object: at.to_string(),
                    reason: one_line(&error.to_string()),
                })?;
                if entry.filename.as_bytes() == part.as_bytes() {
                    found = Some((entry.oid.to_owned(), entry.mode.is_tree()));
                    break;
                }
            }
            match found {
                Some((id, is_tree)) if is_tree || parts.peek().is_none() => at = id,
                _ => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// Whether `later` is `earlier` or comes from it.
    fn descends(&self, later: ObjectId, earlier: ObjectId) -> Result<bool, GitError> {
        let mut seen = BTreeSet::from([later]);
        let mut next = VecDeque::from([later]);
        while let Some(commit) = next.pop_front() {
            if commit == earlier {
                return Ok(true);
            }
            if seen.len() > MAX_HISTORY {
                return Err(self.too_long());
            }
            for parent in self.links(&commit)?.parents {
                if seen.insert(parent) {
                    next.push_back(parent);
                }
            }
        }
        Ok(false)
    }

    /// The commits that lead to `tip` and to none of `known`, newest first.
    fn since(&self, tip: ObjectId, known: &[ObjectId]) -> Result<Vec<ObjectId>, GitError> {
        let mut walk = Walk::default();
        for id in known {
            // One that is not there, after a rewrite, makes nothing known.
            if self.graph.has(id)? {
                walk.know(*id, self)?;
            }
        }
        walk.meet(tip, self)?;
        walk.run(self)
    }
}

/// A walk by commit times, newest first, until only known history is left to look at.
///
/// Times may lie. One that does makes the walk stop early, and leaves a known commit among the
/// new ones, which is then looked at once more; it never makes a new commit known.
#[derive(Default)]
struct Walk {
    marks: BTreeMap<ObjectId, Mark>,
    next: BinaryHeap<(i64, ObjectId)>,
    /// How many new ones are still to be walked on from.
    ahead: usize,
    new: Vec<ObjectId>,
}

struct Mark {
    links: Links,
    known: bool,
    passed: bool,
}

impl Walk {
    /// Clocks of honest people differ by less.
    const SLACK: i64 = 86_400;

    /// Sees a commit for the first time.
    fn enter(&mut self, id: ObjectId, known: bool, check: &Check<'_>) -> Result<(), GitError> {
        if self.marks.len() > MAX_HISTORY {
            return Err(check.too_long());
        }
        let links = check.links(&id)?;
        self.next.push((links.seconds, id));
        self.ahead += usize::from(!known);
        self.marks.insert(
            id,
            Mark {
                links,
                known,
                passed: false,
            },
        );
        Ok(())
    }

    fn meet(&mut self, id: ObjectId, check: &Check<'_>) -> Result<(), GitError> {
        match self.marks.contains_key(&id) {
            true => Ok(()),
            false => self.enter(id, false, check),
        }
    }

    /// Marks a commit as known, and what was walked from it already.
    fn know(&mut self, id: ObjectId, check: &Check<'_>) -> Result<(), GitError> {
        let mut stack = vec![id];
        while let Some(id) = stack.pop() {
            match self.marks.get_mut(&id) {
                None => self.enter(id, true, check)?,
                Some(mark) if mark.known => {}
                Some(mark) => {
                    mark.known = true;
                    if mark.passed {
                        stack.extend(mark.links.parents.iter().copied());
                    } else {
                        self.ahead -= 1;
                    }
                }
            }
        }
        Ok(())
    }

    fn run(mut self, check: &Check<'_>) -> Result<Vec<ObjectId>, GitError> {
        let mut oldest = i64::MAX;
        while let Some((seconds, id)) = self.next.pop() {
            if self.ahead == 0 && seconds < oldest.saturating_sub(Self::SLACK) {
                break;
            }
            let Some(mark) = self.marks.get_mut(&id) else {
                continue;
            };
            mark.passed = true;
            let parents = mark.links.parents.clone();
            if mark.known {
                for parent in parents {
                    self.know(parent, check)?;
                }
            } else {
                self.ahead -= 1;
                self.new.push(id);
                oldest = oldest.min(seconds);
                for parent in parents {
                    self.meet(parent, check)?;
                }
            }
        }
        let Self { marks, mut new, .. } = self;
        new.retain(|id| marks.get(id).is_some_and(|mark| !mark.known));
        Ok(new)
    }
}
