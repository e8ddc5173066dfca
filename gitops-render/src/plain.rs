//! Manifests as they stand in the files.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use gitops_core::yaml::{ReadErrorKind, ReadLimits, read_documents};
use gitops_core::{
    Digest, EntryKind, Manifest, ObjectId, Origin, Problem, RelPath, RenderError, Rendered,
    Renderer, Snapshot, SnapshotError, TreeEntry,
};
use serde_json::Value;

use crate::PathPattern;

/// Takes the manifests of all `*.yaml`, `*.yml` and `*.json` files below the root of the
/// snapshot, in path order, as they stand there.
///
/// What becomes of a file:
///
/// * Every document that is a Kubernetes object is a manifest; a `List` stands for its items.
/// * A document of `kustomize.config.k8s.io` is the input of another tool: passed over,
///   with a warning. So is a file none of whose documents has an `apiVersion` or a `kind`,
///   such as Helm values or a dashboard.
/// * Any other document that is no manifest, and a file that can't be parsed, is a
///   [`Problem`] that names the place. The other documents and files go on, and the engine prunes
///   nothing as long as there is one.
/// * An object that stands in two places is a problem that names both; the first counts.
///
/// Symbolic links to files are followed within the snapshot, those to directories are not.
///
/// What was read is kept by path and digest, so that after a change of one file one
/// file is parsed.
///
/// ```
/// use gitops_core::{Renderer, Snapshot};
/// use gitops_render::PlainYaml;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let snapshot = Snapshot::from_files([
///     ("web/service.yaml", "apiVersion: v1\nkind: Service\nmetadata: { name: web }\n"),
///     ("web/values.yaml", "replicas: 3\n"),
///     ("broken.yaml", "apiVersion: v1\nkind: [\n"),
/// ])?;
/// let rendered = PlainYaml::new().render(&snapshot).await?;
/// assert_eq!(rendered.manifests[0].origin().to_string(), "web/service.yaml:1");
/// assert_eq!(rendered.problems.len(), 1);
/// assert!(rendered.warnings[0].starts_with("web/values.yaml: "));
/// # Ok(())
/// # }
/// ```
pub struct PlainYaml {
    recursive: bool,
    include: Vec<PathPattern>,
    exclude: Vec<PathPattern>,
    limits: ReadLimits,
    /// The files of the last revision, as they were read.
    cache: Mutex<BTreeMap<RelPath, Cached>>,
}

#[derive(Clone)]
struct Cached {
    digest: Digest,
    file: Arc<File>,
}

/// What one file means.
#[derive(Default)]
struct File {
    manifests: Vec<Manifest>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl Default for PlainYaml {
    fn default() -> Self {
        Self::new()
    }
}

impl PlainYaml {
    /// Takes all files in all directories.
    #[must_use]
    pub fn new() -> Self {
        Self {
            recursive: true,
            include: Vec::new(),
            exclude: Vec::new(),
            limits: ReadLimits::default(),
            cache: Mutex::default(),
        }
    }

    /// Whether to take the files in directories below the root too. On by default.
    #[must_use]
    pub fn recursive(mut self, recursive: bool) -> Self {
        self.recursive = recursive;
        self
    }

    /// Takes only files that match this pattern or another one that is included.
    #[must_use]
    pub fn include(mut self, pattern: PathPattern) -> Self {
        self.include.push(pattern);
        self
    }

    /// Leaves out files that match this pattern, included or not.
    #[must_use]
    pub fn exclude(mut self, pattern: PathPattern) -> Self {
        self.exclude.push(pattern);
        self
    }

    /// How much one file may hold.
    #[must_use]
    pub fn limits(mut self, limits: ReadLimits) -> Self {
        self.limits = limits;
        self.cache = Mutex::default();
        self
    }

    fn takes(&self, path: &RelPath) -> bool {
        let extension = path
            .file_name()
            .and_then(|name| name.rsplit_once('.'))
            .map(|(_, extension)| extension);
        matches!(extension, Some("yaml" | "yml" | "json"))
            && (self.recursive || path.parts().count() == 1)
            && (self.include.is_empty() || self.include.iter().any(|p| p.matches(path)))
            && !self.exclude.iter().any(|pattern| pattern.matches(path))
    }

    fn file(
        &self,
        snapshot: &Snapshot,
        path: &RelPath,
        full_path: &RelPath,
        digest: Digest,
        cached: Option<&Cached>,
    ) -> Result<Arc<File>, RenderError> {
        if let Some(cached) = cached.filter(|cached| cached.digest == digest) {
            return Ok(Arc::clone(&cached.file));
        }
        Ok(Arc::new(match snapshot.read(path) {
            Ok(bytes) => parse(full_path, &bytes, &self.limits),
            Err(error) => unreadable(full_path, error)?,
        }))
    }

    /// The digest of the content: of a link, that of what it points to.
    fn digest_of(
        snapshot: &Snapshot,
        path: &RelPath,
        entry: &TreeEntry,
    ) -> Result<Digest, SnapshotError> {
        match entry.kind {
            EntryKind::Symlink => snapshot.digest_of(path),
            _ => Ok(entry.digest),
        }
    }
}

/// A file that is there and can't be read: a problem of this file, unless the
/// snapshot as a whole has failed.
fn unreadable(path: &RelPath, error: SnapshotError) -> Result<File, RenderError> {
    if error.is_retryable() {
        return Err(error.into());
    }
    let mut file = File::default();
    match error {
        SnapshotError::WrongKind { .. } => {
            let warning = format!("{path}: passed over; it is not a file");
            file.warnings.push(warning);
        }
        error => file
            .problems
            .push(Problem::new(error.to_string()).at(Origin::new(path.clone(), 1, 1))),
    }
    Ok(file)
}

fn parse(path: &RelPath, bytes: &[u8], limits: &ReadLimits) -> File {
    let mut file = File::default();
    let mut documents = read_documents(path.as_str(), bytes, limits);
    let found = documents.documents.len();
    documents
        .documents
        .retain(|document| !is_kustomize(&document.value));
    if documents.documents.len() < found {
        file.warnings.push(format!(
            "{path}: passed over; it is the input of kustomize, not a manifest"
        ));
    }
    let is_object =
        |value: &Value| value.get("apiVersion").is_some() || value.get("kind").is_some();
    if documents.errors.is_empty()
        && !documents.documents.is_empty()
        && !documents.documents.iter().any(|d| is_object(&d.value))
    {
        file.warnings.push(format!(
            "{path}: passed over; no document in it has apiVersion or kind"
        ));
        return file;
    }
    let read = documents.into_manifests(path);
    file.manifests = read.manifests;
    let is_template = bytes.windows(2).any(|window| window == b"{{");
    file.problems = read
        .errors
        .iter()
        .map(|error| {
            let mut problem = Problem::from(error);
            // Braces in a text are no trouble, so this is said only of what failed to parse.
            let unparsed = matches!(
                error.kind,
                ReadErrorKind::Yaml { .. } | ReadErrorKind::Json { .. } | ReadErrorKind::Key { .. }
            );
            if is_template && unparsed {
                problem
                    .message
                    .push_str("; the file looks like a template, so render it or exclude it");
            }
            problem
        })
        .collect();
    file
}

/// Kustomizations and components: read by `kustomize`, unknown to any cluster.
fn is_kustomize(document: &Value) -> bool {
    document
        .get("apiVersion")
        .and_then(Value::as_str)
        .and_then(|version| version.split_once('/'))
        .is_some_and(|(group, _)| group == "kustomize.config.k8s.io")
}

#[async_trait]
impl Renderer for PlainYaml {
    async fn render(&self, snapshot: &Snapshot) -> Result<Rendered, RenderError> {
        let cache = self
            .cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut files = BTreeMap::new();
        let mut rendered = Rendered::default();
        let mut places: BTreeMap<ObjectId, Origin> = BTreeMap::new();
        for (path, entry) in snapshot.files()? {
            if !self.takes(&path) {
                continue;
            }
            let full_path = snapshot.full_path(&path);
            let file = match Self::digest_of(snapshot, &path, &entry) {
                Ok(digest) => {
                    let cached = cache.get(&full_path);
                    let file = self.file(snapshot, &path, &full_path, digest, cached)?;
                    let cached = Cached {
                        digest,
                        file: Arc::clone(&file),
                    };
                    files.insert(full_path, cached);
                    file
                }
                Err(error) => Arc::new(unreadable(&full_path, error)?),
            };
            rendered.problems.extend(file.problems.iter().cloned());
            rendered.warnings.extend(file.warnings.iter().cloned());
            for manifest in &file.manifests {
                match places.entry(manifest.id().clone()) {
                    Entry::Vacant(place) => {
                        place.insert(manifest.origin().clone());
                        rendered.manifests.push(manifest.clone());
                    }
                    Entry::Occupied(place) => rendered.problems.push(twice(manifest, place.get())),
                }
            }
        }
        *self.cache.lock().unwrap_or_else(PoisonError::into_inner) = files;
        Ok(rendered)
    }

    fn digest(&self) -> Digest {
        // The number changes whenever the same files come to mean something else.
        let mut parts = vec![
            "gitops-render plain 1".to_owned(),
            self.recursive.to_string(),
        ];
        parts.push(format!("{:?}", self.limits));
        for (kind, patterns) in [("include", &self.include), ("exclude", &self.exclude)] {
            parts.push(format!("{kind} {}", patterns.len()));
            parts.extend(patterns.iter().map(PathPattern::to_string));
        }
        Digest::of_parts(parts.iter().map(String::as_bytes))
    }
}

fn twice(manifest: &Manifest, first: &Origin) -> Problem {
    let (object, origin) = (manifest.id(), manifest.origin());
    let message =
        format!("{origin}: {object} stands at {first} already, which counts; remove one of them");
    Problem::new(message)
        .at(origin.clone())
        .about(object.clone())
}

impl fmt::Debug for PlainYaml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainYaml")
            .field("recursive", &self.recursive)
            .field("include", &self.include)
            .field("exclude", &self.exclude)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
