//! `FakeRepo` against the real `git` as its client.
#![expect(clippy::unwrap_used, reason = "a panic in a test names its line")]

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use gitops_testkit::repo::{FakeRepo, FakeRepoError, RepoFault, RequestKind};

fn git(folder: &Path, arguments: &[&str]) -> Output {
    Command::new("git")
        .current_dir(folder)
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ASKPASS", "false")
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn the_same_calls_give_the_same_ids_on_every_machine() {
    let repo = FakeRepo::new().unwrap();
    let first = repo.commit("one").file("a.yaml", "a: 1\n").save().unwrap();
    assert_eq!(first, "7a04cdfee389a4cf416328f4d5ec4caa5d084e99");
    let tag = repo.annotated_tag("v1", "main", "release").unwrap();
    assert_ne!(tag, first);
    assert_eq!(repo.resolve("v1").unwrap(), first);
}

#[test]
fn a_commit_sets_and_removes_files_of_every_kind() {
    let repo = FakeRepo::new().unwrap();
    let other = "1234567890123456789012345678901234567890";
    repo.commit("all kinds")
        .file("a b/\"quoted\".yaml", "x")
        .executable("run.sh", "#!/bin/sh\n")
        .symlink("link", "run.sh")
        .submodule("lib", other)
        .file("gone/1", "")
        .file("gone/2", "")
        .save()
        .unwrap();
    let commit = repo.commit("less").remove("gone").save().unwrap();
    let list = text(&git(&repo.path(), &["ls-tree", "-r", "-z", &commit]));
    let mut entries: Vec<String> = list
        .split('\0')
        .filter_map(|entry| entry.split_once('\t'))
        .map(|(meta, path)| format!("{} {path}", &meta[..6]))
        .collect();
    entries.sort_unstable();
    assert_eq!(
        entries,
        [
            "100644 a b/\"quoted\".yaml",
            "100755 run.sh",
            "120000 link",
            "160000 lib"
        ]
    );
}

#[test]
fn branches_move_merge_and_go() {
    let repo = FakeRepo::new().unwrap();
    let root = repo.commit("root").file("a", "1\n").save().unwrap();
    repo.branch("feature", "main").unwrap();
    assert!(repo.branch("feature", "main").is_err(), "exists already");
    let theirs = repo
        .commit("b")
        .on("feature")
        .file("b", "2\n")
        .save()
        .unwrap();
    let ours = repo.commit("c").file("c", "3\n").save().unwrap();
    let merge = repo.merge("main", "feature").unwrap();
    assert_eq!(repo.read(&merge, "b").unwrap(), b"2\n");
    assert_eq!(repo.read(&merge, "c").unwrap(), b"3\n");
    let parents = text(&git(&repo.path(), &["show", "-s", "--format=%P", &merge]));
    assert_eq!(parents, format!("{ours} {theirs}"));

    let undone = repo.revert("main", &ours).unwrap();
    assert!(repo.read(&undone, "c").is_err());
    repo.force_push("main", &root).unwrap();
    assert_eq!(repo.head().unwrap(), root);
    repo.rename_default_branch("trunk").unwrap();
    assert_eq!(
        (repo.tip("trunk").unwrap(), repo.head().unwrap()),
        (root.clone(), root)
    );
    repo.delete_branch("feature").unwrap();
    assert!(repo.delete_branch("feature").is_err());
}

#[test]
fn a_revert_over_later_changes_is_a_conflict() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("root").file("a", "1\n").save().unwrap();
    let second = repo.commit("two").file("a", "2\n").save().unwrap();
    let third = repo.commit("three").file("a", "3\n").save().unwrap();
    let error = repo.revert("main", &second).unwrap_err();
    assert!(matches!(error, FakeRepoError::Conflict { .. }), "{error}");
    assert_eq!(repo.head().unwrap(), third, "nothing moved");
}

#[test]
fn git_clones_and_fetches_over_http() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one").file("a", "1\n").save().unwrap();
    for number in 0..80 {
        repo.commit("more")
            .file("n", number.to_string())
            .save()
            .unwrap();
    }
    let server = repo.serve().unwrap();
    for protocol in ["0", "1", "2"] {
        let folder = tempfile::tempdir().unwrap();
        let version = format!("protocol.version={protocol}");
        text(&git(
            folder.path(),
            &["-c", &version, "clone", "-q", &server.url(), "copy"],
        ));
        let copy = folder.path().join("copy");
        assert_eq!(
            text(&git(&copy, &["rev-parse", "HEAD"])),
            repo.head().unwrap()
        );
        // Local commits make the negotiation long enough for git to compress it.
        for _ in 0..40 {
            let commit = [
                "-c",
                "user.name=x",
                "-c",
                "user.email=x",
                "commit",
                "-q",
                "--allow-empty",
                "-m",
                "x",
            ];
            text(&git(&copy, &commit));
        }
        repo.commit("next").file("b", protocol).save().unwrap();
        text(&git(&copy, &["-c", &version, "fetch", "-q"]));
        assert_eq!(
            text(&git(&copy, &["rev-parse", "origin/main"])),
            repo.head().unwrap()
        );
    }
}

#[test]
fn requests_and_bytes_are_counted() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one").file("a", "1\n").save().unwrap();
    let server = repo.serve().unwrap();
    let folder = tempfile::tempdir().unwrap();
    text(&git(
        folder.path(),
        &["ls-remote", &server.url(), "refs/heads/main"],
    ));
    assert_eq!(server.count(RequestKind::Advertisement), 1);
    assert_eq!(server.count(RequestKind::LsRefs), 1);
    assert_eq!(server.count(RequestKind::Fetch), 0);
    let traffic = server.traffic();
    assert_eq!((traffic.requests, traffic.connections), (2, 1));
    assert!(traffic.sent > 300 && traffic.received > 300, "{traffic:?}");
    server.reset_traffic();
    assert_eq!(server.traffic().requests, 0);
}

#[test]
fn who_may_read_is_asked() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one").file("a", "1\n").save().unwrap();
    let server = repo.serve().unwrap();
    server.require_basic("ann", "hunter2");
    let folder = tempfile::tempdir().unwrap();
    assert!(
        !git(folder.path(), &["ls-remote", &server.url()])
            .status
            .success()
    );
    assert_eq!(server.requests()[0].status, 401);
    let url = server.url().replace("http://", "http://ann:hunter2@");
    assert!(git(folder.path(), &["ls-remote", &url]).status.success());

    server.require_bearer("t0ken");
    let header = "http.extraHeader=Authorization: Bearer t0ken";
    let listed = git(folder.path(), &["-c", header, "ls-remote", &server.url()]);
    assert!(listed.status.success());
    assert!(!format!("{server:?}").contains("t0ken"));
}

#[test]
fn every_fault_stops_a_clone_and_passes() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one")
        .file("a", "1\n".repeat(1000))
        .save()
        .unwrap();
    let server = repo.serve().unwrap();
    let ghost = "1234567890123456789012345678901234567890".to_owned();
    let faults = [
        (RequestKind::Advertisement, RepoFault::Status(500)),
        (RequestKind::Advertisement, RepoFault::Reset),
        (RequestKind::LsRefs, RepoFault::Truncate { after: 10 }),
        (RequestKind::LsRefs, RepoFault::EndEarly { after: 10 }),
        (
            RequestKind::LsRefs,
            RepoFault::ClaimRef {
                name: "refs/heads/main".to_owned(),
                id: ghost,
            },
        ),
        (RequestKind::Fetch, RepoFault::Truncate { after: 60 }),
        (RequestKind::Fetch, RepoFault::EndEarly { after: 60 }),
        (RequestKind::Fetch, RepoFault::Corrupt { at: 150 }),
        (RequestKind::Fetch, RepoFault::Reset),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (kind, fault) in faults {
        server.inject_on(kind, fault.clone());
        let cloned = git(folder.path(), &["clone", "-q", &server.url(), "copy"]);
        assert!(!cloned.status.success(), "{kind:?} {fault:?}");
        server.clear_faults();
    }
    server.inject_times(RequestKind::LsRefs, 1, RepoFault::Status(503));
    assert!(
        !git(folder.path(), &["ls-remote", &server.url()])
            .status
            .success()
    );
    assert!(
        git(folder.path(), &["ls-remote", &server.url()])
            .status
            .success()
    );

    server.inject(RepoFault::Slow(Duration::from_millis(200)));
    let start = std::time::Instant::now();
    assert!(
        git(folder.path(), &["ls-remote", &server.url()])
            .status
            .success()
    );
    assert!(
        start.elapsed() >= Duration::from_millis(400),
        "two requests"
    );
}

#[test]
fn a_server_that_stalls_can_be_dropped() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one").file("a", "1\n").save().unwrap();
    for fault in [RepoFault::Stall, RepoFault::Endless] {
        let server = repo.serve().unwrap();
        server.inject_on(RequestKind::LsRefs, fault);
        let url = server.url();
        let client = std::thread::spawn(move || {
            Command::new("git")
                .args(["ls-remote", &url])
                .output()
                .unwrap()
        });
        while server.count(RequestKind::LsRefs) == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(server);
        assert!(!client.join().unwrap().status.success());
    }
}

#[test]
fn a_sha256_repository_is_one() {
    let repo = FakeRepo::sha256().unwrap();
    let id = repo.commit("one").file("a", "1\n").save().unwrap();
    assert_eq!(id.len(), 64);
}
