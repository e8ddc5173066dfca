//! Ways to pass off what nobody trusted signed.

use gitops_core::{Source, SourceErrorKind as Kind};
use gitops_git::{KeyValidity, SignatureError, TrustMode};
use gitops_testkit::FakeRepo;
use gitops_testkit::repo::SigningKey;

use super::{
    DAY, FIRST, ann, ann_pgp, bob, builder, clock_at, commit_object, disbelief, flaw, source, trust,
};
use crate::assert_kind;

/// Signs the raw bytes of a commit, as Git would.
pub(crate) fn with_signature(raw: &[u8], key: &SigningKey) -> Vec<u8> {
    insert(raw, &key.sign(raw, FIRST + 60).unwrap())
}

/// Puts a header into a commit, after the others.
fn insert(raw: &[u8], signature: &str) -> Vec<u8> {
    let at = raw.windows(2).position(|pair| pair == b"\n\n").unwrap() + 1;
    let header = format!("gpgsig {}\n", signature.trim_end().replace('\n', "\n "));
    [&raw[..at], header.as_bytes(), &raw[at..]].concat()
}

fn raw(repo: &FakeRepo, commit: &str) -> String {
    String::from_utf8(repo.read_object("commit", commit).unwrap()).unwrap()
}

#[tokio::test]
async fn a_key_that_nobody_trusts_proves_nothing() {
    let repo = FakeRepo::new().unwrap();
    let mallory = SigningKey::openpgp("Ann <ann@example.com> ").unwrap();
    for key in [bob(), mallory] {
        repo.commit("x").file("a", "1").sign(&key).save().unwrap();
        let source = source(&repo.url(), trust(TrustMode::Head, &[&ann(), &ann_pgp()]));
        let flaw = flaw(&source).await;
        assert!(matches!(flaw, SignatureError::UnknownKey(_)), "{flaw}");
    }
}

#[tokio::test]
async fn a_signature_moved_to_another_commit_is_bad() {
    for key in [ann(), ann_pgp()] {
        let repo = FakeRepo::new().unwrap();
        let good = repo
            .commit("good")
            .file("a", "1")
            .sign(&key)
            .save()
            .unwrap();
        let evil = repo.commit("evil").file("a", "2").save().unwrap();
        let stolen = raw(&repo, &good);
        let start = stolen.find("gpgsig ").unwrap();
        let end = stolen.find("\n\n").unwrap();
        let signature = stolen[start + 7..end].replace("\n ", "\n");
        commit_object(&repo, &insert(raw(&repo, &evil).as_bytes(), &signature));
        let source = source(&repo.url(), trust(TrustMode::Head, &[&key]));
        let flaw = flaw(&source).await;
        assert!(matches!(flaw, SignatureError::Bad(_)), "{flaw}");
    }
}

/// S18: what is checked is what is stored, byte for byte.
#[tokio::test]
async fn a_byte_changed_anywhere_in_a_signed_commit_is_noticed() {
    let repo = FakeRepo::new().unwrap();
    let id = repo
        .commit("subject\n\nbody \n")
        .file("a", "1")
        .sign(&ann())
        .save()
        .unwrap();
    let good = raw(&repo, &id);
    for changed in [
        good.replace("Fake Author", "Fake  Author"),
        good.replace("body \n", "body\n"),
        format!("{good}\n"),
        good.replace(" +0000\ncommitter", " +0100\ncommitter"),
        good.replace("\n\nsubject", "\nencoding UTF-8\n\nsubject"),
        good.replace("subject", "subject\r"),
    ] {
        assert_ne!(changed, good);
        commit_object(&repo, changed.as_bytes());
        let source = source(&repo.url(), trust(TrustMode::Head, &[&ann()]));
        let flaw = flaw(&source).await;
        assert!(matches!(flaw, SignatureError::Bad(_)), "{changed}: {flaw}");
    }
}

#[tokio::test]
async fn a_commit_with_two_signatures_is_refused_whichever_is_good() {
    let repo = FakeRepo::new().unwrap();
    let plain = repo.commit("x").file("a", "1").save().unwrap();
    let plain = raw(&repo, &plain);
    let once = with_signature(plain.as_bytes(), &ann());
    for other in [bob(), ann(), ann_pgp()] {
        let twice = insert(&once, &other.sign(plain.as_bytes(), FIRST).unwrap());
        commit_object(&repo, &twice);
        let source = source(&repo.url(), trust(TrustMode::Head, &[&ann()]));
        let flaw = flaw(&source).await;
        assert!(flaw.to_string().contains("more than one"), "{flaw}");
    }
    let hidden = String::from_utf8(once)
        .unwrap()
        .replace("gpgsig", "gpgsig-sha256");
    commit_object(&repo, hidden.as_bytes());
    let source = source(&repo.url(), trust(TrustMode::Head, &[&ann()]));
    assert!(flaw(&source).await.to_string().contains("another hash"));
}

#[tokio::test]
async fn a_signature_in_the_message_or_in_a_merged_tag_is_none() {
    let repo = FakeRepo::new().unwrap();
    let plain = repo.commit("x").file("a", "1").save().unwrap();
    let tag = repo.signed_tag("v1", &plain, "x", &ann()).unwrap();
    let tag = String::from_utf8(repo.read_object("tag", &tag).unwrap()).unwrap();
    let mergetag = format!("mergetag {}\n", tag.trim_end().replace('\n', "\n "));
    let plain = raw(&repo, &plain);
    let signature = ann().sign(plain.as_bytes(), FIRST).unwrap();
    for disguised in [
        plain.replacen("\n\n", &format!("\n{mergetag}\n"), 1),
        format!("{plain}\n{signature}"),
        format!("{plain}\ngpgsig {}", signature.replace('\n', "\n ")),
    ] {
        commit_object(&repo, disguised.as_bytes());
        let source = source(&repo.url(), trust(TrustMode::Head, &[&ann()]));
        assert_eq!(flaw(&source).await, SignatureError::Missing, "{disguised}");
    }
    // A merged tag of somebody's is part of what a signer signs.
    let merged = plain.replacen("\n\n", &format!("\n{mergetag}\n"), 1);
    commit_object(&repo, &with_signature(merged.as_bytes(), &ann()));
    let source = source(&repo.url(), trust(TrustMode::Head, &[&ann()]));
    source.resolve().await.unwrap();
}

#[tokio::test]
async fn a_signed_tag_counts_only_under_its_own_name_and_for_its_own_commit() {
    let repo = FakeRepo::new().unwrap();
    let old = repo.commit("old").file("a", "1").save().unwrap();
    let new = repo.commit("new").file("a", "2").save().unwrap();
    let tag = repo.signed_tag("v1", &old, "x", &ann()).unwrap();
    let server = repo.serve().unwrap();
    // A release that was withdrawn, passed off as the next one.
    repo.set_ref("refs/tags/v2", &tag).unwrap();
    repo.set_ref("refs/tags/deep/v1", &tag).unwrap();
    // A tag of a tag, the inner one signed.
    let outer = format!("object {tag}\ntype tag\ntag v3\ntagger x <x@y> 1 +0000\n\nx\n");
    let outer = repo.write_object("tag", outer.as_bytes()).unwrap();
    repo.set_ref("refs/tags/v3", &outer).unwrap();
    // The signature of one tag in another.
    let text = String::from_utf8(repo.read_object("tag", &tag).unwrap()).unwrap();
    let moved = text.replace(&old, &new);
    let moved = repo.write_object("tag", moved.as_bytes()).unwrap();
    repo.set_ref("refs/tags/v4", &moved).unwrap();
    for url in [repo.url(), server.url()] {
        for (name, words) in [
            ("v2", &["calls itself \"v1\"", "v2"][..]),
            ("deep/v1", &["calls itself \"v1\""]),
            ("v3", &[]),
            ("v4", &["calls itself \"v1\""]),
        ] {
            let source = builder(&url, trust(TrustMode::Tag, &[&ann()]))
                .tag(name)
                .build()
                .unwrap();
            assert_kind(&disbelief(&source).await, Kind::Untrusted, words);
        }
        repo.set_ref("refs/tags/v1", &moved).unwrap();
        let source = builder(&url, trust(TrustMode::Tag, &[&ann()]))
            .tag("v1")
            .build()
            .unwrap();
        assert!(matches!(flaw(&source).await, SignatureError::Bad(_)));
        repo.set_ref("refs/tags/v1", &tag).unwrap();
    }
}

/// Git's signatures do not name a repository; a commit that only one has does.
#[tokio::test]
async fn a_signed_tag_of_another_repository_is_refused() {
    let other = FakeRepo::new().unwrap();
    let theirs = other.commit("theirs").file("a", "evil").save().unwrap();
    let tag = other.signed_tag("v1", &theirs, "x", &ann()).unwrap();
    let repo = FakeRepo::new().unwrap();
    let ours = repo.commit("ours").file("a", "1").save().unwrap();
    // All its objects are pushed here, with the tag.
    let pushed = std::process::Command::new("git")
        .arg(format!("--git-dir={}", other.path().display()))
        .args(["push", "--quiet"])
        .arg(repo.path())
        .arg("refs/tags/v1")
        .status()
        .unwrap();
    assert!(pushed.success());
    let _ = tag;
    let policy = || trust(TrustMode::Tag, &[&ann()]);
    let server = repo.serve().unwrap();
    for url in [repo.url(), server.url()] {
        let bound = builder(&url, policy().starting_from(&ours))
            .tag("v1")
            .build()
            .unwrap();
        assert_kind(
            &disbelief(&bound).await,
            Kind::Untrusted,
            &["does not come from", &ours],
        );
    }
    let own = repo.commit("two").file("a", "2").save().unwrap();
    repo.signed_tag("v2", &own, "x", &ann()).unwrap();
    let bound = builder(&repo.url(), policy().starting_from(&ours))
        .tag("v2")
        .build()
        .unwrap();
    bound.resolve().await.unwrap();
}

#[tokio::test]
async fn a_signature_for_something_else_is_none_for_git() {
    let repo = FakeRepo::new().unwrap();
    for namespace in ["file", "git ", "Git", "git\0"] {
        let key = ann().with_namespace(namespace);
        repo.commit("x").file("a", "1").sign(&key).save().unwrap();
        let source = source(&repo.url(), trust(TrustMode::Head, &[&ann()]));
        let flaw = flaw(&source).await;
        assert!(matches!(flaw, SignatureError::Namespace(_)), "{flaw}");
    }
    // A key that may sign files may not sign commits.
    repo.commit("x").file("a", "1").sign(&ann()).save().unwrap();
    let line = ann()
        .public_key()
        .replace(" ssh-", " namespaces=\"file,email\" ssh-");
    let policy = gitops_git::Trust::new(TrustMode::Head)
        .allowed_signers(&line)
        .unwrap();
    assert!(matches!(
        flaw(&source(&repo.url(), policy)).await,
        SignatureError::Namespace(_)
    ));
}

#[tokio::test]
async fn a_key_counts_only_within_its_time() {
    let repo = FakeRepo::new().unwrap();
    // Signed on the first of January 2026.
    repo.commit("x").file("a", "1").sign(&ann()).save().unwrap();
    let with = |option: &str| {
        let line = ann()
            .public_key()
            .replace(" ssh-", &format!(" {option} ssh-"));
        gitops_git::Trust::new(TrustMode::Head)
            .allowed_signers(&line)
            .unwrap()
    };
    let url = repo.url();
    for fine in [
        "valid-after=\"20251231\"",
        "valid-after=\"20260101Z\",valid-before=\"20260201\"",
    ] {
        source(&url, with(fine)).resolve().await.unwrap();
    }
    for (option, expired) in [
        ("valid-before=\"20260101Z\"", true),
        ("valid-before=\"20251231\"", true),
        ("valid-after=\"20260102\"", false),
    ] {
        let flaw = flaw(&source(&url, with(option))).await;
        match expired {
            true => assert!(matches!(flaw, SignatureError::Expired(_)), "{flaw}"),
            false => assert!(matches!(flaw, SignatureError::NotYetValid(_)), "{flaw}"),
        }
    }
    // The key is of the past now. Whoever has it could date back.
    let past = || with("valid-before=\"20260110\"");
    let late = |policy| {
        builder(&url, policy)
            .clock(clock_at(FIRST + 30 * DAY))
            .build()
            .unwrap()
    };
    assert!(matches!(
        flaw(&late(past())).await,
        SignatureError::Expired(_)
    ));
    late(past().key_validity(KeyValidity::WhenSigned))
        .resolve()
        .await
        .unwrap();
}

/// S19: whatever can't be read is not verified.
#[tokio::test]
async fn nonsense_in_place_of_a_signature_is_refused_and_panics_nowhere() {
    let repo = FakeRepo::new().unwrap();
    let plain = repo.commit("x").file("a", "1").save().unwrap();
    let plain = raw(&repo, &plain);
    let ssh = ann().sign(plain.as_bytes(), FIRST).unwrap();
    let pgp = ann_pgp().sign(plain.as_bytes(), FIRST).unwrap();
    let mut bad = vec![
        "nonsense".to_owned(),
        "-----BEGIN SIGNED MESSAGE-----\nMIIC\n-----END SIGNED MESSAGE-----".to_owned(),
        "-----BEGIN PGP SIGNATURE-----\n-----END PGP SIGNATURE-----".to_owned(),
        "-----BEGIN PGP MESSAGE-----\n\nAAAA\n-----END PGP MESSAGE-----".to_owned(),
        format!("{ssh}{pgp}"),
        ssh.replace("SSH SIGNATURE", "PGP SIGNATURE"),
        pgp.replace("PGP SIGNATURE", "SSH SIGNATURE"),
        ann_pgp().public_key(),
    ];
    for whole in [&ssh, &pgp] {
        let lines: Vec<_> = whole.lines().collect();
        for cut in 1..lines.len() {
            bad.push(lines[..cut].join("\n"));
        }
        for at in (40..whole.len() - 40).step_by(7) {
            let mut bytes = whole.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            bad.push(String::from_utf8(bytes).unwrap());
        }
    }
    let source = source(&repo.url(), trust(TrustMode::Head, &[&ann(), &ann_pgp()]));
    for signature in bad {
        commit_object(&repo, &insert(plain.as_bytes(), &signature));
        // A flipped byte may hit what is not signed, such as a checksum of the armor, or an
        // unhashed part: then it is the same signature still.
        if let Err(error) = source.resolve().await {
            assert_kind(&error, Kind::Untrusted, &[]);
        } else {
            assert!(signature.contains("PGP SIGNATURE"), "{signature}");
        }
    }
}
