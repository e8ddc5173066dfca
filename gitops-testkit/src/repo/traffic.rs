//! What a [`RepoServer`](super::RepoServer) was asked, and what it cost.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::RequestKind;

/// What went over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Traffic {
    /// Connections accepted.
    pub connections: u64,
    /// HTTP requests.
    pub requests: u64,
    /// Bytes read from clients, headers included.
    pub received: u64,
    /// Bytes written to clients, headers included.
    pub sent: u64,
}

/// One request, as the server understood it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedRequest {
    /// What was asked for.
    pub kind: RequestKind,
    /// The `ref-prefix` lines of an `ls-refs`; empty asks for every ref.
    pub ref_prefixes: Vec<String>,
    /// The ids after `want`.
    pub wants: Vec<String>,
    /// How many ids came after `have`.
    pub haves: usize,
    /// The depth asked for, of a shallow fetch.
    pub depth: Option<u32>,
    /// Whether it carried an `Authorization` header.
    pub authorized: bool,
    /// The status it was answered with.
    pub status: u16,
}

#[derive(Debug, Default)]
pub(crate) struct Meter {
    connections: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    requests: AtomicU64,
    log: Mutex<Vec<RecordedRequest>>,
}

impl Meter {
    pub(crate) fn accepted(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn record(&self, request: RecordedRequest) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(request);
    }

    pub(crate) fn traffic(&self) -> Traffic {
        Traffic {
            connections: self.connections.load(Ordering::Relaxed),
            requests: self.requests.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn reset(&self) {
        for counter in [
            &self.connections,
            &self.received,
            &self.sent,
            &self.requests,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

/// A TCP connection that counts its bytes and can be reset from outside.
pub(crate) struct Metered {
    stream: TcpStream,
    meter: Arc<Meter>,
    reset: Arc<AtomicBool>,
}

impl Metered {
    pub(crate) fn new(stream: TcpStream, meter: Arc<Meter>, reset: Arc<AtomicBool>) -> Self {
        Self {
            stream,
            meter,
            reset,
        }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let read = buf.filled().len().saturating_sub(before);
        self.meter
            .received
            .fetch_add(read as u64, Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.reset.load(Ordering::Relaxed) {
            // Closing a socket that may not linger sends a reset.
            let _ = self.stream.set_zero_linger();
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(written)) = &polled {
            self.meter
                .sent
                .fetch_add(*written as u64, Ordering::Relaxed);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
