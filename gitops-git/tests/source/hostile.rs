//! Servers that lie and repositories made to hurt.

use std::time::Duration;

use gitops_core::{Source, SourceErrorKind as Kind};
use gitops_git::{GitError, GitSource};
use gitops_testkit::FakeRepo;
use gitops_testkit::repo::{RepoFault, RequestKind};

use crate::{assert_kind, cause, files, path, refusal};

const GHOST: &str = "1234567890123456789012345678901234567890";

#[tokio::test]
async fn a_ref_to_a_commit_that_does_not_exist_is_a_lie() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one").file("a", "1").save().unwrap();
    let server = repo.serve().unwrap();
    let source = GitSource::builder(server.url())
        .branch("main")
        .build()
        .unwrap();
    let honest = source.resolve().await.unwrap();
    server.inject(RepoFault::ClaimRef {
        name: "refs/heads/main".to_owned(),
        id: GHOST.to_owned(),
    });
    let error = refusal(&source).await;
    assert_kind(&error, Kind::NotFound, &[GHOST, "repo.git"]);
    // The last good revision can still be read, and the truth is believed again.
    source.fetch(&honest).await.unwrap();
    server.clear_faults();
    assert_eq!(source.resolve().await.unwrap(), honest);
}

#[tokio::test]
async fn ids_that_are_none_are_refused() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one").file("a", "1").save().unwrap();
    let server = repo.serve().unwrap();
    for id in [
        "0".repeat(40),
        "x".repeat(40),
        "12".to_owned(),
        "a".repeat(64),
        String::new(),
    ] {
        server.clear_faults();
        server.inject(RepoFault::ClaimRef {
            name: "refs/heads/main".to_owned(),
            id: id.clone(),
        });
        let error = refusal(
            &GitSource::builder(server.url())
                .branch("main")
                .build()
                .unwrap(),
        )
        .await;
        assert!(
            matches!(error.kind(), Kind::Corrupt | Kind::NotFound),
            "{id}: {error}"
        );
    }
}

#[tokio::test]
async fn a_server_that_never_ends_is_stopped_by_the_limits() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one").file("a", "1").save().unwrap();
    let server = repo.serve().unwrap();
    server.inject_on(RequestKind::LsRefs, RepoFault::Endless);
    let source = GitSource::builder(server.url())
        .max_ref_bytes(1 << 20)
        .build()
        .unwrap();
    let error = refusal(&source).await;
    assert_kind(
        &error,
        Kind::Limit,
        &["1048576 bytes of refs", "raise the limit"],
    );

    server.clear_faults();
    server.inject_on(RequestKind::Fetch, RepoFault::Endless);
    let source = GitSource::builder(server.url())
        .max_pack_bytes(1 << 20)
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    assert_kind(
        &refusal(&source).await,
        Kind::Limit,
        &["1048576 bytes of pack"],
    );
}

#[tokio::test]
async fn a_pack_or_an_object_above_its_limit_is_refused() {
    let repo = FakeRepo::new().unwrap();
    // Compresses a thousandfold: the pack is small, the object is not.
    repo.commit("bomb")
        .file("bomb", vec![b' '; 8 << 20])
        .file("a", "1")
        .save()
        .unwrap();
    let server = repo.serve().unwrap();
    let source = GitSource::builder(server.url())
        .max_pack_bytes(1000)
        .build()
        .unwrap();
    assert_kind(
        &refusal(&source).await,
        Kind::Limit,
        &["1000 bytes of pack"],
    );

    for url in [server.url(), repo.url()] {
        let source = GitSource::builder(url)
            .max_object_bytes(1 << 20)
            .build()
            .unwrap();
        match files(&source).await {
            // A blob that is no delta needs no memory until it is read.
            Ok(snapshot) => {
                assert_eq!(snapshot.read(&path("a")).unwrap(), "1");
                let error = snapshot.read(&path("bomb")).unwrap_err();
                assert!(!error.to_string().is_empty());
            }
            Err(error) => assert_kind(&error, Kind::Limit, &["1048576 bytes in one object"]),
        }
    }
    let mut limits = gitops_core::SnapshotLimits::default();
    limits.file_bytes = 1 << 20;
    let source = GitSource::builder(server.url())
        .snapshot_limits(limits)
        .build()
        .unwrap();
    let error = files(&source)
        .await
        .unwrap()
        .read(&path("bomb"))
        .unwrap_err();
    assert!(
        error.to_string().contains("bomb: more than 1048576 bytes"),
        "{error}"
    );
}

/// A tree object of raw entries, each leading to an empty file.
fn raw_tree(repo: &FakeRepo, entries: &[(&str, &[u8])]) -> String {
    let blob = repo.write_object("blob", b"x").unwrap();
    let raw: Vec<u8> = (0..20)
        .map(|n| u8::from_str_radix(&blob[2 * n..2 * n + 2], 16).unwrap())
        .collect();
    let mut data = Vec::new();
    for (mode, name) in entries {
        data.extend_from_slice(mode.as_bytes());
        data.push(b' ');
        data.extend_from_slice(name);
        data.push(0);
        data.extend_from_slice(&raw);
    }
    repo.write_object("tree", &data).unwrap()
}

#[tokio::test]
async fn hostile_trees_are_refused_over_every_transport() {
    let trees: &[&[(&str, &[u8])]] = &[
        &[("100644", b"..")],
        &[("100644", b"../../etc/passwd")],
        &[("100644", b"/etc/passwd")],
        &[("100644", b".git")],
        &[("100644", b".GiT")],
        &[("100644", b"git~1")],
        &[("100644", b"a"), ("100644", b"a")],
        &[("100644", b"b"), ("100644", b"a")],
        &[("100644", b"a"), ("40000", b"a")],
        &[("100600", b"a")],
        &[("777", b"a")],
        &[("100644", b"\xff")],
    ];
    for entries in trees {
        let repo = FakeRepo::new().unwrap();
        let tree = raw_tree(&repo, entries);
        let commit = repo.commit_tree(&tree, &[], "hostile\n").unwrap();
        repo.force_push("main", &commit).unwrap();
        let server = repo.serve().unwrap();
        for url in [repo.url(), server.url()] {
            let source = GitSource::builder(url).build().unwrap();
            let outcome = match files(&source).await {
                Ok(snapshot) => snapshot.files().map(drop).map_err(|error| {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    format!("{error}: {}", cause.unwrap_or_default())
                }),
                Err(error) => Err(error.to_string()),
            };
            let error = outcome
                .err()
                .unwrap_or_else(|| panic!("{entries:?} is taken"));
            assert!(
                !error.contains('\n') && !error.contains('\u{1b}'),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn an_entry_of_the_wrong_kind_is_refused() {
    let repo = FakeRepo::new().unwrap();
    // Said to be a directory, and is a file.
    let tree = raw_tree(&repo, &[("40000", b"dir")]);
    let commit = repo.commit_tree(&tree, &[], "odd\n").unwrap();
    repo.force_push("main", &commit).unwrap();
    let source = GitSource::builder(repo.url()).build().unwrap();
    let snapshot = files(&source).await.unwrap();
    assert!(snapshot.files().is_err());
    assert!(
        files(&GitSource::builder(repo.url()).path("dir").build().unwrap())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn malformed_commits_are_refused_or_read_in_part() {
    let repo = FakeRepo::new().unwrap();
    let tree = raw_tree(&repo, &[("100644", b"a")]);
    let commit = |text: String| {
        let id = repo.write_object("commit", text.as_bytes()).unwrap();
        repo.set_ref("refs/heads/main", &id).is_ok()
    };
    let source = || {
        GitSource::builder(repo.url())
            .branch("main")
            .build()
            .unwrap()
    };

    // A terminal's escapes in name and message do not reach a terminal.
    assert!(commit(format!(
        "tree {tree}\nauthor \u{1b}[31mEve\u{202e} <e@e> 1 +0000\ncommitter C <c@c> 99999999999999999 +0000\n\n\u{1b}]0;x\u{7}hi\n"
    )));
    let revision = source().resolve().await.unwrap();
    assert_eq!(revision.subject(), "]0;xhi");
    assert!(!revision.author.unwrap().name.contains('\u{1b}'));
    assert_eq!(revision.time, None, "no such time");

    // A message without end is cut.
    assert!(commit(format!(
        "tree {tree}\nauthor A <a@a> 1 +0000\ncommitter C <c@c> 1 +0000\n\n{}",
        "é".repeat(100_000)
    )));
    assert!(source().resolve().await.unwrap().message.len() <= 16 << 10);

    for bad in [
        "nonsense".to_owned(),
        format!("tree {GHOST}\nauthor A <a@a> 1 +0000\ncommitter C <c@c> 1 +0000\n\n"),
        format!("tree {tree}\n"),
    ] {
        if commit(bad.clone()) {
            let error = refusal(&source()).await;
            assert_eq!(error.kind(), Kind::Corrupt, "{bad}: {error}");
        }
    }
}

#[tokio::test]
async fn a_repository_that_lacks_an_object_is_an_error() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one")
        .file("a", "1")
        .file("b", "2")
        .save()
        .unwrap();
    let blob = std::process::Command::new("git")
        .args(["rev-parse", "main:a"])
        .current_dir(repo.path())
        .output()
        .unwrap();
    let blob = String::from_utf8_lossy(&blob.stdout).trim().to_owned();
    std::fs::remove_file(
        repo.path()
            .join("objects")
            .join(&blob[..2])
            .join(&blob[2..]),
    )
    .unwrap();

    let snapshot = files(&GitSource::builder(repo.url()).build().unwrap())
        .await
        .unwrap();
    assert!(snapshot.read(&path("a")).is_err());
    assert_eq!(snapshot.read(&path("b")).unwrap(), "2");

    let server = repo.serve().unwrap();
    let error = refusal(&GitSource::builder(server.url()).build().unwrap()).await;
    assert!(error.is_retryable(), "{error}");
}

#[tokio::test]
async fn an_object_with_the_content_of_another_is_refused() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one").file("a", "replicas: 1").save().unwrap();
    let object = |content: &str| {
        let id = repo.write_object("blob", content.as_bytes()).unwrap();
        repo.path().join("objects").join(&id[..2]).join(&id[2..])
    };
    let (good, evil) = (object("replicas: 1"), object("replicas: 0"));
    std::fs::remove_file(&good).unwrap();
    std::fs::copy(evil, good).unwrap();
    let snapshot = files(&GitSource::builder(repo.url()).build().unwrap())
        .await
        .unwrap();
    let error = snapshot.read(&path("a")).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("has another id"), "{cause}");
}

#[tokio::test]
async fn names_a_server_makes_up_lead_nowhere() {
    // A prefix asks for more than one ref; only the exact name counts.
    let repo = FakeRepo::new().unwrap();
    repo.commit("one").file("a", "1").save().unwrap();
    repo.branch("mainly", "main").unwrap();
    repo.set_default_branch("mainly").unwrap();
    repo.delete_branch("main").unwrap();
    let server = repo.serve().unwrap();
    let error = refusal(
        &GitSource::builder(server.url())
            .branch("main")
            .build()
            .unwrap(),
    )
    .await;
    assert!(
        matches!(cause(&error), GitError::ReferenceNotFound { .. }),
        "{error}"
    );
}
