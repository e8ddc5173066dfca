//! SSH, by a program that stands in for `ssh` and by a real server where one is installed.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gitops_core::{Source, SourceErrorKind as Kind};
use gitops_git::{GitError, GitSource};
use gitops_testkit::FakeRepo;

use crate::{assert_kind, cause, files, path, refusal};

/// A program that runs the command it should send, here, after writing down its arguments.
fn fake_ssh(folder: &Path, body: &str) -> PathBuf {
    let program = folder.join("fake-ssh");
    let log = folder.join("arguments");
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$@\" > '{}'\nfor last; do :; done\n{body}\n",
        log.display()
    );
    std::fs::write(&program, script).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    program
}

fn source(program: &Path, path: &str) -> GitSource {
    GitSource::builder(format!("git@example.com:{path}"))
        .ssh_program(program)
        .ssh_argument("-i")
        .ssh_argument("/keys/id")
        .branch("main")
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_repository_is_read_over_ssh() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one").file("a", "1").save().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let program = fake_ssh(folder.path(), "exec sh -c \"$last\"");
    let place = repo.path().display().to_string();
    let source = source(&program, &place);
    assert_eq!(files(&source).await.unwrap().read(&path("a")).unwrap(), "1");
    repo.commit("two").file("a", "2").save().unwrap();
    assert_eq!(files(&source).await.unwrap().read(&path("a")).unwrap(), "2");

    let arguments = std::fs::read_to_string(folder.path().join("arguments")).unwrap();
    let lines: Vec<_> = arguments.lines().collect();
    assert!(
        lines.windows(2).any(|pair| pair == ["-i", "/keys/id"]),
        "{lines:?}"
    );
    assert!(lines.contains(&"BatchMode=yes"));
    let place = format!("git-upload-pack '{place}'");
    assert!(lines.ends_with(&["git@example.com", &place]), "{lines:?}");
    assert!(source.describe().starts_with("ssh://example.com/"));
}

#[tokio::test]
async fn a_server_without_version_2_is_read_over_ssh() {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one").file("a", "1").save().unwrap();
    let folder = tempfile::tempdir().unwrap();
    // As an sshd that does not let the variable in.
    let program = fake_ssh(folder.path(), "unset GIT_PROTOCOL; exec sh -c \"$last\"");
    let source = source(&program, &repo.path().display().to_string());
    assert_eq!(files(&source).await.unwrap().read(&path("a")).unwrap(), "1");
}

#[tokio::test]
async fn a_path_with_a_quote_is_still_one_path() {
    let repo = FakeRepo::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let program = fake_ssh(folder.path(), "exec sh -c \"$last\"");
    let canary = folder.path().join("canary");
    let place = format!("{}'; touch {}; '", repo.path().display(), canary.display());
    refusal(&source(&program, &place)).await;
    assert!(!canary.exists());
}

#[tokio::test]
async fn what_ssh_says_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    for (says, status, kind, word) in [
        (
            "git@example.com: Permission denied (publickey).",
            255,
            Kind::Unauthorized,
            "publickey",
        ),
        (
            "Host key verification failed.",
            255,
            Kind::Unreachable,
            "not trusted",
        ),
        (
            "ssh: connect to host example.com port 22: Connection refused",
            255,
            Kind::Unreachable,
            "refused",
        ),
        (
            "ssh: Could not resolve hostname example.com",
            255,
            Kind::Unreachable,
            "resolve",
        ),
        (
            "ERROR: Repository not found.",
            1,
            Kind::NotFound,
            "no repository",
        ),
        (
            "fatal: '/x' does not appear to be a git repository",
            128,
            Kind::NotFound,
            "no repository",
        ),
        ("", 7, Kind::Unreachable, "status 7"),
    ] {
        let program = fake_ssh(
            folder.path(),
            &format!("echo \"{says}\" >&2; exit {status}"),
        );
        let error = refusal(&source(&program, "shop.git")).await;
        assert_kind(&error, kind, &[word, "example.com/shop.git"]);
    }
    let missing = source(Path::new("/nowhere/ssh"), "shop.git");
    assert_kind(
        &refusal(&missing).await,
        Kind::Unreachable,
        &["could not run /nowhere/ssh"],
    );
}

#[tokio::test]
async fn a_hanging_ssh_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let program = fake_ssh(folder.path(), "echo $$ > \"$0.pid\"; exec sleep 1000");
    let source = GitSource::builder("example.com:shop.git")
        .ssh_program(&program)
        .connect_timeout(Duration::from_secs(2))
        .stall_timeout(Duration::from_millis(500))
        .build()
        .unwrap();
    let start = Instant::now();
    let error = source.resolve().await.unwrap_err();
    assert!(matches!(cause(&error), GitError::Timeout { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(20));
    let pid = std::fs::read_to_string(folder.path().join("fake-ssh.pid")).unwrap();
    let process = PathBuf::from("/proc").join(pid.trim());
    for _ in 0..100 {
        if !process.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let state = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
    assert!(state.contains(") Z"), "still running: {state}");
}

/// Debian's and most others' OpenSSH, as an ordinary user on a port of our own.
#[tokio::test]
async fn a_real_openssh_server_is_read() {
    let sshd = Path::new("/usr/sbin/sshd");
    if !sshd.exists() {
        println!(
            "skipped: no {}; install openssh-server to run this",
            sshd.display()
        );
        return;
    }
    let repo = FakeRepo::new().unwrap();
    repo.commit("one").file("a", "1").save().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    for key in ["host", "user", "stranger"] {
        let made = std::process::Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f", &at(key)])
            .status()
            .unwrap();
        assert!(made.success());
    }
    std::fs::copy(at("user.pub"), at("authorized")).unwrap();
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    std::fs::write(
        at("config"),
        format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\n\
             PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nAcceptEnv GIT_PROTOCOL\n",
            at("host"),
            at("authorized")
        ),
    )
    .unwrap();
    let _ = std::fs::create_dir_all("/run/sshd");
    let mut server = std::process::Command::new(sshd)
        .args(["-D", "-e", "-f", &at("config")])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..200 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let host_key = std::fs::read_to_string(at("host.pub")).unwrap();
    std::fs::write(at("known"), format!("[127.0.0.1]:{port} {host_key}")).unwrap();
    std::fs::write(at("unknown"), "").unwrap();
    let source = |key: &str, known: &str| {
        let mut builder =
            GitSource::builder(format!("ssh://127.0.0.1:{port}{}", repo.path().display()));
        for argument in [
            "-F",
            "none",
            "-i",
            &at(key),
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            &format!("UserKnownHostsFile={}", at(known)),
            "-o",
            "GlobalKnownHostsFile=/dev/null",
        ] {
            builder = builder.ssh_argument(argument);
        }
        builder.build().unwrap()
    };
    let good = files(&source("user", "known")).await;
    let stranger = files(&source("stranger", "known")).await;
    let unknown = files(&source("user", "unknown")).await;
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(good.unwrap().read(&path("a")).unwrap(), "1");
    assert_kind(
        &stranger.err().unwrap(),
        Kind::Unauthorized,
        &["Permission denied"],
    );
    assert_kind(&unknown.err().unwrap(), Kind::Unreachable, &["not trusted"]);
}
