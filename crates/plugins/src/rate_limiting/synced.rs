//! Counters that are kept elsewhere, with what is known of them here.
//!
//! Most requests are decided by what is known here and exchanged later, many at once. How far that
//! can be wrong is bounded: between two looks at a counter, a data plane lets pass at most a 64th
//! of what was left at the first, and nothing when the look is too old; beyond, a request waits
//! for a look of its own. So the last 64 requests before a limit are counted one by one, and data
//! planes with alike traffic let pass the limit and hardly more, at whatever rate requests come.
//! If some get much less than others, what those let pass within two exchanges may come on top.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::ops::Range;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lifecycle::Clock;
use plugin::{Counters, CountersError, Increment, Node};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::counters::{Counted, Lefts, Limit};
use super::period::Period;
use super::who::Who;

/// When counters are exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rhythm {
    /// With every request; those that are refused count, too (Kong's Redis policy without
    /// `sync_rate`).
    Always,
    /// This often, and whenever a request cannot be decided otherwise.
    Every(Duration),
}

/// Counters elsewhere, as one plugin instance sees them. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Synced {
    known: Arc<Known>,
    asked: mpsc::Sender<Asked>,
}

/// What a request finds.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    /// Decided.
    Counted(Counted),
    /// To be asked for by [`Synced::ask`].
    Unknown,
}

/// A request that waits for a look.
#[derive(Debug)]
struct Asked {
    who: Who,
    limits: Arc<[Limit]>,
    /// When the request came, in microseconds since 1970.
    now_us: u64,
    answer: oneshot::Sender<Result<Counted, CountersError>>,
}

/// Why nothing is counted elsewhere any more.
const ENDING: &str = "the gateway is ending";
/// So many requests wait at most; further ones are told that counting is too slow.
const QUEUE: usize = 4096;
/// As many increments are exchanged at once.
const BATCH: usize = 5000;
/// Of what was left at the last look, this part passes until the next one.
const SHARE: f64 = 64.0;
const SHARDS: usize = 16;
/// The most that is remembered, for all shards.
const MOST: usize = 1 << 20;

/// What is known here.
struct Known {
    /// What the counters' names begin with.
    prefix: String,
    rhythm: Rhythm,
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

#[derive(Default)]
struct Shard {
    by_who: HashMap<Who, Entry>,
    /// Who has something to exchange.
    dirty: Vec<Who>,
    /// What belongs to windows that have passed.
    late: Vec<Increment>,
    /// The size at which windows that have passed are cleared away.
    sweep_at: usize,
}

/// The counters of one who.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    windows: [Window; Period::ALL.len()],
    dirty: bool,
}

/// One counter.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    /// When it began, in seconds since 1970.
    start: u64,
    /// What it stood at, at the last look.
    total: i64,
    /// When that was, in microseconds since 1970; 0 for never.
    looked_us: u64,
    /// What was added here since and is not exchanged; less than 0 takes back.
    pending: i64,
    /// What is being exchanged.
    sent: i64,
}

/// One counter in an exchange.
struct Part {
    who: Who,
    period: Period,
    start: u64,
    /// What was pending.
    pending: i64,
    /// The place of its increment.
    at: usize,
}

/// An exchange in the making.
#[derive(Default)]
struct Trade {
    increments: Vec<Increment>,
    parts: Vec<Part>,
    /// What is late, behind the increments of `parts`.
    late: usize,
}

impl Synced {
    /// Counters whose names begin with `prefix`, kept by `counters`. The exchange runs as a task of
    /// `node`, and ends with the last clone.
    pub(super) fn start(
        prefix: String,
        rhythm: Rhythm,
        counters: Arc<dyn Counters>,
        node: &Node,
    ) -> Synced {
        let known = Arc::new(Known::new(prefix, rhythm));
        let (asked, waiting) = mpsc::channel(QUEUE);
        let worker = Worker { known: known.clone(), counters, clock: node.clock.clone(), waiting };
        let quiet = node.quiet();
        node.spawn("rate-limiting counters", async move { worker.run(quiet).await });
        Synced { known, asked }
    }

    /// Counts a request if no limit stops it and enough is known.
    pub(super) fn count(&self, who: &Who, limits: &[Limit], now_us: u64) -> Found {
        match self.known.rhythm {
            Rhythm::Always => Found::Unknown,
            Rhythm::Every(every) => self.known.count(who, limits, now_us, every),
        }
    }

    /// Counts a request after a look at the counters.
    pub(super) async fn ask(
        &self,
        who: Who,
        limits: Arc<[Limit]>,
        now_us: u64,
    ) -> Result<Counted, CountersError> {
        let (answer, answered) = oneshot::channel();
        let asked = Asked { who, limits, now_us, answer };
        self.asked.try_send(asked).map_err(|error| {
            CountersError(match error {
                TrySendError::Full(_) => format!("{QUEUE} requests wait to be counted already"),
                TrySendError::Closed(_) => ENDING.to_owned(),
            })
        })?;
        answered.await.unwrap_or_else(|_| Err(CountersError(ENDING.to_owned())))
    }
}

impl Known {
    fn new(prefix: String, rhythm: Rhythm) -> Known {
        Known { prefix, rhythm, shards: Default::default(), hasher: RandomState::new() }
    }

    fn count(&self, who: &Who, limits: &[Limit], now_us: u64, every: Duration) -> Found {
        let now = now_us / 1_000_000;
        let oldest =
            now_us.saturating_sub(2 * u64::try_from(every.as_micros()).unwrap_or(u64::MAX / 2));
        let mut shard = self.shard(who);
        let Some(entry) = shard.by_who.get_mut(who) else { return Found::Unknown };
        let mut counted = Counted { left: Lefts::new(), stopped_by: None };
        let mut certain = true;
        for (at, limit) in limits.iter().enumerate() {
            let window = &entry.windows[limit.period as usize];
            if window.looked_us == 0 || window.start < limit.period.start(now) {
                return Found::Unknown;
            }
            let since = (window.sent + window.pending) as f64;
            let at_look = limit.most - window.total as f64;
            let left = at_look - since;
            if left <= 0.0 {
                counted.stopped_by = Some(at);
            }
            certain &= window.looked_us >= oldest && since + 1.0 <= at_look / SHARE;
            counted.left.push(left);
        }
        // A window that is full stays so: no further look is needed to refuse.
        if counted.stopped_by.is_some() {
            return Found::Counted(counted);
        }
        if !certain {
            return Found::Unknown;
        }
        for limit in limits {
            entry.windows[limit.period as usize].pending += 1;
        }
        shard.soil(who);
        Found::Counted(counted)
    }

    /// Takes what is pending of those who ask into the exchange, with one more for each. Answers
    /// with the places of their parts.
    fn gather_asked(&self, who: &Who, asked: &[Asked], trade: &mut Trade) -> Range<usize> {
        let first = trade.parts.len();
        let mut shard = self.shard(who);
        for one in asked {
            shard.enter(self, who, &one.limits, one.now_us / 1_000_000);
        }
        let Some(entry) = shard.by_who.get_mut(who) else { return first..first };
        for period in Period::ALL {
            let more = asking(asked, period);
            if more > 0 {
                let window = &mut entry.windows[period as usize];
                trade.take(self, who, period, window, more);
            }
        }
        first..trade.parts.len()
    }

    /// Takes everything that is pending into exchanges.
    fn gather_pending(&self) -> Vec<Trade> {
        let mut trades = vec![Trade::default()];
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let (dirty, late) = (std::mem::take(&mut shard.dirty), std::mem::take(&mut shard.late));
            for who in dirty {
                let Some(entry) = shard.by_who.get_mut(&who) else { continue };
                entry.dirty = false;
                let Some(trade) = room(&mut trades) else { continue };
                for period in Period::ALL {
                    let window = &mut entry.windows[period as usize];
                    if window.pending != 0 {
                        trade.take(self, &who, period, window, 0);
                    }
                }
            }
            for increment in late {
                let Some(trade) = room(&mut trades) else { continue };
                trade.late += 1;
                trade.increments.push(increment);
            }
        }
        trades.retain(|trade| !trade.increments.is_empty());
        trades
    }

    /// Takes up what came of an exchange that began at `began_us`.
    fn settle(&self, trade: &Trade, totals: Option<&[i64]>, began_us: u64) {
        for part in &trade.parts {
            let mut shard = self.shard(&part.who);
            let Some(entry) = shard.by_who.get_mut(&part.who) else { continue };
            let window = &mut entry.windows[part.period as usize];
            if window.start != part.start {
                continue;
            }
            window.sent -= part.pending;
            match totals.and_then(|totals| totals.get(part.at)) {
                Some(total) => {
                    window.total = *total;
                    window.looked_us = began_us.max(1);
                }
                // Rather counted twice than not at all.
                None => {
                    window.pending += part.pending;
                    if part.pending != 0 {
                        shard.soil(&part.who);
                    }
                }
            }
        }
        if totals.is_none() && trade.late > 0 {
            let from = trade.increments.len().saturating_sub(trade.late);
            let mut shard = self.first_shard();
            let late = trade.increments.get(from..).unwrap_or_default();
            let room = BATCH.saturating_sub(shard.late.len());
            shard.late.extend(late.iter().take(room).cloned());
        }
    }

    /// Takes back what was counted for a request that was then refused.
    fn take_back(&self, who: &Who, limits: &[Limit]) {
        let mut shard = self.shard(who);
        let Some(entry) = shard.by_who.get_mut(who) else { return };
        for limit in limits {
            entry.windows[limit.period as usize].pending -= 1;
        }
        shard.soil(who);
    }

    /// Where what is late waits to be tried again: it belongs to nobody any more.
    fn first_shard(&self) -> MutexGuard<'_, Shard> {
        self.shards[0].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard(&self, who: &Who) -> MutexGuard<'_, Shard> {
        let at = self.hasher.hash_one(who) as usize % SHARDS;
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As Kong names a counter in Redis.
    fn increment(&self, who: &Who, period: Period, start: u64, by: i64) -> Increment {
        let key = format!("{}{who}:{}:{}", self.prefix, start * 1000, period.word());
        Increment { key, by, expires_at: start + period.longest() }
    }
}

/// How many requests ask for the counter of a period.
fn asking(asked: &[Asked], period: Period) -> i64 {
    let mine = |one: &&Asked| one.limits.iter().any(|limit| limit.period == period);
    asked.iter().filter(mine).count() as i64
}

/// The last of the exchanges, or a new one if that is full.
fn room(trades: &mut Vec<Trade>) -> Option<&mut Trade> {
    if trades.last().is_none_or(|trade| trade.increments.len() >= BATCH) {
        trades.push(Trade::default());
    }
    trades.last_mut()
}

impl Trade {
    fn take(&mut self, known: &Known, who: &Who, period: Period, window: &mut Window, more: i64) {
        let pending = std::mem::take(&mut window.pending);
        window.sent += pending;
        let (start, at) = (window.start, self.increments.len());
        self.increments.push(known.increment(who, period, start, pending + more));
        self.parts.push(Part { who: who.clone(), period, start, pending, at });
    }
}

impl Shard {
    /// Makes the windows of `limits` those of `now`.
    fn enter(&mut self, known: &Known, who: &Who, limits: &[Limit], now: u64) {
        if !self.by_who.contains_key(who) {
            if self.by_who.len() >= self.sweep_at.max(64) {
                self.sweep(now);
            }
            self.by_who.insert(who.clone(), Entry::default());
        }
        let Some(entry) = self.by_who.get_mut(who) else { return };
        for limit in limits {
            let (period, start) = (limit.period, limit.period.start(now));
            let window = &mut entry.windows[period as usize];
            if window.start < start {
                if window.pending != 0 {
                    let late = known.increment(who, period, window.start, window.pending);
                    self.late.push(late);
                }
                *window = Window { start, ..Window::default() };
            }
        }
    }

    /// Notes that somebody has something to exchange.
    fn soil(&mut self, who: &Who) {
        let Some((who, entry)) = self.by_who.get_key_value(who) else { return };
        if !entry.dirty {
            let who = who.clone();
            self.dirty.push(who.clone());
            if let Some(entry) = self.by_who.get_mut(&who) {
                entry.dirty = true;
            }
        }
    }

    fn sweep(&mut self, now: u64) {
        let settled = |entry: &Entry| entry.windows.iter().all(|w| w.pending == 0 && w.sent == 0);
        let runs = |(window, period): (&Window, Period)| {
            window.looked_us > 0 && window.start >= period.start(now)
        };
        self.by_who
            .retain(|_, entry| !settled(entry) || entry.windows.iter().zip(Period::ALL).any(runs));
        if self.by_who.len() >= MOST / SHARDS {
            // What is forgotten is looked up again.
            self.by_who.retain(|_, entry| !settled(entry));
        }
        self.sweep_at = (self.by_who.len() * 2).clamp(64, MOST / SHARDS);
    }
}

/// Exchanges counters.
struct Worker {
    known: Arc<Known>,
    counters: Arc<dyn Counters>,
    clock: Arc<dyn Clock>,
    waiting: mpsc::Receiver<Asked>,
}

impl Worker {
    /// Until nobody can ask any more, or the process ends.
    async fn run(mut self, quiet: impl Future<Output = ()>) {
        let every = match self.known.rhythm {
            Rhythm::Always => Duration::from_secs(3600),
            Rhythm::Every(every) => every,
        };
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut quiet = pin!(quiet);
        let mut failing = false;
        loop {
            let first = tokio::select! {
                asked = self.waiting.recv() => match asked {
                    Some(asked) => Some(asked),
                    None => break,
                },
                _ = ticks.tick() => None,
                () = &mut quiet => break,
            };
            let done = match first {
                Some(first) => self.answer(first).await,
                None => self.flush().await,
            };
            match done {
                Ok(()) if std::mem::take(&mut failing) => {
                    tracing::info!("rate-limiting counters are exchanged again");
                }
                Err(error) if !std::mem::replace(&mut failing, true) => {
                    tracing::error!(%error, "rate-limiting counters cannot be exchanged");
                }
                _ => {}
            }
        }
        // What was counted here is not to be lost; that it cannot be told was said.
        let _ = self.flush().await;
    }

    /// Answers everybody who waits.
    async fn answer(&mut self, first: Asked) -> Result<(), CountersError> {
        let mut groups: HashMap<Who, Vec<Asked>> = HashMap::new();
        let mut next = Some(first);
        let mut size = 0;
        while let Some(asked) = next.take() {
            size += 1;
            groups.entry(asked.who.clone()).or_default().push(asked);
            if size < BATCH / Period::ALL.len() {
                next = self.waiting.try_recv().ok();
            }
        }
        let mut trade = Trade::default();
        let gather = |(who, asked): (Who, Vec<Asked>)| {
            let parts = self.known.gather_asked(&who, &asked, &mut trade);
            (who, asked, parts)
        };
        let groups: Vec<_> = groups.into_iter().map(gather).collect();
        let totals = self.exchange(&trade).await;
        for (who, asked, parts) in groups {
            match &totals {
                Ok(totals) => {
                    let parts = trade.parts.get(parts).unwrap_or_default();
                    self.decide(&who, asked, parts, totals);
                }
                Err(error) => {
                    for one in asked {
                        // Who has gone away does not need the answer.
                        let _ = one.answer.send(Err(error.clone()));
                    }
                }
            }
        }
        totals.map(|_| ())
    }

    /// Decides about requests of one who, in their order.
    fn decide(&self, who: &Who, asked: Vec<Asked>, parts: &[Part], totals: &[i64]) {
        let mut used = Period::ALL.map(|period| {
            let part = parts.iter().find(|part| part.period == period);
            let total = part.and_then(|part| totals.get(part.at)).copied().unwrap_or_default();
            total - asking(&asked, period)
        });
        for one in asked {
            let mut counted = Counted { left: Lefts::new(), stopped_by: None };
            for (at, limit) in one.limits.iter().enumerate() {
                let left = limit.most - used[limit.period as usize] as f64;
                if left <= 0.0 {
                    counted.stopped_by = Some(at);
                }
                counted.left.push(left);
            }
            if counted.stopped_by.is_some() && self.known.rhythm != Rhythm::Always {
                self.known.take_back(who, &one.limits);
            } else {
                for limit in one.limits.iter() {
                    used[limit.period as usize] += 1;
                }
            }
            let _ = one.answer.send(Ok(counted));
        }
    }

    async fn flush(&self) -> Result<(), CountersError> {
        let mut done = Ok(());
        for trade in self.known.gather_pending() {
            match done {
                Ok(()) => done = self.exchange(&trade).await.map(|_| ()),
                // Who did not answer a moment ago is asked again with the next flush.
                Err(_) => self.known.settle(&trade, None, 0),
            }
        }
        done
    }

    async fn exchange(&self, trade: &Trade) -> Result<Vec<i64>, CountersError> {
        let began_us = u64::try_from(self.clock.wall_us()).unwrap_or_default();
        let result = self.counters.add(trade.increments.clone()).await;
        let result = result.and_then(|totals| match totals.len() == trade.increments.len() {
            true => Ok(totals),
            false => Err(CountersError("not every counter was answered for".to_owned())),
        });
        self.known.settle(trade, result.as_deref().ok(), began_us);
        result
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
