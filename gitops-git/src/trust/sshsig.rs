//! SSH signatures, and the file that says whose keys count.

use jiff::Timestamp;
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, HashAlg, PublicKey, SshSig};

use super::{Identity, KeyValidity, SignatureError, Times};
use crate::error::{GitError, one_line};
use crate::pattern::matches_pattern;

/// What Git signs with; see gitformat-signature.
const NAMESPACE: &str = "git";
/// As `ssh-keygen` has it today for new keys, rather than the 1024 it still reads.
const MIN_RSA_BITS: usize = 2048;

/// One line of an allowed-signers file.
#[derive(Debug, Clone)]
pub(crate) struct AllowedSigner {
    principals: Vec<String>,
    key: KeyData,
    valid_after: Option<Timestamp>,
    valid_before: Option<Timestamp>,
    namespaces: Option<String>,
}

/// Reads the format that `ssh-keygen -Y verify` reads; see ALLOWED SIGNERS in ssh-keygen(1).
pub(crate) fn allowed_signers(text: &str) -> Result<Vec<AllowedSigner>, GitError> {
    let mut signers = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let signer = parse_line(line).map_err(|why| GitError::Setting {
            setting: "allowed signers",
            reason: format!("line {}: {why}", number + 1),
        })?;
        signers.push(signer);
    }
    Ok(signers)
}

fn parse_line(line: &str) -> Result<AllowedSigner, String> {
    let (principals, rest) = word(line)?;
    let principals: Vec<String> = principals
        .split(',')
        .map(str::trim)
        .filter(|principal| !principal.is_empty())
        .map(str::to_owned)
        .collect();
    if principals.is_empty() {
        return Err("no principal".to_owned());
    }
    if principals
        .iter()
        .any(|principal| principal.starts_with('!'))
    {
        return Err("negated principals are not supported; name those who may sign".to_owned());
    }
    let (first, after) = word(rest)?;
    let (options, key) = match Algorithm::new(&first) {
        Ok(_) => (String::new(), rest),
        Err(_) => (first, after),
    };
    let mut signer = AllowedSigner {
        principals,
        key: key_data(key)?,
        valid_after: None,
        valid_before: None,
        namespaces: None,
    };
    for option in split_options(&options)? {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value.trim_matches('"'))),
            None => (option.as_str(), None),
        };
        match (name.to_ascii_lowercase().as_str(), value) {
            ("valid-after", Some(value)) => signer.valid_after = Some(time(value)?),
            ("valid-before", Some(value)) => signer.valid_before = Some(time(value)?),
            ("namespaces", Some(value)) => signer.namespaces = Some(value.to_owned()),
            ("cert-authority", None) => {
                return Err("cert-authority is not supported: list the keys themselves".to_owned());
            }
            (other, _) => return Err(format!("unknown option {:?}", one_line(other))),
        }
    }
    if let (Some(after), Some(before)) = (signer.valid_after, signer.valid_before)
        && before <= after
    {
        return Err("valid-before is not later than valid-after".to_owned());
    }
    Ok(signer)
}

fn key_data(text: &str) -> Result<KeyData, String> {
    let key = PublicKey::from_openssh(text.trim())
        .map_err(|error| format!("no public key: {}", one_line(&error.to_string())))?;
    check_key(key.key_data()).map_err(|error| error.to_string())?;
    Ok(key.key_data().clone())
}

/// The first word, which may be in double quotes or hold some, and what follows it.
fn word(text: &str) -> Result<(String, &str), String> {
    let text = text.trim_start();
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => {
                let (word, rest) = text.split_at(at);
                return Ok((unquoted(word), rest.trim_start()));
            }
            _ => {}
        }
    }
    match quoted {
        true => Err("a quote is not closed".to_owned()),
        false => Ok((unquoted(text), "")),
    }
}

fn unquoted(word: &str) -> String {
    word.strip_prefix('"')
        .and_then(|word| word.strip_suffix('"'))
        .unwrap_or(word)
        .to_owned()
}

/// Options are separated by commas, which may also stand in quotes.
fn split_options(text: &str) -> Result<Vec<String>, String> {
    let mut options = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            ',' if !quoted => options.push(String::new()),
            c => {
                quoted ^= c == '"';
                if let Some(option) = options.last_mut() {
                    option.push(c);
                }
            }
        }
    }
    if quoted {
        return Err("a quote is not closed".to_owned());
    }
    options.retain(|option| !option.is_empty());
    Ok(options)
}

/// `YYYYMMDD[HHMM[SS]][Z]`, here always in UTC.
fn time(text: &str) -> Result<Timestamp, String> {
    let bad = || {
        format!(
            "{:?} is not YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS",
            one_line(text)
        )
    };
    let digits = text.strip_suffix('Z').unwrap_or(text);
    if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or("00");
    format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4),
        part(4, 6),
        part(6, 8),
        part(8, 10),
        part(10, 12),
        part(12, 14)
    )
    .parse()
    .map_err(|_| bad())
}

fn check_key(key: &KeyData) -> Result<(), SignatureError> {
    let weak = |what: &str| SignatureError::Weak(format!("{what} keys are not accepted"));
    match key {
        KeyData::Ed25519(_)
        | KeyData::Ecdsa(_)
        | KeyData::SkEd25519(_)
        | KeyData::SkEcdsaSha2NistP256(_) => Ok(()),
        KeyData::Rsa(rsa) => {
            let bits = rsa.n.as_positive_bytes().map_or(0, |n| n.len() * 8);
            if bits < MIN_RSA_BITS {
                return Err(weak(&format!("RSA keys of {bits} bits: such")));
            }
            Ok(())
        }
        KeyData::Dsa(_) => Err(weak("DSA")),
        _ => Err(weak("such")),
    }
}

/// Checks a signature over exactly these bytes.
pub(crate) fn verify(
    signers: &[AllowedSigner],
    payload: &[u8],
    signature: &str,
    times: &Times,
) -> Result<Identity, SignatureError> {
    let malformed = |why: String| SignatureError::Malformed(one_line(&why));
    let signature = SshSig::from_pem(signature.trim_end().as_bytes())
        .map_err(|error| malformed(format!("no SSH signature: {error}")))?;
    if signature.namespace() != NAMESPACE {
        return Err(SignatureError::Namespace(one_line(signature.namespace())));
    }
    // `ssh-rsa` is RSA with SHA-1.
    if signature.algorithm() == (Algorithm::Rsa { hash: None }) {
        return Err(SignatureError::Weak("made with SHA-1".to_owned()));
    }
    check_key(signature.public_key())?;
    let key = PublicKey::from(signature.public_key().clone());
    let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
    let known: Vec<_> = signers
        .iter()
        .filter(|signer| signer.key == *signature.public_key())
        .collect();
    if known.is_empty() {
        return Err(SignatureError::UnknownKey(fingerprint));
    }
    key.verify(NAMESPACE, payload, &signature)
        .map_err(|_| SignatureError::Bad(fingerprint.clone()))?;
    // A key may be listed more than once, for other times and principals.
    let mut refusal = SignatureError::UnknownKey(fingerprint.clone());
    for signer in known {
        match signer.allows(times, &fingerprint) {
            Ok(()) => {
                return Ok(Identity {
                    shown: signer.principals.join(","),
                    names: signer.principals.clone(),
                    key: fingerprint,
                });
            }
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

impl AllowedSigner {
    fn allows(&self, times: &Times, fingerprint: &str) -> Result<(), SignatureError> {
        if let Some(namespaces) = &self.namespaces
            && !namespaces
                .split(',')
                .any(|pattern| matches_pattern(pattern.trim(), NAMESPACE))
        {
            return Err(SignatureError::Namespace(one_line(namespaces)));
        }
        let moments = match times.validity {
            KeyValidity::Now => vec![times.claimed, times.now],
            KeyValidity::WhenSigned => vec![times.claimed],
        };
        for moment in moments {
            if self.valid_after.is_some_and(|after| moment < after) {
                return Err(SignatureError::NotYetValid(fingerprint.to_owned()));
            }
            if self.valid_before.is_some_and(|before| moment >= before) {
                return Err(SignatureError::Expired(fingerprint.to_owned()));
            }
        }
        Ok(())
    }

    /// The principals, and the key, for a check of names in rules.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> + '_ {
        self.principals
            .iter()
            .cloned()
            .chain([self.key.fingerprint(HashAlg::Sha256).to_string()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    #[test]
    fn allowed_signers_are_read_as_ssh_keygen_reads_them() {
        let file = format!(
            "# a comment\n\nann@example.com {KEY} ann's\n\
             \"bob@example.com,b o b\" valid-after=\"20250101\",valid-before=\"20260101Z\",namespaces=\"git,file\" {KEY}\n"
        );
        let found = allowed_signers(&file).unwrap();
        assert_eq!(found[0].principals, ["ann@example.com"]);
        assert_eq!(found[1].principals, ["bob@example.com", "b o b"]);
        assert_eq!(found[1].namespaces.as_deref(), Some("git,file"));
        assert_eq!(
            found[1].valid_after,
            Some("2025-01-01T00:00:00Z".parse().unwrap())
        );
        assert_eq!(
            time("20250102030405").unwrap(),
            "2025-01-02T03:04:05Z".parse().unwrap()
        );
    }

    #[test]
    fn a_line_that_is_not_understood_is_refused_by_its_number() {
        for (bad, why) in [
            (format!("ann@h cert-authority {KEY}"), "cert-authority"),
            (format!("ann@h no-such-option {KEY}"), "unknown option"),
            (format!("!ann@h {KEY}"), "negated"),
            (format!("ann@h valid-after=\"soon\" {KEY}"), "YYYYMMDD"),
            (
                format!("ann@h valid-after=\"20260101\",valid-before=\"20250101\" {KEY}"),
                "not later",
            ),
            (format!("ann@h namespaces=\"git {KEY}"), "not closed"),
            ("ann@h ssh-ed25519 AAAA".to_owned(), "no public key"),
            ("ann@h".to_owned(), "no public key"),
            (KEY.replace("ssh-ed25519", "ann@h ssh-rsa"), "no public key"),
        ] {
            let error = allowed_signers(&format!("\n{bad}\n"))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("line 2") && error.contains(why),
                "{bad}: {error}"
            );
        }
    }

    #[test]
    fn nonsense_is_no_signature() {
        let times = Times::at(Timestamp::UNIX_EPOCH);
        for bad in [
            "",
            "-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----",
            "-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----",
            "-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAQAAAAA=\n-----END SSH SIGNATURE-----",
        ] {
            let refused = verify(&[], b"", bad, &times);
            assert!(
                matches!(refused, Err(SignatureError::Malformed(_))),
                "{bad}"
            );
        }
    }
}
