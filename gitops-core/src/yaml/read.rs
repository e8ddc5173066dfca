//! A file: its documents, and the errors of those that are broken.

use serde_json::Value;

use super::build::build;
use super::error::{ReadError, ReadErrorKind};
use super::json;
use super::limits::ReadLimits;

/// One document of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Which document of the file, from 1; documents that hold nothing don't count.
    pub number: usize,
    /// The line in the file on which its content begins, from 1.
    pub line: usize,
    /// What it says, as JSON. Never null.
    pub value: Value,
}

/// What a file holds: the documents that could be read, and why the others could not.
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use]
pub struct Documents {
    /// The documents, in the order of the file.
    pub documents: Vec<Document>,
    /// The errors, in the order of the file.
    pub errors: Vec<ReadError>,
}

/// What is wrong, and where within one document. Line and column count from 1.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) kind: ReadErrorKind,
}

/// Reads all documents of a YAML or JSON file. `file` is what errors call it.
///
/// The file is split on lines that begin with `---`, as `kubectl` does it
/// ([`YAMLReader`](https://github.com/kubernetes/apimachinery/blob/v0.34.0/pkg/util/yaml/decoder.go)),
/// so a broken document hides none of the others, and anchors don't reach from one into
/// the next. Documents that are empty or null are left out. A document that begins with
/// `{` is read as JSON (or several JSON values in a row), and as YAML if it isn't.
///
/// Any bytes are fine as input: what is not understood or too much is an error.
pub fn read_documents(file: &str, bytes: &[u8], limits: &ReadLimits) -> Documents {
    let mut read = Documents::default();
    each_document(file, bytes, limits, &mut |document| match document {
        Ok(document) => read.documents.push(document),
        Err(error) => read.errors.push(error),
    });
    read
}

/// Hands over the documents one by one in the order of the file, so that the tree of one can
/// be gone before the next is built.
pub(super) fn each_document(
    file: &str,
    bytes: &[u8],
    limits: &ReadLimits,
    take: &mut dyn FnMut(Result<Document, ReadError>),
) {
    let mut reader = Reader {
        file,
        limits,
        nodes: 0,
        number: 0,
        out_of_nodes: false,
        take,
    };
    reader.file(bytes);
}

struct Reader<'a> {
    file: &'a str,
    limits: &'a ReadLimits,
    /// Nodes of the documents so far.
    nodes: usize,
    /// Documents with content so far.
    number: usize,
    /// The file as a whole is too large: what follows can't be read either.
    out_of_nodes: bool,
    take: &'a mut dyn FnMut(Result<Document, ReadError>),
}

impl Reader<'_> {
    fn file(&mut self, bytes: &[u8]) {
        if bytes.len() > self.limits.bytes {
            self.limit("bytes", "bytes", self.limits.bytes, 1);
            return;
        }
        if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
            self.error(Failure {
                line: 1,
                column: 1,
                kind: ReadErrorKind::NotUtf8,
            });
            return;
        }
        for (count, chunk) in Chunks::new(bytes).enumerate() {
            if count > self.limits.documents {
                let allowed = self.limits.documents;
                self.limit("documents", "documents", allowed, chunk.line);
                return;
            }
            self.chunk(&chunk);
            if self.out_of_nodes {
                return;
            }
        }
    }

    fn chunk(&mut self, chunk: &Chunk<'_>) {
        if let Some(column) = chunk.bad_separator {
            self.number += 1;
            self.error(Failure {
                line: chunk.line.saturating_sub(1),
                column,
                kind: ReadErrorKind::Separator,
            });
            return;
        }
        let read = match std::str::from_utf8(chunk.bytes) {
            Ok(text) => self.text(text.strip_prefix('\u{feff}').unwrap_or(text)),
            Err(error) => {
                let valid = chunk.bytes.get(..error.valid_up_to()).unwrap_or_default();
                let valid = std::str::from_utf8(valid).unwrap_or_default();
                Err(failure(valid, valid.len(), ReadErrorKind::NotUtf8))
            }
        };
        match read {
            Ok(values) => {
                for (value, line) in values {
                    if !value.is_null() {
                        self.number += 1;
                        (self.take)(Ok(Document {
                            number: self.number,
                            line: chunk.line + line - 1,
                            value,
                        }));
                    }
                }
            }
            Err(mut failure) => {
                self.number += 1;
                failure.line += chunk.line - 1;
                self.error(failure);
            }
        }
    }

    /// The values of one document with the lines on which they begin.
    fn text(&mut self, text: &str) -> Result<Vec<(Value, usize)>, Failure> {
        let nodes = self.nodes;
        let mut json_failure = None;
        if text.trim_start().starts_with('{') {
            match json::read(text, self.limits, &mut self.nodes) {
                Ok(values) => return Ok(values),
                Err(failure) if matches!(failure.kind, ReadErrorKind::Json { .. }) => {
                    self.nodes = nodes;
                    json_failure = Some(failure);
                }
                Err(failure) => return Err(failure),
            }
        }
        let yaml = match forbidden(text) {
            Some((at, character)) => Err(failure(text, at, ReadErrorKind::Character { character })),
            None => build(text, self.limits, &mut self.nodes),
        };
        match (yaml, json_failure) {
            (Ok(value), _) => Ok(value.into_iter().collect()),
            // The reader that came further was probably the one that was meant.
            (Err(yaml), Some(json))
                if matches!(yaml.kind, ReadErrorKind::Yaml { .. })
                    && (json.line, json.column) > (yaml.line, yaml.column) =>
            {
                Err(json)
            }
            (Err(yaml), _) => Err(yaml),
        }
    }

    fn error(&mut self, failure: Failure) {
        self.out_of_nodes |=
            matches!(failure.kind, ReadErrorKind::Limit { field, .. } if field == "nodes");
        (self.take)(Err(ReadError {
            file: self.file.to_owned(),
            document: self.number.max(1),
            line: failure.line,
            column: failure.column,
            kind: failure.kind,
        }));
    }

    fn limit(&mut self, what: &'static str, field: &'static str, allowed: usize, line: usize) {
        self.error(Failure {
            line,
            column: 1,
            kind: ReadErrorKind::Limit {
                what,
                field,
                allowed,
            },
        });
    }
}

/// What stands between two separators.
struct Chunk<'a> {
    bytes: &'a [u8],
    /// The line in the file on which it begins, from 1.
    line: usize,
    /// The column of what should not stand behind the separator above.
    bad_separator: Option<usize>,
}

struct Chunks<'a> {
    rest: Option<&'a [u8]>,
    line: usize,
    bad_separator: Option<usize>,
}

impl<'a> Chunks<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        Self {
            rest: Some(bytes),
            line: 1,
            bad_separator: None,
        }
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        let rest = self.rest.take()?;
        let end = if rest.starts_with(b"---") {
            Some(0)
        } else {
            rest.windows(4)
                .position(|window| window == b"\n---")
                .map(|at| at + 1)
        };
        let (bytes, separator) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
        let chunk = Chunk {
            bytes,
            line: self.line,
            bad_separator: self.bad_separator.take(),
        };
        if end.is_some() {
            let (separator, rest) = match separator.iter().position(|byte| *byte == b'\n') {
                Some(at) => separator.split_at_checked(at + 1)?,
                None => (separator, [].as_slice()),
            };
            let behind = String::from_utf8_lossy(separator.get(3..).unwrap_or_default());
            let content = behind.trim_start();
            if !content.is_empty() && !content.starts_with('#') {
                let blank = behind.chars().count() - content.chars().count();
                self.bad_separator = Some(4 + blank);
            }
            self.rest = Some(rest);
            self.line += line_ends(bytes) + line_ends(separator).max(1);
        }
        Some(chunk)
    }
}

/// The first character that YAML does not allow, or that its versions disagree about.
fn forbidden(text: &str) -> Option<(usize, char)> {
    // One pass without branches: nearly every document is plain ASCII.
    let control = |byte: u8| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r');
    let suspicious = text
        .bytes()
        .fold(false, |any, byte| any | control(byte) | (byte >= 0x7F));
    if !suspicious {
        return None;
    }
    text.char_indices().find(|(_, character)| {
        matches!(
            character,
            '\0'..='\u{8}'
                | '\u{b}'
                | '\u{c}'
                | '\u{e}'..='\u{1f}'
                | '\u{7f}'..='\u{9f}'
                | '\u{2028}'
                | '\u{2029}'
                | '\u{fffe}'
                | '\u{ffff}'
        )
    })
}

/// How many lines end in the text: with `\n`, with `\r\n`, or with `\r` alone, which ends
/// a line in YAML.
pub(super) fn line_ends(text: &[u8]) -> usize {
    let mut next = text.iter().skip(1);
    text.iter()
        .filter(|byte| {
            let next = next.next();
            **byte == b'\n' || **byte == b'\r' && next != Some(&b'\n')
        })
        .count()
}

/// A failure at a byte of the text.
pub(super) fn failure(text: &str, at: usize, kind: ReadErrorKind) -> Failure {
    let before = text.get(..at).unwrap_or(text);
    let line = line_ends(before.as_bytes()) + 1;
    let start = before.rfind(['\n', '\r']).map_or(0, |end| end + 1);
    let column = before
        .get(start..)
        .map_or(0, |line| line.chars().count())
        .saturating_add(1);
    Failure { line, column, kind }
}
