//! Smart HTTP.

use std::time::{Duration, Instant};

use gitops_core::{Source, SourceErrorKind as Kind};
use gitops_git::{Credentials, GitError, GitSource};
use gitops_testkit::FakeRepo;
use gitops_testkit::repo::{RepoFault, RequestKind};

use crate::{assert_kind, cause, files, path, refusal};

fn big_repo() -> FakeRepo {
    let repo = FakeRepo::new().unwrap();
    let many = (0..300).map(|n| (format!("apps/app{n}/web.yaml"), noise(n)));
    repo.commit("many").files(many).save().unwrap();
    repo
}

/// Text that does not compress to nothing.
fn noise(seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::new();
    for _ in 0..40 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push_str(&format!("{state:016x}\n"));
    }
    text
}

#[tokio::test]
async fn a_commit_is_read_over_http() {
    let repo = big_repo();
    let server = repo.serve().unwrap();
    let source = GitSource::builder(server.url())
        .branch("main")
        .build()
        .unwrap();
    let snapshot = files(&source).await.unwrap();
    assert_eq!(snapshot.files().unwrap().len(), 300);
    assert_eq!(
        snapshot.read(&path("apps/app7/web.yaml")).unwrap(),
        noise(7)
    );
    // The snapshot outlives the source.
    drop(source);
    assert_eq!(
        snapshot.read(&path("apps/app8/web.yaml")).unwrap(),
        noise(8)
    );
}

#[tokio::test]
async fn an_unchanged_poll_is_one_small_request_however_many_refs() {
    let repo = big_repo();
    for number in 0..500 {
        repo.set_ref(
            &format!("refs/heads/feature/{number}"),
            &repo.head().unwrap(),
        )
        .unwrap();
    }
    let server = repo.serve().unwrap();
    let source = GitSource::builder(server.url())
        .branch("main")
        .build()
        .unwrap();
    let first = source.resolve().await.unwrap();
    assert_eq!(
        server.traffic().connections,
        1,
        "one for all three requests"
    );
    server.reset_traffic();
    let second = source.resolve().await.unwrap();
    assert_eq!(first, second);
    let requests = server.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(requests[0].kind, RequestKind::LsRefs);
    assert_eq!(requests[0].ref_prefixes, ["refs/heads/main"]);
    let traffic = server.traffic();
    assert_eq!(traffic.connections, 0, "the connection is kept");
    assert!(traffic.sent + traffic.received < 2048, "{traffic:?}");
}

#[tokio::test]
async fn only_what_is_missing_is_fetched() {
    let repo = big_repo();
    let server = repo.serve().unwrap();
    let source = GitSource::builder(server.url()).build().unwrap();
    files(&source).await.unwrap();
    let all = server.traffic().sent;
    server.reset_traffic();

    repo.commit("one more")
        .file("apps/app7/web.yaml", "changed\n")
        .save()
        .unwrap();
    let snapshot = files(&source).await.unwrap();
    assert_eq!(
        snapshot.read(&path("apps/app7/web.yaml")).unwrap(),
        "changed\n"
    );
    assert_eq!(
        snapshot.read(&path("apps/app8/web.yaml")).unwrap(),
        noise(8)
    );
    let traffic = server.traffic();
    assert_eq!(server.count(RequestKind::Fetch), 1);
    // Three small trees and a file; app names make most of it.
    assert!(traffic.sent * 5 < all, "{} of {all}", traffic.sent);

    server.reset_traffic();
    files(&source).await.unwrap();
    assert_eq!(server.count(RequestKind::Fetch), 0);
}

#[tokio::test]
async fn history_is_not_fetched() {
    let repo = FakeRepo::new().unwrap();
    for number in 0..20 {
        repo.commit("x")
            .file("a", noise(number).repeat(10))
            .save()
            .unwrap();
    }
    let server = repo.serve().unwrap();
    let source = GitSource::builder(server.url()).build().unwrap();
    files(&source).await.unwrap();
    let request = server
        .requests()
        .into_iter()
        .find(|r| r.kind == RequestKind::Fetch)
        .unwrap();
    assert_eq!(request.depth, Some(1));
    assert!(server.traffic().sent < 8000, "{:?}", server.traffic());
    // And goes on without it.
    for number in 20..40 {
        repo.commit("x").file("a", noise(number)).save().unwrap();
        assert_eq!(
            files(&source).await.unwrap().read(&path("a")).unwrap(),
            noise(number)
        );
    }
}

#[tokio::test]
async fn a_force_push_a_moved_tag_and_a_deleted_branch_are_followed() {
    let repo = FakeRepo::new().unwrap();
    let first = repo.commit("one").file("a", "1").save().unwrap();
    let second = repo.commit("two").file("a", "2").save().unwrap();
    repo.annotated_tag("live", &first, "x").unwrap();
    let server = repo.serve().unwrap();
    let branch = GitSource::builder(server.url())
        .branch("main")
        .build()
        .unwrap();
    let tag = GitSource::builder(server.url())
        .tag("live")
        .build()
        .unwrap();
    assert_eq!(branch.resolve().await.unwrap().id.as_str(), second);
    assert_eq!(tag.resolve().await.unwrap().id.as_str(), first);

    repo.force_push("main", &first).unwrap();
    let third = repo.commit("other").file("a", "3").save().unwrap();
    repo.annotated_tag("live", &second, "y").unwrap();
    assert_eq!(branch.resolve().await.unwrap().id.as_str(), third);
    assert_eq!(files(&branch).await.unwrap().read(&path("a")).unwrap(), "3");
    assert_eq!(tag.resolve().await.unwrap().id.as_str(), second);
    // An older revision is still what it was.
    let old = gitops_core::Revision::new(&second);
    assert_eq!(
        branch.fetch(&old).await.unwrap().read(&path("a")).unwrap(),
        "2"
    );

    repo.set_default_branch("elsewhere").unwrap();
    repo.delete_branch("main").unwrap();
    let error = refusal(&branch).await;
    assert_kind(&error, Kind::NotFound, &["no branch main"]);
    // What was fetched can be read, and the branch comes back.
    branch.fetch(&old).await.unwrap();
    repo.force_push("main", &second).unwrap();
    assert_eq!(branch.resolve().await.unwrap().id.as_str(), second);
}

#[tokio::test]
async fn a_renamed_default_branch_is_followed_by_head() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one").file("a", "1").save().unwrap();
    let server = repo.serve().unwrap();
    let source = GitSource::builder(server.url()).head().build().unwrap();
    let name = |r: gitops_core::Revision| r.reference.unwrap();
    assert_eq!(name(source.resolve().await.unwrap()), "refs/heads/main");
    repo.rename_default_branch("trunk").unwrap();
    assert_eq!(name(source.resolve().await.unwrap()), "refs/heads/trunk");
}

#[tokio::test]
async fn a_server_that_knows_only_the_old_protocol_is_read() {
    // A server that does not see the wish for version 2 answers in version 0. Its
    // advertisement names all refs, so there is no second request.
    let repo = FakeRepo::new().unwrap();
    let id = repo.commit("one").file("a", "1").save().unwrap();
    repo.annotated_tag("v1", &id, "x").unwrap();
    let server = repo.serve().unwrap();
    server.speak_only_version_0();
    let source = GitSource::builder(server.url()).tag("v1").build().unwrap();
    assert_eq!(files(&source).await.unwrap().read(&path("a")).unwrap(), "1");
    repo.commit("two").file("a", "2").save().unwrap();
    repo.annotated_tag("v1", "main", "x").unwrap();
    assert_eq!(files(&source).await.unwrap().read(&path("a")).unwrap(), "2");
    assert_eq!(server.count(RequestKind::LsRefs), 0);
}

#[tokio::test]
async fn credentials_let_us_in_and_wrong_ones_do_not() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one").file("a", "1").save().unwrap();
    let server = repo.serve().unwrap();
    let builder = || GitSource::builder(server.url());
    let in_url = server.url().replace("http://", "http://ann:hunter2@");

    server.require_basic("ann", "hunter2");
    let good = Credentials::basic("ann", "hunter2");
    files(&builder().credentials(good).build().unwrap())
        .await
        .unwrap();
    let source = GitSource::builder(&in_url).build().unwrap();
    files(&source).await.unwrap();
    assert!(!format!("{source:?} {}", source.describe()).contains("hunter2"));

    let error = refusal(&builder().build().unwrap()).await;
    assert_kind(
        &error,
        Kind::Unauthorized,
        &["none are set", "401", "repo.git"],
    );
    for wrong in [
        Credentials::basic("ann", "hunter22"),
        Credentials::token("hunter2"),
        Credentials::bearer("hunter2"),
    ] {
        let error = refusal(&builder().credentials(wrong).build().unwrap()).await;
        assert_kind(
            &error,
            Kind::Unauthorized,
            &["does not take the credentials", "401"],
        );
        assert!(error.is_retryable(), "the token may be allowed later");
    }

    server.require_bearer("hunter2");
    let good = Credentials::bearer("hunter2");
    let source = builder().credentials(good).build().unwrap();
    files(&source).await.unwrap();
    // The token is taken back while we run, and given again.
    server.require_bearer("another");
    let error = source.resolve().await.unwrap_err();
    assert_kind(&error, Kind::Unauthorized, &["401"]);
    server.require_bearer("hunter2");
    source.resolve().await.unwrap();
}

#[tokio::test]
async fn every_failing_status_says_what_it_means() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one").file("a", "1").save().unwrap();
    let server = repo.serve().unwrap();
    let at =
        |kind, status, expected, words: &'static [&'static str]| (kind, status, expected, words);
    use RequestKind::{Advertisement, Fetch, LsRefs};
    for (kind, status, expected, words) in [
        at(
            Advertisement,
            403,
            Kind::Unauthorized,
            &["access denied", "403"],
        ),
        at(
            Advertisement,
            404,
            Kind::NotFound,
            &["no repository", "404"],
        ),
        at(Advertisement, 500, Kind::Unreachable, &["HTTP 500"]),
        at(LsRefs, 403, Kind::Unauthorized, &["403"]),
        at(LsRefs, 503, Kind::Unreachable, &["HTTP 503"]),
        at(Fetch, 429, Kind::Unreachable, &["HTTP 429"]),
        at(Fetch, 403, Kind::Unauthorized, &["403"]),
    ] {
        server.clear_faults();
        let source = GitSource::builder(server.url()).build().unwrap();
        server.inject_on(kind, RepoFault::Status(status));
        let error = refusal(&source).await;
        assert_kind(&error, expected, words);
        server.clear_faults();
        files(&source).await.unwrap();
    }
    let gone = server.url().replace("repo.git", "other.git");
    let error = refusal(&GitSource::builder(gone).build().unwrap()).await;
    assert!(
        matches!(cause(&error), GitError::RepositoryNotFound { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_forgets_what_it_can_do_is_asked_again() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one").file("a", "1").save().unwrap();
    let server = repo.serve().unwrap();
    let source = GitSource::builder(server.url()).build().unwrap();
    source.resolve().await.unwrap();
    // One failure behind a remembered advertisement is made good within the call.
    server.inject_times(RequestKind::LsRefs, 1, RepoFault::Status(400));
    server.reset_traffic();
    source.resolve().await.unwrap();
    assert_eq!(server.count(RequestKind::Advertisement), 1);
    assert_eq!(server.count(RequestKind::LsRefs), 2);
}

#[tokio::test]
async fn a_server_out_of_reach_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let source = GitSource::builder(format!("http://{address}/shop.git"))
        .build()
        .unwrap();
    let error = refusal(&source).await;
    assert_kind(
        &error,
        Kind::Unreachable,
        &["could not be reached", "/shop.git", "refused"],
    );

    let source = GitSource::builder("http://nowhere.invalid/shop.git")
        .build()
        .unwrap();
    assert_kind(
        &refusal(&source).await,
        Kind::Unreachable,
        &["nowhere.invalid/shop.git"],
    );
}

#[tokio::test]
async fn tls_that_can_not_be_trusted_is_refused() {
    // A server that speaks no TLS at all is the simplest that can't be trusted.
    let repo = FakeRepo::new().unwrap();
    let server = repo.serve().unwrap();
    let url = server.url().replace("http://", "https://");
    match GitSource::builder(url).build() {
        Ok(source) => assert_kind(&refusal(&source).await, Kind::Unreachable, &["not trusted"]),
        // A machine without any certificates says so at once.
        Err(error) => assert!(error.to_string().contains("HTTP client"), "{error}"),
    }
}

#[tokio::test]
async fn connections_that_break_are_an_error_and_heal() {
    let repo = big_repo();
    let server = repo.serve().unwrap();
    use RequestKind::{Advertisement, Fetch, LsRefs};
    for (kind, fault) in [
        (Advertisement, RepoFault::Reset),
        (Advertisement, RepoFault::Truncate { after: 20 }),
        (Advertisement, RepoFault::EndEarly { after: 20 }),
        (LsRefs, RepoFault::Reset),
        (LsRefs, RepoFault::Truncate { after: 30 }),
        (LsRefs, RepoFault::EndEarly { after: 30 }),
        (Fetch, RepoFault::Reset),
        (Fetch, RepoFault::Truncate { after: 100 }),
        (Fetch, RepoFault::Truncate { after: 5000 }),
        (Fetch, RepoFault::EndEarly { after: 5000 }),
        (Fetch, RepoFault::Corrupt { at: 60_000 }),
        (
            Advertisement,
            RepoFault::Page("<html>Sign in</html>".to_owned()),
        ),
        (LsRefs, RepoFault::Page("<html>Sign in</html>".to_owned())),
        (Fetch, RepoFault::Page("<html>Sign in</html>".to_owned())),
    ] {
        let source = GitSource::builder(server.url()).build().unwrap();
        server.inject_on(kind, fault.clone());
        let Err(error) = files(&source).await else {
            panic!("{kind:?} {fault:?} goes unnoticed");
        };
        crate::check_words(&error);
        assert!(
            matches!(error.kind(), Kind::Unreachable | Kind::Corrupt),
            "{kind:?} {fault:?}: {error}"
        );
        assert!(error.is_retryable());
        server.clear_faults();
        assert_eq!(files(&source).await.unwrap().files().unwrap().len(), 300);
    }
}

#[tokio::test]
async fn a_redirect_within_the_server_is_followed_and_no_other() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one").file("a", "1").save().unwrap();
    let server = repo.serve().unwrap();
    // As a hosting service sends a renamed repository to its new name.
    let old = server.url().replace("repo.git", "old.git");
    server.inject_times(
        RequestKind::Advertisement,
        1,
        RepoFault::Redirect(server.url()),
    );
    let source = GitSource::builder(&old).build().unwrap();
    files(&source).await.unwrap();
    source.resolve().await.unwrap();

    let elsewhere = repo.serve().unwrap();
    server.require_basic("ann", "hunter2");
    for to in [
        elsewhere.url(),
        "file:///etc".to_owned(),
        "https://127.0.0.1/x".to_owned(),
    ] {
        server.clear_faults();
        server.inject(RepoFault::Redirect(to));
        let source = GitSource::builder(server.url())
            .credentials(Credentials::basic("ann", "hunter2"))
            .build()
            .unwrap();
        let error = refusal(&source).await;
        assert!(
            matches!(cause(&error), GitError::Redirected { .. }),
            "{error}"
        );
    }
    assert_eq!(elsewhere.traffic().requests, 0, "nothing was sent there");

    server.clear_faults();
    server.inject(RepoFault::Redirect(server.url()));
    let error = refusal(&GitSource::builder(server.url()).build().unwrap()).await;
    assert!(
        matches!(cause(&error), GitError::Redirected { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_stalled_server_ends_in_time() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one").file("a", "1").save().unwrap();
    let server = repo.serve().unwrap();
    for kind in [
        RequestKind::Advertisement,
        RequestKind::LsRefs,
        RequestKind::Fetch,
    ] {
        server.clear_faults();
        server.inject_on(kind, RepoFault::Stall);
        let source = GitSource::builder(server.url())
            .stall_timeout(Duration::from_millis(200))
            .build()
            .unwrap();
        let start = Instant::now();
        let error = refusal(&source).await;
        assert!(matches!(cause(&error), GitError::Timeout { .. }), "{error}");
        assert_eq!(error.kind(), Kind::Unreachable);
        assert!(start.elapsed() < Duration::from_secs(5));
    }
    // One that sends now and then, but never comes to an end.
    server.clear_faults();
    server.inject_on(RequestKind::Fetch, RepoFault::Endless);
    let source = GitSource::builder(server.url())
        .timeout(Duration::from_millis(700))
        .build()
        .unwrap();
    let error = refusal(&source).await;
    assert!(matches!(cause(&error), GitError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn slow_is_not_stalled() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one").file("a", "1").save().unwrap();
    let server = repo.serve().unwrap();
    server.inject(RepoFault::Slow(Duration::from_millis(100)));
    let source = GitSource::builder(server.url())
        .stall_timeout(Duration::from_secs(2))
        .build()
        .unwrap();
    files(&source).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn timeouts_are_real_even_when_the_clock_stands_still() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one").file("a", "1").save().unwrap();
    let server = repo.serve().unwrap();
    let source = GitSource::builder(server.url())
        .stall_timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    files(&source).await.unwrap();
    server.inject(RepoFault::Stall);
    let error = source.resolve().await.unwrap_err();
    assert!(matches!(cause(&error), GitError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn a_dropped_call_stops_at_once_and_leaves_nothing() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one").file("a", "1").save().unwrap();
    let server = repo.serve().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let builder = || GitSource::builder(server.url()).cache_dir(folder.path());
    server.inject_on(RequestKind::Fetch, RepoFault::Stall);
    let source = builder().build().unwrap();
    let call = tokio::time::timeout(Duration::from_millis(300), source.resolve());
    assert!(call.await.is_err());
    server.clear_faults();
    // The lock is free again long before the stall would have ended.
    let start = Instant::now();
    files(&builder().build().unwrap()).await.unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    let left = walk(folder.path());
    let strange: Vec<_> = left
        .iter()
        .filter(|name| {
            name.contains("/pack/.") || name.ends_with(".lock") || name.ends_with(".new")
        })
        .collect();
    assert!(strange.is_empty(), "{left:?}");
}

pub(crate) fn walk(folder: &std::path::Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            names.extend(walk(&entry.path()));
        } else {
            names.push(entry.path().display().to_string());
        }
    }
    names
}

#[tokio::test]
async fn a_trigger_wakes_a_source_that_waits() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one").file("a", "1").save().unwrap();
    let server = repo.serve().unwrap();
    let source = GitSource::builder(server.url())
        .interval(Duration::from_secs(3600))
        .build()
        .unwrap();
    source.resolve().await.unwrap();
    let trigger = source.trigger();
    let waiting = tokio::spawn(async move {
        source.changed().await;
        source.resolve().await.unwrap()
    });
    let id = repo.commit("two").file("a", "2").save().unwrap();
    trigger.fire();
    let revision = tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(revision.id.as_str(), id);
}
