//! `GitSource` keeps the contract of a `Source`, over every transport that it reads a
//! repository with.

use std::sync::Arc;

use gitops_git::{Credentials, GitSource};
use gitops_testkit::FakeRepo;
use gitops_testkit::conformance::{self, RepoFixture};

const PASSWORD: &str = "hunter2-of-the-suite";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_repository() {
    conformance::source(|| {
        RepoFixture::new(|repo| Ok(Arc::new(GitSource::builder(repo.url()).build()?))).unwrap()
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_repository_with_sha256_ids() {
    conformance::source(|| {
        RepoFixture::on(FakeRepo::sha256().unwrap(), |repo| {
            Ok(Arc::new(GitSource::builder(repo.url()).build()?))
        })
    })
    .await
    .unwrap();
}

/// Over HTTP, with credentials, and with a cache that stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_served_repository_with_a_cache_of_its_own() {
    conformance::source(|| {
        let repo = FakeRepo::new().unwrap();
        let server = repo.serve().unwrap();
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().to_owned();
        RepoFixture::on(repo, move |_| {
            let source = GitSource::builder(server.url())
                .credentials(Credentials::basic("ann", PASSWORD))
                .allow_clear_text_credentials(true)
                .cache_dir(cache.path())
                .build()?;
            Ok(Arc::new(source))
        })
        .secret(PASSWORD)
        .watch(folder)
    })
    .await
    .unwrap();
}
