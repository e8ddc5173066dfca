//! Trust that looks back: every commit, forward only, people for a path.

use std::sync::Arc;

use gitops_core::{Source, SourceErrorKind as Kind};
use gitops_git::{
    Accepted, AcceptedStore, FileAccepted, GitError, MemoryAccepted, PathRule, SignatureError,
    TrustMode,
};
use gitops_testkit::FakeRepo;
use gitops_testkit::repo::RequestKind;

use super::{ann, bob, builder, disbelief, flaw, names, source, trust};
use crate::{assert_kind, cause};

#[tokio::test]
async fn every_commit_since_the_last_accepted_one_is_looked_at() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one")
        .file("a", "1")
        .sign(&ann())
        .save()
        .unwrap();
    repo.commit("two")
        .file("a", "2")
        .sign(&bob())
        .save()
        .unwrap();
    let server = repo.serve().unwrap();
    for url in [repo.url(), server.url()] {
        let before = repo.head().unwrap();
        let source = source(&url, trust(TrustMode::EveryCommit, &[&ann(), &bob()]));
        let revision = source.resolve().await.unwrap();
        assert_eq!(names(&revision), ["ann@example.com", "bob@example.com"]);
        // An unsigned commit below a signed one.
        let hidden = repo.commit("hidden").file("b", "1").save().unwrap();
        repo.commit("on top")
            .file("a", "3")
            .sign(&ann())
            .save()
            .unwrap();
        let error = disbelief(&source).await;
        assert_kind(&error, Kind::Untrusted, &[&hidden, "not signed"]);
        repo.force_push("main", &before).unwrap();
        repo.commit("signed")
            .file("a", "3")
            .sign(&ann())
            .save()
            .unwrap();
        let revision = source.resolve().await.unwrap();
        assert_eq!(names(&revision), ["ann@example.com"], "only what is new");
        repo.force_push("main", &before).unwrap();
    }
}

#[tokio::test]
async fn a_merged_branch_is_looked_at_too_and_old_commits_are_not() {
    let repo = FakeRepo::new().unwrap();
    // From the time before anybody signed.
    let old = repo.commit("old").file("a", "0").save().unwrap();
    repo.branch("stale", &old).unwrap();
    let start = repo
        .commit("start")
        .file("a", "1")
        .sign(&ann())
        .save()
        .unwrap();
    let server = repo.serve().unwrap();
    for url in [repo.url(), server.url()] {
        repo.force_push("main", &start).unwrap();
        let with = || trust(TrustMode::EveryCommit, &[&ann()]);
        assert_eq!(flaw(&source(&url, with())).await, SignatureError::Missing);
        let source = source(&url, with().starting_from(&start));
        source.resolve().await.unwrap();
        // A merge of what was there before anyway.
        repo.commit("two")
            .file("a", "2")
            .sign(&ann())
            .save()
            .unwrap();
        let merge = merge_signed(&repo, "main", &old);
        assert_eq!(source.resolve().await.unwrap().id.as_str(), merge);
        // And of what is new and not signed.
        repo.force_push("side", &start).unwrap();
        let side = repo
            .commit("side")
            .on("side")
            .file("b", "1")
            .save()
            .unwrap();
        merge_signed(&repo, "main", &side);
        let error = disbelief(&source).await;
        assert_kind(&error, Kind::Untrusted, &[&side]);
    }
}

/// A merge signed by Ann, of the tree that is there.
fn merge_signed(repo: &FakeRepo, branch: &str, other: &str) -> String {
    let tip = repo.tip(branch).unwrap();
    let tree = String::from_utf8(repo.read_object("commit", &tip).unwrap()).unwrap();
    let tree = tree.lines().next().unwrap().replace("tree ", "");
    let plain = repo.commit_tree(&tree, &[&tip, other], "merge\n").unwrap();
    let raw = repo.read_object("commit", &plain).unwrap();
    let id = repo
        .write_object("commit", &super::attacks::with_signature(&raw, &ann()))
        .unwrap();
    repo.force_push(branch, &id).unwrap();
    id
}

#[tokio::test]
async fn history_is_fetched_without_files_and_only_when_asked_for() {
    let repo = FakeRepo::new().unwrap();
    for number in 0..30 {
        let noise = format!("{number}-{}", "x".repeat(number)).repeat(500);
        repo.commit("x")
            .file("a", noise)
            .sign(&ann())
            .save()
            .unwrap();
    }
    let server = repo.serve().unwrap();
    let head = source(&server.url(), trust(TrustMode::Head, &[&ann()]));
    head.resolve().await.unwrap();
    assert_eq!(server.count(RequestKind::Fetch), 1, "no history");
    server.reset_traffic();
    let every = source(&server.url(), trust(TrustMode::EveryCommit, &[&ann()]));
    every.resolve().await.unwrap();
    assert_eq!(server.count(RequestKind::Fetch), 2);
    server.reset_traffic();
    repo.commit("one more")
        .file("a", "1")
        .sign(&ann())
        .save()
        .unwrap();
    every.resolve().await.unwrap();
    // The commit with its files, and the commit for the history.
    assert_eq!(server.count(RequestKind::Fetch), 2);
    assert!(server.traffic().sent < 4096, "{:?}", server.traffic());
    server.reset_traffic();
    every.resolve().await.unwrap();
    assert_eq!(server.count(RequestKind::Fetch), 0);
}

#[tokio::test]
async fn a_rewritten_branch_is_refused_until_it_is_allowed() {
    let repo = FakeRepo::new().unwrap();
    let first = repo
        .commit("one")
        .file("a", "1")
        .sign(&ann())
        .save()
        .unwrap();
    let second = repo
        .commit("two")
        .file("a", "2")
        .sign(&ann())
        .save()
        .unwrap();
    let server = repo.serve().unwrap();
    for url in [repo.url(), server.url()] {
        repo.force_push("main", &second).unwrap();
        let policy = trust(TrustMode::Head, &[&ann()]).fast_forward_only(true);
        let source = source(&url, policy);
        source.resolve().await.unwrap();
        // Forward is fine, over several commits.
        repo.commit("three")
            .file("a", "3")
            .sign(&ann())
            .save()
            .unwrap();
        let fourth = repo
            .commit("four")
            .file("a", "4")
            .sign(&ann())
            .save()
            .unwrap();
        source.resolve().await.unwrap();
        // Back, and aside.
        repo.force_push("main", &first).unwrap();
        let back = disbelief(&source).await;
        assert_kind(&back, Kind::Untrusted, &["rewritten", &first, &fourth]);
        let aside = repo
            .commit("aside")
            .file("a", "5")
            .sign(&ann())
            .save()
            .unwrap();
        let error = disbelief(&source).await;
        assert!(
            matches!(cause(&error), GitError::Rewritten { from, to, .. } if *from == fourth && *to == aside),
            "{error}"
        );
        // A permission is for one commit, and does not stand in for a signature.
        source.allow_rewrite(&first).unwrap();
        disbelief(&source).await;
        source.allow_rewrite(&aside).unwrap();
        assert_eq!(source.resolve().await.unwrap().id.as_str(), aside);
        repo.force_push("main", &fourth).unwrap();
        disbelief(&source).await;
        repo.force_push("main", &aside).unwrap();
        source.resolve().await.unwrap();
        let bad = repo.commit("bad").file("a", "6").save().unwrap();
        repo.force_push("main", &first).unwrap();
        repo.force_push("main", &bad).unwrap();
        source.allow_rewrite(&bad).unwrap();
        assert_eq!(flaw(&source).await, SignatureError::Missing);
    }
}

#[tokio::test]
async fn what_was_accepted_outlives_the_process() {
    let repo = FakeRepo::new().unwrap();
    let first = repo
        .commit("one")
        .file("a", "1")
        .sign(&ann())
        .save()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("accepted");
    let make = || {
        let policy = trust(TrustMode::Head, &[&ann()]).fast_forward_only(true);
        builder(&repo.url(), policy)
            .accepted_store(FileAccepted::new(&file))
            .build()
            .unwrap()
    };
    let second = repo
        .commit("two")
        .file("a", "2")
        .sign(&ann())
        .save()
        .unwrap();
    make().resolve().await.unwrap();
    let kept = FileAccepted::new(&file).load().unwrap().unwrap();
    assert_eq!(
        (kept.reference.as_str(), &kept.commit),
        ("refs/heads/main", &second)
    );
    repo.force_push("main", &first).unwrap();
    disbelief(&make()).await;
    // A store that can't answer is no permission.
    std::fs::write(&file, "scribble").unwrap();
    let error = make().resolve().await.unwrap_err();
    assert_kind(&error, Kind::Unreachable, &["accepted last", "read"]);
}

#[tokio::test]
async fn a_tag_that_moves_is_a_rewrite_and_another_tag_is_not() {
    let repo = FakeRepo::new().unwrap();
    let first = repo.commit("one").file("a", "1").save().unwrap();
    let second = repo.commit("two").file("a", "2").save().unwrap();
    repo.signed_tag("stable", &first, "x", &ann()).unwrap();
    let policy = || trust(TrustMode::Tag, &[&ann()]).fast_forward_only(true);
    let store = Arc::new(MemoryAccepted::default());
    struct Shared(Arc<MemoryAccepted>);
    impl AcceptedStore for Shared {
        fn load(&self) -> std::io::Result<Option<Accepted>> {
            self.0.load()
        }
        fn save(&self, accepted: &Accepted) -> std::io::Result<()> {
            self.0.save(accepted)
        }
    }
    let with = |tag: &str| {
        builder(&repo.url(), policy())
            .tag(tag)
            .accepted_store(Shared(Arc::clone(&store)))
            .build()
            .unwrap()
    };
    with("stable").resolve().await.unwrap();
    // Even forward: a release that changes is another release.
    repo.signed_tag("stable", &second, "x", &ann()).unwrap();
    let error = disbelief(&with("stable")).await;
    assert_kind(&error, Kind::Untrusted, &["refs/tags/stable", "rewritten"]);
    repo.signed_tag("v2", &second, "x", &ann()).unwrap();
    with("v2").resolve().await.unwrap();
}

#[tokio::test]
async fn two_people_have_to_sign_the_same_content() {
    let repo = FakeRepo::new().unwrap();
    let server = repo.serve().unwrap();
    let four_eyes =
        || trust(TrustMode::Head, &[&ann(), &bob()]).rule(PathRule::everywhere().at_least(2));
    repo.commit("by ann")
        .file("a", "1")
        .sign(&ann())
        .save()
        .unwrap();
    for url in [repo.url(), server.url()] {
        let start = repo.head().unwrap();
        let source = source(&url, four_eyes());
        let error = disbelief(&source).await;
        assert_kind(&error, Kind::Untrusted, &["1 of 2 people"]);
        // Another commit of Ann's adds nobody, and one of Bob's is of other content.
        repo.commit("again").sign(&ann()).save().unwrap();
        disbelief(&source).await;
        repo.commit("by bob")
            .file("a", "2")
            .sign(&bob())
            .save()
            .unwrap();
        disbelief(&source).await;
        repo.commit("approved").sign(&ann()).save().unwrap();
        let revision = source.resolve().await.unwrap();
        assert_eq!(names(&revision), ["ann@example.com", "bob@example.com"]);
        repo.force_push("main", &start).unwrap();
    }
    // A signed tag is a second signature as well.
    repo.signed_tag("v1", "main", "x", &bob()).unwrap();
    let policy =
        trust(TrustMode::TagAndHead, &[&ann(), &bob()]).rule(PathRule::everywhere().at_least(2));
    let tagged = builder(&repo.url(), policy).tag("v1").build().unwrap();
    assert_eq!(tagged.resolve().await.unwrap().signers.len(), 2);
}

#[tokio::test]
async fn two_keys_of_one_person_are_one_person() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("ssh")
        .file("a", "1")
        .sign(&ann())
        .save()
        .unwrap();
    repo.commit("openpgp")
        .sign(&super::ann_pgp())
        .save()
        .unwrap();
    let policy = trust(TrustMode::Head, &[&ann(), &super::ann_pgp()])
        .rule(PathRule::everywhere().at_least(2));
    let error = disbelief(&source(&repo.url(), policy)).await;
    assert_kind(&error, Kind::Untrusted, &["1 of 2 people"]);
}

#[tokio::test]
async fn a_directory_asks_for_its_own_people() {
    let repo = FakeRepo::new().unwrap();
    let server = repo.serve().unwrap();
    let start = repo
        .commit("prod by ann")
        .file("clusters/prod/web.yaml", "1")
        .file("dev/web.yaml", "1")
        .sign(&ann())
        .save()
        .unwrap();
    let policy = || {
        trust(TrustMode::Head, &[&ann(), &bob()])
            .rule(PathRule::below("clusters/prod").signers(["ANN@example.com"]))
            .rule(PathRule::below("not/there").signers(["ann@example.com"]))
    };
    for url in [repo.url(), server.url()] {
        repo.force_push("main", &start).unwrap();
        let source = source(&url, policy());
        source.resolve().await.unwrap();
        // Bob may change what is not Ann's; her signature on hers still counts.
        repo.commit("dev by bob")
            .file("dev/web.yaml", "2")
            .sign(&bob())
            .save()
            .unwrap();
        let fine = repo
            .commit("more")
            .file("dev/web.yaml", "3")
            .sign(&bob())
            .save()
            .unwrap();
        let revision = source.resolve().await.unwrap();
        assert_eq!(names(&revision), ["ann@example.com", "bob@example.com"]);
        for (what, commit) in [
            (
                "changes",
                repo.commit("x").file("clusters/prod/web.yaml", "2"),
            ),
            ("adds", repo.commit("x").file("clusters/prod/new.yaml", "2")),
            ("removes", repo.commit("x").remove("clusters/prod")),
            (
                "makes a file of",
                repo.commit("x").remove("clusters").file("clusters", "x"),
            ),
            ("makes the other", repo.commit("x").file("not/there/a", "x")),
        ] {
            let bad = commit.sign(&bob()).save().unwrap();
            let error = disbelief(&source).await;
            assert_kind(&error, Kind::Untrusted, &["0 of 1 people", &bad]);
            let _ = what;
            repo.force_push("main", &fine).unwrap();
        }
        repo.commit("ann removes it")
            .remove("clusters/prod")
            .sign(&ann())
            .save()
            .unwrap();
        source.resolve().await.unwrap();
    }
}

#[tokio::test]
async fn a_merge_can_not_bring_back_what_was_signed_once() {
    let repo = FakeRepo::new().unwrap();
    let old = repo
        .commit("old")
        .file("prod/a", "1")
        .sign(&ann())
        .save()
        .unwrap();
    repo.branch("old", &old).unwrap();
    let new = repo
        .commit("new")
        .file("prod/a", "2")
        .sign(&ann())
        .save()
        .unwrap();
    let policy = || {
        trust(TrustMode::Head, &[&ann(), &bob()])
            .rule(PathRule::below("prod").signers(["ann@example.com"]))
    };
    let tree_of = |commit: &str| {
        let raw = repo.read_object("commit", commit).unwrap();
        String::from_utf8_lossy(&raw)
            .lines()
            .next()
            .unwrap()
            .replace("tree ", "")
    };
    // Bob merges the old branch and takes its files, which Ann signed at that time.
    let plain = repo
        .commit_tree(&tree_of(&old), &[&new, &old], "merge\n")
        .unwrap();
    let raw = repo.read_object("commit", &plain).unwrap();
    super::commit_object(&repo, &super::attacks::with_signature(&raw, &bob()));
    let error = disbelief(&source(&repo.url(), policy())).await;
    assert_kind(&error, Kind::Untrusted, &["prod", "0 of 1"]);
    // A merge of what Ann made on top of the branch is her content.
    repo.force_push("main", &new).unwrap();
    repo.force_push("feature", &new).unwrap();
    let feature = repo
        .commit("f")
        .on("feature")
        .file("prod/a", "3")
        .sign(&ann())
        .save()
        .unwrap();
    let plain = repo
        .commit_tree(&tree_of(&feature), &[&new, &feature], "merge\n")
        .unwrap();
    let raw = repo.read_object("commit", &plain).unwrap();
    super::commit_object(&repo, &super::attacks::with_signature(&raw, &bob()));
    source(&repo.url(), policy()).resolve().await.unwrap();
}

#[tokio::test]
async fn half_a_history_is_not_taken_for_the_whole() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one").file("a", "1").save().unwrap();
    repo.commit("two")
        .file("a", "2")
        .sign(&ann())
        .save()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let shallow = folder.path().join("shallow.git");
    let cloned = std::process::Command::new("git")
        .args(["clone", "--quiet", "--bare", "--depth=1"])
        .arg(repo.url())
        .arg(&shallow)
        .status()
        .unwrap();
    assert!(cloned.success());
    let source = source(
        &shallow.display().to_string(),
        trust(TrustMode::EveryCommit, &[&ann()]),
    );
    let error = source.resolve().await.unwrap_err();
    assert_kind(&error, Kind::Corrupt, &["is missing"]);
}
