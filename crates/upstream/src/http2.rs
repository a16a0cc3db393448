//! HTTP/2 connections to targets, each shared by many requests.

use std::{
    cell::{Cell, RefCell},
    fmt,
    future::poll_fn,
    rc::Rc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::client::SendRequest;
use rustc_hash::FxHashMap;
use tokio::time::timeout;

use crate::{
    connect::{ConnectError, connect},
    pool::{Key, PoolLimits},
    stream::Stream,
};

/// How much a target may send ahead on a stream and on a connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// As much as HTTP/1 answers may have.
const HEAD_LIMIT: u32 = 64 * 1024;
/// How much of requests may wait in memory per stream.
const SEND_BUFFER: usize = 64 * 1024;
/// The most requests at once over one connection, whatever more a target allows.
const STREAMS: usize = 100;

/// The HTTP/2 connections of one thread.
pub struct Http2Pool {
    limits: PoolLimits,
    connections: RefCell<FxHashMap<Key, Vec<Rc<Connection>>>>,
}

struct Connection {
    send: SendRequest<Bytes>,
    under_way: Cell<usize>,
    requests: Cell<u32>,
    idle_since: Cell<Instant>,
    closed: Cell<bool>,
}

/// A place for one request on a connection.
pub struct Http2Place {
    connection: Rc<Connection>,
}

impl Http2Pool {
    /// An empty pool. [`PoolLimits::idle`] does not apply: a target needs few connections.
    #[must_use]
    pub fn new(limits: PoolLimits) -> Http2Pool {
        Http2Pool { limits, connections: RefCell::default() }
    }

    /// A place on a connection that is open, or on a new one. The second value tells whether it is new.
    ///
    /// Must be called within a `LocalRuntime`: connections are driven by tasks of the calling thread.
    ///
    /// # Errors
    /// See [`ConnectError`]; one without HTTP/2 at the other end is [`ConnectError::Tls`] or [`ConnectError::Tcp`].
    pub async fn place(
        &self,
        key: &Key,
        limit: Duration,
    ) -> Result<(Http2Place, bool), ConnectError> {
        if let Some(place) = self.open(key) {
            return Ok((place, false));
        }
        let begun = Instant::now();
        let stream = connect(key.address, key.secured.as_deref(), limit).await?;
        if let Stream::Tls(tls) = &stream
            && tls.get_ref().1.alpn_protocol() != Some(b"h2")
        {
            let error = std::io::Error::other("the target does not speak HTTP/2");
            return Err(ConnectError::Tls { address: key.address, error });
        }
        let handshake = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEAD_LIMIT)
            .max_send_buffer_size(SEND_BUFFER)
            .enable_push(false)
            .handshake(stream);
        let left = limit.saturating_sub(begun.elapsed());
        let (send, driver) = match timeout(left, handshake).await {
            Err(_) => return Err(ConnectError::Timeout { address: key.address, limit }),
            Ok(Err(error)) => {
                let error = std::io::Error::other(error);
                return Err(ConnectError::Tcp { address: key.address, error });
            }
            Ok(Ok(opened)) => opened,
        };
        let connection = Rc::new(Connection {
            send,
            under_way: Cell::new(0),
            requests: Cell::new(0),
            idle_since: Cell::new(Instant::now()),
            closed: Cell::new(false),
        });
        self.connections.borrow_mut().entry(key.clone()).or_default().push(connection.clone());
        let watched = Rc::downgrade(&connection);
        tokio::task::spawn_local(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "an HTTP/2 connection to a target ended");
            }
            if let Some(connection) = watched.upgrade() {
                connection.closed.set(true);
            }
        });
        Ok((Http2Place::on(connection), true))
    }

    /// Closes what was idle for too long and forgets what was closed. Called every few seconds.
    pub fn sweep(&self, now: Instant) {
        let timeout = self.limits.idle_timeout;
        self.connections.borrow_mut().retain(|_, connections| {
            connections.retain(|connection| {
                let idle = connection.under_way.get() == 0
                    && !timeout.is_zero()
                    && now.saturating_duration_since(connection.idle_since.get()) >= timeout;
                !connection.closed.get() && !idle
            });
            !connections.is_empty()
        });
    }

    /// The number of connections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.connections.borrow().values().map(Vec::len).sum()
    }

    /// Whether there is no connection.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn open(&self, key: &Key) -> Option<Http2Place> {
        let mut connections = self.connections.borrow_mut();
        let connections = connections.get_mut(key)?;
        let limits = self.limits;
        connections.retain(|connection| {
            !connection.closed.get()
                && (limits.requests == 0 || connection.requests.get() < limits.requests)
        });
        let free = connections.iter().find(|connection| {
            let most = STREAMS.min(connection.send.current_max_send_streams());
            connection.under_way.get() < most
        });
        free.cloned().map(Http2Place::on)
    }
}

impl fmt::Debug for Http2Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2Pool").field("connections", &self.len()).finish_non_exhaustive()
    }
}

impl Http2Place {
    fn on(connection: Rc<Connection>) -> Http2Place {
        connection.under_way.set(connection.under_way.get() + 1);
        connection.requests.set(connection.requests.get() + 1);
        Http2Place { connection }
    }

    /// The way to send a request, once the connection is ready for it.
    ///
    /// # Errors
    /// If the connection has ended.
    pub async fn ready(&self) -> Result<SendRequest<Bytes>, h2::Error> {
        let mut send = self.connection.send.clone();
        poll_fn(|context| match send.poll_ready(context) {
            Poll::Pending if self.connection.closed.get() => {
                Poll::Ready(Err(h2::Error::from(h2::Reason::CANCEL)))
            }
            other => other,
        })
        .await?;
        Ok(send)
    }

    /// No other request is to use this connection.
    pub fn spoil(&self) {
        self.connection.closed.set(true);
    }
}

impl Drop for Http2Place {
    fn drop(&mut self) {
        self.connection.under_way.set(self.connection.under_way.get() - 1);
        self.connection.idle_since.set(Instant::now());
    }
}

impl fmt::Debug for Http2Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2Place").field("under_way", &self.connection.under_way.get()).finish()
    }
}
