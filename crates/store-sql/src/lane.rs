//! Group commit: one writer per lane, and whatever waits while it is busy becomes its next
//! transaction.
//!
//! A commit costs a flush of the disk and, on Postgres, the counter that orders all control
//! planes. Both are paid per transaction, so a transaction takes as many write sets as there are.
//! What keeps the log (compacting, a new epoch) takes its turn in the same queue.

use std::time::Duration;

use model::Cursor;
use store::{Committed, Error, WriteSet};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::fault::Fault;
use crate::ledger::{Ledger, Outcomes, Upkeep, count, transact, upkeep};

/// At most so many operations are in one group; a set with more goes alone.
pub(crate) const GROUP: usize = 1000;
/// At most so many sets wait; further ones wait for a place.
const QUEUE: usize = 4096;
/// A set that has waited so long is not begun any more.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a group waits for those who were answered a moment ago: one tick of the timer.
const MOMENT: Duration = Duration::from_millis(1);
/// After waiting in vain once, 2 groups do not wait, then 4, 8, and so on, this often doubled.
const DOUBLINGS: u32 = 6;
/// So many times a transaction is begun anew because another writer came between, who has then
/// succeeded; after that it asks to be alone.
const RACES: usize = 3;
/// It is given up when that does not help either, which would be a mistake of ours.
const ATTEMPTS: usize = RACES + 2;

/// A queue of write sets and the task that writes them.
///
/// The task ends when the lane is dropped and what was begun is done.
#[derive(Debug)]
pub(crate) struct Lane {
    queue: mpsc::Sender<Job>,
}

#[derive(Debug)]
enum Job {
    Write(Request),
    Upkeep(Upkeep, oneshot::Sender<Result<(), Error>>),
    Count(String, oneshot::Sender<Result<Vec<(String, i64)>, Error>>),
}

#[derive(Debug)]
struct Request {
    set: WriteSet,
    deadline: Instant,
    answer: oneshot::Sender<Result<Committed, Error>>,
}

impl Lane {
    /// Starts the writer. `committed` hears of every revision before the caller does.
    pub(crate) fn start<L, F>(ledger: L, committed: F) -> Lane
    where
        L: Ledger + 'static,
        F: Fn(Cursor) + Send + 'static,
    {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let writer = Writer { ledger, jobs, next: None, crowd: Crowd::default(), committed };
        tokio::spawn(writer.run());
        Lane { queue }
    }

    /// Writes a set. When the caller goes away after this has begun, the set may be written.
    pub(crate) async fn write(&self, set: WriteSet) -> Result<Committed, Error> {
        let deadline = Instant::now() + PATIENCE;
        let (answer, answered) = oneshot::channel();
        self.submit(deadline, Job::Write(Request { set, deadline, answer })).await?;
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Runs statements in a transaction of their own.
    pub(crate) async fn upkeep(&self, upkeep: Upkeep) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        self.submit(Instant::now() + PATIENCE, Job::Upkeep(upkeep, answer)).await?;
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Adds to counters.
    pub(crate) async fn count(&self, increments: String) -> Result<Vec<(String, i64)>, Error> {
        let (answer, answered) = oneshot::channel();
        self.submit(Instant::now() + PATIENCE, Job::Count(increments, answer)).await?;
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }

    async fn submit(&self, deadline: Instant, job: Job) -> Result<(), Error> {
        match timeout_at(deadline, self.queue.send(job)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(stopped()),
            Err(_) => Err(crowded()),
        }
    }
}

fn stopped() -> Error {
    Error::Failed("its writer has stopped; restart the process".to_owned())
}

fn crowded() -> Error {
    Error::Unavailable(format!(
        "writes have waited for {} s behind others; try again later",
        PATIENCE.as_secs()
    ))
}

/// Those who write at the same time.
///
/// Many of them write again as soon as they are answered. A group that does not wait for them lets
/// the first one go alone, and the others wait for it: half as many per commit. Whether they are of
/// that kind is learned: after waiting in vain, the next groups do not wait.
#[derive(Debug, Default)]
struct Crowd {
    /// How many there were when the last group was answered.
    size: usize,
    /// How often in a row they did not come back in time.
    vain: u32,
    /// How many groups do not wait.
    skip: u32,
}

impl Crowd {
    /// Whether the next group waits for them.
    fn wait(&mut self) -> bool {
        let wait = self.size > 1 && self.skip == 0;
        self.skip = self.skip.saturating_sub(1);
        wait
    }

    fn stayed_away(&mut self) {
        self.vain = (self.vain + 1).min(DOUBLINGS);
        self.skip = 1 << self.vain;
    }

    fn came_back(&mut self) {
        self.vain = 0;
    }
}

struct Writer<L, F> {
    ledger: L,
    jobs: mpsc::Receiver<Job>,
    /// A job that did not go into the last group.
    next: Option<Job>,
    crowd: Crowd,
    committed: F,
}

impl<L: Ledger, F: Fn(Cursor)> Writer<L, F> {
    async fn run(mut self) {
        loop {
            let job = match self.next.take() {
                Some(job) => job,
                None => match self.jobs.recv().await {
                    Some(job) => job,
                    None => return,
                },
            };
            match job {
                Job::Upkeep(statements, answer) => {
                    let done = upkeep(&mut self.ledger, &statements).await;
                    // Who does not wait any more does not need the answer.
                    let _ = answer.send(done.map_err(Error::from));
                }
                Job::Count(increments, answer) => {
                    let mut done = count(&mut self.ledger, &increments).await;
                    if let Err(Fault::Lost(why)) = done {
                        tracing::info!(why, "counting is run again on a new connection");
                        done = count(&mut self.ledger, &increments).await;
                    }
                    let _ = answer.send(done.map_err(Error::from));
                }
                Job::Write(first) => {
                    let group = self.group(first).await;
                    let (sets, answers): (Vec<_>, Vec<_>) =
                        group.into_iter().map(|request| (request.set, request.answer)).unzip();
                    let outcomes = self.write(&sets).await;
                    self.crowd.size = sets.len() + self.jobs.len();
                    for (outcome, answer) in outcomes.into_iter().zip(answers) {
                        let _ = answer.send(outcome);
                    }
                }
            }
        }
    }

    /// A request and whatever waits behind it and fits, without those that nobody waits for.
    async fn group(&mut self, first: Request) -> Vec<Request> {
        let mut operations = first.set.operations.len();
        let solitary = first.set.rollout.is_some();
        let mut group = vec![first];
        let wait = self.crowd.wait();
        let until = Instant::now() + MOMENT;
        loop {
            if solitary {
                break;
            }
            let job = match self.jobs.try_recv() {
                Ok(job) => job,
                Err(_) if !wait || group.len() >= self.crowd.size => break,
                Err(_) => match timeout_at(until, self.jobs.recv()).await {
                    Ok(Some(job)) => job,
                    Ok(None) | Err(_) => {
                        self.crowd.stayed_away();
                        break;
                    }
                },
            };
            match job {
                Job::Write(request)
                    if request.set.rollout.is_none()
                        && operations.saturating_add(request.set.operations.len()) <= GROUP =>
                {
                    operations += request.set.operations.len();
                    group.push(request);
                }
                other => {
                    self.next = Some(other);
                    break;
                }
            }
        }
        if wait && group.len() >= self.crowd.size {
            self.crowd.came_back();
        }
        group.retain(|request| !request.answer.is_closed());
        let now = Instant::now();
        let (late, group): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|request| request.deadline <= now);
        for request in late {
            let _ = request.answer.send(Err(crowded()));
        }
        group
    }

    /// Writes a group; when the database refuses it as a whole, each set alone, so that one that
    /// the database cannot take does not fail the others.
    async fn write(&mut self, sets: &[WriteSet]) -> Outcomes {
        if sets.is_empty() {
            return Outcomes::new();
        }
        match self.attempt(sets).await {
            Ok(outcomes) => outcomes,
            Err(Fault::Race(_) | Fault::Refused(_)) if sets.len() > 1 => {
                let mut outcomes = Vec::with_capacity(sets.len());
                for set in sets.chunks(1) {
                    match self.attempt(set).await {
                        Ok(outcome) => outcomes.extend(outcome),
                        Err(fault) => outcomes.push(Err(fault.into())),
                    }
                }
                outcomes
            }
            Err(fault) => sets.iter().map(|_| Err(fault.copy().into())).collect(),
        }
    }

    async fn attempt(&mut self, sets: &[WriteSet]) -> Result<Outcomes, Fault> {
        // Whoever wrote before a rollout began must have finished, and whoever writes after it must
        // know of it.
        let alone = sets.iter().any(|set| set.rollout.is_some());
        let mut attempts = 0;
        let mut lost = false;
        loop {
            attempts += 1;
            match transact(&mut self.ledger, sets, alone || attempts > RACES).await {
                Ok(outcomes) => {
                    let newest =
                        outcomes.iter().flatten().map(|c| c.at).max_by_key(|at| at.revision);
                    if let Some(at) = newest {
                        (self.committed)(at);
                    }
                    return Ok(outcomes);
                }
                Err(Fault::Race(why)) if attempts < ATTEMPTS => {
                    tracing::debug!(attempts, why, "a write is run again after a race");
                }
                // The server may have closed an idle connection, or restarted.
                Err(Fault::Lost(why)) if !lost => {
                    lost = true;
                    tracing::info!(why, "a write is run again on a new connection");
                }
                Err(fault) => return Err(fault),
            }
        }
    }
}

/// The lanes of a store: `small` for what users do one by one, `bulk` for what would keep them
/// waiting, where the database lets both run.
#[derive(Debug)]
pub(crate) struct Lanes {
    small: Lane,
    bulk: Option<Lane>,
}

impl Lanes {
    pub(crate) fn new(small: Lane, bulk: Option<Lane>) -> Lanes {
        Lanes { small, bulk }
    }

    pub(crate) async fn write(&self, set: WriteSet) -> Result<Committed, Error> {
        match &self.bulk {
            Some(bulk) if set.operations.len() > GROUP => bulk.write(set).await,
            _ => self.small.write(set).await,
        }
    }

    pub(crate) async fn count(&self, increments: String) -> Result<Vec<(String, i64)>, Error> {
        self.small.count(increments).await
    }

    pub(crate) async fn upkeep(&self, statements: Upkeep) -> Result<(), Error> {
        self.small.upkeep(statements).await
    }
}

#[cfg(test)]
mod tests;
