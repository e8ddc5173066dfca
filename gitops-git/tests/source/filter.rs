//! Files that are left out, and files that are not what they seem.

use gitops_core::{Snapshot, Source, SourceErrorKind as Kind};
use gitops_git::{GitError, GitSource, GitSourceBuilder};
use gitops_testkit::FakeRepo;

use crate::{assert_kind, cause, files, path, refusal};

fn shown(snapshot: &Snapshot) -> Vec<String> {
    let files = snapshot.files().unwrap();
    files.iter().map(|(path, _)| path.to_string()).collect()
}

async fn names(builder: GitSourceBuilder) -> Vec<String> {
    shown(&files(&builder.build().unwrap()).await.unwrap())
}

fn repo() -> FakeRepo {
    let repo = FakeRepo::new().unwrap();
    repo.commit("x")
        .files([
            ("README.md", "x"),
            ("base/web.yaml", "x"),
            ("base/test/web_test.yaml", "x"),
            ("clusters/dev/web.yaml", "x"),
            ("clusters/prod/web.yaml", "x"),
            ("clusters/prod/notes.md", "x"),
        ])
        .save()
        .unwrap();
    repo
}

#[tokio::test]
async fn patterns_say_what_is_shown() {
    let repo = repo();
    let with = || GitSource::builder(repo.url());
    assert_eq!(
        names(
            with()
                .include(["/base/", "/clusters/prod/"])
                .exclude(["*.md", "test/"])
        )
        .await,
        ["base/web.yaml", "clusters/prod/web.yaml"]
    );
    assert_eq!(
        names(with().exclude(["*", "!*/", "!*.md"])).await,
        ["README.md", "clusters/prod/notes.md"]
    );
    assert_eq!(
        names(
            with()
                .exclude(["/clusters/*", "!/clusters/prod"])
                .exclude(["base/**"])
        )
        .await,
        [
            "README.md",
            "clusters/prod/notes.md",
            "clusters/prod/web.yaml"
        ]
    );
    // Seen from the repository's root, whatever directory is the snapshot's.
    assert_eq!(
        names(with().path("clusters").exclude(["/clusters/dev", "/prod"])).await,
        ["prod/notes.md", "prod/web.yaml"]
    );
    // Nothing below a directory that is left out is kept.
    assert_eq!(
        names(with().exclude(["clusters/", "!clusters/prod/web.yaml", "base"])).await,
        ["README.md"]
    );
    let source = with().path("clusters").include(["*.yaml"]).build().unwrap();
    let snapshot = files(&source).await.unwrap();
    assert!(snapshot.read(&path("prod/notes.md")).is_err());
    assert_eq!(snapshot.full_path(&path("prod")).as_str(), "clusters/prod");
}

#[tokio::test]
async fn source_ignore_files_are_honoured_where_they_are() {
    let repo = repo();
    repo.commit("ignore")
        .file(
            ".sourceignore",
            "# docs\n*.md\r\n/base/test/\n\n!README.md  \n",
        )
        .file("clusters/.sourceignore", "/dev\n!notes.md\n")
        .save()
        .unwrap();
    let with = || GitSource::builder(repo.url());
    assert_eq!(
        names(with()).await,
        [
            ".sourceignore",
            "README.md",
            "base/web.yaml",
            "clusters/.sourceignore",
            "clusters/prod/notes.md",
            "clusters/prod/web.yaml"
        ]
    );
    // Those above count for a directory as well, and settings before all of them.
    assert_eq!(names(with().path("base")).await, ["web.yaml"]);
    assert_eq!(
        names(
            with()
                .path("clusters")
                .exclude(["!dev", ".sourceignore", "prod"])
        )
        .await,
        ["dev/web.yaml"]
    );
    assert_eq!(names(with().honour_source_ignore(false)).await.len(), 8);
    // One that can't be read in bounds is an error, not a file that is passed over.
    for (bad, why) in [
        ("*a*b*c*d*e*f*g*h*".to_owned(), "8 stars"),
        ("x\n".repeat(1001), "1000 patterns"),
        ("x".repeat(600), "512 bytes"),
        ("x".repeat(70_000), "70000 bytes"),
    ] {
        repo.commit("bad")
            .file("base/.sourceignore", bad)
            .save()
            .unwrap();
        let error = refusal(&with().build().unwrap()).await;
        assert_kind(&error, Kind::Corrupt, &["base/.sourceignore", why]);
    }
    // A link to one is none.
    repo.commit("link")
        .remove("base/.sourceignore")
        .symlink("base/.sourceignore", "../README.md")
        .save()
        .unwrap();
    files(&with().build().unwrap()).await.unwrap();
}

#[tokio::test]
async fn digests_are_of_what_is_shown() {
    let repo = repo();
    let source = GitSource::builder(repo.url())
        .exclude(["*.md"])
        .build()
        .unwrap();
    let before = files(&source).await.unwrap();
    repo.commit("docs")
        .file("README.md", "y")
        .file("clusters/prod/notes.md", "y")
        .save()
        .unwrap();
    let after = files(&source).await.unwrap();
    assert_eq!(before.digest(), after.digest(), "what changed is not shown");
    assert_eq!(
        after.digest_of(&path("clusters/dev")).unwrap(),
        after.digest_of(&path("clusters/prod")).unwrap(),
        "equal as they are shown"
    );
    repo.commit("web")
        .file("base/web.yaml", "y")
        .save()
        .unwrap();
    assert_ne!(files(&source).await.unwrap().digest(), after.digest());
}

#[tokio::test]
async fn nothing_left_is_an_error_and_never_an_empty_snapshot() {
    let repo = repo();
    for builder in [
        GitSource::builder(repo.url()).exclude(["*"]),
        GitSource::builder(repo.url()).include(["*.json"]),
    ] {
        let error = refusal(&builder.build().unwrap()).await;
        assert!(
            matches!(cause(&error), GitError::NothingLeft { .. }),
            "{error}"
        );
    }
    let below = GitSource::builder(repo.url())
        .path("base")
        .exclude(["base"]);
    let error = refusal(&below.build().unwrap()).await;
    assert!(
        matches!(cause(&error), GitError::PathNotFound { .. }),
        "{error}"
    );
}

#[test]
fn patterns_that_can_not_be_right_are_refused_when_building() {
    for bad in [
        GitSource::builder("/srv/x").include(["!a"]),
        GitSource::builder("/srv/x").exclude(["*a*a*a*a*a*a*a*a*a"]),
        GitSource::builder("/srv/x").exclude(vec!["a"; 1001]),
    ] {
        assert!(bad.build().is_err());
    }
}

#[tokio::test]
async fn an_lfs_pointer_is_not_taken_for_the_file() {
    let repo = FakeRepo::new().unwrap();
    let pointer = format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 12345\n",
        "ab".repeat(32)
    );
    repo.commit("x")
        .file("big.yaml", pointer.clone())
        .file(
            "about.md",
            "version https://git-lfs.github.com/spec/v1 is what LFS writes",
        )
        .save()
        .unwrap();
    let source = GitSource::builder(repo.url()).build().unwrap();
    let revision = source.resolve().await.unwrap();
    let snapshot = source.fetch(&revision).await.unwrap();
    snapshot.read(&path("about.md")).unwrap();
    let error = snapshot.read(&path("big.yaml")).unwrap_err();
    let error = std::error::Error::source(&error).unwrap().to_string();
    assert!(error.contains("big.yaml is a Git LFS pointer"), "{error}");
    let allowed = GitSource::builder(repo.url())
        .allow_lfs_pointers(true)
        .build()
        .unwrap();
    assert_eq!(
        files(&allowed)
            .await
            .unwrap()
            .read(&path("big.yaml"))
            .unwrap(),
        pointer
    );
}
