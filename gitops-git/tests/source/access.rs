//! Being let in: credentials that do not last, certificates, proxies.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use gitops_core::{BoxError, SourceErrorKind as Kind};
use gitops_git::{CredentialProvider, Credentials, GitError, GitSource, RemoteUrl};
use gitops_testkit::FakeRepo;

use crate::{assert_kind, cause, files, refusal};

/// Gives out these, one after the other as they are refused, and counts.
struct Renewed {
    tokens: Vec<&'static str>,
    asked: Arc<Mutex<Vec<bool>>>,
}

#[async_trait]
impl CredentialProvider for Renewed {
    async fn credentials(
        &self,
        _: &RemoteUrl,
        refused: bool,
    ) -> Result<Option<Credentials>, BoxError> {
        let mut asked = self.asked.lock().unwrap();
        asked.push(refused);
        let refusals = asked.iter().filter(|refused| **refused).count();
        match self.tokens.get(refusals) {
            Some(token) => Ok(Some(Credentials::bearer(*token))),
            None => Err("the vault is sealed".into()),
        }
    }
}

/// A server in front of a repository's that wants this header, and forwards what has it.
fn gate(repo_url: &str, wanted: &'static str, log: Arc<Mutex<Vec<String>>>) -> String {
    let upstream = repo_url
        .trim_start_matches("http://")
        .split('/')
        .next()
        .unwrap()
        .to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (upstream, log) = (upstream.clone(), Arc::clone(&log));
            std::thread::spawn(move || {
                let _ = forward(stream, &upstream, wanted, &log);
            });
        }
    });
    repo_url.replace(repo_url.split('/').nth(2).unwrap(), &own.to_string())
}

/// Each connection carries one request, whose head is looked at.
fn forward(
    mut from: TcpStream,
    upstream: &str,
    wanted: &str,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(from.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let lower = line.to_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    log.lock().unwrap().push(head.clone());
    if !head.to_lowercase().contains(&wanted.to_lowercase()) {
        return from
            .write_all(b"HTTP/1.1 401 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }
    let mut to = TcpStream::connect(upstream)?;
    to.write_all(format!("{head}connection: close\r\n\r\n").as_bytes())?;
    to.write_all(&body)?;
    std::io::copy(&mut to, &mut from)?;
    from.shutdown(std::net::Shutdown::Both)
}

fn repo() -> FakeRepo {
    let repo = FakeRepo::new().unwrap();
    repo.commit("one").file("a", "1").save().unwrap();
    repo
}

#[tokio::test]
async fn credentials_that_expired_are_renewed_once() {
    let repo = repo();
    let server = repo.serve().unwrap();
    let log = Arc::default();
    let url = gate(
        &server.url(),
        "authorization: bearer hunter2-new",
        Arc::clone(&log),
    );
    let asked = Arc::default();
    let source = GitSource::builder(&url)
        .credential_provider(Renewed {
            tokens: vec!["hunter2-old", "hunter2-new"],
            asked: Arc::clone(&asked),
        })
        .build()
        .unwrap();
    files(&source).await.unwrap();
    let refused = asked
        .lock()
        .unwrap()
        .iter()
        .filter(|refused| **refused)
        .count();
    assert_eq!(refused, 1, "renewed once, and then kept");
    let heads = log.lock().unwrap().clone();
    assert!(heads[0].contains("hunter2-old") && heads[1].contains("hunter2-new"));

    // Twice is not tried.
    let asked = Arc::default();
    let source = GitSource::builder(&url)
        .credential_provider(Renewed {
            tokens: vec!["hunter2-1", "hunter2-2", "hunter2-new"],
            asked: Arc::clone(&asked),
        })
        .build()
        .unwrap();
    let error = refusal(&source).await;
    assert!(
        matches!(cause(&error), GitError::Unauthorized { .. }),
        "{error}"
    );
    assert_eq!(*asked.lock().unwrap(), [false, true]);

    // Fixed ones can't be renewed, so asking again would be of no use.
    log.lock().unwrap().clear();
    let source = GitSource::builder(&url)
        .credentials(Credentials::bearer("hunter2-old"))
        .build()
        .unwrap();
    let error = refusal(&source).await;
    assert_kind(&error, Kind::Unauthorized, &["HTTP 401"]);
    assert_eq!(log.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_provider_that_fails_says_why() {
    let server = repo().serve().unwrap();
    let source = GitSource::builder(server.url())
        .credential_provider(Renewed {
            tokens: Vec::new(),
            asked: Arc::default(),
        })
        .build()
        .unwrap();
    let error = refusal(&source).await;
    assert_kind(
        &error,
        Kind::Unauthorized,
        &["no credentials", "the vault is sealed"],
    );
}

#[test]
fn providers_and_proxies_are_refused_where_they_would_do_harm_or_nothing() {
    let provider = || Credentials::token("hunter2");
    let clear = GitSource::builder("http://example.com/x").credential_provider(provider());
    let error = clear.build().unwrap_err().to_string();
    assert!(error.contains("clear text"), "{error}");
    for bad in [
        GitSource::builder("git@example.com:x").credential_provider(provider()),
        GitSource::builder("git@example.com:x").proxy("http://127.0.0.1:1"),
        GitSource::builder("/srv/x").certificate_authorities("x"),
        GitSource::builder("http://127.0.0.1/x").proxy("http://ann:hunter2@[bad"),
        GitSource::builder("https://example.com/x").certificate_authorities("hunter2"),
        GitSource::builder("https://example.com/x").client_certificate("hunter2"),
    ] {
        let shown = format!("{bad:?}");
        let error = bad.build().unwrap_err().to_string();
        assert!(
            !error.contains("hunter2") && !shown.contains("hunter2"),
            "{error} {shown}"
        );
    }
}

#[tokio::test]
async fn a_proxy_is_gone_through_with_its_own_credentials() {
    let server = repo().serve().unwrap();
    let log = Arc::default();
    // Basic YW5uOmh1bnRlcjI= is ann:hunter2.
    let gate = gate(
        &server.url(),
        "proxy-authorization: basic YW5uOmh1bnRlcjI=",
        Arc::clone(&log),
    );
    let host = gate.split('/').nth(2).unwrap();
    // Nothing listens there: only the proxy knows the way.
    let source = GitSource::builder(server.url())
        .proxy(format!("http://ann:hunter2@{host}"))
        .build()
        .unwrap();
    files(&source).await.unwrap();
    let heads = log.lock().unwrap().clone();
    assert!(
        !heads.is_empty() && heads.iter().all(|head| head.contains(" http://127.0.0.1")),
        "{heads:?}"
    );
    let refused = GitSource::builder(server.url())
        .proxy(format!("http://ann:hunter2-wrong@{host}"))
        .build()
        .unwrap();
    refusal(&refused).await;
}

#[cfg(feature = "github-app")]
mod github {
    use super::*;
    use gitops_core::{Clock as _, ManualClock};
    use gitops_git::GitHubApp;

    /// Made for this test, 2048 bits, and known to nobody's GitHub.
    fn key() -> Option<String> {
        let made = std::process::Command::new("openssl")
            .args(["genrsa", "-traditional", "2048"])
            .output();
        match made {
            Ok(output) if output.status.success() => {
                Some(String::from_utf8(output.stdout).unwrap())
            }
            _ => None,
        }
    }

    /// Answers each request with the next token, and keeps what was asked.
    fn api(tokens: Vec<String>, log: Arc<Mutex<Vec<String>>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for (stream, answer) in listener.incoming().zip(tokens) {
                let mut stream = stream.unwrap();
                let mut head = String::new();
                for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                    let line = line.unwrap();
                    if line.is_empty() {
                        break;
                    }
                    head.push_str(&(line + "\n"));
                }
                log.lock().unwrap().push(head);
                let _ = stream.write_all(
                    format!(
                        "HTTP/1.1 201 Created\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
                        answer.len()
                    )
                    .as_bytes(),
                );
            }
        });
        format!("http://{own}/api/v3")
    }

    #[tokio::test]
    async fn tokens_of_an_app_are_asked_for_kept_and_renewed() {
        let Some(key) = key() else {
            println!("skipped: no openssl to make a key with");
            return;
        };
        let clock = ManualClock::default();
        let token = |name: &str, hours: u64| {
            let expires =
                clock.now() + jiff::SignedDuration::from_hours(i64::try_from(hours).unwrap());
            format!("{{\"token\":\"{name}\",\"expires_at\":\"{expires}\",\"more\":1}}")
        };
        let log = Arc::default();
        let base = api(
            vec![
                token("hunter2-a", 1),
                token("hunter2-b", 3),
                token("hunter2-c", 3),
                "{\"token\":1}".into(),
            ],
            Arc::clone(&log),
        );
        let app = GitHubApp::new("Iv23li", "4815", &key)
            .unwrap()
            .api(&base)
            .unwrap()
            .clock(clock.clone());
        assert!(!format!("{app:?}").contains("PRIVATE"));
        let url: RemoteUrl = "https://github.com/a/b".parse().unwrap();
        let ask = async |refused| match app.credentials(&url, refused).await.unwrap().unwrap() {
            Credentials::Basic { user, password } => {
                assert_eq!(user, "x-access-token");
                password.expose().clone()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(ask(false).await, "hunter2-a");
        assert_eq!(ask(false).await, "hunter2-a", "kept");
        clock.advance(Duration::from_secs(3600 - 299));
        assert_eq!(ask(false).await, "hunter2-b", "renewed before it expires");
        assert_eq!(ask(true).await, "hunter2-c", "renewed when it was refused");
        let error = app.credentials(&url, true).await.unwrap_err().to_string();
        assert!(
            error.contains("holds no token") && !error.contains("hunter2"),
            "{error}"
        );

        let heads = log.lock().unwrap().clone();
        assert!(heads[0].starts_with("POST /api/v3/app/installations/4815/access_tokens "));
        let proof = heads[0].to_lowercase();
        assert!(proof.contains("authorization: bearer eyj"), "{proof}");
    }

    #[test]
    fn ids_keys_and_places_that_can_not_be_right_are_refused() {
        for (app, installation, key) in [
            ("../x", "1", ""),
            ("a", "1/access_tokens?x", ""),
            ("", "1", ""),
            ("a", "1", "hunter2"),
            (
                "a",
                "1",
                "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----",
            ),
        ] {
            let error = GitHubApp::new(app, installation, key)
                .unwrap_err()
                .to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        if let Some(key) = key() {
            let app = || GitHubApp::new("a", "1", &key).unwrap();
            assert!(app().api("http://example.com/api/v3").is_err());
            assert!(app().api("nonsense").is_err());
            assert!(app().api("https://example.com/api/v3").is_ok());
        }
    }
}
