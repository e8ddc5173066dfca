//! The cache on disk.

use std::path::{Path, PathBuf};

use gitops_core::Source;
use gitops_git::GitSource;
use gitops_testkit::FakeRepo;
use gitops_testkit::repo::{RepoServer, RequestKind};

use crate::http::walk;
use crate::{files, path};

fn repo() -> (FakeRepo, RepoServer) {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one")
        .file("a", "1")
        .file("b/c", "text\n".repeat(500))
        .save()
        .unwrap();
    let server = repo.serve().unwrap();
    (repo, server)
}

fn source(server: &RepoServer, folder: &Path) -> GitSource {
    GitSource::builder(server.url())
        .cache_dir(folder)
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_restart_fetches_nothing_again() {
    let (_repo, server) = repo();
    let folder = tempfile::tempdir().unwrap();
    files(&source(&server, folder.path())).await.unwrap();
    server.reset_traffic();
    let snapshot = files(&source(&server, folder.path())).await.unwrap();
    assert_eq!(snapshot.read(&path("a")).unwrap(), "1");
    assert_eq!(server.count(RequestKind::Fetch), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sources_on_one_cache_fetch_once() {
    let (repo, server) = repo();
    let folder = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let id = repo
            .commit("next")
            .file("a", format!("{round}"))
            .save()
            .unwrap();
        server.reset_traffic();
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let source = source(&server, folder.path());
                tokio::spawn(async move {
                    let revision = source.resolve().await.unwrap();
                    let snapshot = source.fetch(&revision).await.unwrap();
                    (revision.id.to_string(), snapshot.read(&path("a")).unwrap())
                })
            })
            .collect();
        for task in tasks {
            let (revision, content) = task.await.unwrap();
            assert_eq!(revision, id);
            assert_eq!(content, round.to_string());
        }
        assert_eq!(server.count(RequestKind::Fetch), 1, "round {round}");
    }
}

fn fetched_files(folder: &Path, ends: &str) -> Vec<PathBuf> {
    walk(folder)
        .into_iter()
        .filter(|name| name.ends_with(ends))
        .map(PathBuf::from)
        .collect()
}

fn scribble(file: &Path, from: usize) {
    let mut permissions = std::fs::metadata(file).unwrap().permissions();
    #[expect(clippy::permissions_set_readonly_false, reason = "a file of this test")]
    permissions.set_readonly(false);
    std::fs::set_permissions(file, permissions).unwrap();
    let mut bytes = std::fs::read(file).unwrap();
    for byte in bytes.iter_mut().skip(from) {
        *byte = !*byte;
    }
    std::fs::write(file, bytes).unwrap();
}

/// Reads everything; the first attempt may find the damage, the second must not.
async fn heals(source: &GitSource, what: &str) {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let read = match files(source).await {
            Ok(snapshot) => snapshot
                .read(&path("b/c"))
                .and_then(|c| snapshot.read(&path("a")).map(|_| c))
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match read {
            Ok(content) => {
                assert_eq!(content, "text\n".repeat(500));
                return;
            }
            Err(error) => assert!(attempts < 2, "{what}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_damaged_cache_is_begun_anew() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 12] = [
        ("pack scribbled", |f| {
            scribble(&fetched_files(f, ".pack")[0], 12)
        }),
        ("pack's end scribbled", |f| {
            let pack = &fetched_files(f, ".pack")[0];
            let length = std::fs::metadata(pack).unwrap().len();
            scribble(pack, usize::try_from(length).unwrap() - 60);
        }),
        ("index scribbled", |f| {
            scribble(&fetched_files(f, ".idx")[0], 8)
        }),
        ("index emptied", |f| {
            std::fs::write(&fetched_files(f, ".idx")[0], "").unwrap()
        }),
        ("pack emptied", |f| {
            std::fs::write(&fetched_files(f, ".pack")[0], "").unwrap()
        }),
        ("pack gone", |f| {
            std::fs::remove_file(&fetched_files(f, ".pack")[0]).unwrap()
        }),
        ("index gone", |f| {
            std::fs::remove_file(&fetched_files(f, ".idx")[0]).unwrap()
        }),
        ("objects gone", |f| {
            let pack = &fetched_files(f, ".pack")[0];
            let objects = pack.parent().unwrap().parent().unwrap();
            std::fs::remove_dir_all(objects).unwrap();
        }),
        ("shallow scribbled", |f| {
            scribble(&fetched_files(f, "/shallow")[0], 0)
        }),
        ("fetched scribbled", |f| {
            scribble(&fetched_files(f, "/fetched")[0], 0)
        }),
        ("current leads out", |f| {
            std::fs::write(&fetched_files(f, "/current")[0], "../../../etc").unwrap();
        }),
        ("HEAD and config gone", |f| {
            for file in [fetched_files(f, "/HEAD"), fetched_files(f, "/config")].concat() {
                std::fs::remove_file(file).unwrap();
            }
        }),
    ];
    for (what, damage) in damages {
        let (repo, server) = repo();
        let folder = tempfile::tempdir().unwrap();
        let running = source(&server, folder.path());
        files(&running).await.unwrap();
        damage(folder.path());
        // A process that starts now, one that has it open, and both after a new commit.
        heals(&source(&server, folder.path()), what).await;
        heals(&running, what).await;
        repo.commit("two").file("a", "2").save().unwrap();
        heals(&running, what).await;
        heals(&source(&server, folder.path()), what).await;
    }
}

#[tokio::test]
async fn a_cache_that_has_grown_is_begun_anew_and_old_snapshots_stay() {
    let (repo, server) = repo();
    let folder = tempfile::tempdir().unwrap();
    let source = GitSource::builder(server.url())
        .cache_dir(folder.path())
        .cache_bytes(1)
        .build()
        .unwrap();
    let first = files(&source).await.unwrap();
    repo.commit("two").file("a", "2").save().unwrap();
    let second = files(&source).await.unwrap();
    assert_eq!(second.read(&path("a")).unwrap(), "2");
    assert_eq!(
        first.read(&path("a")).unwrap(),
        "1",
        "not collected while in use"
    );
    assert_eq!(fetched_files(folder.path(), "/in-use").len(), 2);
    drop(first);
    drop(second);
    repo.commit("three").file("a", "3").save().unwrap();
    files(&source).await.unwrap();
    let generations = fetched_files(folder.path(), "/in-use");
    assert!(generations.len() <= 2, "{generations:?}");
}

#[tokio::test]
async fn what_a_killed_process_left_is_cleared_away() {
    let (repo, server) = repo();
    let folder = tempfile::tempdir().unwrap();
    files(&source(&server, folder.path())).await.unwrap();
    let packs = fetched_files(folder.path(), ".pack")[0]
        .parent()
        .unwrap()
        .to_owned();
    let generation = packs.parent().unwrap().parent().unwrap().to_owned();
    std::fs::write(packs.join(".tmp12345"), "half a pack").unwrap();
    std::fs::write(generation.join("shallow.lock"), "").unwrap();
    std::fs::create_dir_all(generation.parent().unwrap().join("g7/objects")).unwrap();
    repo.commit("two").file("a", "2").save().unwrap();
    files(&source(&server, folder.path())).await.unwrap();
    assert!(!packs.join(".tmp12345").exists());
    assert!(!generation.join("shallow.lock").exists());
}

#[tokio::test]
async fn git_can_read_the_cache() {
    let (repo, server) = repo();
    let folder = tempfile::tempdir().unwrap();
    let source = source(&server, folder.path());
    files(&source).await.unwrap();
    let id = repo.commit("two").file("a", "2").save().unwrap();
    files(&source).await.unwrap();
    let pack = &fetched_files(folder.path(), ".pack")[0];
    let generation = pack.parent().unwrap().parent().unwrap().parent().unwrap();
    let checked = std::process::Command::new("git")
        .args(["-c", "safe.directory=*", "log", "--format=%s", &id])
        .current_dir(generation)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&checked.stdout),
        "two\n",
        "{checked:?}"
    );
}

#[tokio::test]
async fn a_cache_folder_that_can_not_be_used_is_named() {
    let (_repo, server) = repo();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = GitSource::builder(server.url())
        .cache_dir(&file)
        .build()
        .unwrap_err();
    let error = gitops_core::SourceError::from(error);
    assert!(error.to_string().contains("file"), "{error}");
}
