//! Why a file, or one document of it, could not be read.

use std::fmt;

use crate::{ManifestError, Origin, Problem};

/// Why a file, or one document of it, could not be read.
///
/// Says where (file, document, line, column), what is wrong and what to do about it.
/// It never holds a value of the document, which may be a secret; keys it may name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: document {document}, line {line}, column {column}: {kind}")]
#[non_exhaustive]
pub struct ReadError {
    /// The file, as its caller named it.
    pub file: String,
    /// Which document of the file, from 1; documents that hold nothing don't count.
    pub document: usize,
    /// The line in the file, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub kind: ReadErrorKind,
}

impl ReadError {
    /// Whether the document was refused for its size, depth or number of parts.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        matches!(self.kind, ReadErrorKind::Limit { .. })
    }

    /// The place as an [`Origin`], if the file is a path within a snapshot.
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
        let file = self.file.parse().ok()?;
        Some(Origin::new(file, count(self.document), count(self.line)))
    }
}

/// What is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadErrorKind {
    /// Not UTF-8.
    #[error("not UTF-8 text; save the file as UTF-8")]
    NotUtf8,
    /// A character that YAML 1.1 does not allow, or reads differently from YAML 1.2.
    #[error(
        "the character U+{:04X} may not stand in YAML; write it as an escape in double quotes",
        u32::from(*character)
    )]
    Character {
        /// The character.
        character: char,
    },
    /// Not YAML.
    #[error("not valid YAML: {message}")]
    Yaml {
        /// What the parser expected.
        message: String,
    },
    /// Not JSON.
    #[error("not valid JSON: {message}")]
    Json {
        /// What the parser expected.
        message: String,
    },
    /// Something else than a comment stands behind `---` on its line.
    #[error("only a comment may stand behind `---`; move the rest to the next line")]
    Separator,
    /// Content follows the end marker `...`; `kubectl` would drop it silently.
    #[error("content follows the end of the document; begin the next document with a line `---`")]
    AfterEnd,
    /// A directive such as `%YAML`; `kubectl` cannot read one.
    #[error("directives are not supported; remove the line that begins with `%`")]
    Directive,
    /// A key stands twice in one mapping.
    #[error("the key {} is there twice; remove one", Shown(key))]
    DuplicateKey {
        /// The key as JSON text: `1` and `"1"` are the same.
        key: String,
    },
    /// A key that JSON can't hold.
    #[error("{found} can't be a key; quote the key or give a text")]
    Key {
        /// What stands there instead.
        found: &'static str,
    },
    /// An infinite number or `.nan`, which JSON can't hold.
    #[error("JSON can't hold `.inf` and `.nan`; quote the value if it is text")]
    NotFinite,
    /// An explicit tag does not fit its value.
    #[error("the value is {found}, not {tag}; change the tag or the value")]
    Tag {
        /// The tag that stands there.
        tag: &'static str,
        /// What the value is.
        found: &'static str,
    },
    /// An alias names no anchor before it in the same document.
    #[error("the alias has no anchor before it in this document; anchors don't cross `---`")]
    UnknownAnchor,
    /// An alias stands within the value that it names.
    #[error("the alias stands within its own anchor; remove it")]
    RecursiveAnchor,
    /// `<<` has something else than a mapping or a list of mappings.
    #[error("`<<` needs a mapping, an alias of one, or a list of these")]
    MergeValue,
    /// A key stands before a `<<` that holds it with another value. `kubectl` takes the
    /// merged value then, kustomize the other.
    #[error(
        "`<<` holds another value for the key {} above it, and tools disagree about which one \
         counts; move `<<` to the top of the mapping",
        Shown(key)
    )]
    MergeOrder {
        /// The key.
        key: String,
    },
    /// More than the limits allow.
    #[error("more than {allowed} {what}; split the file or raise `ReadLimits::{field}`")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// The field of [`ReadLimits`](super::ReadLimits).
        field: &'static str,
        /// How much the limits allow.
        allowed: usize,
    },
    /// The document is no mapping.
    #[error("a Kubernetes object is a mapping, this is {found}")]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
    /// Neither `apiVersion` nor `kind`: the input of another tool, such as Helm values.
    #[error(
        "neither apiVersion nor kind: not a Kubernetes object but perhaps the input of another \
         tool, such as Helm values or a kustomization; leave the file out or render it"
    )]
    NotAManifest,
    /// A field that every object must have is missing or empty.
    #[error("{field} is missing; every Kubernetes object needs one")]
    MissingField {
        /// Where the field should be.
        field: &'static str,
    },
    /// A field of every object has the wrong type.
    #[error("{field} must be {expected}, not {found}; quote it if it is text")]
    FieldType {
        /// Where the field is.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// What is wrong with one object of a `List`.
    #[error("item {index} of the list: {kind}")]
    Item {
        /// Which item, from 0 as in a field path.
        index: usize,
        /// What is wrong with it.
        kind: Box<ReadErrorKind>,
    },
    /// The object is refused for another reason.
    #[error("{0}")]
    Manifest(ManifestError),
    /// `metadata.generateName` without a name.
    #[error(
        "metadata.generateName makes a new object at each apply, so it can't be reconciled; give \
         metadata.name"
    )]
    GenerateName,
}

/// A key as errors show it: short and without control characters.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 80;
        match self.0.char_indices().nth(LONGEST) {
            Some((end, _)) => write!(f, "{:?}…", self.0.get(..end).unwrap_or_default()),
            None => write!(f, "{:?}", self.0),
        }
    }
}

impl From<&ReadError> for Problem {
    fn from(error: &ReadError) -> Self {
        let problem = Self::new(error.to_string());
        match error.origin() {
            Some(origin) => problem.at(origin),
            None => problem,
        }
    }
}
