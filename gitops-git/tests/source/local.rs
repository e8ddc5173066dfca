//! Repositories on this machine.

use gitops_core::{EntryKind, Revision, Source, SourceErrorKind as Kind};
use gitops_git::{GitError, GitSource};
use gitops_testkit::FakeRepo;

use crate::{assert_kind, cause, files, path, refusal};

#[tokio::test]
async fn a_revision_says_who_when_and_why() {
    let repo = FakeRepo::new().unwrap();
    let id = repo
        .commit("scale the shop\n\nBlack Friday is near.\n")
        .author("Ann Ö", "ann@example.com")
        .at(1_700_000_000)
        .file("a.yaml", "a: 1\n")
        .save()
        .unwrap();
    let source = GitSource::builder(repo.url()).build().unwrap();
    let revision = source.resolve().await.unwrap();
    assert_eq!(revision.id.as_str(), id);
    assert_eq!(revision.reference.as_deref(), Some("refs/heads/main"));
    let author = revision.author.unwrap();
    assert_eq!(author.to_string(), "Ann Ö <ann@example.com>");
    assert_eq!(revision.time.unwrap().as_second(), 1_700_000_000);
    assert_eq!(revision.message, "scale the shop\n\nBlack Friday is near.");
}

#[tokio::test]
async fn every_way_to_write_a_local_path_works() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one").file("a", "1").save().unwrap();
    let plain = repo.path().to_str().unwrap().to_owned();
    for url in [repo.url(), plain] {
        let snapshot = files(&GitSource::builder(url).build().unwrap())
            .await
            .unwrap();
        assert_eq!(snapshot.read(&path("a")).unwrap(), "1");
    }
    // A working tree stands for its repository; what is not committed is not seen.
    let work = tempfile::tempdir().unwrap();
    let cloned = std::process::Command::new("git")
        .args(["clone", "-q", &repo.url(), "."])
        .current_dir(work.path())
        .status()
        .unwrap();
    assert!(cloned.success());
    std::fs::write(work.path().join("a"), "2").unwrap();
    let source = GitSource::builder(work.path().to_str().unwrap())
        .build()
        .unwrap();
    assert_eq!(files(&source).await.unwrap().read(&path("a")).unwrap(), "1");
}

#[tokio::test]
async fn every_kind_of_entry_is_what_it_is() {
    let repo = FakeRepo::new().unwrap();
    let other = "1234567890123456789012345678901234567890";
    repo.commit("all kinds")
        .file("dir/file", "f")
        .executable("run.sh", "#!/bin/sh\n")
        .symlink("way", "dir/file")
        .symlink("out", "../../etc/passwd")
        .submodule("lib", other)
        .save()
        .unwrap();
    let snapshot = files(&GitSource::builder(repo.url()).build().unwrap())
        .await
        .unwrap();
    let kinds: Vec<_> = snapshot
        .list(&path("."))
        .unwrap()
        .into_iter()
        .map(|entry| (entry.name, entry.kind))
        .collect();
    assert_eq!(
        kinds,
        [
            ("dir".to_owned(), EntryKind::Directory),
            ("lib".to_owned(), EntryKind::Repository),
            ("out".to_owned(), EntryKind::Symlink),
            ("run.sh".to_owned(), EntryKind::File { executable: true }),
            ("way".to_owned(), EntryKind::Symlink),
        ]
    );
    assert_eq!(snapshot.read(&path("way")).unwrap(), "f");
    assert!(snapshot.read(&path("out")).is_err(), "leaves the snapshot");
    assert!(snapshot.read(&path("lib/x")).is_err());
}

#[tokio::test]
async fn equal_trees_have_equal_digests_and_others_not() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one")
        .file("a/x", "1")
        .file("b/x", "1")
        .save()
        .unwrap();
    let first = files(&GitSource::builder(repo.url()).build().unwrap())
        .await
        .unwrap();
    repo.commit("two").file("b/x", "2").save().unwrap();
    let second = files(&GitSource::builder(repo.url()).build().unwrap())
        .await
        .unwrap();
    assert_ne!(first.digest(), second.digest());
    let digest = |s: &gitops_core::Snapshot, p| s.digest_of(&path(p)).unwrap();
    assert_eq!(digest(&first, "a"), digest(&second, "a"));
    assert_eq!(digest(&first, "a"), digest(&first, "b"));
    assert_ne!(digest(&first, "b/x"), digest(&second, "b/x"));
    // The directory as the root of a source has the digest it has within.
    let below = files(&GitSource::builder(repo.url()).path("a").build().unwrap())
        .await
        .unwrap();
    assert_eq!(below.digest(), digest(&second, "a"));
    assert_eq!(below.full_path(&path("x")).as_str(), "a/x");
}

#[tokio::test]
async fn branches_tags_and_commits_are_never_confused() {
    let repo = FakeRepo::new().unwrap();
    let first = repo.commit("one").file("a", "1").save().unwrap();
    let second = repo.commit("two").file("a", "2").save().unwrap();
    let third = repo.commit("three").file("a", "3").save().unwrap();
    // A branch and a tag of one name; a branch that is called like another commit.
    repo.branch("v1", &first).unwrap();
    repo.annotated_tag("v1", &second, "release").unwrap();
    repo.set_ref(&format!("refs/heads/{first}"), &third)
        .unwrap();
    repo.set_ref("refs/heads/refs/heads/odd", &first).unwrap();
    let server = repo.serve().unwrap();
    for url in [repo.url(), server.url()] {
        let builder = || GitSource::builder(&url);
        for (source, expected, name) in [
            (builder().branch("v1"), &first, Some("refs/heads/v1")),
            (builder().tag("v1"), &second, Some("refs/tags/v1")),
            (builder().branch(&*first), &third, None),
            (builder().commit(&*first), &first, None),
            (
                builder().reference("refs/tags/v1"),
                &second,
                Some("refs/tags/v1"),
            ),
            (builder(), &third, Some("refs/heads/main")),
        ] {
            let source = source.build().unwrap();
            let revision = source.resolve().await.unwrap();
            assert_eq!(revision.id.as_str(), expected, "{}", source.describe());
            if let Some(name) = name {
                assert_eq!(revision.reference.as_deref(), Some(name));
            }
        }
        for missing in [
            builder().tag("main"),
            builder().branch("odd"),
            builder().tag(&*first),
        ] {
            let error = refusal(&missing.build().unwrap()).await;
            assert!(
                matches!(cause(&error), GitError::ReferenceNotFound { .. }),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one").file("a/b", "1").save().unwrap();
    let blob = repo.write_object("blob", b"just bytes").unwrap();
    repo.set_ref("refs/tags/bytes", &blob).unwrap();
    let server = repo.serve().unwrap();
    let ghost = "1234567890123456789012345678901234567890";
    for url in [repo.url(), server.url()] {
        let host = if url.starts_with("http") {
            "127.0.0.1"
        } else {
            "/"
        };
        let builder = || GitSource::builder(&url);
        let error = refusal(&builder().branch("nope").build().unwrap()).await;
        assert_kind(
            &error,
            Kind::NotFound,
            &["no branch nope", "repo.git", host],
        );
        let error = refusal(&builder().path("a/x").build().unwrap()).await;
        assert_kind(
            &error,
            Kind::NotFound,
            &["no directory a/x in commit", "repo.git"],
        );
        let error = refusal(&builder().path("a/b").build().unwrap()).await;
        assert_kind(&error, Kind::NotFound, &["a/b is not a directory"]);
        let error = refusal(&builder().commit(ghost).build().unwrap()).await;
        assert_kind(&error, Kind::NotFound, &[ghost]);
        let error = refusal(&builder().tag("bytes").build().unwrap()).await;
        assert_kind(&error, Kind::Corrupt, &["is a blob, not a commit"]);
        let source = builder().build().unwrap();
        let error = source.fetch(&Revision::new("v1")).await.err().unwrap();
        assert_kind(&error, Kind::NotFound, &["v1", "not a whole commit id"]);
    }
    let nowhere = GitSource::builder("/nowhere/at/all").build().unwrap();
    let error = refusal(&nowhere).await;
    assert_kind(&error, Kind::NotFound, &["/nowhere/at/all", "no such file"]);
    let folder = tempfile::tempdir().unwrap();
    let plain = GitSource::builder(folder.path().to_str().unwrap())
        .build()
        .unwrap();
    assert_kind(
        &refusal(&plain).await,
        Kind::NotFound,
        &["not a Git repository"],
    );
}

#[tokio::test]
async fn an_empty_repository_is_an_error_and_not_an_empty_snapshot() {
    let repo = FakeRepo::new().unwrap();
    let server = repo.serve().unwrap();
    for url in [repo.url(), server.url()] {
        for source in [
            GitSource::builder(&url),
            GitSource::builder(&url).branch("main"),
        ] {
            let error = refusal(&source.build().unwrap()).await;
            assert_kind(&error, Kind::NotFound, &["repo.git"]);
        }
    }
}

#[tokio::test]
async fn repositories_with_sha256_ids_are_read() {
    let repo = FakeRepo::sha256().unwrap();
    let id = repo.commit("one").file("a/b", "1").save().unwrap();
    let server = repo.serve().unwrap();
    for url in [repo.url(), server.url()] {
        let source = GitSource::builder(url).build().unwrap();
        assert_eq!(source.resolve().await.unwrap().id.as_str(), id);
        assert_eq!(
            files(&source).await.unwrap().read(&path("a/b")).unwrap(),
            "1"
        );
    }
}

#[test]
fn settings_that_can_not_be_right_are_refused_when_building() {
    use std::time::Duration;
    let url = "https://example.com/shop.git";
    let bad = [
        GitSource::builder("-u"),
        GitSource::builder("https://ann:hunter2@example.com/a\nb"),
        GitSource::builder(url).branch("a..b"),
        GitSource::builder(url).commit("12345"),
        GitSource::builder(url).reference("main"),
        GitSource::builder(url).path("../x"),
        GitSource::builder(url).path("/x"),
        GitSource::builder(url).interval(Duration::ZERO),
        GitSource::builder(url).jitter(1.0),
        GitSource::builder(url).jitter(f64::NAN),
        GitSource::builder(url).timeout(Duration::ZERO),
        GitSource::builder("http://ann:hunter2@example.com/a"),
        GitSource::builder("git@example.com:a")
            .credentials(gitops_git::Credentials::token("hunter2")),
    ];
    for builder in bad {
        let shown = format!("{builder:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        let error = builder.build().err().unwrap_or_else(|| panic!("{shown}"));
        assert!(!error.is_retryable(), "{error}");
        crate::check_words(&error.into());
    }
}
