//! Signatures made by git with gpg and ssh-keygen, where they are installed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gitops_core::{Source, SystemClock};
use gitops_git::{GitSource, GitSourceBuilder, SignatureError, Trust, TrustMode};
use gitops_testkit::FakeRepo;

use super::flaw;

struct Peer {
    home: tempfile::TempDir,
    repo: FakeRepo,
    tree: String,
}

impl Peer {
    /// None, with a word about it, where one of the programs is missing.
    #[expect(clippy::print_stdout, reason = "a test that was skipped says so")]
    fn new(program: &str) -> Option<Self> {
        if Command::new(program).arg("--version").output().is_err() {
            println!("skipped: no {program} on the PATH");
            return None;
        }
        // A path short enough for the sockets of gpg's agent.
        let home = tempfile::Builder::new()
            .prefix("gg")
            .tempdir_in("/tmp")
            .unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        }
        let repo = FakeRepo::new().unwrap();
        let commit = repo.commit("plain").file("a", "1").save().unwrap();
        let raw = String::from_utf8(repo.read_object("commit", &commit).unwrap()).unwrap();
        let tree = raw.lines().next().unwrap().replace("tree ", "");
        Some(Self { home, repo, tree })
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let output = Command::new(program)
            .args(arguments)
            .env("GNUPGHOME", self.home.path())
            .env("HOME", self.home.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs(["AUTHOR", "COMMITTER"].into_iter().flat_map(|role| {
                [
                    (format!("GIT_{role}_NAME"), "Ann"),
                    (format!("GIT_{role}_EMAIL"), "ann@example.com"),
                ]
            }))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    fn text(&self, program: &str, arguments: &[&str]) -> String {
        String::from_utf8(self.run(program, arguments).stdout)
            .unwrap()
            .trim()
            .to_owned()
    }

    fn git(&self, arguments: &[&str]) -> String {
        let folder = format!("--git-dir={}", self.repo.path().display());
        let mut all = vec![folder.as_str()];
        all.extend_from_slice(arguments);
        self.text("git", &all)
    }

    /// A commit on the default branch, signed by git as these settings say.
    fn commit(&self, settings: &[&str], sign: &str) -> String {
        let mut arguments: Vec<&str> = settings.iter().flat_map(|one| ["-c", one]).collect();
        arguments.extend([
            "commit-tree",
            "-m",
            "a message\n\nwith a body",
            sign,
            &self.tree,
        ]);
        let commit = self.git(&arguments);
        self.repo.force_push("main", &commit).unwrap();
        commit
    }

    fn key(&self, arguments: &[&str]) {
        let mut all = vec![
            "--batch",
            "--quiet",
            "--passphrase",
            "",
            "--quick-generate-key",
        ];
        all.extend_from_slice(arguments);
        self.run("gpg", &all);
    }

    fn exported(&self, user: &str) -> String {
        self.text("gpg", &["--batch", "--armor", "--export", user])
    }

    fn source(&self, trust: Trust) -> GitSourceBuilder {
        GitSource::builder(self.repo.url())
            .trust(trust)
            .clock(SystemClock)
    }

    fn ssh_key(&self, kind: &[&str]) -> (PathBuf, String) {
        let file = self.home.path().join(format!("id-{}", kind.join("-")));
        let mut arguments = vec!["-q", "-N", "", "-C", "a comment", "-f"];
        let name = file.display().to_string();
        arguments.push(&name);
        arguments.push("-t");
        arguments.extend_from_slice(kind);
        self.run("ssh-keygen", &arguments);
        let public = std::fs::read_to_string(file.with_extension("pub"))
            .or_else(|_| std::fs::read_to_string(format!("{name}.pub")))
            .unwrap();
        (file, public)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The agent that gpg started for this home, and no other.
        let _ = Command::new("gpgconf")
            .env("GNUPGHOME", self.home.path())
            .args(["--kill", "gpg-agent"])
            .output();
    }
}

fn head() -> Trust {
    Trust::new(TrustMode::Head)
}

#[tokio::test]
async fn what_gpg_signs_is_believed() {
    let Some(peer) = Peer::new("gpg") else { return };
    for (user, kind) in [
        ("Ann Ed <ed@example.com>", "ed25519"),
        ("Ann Rsa <rsa@example.com>", "rsa2048"),
        ("Ann Nist <nist@example.com>", "nistp256"),
    ] {
        peer.key(&[user, kind, "sign", "never"]);
        let sign = format!("-S{user}");
        let commit = peer.commit(&[], &sign);
        let keys = peer.exported(user);
        let source = peer
            .source(head().openpgp_keys(&keys).unwrap())
            .build()
            .unwrap();
        let revision = source.resolve().await.unwrap();
        assert_eq!(revision.signers[0].name, user);
        assert_eq!(revision.signers[0].object, commit);
        // And git's tag.
        peer.git(&[
            "tag",
            "--force",
            "-u",
            user,
            "-m",
            "a release",
            "v1",
            &commit,
        ]);
        let tagged = Trust::new(TrustMode::TagAndHead)
            .openpgp_keys(&keys)
            .unwrap();
        let source = peer.source(tagged).tag("v1").build().unwrap();
        source.resolve().await.unwrap();
    }
    // Not by another's key.
    let source = peer
        .source(
            head()
                .openpgp_keys(&peer.exported("ed@example.com"))
                .unwrap(),
        )
        .build()
        .unwrap();
    assert!(matches!(flaw(&source).await, SignatureError::UnknownKey(_)));
}

#[tokio::test]
async fn a_subkey_of_gpg_signs_and_an_encryption_key_does_not() {
    let Some(peer) = Peer::new("gpg") else { return };
    peer.key(&["Ann <ann@example.com>", "ed25519", "cert", "never"]);
    let listing = peer.text("gpg", &["--batch", "--with-colons", "--list-keys"]);
    let fingerprint = listing
        .lines()
        .find_map(|line| line.strip_prefix("fpr:"))
        .unwrap()
        .trim_matches(':')
        .to_owned();
    let error = head()
        .openpgp_keys(&peer.exported("ann@example.com"))
        .unwrap_err();
    assert!(
        error.to_string().contains("no key that may sign"),
        "{error}"
    );
    for usage in [["cv25519", "encr"], ["ed25519", "sign"]] {
        peer.run(
            "gpg",
            &[
                "--batch",
                "--quiet",
                "--passphrase",
                "",
                "--quick-add-key",
                &fingerprint,
                usage[0],
                usage[1],
                "never",
            ],
        );
    }
    peer.commit(&[], "-Sann@example.com");
    let keys = peer.exported("ann@example.com");
    let source = peer
        .source(head().openpgp_keys(&keys).unwrap())
        .build()
        .unwrap();
    let revision = source.resolve().await.unwrap();
    assert_eq!(revision.signers[0].key.to_uppercase(), fingerprint);
}

#[tokio::test]
async fn what_gpg_says_of_expired_and_revoked_keys_is_understood() {
    let Some(peer) = Peer::new("gpg") else { return };
    // Made, valid and used in January 2026; looked at today.
    let then = "20260101T000000!";
    peer.run(
        "gpg",
        &[
            "--batch",
            "--quiet",
            "--passphrase",
            "",
            "--faked-system-time",
            then,
            "--quick-generate-key",
            "Old <old@example.com>",
            "ed25519",
            "sign",
            "10d",
        ],
    );
    let program = peer.home.path().join("gpg-then");
    write_program(
        &program,
        &format!("exec gpg --faked-system-time {then} \"$@\""),
    );
    let setting = format!("gpg.program={}", program.display());
    peer.commit(&[&setting], "-Sold@example.com");
    let keys = peer.exported("old@example.com");
    let source = peer
        .source(head().openpgp_keys(&keys).unwrap())
        .build()
        .unwrap();
    assert!(matches!(flaw(&source).await, SignatureError::Expired(_)));

    peer.key(&["Gone <gone@example.com>", "ed25519", "sign", "never"]);
    peer.commit(&[], "-Sgone@example.com");
    let before = peer.exported("gone@example.com");
    let source = peer
        .source(head().openpgp_keys(&before).unwrap())
        .build()
        .unwrap();
    source.resolve().await.unwrap();
    // gpg makes a revocation beforehand, with a colon before the first line.
    let certificates = peer.home.path().join("openpgp-revocs.d");
    let key = source.resolve().await.unwrap().signers[0]
        .key
        .to_uppercase();
    let certificate = std::fs::read_to_string(certificates.join(format!("{key}.rev"))).unwrap();
    let file = peer.home.path().join("revocation");
    std::fs::write(&file, certificate.replace(":-----BEGIN", "-----BEGIN")).unwrap();
    peer.run(
        "gpg",
        &[
            "--batch",
            "--quiet",
            "--import",
            &file.display().to_string(),
        ],
    );
    let after = peer.exported("gone@example.com");
    let source = peer
        .source(head().openpgp_keys(&after).unwrap())
        .build()
        .unwrap();
    assert!(matches!(flaw(&source).await, SignatureError::Revoked(_)));
}

#[tokio::test]
async fn sha_1_of_gpg_is_refused() {
    let Some(peer) = Peer::new("gpg") else { return };
    peer.key(&["Ann <ann@example.com>", "rsa2048", "sign", "never"]);
    let program = peer.home.path().join("gpg-sha1");
    write_program(
        &program,
        "exec gpg --digest-algo SHA1 --weak-digest MD5 --allow-weak-digest-algos \"$@\"",
    );
    let setting = format!("gpg.program={}", program.display());
    peer.commit(&[&setting], "-Sann@example.com");
    let keys = peer.exported("ann@example.com");
    let source = peer
        .source(head().openpgp_keys(&keys).unwrap())
        .build()
        .unwrap();
    assert!(matches!(flaw(&source).await, SignatureError::Weak(_)));
}

#[tokio::test]
async fn what_ssh_keygen_signs_is_believed_as_git_believes_it() {
    let Some(peer) = Peer::new("ssh-keygen") else {
        return;
    };
    for kind in [
        &["ed25519"][..],
        &["rsa", "-b", "3072"],
        &["ecdsa", "-b", "256"],
        &["ecdsa", "-b", "384"],
        &["ecdsa", "-b", "521"],
    ] {
        let (file, public) = peer.ssh_key(kind);
        let key = format!("user.signingKey={}", file.display());
        let commit = peer.commit(&["gpg.format=ssh", &key], "-S");
        for (options, believed) in [
            ("", true),
            ("namespaces=\"git\"", true),
            ("namespaces=\"g*\"", true),
            ("namespaces=\"file\"", false),
            ("valid-after=\"20200101\"", true),
            ("valid-after=\"20990101\"", false),
            ("valid-before=\"20200101\"", false),
        ] {
            let line = format!("ann@example.com {options} {public}");
            let allowed = peer.home.path().join("allowed");
            std::fs::write(&allowed, &line).unwrap();
            let setting = format!("gpg.ssh.allowedSignersFile={}", allowed.display());
            let git = Command::new("git")
                .arg(format!("--git-dir={}", peer.repo.path().display()))
                .args(["-c", &setting, "verify-commit", &commit])
                .env("HOME", peer.home.path())
                .output()
                .unwrap();
            assert_eq!(git.status.success(), believed, "git on {line}");
            let source = peer
                .source(head().allowed_signers(&line).unwrap())
                .build()
                .unwrap();
            let ours = source.resolve().await;
            assert_eq!(ours.is_ok(), believed, "{line}: {ours:?}");
        }
        // And a tag.
        peer.git(&[
            "-c",
            "gpg.format=ssh",
            "-c",
            &key,
            "tag",
            "--force",
            "-s",
            "-m",
            "a release",
            "v1",
            &commit,
        ]);
        let policy = Trust::new(TrustMode::TagAndHead)
            .allowed_signers(&format!("ann@example.com {public}"))
            .unwrap();
        let source = peer.source(policy).tag("v1").build().unwrap();
        source.resolve().await.unwrap();
    }
}

#[tokio::test]
async fn short_rsa_keys_are_refused() {
    let Some(peer) = Peer::new("ssh-keygen") else {
        return;
    };
    let (_, public) = peer.ssh_key(&["rsa", "-b", "1024"]);
    let error = head()
        .allowed_signers(&format!("ann@example.com {public}"))
        .unwrap_err();
    assert!(error.to_string().contains("1024 bits"), "{error}");
}

fn write_program(file: &Path, line: &str) {
    std::fs::write(file, format!("#!/bin/sh\n{line}\n")).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}
