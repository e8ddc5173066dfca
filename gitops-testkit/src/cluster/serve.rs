//! The cluster over HTTP, on loopback.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::{ClusterService, FakeCluster};

/// A cluster that is being served. Dropping it ends the server and its connections.
#[derive(Debug)]
pub struct ServerHandle {
    address: SocketAddr,
    stop: Arc<Notify>,
    task: JoinHandle<()>,
}

impl ServerHandle {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as a URL such as `http://127.0.0.1:40001`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends the server and waits until it has let go of its address.
    pub async fn shutdown(mut self) {
        self.stop.notify_one();
        // It fails only if the server has ended by itself.
        let _ = (&mut self.task).await;
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeCluster {
    /// Serves the cluster at `address` over HTTP/1.1 and HTTP/2 (with prior knowledge).
    /// Port zero takes a free one.
    ///
    /// There is no TLS: serve on loopback only. Requests need a
    /// [token](Self::token), with one exception: programs made with client-go, `kubectl`
    /// among them, don't send a token without TLS. A request from such a program that has
    /// none comes from the administrator.
    ///
    /// # Errors
    ///
    /// If the address can't be listened on.
    pub async fn serve(&self, address: SocketAddr) -> io::Result<ServerHandle> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let stop = Arc::new(Notify::new());
        let service = ClusterService::plain_http(self.inner.clone());
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = stopped.notified() => break,
                    Some(_) = connections.join_next() => continue,
                };
                let Ok((stream, _)) = accepted else {
                    // Out of file handles, most likely; some will come back.
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                    continue;
                };
                let _ = stream.set_nodelay(true);
                let service = TowerToHyperService::new(service.clone());
                connections.spawn(async move {
                    let served = Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                    if let Err(error) = served {
                        tracing::debug!(%error, "connection ended");
                    }
                });
            }
        });
        Ok(ServerHandle {
            address,
            stop,
            task,
        })
    }
}
