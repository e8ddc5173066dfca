//! Files of manifests: lists, origins, and what is said of what is no manifest.

use gitops_core::Problem;
use gitops_core::yaml::{Manifests, ReadErrorKind, ReadLimits, read_manifests};

fn read(yaml: &str) -> Manifests {
    read_manifests(
        &"app/a.yaml".parse().unwrap(),
        yaml.as_bytes(),
        &ReadLimits::default(),
    )
}

fn names(read: &Manifests) -> Vec<String> {
    let name = |m: &gitops_core::Manifest| format!("{} {}", m.id(), m.origin());
    read.manifests.iter().map(name).collect()
}

#[test]
fn every_manifest_knows_where_it_comes_from() {
    let read = read(
        "# licence\n---\napiVersion: v1\nkind: Service\nmetadata: {name: a}\n---\n---\n\n\
         apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, namespace: shop}\n",
    );
    assert_eq!(read.errors, []);
    assert_eq!(
        names(&read),
        [
            "Service a app/a.yaml:3",
            "Deployment.apps shop/a app/a.yaml:9 (document 2)"
        ]
    );
}

#[test]
fn lists_stand_for_their_items() {
    let read = read(
        "apiVersion: v1\nkind: List\nitems:\n\
         - {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n\
         - {apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod, metadata: {name: b}}]}\n\
         ---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleList\nitems: [{metadata: {name: c}}]\n\
         ---\n\
         {apiVersion: v1, kind: List}\n\
         ---\n\
         {apiVersion: x.io/v1, kind: AllowList, metadata: {name: d}, spec: {}}\n",
    );
    assert_eq!(read.errors, []);
    let ids: Vec<_> = read.manifests.iter().map(|m| m.id().to_string()).collect();
    assert_eq!(
        ids,
        [
            "ConfigMap a",
            "Pod b",
            "Role.rbac.authorization.k8s.io c",
            "AllowList.x.io d"
        ]
    );
    assert_eq!(
        read.manifests[2].value()["apiVersion"],
        "rbac.authorization.k8s.io/v1"
    );
}

#[test]
fn what_is_no_manifest_is_told_apart() {
    for (yaml, message) in [
        ("replicas: 1\nimage: x\n", "neither apiVersion nor kind"),
        ("- a\n", "a Kubernetes object is a mapping, this is a list"),
        ("a\n", "this is a text"),
        ("kind: A\n", "apiVersion is missing"),
        ("apiVersion: v1\n", "kind is missing"),
        ("apiVersion: v1\nkind: ''\n", "kind is missing"),
        (
            "apiVersion: 1\nkind: A\n",
            "apiVersion must be a text, not a number; quote it",
        ),
        ("apiVersion: v1\nkind: A\n", "metadata.name is missing"),
        (
            "apiVersion: v1\nkind: A\nmetadata: {name: }\n",
            "metadata.name is missing",
        ),
        (
            "apiVersion: v1\nkind: A\nmetadata: a\n",
            "metadata must be a mapping, not a text",
        ),
        (
            "apiVersion: v1\nkind: A\nmetadata: {name: 1234e56}\n",
            "metadata.name must be a text, not a number",
        ),
        (
            "apiVersion: v1\nkind: A\nmetadata: {name: on}\n",
            "metadata.name must be a text, not a boolean",
        ),
        (
            "apiVersion: v1\nkind: A\nmetadata: {name: a, namespace: 1}\n",
            "metadata.namespace must be a text",
        ),
        (
            "apiVersion: v1\nkind: A\nmetadata: {generateName: a-}\n",
            "metadata.generateName makes a new object",
        ),
        (
            "apiVersion: v1\nkind: List\nitems: {}\n",
            "items must be a list, not a mapping",
        ),
        (
            "apiVersion: v1\nkind: List\nitems: [1]\n",
            "item 0 of the list: a Kubernetes object is a mapping",
        ),
        (
            "apiVersion: v1\nkind: List\nitems: [{a: 1}]\n",
            "item 0 of the list: neither apiVersion nor kind",
        ),
    ] {
        let read = read(yaml);
        assert!(read.manifests.is_empty());
        assert_eq!(read.errors.len(), 1);
        let text = read.errors[0].to_string();
        assert!(
            text.starts_with("app/a.yaml: document 1, line 1, column 1: "),
            "{text}"
        );
        assert!(text.contains(message), "{text}");
    }
}

#[test]
fn all_errors_come_back_in_the_order_of_the_file() {
    let read = read(
        "kind: A\n---\n{\n---\napiVersion: v1\nkind: List\nitems: [1, {a: 1}]\n---\nb: [\n---\n\
         apiVersion: v1\nkind: A\nmetadata: {name: a}\n",
    );
    let documents: Vec<_> = read.errors.iter().map(|error| error.document).collect();
    assert_eq!(documents, [1, 2, 3, 3, 4]);
    assert!(matches!(
        read.errors[3].kind,
        ReadErrorKind::Item { index: 1, .. }
    ));
    assert_eq!(names(&read), ["A a app/a.yaml:11 (document 5)"]);
    let problem = Problem::from(&read.errors[4]);
    assert_eq!(
        problem.origin.unwrap().to_string(),
        "app/a.yaml:9 (document 4)"
    );
}
