//! Leaving files out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use gitops_core::{
    BoxError, Digest, EntryKind, RelPath, SnapshotLimits, Tree, TreeContent, TreeEntry,
};
use gix::bstr::ByteSlice as _;
use gix::glob::pattern::Case;
use gix::glob::{Pattern, wildmatch};

use crate::error::{GitError, one_line};

/// The file that a repository lists in what it does not mean to be deployed.
pub(crate) const IGNORE_FILE: &str = ".sourceignore";
/// A file of patterns is read up to this size; known ones have some hundred bytes.
const MAX_IGNORE_FILE: u64 = 64 << 10;
const MAX_PATTERNS: usize = 1000;
const MAX_PATTERN: usize = 512;
/// With more stars in one pattern, a name could be made that takes for ever to compare.
const MAX_STARS: usize = 8;
const MAX_DEPTH: usize = 128;
/// Directories remembered between revisions. More, and it begins anew.
const MAX_KNOWN: usize = 100_000;

/// Which files of a repository a source shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
    honour_ignore_files: bool,
}

/// Reads one pattern as a line of a `.gitignore` has it; none for an empty line or a comment.
fn pattern(line: &str) -> Result<Option<Pattern>, String> {
    let mut line = line.trim_end_matches('\r');
    // White space at the end counts only after a backslash.
    while line.ends_with(' ') && !line.ends_with("\\ ") {
        line = line.trim_end_matches(' ');
    }
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let shown = || one_line(&line.chars().take(80).collect::<String>());
    if line.len() > MAX_PATTERN {
        return Err(format!(
            "a pattern is longer than {MAX_PATTERN} bytes: {}",
            shown()
        ));
    }
    if line.matches('*').count() > MAX_STARS {
        return Err(format!(
            "a pattern has more than {MAX_STARS} stars: {}",
            shown()
        ));
    }
    Ok(Pattern::from_bytes(line.as_bytes()))
}

fn patterns<'l>(lines: impl Iterator<Item = &'l str>) -> Result<Vec<Pattern>, String> {
    let mut found = Vec::new();
    for line in lines {
        found.extend(pattern(line)?);
        if found.len() > MAX_PATTERNS {
            return Err(format!("more than {MAX_PATTERNS} patterns"));
        }
    }
    Ok(found)
}

impl Filter {
    pub(crate) fn new(
        include: &[String],
        exclude: &[String],
        honour_ignore_files: bool,
    ) -> Result<Self, GitError> {
        let read = |setting, lines: &[String]| {
            patterns(lines.iter().map(String::as_str))
                .map_err(|reason| GitError::Setting { setting, reason })
        };
        let include = read("include", include)?;
        if include.iter().any(Pattern::is_negative) {
            return Err(GitError::Setting {
                setting: "include",
                reason: "has a pattern with '!'; what is to be left out goes to exclude".to_owned(),
            });
        }
        Ok(Self {
            include,
            exclude: read("exclude", exclude)?,
            honour_ignore_files,
        })
    }

    /// Whether anything may be left out of this tree. To look for ignore files in every
    /// directory would mean to read all of them, so one is looked for at the root and on the
    /// way to `path`; where there is one, those below it count too.
    pub(crate) fn concerns(&self, tree: &dyn Tree, path: &RelPath) -> Result<bool, BoxError> {
        if !self.include.is_empty() || !self.exclude.is_empty() {
            return Ok(true);
        }
        if !self.honour_ignore_files {
            return Ok(false);
        }
        let mut at = RelPath::root();
        let mut parts = path.parts();
        loop {
            if tree.entry(&at.child(IGNORE_FILE)?)?.is_some() {
                return Ok(true);
            }
            match parts.next() {
                Some(part) => at = at.child(part)?,
                None => return Ok(false),
            }
        }
    }

    fn digest(&self) -> Digest {
        Digest::of(format!("{:?}{:?}", self.include, self.exclude).as_bytes())
    }
}

fn matches(pattern: &Pattern, path: &str, is_dir: bool) -> bool {
    pattern.matches_repo_relative_path(
        path.as_bytes().as_bstr(),
        path.rfind('/').map(|slash| slash + 1),
        Some(is_dir),
        Case::Sensitive,
        wildmatch::Mode::NO_MATCH_SLASH_LITERAL,
    )
}

/// What the ignore files down to a directory say.
#[derive(Clone)]
struct Rules {
    digest: Digest,
    /// Each with the directory it is in; the deepest last.
    files: Vec<(String, Arc<Vec<Pattern>>)>,
}

/// A directory as it is shown.
struct Shown {
    entries: Vec<TreeEntry>,
    digest: Digest,
}

/// What is remembered between revisions: a directory that did not change is not looked
/// through again. Nothing for one of which nothing is left.
#[derive(Default)]
pub(crate) struct Known(Mutex<KnownDirectories>);

/// By the rules that hold there, the path, and the digest of the directory itself.
type KnownDirectories = BTreeMap<(Digest, String, Digest), Option<Arc<Shown>>>;

/// A tree without the files that a filter leaves out.
pub(crate) struct FilteredTree {
    inner: Arc<dyn Tree>,
    filter: Filter,
    known: Arc<Known>,
    limits: SnapshotLimits,
    digest: Digest,
}

impl FilteredTree {
    /// `whole` says whether the root is what is asked for. Its digest, which takes a look into
    /// every directory, is made only then.
    pub(crate) fn new(
        inner: Arc<dyn Tree>,
        filter: Filter,
        known: Arc<Known>,
        limits: SnapshotLimits,
        whole: bool,
    ) -> Result<Option<Self>, BoxError> {
        let cheap = Digest::of_parts([
            b"filtered".as_slice(),
            filter.digest().as_bytes(),
            inner.digest().as_bytes(),
        ]);
        let mut tree = Self {
            inner,
            filter,
            known,
            limits,
            digest: cheap,
        };
        if whole {
            match tree.shown(&RelPath::root())? {
                Some(root) => tree.digest = root.digest,
                None => return Ok(None),
            }
        }
        Ok(Some(tree))
    }

    /// A directory as it is shown; none where there is none, or nothing of it is left.
    fn shown(&self, path: &RelPath) -> Result<Option<Arc<Shown>>, BoxError> {
        let mut rules = Rules {
            digest: self.filter.digest(),
            files: Vec::new(),
        };
        let mut at = RelPath::root();
        let mut digest = self.inner.digest();
        for part in path.parts() {
            self.extend(&mut rules, &at)?;
            at = at.child(part)?;
            match self.inner.entry(&at)? {
                Some(entry)
                    if entry.kind == EntryKind::Directory
                        && !self.leaves_out(&rules, &at, true) =>
                {
                    digest = entry.digest;
                }
                _ => return Ok(None),
            }
        }
        let mut left = self.limits.entries;
        self.look(&at, digest, rules, &mut left, 0)
    }

    fn look(
        &self,
        path: &RelPath,
        digest: Digest,
        mut rules: Rules,
        left: &mut usize,
        depth: usize,
    ) -> Result<Option<Arc<Shown>>, BoxError> {
        if depth > MAX_DEPTH {
            return Err(
                format!("{path}: more than {MAX_DEPTH} directories within each other").into(),
            );
        }
        self.extend(&mut rules, path)?;
        let key = (rules.digest, path.as_str().to_owned(), digest);
        if let Some(known) = self.known().get(&key) {
            return Ok(known.clone());
        }
        let mut entries = Vec::new();
        for entry in self.inner.list(path)?.unwrap_or_default() {
            *left = left.checked_sub(1).ok_or_else(|| {
                format!(
                    "more than {} files; raise SnapshotLimits",
                    self.limits.entries
                )
            })?;
            let below = path.child(&entry.name)?;
            let is_dir = entry.kind == EntryKind::Directory;
            if self.leaves_out(&rules, &below, is_dir) {
                continue;
            }
            if is_dir {
                let shown = self.look(&below, entry.digest, rules.clone(), left, depth + 1)?;
                if let Some(shown) = shown {
                    entries.push(TreeEntry {
                        digest: shown.digest,
                        ..entry
                    });
                }
            } else if self.takes_in(&below) {
                entries.push(entry);
            }
        }
        let shown = (!entries.is_empty()).then(|| {
            let lines: Vec<String> = entries
                .iter()
                .map(|entry| format!("{:?} {} {}", entry.kind, entry.digest, entry.name))
                .collect();
            Arc::new(Shown {
                digest: Digest::of_parts(lines.iter().map(String::as_bytes)),
                entries,
            })
        });
        let mut known = self.known();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(key, shown.clone());
        Ok(shown)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, KnownDirectories> {
        self.known.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what the ignore file of a directory says.
    fn extend(&self, rules: &mut Rules, directory: &RelPath) -> Result<(), BoxError> {
        if !self.filter.honour_ignore_files {
            return Ok(());
        }
        let file = directory.child(IGNORE_FILE)?;
        // A link could lead to a file that somebody else writes.
        let Some(entry) = self
            .inner
            .entry(&file)?
            .filter(|entry| matches!(entry.kind, EntryKind::File { .. }))
        else {
            return Ok(());
        };
        let content = match self.inner.read(&file, MAX_IGNORE_FILE)? {
            Some(TreeContent::Bytes(content)) => content,
            Some(TreeContent::TooLarge(size)) => {
                return Err(format!("{file}: {size} bytes, more than {MAX_IGNORE_FILE}").into());
            }
            None => return Ok(()),
        };
        let text = String::from_utf8_lossy(&content);
        let text = text.trim_start_matches('\u{feff}');
        let found = patterns(text.lines()).map_err(|why| format!("{file}: {why}"))?;
        rules.digest = Digest::of_parts([
            rules.digest.as_bytes().as_slice(),
            directory.as_str().as_bytes(),
            entry.digest.as_bytes(),
        ]);
        rules
            .files
            .push((directory.as_str().to_owned(), Arc::new(found)));
        Ok(())
    }

    /// Whether the last pattern that is like this path leaves it out: settings before files, and
    /// files further down before those above.
    fn leaves_out(&self, rules: &Rules, path: &RelPath, is_dir: bool) -> bool {
        let last = |patterns: &[Pattern], path: &str| {
            patterns
                .iter()
                .rev()
                .find(|pattern| matches(pattern, path, is_dir))
                .map(|pattern| !pattern.is_negative())
        };
        if let Some(verdict) = last(&self.filter.exclude, path.as_str()) {
            return verdict;
        }
        rules
            .files
            .iter()
            .rev()
            .find_map(|(base, patterns)| {
                let below = match base.as_str() {
                    "" => Some(path.as_str()),
                    base => path
                        .as_str()
                        .strip_prefix(base)
                        .and_then(|rest| rest.strip_prefix('/')),
                };
                last(patterns, below?)
            })
            .unwrap_or(false)
    }

    /// Whether a file, or a directory above it, is like one of those to take in.
    fn takes_in(&self, path: &RelPath) -> bool {
        if self.filter.include.is_empty() {
            return true;
        }
        let mut at = Some((path.clone(), false));
        while let Some((path, is_dir)) = at {
            if self
                .filter
                .include
                .iter()
                .any(|pattern| matches(pattern, path.as_str(), is_dir))
            {
                return true;
            }
            at = path
                .parent()
                .filter(|parent| !parent.is_root())
                .map(|parent| (parent, true));
        }
        false
    }
}

impl Tree for FilteredTree {
    fn digest(&self) -> Digest {
        self.digest
    }

    fn list(&self, directory: &RelPath) -> Result<Option<Vec<TreeEntry>>, BoxError> {
        Ok(self.shown(directory)?.map(|shown| shown.entries.clone()))
    }

    fn entry(&self, path: &RelPath) -> Result<Option<TreeEntry>, BoxError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(None);
        };
        let Some(shown) = self.shown(&parent)? else {
            return Ok(None);
        };
        let at = shown
            .entries
            .binary_search_by(|entry| entry.name.as_str().cmp(name));
        Ok(at.ok().and_then(|at| shown.entries.get(at).cloned()))
    }

    fn read(&self, file: &RelPath, limit: u64) -> Result<Option<TreeContent>, BoxError> {
        match self.entry(file)? {
            Some(_) => self.inner.read(file, limit),
            None => Ok(None),
        }
    }
}
