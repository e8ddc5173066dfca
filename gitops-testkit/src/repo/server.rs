//! Git's smart HTTP protocol on loopback, answered by `git upload-pack`.
//!
//! <https://git-scm.com/docs/gitprotocol-http>

use std::convert::Infallible;
use std::io::Read as _;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, Limited, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::fault::{Injected, strike};
use super::traffic::{Meter, Metered};
use super::{
    FakeRepo, FakeRepoError, RecordedRequest, RepoFault, RequestKind, Traffic, command, pktline,
};

/// The largest request body: a negotiation names a few thousand commits at most.
const MAX_REQUEST: usize = 16 << 20;

/// A [`FakeRepo`] served over smart HTTP on loopback, protocol versions 0 to 2.
///
/// It runs on a thread of its own, in real time, so it works under a paused tokio
/// clock and for clients that block. It stops when dropped.
#[derive(Debug)]
pub struct RepoServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    repo: FakeRepo,
    meter: Arc<Meter>,
    faults: Mutex<Vec<Injected>>,
    access: Mutex<Access>,
    only_version_0: AtomicBool,
}

/// Who may read.
#[derive(Default)]
enum Access {
    #[default]
    Anyone,
    /// Whoever sends exactly this `Authorization` header.
    Only {
        challenge: &'static str,
        header: String,
    },
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Anyone => "Anyone",
            Self::Only { .. } => "Only",
        })
    }
}

type Body = StreamBody<BoxStream<'static, Result<Frame<Bytes>, std::io::Error>>>;

impl RepoServer {
    pub(super) fn start(repo: FakeRepo) -> Result<Self, FakeRepoError> {
        let failed = |source| FakeRepoError::Io {
            action: "listen on loopback",
            source,
        };
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let shared = Arc::new(Shared {
            repo,
            meter: Arc::default(),
            faults: Mutex::default(),
            access: Mutex::default(),
            only_version_0: AtomicBool::new(false),
        });
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("fake-repo".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    tokio::select! {
                        () = accept(listener, serving) => {}
                        _ = stopped => {}
                    }
                });
                // Answers that never end must not keep the thread.
                runtime.shutdown_timeout(Duration::from_millis(100));
            })
            .map_err(failed)?;
        Ok(Self {
            shared,
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The URL to clone from: `http://127.0.0.1:PORT/repo.git`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/repo.git", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on answers 401 to whoever does not send this user and password.
    pub fn require_basic(&self, user: &str, password: &str) {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        *self.access() = Access::Only {
            challenge: "Basic realm=\"fake repo\"",
            header: format!("Basic {pair}"),
        };
    }

    /// From now on answers 401 to whoever does not send this token as a bearer token.
    pub fn require_bearer(&self, token: &str) {
        *self.access() = Access::Only {
            challenge: "Bearer realm=\"fake repo\"",
            header: format!("Bearer {token}"),
        };
    }

    /// From now on answers anyone again.
    pub fn allow_anyone(&self) {
        *self.access() = Access::Anyone;
    }

    /// From now on speaks only protocol version 0, as servers did before 2018.
    pub fn speak_only_version_0(&self) {
        self.shared.only_version_0.store(true, Ordering::Relaxed);
    }

    /// Makes every request fail this way until [`clear_faults`](Self::clear_faults).
    pub fn inject(&self, fault: RepoFault) {
        self.add(None, None, fault);
    }

    /// Makes requests of one kind fail this way until [`clear_faults`](Self::clear_faults).
    pub fn inject_on(&self, kind: RequestKind, fault: RepoFault) {
        self.add(Some(kind), None, fault);
    }

    /// Makes the next `times` requests of one kind fail this way. Of several faults
    /// that fit a request, the one injected first strikes.
    pub fn inject_times(&self, kind: RequestKind, times: u32, fault: RepoFault) {
        if times > 0 {
            self.add(Some(kind), Some(times), fault);
        }
    }

    /// Behaves again.
    pub fn clear_faults(&self) {
        self.faults().clear();
    }

    /// What went over the wire since the start or the last [`reset_traffic`](Self::reset_traffic).
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.shared.meter.traffic()
    }

    /// The requests since the start or the last [`reset_traffic`](Self::reset_traffic).
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.meter.requests()
    }

    /// How many requests of one kind there were.
    #[must_use]
    pub fn count(&self, kind: RequestKind) -> usize {
        self.requests()
            .iter()
            .filter(|request| request.kind == kind)
            .count()
    }

    /// Counts from zero again.
    pub fn reset_traffic(&self) {
        self.shared.meter.reset();
    }

    fn add(&self, on: Option<RequestKind>, times: Option<u32>, fault: RepoFault) {
        self.faults().push(Injected { on, times, fault });
    }

    fn access(&self) -> std::sync::MutexGuard<'_, Access> {
        self.shared
            .access
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn faults(&self) -> std::sync::MutexGuard<'_, Vec<Injected>> {
        self.shared.faults()
    }
}

impl Drop for RepoServer {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Refused only when the thread is gone already.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn faults(&self) -> std::sync::MutexGuard<'_, Vec<Injected>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The challenge to send to whoever sent these headers, if they do not suffice.
    fn challenge(&self, headers: &HeaderMap) -> Option<&'static str> {
        match &*self.access.lock().unwrap_or_else(PoisonError::into_inner) {
            Access::Anyone => None,
            Access::Only { challenge, header } => {
                let sent = headers.get(header::AUTHORIZATION).map(|v| v.as_bytes());
                (sent != Some(header.as_bytes())).then_some(*challenge)
            }
        }
    }
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: let some be closed.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        shared.meter.accepted();
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let reset = Arc::new(AtomicBool::new(false));
            let stream = Metered::new(stream, Arc::clone(&shared.meter), Arc::clone(&reset));
            let service = service_fn(move |request| {
                let (shared, reset) = (Arc::clone(&shared), Arc::clone(&reset));
                async move { Ok::<_, Infallible>(answer(&shared, &reset, request).await) }
            });
            // A client that goes away, or an answer broken off on purpose.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    shared: &Arc<Shared>,
    reset: &AtomicBool,
    request: Request<Incoming>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, MAX_REQUEST).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return plain(StatusCode::PAYLOAD_TOO_LARGE, "request too large"),
    };
    let body = if parts
        .headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|encoding| encoding == "gzip")
    {
        let mut plain_body = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(&*body).take(MAX_REQUEST as u64);
        if decoder.read_to_end(&mut plain_body).is_err() {
            return plain(StatusCode::BAD_REQUEST, "not gzip");
        }
        plain_body.into()
    } else {
        body
    };
    let kind = if parts.method == Method::GET {
        RequestKind::Advertisement
    } else {
        RequestKind::Fetch
    };
    let mut record = pktline::understand(&body);
    if kind == RequestKind::Advertisement {
        record.kind = kind;
    }
    record.authorized = parts.headers.contains_key(header::AUTHORIZATION);

    let fault = strike(&mut shared.faults(), record.kind);
    let response = if let Some(response) = refuse(shared, reset, &parts, fault.as_ref()).await {
        response
    } else {
        serve(shared, &parts, body, record.kind, fault).await
    };
    record.status = response.status().as_u16();
    shared.meter.record(record);
    response
}

/// The answers that need no Git.
async fn refuse(
    shared: &Shared,
    reset: &AtomicBool,
    parts: &http::request::Parts,
    fault: Option<&RepoFault>,
) -> Option<Response<Body>> {
    match fault {
        Some(RepoFault::Status(status)) => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return Some(plain(status, "fault injected"));
        }
        Some(RepoFault::Slow(wait)) => tokio::time::sleep(*wait).await,
        Some(RepoFault::Reset) => {
            reset.store(true, Ordering::Relaxed);
            return Some(plain(StatusCode::OK, ""));
        }
        Some(RepoFault::Page(page)) => {
            let mut response = plain(StatusCode::OK, page);
            response.headers_mut().insert(
                header::CONTENT_TYPE,
                header::HeaderValue::from_static("text/html"),
            );
            return Some(response);
        }
        Some(RepoFault::Redirect(base)) => {
            let rest = parts.uri.path_and_query().map_or("", |path| path.as_str());
            let to = rest.split_once(".git").map_or(rest, |(_, after)| after);
            let mut response = plain(StatusCode::FOUND, "");
            match header::HeaderValue::try_from(format!("{base}{to}")) {
                Ok(to) => drop(response.headers_mut().insert(header::LOCATION, to)),
                Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
            }
            return Some(response);
        }
        _ => {}
    }
    let challenge = shared.challenge(&parts.headers)?;
    let mut response = plain(StatusCode::UNAUTHORIZED, "authentication required");
    response.headers_mut().insert(
        header::WWW_AUTHENTICATE,
        header::HeaderValue::from_static(challenge),
    );
    Some(response)
}

async fn serve(
    shared: &Shared,
    parts: &http::request::Parts,
    body: Bytes,
    kind: RequestKind,
    fault: Option<RepoFault>,
) -> Response<Body> {
    let (arguments, content_type) = match (&parts.method, parts.uri.path(), parts.uri.query()) {
        (&Method::GET, "/repo.git/info/refs", Some("service=git-upload-pack")) => (
            &["upload-pack", "--stateless-rpc", "--http-backend-info-refs"][..],
            "application/x-git-upload-pack-advertisement",
        ),
        (&Method::POST, "/repo.git/git-upload-pack", None) => (
            &["upload-pack", "--stateless-rpc"][..],
            "application/x-git-upload-pack-result",
        ),
        _ => return plain(StatusCode::NOT_FOUND, "no such repository"),
    };
    let protocol = parts
        .headers
        .get("git-protocol")
        .and_then(|value| value.to_str().ok())
        .filter(|_| !shared.only_version_0.load(Ordering::Relaxed))
        .unwrap_or_default();
    let mut child = match tokio::process::Command::new("git")
        .args(arguments)
        .arg(shared.repo.path())
        .env_clear()
        .envs(command::environment())
        .env("GIT_PROTOCOL", protocol)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
    {
        Ok(child) => child,
        Err(error) => return plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    };
    let (Some(mut stdin), Some(mut stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "no pipes");
    };
    tokio::spawn(async move {
        // upload-pack stops reading when it has heard enough.
        let _ = stdin.write_all(&body).await;
    });

    let mut head = Vec::new();
    if kind == RequestKind::Advertisement && !protocol.contains("version=2") {
        pktline::write(&mut head, b"# service=git-upload-pack\n");
        head.extend_from_slice(b"0000");
    }
    let chunks: BoxStream<'static, Vec<u8>> = if kind == RequestKind::Fetch {
        // Packs may be large: pass them on as they come.
        let reading = stream::unfold((child, stdout), |(child, mut stdout)| async move {
            let mut chunk = vec![0; 64 << 10];
            let read = stdout.read(&mut chunk).await.unwrap_or(0);
            chunk.truncate(read);
            (read > 0).then_some((chunk, (child, stdout)))
        });
        stream::once(async { head }).chain(reading).boxed()
    } else {
        let mut answer = head;
        if let Err(error) = stdout.read_to_end(&mut answer).await {
            return plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string());
        }
        if let Some(RepoFault::ClaimRef { name, id }) = &fault {
            answer = pktline::claim(&answer, name, id);
        }
        stream::once(async { answer }).boxed()
    };
    let mut response = Response::new(StreamBody::new(spoil(chunks, kind, fault)));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static(content_type),
    );
    response.headers_mut().insert(
        header::CACHE_CONTROL,
        header::HeaderValue::from_static("no-cache"),
    );
    response
}

/// Turns an honest body into the one the fault asks for.
fn spoil(
    chunks: BoxStream<'static, Vec<u8>>,
    kind: RequestKind,
    fault: Option<RepoFault>,
) -> BoxStream<'static, Result<Frame<Bytes>, std::io::Error>> {
    let frame = |bytes: Vec<u8>| Ok(Frame::data(Bytes::from(bytes)));
    let shorten = |left: &mut usize, mut chunk: Vec<u8>| {
        if *left == 0 {
            return futures::future::ready(None);
        }
        chunk.truncate(*left);
        *left -= chunk.len();
        futures::future::ready(Some(chunk))
    };
    match fault {
        Some(RepoFault::Stall) => stream::pending().boxed(),
        Some(RepoFault::EndEarly { after }) => chunks.scan(after, shorten).map(frame).boxed(),
        Some(RepoFault::Truncate { after }) => {
            let breaking = stream::once(async {
                // What was sent must leave the buffers before the connection breaks.
                tokio::time::sleep(Duration::from_millis(20)).await;
                Err(std::io::ErrorKind::BrokenPipe.into())
            });
            chunks
                .scan(after, shorten)
                .map(frame)
                .chain(breaking)
                .boxed()
        }
        Some(RepoFault::Corrupt { at }) => chunks
            .scan(at, |left, mut chunk| {
                if let Some(byte) = chunk.get_mut(*left) {
                    *byte = !*byte;
                    *left = usize::MAX;
                } else if *left != usize::MAX {
                    *left -= chunk.len();
                }
                futures::future::ready(Some(chunk))
            })
            .map(frame)
            .boxed(),
        Some(RepoFault::Endless) => stream::unfold(0_u64, move |count| async move {
            // One poll must not spin for ever on this single-threaded runtime.
            tokio::task::yield_now().await;
            let mut chunk = Vec::new();
            if count == 0 && kind == RequestKind::Fetch {
                pktline::write(&mut chunk, b"packfile\n");
            }
            for number in count..count + 1000 {
                match kind {
                    RequestKind::Fetch => pktline::write(&mut chunk, b"\x02still counting\r"),
                    _ => pktline::write(
                        &mut chunk,
                        format!("{number:040x} refs/heads/main{number}\n").as_bytes(),
                    ),
                }
            }
            Some((chunk, count + 1000))
        })
        .map(frame)
        .boxed(),
        _ => chunks.map(frame).boxed(),
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let text = Bytes::copy_from_slice(text.as_bytes());
    let body = stream::once(async move { Ok(Frame::data(text)) }).boxed();
    let mut response = Response::new(StreamBody::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("text/plain"),
    );
    response
}
