//! Signed objects as they are stored, byte for byte.
//!
//! What is signed is the object without its signature. It is cut out of the stored bytes and
//! never written anew from what was read: a writer that normalises would let a signature
//! cover other bytes than those that are used. What reads in two ways is refused.

use gix::ObjectId;

use super::SignatureError;

/// How the text of a signature begins.
const OPENPGP: &[u8] = b"-----BEGIN PGP SIGNATURE-----";
const OPENPGP_MESSAGE: &[u8] = b"-----BEGIN PGP MESSAGE-----";
const SSH: &[u8] = b"-----BEGIN SSH SIGNATURE-----";
const X509: &[u8] = b"-----BEGIN SIGNED MESSAGE-----";

/// The kinds of signature that Git knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    OpenPgp,
    Ssh,
    X509,
}

impl Format {
    fn of(line: &[u8]) -> Option<Self> {
        if line.starts_with(OPENPGP) || line.starts_with(OPENPGP_MESSAGE) {
            Some(Self::OpenPgp)
        } else if line.starts_with(SSH) {
            Some(Self::Ssh)
        } else if line.starts_with(X509) {
            Some(Self::X509)
        } else {
            None
        }
    }
}

/// A signature and the bytes that it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) format: Format,
    pub(crate) signature: String,
    pub(crate) payload: Vec<u8>,
}

/// Who and when, as an object says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ident {
    pub(crate) email: String,
    pub(crate) seconds: i64,
}

/// A commit as far as trust looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignedCommit {
    pub(crate) author: Ident,
    pub(crate) committer: Ident,
    pub(crate) signed: Option<Signed>,
}

/// An annotated tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignedTag {
    pub(crate) object: ObjectId,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) tagger: Option<Ident>,
    pub(crate) signed: Option<Signed>,
}

fn malformed(why: impl Into<String>) -> SignatureError {
    SignatureError::Malformed(why.into())
}

/// One header with its continuation lines, and where it is.
struct Header<'a> {
    name: &'a [u8],
    /// Without the space after the name; continuation lines with theirs taken off.
    value: Vec<u8>,
    range: std::ops::Range<usize>,
}

/// The headers, and where the body begins.
fn headers(data: &[u8]) -> Result<(Vec<Header<'_>>, usize), SignatureError> {
    let mut headers: Vec<Header<'_>> = Vec::new();
    let mut at = 0;
    loop {
        let rest = data.get(at..).unwrap_or_default();
        let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
            return Err(malformed("its headers do not end"));
        };
        let line = rest.get(..length).unwrap_or_default();
        let next = at + length + 1;
        if line.is_empty() {
            return Ok((headers, next));
        }
        if line.contains(&0) {
            return Err(malformed("a header holds a NUL"));
        }
        match (line.strip_prefix(b" "), headers.last_mut()) {
            (Some(more), Some(header)) => {
                header.value.push(b'\n');
                header.value.extend_from_slice(more);
                header.range.end = next;
            }
            (Some(_), None) => return Err(malformed("it begins with half a header")),
            (None, _) => {
                let space = line.iter().position(|byte| *byte == b' ');
                let Some(space) = space.filter(|space| *space > 0) else {
                    return Err(malformed("a header has no value"));
                };
                headers.push(Header {
                    name: line.get(..space).unwrap_or_default(),
                    value: line.get(space + 1..).unwrap_or_default().to_vec(),
                    range: at..next,
                });
            }
        }
        at = next;
    }
}

fn ident(value: &[u8]) -> Result<Ident, SignatureError> {
    let bad = || malformed("a name, address or time in it can't be read");
    let text = std::str::from_utf8(value).map_err(|_| bad())?;
    let (_, rest) = text.split_once('<').ok_or_else(bad)?;
    let (email, rest) = rest.split_once('>').ok_or_else(bad)?;
    // A second pair of brackets reads as another address elsewhere.
    if email.contains('<') || rest.contains(['<', '>']) {
        return Err(bad());
    }
    let seconds = rest.split_whitespace().next().ok_or_else(bad)?;
    Ok(Ident {
        email: email.trim().to_owned(),
        seconds: seconds.parse().map_err(|_| bad())?,
    })
}

fn text(signature: Vec<u8>) -> Result<(Format, String), SignatureError> {
    let format = Format::of(&signature)
        .ok_or_else(|| malformed("the signature is of a kind that is not known"))?;
    let text = String::from_utf8(signature).map_err(|_| malformed("the signature is no text"))?;
    if text.matches("-----BEGIN ").count() != 1 {
        return Err(malformed("more than one signature"));
    }
    Ok((format, text))
}

/// Reads a commit strictly: in the order Git writes, each header once.
pub(crate) fn commit(data: &[u8], hash: gix::hash::Kind) -> Result<SignedCommit, SignatureError> {
    let (headers, body) = headers(data)?;
    let mut rest = headers.iter().peekable();
    let mut take = |name: &str| {
        rest.next_if(|header| header.name == name.as_bytes())
            .ok_or_else(|| malformed(format!("it has no {name} where one belongs")))
    };
    take("tree")?;
    while take("parent").is_ok() {}
    let author = ident(&take("author")?.value)?;
    let committer = ident(&take("committer")?.value)?;
    let own = match hash {
        gix::hash::Kind::Sha256 => "gpgsig-sha256",
        _ => "gpgsig",
    };
    let mut signature = None;
    for header in rest {
        match header.name {
            b"tree" | b"parent" | b"author" | b"committer" => {
                return Err(malformed(format!(
                    "its header {} is there twice",
                    String::from_utf8_lossy(header.name)
                )));
            }
            name if name.starts_with(b"gpgsig") => {
                if name != own.as_bytes() {
                    return Err(malformed("it has a signature of its form in another hash"));
                }
                if signature.replace(header).is_some() {
                    return Err(malformed("it has more than one signature"));
                }
            }
            // Signed as anything else: encoding, mergetag, what other tools write.
            _ => {}
        }
    }
    let signed = signature
        .map(|header| {
            let (format, signature) = text(header.value.clone())?;
            let mut payload = data.get(..header.range.start).unwrap_or_default().to_vec();
            payload.extend_from_slice(data.get(header.range.end..).unwrap_or_default());
            Ok(Signed {
                format,
                signature,
                payload,
            })
        })
        .transpose()?;
    debug_assert!(body <= data.len());
    Ok(SignedCommit {
        author,
        committer,
        signed,
    })
}

/// Reads an annotated tag strictly. Its signature is the end of its message.
pub(crate) fn tag(data: &[u8], hash: gix::hash::Kind) -> Result<SignedTag, SignatureError> {
    let (headers, body) = headers(data)?;
    let value = |at: usize, name: &str| {
        headers
            .get(at)
            .filter(|header| header.name == name.as_bytes())
            .and_then(|header| String::from_utf8(header.value.clone()).ok())
            .ok_or_else(|| malformed(format!("it has no {name} where one belongs")))
    };
    let object = crate::reference::whole_id(&value(0, "object")?)
        .filter(|id| id.kind() == hash)
        .ok_or_else(|| malformed("it names no object"))?;
    let kind = value(1, "type")?;
    let name = value(2, "tag")?;
    let tagger = match headers.get(3) {
        Some(header) if header.name == b"tagger" => Some(ident(&header.value)?),
        _ => None,
    };
    // Other headers could be a signature in another hash, or a second of one of these.
    if headers.len() > 3 + usize::from(tagger.is_some()) {
        return Err(malformed("it has a header that no tag has"));
    }
    let mut at = body;
    let mut starts = Vec::new();
    for line in data
        .get(body..)
        .unwrap_or_default()
        .split_inclusive(|byte| *byte == b'\n')
    {
        if Format::of(line).is_some() {
            starts.push(at);
        }
        at += line.len();
    }
    let signed = match starts.as_slice() {
        [] => None,
        [start] => {
            let (payload, signature) = data.split_at(*start);
            let (format, signature) = text(signature.to_vec())?;
            Some(Signed {
                format,
                signature,
                payload: payload.to_vec(),
            })
        }
        _ => return Err(malformed("it has more than one signature")),
    };
    Ok(SignedTag {
        object,
        kind,
        name,
        tagger,
        signed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA1: gix::hash::Kind = gix::hash::Kind::Sha1;
    const PLAIN: &str = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n\
                         author A <a@h> 7 +0000\ncommitter C <c@h> 8 +0000\n";
    const SIGNATURE: &str =
        "gpgsig -----BEGIN SSH SIGNATURE-----\n AAAA\n -----END SSH SIGNATURE-----\n";

    fn read(text: &str) -> Result<SignedCommit, SignatureError> {
        commit(text.as_bytes(), SHA1)
    }

    #[test]
    fn what_is_signed_is_the_stored_bytes_without_the_signature() {
        let extra = "encoding x\nmergetag object 1\n tag y\n -----BEGIN PGP SIGNATURE-----\n z\n";
        let found = read(&format!("{PLAIN}{SIGNATURE}{extra}\nm\r\n \u{e9}")).unwrap();
        let signed = found.signed.unwrap();
        assert_eq!(
            String::from_utf8(signed.payload).unwrap(),
            format!("{PLAIN}{extra}\nm\r\n \u{e9}")
        );
        assert_eq!(
            signed.signature,
            "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----"
        );
        assert_eq!(
            (found.author.email.as_str(), found.committer.seconds),
            ("a@h", 8)
        );
    }

    #[test]
    fn a_merged_tag_and_a_message_are_no_signature() {
        let merged = "mergetag object 1\n -----BEGIN PGP SIGNATURE-----\n z\n";
        let found = read(&format!("{PLAIN}{merged}\n{SIGNATURE}")).unwrap();
        assert_eq!(found.signed, None);
    }

    #[test]
    fn what_reads_in_two_ways_is_refused() {
        let other = SIGNATURE.replace("gpgsig", "gpgsig-sha256");
        let two = SIGNATURE.replace(" AAAA", " -----BEGIN SSH SIGNATURE-----");
        for (bad, why) in [
            (format!("{PLAIN}{SIGNATURE}{SIGNATURE}\nm"), "more than one"),
            (format!("{PLAIN}{SIGNATURE}{other}\nm"), "another hash"),
            (format!("{PLAIN}{other}\nm"), "another hash"),
            (format!("{PLAIN}{two}\nm"), "more than one"),
            (format!("{SIGNATURE}{PLAIN}\nm"), "no tree"),
            (format!("{PLAIN}{PLAIN}\nm"), "twice"),
            (format!("{PLAIN}author B <b@h> 7 +0000\n\nm"), "twice"),
            (PLAIN.replace("A <a@h>", "A <a@h> <b@h>"), "do not end"),
            (
                PLAIN.replace("A <a@h>", "A <a@h> <b@h>") + "\nm",
                "can't be read",
            ),
            (format!("{PLAIN}gpgsig nonsense\n\nm"), "not known"),
            (PLAIN.replace("tree", "tree\0"), "NUL"),
            (format!(" x\n{PLAIN}\n"), "half a header"),
        ] {
            let error = read(&bad).unwrap_err().to_string();
            assert!(error.contains(why), "{bad:?}: {error}");
        }
    }

    #[test]
    fn a_tag_ends_with_its_signature() {
        let head = "object 4b825dc642cb6eb9a060e54bf8d69288fbee4904\ntype commit\ntag v1\n\
                    tagger T <t@h> 9 +0000\n\nmessage\n";
        let end = "-----BEGIN PGP SIGNATURE-----\n\nAA\n-----END PGP SIGNATURE-----\n";
        let found = tag(format!("{head}{end}").as_bytes(), SHA1).unwrap();
        let signed = found.signed.unwrap();
        assert_eq!(signed.payload, head.as_bytes());
        assert_eq!(
            (signed.format, signed.signature.as_str()),
            (Format::OpenPgp, end)
        );
        assert_eq!((found.name.as_str(), found.kind.as_str()), ("v1", "commit"));
        assert_eq!(tag(head.as_bytes(), SHA1).unwrap().signed, None);
        for bad in [
            format!("{head}{end}{end}"),
            head.replace("tagger", "gpgsig x\ntagger"),
            head.replace("type commit\n", ""),
            head.replace("object 4b", "object zz"),
        ] {
            assert!(tag(bad.as_bytes(), SHA1).is_err(), "{bad}");
        }
    }
}
