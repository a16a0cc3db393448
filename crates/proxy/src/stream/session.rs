//! The way of one connection, top to bottom.
//!
//! ```text
//! PROXY protocol → ClientHello → route → plugins → end TLS, or not → balance → connect (retry) → tunnel → log
//! ```

use std::{rc::Rc, sync::Arc, time::Instant};

use balancer::{Lease, Outcome};
use model::Protocol;
use router::Scheme;
use snapshot::{ServiceEntry, Snapshot};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use upstream::{ConnectError, Secured, Stream};

use super::{Record, Ties, admit, hello, retry, route, service, tunnel::Flow};
use crate::{
    again::Again,
    failure::Failure,
    forward::milliseconds,
    peers,
    prefixed::Prefixed,
    request::Origin,
    thread::{Entered, Thread},
    welcome,
};

/// Serves a connection to its end. `tls` is there where it begins with TLS.
pub(super) async fn serve(
    thread: Rc<Thread>,
    _entered: Entered,
    mut tcp: TcpStream,
    mut origin: Origin,
    proxy_protocol: bool,
    tls: Option<TlsAcceptor>,
) {
    if proxy_protocol && !welcome::introduce(&thread, &mut tcp, &mut origin).await {
        return;
    }
    let scheme = if tls.is_some() { Scheme::Tls } else { Scheme::Tcp };
    let mut record = Record::new(&origin, scheme);
    let result = proxy(&thread, tcp, &origin, tls, &mut record).await;
    record.log(&thread, &result);
}

async fn proxy(
    thread: &Thread,
    mut tcp: TcpStream,
    origin: &Origin,
    tls: Option<TlsAcceptor>,
    record: &mut Record,
) -> Result<(), Failure> {
    // Hello: the name is in what a TLS client says first, whoever will answer it.
    let limit = thread.options.limits.head_timeout;
    let mut received = Vec::new();
    if tls.is_some() {
        let hello = tokio::time::timeout(limit, hello::receive(&mut tcp)).await;
        let hello = hello.map_err(|_| Failure::ClientTimeout(limit))??;
        (received, record.sni) = (hello.received, hello.name);
    }

    // Route and plugins. The snapshot is needed until there is a connection: a session may outlive many of them.
    let snapshot = thread.snapshot();
    let entry = route(&snapshot, origin, record)?;
    admit(&snapshot, &entry, origin, record)?;
    let service = service(&entry)?;

    // TLS ends here unless it is to be passed on. Who cannot shake hands costs no target a connection.
    let opens = !entry.route.protocols.contains(&Protocol::TlsPassthrough);
    let client = Prefixed::new(received, tcp);
    let client = match tls.filter(|_| opens) {
        None => Client::Plain(client),
        Some(tls) => {
            let handshake = tokio::time::timeout(limit, tls.accept(client)).await;
            let ended = handshake.map_err(|_| Failure::ClientTimeout(limit))?;
            Client::Tls(Box::new(ended.map_err(|error| Failure::Hello(error.to_string()))?))
        }
    };

    // Balance and connect.
    let preserved = record.sni.clone().filter(|_| entry.route.preserve_host);
    let connecting =
        Connecting { thread, snapshot: &snapshot, service, preserved: preserved.as_deref() };
    let (target, lease) = connecting.run(record).await?;
    drop(snapshot);

    // Tunnel.
    let settings = &service.service;
    let flow = Flow::new(milliseconds(settings.read_timeout), milliseconds(settings.write_timeout));
    let end = match client {
        Client::Plain(client) => flow.run(&thread.buffers, client, target).await,
        Client::Tls(client) => flow.run(&thread.buffers, *client, target).await,
    };
    (record.received, record.sent) = (flow.received.get(), flow.sent.get());
    tracing::debug!(client = %record.client, target = %lease.address(), ?end, "stream session ended");
    Ok(())
}

/// A client's connection.
enum Client {
    /// Its bytes are passed on as they are.
    Plain(Prefixed<TcpStream>),
    /// What is within its TLS is passed on.
    Tls(Box<TlsStream<Prefixed<TcpStream>>>),
}

/// A session on its way to a target.
struct Connecting<'a> {
    thread: &'a Thread,
    snapshot: &'a Snapshot,
    service: &'a ServiceEntry,
    /// The name that the target is asked for where it is the client's.
    preserved: Option<&'a str>,
}

impl Connecting<'_> {
    /// Connects to a target, to another one if that fails. The lease counts the session as long as it is held.
    async fn run(&self, record: &mut Record) -> Result<(Stream, Lease), Failure> {
        let (service, upstream) = (&self.service.service, self.service.upstream());
        let ties = Ties { thread: self.thread, client: record.client };
        let (affinity, policy) = upstream.begin(&ties, Instant::now());
        let limit = milliseconds(service.connect_timeout);
        let mut again = Again::new(upstream, b"", service.retries.unwrap_or_default(), policy);
        loop {
            let picked = peers::pick(self.service, &affinity, again.tried(), Instant::now());
            let (lease, _) = picked.await?;
            record.target = Some(lease.address());
            record.tries += 1;
            let secured = self.secured(&lease)?;
            self.thread.counters.upstream_connect();
            let begun = Instant::now();
            let result = upstream::connect(lease.address(), secured.as_deref(), limit).await;
            let outcome = match &result {
                Ok(_) => Outcome::Connected,
                Err(ConnectError::Timeout { .. }) => Outcome::Timeout,
                Err(ConnectError::Tcp { .. }) => Outcome::ConnectFailed,
                Err(ConnectError::Tls { .. }) => Outcome::TlsFailed,
            };
            let now = Instant::now();
            // Of what a session takes, only connecting is the target's doing.
            lease.observe(now.saturating_duration_since(begun), result.is_err(), now);
            peers::report(self.service, &lease, outcome, now);
            match result {
                Ok(stream) => return Ok((stream, lease)),
                Err(error) => {
                    let address = lease.address();
                    drop(lease);
                    retry(self.thread, &mut again, error.into(), address).await?;
                }
            }
        }
    }

    /// How the connection is to be secured, if the service's protocol asks for it.
    fn secured(&self, lease: &Lease) -> Result<Option<Arc<Secured>>, Failure> {
        if !self.service.is_secured() {
            return Ok(None);
        }
        let service = &self.service.service;
        let name = self.preserved.unwrap_or_else(|| lease.config().host_for(lease));
        let fallback = lease.config().client_certificate;
        let mut profiles = self.thread.profiles.borrow_mut();
        let secured =
            profiles.secure(self.snapshot, service, fallback, name.as_bytes(), lease.address());
        secured.map(Some)
    }
}
