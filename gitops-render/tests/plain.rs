//! `PlainYaml` on snapshots in memory and on a real repository.
#![expect(
    clippy::unwrap_used,
    reason = "a panic in a test is a failure that names its line"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gitops_core::yaml::ReadLimits;
use gitops_core::{
    BoxError, Digest, EntryKind, RelPath, Rendered, Renderer, Snapshot, SnapshotLimits, Tree,
    TreeContent, TreeEntry,
};
use gitops_render::PlainYaml;

fn config_map(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n")
}

async fn render(renderer: &PlainYaml, files: &[(&str, &str)]) -> Rendered {
    let files = files.iter().map(|(path, text)| (*path, (*text).to_owned()));
    renderer
        .render(&Snapshot::from_files(files).unwrap())
        .await
        .unwrap()
}

fn names(rendered: &Rendered) -> Vec<&str> {
    rendered
        .manifests
        .iter()
        .map(|m| m.id().name.as_str())
        .collect()
}

#[tokio::test]
async fn manifests_come_in_path_order_with_their_origin() {
    let rendered = render(
        &PlainYaml::new(),
        &[
            ("b.yml", &config_map("b")),
            (
                "a/z.yaml",
                &format!("---\n{}---\n{}", config_map("z1"), config_map("z2")),
            ),
            (
                "c.json",
                r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}"#,
            ),
            ("README.md", "# hello"),
            ("d.yaml.bak", "{"),
            ("yaml", "{"),
            ("e.yaml", "# nothing\n"),
        ],
    )
    .await;
    assert_eq!(names(&rendered), ["z1", "z2", "b", "c"]);
    let origins: Vec<_> = rendered
        .manifests
        .iter()
        .map(|m| m.origin().to_string())
        .collect();
    assert_eq!(
        origins,
        [
            "a/z.yaml:2",
            "a/z.yaml:7 (document 2)",
            "b.yml:1",
            "c.json:1"
        ]
    );
    assert_eq!((rendered.problems, rendered.warnings), (vec![], vec![]));
}

#[tokio::test]
async fn origins_count_from_the_root_of_the_revision() {
    let snapshot = Snapshot::from_files([("clusters/prod/a.yaml", config_map("a"))]).unwrap();
    let prod = snapshot
        .subdirectory(&"clusters/prod".parse().unwrap())
        .unwrap();
    let rendered = PlainYaml::new()
        .recursive(false)
        .render(&prod)
        .await
        .unwrap();
    assert_eq!(
        rendered.manifests[0].origin().file.as_str(),
        "clusters/prod/a.yaml"
    );
}

#[tokio::test]
async fn inputs_of_other_tools_are_passed_over_with_a_warning() {
    let rendered = render(
        &PlainYaml::new(),
        &[
            ("a.yaml", &config_map("a")),
            ("kustomization.yaml", "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [a.yaml]\n"),
            ("old/kustomization.yaml", "resources: [a.yaml]\n"),
            ("package.json", "[{\"a\": 1}]"),
            ("values.yaml", "a: 1\n---\nb: 2\n"),
        ],
    )
    .await;
    assert_eq!(names(&rendered), ["a"]);
    assert_eq!(rendered.problems, []);
    let files: Vec<_> = rendered
        .warnings
        .iter()
        .map(|w| w.split_once(": ").unwrap().0)
        .collect();
    assert_eq!(
        files,
        [
            "kustomization.yaml",
            "old/kustomization.yaml",
            "package.json",
            "values.yaml"
        ]
    );
}

#[tokio::test]
async fn a_broken_file_is_a_problem_and_hides_no_other() {
    let rendered = render(
        &PlainYaml::new(),
        &[
            (
                "a.yaml",
                &format!("a: [\n---\n{}---\nb: 1\n", config_map("a")),
            ),
            ("b.yaml", "apiVersion: v1\nkind: ConfigMap\n"),
            ("c.yaml", &config_map("c")),
            ("template.yaml", "{{ if .Values.on }}\na: 1\n{{ end }}\n"),
        ],
    )
    .await;
    assert_eq!(names(&rendered), ["a", "c"]);
    let places: Vec<_> = rendered
        .problems
        .iter()
        .map(|p| p.origin.as_ref().unwrap().to_string())
        .collect();
    assert_eq!(
        places,
        [
            "a.yaml:1",
            "a.yaml:8 (document 3)",
            "b.yaml:1",
            "template.yaml:1"
        ]
    );
    assert!(
        rendered.problems[1]
            .message
            .contains("neither apiVersion nor kind")
    );
    assert!(
        rendered.problems[2]
            .message
            .contains("metadata.name is missing")
    );
    assert!(
        rendered.problems[3].message.contains("exclude it"),
        "{:?}",
        rendered.problems[3]
    );
}

#[tokio::test]
async fn an_object_in_two_places_is_a_problem_that_names_both() {
    let first = format!("{}data: {{ v: '1' }}\n", config_map("x"));
    let rendered = render(
        &PlainYaml::new(),
        &[
            ("a.yaml", &first),
            (
                "b.yaml",
                &format!("{}---\n{}", config_map("other"), config_map("x")),
            ),
            (
                "c.yaml",
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: other}\n",
            ),
        ],
    )
    .await;
    assert_eq!(names(&rendered), ["x", "other", "x"]);
    assert_eq!(rendered.manifests[0].value()["data"]["v"], "1");
    assert_eq!(rendered.problems.len(), 1);
    let problem = &rendered.problems[0];
    assert_eq!(problem.object.as_ref().unwrap().to_string(), "ConfigMap x");
    assert!(problem.message.contains("b.yaml:6") && problem.message.contains("a.yaml:1"));
}

#[tokio::test]
async fn files_are_chosen_by_directory_and_pattern() {
    let files = [
        ("a.yaml", config_map("a")),
        ("a.test.yaml", config_map("at")),
        ("x/b.yaml", config_map("b")),
        ("x/y/c.yaml", config_map("c")),
    ];
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| (*path, text.as_str()))
        .collect();
    let pattern = |text: &str| text.parse().unwrap();
    for (renderer, expected) in [
        (PlainYaml::new(), vec!["at", "a", "b", "c"]),
        (PlainYaml::new().recursive(false), vec!["at", "a"]),
        (
            PlainYaml::new().exclude(pattern("*.test.yaml")),
            vec!["a", "b", "c"],
        ),
        (PlainYaml::new().include(pattern("x/*")), vec!["b"]),
        (
            PlainYaml::new()
                .include(pattern("x/**"))
                .include(pattern("/a.*")),
            vec!["at", "a", "b", "c"],
        ),
        (
            PlainYaml::new()
                .include(pattern("x/**"))
                .exclude(pattern("c.yaml")),
            vec!["b"],
        ),
    ] {
        assert_eq!(
            names(&render(&renderer, &files).await),
            expected,
            "{renderer:?}"
        );
    }
}

#[test]
fn every_parameter_is_in_the_digest() {
    let pattern = |text: &str| text.parse().unwrap();
    let renderers = [
        PlainYaml::new(),
        PlainYaml::new().recursive(false),
        PlainYaml::new().include(pattern("a")),
        PlainYaml::new().exclude(pattern("a")),
        PlainYaml::new().include(pattern("a")).include(pattern("b")),
        PlainYaml::new().include(pattern("b")).include(pattern("a")),
        PlainYaml::new().limits(ReadLimits::default().nodes(1)),
    ];
    let digests: std::collections::BTreeSet<_> = renderers.iter().map(Renderer::digest).collect();
    assert_eq!(digests.len(), renderers.len());
    assert_eq!(PlainYaml::new().digest(), PlainYaml::new().digest());
}

/// Files, links and how often a file was read.
#[derive(Clone, Default)]
struct Counted {
    files: BTreeMap<RelPath, (EntryKindOf, String)>,
    reads: Arc<AtomicUsize>,
    broken: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum EntryKindOf {
    File,
    Link,
    Repository,
}

impl Counted {
    fn with(mut self, path: &str, kind: EntryKindOf, content: &str) -> Self {
        self.files
            .insert(path.parse().unwrap(), (kind, content.to_owned()));
        self
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot::new(Arc::new(self.clone()), SnapshotLimits::default())
    }
}

impl Tree for Counted {
    fn digest(&self) -> Digest {
        Digest::of_parts(
            self.files
                .iter()
                .flat_map(|(path, (_, text))| [path.as_str().as_bytes(), text.as_bytes()]),
        )
    }

    fn list(&self, directory: &RelPath) -> Result<Option<Vec<TreeEntry>>, BoxError> {
        let mut entries = BTreeMap::new();
        for (path, (kind, text)) in &self.files {
            let Some(below) = path.strip_prefix(directory) else {
                continue;
            };
            let Some(name) = below.parts().next().map(str::to_owned) else {
                continue;
            };
            let (kind, digest) = if below.parts().count() > 1 {
                (EntryKind::Directory, self.digest())
            } else {
                let kind = match kind {
                    EntryKindOf::File => EntryKind::File { executable: false },
                    EntryKindOf::Link => EntryKind::Symlink,
                    EntryKindOf::Repository => EntryKind::Repository,
                };
                (kind, Digest::of(text.as_bytes()))
            };
            entries.insert(name.clone(), TreeEntry { name, kind, digest });
        }
        let found = directory.is_root() || !entries.is_empty();
        Ok(found.then(|| entries.into_values().collect()))
    }

    fn read(&self, file: &RelPath, _: u64) -> Result<Option<TreeContent>, BoxError> {
        if self.broken {
            return Err("the disk is gone".into());
        }
        self.reads.fetch_add(1, Ordering::Relaxed);
        Ok(self
            .files
            .get(file)
            .map(|(_, text)| TreeContent::Bytes(text.clone().into())))
    }
}

#[tokio::test]
async fn one_changed_file_is_one_read() {
    let renderer = PlainYaml::new();
    let mut tree = Counted::default();
    for name in ["a", "b", "c"] {
        tree = tree.with(
            &format!("{name}.yaml"),
            EntryKindOf::File,
            &config_map(name),
        );
    }
    let reads = |tree: &Counted| tree.reads.swap(0, Ordering::Relaxed);
    renderer.render(&tree.snapshot()).await.unwrap();
    assert_eq!(reads(&tree), 3);
    let before = renderer.render(&tree.snapshot()).await.unwrap();
    assert_eq!(reads(&tree), 0);
    tree = tree.with("b.yaml", EntryKindOf::File, &config_map("new"));
    let after = renderer.render(&tree.snapshot()).await.unwrap();
    assert_eq!(reads(&tree), 1);
    assert_eq!(names(&before), ["a", "b", "c"]);
    assert_eq!(names(&after), ["a", "new", "c"]);
    // Equal content at another path has another origin.
    tree = tree.with("d/a.yaml", EntryKindOf::File, &config_map("a"));
    let moved = renderer.render(&tree.snapshot()).await.unwrap();
    assert_eq!(reads(&tree), 1);
    assert_eq!(
        moved.problems[0].origin.as_ref().unwrap().file.as_str(),
        "d/a.yaml"
    );
    // A fresh renderer says the same.
    assert_eq!(
        moved,
        PlainYaml::new().render(&tree.snapshot()).await.unwrap()
    );
}

#[tokio::test]
async fn links_are_followed_inside_and_a_changed_target_counts() {
    let renderer = PlainYaml::new();
    let tree = Counted::default()
        .with("base/a.txt", EntryKindOf::File, &config_map("a"))
        .with("a.yaml", EntryKindOf::Link, "base/a.txt")
        .with("dir.yaml", EntryKindOf::Link, "base")
        .with("other.yaml", EntryKindOf::Repository, "commit")
        .with("out.yaml", EntryKindOf::Link, "../secret.yaml");
    let rendered = renderer.render(&tree.snapshot()).await.unwrap();
    assert_eq!(names(&rendered), ["a"]);
    assert_eq!(rendered.manifests[0].origin().to_string(), "a.yaml:1");
    assert_eq!(rendered.problems.len(), 1);
    assert!(
        rendered.problems[0]
            .message
            .contains("out.yaml: symbolic link leaves")
    );
    assert_eq!(rendered.warnings.len(), 2, "{:?}", rendered.warnings);
    let tree = tree.with("base/a.txt", EntryKindOf::File, &config_map("changed"));
    assert_eq!(
        names(&renderer.render(&tree.snapshot()).await.unwrap()),
        ["changed"]
    );
}

#[tokio::test]
async fn a_store_that_fails_is_an_error_and_no_empty_result() {
    let mut tree = Counted::default().with("a.yaml", EntryKindOf::File, &config_map("a"));
    tree.broken = true;
    let error = PlainYaml::new().render(&tree.snapshot()).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
}

#[tokio::test]
async fn a_file_that_is_too_large_is_a_problem_of_that_file() {
    let renderer = PlainYaml::new().limits(ReadLimits::default().nodes(10));
    let big = format!("{}data: {{a: b, c: d}}\n", config_map("big"));
    let rendered = render(
        &renderer,
        &[("a.yaml", &config_map("a")), ("big.yaml", &big)],
    )
    .await;
    assert_eq!(names(&rendered), ["a"]);
    assert!(rendered.problems[0].message.contains("ReadLimits::nodes"));
}

#[tokio::test]
async fn a_real_repository_renders() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
        .join("shared/corpus/manifests/microservices-demo/kubernetes-manifests");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&root).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        files.push((name, std::fs::read(path).unwrap()));
    }
    if files.is_empty() {
        eprintln!("skipped: no corpus at {}", root.display());
        return;
    }
    let rendered = PlainYaml::new()
        .render(&Snapshot::from_files(files).unwrap())
        .await
        .unwrap();
    assert_eq!(rendered.problems, []);
    assert_eq!(rendered.warnings.len(), 1, "{:?}", rendered.warnings);
    assert!(rendered.warnings[0].starts_with("kustomization.yaml: "));
    let of = |kind: &str| {
        rendered
            .manifests
            .iter()
            .filter(|m| m.id().kind == kind)
            .count()
    };
    assert_eq!(
        (of("Deployment"), of("Service"), of("ServiceAccount")),
        (12, 12, 11)
    );
}
