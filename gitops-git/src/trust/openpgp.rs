//! OpenPGP signatures.
//!
//! `pgp` reads packets and does the arithmetic. What a key may do, and since when and until
//! when, is decided here, from the self-signatures of its certificate.

use std::io::Read as _;

use pgp::armor::{BlockType, Dearmor};
use pgp::composed::{Deserializable as _, SignedPublicKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    Packet, PacketParser, PublicKey, PublicSubkey, RevocationCode, Signature, SignatureType,
    SignatureVersion, SubpacketData,
};
use pgp::ser::Serialize as _;
use pgp::types::{KeyDetails, PublicParams, Tag};

use super::{Identity, KeyValidity, SignatureError, Times};
use crate::error::{GitError, one_line};

const BEGIN_KEYS: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END_KEYS: &str = "-----END PGP PUBLIC KEY BLOCK-----";
const MIN_RSA_BITS: usize = 2048;
/// More signatures than that over one object are not for a person to make.
const MAX_SIGNATURES: usize = 16;

/// Somebody's keys, as far as they can sign.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    /// User ids that the owner bound to it, the primary one first.
    names: Vec<String>,
    fingerprint: String,
    keys: Vec<Key>,
}

#[derive(Debug, Clone)]
struct Key {
    public: Public,
    created: u32,
    /// Seconds since 1970; the earliest of its own and its primary key's.
    expires: Option<u64>,
    /// Revocations of it and of its primary key.
    revocations: Vec<Revocation>,
}

#[derive(Debug, Clone)]
enum Public {
    Primary(PublicKey),
    Sub(PublicSubkey),
}

#[derive(Debug, Clone, Copy)]
struct Revocation {
    made: u32,
    /// The key was given up in good order; what it signed before stays good.
    retired: bool,
}

fn strong(hash: Option<HashAlgorithm>) -> bool {
    matches!(
        hash,
        Some(
            HashAlgorithm::Sha256
                | HashAlgorithm::Sha384
                | HashAlgorithm::Sha512
                | HashAlgorithm::Sha3_256
                | HashAlgorithm::Sha3_512
        )
    )
}

/// Reads one or more armored blocks, each with one or more keys.
pub(crate) fn certificates(text: &str) -> Result<Vec<Certificate>, GitError> {
    let refuse = |reason: String| GitError::Setting {
        setting: "OpenPGP keys",
        reason,
    };
    if text.contains("PRIVATE KEY BLOCK") {
        return Err(refuse("hold a private key; give public ones".to_owned()));
    }
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(BEGIN_KEYS) {
        let block = rest.get(at..).unwrap_or_default();
        let Some(end) = block.find(END_KEYS) else {
            return Err(refuse("a block does not end".to_owned()));
        };
        let (block, after) = block.split_at(end + END_KEYS.len());
        rest = after;
        let unreadable =
            |error: pgp::errors::Error| refuse(one_line(&format!("can't be read: {error}")));
        let (keys, _) =
            SignedPublicKey::from_armor_many_buf(block.as_bytes()).map_err(unreadable)?;
        for key in keys {
            let key = key.map_err(unreadable)?;
            let fingerprint = key.fingerprint().to_string();
            found.push(
                Certificate::read(&key)
                    .map_err(|reason| refuse(format!("key {fingerprint}: {reason}")))?,
            );
        }
    }
    if found.is_empty() {
        return Err(refuse(
            "there is no armored public key in them (gpg --armor --export)".to_owned(),
        ));
    }
    Ok(found)
}

impl Certificate {
    fn read(certificate: &SignedPublicKey) -> Result<Self, String> {
        let primary = &certificate.primary_key;
        let details = &certificate.details;
        let mut revocations = Vec::new();
        for revocation in &details.revocation_signatures {
            // One that somebody else was named for, or a broken one: to pass over it could
            // mean to trust a key that was given up.
            revocation
                .verify_key(primary)
                .map_err(|_| "it carries a revocation that can't be checked".to_owned())?;
            revocations.push(Revocation::of(revocation));
        }
        let direct = newest(details.direct_signatures.iter().filter(|signature| {
            signature.typ() == Some(SignatureType::Key) && signature.verify_key(primary).is_ok()
        }));
        // By age of their self-signature, the primary one first.
        let mut users: Vec<(bool, &Signature, String)> = Vec::new();
        for user in &details.users {
            let own = |signature: &&Signature| {
                signature
                    .verify_certification(primary, Tag::UserId, &user.id)
                    .is_ok()
            };
            let (revoked, certified): (Vec<_>, Vec<_>) = user
                .signatures
                .iter()
                .filter(own)
                .partition(|signature| signature.typ() == Some(SignatureType::CertRevocation));
            let Some(newest) = newest(certified.into_iter()) else {
                continue;
            };
            if revoked
                .iter()
                .any(|revocation| made(revocation) >= made(newest))
            {
                continue;
            }
            let name = one_line(&String::from_utf8_lossy(user.id.id()));
            users.push((newest.is_primary(), newest, name));
        }
        users.sort_by_key(|(is_primary, signature, _)| {
            (
                std::cmp::Reverse(*is_primary),
                std::cmp::Reverse(made(signature)),
            )
        });
        let own: Vec<&Signature> = direct
            .into_iter()
            .chain(users.iter().map(|(_, signature, _)| *signature).take(1))
            .collect();
        if own.is_empty() {
            return Err("no signature of its own binds it together".to_owned());
        }
        if let Some(weak) = own.iter().find(|signature| !strong(signature.hash_alg())) {
            return Err(format!(
                "its own signature is made with {}; renew it \
                 (gpg --cert-digest-algo SHA256 --quick-set-expire)",
                weak.hash_alg()
                    .map_or_else(String::new, |hash| hash.to_string())
            ));
        }
        let created = primary.created_at().as_secs();
        let expires = own
            .iter()
            .filter_map(|signature| expiry(created, signature))
            .min();
        let mut keys = Vec::new();
        if own.iter().any(|signature| may_sign(signature)) {
            keys.push(Key {
                public: Public::Primary(primary.clone()),
                created,
                expires,
                revocations: revocations.clone(),
            });
        }
        for subkey in &certificate.public_subkeys {
            let bound = |typ: SignatureType| {
                subkey.signatures.iter().filter(move |signature| {
                    signature.typ() == Some(typ)
                        && signature
                            .verify_subkey_binding(primary, &subkey.key)
                            .is_ok()
                })
            };
            let Some(binding) = newest(bound(SignatureType::SubkeyBinding)) else {
                continue;
            };
            // A key that can sign says itself that it belongs here; otherwise anybody could
            // claim the signatures of another's.
            let claimed_back = binding.embedded_signature().is_some_and(|back| {
                strong(back.hash_alg())
                    && back
                        .verify_primary_key_binding(&subkey.key, primary)
                        .is_ok()
            });
            if !(strong(binding.hash_alg()) && binding.key_flags().sign() && claimed_back) {
                continue;
            }
            let created = subkey.key.created_at().as_secs();
            keys.push(Key {
                public: Public::Sub(subkey.key.clone()),
                created,
                expires: expiry(created, binding).into_iter().chain(expires).min(),
                revocations: bound(SignatureType::SubkeyRevocation)
                    .map(Revocation::of)
                    .chain(revocations.iter().copied())
                    .collect(),
            });
        }
        if keys.is_empty() {
            return Err("it has no key that may sign".to_owned());
        }
        let fingerprint = primary.fingerprint().to_string();
        let mut names: Vec<String> = users.into_iter().map(|(_, _, name)| name).collect();
        if names.is_empty() {
            names.push(fingerprint.clone());
        }
        Ok(Self {
            names,
            fingerprint,
            keys,
        })
    }

    fn identity(&self) -> Identity {
        Identity {
            shown: self.names.first().cloned().unwrap_or_default(),
            names: self.names(),
            key: self.fingerprint.clone(),
        }
    }

    /// User ids, their addresses, and the fingerprint.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = self.names.clone();
        for name in &self.names {
            if let Some((_, address)) = name.rsplit_once('<') {
                names.push(address.trim_end_matches('>').to_owned());
            }
        }
        names.push(self.fingerprint.clone());
        names
    }
}

fn made(signature: &Signature) -> u32 {
    signature.created().map_or(0, |made| made.as_secs())
}

fn newest<'s>(signatures: impl Iterator<Item = &'s Signature>) -> Option<&'s Signature> {
    signatures.max_by_key(|signature| made(signature))
}

fn expiry(created: u32, binding: &Signature) -> Option<u64> {
    binding
        .key_expiration_time()
        .map(|after| after.as_secs())
        .filter(|after| *after > 0)
        .map(|after| u64::from(created) + u64::from(after))
}

/// Old certificates say nothing of what their key is for.
fn may_sign(own: &Signature) -> bool {
    let says = own.config().is_some_and(|config| {
        config
            .hashed_subpackets()
            .any(|packet| matches!(packet.data, SubpacketData::KeyFlags(_)))
    });
    if says {
        own.key_flags().sign()
    } else {
        own.version() == SignatureVersion::V4
    }
}

impl Revocation {
    fn of(signature: &Signature) -> Self {
        Self {
            made: made(signature),
            retired: matches!(
                signature.revocation_reason_code(),
                Some(RevocationCode::KeySuperseded | RevocationCode::KeyRetired)
            ),
        }
    }
}

impl Public {
    fn verify(&self, signature: &Signature, payload: &[u8]) -> bool {
        match self {
            Self::Primary(key) => signature.verify(key, payload).is_ok(),
            Self::Sub(key) => signature.verify(key, payload).is_ok(),
        }
    }

    fn details(&self) -> &dyn KeyDetails {
        match self {
            Self::Primary(key) => key,
            Self::Sub(key) => key,
        }
    }
}

impl Key {
    /// Whether a signature names this key as its maker.
    fn made(&self, signature: &Signature) -> bool {
        let details = self.public.details();
        let (fingerprint, id) = (details.fingerprint(), details.legacy_key_id());
        let fingerprints = signature.issuer_fingerprint();
        if fingerprints.is_empty() {
            return signature.issuer_key_id().iter().any(|named| **named == id);
        }
        fingerprints.iter().any(|named| **named == fingerprint)
    }

    fn check_strength(&self) -> Result<(), SignatureError> {
        let weak = |what: String| Err(SignatureError::Weak(what));
        match self.public.details().public_params() {
            PublicParams::RSA(rsa) => {
                // Modulus and exponent, each with its length, the exponent of three bytes.
                let bits = rsa.write_len().saturating_sub(7) * 8;
                if bits < MIN_RSA_BITS {
                    return weak(format!("RSA keys of {bits} bits are not accepted"));
                }
                Ok(())
            }
            PublicParams::ECDSA(_)
            | PublicParams::EdDSALegacy(_)
            | PublicParams::Ed25519(_)
            | PublicParams::Ed448(_) => Ok(()),
            _ => weak("keys of this algorithm are not accepted".to_owned()),
        }
    }

    fn check_time(&self, moment: u64, fingerprint: &str) -> Result<(), SignatureError> {
        if moment < u64::from(self.created) {
            return Err(SignatureError::NotYetValid(fingerprint.to_owned()));
        }
        if self.expires.is_some_and(|expires| moment >= expires) {
            return Err(SignatureError::Expired(fingerprint.to_owned()));
        }
        Ok(())
    }
}

/// Checks all signatures in a text over exactly these bytes.
pub(crate) fn verify(
    certificates: &[Certificate],
    payload: &[u8],
    armored: &str,
    times: &Times,
) -> Result<Vec<Identity>, SignatureError> {
    let mut found = Vec::new();
    for signature in signatures(armored)? {
        found.push(check(certificates, payload, &signature, times)?);
    }
    Ok(found)
}

fn signatures(armored: &str) -> Result<Vec<Signature>, SignatureError> {
    let malformed = |why: &str| SignatureError::Malformed(format!("no OpenPGP signature: {why}"));
    let mut dearmor = Dearmor::new(armored.as_bytes());
    let mut bytes = Vec::new();
    dearmor
        .read_to_end(&mut bytes)
        .map_err(|error| malformed(&one_line(&error.to_string())))?;
    if !matches!(dearmor.typ, Some(BlockType::Signature | BlockType::Message)) {
        return Err(malformed("the armor is of something else"));
    }
    let mut signatures = Vec::new();
    for packet in PacketParser::new(bytes.as_slice()) {
        match packet {
            Ok(Packet::Signature(signature)) => signatures.push(signature),
            Ok(_) => return Err(malformed("there is something else in it")),
            Err(error) => return Err(malformed(&one_line(&error.to_string()))),
        }
        if signatures.len() > MAX_SIGNATURES {
            return Err(malformed("too many of them"));
        }
    }
    if signatures.is_empty() {
        return Err(malformed("it is empty"));
    }
    Ok(signatures)
}

fn check(
    certificates: &[Certificate],
    payload: &[u8],
    signature: &Signature,
    times: &Times,
) -> Result<Identity, SignatureError> {
    let malformed = |why: &str| SignatureError::Malformed(why.to_owned());
    let config = signature
        .config()
        .ok_or_else(|| malformed("a signature of an unknown version"))?;
    if !matches!(
        signature.version(),
        SignatureVersion::V4 | SignatureVersion::V6
    ) {
        return Err(malformed("a signature of an outdated version"));
    }
    // A signature of text is one of several byte sequences.
    if signature.typ() != Some(SignatureType::Binary) {
        return Err(malformed("a signature that is not of a document"));
    }
    if !strong(signature.hash_alg()) {
        return Err(SignatureError::Weak(format!(
            "made with {}",
            config.hash_alg
        )));
    }
    let not_understood = config.hashed_subpackets().any(|packet| {
        packet.is_critical
            && matches!(
                packet.data,
                SubpacketData::Other(..)
                    | SubpacketData::Experimental(..)
                    | SubpacketData::Notation(_)
            )
    });
    if not_understood {
        return Err(malformed("a signature that demands what is not known here"));
    }
    let made = config
        .created()
        .ok_or_else(|| malformed("a signature without its time"))?
        .as_secs();
    let mut candidates = certificates.iter().flat_map(|certificate| {
        certificate
            .keys
            .iter()
            .filter(|key| key.made(signature))
            .map(move |key| (certificate, key))
    });
    let Some((certificate, key)) = candidates.next() else {
        let named = signature
            .issuer_fingerprint()
            .first()
            .map(ToString::to_string)
            .or_else(|| signature.issuer_key_id().first().map(ToString::to_string));
        return Err(SignatureError::UnknownKey(
            named.unwrap_or_else(|| "that is not named".to_owned()),
        ));
    };
    let fingerprint = &certificate.fingerprint;
    key.check_strength()?;
    if !key.public.verify(signature, payload) {
        return Err(SignatureError::Bad(fingerprint.clone()));
    }
    let now = u64::try_from(times.now.as_second()).unwrap_or(0);
    let made_at = u64::from(made);
    if made_at > now + super::CLOCK_SKEW.as_secs() {
        return Err(SignatureError::FromTheFuture);
    }
    let given_up = key
        .revocations
        .iter()
        .any(|revocation| !(revocation.retired && made < revocation.made));
    if given_up {
        return Err(SignatureError::Revoked(fingerprint.clone()));
    }
    key.check_time(made_at, fingerprint)?;
    let lasts = signature
        .signature_expiration_time()
        .map(|after| after.as_secs())
        .filter(|after| *after > 0)
        .map(|after| made_at + u64::from(after));
    if times.validity == KeyValidity::Now {
        key.check_time(now.max(made_at), fingerprint)?;
        if lasts.is_some_and(|until| now >= until) {
            return Err(SignatureError::Expired(fingerprint.clone()));
        }
    }
    Ok(certificate.identity())
}
