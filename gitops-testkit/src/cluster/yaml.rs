//! Bodies in YAML.

use gitops_core::yaml::{ReadErrorKind, ReadLimits, read_documents};

use super::status::{ApiError, ApiResult};
use super::write::JsonBody;

/// How many keys that stand twice are looked for.
const MAX_DUPLICATES: usize = 100;

/// Turns a YAML body (or JSON, which is YAML) into JSON.
pub(crate) fn to_json(body: &[u8]) -> ApiResult<JsonBody> {
    let mut text = body.to_vec();
    let mut duplicates = Vec::new();
    loop {
        let read = read_documents("body", &text, &ReadLimits::default());
        let Some(error) = read.errors.first() else {
            let bytes = match read.documents.first() {
                Some(document) => document.value.to_string().into_bytes(),
                None => b"null".to_vec(),
            };
            return Ok(JsonBody { bytes, duplicates });
        };
        if let ReadErrorKind::DuplicateKey { key } = &error.kind {
            let shown = key.trim_matches('"').to_owned();
            if duplicates.len() < MAX_DUPLICATES && blank_earlier(&mut text, error.line, &shown) {
                duplicates.push(format!(
                    "yaml: unmarshal errors:\n  line {}: key {key:?} already set in map",
                    error.line
                ));
                continue;
            }
        }
        return Err(ApiError::bad_request(format!(
            "error converting YAML to JSON: {error}"
        )));
    }
}

/// Empties the line that sets `key` before `line` does it again: the last one wins.
/// Only for values that stand on the key's own line.
fn blank_earlier(text: &mut Vec<u8>, line: usize, key: &str) -> bool {
    let whole = String::from_utf8_lossy(text).into_owned();
    let mut lines: Vec<String> = whole.lines().map(str::to_owned).collect();
    let Some(second) = line.checked_sub(1).and_then(|at| lines.get(at)) else {
        return false;
    };
    let indent = second.len() - second.trim_start().len();
    let same = |candidate: &str| {
        candidate.len() - candidate.trim_start().len() == indent
            && candidate
                .trim_start()
                .strip_prefix(key)
                .and_then(|rest| rest.strip_prefix(':'))
                .is_some_and(|value| !value.trim().is_empty())
    };
    let Some(first) = lines
        .iter()
        .take(line - 1)
        .rposition(|candidate| same(candidate))
    else {
        return false;
    };
    if let Some(gone) = lines.get_mut(first) {
        gone.clear();
    }
    *text = lines.join("\n").into_bytes();
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_two_keys_wins_and_is_told() {
        let read = to_json(b"metadata:\n  name: a\n  name: b\n").unwrap();
        assert_eq!(read.bytes, br#"{"metadata":{"name":"b"}}"#);
        assert_eq!(read.duplicates.len(), 1);
        assert_eq!(to_json(b": : :").err().map(|e| e.code), Some(400));
        assert_eq!(to_json(b"").unwrap().bytes, b"null");
    }
}
