//! The contract of [`Source`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use gitops_core::{
    Digest, EntryKind, RelPath, Revision, Snapshot, SnapshotError, Source, SourceError,
};

use super::{ContractBroken, Files, SourceFixture};

/// What breaks a rule, in words.
type Rule = Result<(), String>;

/// So long nothing may take: a rule that waits longer is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the contract suite of [`Source`] on what `make` makes, a new fixture for each
/// rule.
///
/// | rule | says |
/// |---|---|
/// | `repeatable` | fetching a revision twice, later, at once, and from a second source gives the same files, bytes and digests |
/// | `immovable` | what was resolved is what is fetched, also after the place has moved on: the same files or an error |
/// | `follows` | a commit is resolved to, and is another revision |
/// | `faithful` | a snapshot has the files that were committed, byte for byte, and no other; a path that isn't there is an error |
/// | `sorted` | directories are listed by name, and no name twice |
/// | `digests` | equal files and directories have equal digests, different ones different |
/// | `unknown` | a revision that there isn't, or that is nonsense, is an error and never a snapshot |
/// | `unreadable` | a place without content, or that is gone, is an error and never an empty snapshot |
/// | `cancelled` | a future that was dropped half-way leaves nothing behind, and all works on |
/// | `credentials` | no description and no error shows a credential |
/// | `changed` | `changed` doesn't complete at once for ever, and loses no change |
///
/// It needs a tokio runtime with its timer. Paused time is fine for sources that do
/// nothing but wait on tokio.
///
/// # Errors
///
/// All rules that are broken, each with what was seen.
pub async fn source<F: SourceFixture>(make: impl Fn() -> F) -> Result<(), ContractBroken> {
    let mut rules = Vec::new();
    let mut what = String::from("the source");
    macro_rules! run {
        ($($rule:ident),* $(,)?) => {
            $(
                let mut fixture = make();
                let run = tokio::time::timeout(PATIENCE, $rule(&mut fixture)).await;
                let late = || Err(format!("not done after {} seconds", PATIENCE.as_secs()));
                if let Err(why) = run.unwrap_or_else(|_| late()) {
                    rules.push((stringify!($rule), why));
                }
            )*
        };
    }
    run!(
        repeatable,
        immovable,
        follows,
        faithful,
        sorted,
        digests,
        unknown,
        unreadable,
        cancelled,
        credentials,
        changed,
    );
    if rules.is_empty() {
        return Ok(());
    }
    if let Ok(source) = make().source().await {
        what = source.describe();
    }
    Err(ContractBroken { what, rules })
}

fn files<const N: usize>(files: [(&str, &[u8]); N]) -> Files {
    files
        .into_iter()
        .map(|(path, content)| (path.to_owned(), Bytes::copy_from_slice(content)))
        .collect()
}

/// Files that sort, nest and hold what files may.
fn sample() -> Files {
    let mut sample = files([
        ("README.md", b"read me\n"),
        ("a/b.yaml", b"kind: Service\n"),
        ("a-b.yaml", b"sorts between a and a/b as text\n"),
        ("a/b/c/d/e.yaml", b"deep\n"),
        ("a.yaml", b""),
        ("bytes.bin", b"\x00\xff\xfe\r\n\x1a not text"),
        ("crlf.txt", b"a\r\nb\r\n"),
        ("name with spaces.txt", b"  \n"),
        ("Z.yaml", b"upper case sorts first\n"),
    ]);
    sample.insert("large.bin".into(), Bytes::from(vec![7; 70_000]));
    sample
}

async fn start<F: SourceFixture>(
    fixture: &mut F,
    files: &Files,
) -> Result<Arc<dyn Source>, String> {
    commit(fixture, files).await?;
    make(fixture).await
}

async fn commit<F: SourceFixture>(fixture: &mut F, files: &Files) -> Rule {
    let done = fixture.commit(files).await;
    done.map_err(|error| format!("the fixture can't commit: {error}"))
}

async fn make<F: SourceFixture>(fixture: &mut F) -> Result<Arc<dyn Source>, String> {
    let source = fixture.source().await;
    source.map_err(|error| format!("the fixture makes no source: {error}"))
}

async fn resolve(source: &dyn Source) -> Result<Revision, String> {
    let revision = source.resolve().await;
    revision.map_err(|error| format!("can't resolve: {error}"))
}

async fn fetch(source: &dyn Source, revision: &Revision) -> Result<Snapshot, String> {
    let snapshot = source.fetch(revision).await;
    snapshot.map_err(|error| format!("can't fetch {}: {error}", revision.id))
}

/// All files with their digest and content.
type Content = BTreeMap<String, (Digest, Bytes)>;

fn content(snapshot: &Snapshot) -> Result<Content, String> {
    let unreadable = |error: SnapshotError| format!("the snapshot can't be read: {error}");
    let mut content = Content::new();
    for (path, entry) in snapshot.files().map_err(unreadable)? {
        let bytes = snapshot.read(&path).map_err(unreadable)?;
        content.insert(path.as_str().to_owned(), (entry.digest, bytes));
    }
    Ok(content)
}

fn path(text: &str) -> Result<RelPath, String> {
    RelPath::new(text).map_err(|error| error.to_string())
}

/// What of two snapshots isn't alike.
fn same(what: &str, a: &Snapshot, b: &Snapshot) -> Rule {
    if a.digest() != b.digest() {
        return Err(format!("{what}: the digest is another one"));
    }
    let (a, b) = (content(a)?, content(b)?);
    for path in a.keys().chain(b.keys()) {
        match (a.get(path), b.get(path)) {
            (Some((_, a)), Some((_, b))) if a != b => {
                return Err(format!("{what}: {path} has other bytes"));
            }
            (Some((a, _)), Some((b, _))) if a != b => {
                return Err(format!("{what}: {path} has another digest"));
            }
            (Some(_), Some(_)) => {}
            _ => return Err(format!("{what}: {path} is in one of them only")),
        }
    }
    Ok(())
}

fn is_exactly(snapshot: &Snapshot, expected: &Files) -> Rule {
    let content = content(snapshot)?;
    for (path, bytes) in expected {
        match content.get(path) {
            None => return Err(format!("{path} was committed and isn't there")),
            Some((_, found)) if found != bytes => {
                return Err(format!(
                    "{path} has {} bytes that aren't the {} committed ones",
                    found.len(),
                    bytes.len()
                ));
            }
            Some(_) => {}
        }
    }
    match content.keys().find(|path| !expected.contains_key(*path)) {
        Some(path) => Err(format!("{path} is there and wasn't committed")),
        None => Ok(()),
    }
}

async fn repeatable<F: SourceFixture>(fixture: &mut F) -> Rule {
    let source = start(fixture, &sample()).await?;
    let revision = resolve(&*source).await?;
    let again = resolve(&*source).await?;
    if again != revision {
        return Err(format!(
            "nothing was committed, and {} became {}",
            revision.id, again.id
        ));
    }
    let first = fetch(&*source, &revision).await?;
    same("fetched twice", &first, &fetch(&*source, &revision).await?)?;
    let (a, b) = futures::join!(fetch(&*source, &revision), fetch(&*source, &revision));
    same("fetched at once", &a?, &b?)?;
    let other = make(fixture).await?;
    let elsewhere = fetch(&*other, &revision).await?;
    same("fetched by a second source", &first, &elsewhere)?;
    // A caller may have kept only the id.
    let bare = Revision::new(revision.id.as_str());
    same("fetched by its id", &first, &fetch(&*source, &bare).await?)?;
    commit(fixture, &files([("other", b"1")])).await?;
    resolve(&*source).await?;
    same("read again later", &first, &first.clone())?;
    is_exactly(&first, &sample())
}

async fn immovable<F: SourceFixture>(fixture: &mut F) -> Rule {
    let old = files([("a.yaml", b"old"), ("gone.yaml", b"old")]);
    let new = files([("a.yaml", b"new")]);
    let source = start(fixture, &old).await?;
    let revision = resolve(&*source).await?;
    commit(fixture, &new).await?;
    for what in ["before it is resolved again", "after it was resolved again"] {
        // It may be lost, but not be another one.
        if let Ok(snapshot) = source.fetch(&revision).await {
            is_exactly(&snapshot, &old).map_err(|why| {
                format!("the place moved on, and {what} the old revision has other files: {why}")
            })?;
        }
        let _ = source.resolve().await;
    }
    Ok(())
}

async fn follows<F: SourceFixture>(fixture: &mut F) -> Rule {
    let steps = [
        files([("a.yaml", b"1")]),
        files([("a.yaml", b"2"), ("b/c.yaml", b"3")]),
        files([("b/c.yaml", b"3")]),
    ];
    let source = start(fixture, &steps[0]).await?;
    let mut seen: Vec<Revision> = vec![resolve(&*source).await?];
    for step in &steps[1..] {
        commit(fixture, step).await?;
        let revision = resolve(&*source).await?;
        if seen.contains(&revision) {
            return Err(format!(
                "files were committed, and the revision is still {}",
                revision.id
            ));
        }
        is_exactly(&fetch(&*source, &revision).await?, step)?;
        seen.push(revision);
    }
    Ok(())
}

async fn faithful<F: SourceFixture>(fixture: &mut F) -> Rule {
    let source = start(fixture, &sample()).await?;
    let revision = resolve(&*source).await?;
    let snapshot = fetch(&*source, &revision).await?;
    is_exactly(&snapshot, &sample())?;
    for missing in ["nothing", "a/nothing", "README.md/below", "a/b.yaml/c"] {
        let found = snapshot.read(&path(missing)?);
        if !matches!(
            found,
            Err(SnapshotError::NotFound { .. } | SnapshotError::WrongKind { .. })
        ) {
            return Err(format!(
                "{missing} isn't there, and reading it gives {found:?}"
            ));
        }
    }
    if snapshot.read(&path("a")?).is_ok() {
        return Err("a directory can be read as a file".to_owned());
    }
    if snapshot.list(&path("README.md")?).is_ok() {
        return Err("a file can be listed as a directory".to_owned());
    }
    let below = snapshot
        .subdirectory(&path("a/b")?)
        .map_err(|error| format!("a/b can't be taken as a snapshot: {error}"))?;
    is_exactly(&below, &files([("c/d/e.yaml", b"deep\n")]))
}

async fn sorted<F: SourceFixture>(fixture: &mut F) -> Rule {
    let source = start(fixture, &sample()).await?;
    let revision = resolve(&*source).await?;
    let snapshot = fetch(&*source, &revision).await?;
    let mut open = vec![RelPath::root()];
    while let Some(directory) = open.pop() {
        let entries = snapshot
            .list(&directory)
            .map_err(|error| error.to_string())?;
        if let Some(pair) = entries.windows(2).find(|pair| match pair {
            [a, b] => a.name >= b.name,
            _ => false,
        }) {
            let names: Vec<_> = pair.iter().map(|entry| &entry.name).collect();
            return Err(format!("in {directory:?}, {names:?} come in this order"));
        }
        for entry in entries {
            if entry.kind == EntryKind::Directory {
                let below = directory.child(&entry.name);
                open.push(below.map_err(|error| error.to_string())?);
            }
        }
    }
    Ok(())
}

async fn digests<F: SourceFixture>(fixture: &mut F) -> Rule {
    let base = files([
        ("x/a", b"1"),
        ("x/b/c", b"2"),
        ("y/a", b"1"),
        ("y/b/c", b"2"),
        ("z/c", b"2"),
    ]);
    let source = start(fixture, &base).await?;
    let first = resolve(&*source).await?;
    let first = fetch(&*source, &first).await?;
    let digest = |snapshot: &Snapshot, at: &str| -> Result<Digest, String> {
        let digest = snapshot.digest_of(&path(at)?);
        digest.map_err(|error| format!("{at} has no digest: {error}"))
    };
    for (a, b) in [("x", "y"), ("x/b", "z"), ("x/b/c", "z/c")] {
        if digest(&first, a)? != digest(&first, b)? {
            return Err(format!("{a} and {b} are equal, and their digests are not"));
        }
    }
    for (a, b) in [("x", "z"), ("x/a", "x/b/c"), ("x/a", "x")] {
        if digest(&first, a)? == digest(&first, b)? {
            return Err(format!("{a} and {b} differ, and their digests don't"));
        }
    }
    for (what, other) in [
        ("the content of a file", ("y/b/c", Some("3"))),
        ("the name of a file", ("y/b/c", None)),
        ("a file more", ("y/b/new", Some(""))),
    ] {
        let mut changed = base.clone();
        match other {
            (path, Some(content)) => {
                changed.insert(path.to_owned(), Bytes::from(content));
            }
            (path, None) => {
                let content = changed.remove(path).unwrap_or_default();
                changed.insert(format!("{path}2"), content);
            }
        }
        commit(fixture, &changed).await?;
        let revision = resolve(&*source).await?;
        let then = fetch(&*source, &revision).await?;
        for at in [".", "y", "y/b"] {
            if digest(&then, at)? == digest(&first, at)? {
                return Err(format!("{what} is other, and the digest of {at} is not"));
            }
        }
        if digest(&then, "x")? != digest(&first, "x")? {
            return Err("x is as before, and its digest is not".to_owned());
        }
    }
    // The same files again, in another revision.
    commit(fixture, &base).await?;
    let revision = resolve(&*source).await?;
    let back = fetch(&*source, &revision).await?;
    same("the same files in a later revision", &first, &back)
}

async fn unknown<F: SourceFixture>(fixture: &mut F) -> Rule {
    let source = start(fixture, &files([("a", b"1")])).await?;
    let known = resolve(&*source).await?;
    let mut ids = vec![fixture.unknown().id.as_str().to_owned()];
    let nonsense = [
        "",
        " ",
        "\n",
        "\0",
        ".",
        "..",
        "/",
        "../..",
        "-",
        "--all",
        "--upload-pack=x",
        "HEAD~1",
        "HEAD^{tree}",
        "*",
        "a b",
        "é",
        "0",
    ];
    ids.extend(nonsense.map(str::to_owned));
    ids.push("f".repeat(100_000));
    ids.push(format!("{}x", known.id));
    ids.push(format!("{}\n", known.id));
    for id in ids {
        if let Ok(snapshot) = source.fetch(&Revision::new(id.clone())).await {
            let count = snapshot.files().map_or(0, |files| files.len());
            let id: String = id.chars().take(60).collect();
            return Err(format!(
                "there is no revision {id:?}, and fetching it gives {count} file(s)"
            ));
        }
    }
    // And a refusal is not for ever.
    is_exactly(&fetch(&*source, &known).await?, &files([("a", b"1")]))
}

async fn unreadable<F: SourceFixture>(fixture: &mut F) -> Rule {
    let empty = make(fixture).await?;
    if let Ok(revision) = empty.resolve().await
        && let Ok(snapshot) = empty.fetch(&revision).await
        && snapshot.files().is_ok_and(|files| files.is_empty())
    {
        return Err("nothing was ever committed, and there is an empty snapshot".to_owned());
    }
    let source = start(fixture, &files([("a", b"1")])).await?;
    let known = resolve(&*source).await?;
    let gone = fixture.take_away().await;
    if !gone.map_err(|error| format!("the fixture can't be taken away: {error}"))? {
        return Ok(());
    }
    if let Ok(revision) = source.resolve().await {
        return Err(format!(
            "the place is gone, and still it resolves to {}",
            revision.id
        ));
    }
    // What is in a cache may be read on; it is what was committed, or an error.
    if let Ok(snapshot) = source.fetch(&known).await
        && let Ok(files) = snapshot.files()
        && files.is_empty()
    {
        return Err("the place is gone, and there is an empty snapshot".to_owned());
    }
    let fresh = make(fixture).await?;
    match fresh.fetch(&known).await {
        Ok(snapshot) if snapshot.files().is_ok_and(|files| files.is_empty()) => {
            Err("the place is gone, and a new source gives an empty snapshot".to_owned())
        }
        _ => Ok(()),
    }
}

/// Polls a future so many times, then drops it. Whether it was done by then.
async fn abandon<T>(future: impl Future<Output = T>, polls: usize) -> bool {
    let mut future = pin!(future);
    for _ in 0..polls {
        let mut context = Context::from_waker(Waker::noop());
        if future.as_mut().poll(&mut context).is_ready() {
            return true;
        }
        // Other tasks and threads do their part.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    false
}

async fn cancelled<F: SourceFixture>(fixture: &mut F) -> Rule {
    let mut now = sample();
    let source = start(fixture, &now).await?;
    for polls in [0, 1, 2, 3, 5, 8, 13, 40] {
        // Something new, so that there is work to stop.
        now.insert("round".into(), Bytes::from(polls.to_string()));
        commit(fixture, &now).await?;
        abandon(source.resolve(), polls).await;
        let other = make(fixture).await?;
        let revision = resolve(&*other).await?;
        abandon(source.fetch(&revision), polls).await;
        abandon(source.changed(), polls).await;
        let after = |why: String| format!("after futures were dropped at poll {polls}: {why}");
        let resolved = resolve(&*source).await.map_err(after)?;
        if resolved != revision {
            return Err(after(format!("resolves to {}", resolved.id)));
        }
        let snapshot = fetch(&*source, &revision).await.map_err(after)?;
        is_exactly(&snapshot, &now).map_err(after)?;
    }
    drop(source);
    // Work on other threads may need a moment to see that it isn't wanted.
    for attempt in 0.. {
        let left = fixture
            .leftovers()
            .map_err(|error| format!("the fixture can't look for leftovers: {error}"))?;
        if left.is_empty() {
            break;
        }
        if attempt == 50 {
            return Err(format!("dropped futures left behind {}", left.join(", ")));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

fn everything(error: &SourceError) -> String {
    let mut text = format!("{error}\n{error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let _ = write!(text, "\n{error}\n{error:?}");
        cause = error.source();
    }
    text
}

async fn credentials<F: SourceFixture>(fixture: &mut F) -> Rule {
    let source = start(fixture, &files([("a", b"1")])).await?;
    let mut shown = vec![("the description", source.describe())];
    let revision = resolve(&*source).await?;
    let snapshot = fetch(&*source, &revision).await?;
    shown.push(("Debug of the revision", format!("{revision:?}")));
    shown.push(("Debug of the snapshot", format!("{snapshot:?}")));
    for id in [fixture.unknown().id.as_str(), "", "no\nsense"] {
        if let Err(error) = source.fetch(&Revision::new(id)).await {
            shown.push(("the error of a fetch", everything(&error)));
        }
    }
    let gone = fixture.take_away().await;
    gone.map_err(|error| format!("the fixture can't be taken away: {error}"))?;
    if let Err(error) = source.resolve().await {
        shown.push(("the error of a resolve", everything(&error)));
    }
    if let Ok(fresh) = make(fixture).await {
        if let Err(error) = fresh.fetch(&revision).await {
            shown.push(("the error of a fetch from nowhere", everything(&error)));
        }
        if let Err(error) = fresh.resolve().await {
            shown.push(("the error of a resolve from nowhere", everything(&error)));
        }
    }
    for secret in fixture.secrets() {
        for (what, text) in &shown {
            if text.contains(&secret) {
                return Err(format!("{what} shows a credential"));
            }
        }
    }
    match shown.iter().find(|(what, text)| {
        *what == "the description" && (text.trim().is_empty() || text.contains('\n'))
    }) {
        Some(_) => Err("the description isn't one line of text".to_owned()),
        None => Ok(()),
    }
}

async fn changed<F: SourceFixture>(fixture: &mut F) -> Rule {
    const ROUNDS: usize = 200;
    let source = start(fixture, &files([("a", b"1")])).await?;
    resolve(&*source).await?;
    let mut ready = 0;
    for _ in 0..ROUNDS {
        let mut future = source.changed();
        let mut context = Context::from_waker(Waker::noop());
        if future.as_mut().poll(&mut context).is_pending() {
            break;
        }
        ready += 1;
        // Tokio lets a task do only so much before others come.
        tokio::task::yield_now().await;
    }
    if ready == ROUNDS {
        return Err(format!(
            "nothing changes, and {ROUNDS} waits in a row were over at once: a busy loop"
        ));
    }
    if !fixture.tells() {
        return Ok(());
    }
    let told = |what: &'static str| {
        let source = &source;
        async move {
            tokio::time::timeout(PATIENCE / 4, source.changed())
                .await
                .map_err(|_| format!("{what}, and `changed` doesn't complete"))
        }
    };
    commit(fixture, &files([("a", b"2")])).await?;
    told("there was a commit while nobody waited").await?;
    // A wait that was dropped takes no change with it: neither one that was there,
    commit(fixture, &files([("a", b"3")])).await?;
    if !abandon(source.changed(), 1).await {
        told("there was a commit, and a wait was dropped").await?;
    }
    // nor one that comes afterwards.
    abandon(source.changed(), 2).await;
    commit(fixture, &files([("a", b"4")])).await?;
    told("there was a commit after a wait was dropped").await?;
    // And one in the middle of a wait.
    let (waited, committed) = futures::join!(told("there was a commit during the wait"), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        commit(fixture, &files([("a", b"5")])).await
    });
    committed?;
    waited
}
