//! A small shop: two namespaces, a web front, an API, a database, and a kind of its own.

/// The files as they are in the first commit, below `clusters/prod`.
pub(crate) const FILES: [(&str, &str); 14] = [
    ("namespaces.yaml", include_str!("shop/namespaces.yaml")),
    ("offers/crd.yaml", include_str!("shop/offers/crd.yaml")),
    (
        "offers/summer.yaml",
        include_str!("shop/offers/summer.yaml"),
    ),
    ("web/config.yaml", include_str!("shop/web/config.yaml")),
    (
        "web/deployment.yaml",
        include_str!("shop/web/deployment.yaml"),
    ),
    (
        "web/disruption.yaml",
        include_str!("shop/web/disruption.yaml"),
    ),
    ("web/ingress.yaml", include_str!("shop/web/ingress.yaml")),
    ("web/service.yaml", include_str!("shop/web/service.yaml")),
    ("api/access.yaml", include_str!("shop/api/access.yaml")),
    (
        "api/deployment.yaml",
        include_str!("shop/api/deployment.yaml"),
    ),
    ("api/secret.yaml", include_str!("shop/api/secret.yaml")),
    ("api/service.yaml", include_str!("shop/api/service.yaml")),
    ("store/backup.yaml", include_str!("shop/store/backup.yaml")),
    (
        "store/database.yaml",
        include_str!("shop/store/database.yaml"),
    ),
];

/// A file that joins later.
pub(crate) const NETWORK_POLICY: (&str, &str) = (
    "store/network.yaml",
    include_str!("shop/store/network.yaml"),
);

/// How many objects [`FILES`] and [`NETWORK_POLICY`] make.
pub(crate) const OBJECTS: usize = 19;

/// The folder that the reconciler follows.
pub(crate) const FOLDER: &str = "clusters/prod";

/// The content of one of the files.
pub(crate) fn file(name: &str) -> &'static str {
    FILES
        .iter()
        .find(|(file, _)| *file == name)
        .map_or("", |(_, content)| content)
}

/// Where a file is in the repository.
pub(crate) fn path(name: &str) -> String {
    format!("{FOLDER}/{name}")
}
