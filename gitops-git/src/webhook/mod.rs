//! Being told that something was pushed.

mod delivery;
mod proof;

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use gitops_core::{Clock, Digest, SystemClock};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use jiff::{SignedDuration, Timestamp};

use crate::error::GitError;
use crate::trigger::Trigger;
use delivery::Told;
use proof::Proof;

/// Deliveries remembered, so that one that is sent again does nothing.
const MAX_REMEMBERED: usize = 10_000;

/// What one address of a [`WebhookReceiver`] takes: from whom, and whom it wakes.
///
/// Each hook has a secret of its own, set at the sender too. It has at least 16 bytes.
#[derive(Clone)]
pub struct Hook {
    sender: Sender,
    proof: Result<Proof, String>,
    triggers: Vec<Trigger>,
    references: Vec<String>,
}

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    GitHub,
    GitLab,
    Gitea,
    BitbucketCloud,
    BitbucketServer,
    AzureDevOps,
    Generic,
}

impl Hook {
    fn new(sender: Sender, proof: Result<Proof, String>) -> Self {
        Self {
            sender,
            proof,
            triggers: Vec::new(),
            references: Vec::new(),
        }
    }

    /// GitHub: `push`, `create` and `delete` events as JSON, signed with a secret
    /// (`X-Hub-Signature-256`).
    pub fn github(secret: impl AsRef<[u8]>) -> Self {
        Self::new(
            Sender::GitHub,
            Proof::signature("x-hub-signature-256", secret.as_ref()),
        )
    }

    /// GitLab: push and tag events, with a secret token (`X-Gitlab-Token`). GitLab sends the
    /// token itself: have it send over TLS.
    pub fn gitlab(token: impl AsRef<[u8]>) -> Self {
        Self::new(
            Sender::GitLab,
            Proof::token("x-gitlab-token", token.as_ref()),
        )
    }

    /// Gitea and Forgejo: `push`, `create` and `delete` events as JSON, signed with a secret
    /// (`X-Hub-Signature-256`, which both send).
    pub fn gitea(secret: impl AsRef<[u8]>) -> Self {
        Self::new(
            Sender::Gitea,
            Proof::signature("x-hub-signature-256", secret.as_ref()),
        )
    }

    /// Bitbucket Cloud: `repo:push`, signed with a secret (`X-Hub-Signature`).
    pub fn bitbucket_cloud(secret: impl AsRef<[u8]>) -> Self {
        Self::new(
            Sender::BitbucketCloud,
            Proof::signature("x-hub-signature", secret.as_ref()),
        )
    }

    /// Bitbucket Server and Data Center: `repo:refs_changed`, signed with a secret
    /// (`X-Hub-Signature`).
    pub fn bitbucket_server(secret: impl AsRef<[u8]>) -> Self {
        Self::new(
            Sender::BitbucketServer,
            Proof::signature("x-hub-signature", secret.as_ref()),
        )
    }

    /// Azure DevOps: the service hook `git.push`, with user and password of basic
    /// authentication, which is all it has. It sends them themselves: have it send over TLS.
    pub fn azure_devops(user: impl AsRef<str>, password: impl AsRef<str>) -> Self {
        Self::new(
            Sender::AzureDevOps,
            Proof::basic(user.as_ref(), password.as_ref()),
        )
    }

    /// Anybody who signs the body with HMAC: `X-Signature: sha256=HEX` or `sha512=HEX`, as
    /// Flux's `generic-hmac` has it. What the body says is not looked at.
    pub fn generic(secret: impl AsRef<[u8]>) -> Self {
        Self::new(
            Sender::Generic,
            Proof::signature("x-signature", secret.as_ref()),
        )
    }

    /// Anybody who signs as [Standard Webhooks](https://www.standardwebhooks.com) has it:
    /// `webhook-id`, `webhook-timestamp` and `webhook-signature`. What is older, or of a later
    /// time, than the receiver's replay window is refused. The secret is what stands after
    /// `whsec_`, decoded.
    pub fn standard(secret: impl AsRef<[u8]>) -> Self {
        Self::new(Sender::Generic, Proof::standard(secret.as_ref()))
    }

    /// Wakes this source.
    #[must_use]
    pub fn wakes(mut self, trigger: Trigger) -> Self {
        self.triggers.push(trigger);
        self
    }

    /// Wakes only if the delivery names one of these refs, each in full
    /// (`refs/heads/main`), or does not say which it is about. Default: any.
    #[must_use]
    pub fn only<S: Into<String>>(mut self, references: impl IntoIterator<Item = S>) -> Self {
        self.references
            .extend(references.into_iter().map(Into::into));
        self
    }
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hook")
            .field("sender", &self.sender)
            .field("references", &self.references)
            .finish_non_exhaustive()
    }
}

/// Takes webhooks and wakes sources: a tower service of HTTP requests.
///
/// A webhook is a hint that something moved. What moved, and where to, is asked of the
/// repository as at any poll: nothing that a delivery says is believed, and one that is
/// missed, sent twice or made up costs a poll at most.
///
/// A delivery is looked into only after its signature was found good, in time that does not
/// depend on the secret. Its body may have 1 MiB, and ten seconds to come. The same delivery
/// a second time within ten minutes is answered and wakes nobody. Whatever a body holds, the
/// answer is a status:
///
/// | status | when |
/// |---|---|
/// | 202 | taken; whether it woke somebody is not said |
/// | 400 | signed, and not what this sender sends |
/// | 401 | not signed, or not with this secret, or too old |
/// | 404, 405 | no hook at this path; not a `POST` |
/// | 408, 413 | the body did not come in time; it is too large |
///
/// ```
/// use bytes::Bytes;
/// use gitops_git::{GitSource, Hook, WebhookReceiver};
/// use http_body_util::Full;
/// use tower::{Service, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let source = GitSource::builder("https://example.com/shop.git").build()?;
/// let receiver = WebhookReceiver::builder()
///     .hook("/hooks/shop", Hook::github("a secret of some length").wakes(source.trigger()))
///     .build()?;
///
/// // Serve it with hyper or axum; here, one request by hand.
/// let request = http::Request::post("/hooks/shop").body(Full::new(Bytes::from("{}")))?;
/// let answer = receiver.oneshot(request).await?;
/// assert_eq!(answer.status(), 401);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct WebhookReceiver {
    inner: Arc<Inner>,
}

struct Inner {
    hooks: BTreeMap<String, (Proof, Hook)>,
    max_body: usize,
    body_timeout: Duration,
    replay_window: SignedDuration,
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    when: BTreeMap<Digest, Timestamp>,
    order: VecDeque<Digest>,
}

/// Settings of a [`WebhookReceiver`].
#[must_use = "a receiver is made by `build`"]
pub struct WebhookReceiverBuilder {
    hooks: Vec<(String, Hook)>,
    max_body: usize,
    body_timeout: Duration,
    replay_window: Duration,
    clock: Arc<dyn Clock>,
}

impl WebhookReceiver {
    /// Starts without a hook.
    pub fn builder() -> WebhookReceiverBuilder {
        WebhookReceiverBuilder {
            hooks: Vec::new(),
            max_body: 1 << 20,
            body_timeout: Duration::from_secs(10),
            replay_window: Duration::from_secs(600),
            clock: Arc::new(SystemClock),
        }
    }
}

impl std::fmt::Debug for WebhookReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookReceiver")
            .field("paths", &self.inner.hooks.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl WebhookReceiverBuilder {
    /// Takes deliveries at this path, such as `/hooks/shop`. It is compared as it is sent.
    pub fn hook(mut self, path: impl Into<String>, hook: Hook) -> Self {
        self.hooks.push((path.into(), hook));
        self
    }

    /// How many bytes a body may have. Default: 1 MiB. GitHub sends up to 25.
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// How long a body may take to come. Default: ten seconds.
    pub fn body_timeout(mut self, limit: Duration) -> Self {
        self.body_timeout = limit;
        self
    }

    /// For how long a delivery is remembered, and how far the time of a signed one may be
    /// off. Default: ten minutes.
    pub fn replay_window(mut self, window: Duration) -> Self {
        self.replay_window = window;
        self
    }

    /// What tells the time. Default: the clock of the machine.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Makes the receiver.
    ///
    /// # Errors
    ///
    /// When a path does not begin with `/` or is there twice, or a secret is too short.
    pub fn build(self) -> Result<WebhookReceiver, GitError> {
        let refuse = |reason: String| GitError::Setting {
            setting: "webhook",
            reason,
        };
        let mut hooks = BTreeMap::new();
        for (path, hook) in self.hooks {
            let shown = crate::error::one_line(&path);
            if !path.starts_with('/') {
                return Err(refuse(format!("the path {shown:?} does not begin with /")));
            }
            let proof = hook
                .proof
                .clone()
                .map_err(|why| refuse(format!("{shown}: {why}")))?;
            if hooks.insert(path, (proof, hook)).is_some() {
                return Err(refuse(format!("two hooks at {shown}")));
            }
        }
        Ok(WebhookReceiver {
            inner: Arc::new(Inner {
                hooks,
                max_body: self.max_body,
                body_timeout: self.body_timeout,
                replay_window: SignedDuration::try_from(self.replay_window)
                    .unwrap_or(SignedDuration::MAX),
                clock: self.clock,
                seen: Mutex::default(),
            }),
        })
    }
}

impl<B> tower::Service<Request<B>> for WebhookReceiver
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<gitops_core::BoxError>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let (status, words) = match inner.take(request).await {
                Ok(()) => (StatusCode::ACCEPTED, "taken\n"),
                Err(refused) => refused,
            };
            let mut answer = Response::new(Full::new(Bytes::from_static(words.as_bytes())));
            *answer.status_mut() = status;
            answer.headers_mut().insert(
                header::CONTENT_TYPE,
                header::HeaderValue::from_static("text/plain; charset=utf-8"),
            );
            Ok(answer)
        })
    }
}

type Refused = (StatusCode, &'static str);

impl Inner {
    async fn take<B>(&self, request: Request<B>) -> Result<(), Refused>
    where
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<gitops_core::BoxError>,
    {
        let Some((proof, hook)) = self.hooks.get(request.uri().path()) else {
            return Err((StatusCode::NOT_FOUND, "no hook here\n"));
        };
        if request.method() != Method::POST {
            return Err((StatusCode::METHOD_NOT_ALLOWED, "POST it\n"));
        }
        let (parts, body) = request.into_parts();
        let body = self.body(&parts.headers, body).await?;
        let now = self.clock.now();
        // Nothing of the body is read before this.
        if !proof.is_good(&parts.headers, &body, now, self.replay_window) {
            tracing::debug!(path = parts.uri.path(), "webhook with a bad signature");
            return Err((StatusCode::UNAUTHORIZED, "not signed with the secret\n"));
        }
        let told = delivery::read(hook.sender, &parts.headers, &body)
            .ok_or((StatusCode::BAD_REQUEST, "not what this sender sends\n"))?;
        let wakes = match &told {
            Told::Nothing => false,
            Told::Something => true,
            Told::Moved(moved) => {
                hook.references.is_empty()
                    || moved.iter().any(|moved| hook.references.contains(moved))
            }
        };
        let path = parts.uri.path().as_bytes();
        if wakes && self.is_first(Digest::of_parts([path, &body]), now) {
            for trigger in &hook.triggers {
                trigger.fire();
            }
        }
        Ok(())
    }

    async fn body<B>(&self, headers: &HeaderMap, body: B) -> Result<Bytes, Refused>
    where
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<gitops_core::BoxError>,
    {
        const TOO_LARGE: Refused = (StatusCode::PAYLOAD_TOO_LARGE, "too large\n");
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > self.max_body) {
            return Err(TOO_LARGE);
        }
        let collected = Limited::new(body, self.max_body).collect();
        match tokio::time::timeout(self.body_timeout, collected).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(TOO_LARGE),
            Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, "the body broke off\n")),
            Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the body did not come\n")),
        }
    }

    /// Whether this delivery was not there within the window. Ids of deliveries are not
    /// signed; what is signed is the body.
    fn is_first(&self, delivery: Digest, now: Timestamp) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Seen { when, order } = &mut *seen;
        while let Some(oldest) = order.front() {
            let forgotten = order.len() > MAX_REMEMBERED
                || when
                    .get(oldest)
                    .is_none_or(|then| now.duration_since(*then) >= self.replay_window);
            if !forgotten {
                break;
            }
            if let Some(oldest) = order.pop_front() {
                when.remove(&oldest);
            }
        }
        if when.contains_key(&delivery) {
            return false;
        }
        when.insert(delivery, now);
        order.push_back(delivery);
        true
    }
}
