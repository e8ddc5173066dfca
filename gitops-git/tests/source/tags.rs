//! Following one tag out of many.

use gitops_core::{Source, SourceErrorKind as Kind};
use gitops_git::{GitError, GitSource, Reference, SemverRange, TagPattern};
use gitops_testkit::FakeRepo;
use gitops_testkit::repo::RequestKind;

use crate::{assert_kind, cause, files, path, refusal};

fn range(text: &str) -> SemverRange {
    text.parse().unwrap()
}

/// A commit and a tag for each name, in this order.
fn tagged(repo: &FakeRepo, names: &[&str]) {
    for (number, name) in names.iter().enumerate() {
        let commit = repo.commit(*name).file("a", *name).save().unwrap();
        match number % 2 {
            0 => repo.tag(name, &commit).unwrap(),
            _ => drop(repo.annotated_tag(name, &commit, "a release").unwrap()),
        }
    }
}

#[tokio::test]
async fn the_highest_version_is_followed_and_a_new_one_moves_it() {
    let repo = FakeRepo::new().unwrap();
    tagged(
        &repo,
        &[
            "v1.9.0",
            "v1.10.0",
            "2.0.0-rc.1",
            "v1.2.0",
            "latest",
            "shop/v9.0.0",
            "v01.99.0",
        ],
    );
    // Branches that look like versions are none.
    repo.branch("v1.99.0", "main").unwrap();
    let server = repo.serve().unwrap();
    for url in [repo.url(), server.url()] {
        let follow = |range| GitSource::builder(&url).semver(range).build().unwrap();
        let source = follow(range(">=1.0.0 <2.0.0"));
        let revision = source.resolve().await.unwrap();
        assert_eq!(revision.reference.as_deref(), Some("refs/tags/v1.10.0"));
        assert_eq!(
            files(&source).await.unwrap().read(&path("a")).unwrap(),
            "v1.10.0"
        );

        let shop = follow(range("*").with_prefix("shop/"))
            .resolve()
            .await
            .unwrap();
        assert_eq!(shop.reference.as_deref(), Some("refs/tags/shop/v9.0.0"));
        let early = follow(range(">=1.0.0").with_pre_releases())
            .resolve()
            .await
            .unwrap();
        assert_eq!(early.reference.as_deref(), Some("refs/tags/2.0.0-rc.1"));

        let error = refusal(&follow(range(">=3"))).await;
        assert_kind(&error, Kind::NotFound, &["the highest tag in >=3"]);

        tagged(&repo, &["v1.11.0"]);
        let moved = source.resolve().await.unwrap();
        assert_eq!(moved.reference.as_deref(), Some("refs/tags/v1.11.0"));
        repo.delete_tag("v1.11.0").unwrap();
        assert_eq!(source.resolve().await.unwrap(), revision);
    }
}

#[tokio::test]
async fn the_newest_tag_is_the_last_one_as_people_count() {
    let repo = FakeRepo::sha256().unwrap();
    tagged(
        &repo,
        &["build-9", "build-10", "build-2", "nightly-99", "Build-11"],
    );
    let server = repo.serve().unwrap();
    for url in [repo.url(), server.url()] {
        let source = GitSource::builder(&url)
            .newest_tag(TagPattern::new("build-*"))
            .build()
            .unwrap();
        let revision = source.resolve().await.unwrap();
        assert_eq!(revision.reference.as_deref(), Some("refs/tags/build-10"));
        assert_eq!(revision.id.as_str().len(), 64);
        source.fetch(&revision).await.unwrap();
    }
}

#[tokio::test]
async fn only_the_tags_that_may_count_are_asked_for() {
    let repo = FakeRepo::new().unwrap();
    tagged(&repo, &["shop/v1.0.0", "web/v2.0.0"]);
    let server = repo.serve().unwrap();
    let source = GitSource::builder(server.url())
        .semver(range("*").with_prefix("shop/"))
        .build()
        .unwrap();
    source.resolve().await.unwrap();
    server.reset_traffic();
    source.resolve().await.unwrap();
    let requests = server.requests();
    assert_eq!(requests.len(), 1, "an unchanged poll is one request");
    assert_eq!(requests[0].kind, RequestKind::LsRefs);
    assert_eq!(requests[0].ref_prefixes, ["refs/tags/shop/"]);
}

/// Whoever can push a tag could put `1.0.0` beside `v1.0.0`.
#[tokio::test]
async fn one_version_at_two_commits_is_refused_and_named() {
    let repo = FakeRepo::new().unwrap();
    tagged(&repo, &["v1.0.0", "1.0.0"]);
    let server = repo.serve().unwrap();
    for url in [repo.url(), server.url()] {
        let source = GitSource::builder(&url).semver(range("*")).build().unwrap();
        let error = refusal(&source).await;
        assert_kind(&error, Kind::Corrupt, &["v1.0.0", "1.0.0", "two commits"]);
        assert!(matches!(cause(&error), GitError::AmbiguousTags { .. }));
    }
    // The same commit under both names is no trouble, and a higher version settles it.
    repo.tag("1.0.0", "v1.0.0").unwrap();
    let source = GitSource::builder(repo.url())
        .semver(range("*"))
        .build()
        .unwrap();
    source.resolve().await.unwrap();
    tagged(&repo, &["1.0.1"]);
    let revision = source.resolve().await.unwrap();
    assert_eq!(revision.reference.as_deref(), Some("refs/tags/1.0.1"));
}

#[test]
fn precedence_is_that_of_flux() {
    let semver = || Some(range(">=1"));
    let of = Reference::by_precedence;
    let (b, t, n, c) = (Some("b"), Some("t"), Some("refs/n"), Some("c"));
    for (reference, wins) in [
        (of(b, t, semver(), n, c), "commit c"),
        (of(b, t, semver(), n, None), "reference refs/n"),
        (of(b, t, semver(), None, None), "the highest tag in >=1"),
        (of(b, t, None, None, None), "tag t"),
        (of(b, None, None, None, None), "branch b"),
        (of(None, None, None, None, None), "HEAD"),
        (of(b, None, None, None, c), "commit c"),
    ] {
        assert_eq!(reference.to_string(), wins);
    }
}

#[test]
fn prefixes_that_no_tag_can_have_are_refused_when_building() {
    for bad in ["a b", "a..b", "a\n", "/", "a~"] {
        let semver = GitSource::builder("/srv/x").semver(range("*").with_prefix(bad));
        assert!(semver.build().is_err(), "{bad:?}");
        let newest = GitSource::builder("/srv/x").newest_tag(TagPattern::new(format!("{bad}*")));
        assert!(newest.build().is_err(), "{bad:?}");
    }
}
