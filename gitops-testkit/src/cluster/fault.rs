//! Faults: what a test does to a cluster so that it misbehaves.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::server::Facts;
use super::status::ApiError;

/// A request as faults see it, before it is answered.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RequestInfo {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// The API group.
    pub group: String,
    /// The resource, such as `configmaps`.
    pub resource: String,
    /// The subresource.
    pub subresource: Option<String>,
    /// The namespace in the path.
    pub namespace: Option<String>,
    /// The name in the path.
    pub name: Option<String>,
    /// The user agent.
    pub user_agent: String,
}

impl RequestInfo {
    pub(crate) fn new(facts: &Facts, user_agent: &str) -> Self {
        Self {
            verb: facts.verb.clone(),
            group: facts.group.clone(),
            resource: facts.resource.clone(),
            subresource: facts.subresource.clone(),
            namespace: facts.namespace.clone(),
            name: facts.name.clone(),
            user_agent: user_agent.to_owned(),
        }
    }
}

type Matcher = Arc<dyn Fn(&RequestInfo) -> bool + Send + Sync>;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It is refused with this status, and nothing is done.
    Status(u16),
    /// It is carried out, but the answer is lost: the connection breaks.
    LoseAnswer,
    /// The connection breaks before anything is done.
    Refuse,
    /// It is answered later.
    Delay(Duration),
    /// All watches break.
    BreakWatches,
    /// The history of events is forgotten.
    Compact,
}

/// Something that goes wrong, and with which requests.
///
/// A fault strikes the first request that matches, once; [`nth`](Self::nth) and
/// [`times`](Self::times) change that. It matches every request until it is told less.
///
/// ```
/// # use gitops_testkit::cluster::{FakeCluster, Fault};
/// let cluster = FakeCluster::new();
/// // The second patch of a ConfigMap meets a conflict.
/// cluster.inject(Fault::status(409).verb("patch").resource("configmaps").nth(2));
/// // From then on, every list takes five seconds longer.
/// cluster.inject(Fault::delay(std::time::Duration::from_secs(5)).verb("list").always());
/// ```
#[derive(Clone)]
pub struct Fault {
    effect: Effect,
    matchers: Vec<Matcher>,
    skip: usize,
    left: Option<usize>,
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fault")
            .field("effect", &self.effect)
            .field("skip", &self.skip)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl Fault {
    fn new(effect: Effect) -> Self {
        Self {
            effect,
            matchers: Vec::new(),
            skip: 0,
            left: Some(1),
        }
    }

    /// The request is refused with this HTTP status and nothing is done. A 429 asks to
    /// come back after a second.
    #[must_use]
    pub fn status(code: u16) -> Self {
        Self::new(Effect::Status(code))
    }

    /// The request is carried out, and then the connection breaks: the client can't know
    /// whether its write took effect.
    #[must_use]
    pub fn lose_answer() -> Self {
        Self::new(Effect::LoseAnswer)
    }

    /// The connection breaks before anything is done.
    #[must_use]
    pub fn refuse_connection() -> Self {
        Self::new(Effect::Refuse)
    }

    /// The request takes this much longer (by tokio's clock).
    #[must_use]
    pub fn delay(by: Duration) -> Self {
        Self::new(Effect::Delay(by))
    }

    /// When the request comes, all watches end without an error.
    #[must_use]
    pub fn break_watches() -> Self {
        Self::new(Effect::BreakWatches)
    }

    /// When the request comes, the history of events is forgotten: watches from before
    /// that are told 410, and continued lists have expired.
    #[must_use]
    pub fn compact() -> Self {
        Self::new(Effect::Compact)
    }

    /// Only requests for which `matches` holds.
    #[must_use]
    pub fn when(mut self, matches: impl Fn(&RequestInfo) -> bool + Send + Sync + 'static) -> Self {
        self.matchers.push(Arc::new(matches));
        self
    }

    /// Only requests with this verb.
    #[must_use]
    pub fn verb(self, verb: &str) -> Self {
        let verb = verb.to_owned();
        self.when(move |request| request.verb == verb)
    }

    /// Only requests for this resource, such as `configmaps`.
    #[must_use]
    pub fn resource(self, resource: &str) -> Self {
        let resource = resource.to_owned();
        self.when(move |request| request.resource == resource)
    }

    /// Only requests for the object of this name.
    #[must_use]
    pub fn name(self, name: &str) -> Self {
        let name = name.to_owned();
        self.when(move |request| request.name.as_deref() == Some(name.as_str()))
    }

    /// Strikes the `n`th matching request, counted from one.
    #[must_use]
    pub fn nth(mut self, n: usize) -> Self {
        self.skip = n.saturating_sub(1);
        self
    }

    /// Strikes this many requests.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.left = Some(times);
        self
    }

    /// Strikes every request until [`clear_faults`](super::FakeCluster::clear_faults).
    #[must_use]
    pub fn always(mut self) -> Self {
        self.left = None;
        self
    }

    /// Whether it strikes this request; counts it.
    fn strikes(&mut self, request: &RequestInfo) -> bool {
        if self.left == Some(0) || !self.matchers.iter().all(|matches| matches(request)) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        true
    }
}

/// The faults of a cluster that are still to come.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// What happens to this request.
    pub(crate) fn strike(&mut self, request: &RequestInfo) -> Vec<Effect> {
        let effects = self
            .0
            .iter_mut()
            .filter_map(|fault| fault.strikes(request).then_some(fault.effect))
            .collect();
        self.0.retain(|fault| fault.left != Some(0));
        effects
    }
}

/// The error that a status fault answers with.
pub(crate) fn status_error(code: u16, request: &RequestInfo) -> ApiError {
    let (reason, message) = match code {
        400 => ("BadRequest", "injected fault"),
        401 => ("Unauthorized", "Unauthorized"),
        403 => ("Forbidden", "injected fault: forbidden"),
        404 => ("NotFound", "injected fault: not found"),
        409 => (
            "Conflict",
            "the object has been modified; please apply your changes to the latest version and try again",
        ),
        410 => (
            "Expired",
            "injected fault: the provided resource version is too old",
        ),
        422 => ("Invalid", "injected fault: invalid"),
        429 => (
            "TooManyRequests",
            "the server has received too many requests and has asked us to try again later",
        ),
        503 => (
            "ServiceUnavailable",
            "the server is currently unable to handle the request",
        ),
        504 => ("Timeout", "the request timed out"),
        _ => ("InternalError", "injected fault: internal error"),
    };
    let mut error = ApiError::new(code, reason, message);
    let mut details = json!({"kind": request.resource});
    if let Some(name) = &request.name {
        details["name"] = json!(name);
    }
    if !request.group.is_empty() {
        details["group"] = json!(request.group);
    }
    if code == 429 {
        details["retryAfterSeconds"] = json!(1);
        error.retry_after = Some(1);
    }
    error.details = Some(details);
    error
}
