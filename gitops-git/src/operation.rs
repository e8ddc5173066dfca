//! One call from outside: its time limits, its cancellation, its failure.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::error::{GitError, one_line};

/// Where sockets and processes are waited for, apart from the caller's runtime.
///
/// gix reads from blocking streams, on threads that may block. To let such a read end when
/// the caller goes away or time is up, the stream underneath is an asynchronous one. It can't
/// live on the caller's runtime: that may have one thread, or a clock that stands still.
fn runtime() -> Result<&'static tokio::runtime::Runtime, std::io::Error> {
    static RUNTIME: OnceLock<Result<tokio::runtime::Runtime, std::io::ErrorKind>> = OnceLock::new();
    RUNTIME
        .get_or_init(|| {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name("gitops-git")
                .enable_all()
                .build()
                .map_err(|error| error.kind())
        })
        .as_ref()
        .map_err(|kind| (*kind).into())
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// Until a connection stands.
    pub(crate) connect: Duration,
    /// Without a byte.
    pub(crate) stall: Duration,
    /// One whole call.
    pub(crate) whole: Duration,
}

/// What all that happens during one call shares. Clones are the same operation.
#[derive(Clone)]
pub(crate) struct Operation {
    inner: Arc<Inner>,
}

struct Inner {
    remote: String,
    secrets: Mutex<Vec<String>>,
    timeouts: Timeouts,
    deadline: Instant,
    cancelled: CancellationToken,
    /// Set when the caller went away or time is up; gix looks at it while it computes.
    interrupt: AtomicBool,
    /// The first error that we know better than gix does.
    failure: Mutex<Option<GitError>>,
}

/// Cancels an operation when dropped: what an `async fn` holds while it waits.
pub(crate) struct CancelOnDrop(Operation);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.inner.interrupt.store(true, Ordering::Relaxed);
        self.0.inner.cancelled.cancel();
    }
}

impl Operation {
    pub(crate) fn start(remote: String, secrets: Vec<String>, timeouts: Timeouts) -> Self {
        let operation = Self {
            inner: Arc::new(Inner {
                remote,
                secrets: Mutex::new(secrets),
                timeouts,
                deadline: Instant::now() + timeouts.whole,
                cancelled: CancellationToken::new(),
                interrupt: AtomicBool::new(false),
                failure: Mutex::default(),
            }),
        };
        if let Ok(runtime) = runtime() {
            // gix computes for long between reads: what ends that is this flag.
            let watched = Arc::downgrade(&operation.inner);
            let cancelled = operation.inner.cancelled.clone();
            let deadline = operation.inner.deadline;
            runtime.spawn(async move {
                tokio::select! {
                    () = tokio::time::sleep_until(deadline.into()) => {}
                    () = cancelled.cancelled() => {}
                }
                if let Some(inner) = watched.upgrade() {
                    inner.interrupt.store(true, Ordering::Relaxed);
                }
            });
        }
        operation
    }

    pub(crate) fn cancel_on_drop(&self) -> CancelOnDrop {
        CancelOnDrop(self.clone())
    }

    pub(crate) fn remote(&self) -> String {
        self.inner.remote.clone()
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        self.inner.timeouts
    }

    pub(crate) fn interrupt(&self) -> &AtomicBool {
        &self.inner.interrupt
    }

    /// Keeps a secret out of every text from now on.
    pub(crate) fn hide(&self, secret: &str) {
        let mut secrets = self.secrets();
        if !secrets.iter().any(|known| known == secret) {
            secrets.push(secret.to_owned());
        }
    }

    fn secrets(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.inner
            .secrets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Text from a server or a library, fit for an error: one line, without secrets.
    pub(crate) fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.secrets().iter() {
            if !secret.is_empty() {
                text = text.replace(secret.as_str(), "(redacted)");
            }
        }
        one_line(&text)
    }

    /// An error and all its causes, fit for an error of ours.
    pub(crate) fn clean_chain(&self, error: &(dyn std::error::Error + 'static)) -> String {
        let mut parts: Vec<String> = Vec::new();
        let mut next = Some(error);
        while let Some(error) = next {
            let text = self.clean(&error.to_string());
            // Many errors repeat their cause.
            if !text.is_empty() && !parts.iter().any(|part| part.contains(&text)) {
                parts.push(text);
            }
            next = error.source();
        }
        one_line(&parts.join(": "))
    }

    /// Fails once the caller is gone or time is up.
    pub(crate) fn check(&self) -> Result<(), GitError> {
        if self.inner.cancelled.is_cancelled() {
            return Err(self.cancelled());
        }
        if Instant::now() >= self.inner.deadline {
            return Err(self.late());
        }
        Ok(())
    }

    /// Waits, on a thread that may block, for something on the network. It ends in time,
    /// and at once when the caller goes away.
    pub(crate) fn wait<T>(
        &self,
        what: &'static str,
        limit: Duration,
        future: impl Future<Output = Result<T, GitError>>,
    ) -> Result<T, GitError> {
        let runtime = runtime().map_err(|source| GitError::Internal {
            remote: self.remote(),
            reason: format!("no thread for the network: {source}"),
        })?;
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.inner.cancelled.cancelled() => Err(self.cancelled()),
                result = future => result,
                () = tokio::time::sleep_until(self.inner.deadline.into()) => Err(self.late()),
                () = tokio::time::sleep(limit) => Err(GitError::Timeout {
                    remote: self.remote(),
                    what,
                    limit,
                }),
            }
        })
    }

    /// Keeps an error that is about to pass through gix, which would only know its text.
    pub(crate) fn fail(&self, error: GitError) -> std::io::Error {
        let text = error.to_string();
        self.failure().get_or_insert(error);
        std::io::Error::other(text)
    }

    /// The error behind one that came out of gix.
    pub(crate) fn explain(
        &self,
        error: &(dyn std::error::Error + 'static),
        otherwise: impl FnOnce(String) -> GitError,
    ) -> GitError {
        if let Some(known) = self.failure().take() {
            return known;
        }
        if let Err(error) = self.check() {
            return error;
        }
        otherwise(self.clean_chain(error))
    }

    pub(crate) fn forget_failure(&self) {
        self.failure().take();
    }

    fn failure(&self) -> std::sync::MutexGuard<'_, Option<GitError>> {
        self.inner
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn cancelled(&self) -> GitError {
        GitError::Cancelled {
            remote: self.remote(),
        }
    }

    fn late(&self) -> GitError {
        GitError::Timeout {
            remote: self.remote(),
            what: "not done",
            limit: self.inner.timeouts.whole,
        }
    }
}
