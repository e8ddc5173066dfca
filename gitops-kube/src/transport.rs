//! Requests and answers: what is below every other module.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gitops_core::BoxError;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, RETRY_AFTER, WARNING};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use kube::Client;
use kube::client::Body;
use serde::Deserialize;

/// Only `metadata` of an object; plain JSON where the server can't.
pub(crate) const ACCEPT_METADATA: &str =
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

/// Only `metadata` of each object of a list; plain JSON where the server can't.
pub(crate) const ACCEPT_METADATA_LIST: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// The whole object.
pub(crate) const ACCEPT_WHOLE: &str = "application/json";

/// Longer answers are refused. A page of 500 objects of the largest size that etcd takes
/// would be more, but no page of metadata and no discovery document comes near.
const MAX_ANSWER: usize = 64 << 20;

/// Longer texts of errors are not read.
const MAX_REFUSAL: usize = 1 << 20;

/// Longer watch events are refused: etcd takes objects of 1.5 MiB unless told otherwise.
const MAX_EVENT: usize = 16 << 20;

/// Not more warnings than these are kept of one answer.
const MAX_WARNINGS: usize = 32;

/// Messages of servers are cut to so many characters.
pub(crate) const MAX_MESSAGE: usize = 1024;

/// A client and how long an answer may take.
#[derive(Clone)]
pub(crate) struct Transport {
    client: Client,
    timeout: Duration,
}

/// A request that can still be sent more than once.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) uri: String,
    pub(crate) accept: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
}

impl Call {
    pub(crate) fn get(uri: String, accept: &'static str) -> Self {
        Self {
            method: Method::GET,
            uri,
            accept,
            content_type: "",
            body: Vec::new(),
        }
    }

    pub(crate) fn with_json(method: Method, uri: String, body: Vec<u8>) -> Self {
        Self {
            method,
            uri,
            accept: ACCEPT_WHOLE,
            content_type: "application/json",
            body,
        }
    }

    fn build(self) -> Result<Request<Body>, Failure> {
        let mut request = Request::builder()
            .method(self.method)
            .uri(self.uri)
            .header(ACCEPT, self.accept);
        if !self.content_type.is_empty() {
            request = request.header(CONTENT_TYPE, self.content_type);
        }
        request
            .body(Body::from(self.body))
            .map_err(|error| Failure::unreachable("the request could not be built", Some(error)))
    }
}

/// An answer that is not an error.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Whether the status was 201.
    pub(crate) created: bool,
    /// The texts of the `Warning` headers.
    pub(crate) warnings: Vec<String>,
    /// The body.
    pub(crate) body: Bytes,
}

impl Answer {
    /// Reads the body.
    pub(crate) fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| {
            // serde's message may quote a value: only the place is told.
            Failure::unreachable(
                &format!(
                    "the answer can't be read (line {}, column {})",
                    error.line(),
                    error.column()
                ),
                None::<BoxError>,
            )
        })
    }
}

/// Why there is no answer that could be used.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server said no.
    Refused(Box<Refusal>),
    /// There was no answer, or none that can be read.
    Unreachable {
        /// What came of it.
        reason: String,
        /// The cause.
        source: Option<BoxError>,
    },
}

/// A status of 400 or more.
#[derive(Debug, Default)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) code: u16,
    /// `reason` of the Status; empty if the body was none.
    pub(crate) reason: String,
    /// `message` of the Status, or the text of the body, on one line and not too long.
    pub(crate) message: String,
    /// What it is about.
    pub(crate) details: Details,
    /// How long the server asks us to wait.
    pub(crate) retry_after: Option<Duration>,
}

/// `details` of a Status.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Details {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) causes: Vec<Cause>,
    retry_after_seconds: u64,
}

/// One of the `details.causes` of a Status.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Cause {
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) field: String,
}

/// A Status, as the body of an error or as a watch event.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    kind: String,
    code: u16,
    reason: String,
    message: String,
    details: Option<Details>,
}

impl Refusal {
    /// What a Status says, whatever carried it.
    pub(crate) fn from_status(status: Status, code: u16, retry_after: Option<Duration>) -> Self {
        let details = status.details.unwrap_or_default();
        let asked = (details.retry_after_seconds > 0)
            .then(|| Duration::from_secs(details.retry_after_seconds));
        Self {
            code: if code == 0 { status.code } else { code },
            reason: one_line(&status.reason, 100),
            message: one_line(&status.message, MAX_MESSAGE),
            details,
            retry_after: retry_after.or(asked),
        }
    }

    fn read(code: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let retry_after = headers
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        match serde_json::from_slice::<Status>(body) {
            Ok(status) if status.kind == "Status" => {
                Self::from_status(status, code.as_u16(), retry_after)
            }
            _ => Self {
                code: code.as_u16(),
                message: one_line(&String::from_utf8_lossy(body), MAX_MESSAGE),
                retry_after,
                ..Self::default()
            },
        }
    }

    /// Whether the server doesn't know the path at all, and so not the kind. A missing
    /// object is a 404 too, but one that names the object.
    pub(crate) fn is_unknown_path(&self) -> bool {
        self.code == 404 && self.details.name.is_empty()
    }

    /// Whether the object that was asked for is not there.
    pub(crate) fn is_missing_object(&self) -> bool {
        self.code == 404 && !self.details.name.is_empty()
    }
}

impl Failure {
    pub(crate) fn unreachable(reason: &str, source: Option<impl Into<BoxError>>) -> Self {
        Self::Unreachable {
            reason: reason.to_owned(),
            source: source.map(Into::into),
        }
    }

    /// The server's refusal, if there was an answer.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Unreachable { .. } => None,
        }
    }

    /// The HTTP status, if there was an answer.
    pub(crate) fn code(&self) -> Option<u16> {
        self.refusal().map(|refusal| refusal.code)
    }

    fn from_kube(error: kube::Error) -> Self {
        match error {
            // The text of these may quote what a credential plugin printed.
            kube::Error::Auth(_) => Self::unreachable(
                "no credentials: the kubeconfig's user or its credential plugin failed",
                None::<BoxError>,
            ),
            // Its own text is that of its cause, with a word of the client's in front.
            kube::Error::Service(error) => {
                Self::unreachable("the API server could not be reached", Some(error))
            }
            error => Self::unreachable("the API server could not be reached", Some(error)),
        }
    }

    fn interrupted(error: BoxError) -> Self {
        if error
            .downcast_ref::<http_body_util::LengthLimitError>()
            .is_some()
        {
            Self::unreachable(
                "the answer is longer than this client reads",
                None::<BoxError>,
            )
        } else {
            Self::unreachable("the answer was cut off", Some(error))
        }
    }
}

impl Transport {
    pub(crate) fn new(client: Client, timeout: Duration) -> Self {
        Self { client, timeout }
    }

    pub(crate) fn default_namespace(&self) -> &str {
        self.client.default_namespace()
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&self, call: Call) -> Result<Answer, Failure> {
        let request = call.build()?;
        let exchange = async {
            let answer = self
                .client
                .send(request)
                .await
                .map_err(Failure::from_kube)?;
            let (parts, body) = answer.into_parts();
            if parts.status.is_success() {
                let body = Limited::new(body, MAX_ANSWER)
                    .collect()
                    .await
                    .map_err(Failure::interrupted)?;
                Ok(Answer {
                    created: parts.status == StatusCode::CREATED,
                    warnings: warnings(&parts.headers),
                    body: body.to_bytes(),
                })
            } else {
                Err(refused(parts.status, &parts.headers, body).await)
            }
        };
        tokio::time::timeout(self.timeout, exchange)
            .await
            .unwrap_or_else(|_| Err(self.no_answer()))
    }

    /// Sends a request and reads the answer line by line, for as long as there are lines.
    pub(crate) async fn lines(&self, call: Call) -> Result<Lines, Failure> {
        let mut request = call.build()?;
        // From Kubernetes 1.37 on, watches are compressed event by event, and a client that
        // asks for compression may see the first event only:
        // https://github.com/tower-rs/tower-http/issues/737.
        request
            .headers_mut()
            .insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let exchange = async {
            let answer = self
                .client
                .send(request)
                .await
                .map_err(Failure::from_kube)?;
            let (parts, body) = answer.into_parts();
            if parts.status.is_success() {
                Ok(Lines {
                    body,
                    buffer: BytesMut::new(),
                    searched: 0,
                })
            } else {
                Err(refused(parts.status, &parts.headers, body).await)
            }
        };
        tokio::time::timeout(self.timeout, exchange)
            .await
            .unwrap_or_else(|_| Err(self.no_answer()))
    }

    fn no_answer(&self) -> Failure {
        Failure::unreachable(
            &format!("no answer within {} s", self.timeout.as_secs_f32()),
            None::<BoxError>,
        )
    }
}

async fn refused(status: StatusCode, headers: &HeaderMap, body: Body) -> Failure {
    // Without its text a refusal is still a refusal.
    let body = match Limited::new(body, MAX_REFUSAL).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    Failure::Refused(Box::new(Refusal::read(status, headers, &body)))
}

/// The lines of an answer that goes on.
pub(crate) struct Lines {
    body: Body,
    buffer: BytesMut,
    searched: usize,
}

impl Lines {
    /// The next line that isn't empty, or `None` at the end. What is cut off by the end is
    /// no line.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let new = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(at) = new.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(self.searched + at + 1).freeze();
                self.searched = 0;
                if !line.trim_ascii().is_empty() {
                    return Ok(Some(line));
                }
                continue;
            }
            self.searched = self.buffer.len();
            if self.searched > MAX_EVENT {
                return Err(Failure::unreachable(
                    "a watch event is longer than this client reads",
                    None::<BoxError>,
                ));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
                Some(Err(error)) => return Err(Failure::interrupted(error.into())),
            }
        }
    }
}

/// The texts of the `Warning` headers: `299 - "text"`, as the API server writes them
/// ([RFC 7234, 5.5](https://www.rfc-editor.org/rfc/rfc7234#section-5.5)).
fn warnings(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(WARNING)
        .iter()
        .flat_map(|value| quoted(&String::from_utf8_lossy(value.as_bytes())))
        .take(MAX_WARNINGS)
        .collect()
}

/// The quoted strings of a header, without their quotes and escapes.
fn quoted(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut chars = text.chars();
    while chars.by_ref().any(|c| c == '"') {
        let mut string = String::new();
        loop {
            match chars.next() {
                None | Some('"') => break,
                Some('\\') => string.extend(chars.next()),
                Some(c) => string.push(c),
            }
        }
        found.push(one_line(&string, MAX_MESSAGE));
    }
    found
}

/// The text without control characters and not longer than `limit` characters.
pub(crate) fn one_line(text: &str, limit: usize) -> String {
    let mut line: String = text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(limit)
        .collect();
    if text.trim().chars().nth(limit).is_some() {
        line.push('…');
    }
    line
}

/// A part of a path or a value of a query, with everything but the unreserved characters
/// of [RFC 3986](https://www.rfc-editor.org/rfc/rfc3986#section-2.3) written as `%XX`.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            for digit in [byte >> 4, byte & 15] {
                out.extend(char::from_digit(u32::from(digit), 16).map(|c| c.to_ascii_uppercase()));
            }
            let at = out.len() - 2;
            out.insert(at, '%');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_come_without_code_and_escapes() {
        let mut headers = HeaderMap::new();
        headers.append(
            WARNING,
            r#"299 - "unknown field \"spec.a\"""#.parse().unwrap(),
        );
        headers.append(WARNING, r#"299 - "one", 299 - "two""#.parse().unwrap());
        headers.append(WARNING, r#"299 - "never ends"#.parse().unwrap());
        assert_eq!(
            warnings(&headers),
            [r#"unknown field "spec.a""#, "one", "two", "never ends"]
        );
    }

    #[test]
    fn paths_hold_no_reserved_character() {
        assert_eq!(encoded("system:node/é a"), "system%3Anode%2F%C3%A9%20a");
        assert_eq!(encoded("web-1.2_~"), "web-1.2_~");
    }

    #[test]
    fn texts_are_cut_and_put_on_one_line() {
        assert_eq!(one_line(" a\nb\u{1b}c ", 10), "a b c");
        assert_eq!(one_line("éééé", 3), "ééé…");
    }

    #[tokio::test]
    async fn lines_are_cut_at_line_ends_only() {
        let frames = ["a", "b\n\nc", "d", "\ncut off"];
        let service = tower::service_fn(move |_: Request<Body>| async move {
            let frames = frames.map(|text| {
                let data = Bytes::from_static(text.as_bytes());
                Ok::<_, std::convert::Infallible>(http_body::Frame::data(data))
            });
            let body = http_body_util::StreamBody::new(futures::stream::iter(frames));
            Ok::<_, BoxError>(http::Response::new(body))
        });
        let transport = Transport::new(Client::new(service, "default"), Duration::from_secs(1));
        let mut lines = transport
            .lines(Call::get("/".into(), ACCEPT_WHOLE))
            .await
            .unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap(), "ab\n");
        assert_eq!(lines.next().await.unwrap().unwrap(), "cd\n");
        assert!(lines.next().await.unwrap().is_none());
    }
}
