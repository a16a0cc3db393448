//! What a traffic thread counts. Only that thread writes, so no two processors ever fight for a line.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use telemetry::metrics::{Kind, Text};

use crate::failure::Failure;

/// The counters of one traffic thread.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    accepted: AtomicU64,
    closed: AtomicU64,
    refused: AtomicU64,
    requests: AtomicU64,
    client_bytes_out: AtomicU64,
    upstream_connects: AtomicU64,
    upstream_reuses: AtomicU64,
    retries: AtomicU64,
    log_lines_lost: AtomicU64,
    stream_accepted: AtomicU64,
    stream_closed: AtomicU64,
    stream_failed: AtomicU64,
    stream_bytes_in: AtomicU64,
    stream_bytes_out: AtomicU64,
    datagrams_lost: AtomicU64,
    /// Requests in which a plugin failed, by its name.
    plugin_failures: Mutex<BTreeMap<Arc<str>, u64>>,
}

/// Adds where only one thread writes: a plain addition, without the lock of an atomic one.
fn add(counter: &AtomicU64, number: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(number), Relaxed);
}

impl Counters {
    pub(crate) fn accepted(&self) {
        add(&self.accepted, 1);
    }

    pub(crate) fn closed(&self) {
        add(&self.closed, 1);
    }

    /// A stream session that began.
    pub(crate) fn stream_accepted(&self) {
        add(&self.stream_accepted, 1);
    }

    pub(crate) fn stream_closed(&self) {
        add(&self.stream_closed, 1);
    }

    /// A stream session that ended, with nginx' status for it and the bytes from and to its client.
    pub(crate) fn stream_session(&self, status: u16, bytes_in: u64, bytes_out: u64) {
        if status != 200 {
            add(&self.stream_failed, 1);
        }
        add(&self.stream_bytes_in, bytes_in);
        add(&self.stream_bytes_out, bytes_out);
    }

    /// A datagram that was dropped: there was no room for it, or for its session.
    pub(crate) fn datagram_lost(&self) {
        add(&self.datagrams_lost, 1);
    }

    /// A connection that could not be accepted.
    pub(crate) fn refused(&self) {
        add(&self.refused, 1);
    }

    pub(crate) fn request(&self, bytes_out: u64) {
        add(&self.requests, 1);
        add(&self.client_bytes_out, bytes_out);
    }

    pub(crate) fn upstream_connect(&self) {
        add(&self.upstream_connects, 1);
    }

    pub(crate) fn upstream_reuse(&self) {
        add(&self.upstream_reuses, 1);
    }

    pub(crate) fn retry(&self) {
        add(&self.retries, 1);
    }

    /// Counts a failure, if it is a plugin's.
    pub(crate) fn failed(&self, failure: &Failure) {
        if let Failure::Plugin { name, .. } = failure {
            let mut failures = self.plugin_failures.lock().unwrap_or_else(PoisonError::into_inner);
            *failures.entry(name.clone()).or_default() += 1;
        }
    }

    pub(crate) fn log_lines_lost(&self, lines: u64) {
        add(&self.log_lines_lost, lines);
    }
}

/// What all traffic threads did so far. Clones read the same counters.
#[derive(Debug, Clone)]
pub struct Traffic {
    threads: Vec<Arc<Counters>>,
}

/// Sums over all traffic threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Client connections accepted.
    pub accepted: u64,
    /// Client connections that are open.
    pub active: u64,
    /// Requests answered.
    pub requests: u64,
}

impl Traffic {
    pub(crate) fn new(threads: Vec<Arc<Counters>>) -> Traffic {
        Traffic { threads }
    }

    /// The sums as they stand.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let sum = |counter: fn(&Counters) -> &AtomicU64| -> u64 {
            self.threads
                .iter()
                .map(|thread| counter(thread).load(Relaxed))
                .fold(0, u64::wrapping_add)
        };
        let accepted = sum(|c| &c.accepted);
        Totals {
            accepted,
            active: accepted.saturating_sub(sum(|c| &c.closed)),
            requests: sum(|c| &c.requests),
        }
    }
}

/// Renders the sums over all threads: Kong's names where Kong has the metric.
pub(crate) fn render(threads: &[Arc<Counters>], node: &str, text: &mut Text) {
    let sum = |counter: fn(&Counters) -> &AtomicU64| -> u64 {
        threads.iter().map(|thread| counter(thread).load(Relaxed)).fold(0, u64::wrapping_add)
    };
    let (accepted, closed) = (sum(|c| &c.accepted), sum(|c| &c.closed));
    let requests = sum(|c| &c.requests);
    text.family("kong_nginx_connections_total", Kind::Gauge, "Number of connections by subsystem");
    let node = [("node_id", node), ("subsystem", "http")];
    let of_node = |state| [node[0], node[1], ("state", state)];
    for (state, number) in [
        ("accepted", accepted),
        ("active", accepted.saturating_sub(closed)),
        ("handled", accepted),
        ("total", requests),
    ] {
        text.whole("kong_nginx_connections_total", &of_node(state), number);
    }
    let (sessions, ended) = (sum(|c| &c.stream_accepted), sum(|c| &c.stream_closed));
    for (state, number) in [
        ("accepted", sessions),
        ("active", sessions.saturating_sub(ended)),
        ("handled", sessions),
        ("total", sessions),
    ] {
        text.whole(
            "kong_nginx_connections_total",
            &[node[0], ("subsystem", "stream"), ("state", state)],
            number,
        );
    }
    let name = "kong_nginx_requests_total";
    text.family(name, Kind::Gauge, "Number of requests total");
    text.whole(name, &node, requests);
    let counters = [
        ("weir_accept_errors_total", "Connections that could not be accepted", sum(|c| &c.refused)),
        ("weir_client_sent_bytes_total", "Bytes of answers sent", sum(|c| &c.client_bytes_out)),
        (
            "weir_upstream_connects_total",
            "Connections opened to upstreams",
            sum(|c| &c.upstream_connects),
        ),
        (
            "weir_upstream_reuses_total",
            "Requests over pooled upstream connections",
            sum(|c| &c.upstream_reuses),
        ),
        ("weir_retries_total", "Attempts beyond the first", sum(|c| &c.retries)),
        (
            "weir_stream_failures_total",
            "Stream sessions that were refused or reached no target",
            sum(|c| &c.stream_failed),
        ),
        (
            "weir_stream_received_bytes_total",
            "Bytes received from the clients of streams",
            sum(|c| &c.stream_bytes_in),
        ),
        (
            "weir_stream_sent_bytes_total",
            "Bytes sent to the clients of streams",
            sum(|c| &c.stream_bytes_out),
        ),
        (
            "weir_stream_datagrams_lost_total",
            "Datagrams dropped for want of room",
            sum(|c| &c.datagrams_lost),
        ),
        (
            "weir_access_log_lost_total",
            "Access log lines lost because the disk was too slow",
            sum(|c| &c.log_lines_lost),
        ),
    ];
    let mut failures: BTreeMap<Arc<str>, u64> = BTreeMap::new();
    for thread in threads {
        let counted = thread.plugin_failures.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, number) in &*counted {
            *failures.entry(name.clone()).or_default() += number;
        }
    }
    if !failures.is_empty() {
        let name = "weir_plugin_failures_total";
        text.family(name, Kind::Counter, "Requests in which a plugin failed");
        for (plugin, number) in &failures {
            text.whole(name, &[("plugin", plugin)], *number);
        }
    }
    for (name, help, number) in counters {
        text.family(name, Kind::Counter, help);
        text.whole(name, &[], number);
    }
}
