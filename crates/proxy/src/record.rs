//! What is known of a request when it has ended: for the access log, the counters and, later, plugins that log.

use std::{net::SocketAddr, time::Instant};

use smallvec::SmallVec;
use snapshot::RouteEntry;

/// One request, from its head to the last byte of its answer.
#[derive(Debug)]
pub(crate) struct Record<'s> {
    /// The client, behind trusted proxies; the peer's address if it was not asked for.
    pub(crate) client: SocketAddr,
    /// The route that matched, of the snapshot that the request is served from.
    pub(crate) route: Option<&'s RouteEntry>,
    /// When its head was complete.
    pub(crate) begun: Instant,
    /// The attempts, in their order.
    pub(crate) tries: SmallVec<[Try; 1]>,
    /// The status that the client got; 499 if it went away before.
    pub(crate) status: u16,
    /// Why the gateway itself answered, or broke off.
    pub(crate) failure: Option<&'static str>,
    /// Bytes received from upstreams.
    pub(crate) upstream_received: u64,
    /// Bytes of the request as received; counted only where a plugin may ask.
    pub(crate) request_bytes: u64,
}

/// One attempt to reach a target.
#[derive(Debug)]
pub(crate) struct Try {
    pub(crate) address: SocketAddr,
    /// When it was asked for.
    pub(crate) wanted: Instant,
    /// When it was chosen.
    pub(crate) begun: Instant,
    /// When the head of its answer was there.
    pub(crate) answered: Option<Instant>,
    /// The status of its answer.
    pub(crate) status: Option<u16>,
    /// Why there was none.
    pub(crate) failure: Option<&'static str>,
}

impl<'s> Record<'s> {
    pub(crate) fn new(begun: Instant, peer: SocketAddr) -> Record<'s> {
        Record {
            client: peer,
            route: None,
            begun,
            tries: SmallVec::new(),
            status: 0,
            failure: None,
            upstream_received: 0,
            request_bytes: 0,
        }
    }

    /// Notes the answer of the last target tried.
    pub(crate) fn answered(&mut self, when: Option<Instant>, status: u16) {
        if let Some(last) = self.tries.last_mut() {
            last.answered = when;
            last.status = Some(status);
        }
        self.status = status;
    }

    /// Milliseconds from the request's head until the first target was tried.
    pub(crate) fn proxy_latency(&self) -> u64 {
        let until = self.tries.first().map_or_else(Instant::now, |first| first.begun);
        milliseconds(self.begun, until)
    }

    /// Milliseconds from there until the answer began, or until now.
    pub(crate) fn upstream_latency(&self) -> u64 {
        let Some(first) = self.tries.first() else {
            return 0;
        };
        let until = self.tries.last().and_then(|last| last.answered).unwrap_or_else(Instant::now);
        milliseconds(first.begun, until)
    }

    /// As [`Record::proxy_latency`], in microseconds.
    pub(crate) fn proxy_us(&self) -> u64 {
        let until = self.tries.first().map_or_else(Instant::now, |first| first.begun);
        microseconds(self.begun, until)
    }

    /// As [`Record::upstream_latency`], in microseconds.
    pub(crate) fn upstream_us(&self) -> u64 {
        let Some(first) = self.tries.first() else { return 0 };
        let until = self.tries.last().and_then(|last| last.answered).unwrap_or_else(Instant::now);
        microseconds(first.begun, until)
    }

    /// As [`Record::total_latency`], in microseconds.
    pub(crate) fn total_us(&self) -> u64 {
        microseconds(self.begun, Instant::now())
    }

    /// Whether the client got the upstream's answer.
    pub(crate) fn is_from_upstream(&self) -> bool {
        self.failure.is_none() && self.tries.last().is_some_and(|last| last.status.is_some())
    }

    /// Milliseconds from the request's head until now.
    pub(crate) fn total_latency(&self) -> u64 {
        milliseconds(self.begun, Instant::now())
    }
}

impl Try {
    pub(crate) fn new(address: SocketAddr, wanted: Instant, begun: Instant) -> Try {
        Try { address, wanted, begun, answered: None, status: None, failure: None }
    }

    /// The attempt as plugins are told of it, of a request that began at `started_us`.
    pub(crate) fn told(&self, record: &Record<'_>, started_us: u64) -> plugin::Try {
        plugin::Try {
            address: self.address,
            started_us: started_us + microseconds(record.begun, self.wanted),
            picked_ns: u64::try_from((self.begun - self.wanted).as_nanos()).unwrap_or(u64::MAX),
            result: self.status.ok_or(self.failure.unwrap_or("none")),
        }
    }
}

fn milliseconds(from: Instant, until: Instant) -> u64 {
    u64::try_from(until.saturating_duration_since(from).as_millis()).unwrap_or(u64::MAX)
}

fn microseconds(from: Instant, until: Instant) -> u64 {
    u64::try_from(until.saturating_duration_since(from).as_micros()).unwrap_or(u64::MAX)
}
