//! The listener: connections with limits, time-outs and an orderly end.

mod handshake;
mod pulse;

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use lifecycle::Shutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::Api;
use crate::stall::Guarded;
use crate::state::Connections;

pub use handshake::{Handshake, Plain, Tls, Version};
pub(crate) use pulse::Pulse;

/// Requests at once on one HTTP/2 connection: enough for the clients there are, which have at most
/// a few tens under way, and little enough for the memory that large bodies take.
const STREAMS: u32 = 32;

/// What one client, and all together, may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at the same time; further ones wait in the kernel's queue.
    pub connections: usize,
    /// How long a connection may take over a handshake, and over each request's head. Also how
    /// long an idle connection is kept.
    pub head: Duration,
    /// How long a client may take no byte of an answer.
    pub stall: Duration,
}

impl Default for Limits {
    /// nginx's time-outs (`client_header_timeout`, `send_timeout`), as Kong has them, and as many
    /// connections as leave a default of 1024 open files room for the rest of the process.
    fn default() -> Limits {
        let minute = Duration::from_secs(60);
        Limits { connections: 512, head: minute, stall: minute }
    }
}

/// Counts of an Admin listener; shared with whoever reports them.
#[derive(Debug, Default)]
pub struct Counters {
    accepted: AtomicU64,
    active: AtomicU64,
    writing: AtomicU64,
    requests: AtomicU64,
}

impl Counters {
    /// How they stand.
    pub fn read(&self) -> Connections {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (active, writing) = (get(&self.active), get(&self.writing));
        Connections {
            accepted: get(&self.accepted),
            handled: get(&self.accepted),
            active,
            // A connection whose head is being read cannot be told from an idle one: both wait.
            reading: 0,
            writing,
            waiting: active.saturating_sub(writing),
            requests: get(&self.requests),
        }
    }
}

/// Serves the Admin API on a bound listener until the shutdown drains, then lets requests that
/// are under way finish (or drops them when the shutdown is forced).
pub async fn serve<H: Handshake>(
    listener: TcpListener,
    handshake: H,
    api: Api,
    limits: Limits,
    counters: Arc<Counters>,
    shutdown: Shutdown,
) {
    let room = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.draining() => break,
            // Ended connections are collected as they come.
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                note(ended);
                continue;
            }
            accepted = accept(&listener, &room) => accepted,
        };
        match accepted {
            Ok((stream, peer, permit)) => {
                let connection = Connection {
                    handshake: handshake.clone(),
                    api: api.clone(),
                    limits,
                    counters: counters.clone(),
                    shutdown: shutdown.clone(),
                };
                connections.spawn(async move {
                    connection.run(stream, peer).await;
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: some will be free in a moment.
                tracing::warn!(%error, "the Admin listener could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    tokio::select! {
        () = shutdown.forced() => connections.abort_all(),
        () = async { while let Some(ended) = connections.join_next().await { note(ended) } } => {}
    }
}

fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a request to the Admin API panicked; its connection is closed");
    }
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = room.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // Answers are written whole, so waiting for more to send only delays them. A client that is
    // gone already is found out when it is read from.
    let _ = stream.set_nodelay(true);
    Ok((stream, peer, permit))
}

struct Connection<H> {
    handshake: H,
    api: Api,
    limits: Limits,
    counters: Arc<Counters>,
    shutdown: Shutdown,
}

impl<H: Handshake> Connection<H> {
    async fn run(self, stream: TcpStream, peer: SocketAddr) {
        self.counters.accepted.fetch_add(1, Ordering::Relaxed);
        let _active = Count::up(&self.counters.active);
        let shaken = tokio::time::timeout(self.limits.head, self.handshake.shake(stream)).await;
        let (stream, version) = match shaken {
            Ok(Ok(shaken)) => shaken,
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "a handshake with an Admin client failed");
                return;
            }
            Err(_) => {
                tracing::debug!(%peer, "a handshake with an Admin client took too long");
                return;
            }
        };
        let pulse = Arc::new(Pulse::new());
        let io = TokioIo::new(Guarded::new(stream, self.limits.stall, pulse.clone()));
        let service = Service {
            api: self.api.clone(),
            scheme: H::SCHEME,
            counters: self.counters.clone(),
            pulse: pulse.clone(),
        };
        let service = service_fn(move |request| service.clone().answer(request));
        let ended = match version {
            Version::Http1 => {
                let serving = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(self.limits.head)
                    .serve_connection(io, service);
                self.drive(serving, http1::Connection::graceful_shutdown, &pulse).await
            }
            Version::Http2 => {
                let serving = http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    .max_concurrent_streams(STREAMS)
                    .serve_connection(io, service);
                self.drive(serving, http2::Connection::graceful_shutdown, &pulse).await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection of an Admin client broke off");
        }
    }

    /// Serves a connection to its end, which comes when the client closes it, when it idles for
    /// too long, or when the process drains.
    async fn drive<C>(
        &self,
        serving: C,
        end: impl Fn(Pin<&mut C>),
        pulse: &Pulse,
    ) -> hyper::Result<()>
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let mut serving = pin!(serving);
        tokio::select! {
            ended = serving.as_mut() => return ended,
            () = self.shutdown.draining() => {}
            () = pulse.idle(self.limits.head) => {}
        }
        end(serving.as_mut());
        tokio::select! {
            ended = serving => ended,
            // It was told to end, and takes neither that nor its answers.
            () = pulse.idle(self.limits.head) => Ok(()),
        }
    }
}

/// What answers the requests of a connection.
#[derive(Clone)]
struct Service {
    api: Api,
    scheme: &'static str,
    counters: Arc<Counters>,
    pulse: Arc<Pulse>,
}

impl Service {
    async fn answer(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<bytes::Bytes>>, std::convert::Infallible> {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let _writing = Count::up(&self.counters.writing);
        let _busy = self.pulse.busy();
        Ok(self.api.handle(request, self.scheme).await)
    }
}

/// One more while it lives.
struct Count<'a>(&'a AtomicU64);

impl<'a> Count<'a> {
    fn up(count: &'a AtomicU64) -> Count<'a> {
        count.fetch_add(1, Ordering::Relaxed);
        Count(count)
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
