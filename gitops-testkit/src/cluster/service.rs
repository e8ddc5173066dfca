//! The cluster as a tower service.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream as _;
use futures::future::BoxFuture;
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::Inner;
use super::fault::{Effect, RequestInfo, status_error};
use super::log::RecordedRequest;
use super::rbac::User;
use super::server::{self, Facts, NoToken, Reply, Request};
use super::status::ApiError;
use super::watch::WatchStream;

/// The largest body that is read: the limit of the real server.
const MAX_BODY: usize = 3 * 1024 * 1024;

/// The connection broke before there was an answer, as an injected fault wanted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("connection lost (an injected fault)")]
pub struct ConnectionLost;

/// A cluster as a [`tower::Service`] for HTTP requests with any body.
///
/// `kube::Client::new` takes it as it is.
#[derive(Clone)]
pub struct ClusterService {
    inner: Arc<Inner>,
    no_token: NoToken,
    user: Option<User>,
}

impl std::fmt::Debug for ClusterService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterService").finish_non_exhaustive()
    }
}

impl ClusterService {
    pub(crate) fn in_process(inner: Arc<Inner>) -> Self {
        Self {
            inner,
            no_token: NoToken::Administrator,
            user: None,
        }
    }

    pub(crate) fn outside(inner: Arc<Inner>) -> Self {
        Self {
            inner,
            no_token: NoToken::Anonymous,
            user: None,
        }
    }

    #[cfg(feature = "serve")]
    pub(crate) fn plain_http(inner: Arc<Inner>) -> Self {
        Self {
            inner,
            no_token: NoToken::AnonymousOrClientGo,
            user: None,
        }
    }

    #[cfg(feature = "client")]
    pub(crate) fn acting_as(mut self, user: User) -> Self {
        self.user = Some(user);
        self
    }

    async fn respond<B>(
        self,
        request: http::Request<B>,
    ) -> Result<http::Response<ClusterBody>, ConnectionLost>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<gitops_core::BoxError>,
    {
        let (parts, body) = request.into_parts();
        let arrived = self.inner.clock.now();
        let started = tokio::time::Instant::now();
        let body = match Limited::new(body, MAX_BODY).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                let error = ApiError::new(
                    413,
                    "RequestEntityTooLarge",
                    format!("Request entity too large: limit is {MAX_BODY}"),
                );
                return Ok(self.response(server::error_reply(&error)));
            }
            Err(_) => return Err(ConnectionLost),
        };
        let mut facts = Facts::default();
        server::describe(
            &parts.method,
            parts.uri.path(),
            parts.uri.query().unwrap_or_default(),
            &mut facts,
        );
        let user_agent = header(&parts.headers, "user-agent");
        let info = RequestInfo::new(&facts, &user_agent);
        let (number, effects) = {
            let mut locked = self.inner.lock();
            (locked.log.number(), locked.faults.strike(&info))
        };
        let mut refusal = None;
        let mut lose = false;
        for effect in effects {
            match effect {
                Effect::Delay(by) => tokio::time::sleep(by).await,
                Effect::Status(code) => refusal = Some(status_error(code, &info)),
                Effect::LoseAnswer => lose = true,
                Effect::Refuse => {
                    lose = true;
                    refusal = Some(ApiError::internal("refused"));
                }
                Effect::BreakWatches => self.inner.lock().watch_epoch += 1,
                Effect::Compact => self.inner.lock().state.store.compact(),
            }
        }
        let reply = match refusal {
            Some(error) => server::error_reply(&error),
            None => {
                let mut locked = self.inner.lock();
                let request = Request {
                    method: &parts.method,
                    path: parts.uri.path(),
                    query: parts.uri.query().unwrap_or_default(),
                    headers: &parts.headers,
                    body: &body,
                    user: self.user.as_ref(),
                };
                let reply = server::answer(
                    &mut locked.state,
                    &self.inner.tokens,
                    self.no_token,
                    &request,
                    &mut facts,
                );
                if self.inner.controllers {
                    super::controllers::run(&mut locked.state);
                }
                reply
            }
        };
        let status = match &reply {
            Reply::Whole { code, .. } => *code,
            Reply::Watch(_) => 200,
        };
        let version = {
            let mut locked = self.inner.lock();
            locked.log.push(RecordedRequest {
                number,
                time: arrived,
                user: facts.user,
                user_agent,
                verb: facts.verb,
                group: facts.group,
                resource: facts.resource,
                subresource: facts.subresource,
                namespace: facts.namespace,
                name: facts.name,
                uri: parts.uri.to_string(),
                content_type: Some(header(&parts.headers, "content-type"))
                    .filter(|t| !t.is_empty()),
                status: if lose { 0 } else { status },
                duration: started.elapsed(),
                body,
            });
            locked.state.store.resource_version()
        };
        self.inner.announce(version);
        if lose {
            return Err(ConnectionLost);
        }
        Ok(self.response(reply))
    }

    fn response(&self, reply: Reply) -> http::Response<ClusterBody> {
        let mut response = http::Response::new(ClusterBody(Content::Whole(None)));
        let headers = response.headers_mut();
        headers.insert(
            "cache-control",
            http::HeaderValue::from_static("no-cache, private"),
        );
        match reply {
            Reply::Watch(watch) => {
                headers.insert(
                    "content-type",
                    http::HeaderValue::from_static("application/json"),
                );
                *response.body_mut() = ClusterBody(Content::Watch(Box::new(WatchStream::new(
                    *watch,
                    self.inner.clone(),
                ))));
            }
            Reply::Whole {
                code,
                content_type,
                body,
                warnings,
                retry_after,
            } => {
                if let Ok(value) = http::HeaderValue::from_str(&content_type) {
                    headers.insert("content-type", value);
                }
                for warning in warnings {
                    let text = format!("299 - {}", super::status::quoted(&warning));
                    if let Ok(value) = http::HeaderValue::from_str(&text) {
                        headers.append("warning", value);
                    }
                }
                if let Some(seconds) = retry_after {
                    headers.insert("retry-after", seconds.into());
                }
                *response.status_mut() = http::StatusCode::from_u16(code)
                    .unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
                *response.body_mut() = ClusterBody(Content::Whole(Some(body.into())));
            }
        }
        response
    }
}

fn header(headers: &http::HeaderMap, name: &str) -> String {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned()
}

impl<B> tower::Service<http::Request<B>> for ClusterService
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<gitops_core::BoxError>,
{
    type Response = http::Response<ClusterBody>;
    type Error = ConnectionLost;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        Box::pin(self.clone().respond(request))
    }
}

/// The body of an answer: whole, or a watch that goes on.
pub struct ClusterBody(Content);

enum Content {
    Whole(Option<Bytes>),
    Watch(Box<WatchStream>),
}

impl std::fmt::Debug for ClusterBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Content::Whole(_) => "ClusterBody(whole)",
            Content::Watch(_) => "ClusterBody(watch)",
        })
    }
}

impl Body for ClusterBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            Content::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Watch(stream) => Pin::new(stream.as_mut())
                .poll_next(context)
                .map(|line| line.map(|line| Ok(Frame::data(line)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Content::Whole(None))
    }
}
