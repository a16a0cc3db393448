//! From a service to one of its targets and, if that fails, to another.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use balancer::{Affinity, Config, Inputs, Lease, Outcome, Peer};
use http1::{Decimal, Framing, RequestHead, ResponseHead};
use model::{Protocol, Service};
use smallvec::SmallVec;
use snapshot::{ServiceEntry, Snapshot};
use upstream::{ConnectError, Key, Pooled, Secured, connect};
use uuid::Uuid;

use crate::{
    again::{Again, TryEnd},
    attempt::{Afterwards, Attempt, Progress},
    attempt_http2::Http2Attempt,
    downstream::{Answer, Body},
    failure::Failure,
    peers,
    record::{Record, Try},
    thread::Thread,
    timer::Timer,
    upstream_head::{self, Destination, Forwarding},
};

/// A request that was found a service, on its way to it.
pub(crate) struct Call<'a> {
    pub(crate) thread: &'a Thread,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) service: &'a ServiceEntry,
    pub(crate) request: &'a RequestHead,
    /// Path and query to ask for, escaped.
    pub(crate) target: &'a [u8],
    /// The Host field to send, where it is not the target's: the client's, or a plugin's.
    pub(crate) preserved_host: Option<&'a [u8]>,
    pub(crate) forwarding: Forwarding<'a>,
    pub(crate) inputs: &'a dyn Inputs,
    /// Whether the client asks for a WebSocket.
    pub(crate) websocket: bool,
    /// When the request began, unless time has passed since that somebody measures: to read the clock is dear.
    pub(crate) since: Option<Instant>,
    pub(crate) timers: (&'a Timer, &'a Timer),
}

impl Call<'_> {
    /// Sends the request to a target, to another one if that fails and may be done, and the answer to the client.
    /// `prepare` makes of the upstream's head what the client gets, being told what was tried and a cookie to set.
    pub(crate) async fn forward<B: Body, A: Answer>(
        &self,
        body: &mut B,
        answer: &mut A,
        response: &mut ResponseHead,
        record: &mut Record<'_>,
        mut prepare: impl FnMut(&mut ResponseHead, &Record<'_>, Option<&str>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let upstream = self.service.upstream();
        let retries = self.service.service.retries.unwrap_or_default();
        let mut wanted = self.since.unwrap_or_else(Instant::now);
        let (affinity, policy) = upstream.begin(self.inputs, wanted);
        let mut again = Again::new(upstream, self.request.method(), retries, policy);
        loop {
            let picked = peers::pick(self.service, &affinity, again.tried(), wanted);
            let (lease, waited) = picked.await?;
            let at_once = self.since.filter(|since| *since == wanted);
            let begun = waited.or(at_once).unwrap_or_else(Instant::now);
            record.tries.push(Try::new(lease.address(), wanted, begun));
            let to = Attempted { lease: &lease, affinity: &affinity, again: &again, begun };
            let result = self.attempt(&to, body, answer, response, record, &mut prepare).await;
            self.report(&lease, &result, record);
            let Err((failure, replayable)) = result else {
                return Ok(());
            };
            let wait = if replayable && !answer.has_begun() {
                again.next(&failure, lease.address(), || self.thread.chance())
            } else {
                None
            };
            let Some(wait) = wait else {
                return Err(failure);
            };
            let request_id = self.forwarding.request_id.map(String::from_utf8_lossy);
            tracing::debug!(request_id = request_id.as_deref(), %failure, "trying another target");
            self.thread.counters.retry();
            drop(lease);
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            wanted = Instant::now();
        }
    }

    /// One attempt at one target. A pooled connection that turns out to be closed does not count as one: its target
    /// may be well.
    ///
    /// Says when it had ended. With a failure comes whether the request could be sent again.
    async fn attempt<B: Body, A: Answer>(
        &self,
        to: &Attempted<'_>,
        body: &mut B,
        answer: &mut A,
        response: &mut ResponseHead,
        record: &mut Record<'_>,
        prepare: &mut impl FnMut(&mut ResponseHead, &Record<'_>, Option<&str>) -> Result<(), Failure>,
    ) -> Result<Instant, (Failure, bool)> {
        let Attempted { lease, affinity, again, begun } = *to;
        let framing = framing(self.request, body);
        let mut head = self.thread.output();
        let key = self.write_head(lease, framing, &mut head).map_err(|failure| (failure, true))?;
        let end = again.try_end(begun);
        if is_grpc(&self.service.service) {
            let prepare = |response: &mut ResponseHead, record: &mut Record<'_>| {
                let cookie = affinity.set_cookie(lease);
                prepare(response, record, cookie.as_deref())
            };
            self.thread.lend_memory(response);
            // In memory of its own: most requests are not by HTTP/2, and have room for none.
            let attempt =
                self.attempt_http2(to, end, &key, &head, body, answer, response, record, prepare);
            let result = Box::pin(attempt).await;
            self.thread.give_output(head);
            return result.map(|()| Instant::now());
        }
        let mut fresh = false;
        loop {
            let pooled = if fresh { None } else { self.thread.pool.borrow_mut().take(&key, begun) };
            let reused = pooled.is_some();
            let mut connection = match pooled {
                Some(connection) => {
                    self.thread.counters.upstream_reuse();
                    connection
                }
                None => {
                    let stream = Box::pin(self.connect(&key, end))
                        .await
                        .map_err(|failure| (failure, true))?;
                    Pooled { stream, requests: 0 }
                }
            };
            let io = RefCell::new(connection.stream);
            let attempt = Attempt {
                thread: self.thread,
                io: &io,
                request: self.request,
                head: Cell::new(head),
                framing,
                write_timeout: milliseconds(self.service.service.write_timeout),
                read_timeout: milliseconds(self.service.service.read_timeout),
                timers: self.timers,
            };
            let progress = Progress::default();
            let prepare = |response: &mut ResponseHead| {
                record.answered(progress.answered.get(), response.status());
                to.take(response.status(), &progress)?;
                let cookie = affinity.set_cookie(lease);
                prepare(response, record, cookie.as_deref())
            };
            let (timer, answered) = (self.timers.1, &progress.answered);
            let result = if self.websocket {
                // Rare, and not small: it is not to be part of every request's memory.
                let mut run =
                    Box::pin(attempt.run_upgrade(&progress, body, answer, response, prepare));
                end.hold(timer, answered, true, run.as_mut()).await
            } else {
                let run = pin!(attempt.run(&progress, body, answer, response, prepare));
                end.hold(timer, answered, true, run).await
            };
            record.upstream_received += progress.received.get();
            match result {
                Ok(afterwards) => {
                    connection.stream = io.into_inner();
                    connection.requests += 1;
                    let ended = progress.ended();
                    if afterwards == Afterwards::Reusable {
                        self.thread.pool.borrow_mut().put(&key, connection, ended);
                    }
                    return Ok(ended);
                }
                Err(failure) => {
                    let replayable = !progress.released.get();
                    let stale = reused
                        && matches!(failure, Failure::UpstreamClosed(_))
                        && progress.received.get() == 0
                        && replayable
                        && again.is_safe_after(&failure);
                    if !stale {
                        return Err((failure, replayable));
                    }
                    fresh = true;
                    head = self.thread.output();
                    self.write_head(lease, framing, &mut head)
                        .map_err(|failure| (failure, true))?;
                }
            }
        }
    }

    /// Writes the head that a target gets, and finds which connections may carry it.
    fn write_head(
        &self,
        lease: &Lease,
        framing: Option<Framing>,
        head: &mut Vec<u8>,
    ) -> Result<Key, Failure> {
        let host = host_field(self.service, self.preserved_host, lease.config(), lease);
        let secured = self.secured(lease, &host)?;
        head.clear();
        let destination =
            Destination { target: self.target, host: &host, framing, websocket: self.websocket };
        upstream_head::write(head, self.request, &destination, &self.forwarding);
        Ok(Key { address: lease.address(), secured })
    }

    /// One attempt over HTTP/2. What was refused on a connection that was open already is sent over a new one.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one request, which are borrowed apart"
    )]
    async fn attempt_http2<B: Body, A: Answer>(
        &self,
        to: &Attempted<'_>,
        end: TryEnd,
        key: &Key,
        head: &[u8],
        body: &mut B,
        answer: &mut A,
        response: &mut ResponseHead,
        record: &mut Record<'_>,
        mut prepare: impl FnMut(&mut ResponseHead, &mut Record<'_>) -> Result<(), Failure>,
    ) -> Result<(), (Failure, bool)> {
        loop {
            let limit = milliseconds(self.service.service.connect_timeout);
            let place = pin!(async { Ok(self.thread.http2_pool.place(key, limit).await?) });
            let placed = end.hold(self.timers.1, &Cell::default(), false, place).await;
            let (place, new) = placed.map_err(|failure: Failure| (failure, true))?;
            if new {
                self.thread.counters.upstream_connect();
            } else {
                self.thread.counters.upstream_reuse();
            }
            let attempt = Http2Attempt {
                place: &place,
                scheme: if key.secured.is_some() { "https" } else { "http" },
                head,
                write_timeout: milliseconds(self.service.service.write_timeout),
                read_timeout: milliseconds(self.service.service.read_timeout),
                timers: self.timers,
            };
            let progress = Progress::default();
            let prepare = |response: &mut ResponseHead| {
                record.answered(progress.answered.get(), response.status());
                to.take(response.status(), &progress)?;
                prepare(response, record)
            };
            let run = attempt.run(&progress, body, answer, response, prepare);
            let result = end.hold(self.timers.1, &progress.answered, true, pin!(run)).await;
            record.upstream_received += progress.received.get();
            let Err(failure) = result else {
                return Ok(());
            };
            let replayable = !progress.released.get();
            if matches!(failure, Failure::UpstreamClosed(_) | Failure::Refused(_)) {
                place.spoil();
            }
            if new || !replayable || !matches!(failure, Failure::Refused(_)) {
                return Err((failure, replayable));
            }
        }
    }

    async fn connect(&self, key: &Key, end: TryEnd) -> Result<upstream::Stream, Failure> {
        self.thread.counters.upstream_connect();
        let limit = milliseconds(self.service.service.connect_timeout);
        let connect =
            pin!(async { Ok(connect(key.address, key.secured.as_deref(), limit).await?) });
        end.hold(self.timers.1, &Cell::default(), false, connect).await
    }

    /// How the connection is to be secured, if the service's protocol asks for it.
    fn secured(&self, lease: &Lease, host: &[u8]) -> Result<Option<Arc<Secured>>, Failure> {
        if !self.service.is_secured() {
            return Ok(None);
        }
        let fallback = lease.config().client_certificate;
        let mut profiles = self.thread.profiles.borrow_mut();
        let service = &self.service.service;
        profiles.secure(self.snapshot, service, fallback, host, lease.address()).map(Some)
    }

    /// Tells the balancer what came of an attempt.
    fn report(
        &self,
        lease: &Lease,
        result: &Result<Instant, (Failure, bool)>,
        record: &mut Record<'_>,
    ) {
        let now = result.as_ref().map_or_else(|_| Instant::now(), |ended| *ended);
        let Some(last) = record.tries.last_mut() else {
            return;
        };
        let outcome = match (result, last.status) {
            (_, Some(status)) => Outcome::Status(status),
            (Err((failure, _)), None) => {
                last.failure = Some(failure.reason());
                match failure {
                    Failure::Connect(ConnectError::Timeout { .. }) => Outcome::Timeout,
                    Failure::Connect(ConnectError::Tcp { .. }) => Outcome::ConnectFailed,
                    Failure::Connect(ConnectError::Tls { .. }) => Outcome::TlsFailed,
                    Failure::WriteTimeout(_)
                    | Failure::ReadTimeout(_)
                    | Failure::TryTimeout { .. } => Outcome::Timeout,
                    Failure::UpstreamClosed(_)
                    | Failure::Refused(_)
                    | Failure::Response(_)
                    | Failure::ResponseHeadTooLarge => Outcome::Reset,
                    // The client's doing, or ours.
                    _ => return,
                }
            }
            (Ok(_), None) => return,
        };
        let took = last.answered.unwrap_or(now).saturating_duration_since(last.begun);
        lease.observe(took, last.status.is_none(), now);
        peers::report(self.service, lease, outcome, now);
    }
}

/// One try: the target, and what led there.
struct Attempted<'a> {
    lease: &'a Lease,
    affinity: &'a Affinity,
    again: &'a Again<'a>,
    /// When the target was picked.
    begun: Instant,
}

impl Attempted<'_> {
    /// Refuses an answer that is left for one of another target.
    fn take(&self, status: u16, progress: &Progress) -> Result<(), Failure> {
        let replayable = !progress.released.get();
        if self.again.declines(status, self.lease.address(), replayable) {
            return Err(Failure::Declined(status));
        }
        Ok(())
    }
}

/// The Host field for a target: the one that is preserved, the upstream's `host_header`, the target's name, or the
/// service's host; with the port unless it is the scheme's own.
pub(crate) fn host_field(
    service: &ServiceEntry,
    preserved: Option<&[u8]>,
    upstream: &Config,
    peer: &Peer,
) -> SmallVec<[u8; 64]> {
    if let Some(host) = preserved {
        return SmallVec::from_slice(host);
    }
    let mut host = SmallVec::from_slice(upstream.host_for(peer).as_bytes());
    let port = peer.address().port();
    let usual = if service.is_secured() { 443 } else { 80 };
    if port != usual {
        host.push(b':');
        host.extend_from_slice(Decimal::of(u64::from(port)).as_bytes());
    }
    host
}

/// How the body is delimited towards the upstream. One that is all here gets its length, whatever the client said.
fn framing<B: Body>(request: &RequestHead, body: &B) -> Option<Framing> {
    match (request.framing(), body.is_complete()) {
        (Framing::None, true) => None,
        (_, true) => Some(Framing::Length(body.data().len() as u64)),
        (_, false) => Some(body.announced().map_or(Framing::Chunked, Framing::Length)),
    }
}

/// Whether a service is spoken to by HTTP/2.
pub(crate) fn is_grpc(service: &Service) -> bool {
    matches!(service.protocol, Protocol::Grpc | Protocol::Grpcs)
}

pub(crate) fn milliseconds(setting: Option<u32>) -> Duration {
    Duration::from_millis(u64::from(setting.unwrap_or(60_000)))
}

/// The parts of a request that tie it to a target.
pub(crate) struct Ties<'a> {
    pub(crate) request: &'a RequestHead,
    pub(crate) client: SocketAddr,
    /// The normalised path.
    pub(crate) path: &'a [u8],
    pub(crate) captures: &'a dyn Fn(&str) -> Option<Vec<u8>>,
    /// Who the client turned out to be.
    pub(crate) subject: Option<Uuid>,
    pub(crate) new_uuid: &'a dyn Fn() -> uuid::Uuid,
}

impl Inputs for Ties<'_> {
    fn consumer(&self) -> Option<Cow<'_, str>> {
        self.subject.map(|id| id.to_string().into())
    }

    fn client_ip(&self) -> IpAddr {
        self.client.ip()
    }

    fn header(&self, name: &str, found: &mut dyn FnMut(&[u8])) {
        self.request.fields.named(name.as_bytes()).for_each(found);
    }

    fn path(&self) -> &[u8] {
        self.path
    }

    fn query(&self) -> Option<&[u8]> {
        self.request.query()
    }

    fn capture(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        (self.captures)(name).map(Cow::Owned)
    }

    fn new_uuid(&self) -> uuid::Uuid {
        (self.new_uuid)()
    }
}
