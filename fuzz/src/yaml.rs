//! The YAML reader and writer.

use gitops_core::RelPath;
use gitops_core::yaml::{ReadLimits, read_documents, read_manifests, to_yaml};
use serde_json::Value;

/// Reads a file, and writes and reads again what it holds.
///
/// # Panics
///
/// If something is read back as something else, or an error doesn't say where.
pub fn check(data: &[u8]) {
    // As the defaults, but that a bomb doesn't take a second each time.
    let limits = ReadLimits::default()
        .nodes(20_000)
        .alias_bytes(1 << 18)
        .scalar_bytes(1 << 16);
    let read = read_documents("a.yaml", data, &limits);
    assert_eq!(read, read_documents("a.yaml", data, &limits));
    for error in &read.errors {
        let text = error.to_string();
        assert!(text.starts_with("a.yaml: document "), "{text}");
        assert!(error.line >= 1 && error.column >= 1, "{text}");
    }
    let places: Vec<_> = read.documents.iter().map(|d| (d.number, d.line)).collect();
    assert!(
        places.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1),
        "{places:?}"
    );
    for document in &read.documents {
        round(&document.value);
    }
    if let Ok(file) = RelPath::new("a.yaml") {
        let manifests = read_manifests(&file, data, &limits);
        for error in &manifests.errors {
            assert!(
                error.to_string().starts_with("a.yaml: document "),
                "{error}"
            );
        }
        for manifest in &manifests.manifests {
            round(&manifest.value());
        }
    }
}

/// What is written is read back the same, as YAML and as JSON.
fn round(value: &Value) {
    assert!(!value.is_null());
    let one = |text: &str| {
        let mut read = read_documents("b.yaml", text.as_bytes(), &ReadLimits::default());
        assert!(read.errors.is_empty(), "{:?}\n{text}", read.errors);
        assert_eq!(read.documents.len(), 1, "{text}");
        read.documents.remove(0).value
    };
    let text = to_yaml(value);
    let back = one(&text);
    assert_eq!(&back, value, "{text}");
    assert_eq!(to_yaml(&back), text);
    if value.is_object() {
        assert_eq!(&one(&value.to_string()), value, "{value}");
    }
}
