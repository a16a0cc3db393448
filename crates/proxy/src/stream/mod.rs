//! What is not HTTP: bytes over TCP and TLS, and datagrams, by the routes for streams.
//!
//! Start reading at `session.rs`, the way of one connection; `datagrams.rs` is that of UDP. Both find a route, ask
//! the plugins, choose a target and leave a line in the log by what stands here.

mod datagrams;
mod hello;
mod line;
mod session;
mod tunnel;

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::Instant,
};

use balancer::Inputs;
use model::Protocol;
use plugin::{Admission, Client};
use router::{NoHeaders, Scheme};
use settings::Listener;
use snapshot::{RouteEntry, ServiceEntry, Snapshot};
use tokio_rustls::TlsAcceptor;

use crate::{
    again::Again,
    failure::{Failure, Fault},
    listener::Acceptor,
    log_line::Named,
    request::Origin,
    thread::Thread,
    welcome,
};

pub(crate) use datagrams::serve as serve_datagrams;

use line::Line;

/// Accepts the connections of one listener for streams for ever, each served by a task of its own.
pub(crate) async fn accept(
    thread: Rc<Thread>,
    listener: Listener,
    tls: Option<TlsAcceptor>,
    mut acceptor: Acceptor,
) {
    loop {
        let (tcp, peer) = welcome::next(&thread, &listener, &mut acceptor).await;
        let Ok(origin) = welcome::origin(&thread, &listener, &tcp, peer) else { continue };
        let entered = thread.enter_stream();
        let serve = session::serve(
            thread.clone(),
            entered,
            tcp,
            origin,
            listener.proxy_protocol,
            tls.clone(),
        );
        tokio::task::spawn_local(serve);
        thread.fewer_than(thread.options.limits.connections).await;
    }
}

/// What is known of a session when it has ended.
#[derive(Debug)]
struct Record {
    /// The client, behind a trusted proxy.
    client: SocketAddr,
    scheme: Scheme,
    sni: Option<Box<str>>,
    route: Option<Arc<RouteEntry>>,
    begun: Instant,
    /// The last target tried.
    target: Option<SocketAddr>,
    /// Attempts to reach a target.
    tries: usize,
    /// Bytes from the client.
    received: u64,
    /// Bytes to the client.
    sent: u64,
}

impl Record {
    fn new(origin: &Origin, scheme: Scheme) -> Record {
        Record {
            client: origin.peer,
            scheme,
            sni: None,
            route: None,
            begun: Instant::now(),
            target: None,
            tries: 0,
            received: 0,
            sent: 0,
        }
    }

    /// Tells of the session: in the access log, and where it failed in the log.
    fn log(&self, thread: &Thread, result: &Result<(), Failure>) {
        let failure = result.as_ref().err();
        let status = failure.map_or(200, status);
        thread.counters.stream_session(status, self.received, self.sent);
        if let Some(failure) = failure {
            thread.counters.failed(failure);
            let protocol = self.scheme.as_str();
            match failure.fault() {
                Fault::Client => {
                    tracing::debug!(client = %self.client, protocol, %failure, "stream session refused");
                }
                Fault::Upstream | Fault::Gateway => {
                    tracing::warn!(client = %self.client, protocol, %failure, "stream session failed");
                }
            }
        }
        thread.log_stream(status, |format, out| {
            let line = Line {
                date: thread.date(),
                client: self.client,
                protocol: self.scheme.as_str(),
                sni: self.sni.as_deref(),
                status,
                received: self.received,
                sent: self.sent,
                session_ms: u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
                target: self.target,
                tries: self.tries,
                route: self.route.as_deref().map(Named::route),
                service: self
                    .route
                    .as_deref()
                    .and_then(|entry| entry.service.as_deref())
                    .map(Named::service),
                failure: failure.map(Failure::reason),
            };
            line.write(format, out);
        });
    }
}

/// The status of a session that failed, as nginx has them for streams.
fn status(failure: &Failure) -> u16 {
    match failure {
        Failure::NoRoute => 500,
        Failure::ClientTimeout(_) => 400,
        Failure::Connect(_) => 502,
        other => other.status(),
    }
}

/// The route of a session.
///
/// # Errors
/// [`Failure::NoRoute`], or [`Failure::Unsecured`] where it asks for TLS and there is none.
fn route(
    snapshot: &Snapshot,
    origin: &Origin,
    record: &mut Record,
) -> Result<Arc<RouteEntry>, Failure> {
    // Whom a trusted proxy speaks for; there is no header that could say something else.
    if let Some(client) = origin.proxied.filter(|_| origin.trusted) {
        record.client = client;
    }
    let found = snapshot.routes.find(&router::Request {
        scheme: record.scheme,
        method: "",
        host: "",
        port: None,
        path: b"",
        query: None,
        headers: &NoHeaders,
        sni: record.sni.as_deref(),
        source: Some(record.client),
        destination: Some(origin.local),
    });
    let entry = found.ok_or(Failure::NoRoute)?.payload.clone();
    let takes = |protocol| entry.route.protocols.contains(&protocol);
    // Datagrams and connections are matched by the same table.
    let right = match record.scheme {
        Scheme::Udp => takes(Protocol::Udp),
        _ => takes(Protocol::Tcp) || takes(Protocol::Tls) || takes(Protocol::TlsPassthrough),
    };
    record.route = Some(entry.clone());
    if !right {
        return Err(Failure::NoRoute);
    }
    if record.scheme == Scheme::Tcp && !takes(Protocol::Tcp) {
        return Err(Failure::Unsecured);
    }
    Ok(entry)
}

/// Asks the plugins of a session, which may refuse it.
///
/// # Errors
/// [`Failure::Refusal`], or [`Failure::Plugin`].
fn admit(
    snapshot: &Snapshot,
    entry: &RouteEntry,
    origin: &Origin,
    record: &Record,
) -> Result<(), Failure> {
    let service = entry.service.as_ref().map(|entry| entry.service.id);
    let chains = &snapshot.stream_plugins;
    let client = Client {
        peer: origin.peer,
        address: record.client.ip(),
        port: record.client.port(),
        secure: record.scheme.is_tls(),
        local: origin.local,
        tls: None,
    };
    for slot in &chains.chain(entry.route.id, service).slots {
        let Some(running) = chains.running(slot, None) else { continue };
        match &running.plugin {
            // One that cannot run is never passed over.
            None => {
                return Err(Failure::Plugin {
                    name: running.name.clone(),
                    id: running.id,
                    cause: "its configuration cannot run here".to_owned(),
                });
            }
            Some(plugin) if running.phases.preread => {
                if let Admission::Refuse(why) = plugin.preread(&client) {
                    return Err(Failure::Refusal { name: running.name.clone(), why });
                }
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The service of a session's route.
///
/// # Errors
/// [`Failure::NoService`]
fn service(entry: &RouteEntry) -> Result<&Arc<ServiceEntry>, Failure> {
    entry.service.as_ref().ok_or(Failure::NoService)
}

/// Prepares for another target after the one at `address` could not be reached.
///
/// # Errors
/// The failure, where no other is to be tried.
async fn retry(
    thread: &Thread,
    again: &mut Again<'_>,
    failure: Failure,
    address: SocketAddr,
) -> Result<(), Failure> {
    let Some(wait) = again.next(&failure, address, || thread.chance()) else {
        return Err(failure);
    };
    tracing::debug!(%failure, "trying another target");
    thread.counters.retry();
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    Ok(())
}

/// What ties a session to a target: of all that a request may have, there is only the client.
struct Ties<'a> {
    thread: &'a Thread,
    client: SocketAddr,
}

impl Inputs for Ties<'_> {
    fn consumer(&self) -> Option<Cow<'_, str>> {
        None
    }

    fn client_ip(&self) -> IpAddr {
        self.client.ip()
    }

    fn header(&self, _: &str, _: &mut dyn FnMut(&[u8])) {}

    fn path(&self) -> &[u8] {
        b""
    }

    fn query(&self) -> Option<&[u8]> {
        None
    }

    fn capture(&self, _: &str) -> Option<Cow<'_, [u8]>> {
        None
    }

    fn new_uuid(&self) -> uuid::Uuid {
        self.thread.new_uuid()
    }
}
