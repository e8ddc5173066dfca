//! Real manifests: the files under `../shared/corpus`, where that folder is there.

use std::path::{Path, PathBuf};

use gitops_core::yaml::{ReadErrorKind, ReadLimits, read_documents, read_manifests, to_yaml};

use super::kubectl::{as_kubectl_holds_it, kubectl};

/// All YAML and JSON files of the corpus, in path order; none with a notice without it.
pub(crate) fn files() -> Vec<(String, Vec<u8>)> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let root = workspace.parent().unwrap().join("shared/corpus/manifests");
    let mut files = Vec::new();
    let mut open: Vec<PathBuf> = vec![root.clone()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|e| extension == *e))
            {
                let name = path
                    .strip_prefix(&root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                files.push((name, std::fs::read(path).unwrap()));
            }
        }
    }
    files.sort();
    if files.is_empty() {
        eprintln!("skipped: no corpus at {}", root.display());
    }
    files
}

#[test]
fn every_real_file_is_read() {
    let limits = ReadLimits::default();
    let (mut documents, mut manifests, mut other) = (0, 0, Vec::new());
    for (name, bytes) in files() {
        let read = read_documents(&name, &bytes, &limits);
        assert_eq!(read.errors, [], "{name}");
        documents += read.documents.len();
        for document in read.documents {
            let yaml = to_yaml(&document.value);
            let again = read_documents(&name, yaml.as_bytes(), &limits);
            assert_eq!(again.errors, [], "{name}");
            assert_eq!(again.documents[0].value, document.value, "{name}");
        }
        let read = read_manifests(&name.parse().unwrap(), &bytes, &limits);
        manifests += read.manifests.len();
        for error in read.errors {
            let expected = match error.kind {
                // Helm values, dashboards, patches and kustomizations without a name.
                ReadErrorKind::NotAManifest | ReadErrorKind::NotAnObject { .. } => true,
                ReadErrorKind::MissingField { field } => {
                    field == "metadata.name" && name.contains("kustom")
                }
                _ => false,
            };
            if !expected {
                other.push(error.to_string());
            }
        }
    }
    println!("{documents} documents, {manifests} manifests");
    assert_eq!(other, Vec::<String>::new());
}

#[test]
fn kubectl_reads_the_same_manifests() {
    let limits = ReadLimits::default();
    // One call for many files; the large ones are most of the bytes and read once.
    let mut texts = String::new();
    let mut ours = Vec::new();
    for (name, bytes) in files() {
        let read = read_documents(&name, &bytes, &limits);
        let objects = |value: &serde_json::Value| {
            value.get("kind").is_some()
                && value.get("apiVersion").is_some()
                && value.pointer("/metadata/name").is_some()
        };
        if bytes.starts_with(b"{") || !read.documents.iter().all(|d| objects(&d.value)) {
            continue;
        }
        texts.push_str("---\n");
        texts.push_str(std::str::from_utf8(&bytes).unwrap());
        texts.push('\n');
        ours.extend(read.documents.into_iter().map(|d| (name.clone(), d.value)));
    }
    if ours.is_empty() {
        return;
    }
    let Some(theirs) = kubectl(&texts) else {
        return;
    };
    let theirs = theirs.unwrap();
    assert_eq!(ours.len(), theirs.len());
    for ((name, ours), theirs) in ours.into_iter().zip(theirs) {
        assert_eq!(
            as_kubectl_holds_it(ours),
            as_kubectl_holds_it(theirs),
            "{name}"
        );
    }
}
