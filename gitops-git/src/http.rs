//! Git over HTTP: gix speaks the protocol, this carries it.
//!
//! gix has an HTTP client of its own. This one differs in what matters for a controller that
//! runs for months: it keeps connections between polls, a hanging read ends in time and when
//! the caller goes away, credentials never leave the host they are for, answers are bounded,
//! and errors keep their status. It also remembers what the server said it can do, so that an
//! unchanged poll is one request rather than two.

use std::io::{self, BufRead, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use gitops_core::Redacted;
use gix::protocol::transport::client::blocking_io::http::{
    GetResponse, Http, PostBodyDataKind, PostResponse,
};
use reqwest::StatusCode;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::credentials::{CredentialProvider, Credentials};
use crate::error::GitError;
use crate::operation::{Operation, Timeouts};
use crate::remote_url::RemoteUrl;

const GET_SUFFIX: &str = "/info/refs?service=git-upload-pack";
/// Renamed repositories and added `.git` are one hop; more is a loop.
const MAX_REDIRECTS: usize = 5;

/// What is kept between the calls to one HTTP remote.
pub(crate) struct HttpRemote {
    client: reqwest::Client,
    url: Url,
    /// The same, as a provider of credentials is asked about it.
    remote: RemoteUrl,
    credentials: Option<Arc<dyn CredentialProvider>>,
    /// Whether there may be others when those are not taken.
    renews: bool,
    advertisement: Mutex<Option<Advertisement>>,
}

/// What the server answered to the first request of an exchange, in protocol version 2, where
/// it holds capabilities only.
#[derive(Debug, Clone)]
struct Advertisement {
    base: String,
    body: Bytes,
}

/// How the client connects.
#[derive(Clone, Default)]
pub(crate) struct HttpOptions {
    /// PEM; only these vouch for a server.
    pub(crate) authorities: Option<Vec<u8>>,
    /// PEM: the certificates and the private key.
    pub(crate) identity: Option<Redacted<Vec<u8>>>,
    /// With its credentials.
    pub(crate) proxy: Option<Redacted<String>>,
}

impl std::fmt::Debug for HttpRemote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HttpRemote")
            .field(&self.url.as_str())
            .finish()
    }
}

impl HttpRemote {
    pub(crate) fn new(
        remote: RemoteUrl,
        url: Url,
        credentials: Option<Arc<dyn CredentialProvider>>,
        renews: bool,
        options: &HttpOptions,
        timeouts: Timeouts,
    ) -> Result<Self, GitError> {
        let refuse = |reason: String| GitError::Setting {
            setting: "HTTP client",
            reason,
        };
        crate::install_crypto_provider();
        let mut builder = reqwest::Client::builder()
            .connect_timeout(timeouts.connect)
            .redirect(reqwest::redirect::Policy::custom(|attempt| {
                let same = attempt
                    .previous()
                    .first()
                    .is_some_and(|first| same_origin(first, attempt.url()));
                if same && attempt.previous().len() <= MAX_REDIRECTS {
                    attempt.follow()
                } else {
                    attempt.stop()
                }
            }))
            .user_agent(concat!("git/gitops-git-", env!("CARGO_PKG_VERSION")))
            .no_proxy();
        if let Some(proxy) = &options.proxy {
            // Its text may hold the credentials of the proxy, so it is not shown.
            let proxy = reqwest::Proxy::all(proxy.expose().as_str())
                .map_err(|_| refuse("the proxy is not an http or https URL".to_owned()))?;
            builder = builder.proxy(proxy);
        }
        if let Some(identity) = &options.identity {
            let identity = reqwest::Identity::from_pem(identity.expose()).map_err(|_| {
                refuse("the client certificate is not a certificate and its key in PEM".to_owned())
            })?;
            builder = builder.identity(identity);
        }
        if let Some(authorities) = &options.authorities {
            let authorities = reqwest::Certificate::from_pem_bundle(authorities)
                .ok()
                .filter(|found| !found.is_empty())
                .ok_or_else(|| refuse("the authorities hold no certificate in PEM".to_owned()))?;
            builder = builder.tls_certs_only(authorities);
        }
        if url.scheme() == "http" && options.identity.is_none() && options.authorities.is_none() {
            // No TLS, so no need for the system's certificates, which a small image lacks.
            builder = builder.tls_backend_preconfigured(
                rustls::ClientConfig::builder()
                    .with_root_certificates(rustls::RootCertStore::empty())
                    .with_no_client_auth(),
            );
        }
        let client = builder.build().map_err(|error| {
            refuse(crate::error::one_line(&format!(
                "{error}: {}",
                std::iter::successors(std::error::Error::source(&error), |e| inner(*e))
                    .last()
                    .map(ToString::to_string)
                    .unwrap_or_default()
            )))
        })?;
        Ok(Self {
            client,
            url,
            remote,
            credentials,
            renews,
            advertisement: Mutex::default(),
        })
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// What to send with a request.
    async fn authorization(
        &self,
        operation: &Operation,
        refused: bool,
    ) -> Result<Option<HeaderValue>, GitError> {
        let Some(provider) = &self.credentials else {
            return Ok(None);
        };
        let credentials = provider
            .credentials(&self.remote, refused)
            .await
            .map_err(|error| GitError::Unauthorized {
                remote: operation.remote(),
                reason: format!("no credentials: {}", operation.clean_chain(&*error)),
            })?;
        let Some(credentials) = credentials else {
            return Ok(None);
        };
        for secret in credentials.secrets() {
            operation.hide(secret);
        }
        authorization(&credentials).map(Some)
    }

    /// Whether the next exchange begins from memory.
    pub(crate) fn remembers(&self) -> bool {
        self.advertisement().is_some()
    }

    /// Begins the next exchange from the start. Called after any failure: the server may
    /// have changed.
    pub(crate) fn forget(&self) {
        *self.advertisement() = None;
    }

    fn advertisement(&self) -> std::sync::MutexGuard<'_, Option<Advertisement>> {
        self.advertisement
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The header that shows these credentials.
pub(crate) fn authorization(credentials: &Credentials) -> Result<HeaderValue, GitError> {
    use base64::Engine as _;
    let text = match credentials {
        Credentials::Basic { user, password } => {
            let pair = format!("{user}:{}", password.expose());
            format!(
                "Basic {}",
                base64::engine::general_purpose::STANDARD.encode(pair)
            )
        }
        Credentials::Bearer(token) => format!("Bearer {}", token.expose()),
    };
    let mut value = HeaderValue::try_from(text).map_err(|_| GitError::Setting {
        setting: "credentials",
        reason: "the token holds a character that can't be sent".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host() == b.host()
        && a.port_or_known_default() == b.port_or_known_default()
}

/// One exchange with a server: what gix drives.
pub(crate) struct HttpSession {
    remote: Arc<HttpRemote>,
    operation: Operation,
    /// Bytes that the answers may still have, and the limit that came from.
    budget: Budget,
    redirected: Option<String>,
    last: LastExchange,
}

/// The exchange that a session began last, to be [finished](Self::finish) when Git's part of
/// it is over.
#[derive(Clone, Default)]
pub(crate) struct LastExchange(Arc<Mutex<Option<Arc<Mutex<Exchange>>>>>);

impl LastExchange {
    /// Reads what is left of the answer. Git knows the end of its own message, and HTTP's
    /// end is a few bytes further on; only then can the connection be used again.
    pub(crate) fn finish(&self) {
        let exchange = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(exchange) = exchange {
            let mut exchange = exchange.lock().unwrap_or_else(PoisonError::into_inner);
            // What goes on after its end is not worth to wait for.
            for _ in 0..4 {
                match exchange.next_chunk() {
                    Ok(chunk) if !chunk.is_empty() => {}
                    _ => break,
                }
            }
        }
    }
}

/// A number of bytes that several answers share.
#[derive(Clone)]
pub(crate) struct Budget {
    left: Arc<Mutex<u64>>,
    limit: u64,
    what: &'static str,
}

impl Budget {
    pub(crate) fn new(limit: u64, what: &'static str) -> Self {
        Self {
            left: Arc::new(Mutex::new(limit)),
            limit,
            what,
        }
    }

    pub(crate) fn take(&self, bytes: usize, operation: &Operation) -> Result<(), GitError> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        match left.checked_sub(bytes as u64) {
            Some(rest) => {
                *left = rest;
                Ok(())
            }
            None => Err(GitError::Limit {
                remote: operation.remote(),
                what: self.what,
                limit: self.limit,
            }),
        }
    }
}

impl HttpSession {
    pub(crate) fn new(
        remote: Arc<HttpRemote>,
        operation: Operation,
        budget: Budget,
        last: LastExchange,
    ) -> Self {
        Self {
            remote,
            operation,
            budget,
            redirected: None,
            last,
        }
    }

    fn headers(&self, lines: impl IntoIterator<Item = impl AsRef<str>>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            let Some((name, value)) = line.as_ref().split_once(':') else {
                continue;
            };
            // Ours names us and is set on the client.
            if name.eq_ignore_ascii_case("user-agent") {
                continue;
            }
            if let (Ok(name), Ok(value)) = (
                HeaderName::try_from(name.trim()),
                HeaderValue::try_from(value.trim()),
            ) {
                headers.append(name, value);
            }
        }
        headers
    }
}

/// An exchange of one request and one answer, begun when the answer is first looked at.
struct Exchange {
    remote: Arc<HttpRemote>,
    operation: Operation,
    budget: Budget,
    state: State,
}

enum State {
    Writing {
        url: String,
        headers: HeaderMap,
        body: Vec<u8>,
    },
    Reading(reqwest::Response),
    Done,
}

impl Exchange {
    /// Sends the request if that is still to be done.
    fn begin(&mut self) -> Result<(), GitError> {
        if !matches!(self.state, State::Writing { .. }) {
            return Ok(());
        }
        let State::Writing { url, headers, body } = std::mem::replace(&mut self.state, State::Done)
        else {
            return Ok(());
        };
        let request = self.remote.client.post(url).headers(headers).body(body);
        let response = send(&self.operation, &self.remote, request)?;
        self.state = State::Reading(response);
        Ok(())
    }

    fn next_chunk(&mut self) -> Result<Bytes, GitError> {
        self.begin()?;
        let State::Reading(response) = &mut self.state else {
            return Ok(Bytes::new());
        };
        let chunk = next_chunk(&self.operation, &self.budget, response)?;
        if chunk.is_empty() {
            self.state = State::Done;
        }
        Ok(chunk)
    }

    fn content_type(&mut self) -> Result<Vec<u8>, GitError> {
        self.begin()?;
        Ok(match &self.state {
            State::Reading(response) => content_type_line(response),
            _ => Vec::new(),
        })
    }
}

/// Sends a request, and turns every status but success into an error.
fn send(
    operation: &Operation,
    remote: &HttpRemote,
    request: reqwest::RequestBuilder,
) -> Result<reqwest::Response, GitError> {
    let timeouts = operation.timeouts();
    // Until the headers come, connecting and thinking are one wait.
    let limit = timeouts.connect + timeouts.stall;
    let name = operation.remote();
    let exchange = |refused: bool| {
        let again = request.try_clone().ok_or_else(|| GitError::Internal {
            remote: operation.remote(),
            reason: "a request that can't be sent twice".to_owned(),
        })?;
        operation.wait("no answer", limit, async {
            let authorization = remote.authorization(operation, refused).await?;
            let sent = authorization.is_some();
            let again = match authorization {
                Some(value) => again.header(header::AUTHORIZATION, value),
                None => again,
            };
            let response = again
                .send()
                .await
                .map_err(|error| network(operation, &error))?;
            Ok((response, sent))
        })
    };
    let (mut response, mut sent) = exchange(false)?;
    if response.status() == StatusCode::UNAUTHORIZED && sent && remote.renews {
        // What was given may have expired since; once is enough to know.
        (response, sent) = exchange(true)?;
    }
    match response.status() {
        status if status.is_success() => Ok(response),
        StatusCode::UNAUTHORIZED => Err(GitError::Unauthorized {
            remote: name,
            reason: if sent {
                "the server does not take the credentials (HTTP 401)".to_owned()
            } else {
                "the server wants credentials and none are set (HTTP 401)".to_owned()
            },
        }),
        StatusCode::FORBIDDEN => Err(GitError::Forbidden { remote: name }),
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(GitError::RepositoryNotFound {
            remote: name,
            reason: if sent {
                "or one that the credentials may not see (HTTP 404)".to_owned()
            } else {
                "or one that needs credentials (HTTP 404)".to_owned()
            },
        }),
        status if status.is_redirection() => Err(GitError::Redirected {
            remote: name,
            to: redirect_target(operation, &response),
        }),
        status => Err(GitError::Status {
            remote: name,
            status: status.as_u16(),
        }),
    }
}

/// Where a redirect leads, without anything that could be a secret.
fn redirect_target(operation: &Operation, response: &reqwest::Response) -> String {
    let location = response
        .headers()
        .get(header::LOCATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    match response.url().join(location) {
        Ok(to) if same_origin(&to, response.url()) => "itself, again and again".to_owned(),
        Ok(to) => operation.clean(&to.origin().ascii_serialization()),
        Err(_) => "a place that is no URL".to_owned(),
    }
}

fn next_chunk(
    operation: &Operation,
    budget: &Budget,
    response: &mut reqwest::Response,
) -> Result<Bytes, GitError> {
    let chunk = operation.wait("nothing came", operation.timeouts().stall, async {
        response.chunk().await.map_err(|error| GitError::BrokenOff {
            remote: operation.remote(),
            reason: innermost(operation, &error),
        })
    })?;
    let chunk = chunk.unwrap_or_default();
    budget.take(chunk.len(), operation)?;
    Ok(chunk)
}

fn content_type_line(response: &reqwest::Response) -> Vec<u8> {
    let value = response
        .headers()
        .get(header::CONTENT_TYPE)
        .map_or(&b""[..], HeaderValue::as_bytes);
    [b"content-type: ", value, b"\n"].concat()
}

/// What the network said, sorted by what helps.
fn network(operation: &Operation, error: &reqwest::Error) -> GitError {
    let remote = operation.remote();
    let mut causes =
        std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |e| {
            inner(*e)
        });
    if let Some(tls) = causes.find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        return GitError::Untrusted {
            remote,
            reason: operation.clean(&tls.to_string()),
        };
    }
    if error.is_timeout() {
        return GitError::Timeout {
            remote,
            what: "no connection",
            limit: operation.timeouts().connect,
        };
    }
    let reason = innermost(operation, error);
    if error.is_connect() {
        GitError::Unreachable { remote, reason }
    } else {
        GitError::BrokenOff { remote, reason }
    }
}

/// The cause of an error. An [`io::Error`] skips the one it wraps.
fn inner<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a (dyn std::error::Error + 'static)> {
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// The innermost cause, which is what the system said; the outer ones repeat the URL.
fn innermost(operation: &Operation, error: &(dyn std::error::Error + 'static)) -> String {
    let last = std::iter::successors(Some(error), |error| inner(*error)).last();
    operation.clean(&last.unwrap_or(error).to_string())
}

impl Http for HttpSession {
    type Headers = Lines;
    type ResponseBody = Answer;
    type PostBody = Question;

    fn get(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix::error::Result<GetResponse<Lines, Answer>> {
        let remembered = self.remote.advertisement().clone();
        let (line, body) = match remembered {
            Some(known) => {
                self.redirected = Some(known.base);
                (
                    b"content-type: application/x-git-upload-pack-advertisement\n".to_vec(),
                    known.body,
                )
            }
            None => self
                .advertise(url, headers)
                .map_err(|error| gix::error::Error::from_error(self.operation.fail(error)))?,
        };
        Ok(GetResponse {
            headers: Lines::ready(line),
            body: Answer::ready(body),
        })
    }

    fn post(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _body: PostBodyDataKind,
    ) -> gix::error::Result<PostResponse<Lines, Answer, Question>> {
        let exchange = Arc::new(Mutex::new(Exchange {
            remote: Arc::clone(&self.remote),
            operation: self.operation.clone(),
            budget: self.budget.clone(),
            state: State::Writing {
                url: url.to_owned(),
                headers: self.headers(headers),
                body: Vec::new(),
            },
        }));
        *self.last.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&exchange));
        Ok(PostResponse {
            post_body: Question(Arc::clone(&exchange)),
            headers: Lines {
                exchange: Some(Arc::clone(&exchange)),
                line: io::Cursor::default(),
            },
            body: Answer {
                exchange: Some(exchange),
                chunk: Bytes::new(),
            },
        })
    }

    fn configure(&mut self, _config: &dyn std::any::Any) -> gix::error::Result {
        Ok(())
    }

    fn redirected_base_url(&self) -> Option<String> {
        self.redirected.clone()
    }
}

impl HttpSession {
    fn advertise(
        &mut self,
        url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<(Vec<u8>, Bytes), GitError> {
        let request = self.remote.client.get(url).headers(self.headers(headers));
        let mut response = send(&self.operation, &self.remote, request)?;
        let line = content_type_line(&response);
        if !line.ends_with(b"application/x-git-upload-pack-advertisement\n") {
            return Err(GitError::Protocol {
                remote: self.operation.remote(),
                reason: "not a Git server, or one that speaks no smart HTTP; \
                         a login page or a proxy may have answered"
                    .to_owned(),
            });
        }
        if response.url().as_str() != url {
            let Some(base) = response.url().as_str().strip_suffix(GET_SUFFIX) else {
                return Err(GitError::Redirected {
                    remote: self.operation.remote(),
                    to: "a place that is no repository".to_owned(),
                });
            };
            self.redirected = Some(base.to_owned());
        }
        let mut body = Vec::new();
        loop {
            let chunk = next_chunk(&self.operation, &self.budget, &mut response)?;
            if chunk.is_empty() {
                break;
            }
            body.extend_from_slice(&chunk);
        }
        let body = Bytes::from(body);
        if is_version_2(&body) {
            let base = match &self.redirected {
                Some(base) => base.clone(),
                None => url.strip_suffix(GET_SUFFIX).unwrap_or(url).to_owned(),
            };
            *self.remote.advertisement() = Some(Advertisement {
                base,
                body: body.clone(),
            });
        }
        Ok((line, body))
    }
}

/// Some servers put the service's name first, as in the older versions.
fn is_version_2(advertisement: &[u8]) -> bool {
    const SERVICE: &[u8] = b"001e# service=git-upload-pack\n0000";
    let lines = advertisement.strip_prefix(SERVICE).unwrap_or(advertisement);
    lines.starts_with(b"000eversion 2\n")
}

/// The headers of an answer, as lines.
pub(crate) struct Lines {
    exchange: Option<Arc<Mutex<Exchange>>>,
    line: io::Cursor<Vec<u8>>,
}

impl Lines {
    fn ready(line: Vec<u8>) -> Self {
        Self {
            exchange: None,
            line: io::Cursor::new(line),
        }
    }
}

impl Read for Lines {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.fill_buf()?;
        self.line.read(into)
    }
}

impl BufRead for Lines {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if let Some(exchange) = self.exchange.take() {
            let mut exchange = exchange.lock().unwrap_or_else(PoisonError::into_inner);
            let line = exchange
                .content_type()
                .map_err(|error| exchange.operation.fail(error))?;
            self.line = io::Cursor::new(line);
        }
        self.line.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.line.consume(amount);
    }
}

/// The body of a request, kept until the answer is looked at.
pub(crate) struct Question(Arc<Mutex<Exchange>>);

impl Write for Question {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut exchange = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut exchange.state {
            State::Writing { body, .. } => {
                body.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The body of an answer.
pub(crate) struct Answer {
    exchange: Option<Arc<Mutex<Exchange>>>,
    chunk: Bytes,
}

impl Answer {
    fn ready(body: Bytes) -> Self {
        Self {
            exchange: None,
            chunk: body,
        }
    }
}

impl Read for Answer {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Answer {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.chunk.is_empty()
            && let Some(exchange) = &self.exchange
        {
            let mut exchange = exchange.lock().unwrap_or_else(PoisonError::into_inner);
            self.chunk = exchange
                .next_chunk()
                .map_err(|error| exchange.operation.fail(error))?;
        }
        Ok(&self.chunk)
    }

    fn consume(&mut self, amount: usize) {
        let amount = amount.min(self.chunk.len());
        drop(self.chunk.split_to(amount));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advertisement_of_version_2_is_known() {
        assert!(is_version_2(b"000eversion 2\n0000"));
        assert!(is_version_2(
            b"001e# service=git-upload-pack\n0000000eversion 2\n0000"
        ));
        assert!(!is_version_2(b"000eversion 1\n"));
        assert!(!is_version_2(b""));
    }

    #[test]
    fn credentials_do_not_print() {
        for credentials in [
            Credentials::basic("ann", "hunter2"),
            Credentials::token("hunter2"),
            Credentials::bearer("hunter2"),
        ] {
            let header = authorization(&credentials).unwrap();
            let shown = format!("{credentials:?} {header:?}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        let error = authorization(&Credentials::bearer("hunter2\n")).unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }
}
