//! One address that can be connected to, and what is known of it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::health::{Cause, Condition, Health};
use crate::local::{Hold, Part};
use crate::pool::Slot;

/// How fast the latency average forgets: after this time an old value counts for 1/e (Kong's
/// 10 seconds).
const LATENCY_DECAY: Duration = Duration::from_secs(10);

/// Names a peer within its upstream; never used again after the peer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub(crate) u64);

/// One address of one target. Lives as long as somebody uses it, also when the target is gone.
pub struct Peer {
    id: PeerId,
    slot: Slot,
    address: SocketAddr,
    host: Arc<str>,
    port: u16,
    srv_name: Option<Arc<str>>,
    identity: u64,
    condition: AtomicU64,
    trial: AtomicU8,
    mark: Mutex<Mark>,
    in_flight: AtomicU32,
    latency: Latency,
}

/// What [`Peer::mark`] tells: since when a peer is in its state, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When it became available or ceased to be; `None` since it is known.
    pub since: Option<Instant>,
    /// What made it so.
    pub cause: Cause,
}

/// Whether an ejected peer may show that it is well: not at present, with the next request, or one
/// is under way.
const NO_TRIAL: u8 = 0;
const TRIAL_OPEN: u8 = 1;
const TRIAL_BUSY: u8 = 2;

impl Peer {
    pub(crate) fn new(
        id: PeerId,
        slot: Slot,
        address: SocketAddr,
        host: Arc<str>,
        port: u16,
        srv_name: Option<Arc<str>>,
        first_latency_us: f32,
    ) -> Peer {
        let identity = identity(&host, port, address);
        Peer {
            id,
            slot,
            address,
            host,
            port,
            srv_name,
            identity,
            condition: AtomicU64::new(Condition::settled(Health::Healthy).pack()),
            trial: AtomicU8::new(NO_TRIAL),
            mark: Mutex::new(Mark { since: None, cause: Cause::Initial }),
            in_flight: AtomicU32::new(0),
            latency: Latency::new(first_latency_us),
        }
    }

    /// Names it among the peers of its upstream.
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// Where it sits in its pool, as long as it does.
    pub(crate) fn slot(&self) -> Slot {
        self.slot
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The target's host as it was configured: a name, or an address (IPv6 in brackets).
    pub fn host(&self) -> &Arc<str> {
        &self.host
    }

    /// The target's port as it was configured; the one of [`address`](Peer::address) differs when
    /// an SRV record says so.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The name inside the SRV record that led here.
    pub fn srv_name(&self) -> Option<&Arc<str>> {
        self.srv_name.as_ref()
    }

    /// A number that stays the same for the same host, port and address on every node: what a
    /// sticky session's cookie holds.
    pub fn identity(&self) -> u64 {
        self.identity
    }

    /// Its present state.
    pub fn health(&self) -> Health {
        self.condition().health
    }

    /// Its present state with the counters.
    pub fn condition(&self) -> Condition {
        Condition::unpack(self.condition.load(Ordering::Relaxed))
    }

    /// Since when it is available or not, and why.
    pub fn mark(&self) -> Mark {
        *self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests in flight, of those that were picked while the algorithm counts them
    /// (least-connections and latency).
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The moving average of its latency, decayed to now, in whole microseconds;
    /// zero when nothing is known.
    pub fn latency(&self, now: Instant) -> Duration {
        Duration::from_micros(self.latency.at(now).round() as u64)
    }

    pub(crate) fn latency_us(&self, now: Instant) -> f32 {
        self.latency.at(now)
    }

    /// The average as it was when last observed.
    pub(crate) fn last_latency_us(&self) -> f32 {
        self.latency.last()
    }

    /// Applies a change to the condition; answers with it as it was and as it is.
    pub(crate) fn update(&self, change: impl Fn(Condition) -> Condition) -> (Condition, Condition) {
        let mut word = self.condition.load(Ordering::Relaxed);
        loop {
            let before = Condition::unpack(word);
            let after = change(before);
            if after == before {
                return (before, after);
            }
            match self.condition.compare_exchange_weak(
                word,
                after.pack(),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return (before, after),
                Err(other) => word = other,
            }
        }
    }

    /// Whether the next report decides if it comes back.
    pub(crate) fn is_on_trial(&self) -> bool {
        self.trial.load(Ordering::Relaxed) != NO_TRIAL
    }

    pub(crate) fn set_trial(&self, open: bool) {
        self.trial.store(if open { TRIAL_OPEN } else { NO_TRIAL }, Ordering::Relaxed);
    }

    /// Takes the one request that a peer on trial may have; whether it was free.
    pub(crate) fn begin_trial(&self) -> bool {
        let taken = self.trial.compare_exchange(
            TRIAL_OPEN,
            TRIAL_BUSY,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        taken.is_ok()
    }

    /// Lets the next request try, if the last one decided nothing.
    fn end_trial(&self) {
        // It was decided if this fails.
        let _ = self.trial.compare_exchange(
            TRIAL_BUSY,
            TRIAL_OPEN,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    pub(crate) fn set_mark(&self, mark: Mark) {
        *self.mark.lock().unwrap_or_else(PoisonError::into_inner) = mark;
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("id", &self.id.0)
            .field("address", &self.address)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("condition", &self.condition())
            .finish_non_exhaustive()
    }
}

/// A picked peer, held while the request uses it, on the thread that picked it.
///
/// Counts as one request in flight where the algorithm wants to know; dropping it ends that.
#[derive(Debug)]
pub struct Lease {
    config: Part<Config>,
    hold: Hold,
    counted: bool,
    turn: Turn,
}

/// What a pick is to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// One request of many.
    Usual,
    /// The one request that decides whether it comes back.
    Trial,
}

impl Lease {
    pub(crate) fn new(config: Part<Config>, hold: Hold, counted: bool, turn: Turn) -> Lease {
        if counted {
            hold.peer().in_flight.fetch_add(1, Ordering::Relaxed);
        }
        Lease { config, hold, counted, turn }
    }

    /// The configuration of the upstream as it was when the peer was picked.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The peer.
    pub fn peer(&self) -> &Arc<Peer> {
        self.hold.peer()
    }

    /// Tells how long the peer took, from beginning to connect (or to send, on a pooled
    /// connection) until its answer's head, or until it failed. Feeds the latency algorithm, and
    /// costs nothing with the others.
    ///
    /// A failure must say so: it counts as at least twice the average, since otherwise a peer
    /// that fails fast would attract traffic.
    pub fn observe(&self, took: Duration, failed: bool, now: Instant) {
        if self.counted {
            self.latency.observe(took, failed, now);
        }
    }
}

impl std::ops::Deref for Lease {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        self.hold.peer()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.counted {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
        if self.turn == Turn::Trial {
            self.end_trial();
        }
    }
}

/// A peak-sensitive moving average: jumps up to a slow answer at once, comes down by decay.
///
/// One atomic word: the average in microseconds as `f32` bits, and when it was last observed in
/// milliseconds since the first observation.
#[derive(Debug)]
struct Latency {
    first: OnceLock<Instant>,
    word: AtomicU64,
}

impl Latency {
    fn new(initial_us: f32) -> Latency {
        Latency { first: OnceLock::new(), word: AtomicU64::new(pack(initial_us, 0)) }
    }

    fn observe(&self, took: Duration, failed: bool, now: Instant) {
        let fresh = self.first.get().is_none();
        let now_ms = millis(*self.first.get_or_init(|| now), now);
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let (average, at_ms) = unpack(word);
            let mut sample = took.as_secs_f32() * 1e6;
            if failed {
                sample = sample.max(2.0 * average);
            }
            let next = if fresh || sample >= average {
                sample
            } else {
                let keep = decay(now_ms.saturating_sub(at_ms));
                average * keep + sample * (1.0 - keep)
            };
            // Two threads may come with times in the other order: the later one stays.
            let next = pack(next, now_ms.max(at_ms));
            match self.word.compare_exchange_weak(word, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(other) => word = other,
            }
        }
    }

    fn at(&self, now: Instant) -> f32 {
        let (average, at_ms) = unpack(self.word.load(Ordering::Relaxed));
        match self.first.get() {
            Some(first) => average * decay(millis(*first, now).saturating_sub(at_ms)),
            None => average,
        }
    }

    fn last(&self) -> f32 {
        unpack(self.word.load(Ordering::Relaxed)).0
    }
}

fn pack(average: f32, at_ms: u32) -> u64 {
    u64::from(average.to_bits()) << 32 | u64::from(at_ms)
}

fn unpack(word: u64) -> (f32, u32) {
    (f32::from_bits((word >> 32) as u32), word as u32)
}

fn millis(first: Instant, now: Instant) -> u32 {
    u32::try_from(now.saturating_duration_since(first).as_millis()).unwrap_or(u32::MAX)
}

fn decay(elapsed_ms: u32) -> f32 {
    if elapsed_ms == 0 {
        1.0
    } else {
        (-(elapsed_ms as f32) / LATENCY_DECAY.as_millis() as f32).exp()
    }
}

/// The same number for the same peer, whatever node computes it.
fn identity(host: &str, port: u16, address: SocketAddr) -> u64 {
    let text = format!("{host}|{port}|{address}");
    u64::from(xxhash_rust::xxh32::xxh32(text.as_bytes(), 0)) << 32
        | u64::from(xxhash_rust::xxh32::xxh32(text.as_bytes(), 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease() -> Lease {
        let peer = Peer::new(
            PeerId(1),
            0,
            SocketAddr::from(([10, 0, 0, 1], 80)),
            "a.example".into(),
            80,
            None,
            0.0,
        );
        let config = Part::of(&Arc::new(Config::implicit(uuid::Uuid::nil(), "a.example")));
        Lease::new(config, Hold::Shared(Arc::new(peer)), true, Turn::Usual)
    }

    #[test]
    fn latency_peaks_at_once_and_decays() {
        let lease = lease();
        let start = Instant::now();
        let ms = |n| Duration::from_millis(n);
        assert_eq!(lease.latency(start), Duration::ZERO);
        lease.observe(ms(10), false, start);
        assert_eq!(lease.latency(start), ms(10));
        lease.observe(ms(80), false, start + ms(5));
        assert_eq!(lease.latency(start + ms(5)), ms(80));
        lease.observe(ms(10), false, start + ms(105));
        let after = lease.latency(start + ms(105));
        assert!(after > ms(78) && after < ms(80), "one fast answer proves little: {after:?}");
        let later = lease.latency(start + ms(105) + LATENCY_DECAY);
        let ratio = later.as_secs_f32() / after.as_secs_f32();
        assert!((ratio - 1.0 / std::f32::consts::E).abs() < 0.001, "{ratio}");
    }

    #[test]
    fn a_fast_failure_does_not_look_fast() {
        let lease = lease();
        let start = Instant::now();
        lease.observe(Duration::from_millis(20), false, start);
        lease.observe(Duration::from_micros(50), true, start + Duration::from_millis(1));
        assert_eq!(lease.last_latency_us(), 40_000.0);
    }

    #[test]
    fn a_lease_counts_while_it_is_held() {
        let first = lease();
        assert_eq!(first.in_flight(), 1);
        let second = Lease::new(first.config.clone(), first.hold.clone(), true, Turn::Usual);
        let uncounted = Lease::new(first.config.clone(), first.hold.clone(), false, Turn::Usual);
        assert_eq!(first.in_flight(), 2);
        drop(second);
        drop(uncounted);
        assert_eq!(first.in_flight(), 1);
    }
}
