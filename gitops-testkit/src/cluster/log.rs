//! The log of requests, and assertions on it.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

/// A place in the request log. See [`FakeCluster::mark`](super::FakeCluster::mark).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub(crate) u64);

/// One request that a cluster has answered.
///
/// `Debug` and `Display` name the object and the answer, never a body: it may hold a
/// secret.
#[derive(Clone)]
#[non_exhaustive]
pub struct RecordedRequest {
    /// Counts requests from zero.
    pub number: u64,
    /// When it arrived, by the cluster's clock.
    pub time: Timestamp,
    /// Who sent it, after impersonation; empty if nobody could be made out.
    pub user: String,
    /// The user agent.
    pub user_agent: String,
    /// What it does: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`,
    /// `deletecollection`; the HTTP method for paths that are no resource.
    pub verb: String,
    /// The API group; empty for the core group and for paths that are no resource.
    pub group: String,
    /// The resource, such as `configmaps`; empty for a path that is none.
    pub resource: String,
    /// The subresource, such as `status`.
    pub subresource: Option<String>,
    /// The namespace in the path.
    pub namespace: Option<String>,
    /// The name in the path.
    pub name: Option<String>,
    /// Path and query as they were sent.
    pub uri: String,
    /// The type of the body.
    pub content_type: Option<String>,
    /// The HTTP status of the answer; zero if a fault kept it back.
    pub status: u16,
    /// From the arrival to the answer, by the cluster's clock; for a watch to its start.
    pub duration: Duration,
    pub(crate) body: Bytes,
}

impl RecordedRequest {
    /// The body, if it was JSON.
    #[must_use]
    pub fn body(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The body as it was sent.
    #[must_use]
    pub fn raw_body(&self) -> &[u8] {
        &self.body
    }

    /// Whether it asked for a change: a create, update, patch or delete that is no dry
    /// run and no review. The answer doesn't matter.
    #[must_use]
    pub fn is_write(&self) -> bool {
        matches!(
            self.verb.as_str(),
            "create" | "update" | "patch" | "delete" | "deletecollection"
        ) && !self.is_dry_run()
            && !matches!(
                self.group.as_str(),
                "authorization.k8s.io" | "authentication.k8s.io"
            )
    }

    /// Whether it asked for a dry run.
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        let in_query = self
            .uri
            .split_once('?')
            .is_some_and(|(_, query)| query.split('&').any(|part| part == "dryRun=All"));
        in_query
            || self.verb.starts_with("delete")
                && self.body().is_some_and(|body| body["dryRun"][0] == "All")
    }

    /// Whether it read objects of this resource: a get, list or watch.
    #[must_use]
    pub fn reads(&self, group: &str, resource: &str) -> bool {
        matches!(self.verb.as_str(), "get" | "list" | "watch")
            && self.group == group
            && self.resource == resource
    }
}

impl fmt::Display for RecordedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {} ", self.number, self.verb)?;
        if self.resource.is_empty() {
            f.write_str(&self.uri)?;
        } else {
            f.write_str(&super::status::qualified(&self.group, &self.resource))?;
            for part in [&self.subresource, &self.namespace, &self.name]
                .into_iter()
                .flatten()
            {
                write!(f, "/{part}")?;
            }
        }
        write!(f, " by {:?} -> {}", self.user, self.status)
    }
}

impl fmt::Debug for RecordedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordedRequest({self})")
    }
}

/// The requests of a cluster, the newest ones up to a limit.
#[derive(Debug)]
pub(crate) struct RequestLog {
    requests: VecDeque<RecordedRequest>,
    limit: usize,
    next: u64,
}

impl RequestLog {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            requests: VecDeque::new(),
            limit,
            next: 0,
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark(self.next)
    }

    /// Takes the number of the next request.
    pub(crate) fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    pub(crate) fn push(&mut self, request: RecordedRequest) {
        // Requests that were delayed come later than their number.
        let at = self
            .requests
            .iter()
            .rposition(|r| r.number < request.number)
            .map_or(0, |at| at + 1);
        self.requests.insert(at, request);
        while self.requests.len() > self.limit {
            self.requests.pop_front();
        }
    }

    pub(crate) fn since(&self, mark: Mark) -> Vec<RecordedRequest> {
        self.requests
            .iter()
            .filter(|r| r.number >= mark.0)
            .cloned()
            .collect()
    }
}

/// Requests one per line, for a failure's message.
pub(crate) fn listed(requests: &[RecordedRequest]) -> String {
    let mut text = String::new();
    for request in requests {
        let _ = write!(text, "\n  {request}");
    }
    text
}
