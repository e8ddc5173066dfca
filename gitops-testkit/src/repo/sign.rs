//! Keys that sign commits and tags.

use pgp::composed::{
    ArmorOptions, DetachedSignature, KeyType, SecretKeyParamsBuilder, SignedSecretKey,
    SubpacketConfig,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    KeyFlags, RevocationCode, SignatureConfig, SignatureType, Subpacket, SubpacketData,
};
use pgp::types::{Duration, KeyDetails as _, Password, Tag, Timestamp};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey};

use super::{FIRST_COMMIT, FakeRepoError};

/// A day before the first commit of a [`FakeRepo`](super::FakeRepo).
const MADE: i64 = FIRST_COMMIT - 86_400;

/// A key that signs commits and tags, made in the process.
///
/// It is made from the name, so that the same calls give the same commit ids on every machine;
/// there is nothing secret about it.
///
/// ```
/// use gitops_testkit::repo::{FakeRepo, SigningKey};
///
/// let ann = SigningKey::ssh("ann@example.com")?;
/// let repo = FakeRepo::new()?;
/// let commit = repo.commit("signed").file("a.yaml", "a: 1\n").sign(&ann).save()?;
/// repo.signed_tag("v1.0.0", &commit, "the first", &ann)?;
/// assert!(ann.public_key().starts_with("ann@example.com ssh-ed25519 "));
/// # Ok::<_, gitops_testkit::repo::FakeRepoError>(())
/// ```
#[derive(Debug, Clone)]
pub struct SigningKey {
    key: Key,
    namespace: String,
}

#[derive(Debug, Clone)]
enum Key {
    OpenPgp(Box<SignedSecretKey>),
    Ssh {
        principal: String,
        key: Box<PrivateKey>,
    },
}

fn failed(what: &'static str) -> impl Fn(pgp::errors::Error) -> FakeRepoError {
    move |error| FakeRepoError::Key {
        what,
        message: error.to_string(),
    }
}

fn failed_ssh(what: &'static str) -> impl Fn(ssh_key::Error) -> FakeRepoError {
    move |error| FakeRepoError::Key {
        what,
        message: error.to_string(),
    }
}

/// The same for the same name.
fn random(name: &str) -> StdRng {
    let digest = gitops_core::Digest::of(name.as_bytes());
    let mut seed = [0; 32];
    for (to, from) in seed.iter_mut().zip(digest.to_string().bytes().rev()) {
        *to = from;
    }
    StdRng::from_seed(seed)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(u32::try_from(seconds).unwrap_or(0))
}

impl SigningKey {
    /// An Ed25519 key as `ssh-keygen` makes them.
    ///
    /// # Errors
    ///
    /// When the key can't be made.
    pub fn ssh(principal: impl Into<String>) -> Result<Self, FakeRepoError> {
        let principal = principal.into();
        let key = PrivateKey::random(&mut random(&principal), Algorithm::Ed25519)
            .map_err(failed_ssh("make an SSH key"))?;
        Ok(Self::of(Key::Ssh {
            principal,
            key: Box::new(key),
        }))
    }

    /// An Ed25519 key as `gpg` makes them, for a user id such as `Ann <ann@example.com>`. It
    /// is made a day before the first commit and does not expire.
    ///
    /// # Errors
    ///
    /// When the key can't be made.
    pub fn openpgp(user_id: impl Into<String>) -> Result<Self, FakeRepoError> {
        Self::openpgp_for(user_id, MADE, None)
    }

    /// As [`openpgp`](Self::openpgp), made at a time, in seconds since 1970, and valid for so
    /// many seconds.
    ///
    /// # Errors
    ///
    /// When the key can't be made.
    pub fn openpgp_for(
        user_id: impl Into<String>,
        made: i64,
        seconds: Option<u32>,
    ) -> Result<Self, FakeRepoError> {
        let user_id = user_id.into();
        let failed = failed("make an OpenPGP key");
        let mut rng = random(&user_id);
        let params = SecretKeyParamsBuilder::default()
            .key_type(KeyType::Ed25519Legacy)
            .can_certify(true)
            .can_sign(true)
            .created_at(at(made))
            .primary_user_id(user_id)
            .build()
            .map_err(|error| FakeRepoError::Key {
                what: "make an OpenPGP key",
                message: error.to_string(),
            })?;
        let mut key = params.generate(&mut rng).map_err(&failed)?;
        // The library dates its own signature with the machine's clock, and has no expiry.
        let mut flags = KeyFlags::default();
        flags.set_certify(true);
        flags.set_sign(true);
        let mut packets = vec![
            SubpacketData::SignatureCreationTime(at(made)),
            SubpacketData::IssuerFingerprint(key.primary_key.fingerprint()),
            SubpacketData::KeyFlags(flags),
            SubpacketData::IsPrimary(true),
        ];
        packets.extend(
            seconds.map(|seconds| SubpacketData::KeyExpirationTime(Duration::from_secs(seconds))),
        );
        let config =
            config(&mut rng, &key, SignatureType::CertPositive, packets).map_err(&failed)?;
        let public = key.primary_key.public_key().clone();
        if let Some(user) = key.details.users.first_mut() {
            let own = config
                .sign_certification(
                    &key.primary_key,
                    &public,
                    &Password::empty(),
                    Tag::UserId,
                    &user.id,
                )
                .map_err(&failed)?;
            user.signatures = vec![own];
        }
        Ok(Self::of(Key::OpenPgp(Box::new(key))))
    }

    fn of(key: Key) -> Self {
        Self {
            key,
            namespace: "git".to_owned(),
        }
    }

    /// Signs for something else than Git. SSH only; OpenPGP has no such thing.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Revokes an OpenPGP key at a time, in seconds since 1970: because it was `retired`, or
    /// because it was stolen. An SSH key stays as it is.
    ///
    /// # Errors
    ///
    /// When the revocation can't be made.
    pub fn revoke(mut self, seconds: i64, retired: bool) -> Result<Self, FakeRepoError> {
        let failed = failed("revoke an OpenPGP key");
        if let Key::OpenPgp(key) = &mut self.key {
            let reason = match retired {
                true => RevocationCode::KeyRetired,
                false => RevocationCode::KeyCompromised,
            };
            let packets = vec![
                SubpacketData::SignatureCreationTime(at(seconds)),
                SubpacketData::IssuerFingerprint(key.primary_key.fingerprint()),
                SubpacketData::RevocationReason(reason, "".into()),
            ];
            let public = key.primary_key.public_key().clone();
            let revocation = config(
                &mut random("revocation"),
                key,
                SignatureType::KeyRevocation,
                packets,
            )
            .and_then(|config| config.sign_key(&key.primary_key, &Password::empty(), &public))
            .map_err(failed)?;
            key.details.revocation_signatures.push(revocation);
        }
        Ok(self)
    }

    /// What a verifier needs: a line of an allowed-signers file, or an armored key.
    #[must_use]
    pub fn public_key(&self) -> String {
        match &self.key {
            Key::Ssh { principal, key } => format!(
                "{principal} {}\n",
                key.public_key().to_openssh().unwrap_or_default()
            ),
            Key::OpenPgp(key) => key
                .to_public_key()
                .to_armored_string(ArmorOptions::default())
                .unwrap_or_default(),
        }
    }

    /// A signature over these bytes, made at a time in seconds since 1970, as Git stores it.
    ///
    /// # Errors
    ///
    /// When the signature can't be made.
    pub fn sign(&self, payload: &[u8], seconds: i64) -> Result<String, FakeRepoError> {
        match &self.key {
            Key::Ssh { key, .. } => key
                .sign(&self.namespace, HashAlg::Sha512, payload)
                .and_then(|signature| signature.to_pem(LineEnding::LF))
                .map_err(failed_ssh("sign")),
            Key::OpenPgp(key) => {
                let hashed = [
                    SubpacketData::SignatureCreationTime(at(seconds)),
                    SubpacketData::IssuerFingerprint(key.primary_key.fingerprint()),
                ]
                .into_iter()
                .map(Subpacket::regular)
                .collect::<Result<_, _>>()
                .map_err(failed("sign"))?;
                DetachedSignature::sign_binary_data_with_subpackets(
                    random("signature"),
                    &key.primary_key,
                    &Password::empty(),
                    HashAlgorithm::Sha256,
                    payload,
                    SubpacketConfig::UserDefined {
                        hashed,
                        unhashed: Vec::new(),
                    },
                )
                .and_then(|signature| signature.to_armored_string(ArmorOptions::default()))
                .map_err(failed("sign"))
            }
        }
    }
}

fn config(
    rng: &mut StdRng,
    key: &SignedSecretKey,
    kind: SignatureType,
    packets: Vec<SubpacketData>,
) -> pgp::errors::Result<SignatureConfig> {
    let mut config = SignatureConfig::from_key(rng, &key.primary_key, kind)?;
    config.hashed_subpackets = packets
        .into_iter()
        .map(Subpacket::regular)
        .collect::<pgp::errors::Result<_>>()?;
    Ok(config)
}

/// Puts a signature into a commit as Git does: as a header, each further line indented.
pub(super) fn into_commit(commit: &[u8], signature: &str, sha256: bool) -> Vec<u8> {
    let body = commit
        .windows(2)
        .position(|pair| pair == b"\n\n")
        .map_or(commit.len(), |at| at + 1);
    let (headers, rest) = commit.split_at(body);
    let name = if sha256 { "gpgsig-sha256" } else { "gpgsig" };
    let value = signature.trim_end().replace('\n', "\n ");
    let mut signed = headers.to_vec();
    signed.extend_from_slice(format!("{name} {value}\n").as_bytes());
    signed.extend_from_slice(rest);
    signed
}
