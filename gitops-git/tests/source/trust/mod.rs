//! What is believed, and what is not.

mod attacks;
mod history;
mod openpgp;
mod peers;

use gitops_core::{ManualClock, Revision, Source, SourceError, SourceErrorKind as Kind};
use gitops_git::{GitError, GitSource, GitSourceBuilder, SignatureError, Trust, TrustMode};
use gitops_testkit::FakeRepo;
use gitops_testkit::repo::SigningKey;

use crate::{assert_kind, cause, check_words};

/// The time of the first commit of a `FakeRepo`.
const FIRST: i64 = 1_767_225_600;
const DAY: i64 = 86_400;

fn ann() -> SigningKey {
    SigningKey::ssh("ann@example.com").unwrap()
}

fn bob() -> SigningKey {
    SigningKey::ssh("bob@example.com").unwrap()
}

fn ann_pgp() -> SigningKey {
    SigningKey::openpgp("Ann <ann@example.com>").unwrap()
}

/// A clock that shows a day after the first commit.
fn clock() -> ManualClock {
    clock_at(FIRST + DAY)
}

fn clock_at(seconds: i64) -> ManualClock {
    let clock = ManualClock::default();
    clock.advance(std::time::Duration::from_secs(
        u64::try_from(seconds - FIRST).unwrap(),
    ));
    clock
}

/// Trust in these keys.
fn trust(mode: TrustMode, keys: &[&SigningKey]) -> Trust {
    keys.iter().fold(Trust::new(mode), |trust, key| {
        let public = key.public_key();
        match public.contains("BEGIN PGP") {
            true => trust.openpgp_keys(&public).unwrap(),
            false => trust.allowed_signers(&public).unwrap(),
        }
    })
}

fn source(url: &str, trust: Trust) -> GitSource {
    builder(url, trust).build().unwrap()
}

fn builder(url: &str, trust: Trust) -> GitSourceBuilder {
    GitSource::builder(url).trust(trust).clock(clock())
}

fn names(revision: &Revision) -> Vec<&str> {
    revision
        .signers
        .iter()
        .map(|signer| signer.name.as_str())
        .collect()
}

/// The error of a source that must not believe, checked for what holds of all of them.
async fn disbelief(source: &GitSource) -> SourceError {
    let error = match source.resolve().await {
        Ok(revision) => panic!("{revision} is believed"),
        Err(error) => error,
    };
    check_words(&error);
    assert_kind(&error, Kind::Untrusted, &[]);
    error
}

/// Why the signature does not count.
async fn flaw(source: &GitSource) -> SignatureError {
    let error = disbelief(source).await;
    match cause(&error) {
        GitError::Unverified { reason, .. } => reason.clone(),
        other => panic!("not about a signature: {other}"),
    }
}

/// Signs an object of a test's own making and puts it where the default branch is.
fn commit_object(repo: &FakeRepo, content: &[u8]) -> String {
    let id = repo.write_object("commit", content).unwrap();
    repo.force_push("main", &id).unwrap();
    id
}

#[tokio::test]
async fn a_signed_commit_is_believed_and_says_who_signed() {
    for key in [ann(), ann_pgp()] {
        for repo in [FakeRepo::new().unwrap(), FakeRepo::sha256().unwrap()] {
            let commit = repo.commit("one").file("a", "1").sign(&key).save().unwrap();
            let server = repo.serve().unwrap();
            for url in [repo.url(), server.url()] {
                let source = source(&url, trust(TrustMode::Head, &[&bob(), &key]));
                let revision = source.resolve().await.unwrap();
                assert_eq!(revision.id.as_str(), commit);
                let [signer] = revision.signers.as_slice() else {
                    panic!("{:?}", revision.signers);
                };
                assert!(signer.name.contains("ann@example.com"), "{signer}");
                assert!(!signer.key.is_empty());
                assert_eq!(signer.object, commit);
                source.fetch(&revision).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn without_trust_nobody_is_said_to_have_signed() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one")
        .file("a", "1")
        .sign(&ann())
        .save()
        .unwrap();
    let source = GitSource::builder(repo.url()).build().unwrap();
    assert!(source.resolve().await.unwrap().signers.is_empty());
    assert!(source.allow_rewrite(&repo.head().unwrap()).is_err());
}

#[tokio::test]
async fn an_unsigned_commit_is_not_believed_and_not_fetched_either() {
    let repo = FakeRepo::new().unwrap();
    let good = repo
        .commit("one")
        .file("a", "1")
        .sign(&ann())
        .save()
        .unwrap();
    let server = repo.serve().unwrap();
    for url in [repo.url(), server.url()] {
        repo.force_push("main", &good).unwrap();
        let source = source(&url, trust(TrustMode::Head, &[&ann()]));
        source.resolve().await.unwrap();
        let bad = repo.commit("two").file("a", "2").save().unwrap();
        assert_eq!(flaw(&source).await, SignatureError::Missing);
        // Nor by its id, behind the back of `resolve`.
        let error = source.fetch(&Revision::new(&bad)).await.err().unwrap();
        assert_kind(&error, Kind::Untrusted, &["not signed"]);
        // What was believed before still is.
        source.fetch(&Revision::new(&good)).await.unwrap();
    }
}

#[tokio::test]
async fn a_signed_tag_is_believed_with_and_without_its_commit() {
    let repo = FakeRepo::new().unwrap();
    let plain = repo.commit("one").file("a", "1").save().unwrap();
    let tag = repo.signed_tag("v1", &plain, "one", &bob()).unwrap();
    let signed = repo
        .commit("two")
        .file("a", "2")
        .sign(&ann())
        .save()
        .unwrap();
    repo.signed_tag("v2", &signed, "two", &bob()).unwrap();
    repo.annotated_tag("v3", &signed, "not signed").unwrap();
    repo.tag("v4", &signed).unwrap();
    let server = repo.serve().unwrap();
    for url in [repo.url(), server.url()] {
        let with = |mode, name: &str| {
            builder(&url, trust(mode, &[&ann(), &bob()]))
                .tag(name)
                .build()
                .unwrap()
        };
        let first = with(TrustMode::Tag, "v1").resolve().await.unwrap();
        assert_eq!(names(&first), ["bob@example.com"]);
        assert_eq!(
            (first.id.as_str(), &first.signers[0].object),
            (&*plain, &tag)
        );
        let error = flaw(&with(TrustMode::TagAndHead, "v1")).await;
        assert_eq!(error, SignatureError::Missing);
        let both = with(TrustMode::TagAndHead, "v2").resolve().await.unwrap();
        assert_eq!(names(&both), ["ann@example.com", "bob@example.com"]);
        assert_eq!(
            flaw(&with(TrustMode::Tag, "v3")).await,
            SignatureError::Missing
        );
        let error = disbelief(&with(TrustMode::Tag, "v4")).await;
        assert_kind(&error, Kind::Untrusted, &["no annotated tag"]);
        // A commit that was not led to by a tag is not looked at without one.
        let error = with(TrustMode::Tag, "v1")
            .fetch(&Revision::new(&signed))
            .await
            .err()
            .unwrap();
        assert_kind(&error, Kind::Untrusted, &["not resolved"]);
    }
    let branch = builder(&repo.url(), trust(TrustMode::Tag, &[&ann()]))
        .branch("main")
        .build();
    assert!(branch.unwrap_err().to_string().contains("signed tag"));
}

#[tokio::test]
async fn authors_and_committers_have_to_be_among_those_allowed() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one")
        .author("Ann", "ann@example.com")
        .file("a", "1")
        .sign(&ann())
        .save()
        .unwrap();
    let url = repo.url();
    let with = || trust(TrustMode::Head, &[&ann(), &bob()]);
    for allowed in [
        with()
            .authors(["*@Example.com"])
            .committers(["ann@example.com"]),
        with().authors(["x@y", "a*"]),
        with().signed_by_committer(true),
    ] {
        source(&url, allowed).resolve().await.unwrap();
    }
    for (refused, role) in [
        (with().authors(["*@example.org"]), "author"),
        (with().committers(["bob@example.com"]), "committer"),
    ] {
        let error = disbelief(&source(&url, refused)).await;
        assert_kind(
            &error,
            Kind::Untrusted,
            &[role, "ann@example.com", "not among"],
        );
    }
    repo.commit("two")
        .author("Ann", "ann@example.com")
        .file("a", "2")
        .sign(&bob())
        .save()
        .unwrap();
    let error = disbelief(&source(&url, with().signed_by_committer(true))).await;
    assert_kind(&error, Kind::Untrusted, &["committer", "not who signed"]);
}

#[test]
fn trust_that_can_not_be_right_is_refused_when_building() {
    use gitops_git::PathRule;
    let with = || trust(TrustMode::Head, &[&ann()]);
    for (bad, why) in [
        (Trust::new(TrustMode::Head), "no key"),
        (with().rule(PathRule::below("../x")), ".."),
        (with().rule(PathRule::below("a").at_least(0)), "nobody"),
        (
            with().rule(PathRule::below("a").signers(["carol@example.com"])),
            "carol@example.com",
        ),
        (with().starting_from("main"), "whole id"),
    ] {
        let error = GitSource::builder("/srv/x").trust(bad).build().unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}
