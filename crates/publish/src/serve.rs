//! Accepting data planes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use lifecycle::Shutdown;
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::Server;

use crate::connection::{Accepted, Connection};
use crate::handlers::SyncService;
use crate::publisher::Shared;

/// A peer that is silent for so long is asked whether it lives…
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// …and is gone if it does not answer within this.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// A data plane has one stream and a few calls open.
const CALLS_PER_CONNECTION: u32 = 16;
/// How often streams and members are looked after.
const SWEEP: Duration = Duration::from_secs(5);
/// How long accepting pauses when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves these connections until the shutdown begins and the streams have ended.
pub(crate) async fn run<I>(
    shared: &Arc<Shared>,
    incoming: I,
    shutdown: &Shutdown,
) -> Result<(), tonic::transport::Error>
where
    I: Stream<Item = std::io::Result<Connection>>,
{
    let service = SyncService { shared: shared.clone(), shutdown: shutdown.clone() };
    let incoming = incoming.map(|accepted| accepted.map(Accepted::from));
    let serve = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .max_concurrent_streams(CALLS_PER_CONNECTION)
        .add_service(service)
        .serve_with_incoming_shutdown(incoming, shutdown.draining());
    tokio::select! {
        ended = serve => ended,
        never = sweep(shared) => match never {},
    }
}

/// Connections that this socket accepts.
pub(crate) fn tcp(listener: TcpListener) -> impl Stream<Item = std::io::Result<Connection>> {
    stream::unfold(listener, |listener| async move {
        let (socket, address) = accept(&listener).await;
        Some((Ok(Connection::new(socket, Some(address))), listener))
    })
}

/// The next connection, whatever happens to others.
pub(crate) async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((socket, address)) => {
                // Only latency is lost without it.
                socket.set_nodelay(true).ok();
                return (socket, address);
            }
            Err(error) => {
                // The connection that failed is gone; the listener is as good as before. Out of
                // file descriptors, trying again at once would only spin.
                tracing::warn!(%error, "could not accept a data plane's connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Connections from this process.
pub(crate) fn piped(listener: wire::Listener) -> impl Stream<Item = std::io::Result<Connection>> {
    listener.map(|io| io.map(|io| Connection::new(io, None)))
}

async fn sweep(shared: &Shared) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(SWEEP).await;
        let closed = shared.stalled.sweep();
        if closed > 0 {
            tracing::warn!(closed, "closed connections of data planes that take nothing any more");
        }
        shared.fleet.forget(shared.settings.purge_delay);
    }
}
