//! What is to be done next: the states of the connection and every transition between them.
//!
//! Pure: events and the time come in, commands come out, randomness is seeded. Long because the
//! transitions are one machine and are judged side by side.
//!
//! ```text
//!          nothing held                          held
//!   Booting ──────────► snapshot ─────────────► stream opens ──► first frame ──► Streaming
//!     │ kept on disk       ▲  ▲                    │  ▲                             │
//!     └────────────────────┼──┼──► Polling ◄───────┘  └── back-off, any other ──────┤
//!                          │  └─ too old, epoch ──┘        control plane            │
//!                          └──────────── digest differs, resync ◄───────────────────┘
//! ```

use std::sync::Arc;
use std::time::Duration;

use lifecycle::Backoff;
use model::{Cursor, Digest, Transaction};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;
use uuid::Uuid;
use wire::Entities;
use wire::v1::resync::Reason;

use crate::inbox::{Inbox, Need, Ticket};
use crate::rotation::Rotation;
use crate::status::State;

/// Pauses between attempts to open a stream: full jitter up to these.
const BACKOFF_BASE: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A stream that lived for so long was good: the next failure starts the back-off anew.
const GOOD_STREAM: Duration = Duration::from_secs(60);
/// The first poll after the stream dropped comes within this.
const FIRST_POLL: Duration = Duration::from_secs(1);
/// Silence for this long, and for three periods, is stale.
const STALE: Duration = Duration::from_secs(30);

/// What is to be done. Each is answered by an [`Event`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    /// Open a stream.
    Watch { stream: u64, endpoint: usize, from: Cursor },
    /// Ask for the changes once; with `audit`, hash what is held anew as well.
    Poll { endpoint: usize, from: Cursor, audit: bool },
    /// Take a snapshot.
    Snapshot { ticket: Ticket, endpoint: usize, from: Option<Cursor> },
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// On a stream.
    Stream(u64, Said),
    /// A poll was answered. `sound`: what is held has the digest that it should have.
    Polled { endpoint: usize, from: Cursor, sound: bool, answer: Result<Batch, Failure> },
    /// A snapshot arrived, or did not.
    Snapshot { ticket: Ticket, endpoint: usize, answer: Result<(Cursor, Entities), Failure> },
}

/// What a stream brought.
#[derive(Debug)]
pub(crate) enum Said {
    Hello {
        head: Cursor,
    },
    Transaction(Transaction),
    Bookmark {
        revision: u64,
        digest: Digest,
    },
    Resync(Reason),
    Goodbye {
        retry_after: Duration,
    },
    /// It is over.
    Closed(Failure),
}

/// The answer to a poll.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) head: Cursor,
    pub(crate) digest: Digest,
    pub(crate) outcome: Result<Vec<Transaction>, Reason>,
}

/// Why a call failed, for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(pub(crate) String);

/// What an event brought to apply.
#[derive(Debug)]
pub(crate) enum Brought {
    Nothing,
    /// These, in order.
    Changes(Vec<Transaction>),
    /// Everything anew: what [`Machine::inbox`] holds.
    Everything,
}

#[derive(Debug)]
pub(crate) struct Machine {
    inbox: Inbox,
    random: StdRng,
    frequency: Duration,
    cache_ttl: Option<Duration>,
    names: Vec<Arc<str>>,
    /// Whose turn it is for the stream and for snapshots.
    turn: Rotation,
    /// Whose turn it is for polls.
    poll_turn: Rotation,
    backoff: Backoff,
    link: Link,
    fetch: Fetch,
    streams: u64,
    poll_at: Instant,
    poll_asked: bool,
    /// When the next round of polls begins: a round ends with the first useful answer, or when
    /// every control plane has had its turn.
    round_at: Instant,
    /// How many gave no useful answer in this round.
    round_failures: usize,
    audit_at: Option<Instant>,
    started: Instant,
    last_contact: Option<Instant>,
    /// What failed since it last succeeded, and was said to.
    complaints: Complaints,
    /// A control plane has led what is held up to its head, or replaced it.
    confirmed: bool,
}

/// The stream.
#[derive(Debug)]
enum Link {
    Down { retry_at: Instant },
    Up { stream: u64, endpoint: usize, position: Cursor, phase: Phase },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing came yet.
    Opening,
    /// The control plane agreed to stream this epoch.
    Greeted(Uuid),
    /// A frame followed.
    Live(Uuid, Instant),
}

/// Each is logged when it begins to fail, and not again until it succeeded.
#[derive(Clone, Copy, Debug, Default)]
struct Complaints {
    stream: bool,
    poll: bool,
    snapshot: bool,
}

/// What is complained about.
#[derive(Clone, Copy, Debug)]
enum What {
    Stream,
    Poll,
    Snapshot,
}

impl Complaints {
    fn any(self) -> bool {
        self.stream || self.poll || self.snapshot
    }
}

/// The snapshot.
#[derive(Debug)]
enum Fetch {
    NotNeeded,
    Wanted { at: Instant },
    Asked(Ticket),
}

impl Machine {
    /// Begins with what was kept on disk, or with nothing. `names` are the endpoints'.
    pub(crate) fn new(
        node: Uuid,
        names: Vec<Arc<str>>,
        frequency: Duration,
        cache_ttl: Option<Duration>,
        seed: u64,
        inbox: Inbox,
        now: Instant,
    ) -> Machine {
        let turn = Rotation::new(node, names.iter().map(|name| &**name));
        let mut machine = Machine {
            fetch: match inbox.at() {
                None => Fetch::Wanted { at: now },
                Some(_) => Fetch::NotNeeded,
            },
            inbox,
            random: StdRng::seed_from_u64(seed),
            frequency,
            cache_ttl: cache_ttl.filter(|ttl| !ttl.is_zero()),
            names,
            poll_turn: turn.clone(),
            turn,
            backoff: Backoff::new(BACKOFF_BASE, BACKOFF_MAX),
            link: Link::Down { retry_at: now },
            streams: 0,
            poll_at: now,
            poll_asked: false,
            round_at: now,
            round_failures: 0,
            audit_at: None,
            started: now,
            last_contact: None,
            complaints: Complaints::default(),
            confirmed: false,
        };
        machine.poll_soon(now);
        machine.audit_at = machine.next_audit(now);
        machine
    }

    /// What is held.
    pub(crate) fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// When a control plane was heard of last.
    pub(crate) fn last_contact(&self) -> Option<Instant> {
        self.last_contact
    }

    /// Whether what is held comes from the disk and nobody has confirmed it.
    pub(crate) fn unconfirmed(&self) -> bool {
        self.inbox.at().is_some() && !self.confirmed
    }

    /// The stream that counts; every other one is to be closed.
    pub(crate) fn stream(&self) -> Option<u64> {
        match self.link {
            Link::Up { stream, .. } => Some(stream),
            Link::Down { .. } => None,
        }
    }

    /// The control plane whose stream has brought a frame.
    pub(crate) fn following(&self) -> Option<usize> {
        match self.link {
            Link::Up { endpoint, phase: Phase::Live(..), .. } => Some(endpoint),
            _ => None,
        }
    }

    /// How it is connected.
    pub(crate) fn state(&self, now: Instant) -> State {
        if self.following().is_some() {
            State::Streaming
        } else if self.inbox.at().is_none()
            || (self.last_contact.is_none() && !self.complaints.any())
        {
            State::Booting
        } else if now >= self.stale_at() {
            State::Stale
        } else {
            State::Polling
        }
    }

    /// What is to be done now; to be asked until there is nothing.
    pub(crate) fn command(&mut self, now: Instant) -> Option<Command> {
        match self.fetch {
            Fetch::Wanted { at } if at <= now => {
                let ticket = self.inbox.ask();
                self.fetch = Fetch::Asked(ticket);
                let (endpoint, from) = (self.turn.current(), self.inbox.at());
                return Some(Command::Snapshot { ticket, endpoint, from });
            }
            // A stream or a poll would only be told again that a snapshot is needed.
            Fetch::Wanted { .. } | Fetch::Asked(_) => return None,
            Fetch::NotNeeded => {}
        }
        let from = self.inbox.at()?;
        if let Link::Down { retry_at } = self.link
            && retry_at <= now
        {
            self.streams += 1;
            let (stream, endpoint) = (self.streams, self.turn.current());
            self.link = Link::Up { stream, endpoint, position: from, phase: Phase::Opening };
            return Some(Command::Watch { stream, endpoint, from });
        }
        if self.poll_asked {
            return None;
        }
        let audit = self.audit_at.is_some_and(|at| at <= now);
        if audit || self.poll_due().is_some_and(|at| at <= now) {
            self.poll_asked = true;
            if self.round_failures == 0 {
                self.round_at = now + self.jittered(self.frequency);
            }
            self.poll_at = self.round_at;
            if audit {
                self.audit_at = self.next_audit(now);
            }
            let endpoint = self.poll_turn.current();
            self.poll_turn.advance();
            return Some(Command::Poll { endpoint, from, audit });
        }
        None
    }

    /// When to ask for commands again, if nothing happens; and when the state changes by itself.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        let stale = Some(self.stale_at()).filter(|at| *at > now && self.following().is_none());
        let due = match self.fetch {
            Fetch::Wanted { at } => [Some(at), None, None],
            Fetch::Asked(_) => [None; 3],
            Fetch::NotNeeded => {
                let retry = match self.link {
                    Link::Down { retry_at } => Some(retry_at),
                    Link::Up { .. } => None,
                };
                match self.poll_asked {
                    true => [retry, None, None],
                    false => [retry, self.audit_at, self.poll_due()],
                }
            }
        };
        due.into_iter().chain([stale]).flatten().min()
    }

    /// Takes note of what happened.
    pub(crate) fn on(&mut self, event: Event, now: Instant) -> Brought {
        match event {
            Event::Stream(stream, said) => self.on_stream(stream, said, now),
            Event::Polled { endpoint, from, sound, answer } => {
                self.poll_asked = false;
                self.on_polled(endpoint, from, sound, answer, now)
            }
            Event::Snapshot { ticket, endpoint, answer } => {
                self.on_snapshot(ticket, endpoint, answer, now)
            }
        }
    }

    fn on_stream(&mut self, of: u64, said: Said, now: Instant) -> Brought {
        let Link::Up { stream, endpoint, position, phase } = self.link else {
            return Brought::Nothing;
        };
        if stream != of {
            return Brought::Nothing;
        }
        if !matches!(said, Said::Closed(_)) {
            self.contact(now);
        }
        match (said, phase) {
            (Said::Hello { head }, Phase::Opening) => {
                let phase = Phase::Greeted(head.epoch);
                self.link = Link::Up { stream, endpoint, position, phase };
            }
            (Said::Transaction(transaction), Phase::Greeted(epoch) | Phase::Live(epoch, _)) => {
                let position = Cursor { epoch, revision: transaction.revision };
                self.live(stream, endpoint, position, now);
                let (taken, need) = self.inbox.transactions(epoch, vec![transaction]);
                if need == Need::Changes {
                    // The control plane skipped something. What is missing can be had.
                    self.poll_at = now;
                    self.drop_link(now, "the stream has a gap");
                }
                return Brought::Changes(taken);
            }
            (
                Said::Bookmark { revision, digest },
                Phase::Greeted(epoch) | Phase::Live(epoch, _),
            ) => {
                let at = Cursor { epoch, revision };
                self.live(stream, endpoint, at, now);
                if self.inbox.differs(at, digest) {
                    self.mistrust(at, now);
                } else if self.inbox.at().is_some_and(|own| own.revision < revision) {
                    self.poll_at = now;
                    self.drop_link(now, "the stream did not bring all that was released");
                } else {
                    // All that was missing has come.
                    self.confirmed = true;
                }
            }
            (Said::Resync(reason), _) => match self.inbox.resync(Some(position), reason) {
                Need::Snapshot => self.take_snapshot(endpoint, position, reason, now),
                // A poll has led on since: from there the log may serve.
                Need::Nothing => self.link = Link::Down { retry_at: now + BACKOFF_BASE },
                Need::Another | Need::Changes => {
                    self.drop_link(now, "the control plane is behind what is held");
                }
            },
            (Said::Goodbye { retry_after }, _) => {
                self.drop_link(now, "the control plane shuts down");
                self.link = Link::Down { retry_at: now + retry_after.min(BACKOFF_MAX) };
            }
            (Said::Closed(failure), _) => self.drop_link(now, &failure.0),
            (Said::Hello { .. }, Phase::Greeted(_) | Phase::Live(..))
            | (Said::Transaction(_) | Said::Bookmark { .. }, Phase::Opening) => {
                self.drop_link(now, "the control plane does not keep to the protocol");
            }
        }
        Brought::Nothing
    }

    fn on_polled(
        &mut self,
        endpoint: usize,
        from: Cursor,
        sound: bool,
        answer: Result<Batch, Failure>,
        now: Instant,
    ) -> Brought {
        if !sound {
            // No control plane is needed to know that what is held is not what was received.
            self.mistrust(from, now);
            return Brought::Nothing;
        }
        let Batch { head, digest, outcome } = match answer {
            Ok(batch) => batch,
            Err(failure) => {
                self.poll_failed(endpoint, &failure.0, now);
                return Brought::Nothing;
            }
        };
        self.contact(now);
        match outcome {
            Ok(transactions) => {
                self.round_failures = 0;
                self.complaints.poll = false;
                let (taken, need) = self.inbox.transactions(head.epoch, transactions);
                if need == Need::Changes && !taken.is_empty() {
                    self.poll_at = now;
                }
                if self.inbox.at() == Some(head) {
                    self.confirmed = true;
                    if self.inbox.differs(head, digest) {
                        self.mistrust(head, now);
                    }
                }
                // Who answers polls may stream, too: no reason to wait any longer.
                if let Link::Down { retry_at } = self.link {
                    self.turn.turn_to(endpoint);
                    let soon = now + self.up_to(BACKOFF_BASE);
                    self.link = Link::Down { retry_at: retry_at.min(soon) };
                }
                Brought::Changes(taken)
            }
            // What the stream delivers counts more than another control plane's log.
            Err(_) if self.following().is_some() => Brought::Nothing,
            Err(reason) => {
                match self.inbox.resync(Some(from), reason) {
                    Need::Snapshot => self.take_snapshot(endpoint, from, reason, now),
                    Need::Another => {
                        self.poll_failed(endpoint, "the control plane is behind what is held", now);
                    }
                    Need::Nothing | Need::Changes => {}
                }
                Brought::Nothing
            }
        }
    }

    /// No useful answer: the next control plane is asked at once, each once per round.
    fn poll_failed(&mut self, endpoint: usize, why: &str, now: Instant) {
        self.complain(What::Poll, endpoint, why);
        self.round_failures += 1;
        if self.round_failures < self.names.len() {
            self.poll_at = now;
        } else {
            self.round_failures = 0;
        }
    }

    fn on_snapshot(
        &mut self,
        of: Ticket,
        endpoint: usize,
        answer: Result<(Cursor, Entities), Failure>,
        now: Instant,
    ) -> Brought {
        match self.fetch {
            Fetch::Asked(ticket) if ticket == of => {}
            _ => return Brought::Nothing,
        }
        let refused = match answer {
            Ok((at, entities)) => {
                self.contact(now);
                let was = self.inbox.at();
                match self.inbox.snapshot(of, at, entities) {
                    Ok(()) => {
                        if was.is_some_and(|was| was.epoch != at.epoch) {
                            tracing::warn!(
                                was = was.map(tracing::field::display),
                                is = %at,
                                "the control plane has another history (its database was restored \
                                 or replaced); what it holds now is in force"
                            );
                        }
                        self.complaints.snapshot = false;
                        self.fetch = Fetch::NotNeeded;
                        self.confirmed = true;
                        self.link = Link::Down { retry_at: now };
                        self.poll_soon(now);
                        return Brought::Everything;
                    }
                    Err(refused) => refused.to_string(),
                }
            }
            Err(failure) => failure.0,
        };
        self.complain(What::Snapshot, endpoint, &refused);
        self.turn.advance();
        let pause = self.backoff.next_delay(&mut self.random).min(self.frequency);
        self.fetch = Fetch::Wanted { at: now + pause };
        Brought::Nothing
    }

    /// A control plane cannot lead on from the cursor: it is asked for everything.
    fn take_snapshot(&mut self, endpoint: usize, from: Cursor, reason: Reason, now: Instant) {
        tracing::info!(
            %from,
            control_plane = %self.name(endpoint),
            reason = reason.as_str_name(),
            "the log does not lead on from what is held; taking a snapshot"
        );
        self.turn.turn_to(endpoint);
        self.link = Link::Down { retry_at: now };
        self.fetch = Fetch::Wanted { at: now };
    }

    /// What is held at `at` is not what is stored there. That must not happen, and is repaired.
    fn mistrust(&mut self, at: Cursor, now: Instant) {
        tracing::error!(
            %at,
            held = %self.inbox.entities().digest(),
            "the configuration that is held is not what the control plane has at this revision; \
             taking it anew. This should be impossible: please report it"
        );
        self.link = Link::Down { retry_at: now };
        self.fetch = Fetch::Wanted { at: now };
    }

    /// A frame came.
    fn live(&mut self, stream: u64, endpoint: usize, position: Cursor, now: Instant) {
        let since = match self.link {
            Link::Up { phase: Phase::Live(_, since), .. } => since,
            _ => {
                self.complaints.stream = false;
                tracing::info!(
                    control_plane = %self.name(endpoint),
                    at = %position,
                    "following a control plane's stream"
                );
                now
            }
        };
        let phase = Phase::Live(position.epoch, since);
        self.link = Link::Up { stream, endpoint, position, phase };
    }

    /// The stream is over: polls begin, and the next control plane is tried after a pause.
    fn drop_link(&mut self, now: Instant, why: &str) {
        if let Link::Up { endpoint, phase, .. } = self.link {
            self.complain(What::Stream, endpoint, why);
            if let Phase::Live(_, since) = phase {
                if now - since >= GOOD_STREAM {
                    self.backoff.reset();
                }
                if self.poll_at > now {
                    self.poll_soon(now);
                }
            }
        }
        self.turn.advance();
        let retry_at = now + self.backoff.next_delay(&mut self.random);
        self.link = Link::Down { retry_at };
    }

    fn contact(&mut self, now: Instant) {
        self.last_contact = Some(now);
    }

    /// Says once what fails, until it succeeds.
    fn complain(&mut self, what: What, endpoint: usize, why: &str) {
        let control_plane = self.name(endpoint);
        let (said, what) = match what {
            What::Stream => (&mut self.complaints.stream, "the stream"),
            What::Poll => (&mut self.complaints.poll, "a poll"),
            What::Snapshot => (&mut self.complaints.snapshot, "a snapshot"),
        };
        if std::mem::replace(said, true) {
            tracing::debug!(%control_plane, why, "{what} failed again");
        } else {
            tracing::warn!(
                %control_plane,
                why,
                "{what} failed; serving what is held, and asking every control plane in turn"
            );
        }
    }

    fn name(&self, endpoint: usize) -> Arc<str> {
        self.names.get(endpoint).cloned().unwrap_or_else(|| "?".into())
    }

    /// When the next poll is due; `None` while the stream makes polls needless.
    fn poll_due(&self) -> Option<Instant> {
        self.following().is_none().then_some(self.poll_at)
    }

    fn poll_soon(&mut self, now: Instant) {
        self.poll_at = now + self.up_to(FIRST_POLL.min(self.frequency));
    }

    fn stale_at(&self) -> Instant {
        self.last_contact.unwrap_or(self.started) + STALE.max(self.frequency * 3)
    }

    fn next_audit(&mut self, now: Instant) -> Option<Instant> {
        let ttl = self.cache_ttl?;
        Some(now + self.jittered(ttl))
    }

    fn jittered(&mut self, span: Duration) -> Duration {
        span.mul_f64(self.random.random_range(0.9..=1.1))
    }

    fn up_to(&mut self, span: Duration) -> Duration {
        span.mul_f64(self.random.random_range(0.0..=1.0))
    }
}

#[cfg(test)]
mod tests;
