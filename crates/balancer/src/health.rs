//! The health of one peer: reports in, transitions out. No sockets, no clock.
//!
//! The rules are Kong's (`lua-resty-healthcheck`): four counters and four states, where the two
//! middle states behave like their base state. [`step`] is the whole machine.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::peer::Peer;

/// The four states. Only [`is_available`](Health::is_available) matters to traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Health {
    /// No failure counted since the last success.
    Healthy,
    /// Healthy, with failures counted.
    MostlyHealthy,
    /// Unhealthy, with successes counted.
    MostlyUnhealthy,
    /// No success counted since the last failure.
    Unhealthy,
}

impl Health {
    /// Whether a peer in this state gets traffic.
    pub fn is_available(self) -> bool {
        matches!(self, Health::Healthy | Health::MostlyHealthy)
    }

    /// Kong's word for it in logs and events.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Healthy => "healthy",
            Health::MostlyHealthy => "mostly_healthy",
            Health::MostlyUnhealthy => "mostly_unhealthy",
            Health::Unhealthy => "unhealthy",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What came of a request or of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// An answer with this HTTP status; 0 when it was no HTTP.
    Status(u16),
    /// A TCP connection was made (a tcp probe, a stream session).
    Connected,
    /// A gRPC health check answered: serving or not.
    Serving(bool),
    /// The connection was refused or unreachable.
    ConnectFailed,
    /// The connection broke before an answer was complete.
    Reset,
    /// The TLS handshake or its verification failed.
    TlsFailed,
    /// Connecting, writing or reading took too long.
    Timeout,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Status(0) => f.write_str("no valid HTTP answer"),
            Outcome::Status(status) => write!(f, "status {status}"),
            Outcome::Connected => f.write_str("connected"),
            Outcome::Serving(true) => f.write_str("serving"),
            Outcome::Serving(false) => f.write_str("not serving"),
            Outcome::ConnectFailed => f.write_str("connection failed"),
            Outcome::Reset => f.write_str("connection reset"),
            Outcome::TlsFailed => f.write_str("TLS handshake failed"),
            Outcome::Timeout => f.write_str("time-out"),
        }
    }
}

/// Who saw an outcome. Each source has its own limits and status lists, the counters are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Traffic.
    Passive,
    /// A probe.
    Active,
}

/// Why a peer is in the state it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// It is new: peers begin healthy.
    Initial,
    /// The last of the reports that moved it.
    Report(Source, Outcome),
    /// Set by hand through the Admin API.
    Manual,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Initial => f.write_str("new"),
            Cause::Report(Source::Passive, outcome) => write!(f, "traffic: {outcome}"),
            Cause::Report(Source::Active, outcome) => write!(f, "probe: {outcome}"),
            Cause::Manual => f.write_str("set by hand"),
        }
    }
}

/// A peer began or ceased to be available.
#[derive(Clone, Debug)]
pub struct Transition {
    /// Which peer.
    pub peer: Arc<Peer>,
    /// Its state before.
    pub from: Health,
    /// Its state since.
    pub to: Health,
    /// What moved it.
    pub cause: Cause,
    /// When.
    pub since: Instant,
}

/// How many reports of a kind, in a row as [`step`] counts, move a peer. 0 ignores the kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Successes until an unhealthy peer is healthy.
    pub successes: u8,
    /// HTTP failures until a healthy peer is unhealthy.
    pub http_failures: u8,
    /// Connection failures until a healthy peer is unhealthy.
    pub tcp_failures: u8,
    /// Time-outs until a healthy peer is unhealthy.
    pub timeouts: u8,
}

/// What one source's outcomes count as, and the limits for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The limits.
    pub limits: Limits,
    /// Statuses that are successes.
    pub healthy_statuses: StatusSet,
    /// Statuses that are HTTP failures; a status in neither set is ignored.
    pub unhealthy_statuses: StatusSet,
}

impl Rules {
    /// Ignores everything.
    pub fn off() -> Rules {
        Rules {
            limits: Limits::default(),
            healthy_statuses: StatusSet::default(),
            unhealthy_statuses: StatusSet::default(),
        }
    }

    /// What an outcome counts as; `None` is ignored. A status in both lists counts as a success,
    /// as Kong looks there first.
    pub fn judge(&self, outcome: Outcome) -> Option<Report> {
        match outcome {
            Outcome::Connected | Outcome::Serving(true) => Some(Report::Success),
            Outcome::Status(0) | Outcome::Serving(false) => Some(Report::HttpFailure),
            Outcome::Status(status) if self.healthy_statuses.contains(status) => {
                Some(Report::Success)
            }
            Outcome::Status(status) if self.unhealthy_statuses.contains(status) => {
                Some(Report::HttpFailure)
            }
            Outcome::Status(_) => None,
            Outcome::ConnectFailed | Outcome::Reset | Outcome::TlsFailed => {
                Some(Report::TcpFailure)
            }
            Outcome::Timeout => Some(Report::Timeout),
        }
    }
}

/// The kinds of report that are counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Report {
    /// It did what it should.
    Success,
    /// It answered with a failure.
    HttpFailure,
    /// It could not be reached, or hung up.
    TcpFailure,
    /// It took too long.
    Timeout,
}

/// A set of HTTP statuses, 100 to 999.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct StatusSet(Box<[u64]>);

impl StatusSet {
    /// Whether the status is in the set.
    pub fn contains(&self, status: u16) -> bool {
        self.0.get(usize::from(status / 64)).is_some_and(|word| word >> (status % 64) & 1 == 1)
    }

    /// The statuses, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        (0..1000).filter(|status| self.contains(*status))
    }
}

impl FromIterator<u16> for StatusSet {
    fn from_iter<T: IntoIterator<Item = u16>>(statuses: T) -> StatusSet {
        let mut words = vec![0u64; 1000 / 64 + 1];
        for status in statuses {
            if let Some(word) = words.get_mut(usize::from(status / 64)) {
                *word |= 1 << (status % 64);
            }
        }
        StatusSet(words.into())
    }
}

impl fmt::Debug for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// State and counters of one peer: small enough to be one atomic word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The state.
    pub health: Health,
    /// Successes counted.
    pub successes: u8,
    /// HTTP failures counted.
    pub http_failures: u8,
    /// Connection failures counted.
    pub tcp_failures: u8,
    /// Time-outs counted.
    pub timeouts: u8,
}

impl Condition {
    /// In this state, nothing counted: a new peer, or one set by hand.
    pub const fn settled(health: Health) -> Condition {
        Condition { health, successes: 0, http_failures: 0, tcp_failures: 0, timeouts: 0 }
    }

    pub(crate) fn pack(self) -> u64 {
        u64::from_le_bytes([
            self.health as u8,
            self.successes,
            self.http_failures,
            self.tcp_failures,
            self.timeouts,
            0,
            0,
            0,
        ])
    }

    pub(crate) fn unpack(word: u64) -> Condition {
        let [health, successes, http_failures, tcp_failures, timeouts, ..] = word.to_le_bytes();
        let health = match health {
            0 => Health::Healthy,
            1 => Health::MostlyHealthy,
            2 => Health::MostlyUnhealthy,
            _ => Health::Unhealthy,
        };
        Condition { health, successes, http_failures, tcp_failures, timeouts }
    }
}

/// The condition after a report.
///
/// - A report whose own limit is 0 changes nothing, not even the opposite counters.
/// - A success means nothing to a peer that is exactly healthy. Otherwise it is counted, all
///   failures are forgotten, and at the limit the peer is healthy; before it, an unhealthy one is
///   mostly unhealthy.
/// - A failure means nothing to a peer that is exactly unhealthy. Otherwise it is counted, the
///   successes (not the other kinds of failure) are forgotten, and at its limit the peer is
///   unhealthy; before it, a healthy one is mostly healthy.
/// - A transition leaves the counters as they are: the next opposite report clears them.
#[must_use]
pub fn step(condition: Condition, report: Report, limits: &Limits) -> Condition {
    let mut next = condition;
    let (counter, limit) = match report {
        Report::Success => (&mut next.successes, limits.successes),
        Report::HttpFailure => (&mut next.http_failures, limits.http_failures),
        Report::TcpFailure => (&mut next.tcp_failures, limits.tcp_failures),
        Report::Timeout => (&mut next.timeouts, limits.timeouts),
    };
    let settled = match report {
        Report::Success => Health::Healthy,
        _ => Health::Unhealthy,
    };
    if limit == 0 || condition.health == settled {
        return condition;
    }
    *counter = counter.saturating_add(1);
    let reached = *counter >= limit;
    if report == Report::Success {
        (next.http_failures, next.tcp_failures, next.timeouts) = (0, 0, 0);
    } else {
        next.successes = 0;
    }
    next.health = match condition.health {
        _ if reached => settled,
        Health::Unhealthy => Health::MostlyUnhealthy,
        Health::Healthy => Health::MostlyHealthy,
        middle => middle,
    };
    next
}

#[cfg(test)]
mod tests;
