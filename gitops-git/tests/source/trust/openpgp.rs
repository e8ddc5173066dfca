//! OpenPGP keys and what may become of them.

use gitops_core::Source;
use gitops_git::{KeyValidity, SignatureError, Trust, TrustMode};
use gitops_testkit::FakeRepo;
use gitops_testkit::repo::SigningKey;

use super::{DAY, FIRST, ann_pgp, builder, clock_at, flaw, source, trust};

const USER: &str = "Ann <ann@example.com>";

fn repo(key: &SigningKey) -> FakeRepo {
    let repo = FakeRepo::new().unwrap();
    repo.commit("x").file("a", "1").sign(key).save().unwrap();
    repo
}

#[tokio::test]
async fn an_expired_key_is_refused() {
    let key = SigningKey::openpgp_for(USER, FIRST - DAY, Some(86_400 * 10)).unwrap();
    let repo = repo(&key);
    let at = |days: i64, validity| {
        let policy = trust(TrustMode::Head, &[&key]).key_validity(validity);
        builder(&repo.url(), policy)
            .clock(clock_at(FIRST + days * DAY))
            .build()
            .unwrap()
    };
    at(8, KeyValidity::Now).resolve().await.unwrap();
    let late = flaw(&at(9, KeyValidity::Now)).await;
    assert!(matches!(late, SignatureError::Expired(_)), "{late}");
    at(9, KeyValidity::WhenSigned).resolve().await.unwrap();
    // Expired already when it signed.
    let old = SigningKey::openpgp_for(USER, FIRST - 20 * DAY, Some(86_400 * 10)).unwrap();
    let repo = self::repo(&old);
    for validity in [KeyValidity::Now, KeyValidity::WhenSigned] {
        let policy = trust(TrustMode::Head, &[&old]).key_validity(validity);
        let flaw = flaw(&source(&repo.url(), policy)).await;
        assert!(matches!(flaw, SignatureError::Expired(_)), "{flaw}");
    }
}

#[tokio::test]
async fn a_revoked_key_is_refused_and_a_retired_one_for_what_came_later() {
    let repo = repo(&ann_pgp());
    for (at, retired, believed) in [
        (FIRST - DAY, false, false),
        (FIRST - DAY, true, false),
        // Who stole the key can date back.
        (FIRST + DAY, false, false),
        (FIRST + DAY, true, true),
    ] {
        let revoked = ann_pgp().revoke(at, retired).unwrap();
        let source = source(&repo.url(), trust(TrustMode::Head, &[&revoked]));
        if believed {
            source.resolve().await.unwrap();
        } else {
            let flaw = flaw(&source).await;
            assert!(matches!(flaw, SignatureError::Revoked(_)), "{flaw}");
        }
    }
}

/// A commit and a key of gpg 2.2, asked for SHA-1; neither library here makes such any more.
#[tokio::test]
async fn sha_1_is_refused() {
    let repo = FakeRepo::new().unwrap();
    repo.write_object("tree", b"").unwrap();
    super::commit_object(&repo, include_bytes!("../../data/sha1/commit"));
    let policy = Trust::new(TrustMode::Head)
        .openpgp_keys(include_str!("../../data/sha1/key.asc"))
        .unwrap();
    let flaw = flaw(&source(&repo.url(), policy)).await;
    assert!(
        matches!(&flaw, SignatureError::Weak(what) if what.contains("SHA1")),
        "{flaw}"
    );
}

#[tokio::test]
async fn the_clock_is_the_one_that_is_passed_in() {
    let key = ann_pgp();
    let repo = repo(&key);
    repo.commit("later")
        .at(FIRST + 5 * DAY)
        .file("a", "2")
        .sign(&key)
        .save()
        .unwrap();
    let at = |seconds| {
        builder(&repo.url(), trust(TrustMode::Head, &[&key]))
            .clock(clock_at(seconds))
            .build()
            .unwrap()
    };
    let early = flaw(&at(FIRST + 4 * DAY)).await;
    assert_eq!(early, SignatureError::FromTheFuture);
    // Clocks differ by some minutes.
    at(FIRST + 5 * DAY - 200).resolve().await.unwrap();
    // A key that did not exist yet.
    let young = SigningKey::openpgp_for(USER, FIRST + DAY, None).unwrap();
    let repo = self::repo(&young);
    let source = builder(&repo.url(), trust(TrustMode::Head, &[&young]))
        .clock(clock_at(FIRST + 2 * DAY))
        .build()
        .unwrap();
    let flaw = flaw(&source).await;
    assert!(matches!(flaw, SignatureError::NotYetValid(_)), "{flaw}");
}

#[test]
fn keys_that_can_not_be_trusted_are_refused_when_given() {
    let refusal = |text: &str| {
        Trust::new(TrustMode::Head)
            .openpgp_keys(text)
            .unwrap_err()
            .to_string()
    };
    assert!(refusal("").contains("no armored public key"));
    assert!(refusal("-----BEGIN PGP PRIVATE KEY BLOCK-----").contains("private key"));
    let whole = ann_pgp().public_key();
    let cut = whole.replace("-----END PGP PUBLIC KEY BLOCK-----", "");
    assert!(refusal(&cut).contains("does not end"));
    for at in (60..whole.len() - 60).step_by(5) {
        let mut bytes = whole.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        // Read or refused; never a panic.
        let _ = Trust::new(TrustMode::Head).openpgp_keys(&String::from_utf8(bytes).unwrap());
    }
    // Several blocks, and words around them.
    let many = format!(
        "ann:\n{whole}\nbob:\n{}",
        SigningKey::openpgp("Bob <b@h>").unwrap().public_key()
    );
    let _ = Trust::new(TrustMode::Head).openpgp_keys(&many).unwrap();
}
