//! The life of one request, top to bottom.
//!
//! ```text
//! rewrite → route → protocol checks → access → body → balance → forward (retry) → header_filter → body_filter → log
//! ```
//! Plugins join where a phase has their name (`phases.rs`). Every request takes this way, whatever protocol it came by; what
//! goes wrong on it is a [`Failure`], which is answered in one place.

use std::{cell::RefCell, net::SocketAddr, time::Instant};

use http1::{Framing, Name, RequestHead, ResponseHead};
use plugin::{Client, Identity, TlsSession};
use router::Match;
use snapshot::{RouteEntry, Snapshot};

use crate::{
    client::Trust,
    downstream::{Answer, Body},
    failure::{Failure, Fault},
    filtered::Filtered,
    forward::{Call, Ties, is_grpc},
    held_body::{Held, Lent, give_leave},
    log_line::{Line, Named},
    own_answer::{self, Reply},
    phases::{Entering, Phases},
    plugin_answer, protocol,
    record::Record,
    response_head::{self, Additions},
    routing::{self, RoutedBy},
    thread::{Scratch, Thread},
    timer::Timer,
    upstream_head::Forwarding,
};

/// Where a request comes from: what is the same for all requests of a connection.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The other end of the connection.
    pub(crate) peer: SocketAddr,
    /// Whom the other end speaks for, as the PROXY protocol has it.
    pub(crate) proxied: Option<SocketAddr>,
    /// Where the client connected to, as it knows it (`port_maps`).
    pub(crate) local: SocketAddr,
    /// Whether the peer's word about the client is believed.
    pub(crate) trusted: bool,
    /// Whether the connection is by TLS.
    pub(crate) tls: bool,
    /// What was agreed on for it.
    pub(crate) session: Option<TlsSession>,
    /// Whether HTTP/2 may be spoken.
    pub(crate) http2: bool,
    /// The name of the TLS handshake.
    pub(crate) sni: Option<Box<str>>,
}

impl Origin {
    /// The client of a request: the other end, or whom a trusted one speaks for.
    pub(crate) fn client_of(&self, trust: &Trust, request: &RequestHead) -> SocketAddr {
        match self.trusted {
            true => trust.client(self.peer, self.proxied, &request.fields),
            false => self.peer,
        }
    }

    /// Who is asking, as plugins are told: `client` is behind trusted proxies.
    pub(crate) fn client(&self, client: SocketAddr, secure: bool) -> Client {
        Client {
            peer: self.peer,
            address: client.ip(),
            port: client.port(),
            secure,
            local: self.local,
            tls: self.session,
        }
    }
}

/// The time-outs of the client's connection: of what comes in and of what goes out.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    pub(crate) client_in: Timer,
    pub(crate) client_out: Timer,
    pub(crate) upstream_in: Timer,
    pub(crate) upstream_out: Timer,
}

/// As much of a body is kept to be sent again if a target fails; a larger one streams.
const BUFFERED: usize = 56 * 1024;

/// Answers the request in `scratch`, and logs it. What goes wrong after the answer was begun shows in `answer` alone:
/// it never ends.
pub(crate) async fn serve<B: Body, A: Answer>(
    thread: &Thread,
    origin: &Origin,
    timers: &Timers,
    scratch: &mut Scratch,
    body: &mut B,
    answer: &mut A,
) {
    let snapshot = thread.snapshot();
    let mut record = Record::new(Instant::now(), origin.peer);
    let phases = RefCell::new(Phases::default());
    phases.borrow_mut().begin(thread, &snapshot, origin, &scratch.request);
    let mut body = Held::new(body);
    let result =
        proxy(thread, &snapshot, origin, timers, scratch, &mut body, answer, &mut record, &phases)
            .await;
    if let Err(failure) = result {
        Box::pin(refuse(thread, scratch, &failure, answer, &mut record, &phases)).await;
    }
    record.request_bytes += body.received();
    log(thread, scratch, true, answer, &record, &phases);
}

/// Answers a request that could not be read, and logs it.
pub(crate) async fn serve_unreadable<A: Answer>(
    thread: &Thread,
    origin: &Origin,
    scratch: &mut Scratch,
    failure: &Failure,
    answer: &mut A,
) {
    let snapshot = thread.snapshot();
    let mut record = Record::new(Instant::now(), origin.peer);
    let phases = RefCell::new(Phases::default());
    phases.borrow_mut().begin(thread, &snapshot, origin, &scratch.request);
    refuse(thread, scratch, failure, answer, &mut record, &phases).await;
    log(thread, scratch, false, answer, &record, &phases);
}

#[expect(clippy::too_many_arguments, reason = "the parts of one request, which are borrowed apart")]
#[expect(
    clippy::await_holding_refcell_ref,
    reason = "the phases of one request run one after the other"
)]
async fn proxy<'s, B: Body, A: Answer>(
    thread: &Thread,
    snapshot: &'s Snapshot,
    origin: &Origin,
    timers: &Timers,
    scratch: &mut Scratch,
    body: &mut Held<'_, B>,
    answer: &mut A,
    record: &mut Record<'s>,
    phases: &RefCell<Phases<'s>>,
) -> Result<(), Failure> {
    let Scratch { request, response, id, .. } = scratch;
    let options = &*thread.options;

    // Rewrite: plugins of the whole gateway see the request before it has a route.
    let mut awaits_leave = request.expects_continue().then(|| request.version());
    let mut since = Some(record.begun);
    if phases.borrow().takes_part() {
        since = None;
        record.request_bytes = head_length(request);
        let mut lent = Lent { body, answer, awaits_leave, failure: None };
        let answered = phases.borrow_mut().rewrite(request, &mut lent, id)?;
        if let Some(answered) = answered {
            let reply = plugin_answer::reply(answered, request, &options.error_default_type);
            let send =
                own_answer::send(thread, request, response, id, &reply, answer, record, phases);
            return Box::pin(send).await;
        }
    }

    // Route.
    let mut normal = routing::path(request)?;
    let client = origin.client_of(&options.trust, request);
    let headers = RoutedBy(&request.fields);
    let found = snapshot.routes.find(&routing::asked(request, origin, client, &normal, &headers));
    let mut found = Some(found.ok_or(Failure::NoRoute)?);
    let Some(Match { payload, prefix: matched, .. }) = found else {
        return Err(Failure::NoRoute);
    };
    let entry: &RouteEntry = payload;
    record.client = client;
    record.route = Some(entry);

    // Protocol checks: what the route's `protocols` ask of a request that it matched.
    if let Some(reply) = protocol::check(&entry.route, request, origin) {
        let send = own_answer::send(thread, request, response, id, &reply, answer, record, phases);
        return Box::pin(send).await;
    }
    let mut target = routing::target(entry, matched, &normal);

    // Access: plugins of route, service and consumer may answer, or change the request.
    let mut captured = None;
    if Phases::concern(snapshot, entry) {
        since = None;
        if record.request_bytes == 0 {
            record.request_bytes = head_length(request);
        }
        // What was found in the request is kept apart from it, since plugins may change it.
        let captures = routing::captures(found.as_ref());
        let kept = normal.into_owned();
        let entering = Entering {
            client: origin.client(client, protocol::is_secure(request, origin)),
            route: entry,
            captures: &captures,
            path: target,
            id,
        };
        let mut lent = Lent { body, answer, awaits_leave, failure: None };
        // No other phase of this request can run before this one has ended.
        let answered =
            phases.borrow_mut().access(thread, snapshot, request, &mut lent, entering).await;
        awaits_leave = lent.awaits_leave;
        if let Some(failure) = lent.failure {
            return Err(failure);
        }
        if let Some(answered) = answered? {
            if awaits_leave.is_some() {
                answer.close_after();
            }
            let reply = plugin_answer::reply(answered, request, &options.error_default_type);
            let send =
                own_answer::send(thread, request, response, id, &reply, answer, record, phases);
            return Box::pin(send).await;
        }
        if body.is_replaced() {
            request.set_framing(Framing::Length(body.data().len() as u64));
        }
        target = phases.borrow().onward().map(|onward| onward.path.clone()).unwrap_or_default();
        captured = Some(captures);
        found = None;
        normal = kept.into();
    }
    if let Some(query) = request.query() {
        target.push(b'?');
        target.extend_from_slice(query);
    }

    let service = entry.service.as_deref().ok_or(Failure::NoService)?;

    // Body: what is small is received whole, so that it can be sent again. A call's messages cannot wait for its end.
    give_leave(answer, body, &mut awaits_leave).await?;
    if entry.route.request_buffering && !is_grpc(&service.service) {
        while !body.is_complete() && body.data().len() < BUFFERED {
            since = None;
            body.fill().await?;
        }
    }

    // Balance and forward; the answer is on its way to the client when this returns.
    let prefix = routing::stripped(entry, matched, &normal);
    let captured = |name: &str| match &captured {
        Some(captured) => captured.get(name).map(<[u8]>::to_vec),
        None => routing::captures(found.as_ref()).get(name).map(<[u8]>::to_vec),
    };
    let (host, subject) = {
        let phases = phases.borrow();
        let host = phases.onward().and_then(|onward| onward.host.clone());
        (host, phases.identity().and_then(Identity::subject))
    };
    let call = Call {
        thread,
        snapshot,
        service,
        request,
        target: &target,
        preserved_host: match &host {
            Some(host) => Some(host),
            None if entry.route.preserve_host => request.fields.get(Name::Host),
            None => None,
        },
        forwarding: Forwarding {
            peer: origin.peer,
            client,
            trusted: origin.trusted,
            scheme: if origin.tls { "https" } else { "http" },
            port: origin.local.port(),
            prefix,
            request_id: options.request_id_upstream.then_some(id.as_bytes()),
            product: &options.product,
        },
        inputs: &Ties {
            request,
            client,
            path: &normal,
            captures: &captured,
            subject,
            new_uuid: &|| thread.new_uuid(),
        },
        websocket: routing::asks_for_websocket(request),
        since,
        timers: (&timers.upstream_out, &timers.upstream_in),
    };
    // Header filter: what the gateway adds, and where plugins see the head.
    let header_filter = |response: &mut ResponseHead, record: &Record<'_>, cookie: Option<&str>| {
        let add = Additions {
            headers: &options.headers,
            product: &options.product,
            request_id: id.as_bytes(),
            date: &|| thread.date(),
            proxy_latency: record.proxy_latency(),
            upstream_latency: record.upstream_latency(),
            cookie,
        };
        // A method that a plugin changed decides no longer whether the client waits for a body.
        if request.method() == b"HEAD" && request.received_method() != b"HEAD" {
            response.fields.remove(Name::ContentLength);
        }
        phases.borrow_mut().header_filter(request, id, record, response)?;
        response_head::filter(response, request, &add);
        Ok(())
    };
    let mut answer = Filtered::new(answer, phases, request, id);
    call.forward(body, &mut answer, response, record, header_filter).await
}

/// Answers a request that failed. Once the answer has begun there is nothing to say: it breaks off.
async fn refuse<A: Answer>(
    thread: &Thread,
    scratch: &mut Scratch,
    failure: &Failure,
    answer: &mut A,
    record: &mut Record<'_>,
    phases: &RefCell<Phases<'_>>,
) {
    thread.counters.failed(failure);
    record.failure = Some(failure.reason());
    match failure.fault() {
        Fault::Client => {
            tracing::debug!(request_id = scratch.id.as_str(), %failure, "request refused")
        }
        Fault::Upstream | Fault::Gateway => {
            tracing::warn!(request_id = scratch.id.as_str(), %failure, "request failed");
        }
    }
    if answer.has_begun() {
        return;
    }
    record.status = failure.status();
    if matches!(failure, Failure::ClientGone) {
        return;
    }
    let Scratch { request, response, id, .. } = scratch;
    // Whoever waits for leave to send a body may send it or not.
    let broken = !matches!(failure, Failure::NoRoute) && failure.fault() == Fault::Client;
    if broken || request.expects_continue() {
        answer.close_after();
    }
    let reply = Reply::of_failure(failure, request, &thread.options.error_default_type);
    // The client may be gone by now, which the answer itself shows.
    let sent =
        own_answer::send(thread, request, response, id, &reply, answer, record, phases).await;
    if let Err(failure @ Failure::Plugin { .. }) = sent
        && !answer.has_begun()
    {
        // It failed in an answer of ours, too: the client gets one that no plugin has a say in.
        thread.counters.failed(&failure);
        let reply = Reply::of_failure(&failure, request, &thread.options.error_default_type);
        let nobody = RefCell::new(Phases::default());
        let _ =
            own_answer::send(thread, request, response, id, &reply, answer, record, &nobody).await;
    }
}

/// Log: the last phase, when the answer was sent or given up.
fn log<A: Answer>(
    thread: &Thread,
    scratch: &Scratch,
    readable: bool,
    answer: &A,
    record: &Record<'_>,
    phases: &RefCell<Phases<'_>>,
) {
    let head = answer.has_begun().then_some(&scratch.response);
    phases.borrow_mut().log(thread, &scratch.request, &scratch.id, record, head, answer.sent());
    thread.counters.request(answer.sent());
    thread.log(record.status, || {
        let last = record.tries.last();
        Line {
            date: thread.date(),
            client: record.client,
            request: readable.then_some(&scratch.request),
            status: record.status,
            sent: answer.sent(),
            request_id: scratch.id.as_str(),
            total: record.total_latency(),
            target: last.map(|last| last.address),
            upstream_status: last.and_then(|last| last.status),
            upstream: last.map(|_| record.upstream_latency()),
            route: record.route.map(Named::route),
            service: record.route.and_then(|entry| entry.service.as_deref()).map(Named::service),
            failure: record.failure,
            tries: record.tries.len(),
        }
    });
}

/// The length of a head, as it was sent over HTTP/1.
fn head_length(request: &RequestHead) -> u64 {
    let line = request.method().len() + request.target().len() + b"  HTTP/1.1\r\n\r\n".len();
    let fields = request.fields.iter().map(|field| field.name.len() + field.value.len() + 4);
    (line + fields.sum::<usize>()) as u64
}
