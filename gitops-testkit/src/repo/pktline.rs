//! Git's pkt-line framing, as far as a server that lies needs it.
//!
//! <https://git-scm.com/docs/gitprotocol-common#_pkt_line_format>

use super::{RecordedRequest, RequestKind};

/// One frame.
pub(crate) enum Frame<'a> {
    Data(&'a [u8]),
    /// `0000`, `0001` or `0002`: flush, delimiter, response end.
    Special(&'a [u8]),
}

/// Splits as many whole frames as there are; what follows is the second part.
pub(crate) fn split(mut bytes: &[u8]) -> (Vec<Frame<'_>>, &[u8]) {
    let mut frames = Vec::new();
    while let Some((head, _)) = bytes.split_at_checked(4) {
        let Some(length) = std::str::from_utf8(head)
            .ok()
            .and_then(|hex| usize::from_str_radix(hex, 16).ok())
        else {
            break;
        };
        if length < 4 {
            frames.push(Frame::Special(head));
            bytes = &bytes[4..];
        } else if let Some((frame, rest)) = bytes.split_at_checked(length) {
            frames.push(Frame::Data(&frame[4..]));
            bytes = rest;
        } else {
            break;
        }
    }
    (frames, bytes)
}

pub(crate) fn write(out: &mut Vec<u8>, data: &[u8]) {
    out.extend_from_slice(format!("{:04x}", data.len() + 4).as_bytes());
    out.extend_from_slice(data);
}

/// Reads what a client asks for out of the body of its request.
pub(crate) fn understand(body: &[u8]) -> RecordedRequest {
    let mut request = RecordedRequest {
        kind: RequestKind::Fetch,
        ref_prefixes: Vec::new(),
        wants: Vec::new(),
        haves: 0,
        depth: None,
        authorized: false,
        status: 0,
    };
    for frame in split(body).0 {
        let Frame::Data(data) = frame else { continue };
        let line = String::from_utf8_lossy(data);
        let line = line.trim_end();
        if line == "command=ls-refs" {
            request.kind = RequestKind::LsRefs;
        } else if let Some(prefix) = line.strip_prefix("ref-prefix ") {
            request.ref_prefixes.push(prefix.to_owned());
        } else if let Some(want) = line.strip_prefix("want ") {
            // In protocol version 1 capabilities follow the first id.
            let id = want.split(' ').next().unwrap_or_default();
            request.wants.push(id.to_owned());
        } else if line.starts_with("have ") {
            request.haves += 1;
        } else if let Some(depth) = line.strip_prefix("deepen ") {
            request.depth = depth.parse().ok();
        }
    }
    request
}

/// Makes a ref advertisement, of either protocol version, claim that `name` is at `id`.
pub(crate) fn claim(answer: &[u8], name: &str, id: &str) -> Vec<u8> {
    let (frames, rest) = split(answer);
    let mut out = Vec::with_capacity(answer.len());
    for frame in frames {
        match frame {
            Frame::Special(head) => out.extend_from_slice(head),
            Frame::Data(data) => {
                let line = String::from_utf8_lossy(data);
                let claimed = line
                    .split_once(' ')
                    .filter(|(_, after)| after.split([' ', '\0', '\n']).next() == Some(name));
                match claimed {
                    Some((_, after)) => write(&mut out, format!("{id} {after}").as_bytes()),
                    None => write(&mut out, data),
                }
            }
        }
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advertisement(lines: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in lines {
            write(&mut out, line.as_bytes());
        }
        out.extend_from_slice(b"0000");
        out
    }

    #[test]
    fn a_claim_changes_one_ref_and_nothing_else() {
        let honest = advertisement(&["aa refs/heads/main\n", "bb refs/heads/main2\n"]);
        let lie = advertisement(&["cc refs/heads/main\n", "bb refs/heads/main2\n"]);
        assert_eq!(claim(&honest, "refs/heads/main", "cc"), lie);
    }

    #[test]
    fn a_request_is_understood() {
        let body = advertisement(&["command=ls-refs\n", "ref-prefix refs/heads/main\n"]);
        let request = understand(&body);
        assert_eq!(request.kind, RequestKind::LsRefs);
        assert_eq!(request.ref_prefixes, ["refs/heads/main"]);

        let body = advertisement(&["command=fetch", "deepen 1", "want aa\n", "have bb\n"]);
        let request = understand(&body);
        assert_eq!(request.kind, RequestKind::Fetch);
        assert_eq!((request.depth, request.haves), (Some(1), 1));
        assert_eq!(request.wants, ["aa"]);
    }

    #[test]
    fn half_a_frame_is_left_over() {
        let (frames, rest) = split(b"0006ab0008cd");
        assert_eq!(frames.len(), 1);
        assert_eq!(rest, b"0008cd");
    }
}
