//! Grouping and what happens on faults, with a ledger that does as it is told.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use model::Kind;
use store::{Operation, Row};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::*;
use crate::facts::{Edge, Facts, Ident, Stored, Wanted};
use crate::ledger::Kept;
use crate::plan::Plan;
use crate::pools::Arg;
use crate::sql::{Statement, state};

/// What the ledger has been told and has done.
#[derive(Default)]
struct Book {
    /// Faults of the next transactions, when they apply; `None` is success.
    script: VecDeque<Option<Fault>>,
    /// A fault for every transaction that writes this entity.
    poison: Option<Uuid>,
    entities: HashSet<Ident>,
    /// The entities of each committed transaction, in order.
    committed: Vec<Vec<u128>>,
    /// Whether each transaction asked to be alone.
    begun: Vec<bool>,
    kept: usize,
}

/// A ledger in memory. A transaction begins when there is a permit.
struct Told {
    book: Arc<Mutex<Book>>,
    permits: Arc<Semaphore>,
    writing: Vec<Ident>,
}

impl Ledger for Told {
    const SHARED: bool = false;

    async fn begin(&mut self, alone: bool) -> Result<(), Fault> {
        self.permits.acquire().await.unwrap().forget();
        self.book.lock().unwrap().begun.push(alone);
        Ok(())
    }

    async fn edges(&mut self, _roots: &[Ident]) -> Result<Vec<Edge>, Fault> {
        Ok(Vec::new())
    }

    async fn look(&mut self, wanted: &Wanted) -> Result<Facts, Fault> {
        let book = self.book.lock().unwrap();
        let there = wanted.entities.keys().filter(|ident| book.entities.contains(ident));
        Ok(Facts {
            at: Cursor { epoch: Uuid::nil(), revision: book.committed.len() as u64 },
            version: 1,
            entities: there.map(|ident| (ident.clone(), Stored::default())).collect(),
            owners: HashMap::new(),
        })
    }

    async fn apply(&mut self, _version: u64, plan: &Plan<'_>) -> Result<Cursor, Fault> {
        let mut book = self.book.lock().unwrap();
        self.writing = plan.touched.iter().map(|touched| touched.ident.clone()).collect();
        if let Some(Some(fault)) = book.script.pop_front() {
            return Err(fault);
        }
        if self.writing.iter().any(|ident| Some(ident.id) == book.poison) {
            return Err(Fault::Refused(Error::Failed("poison".to_owned())));
        }
        Ok(Cursor { epoch: Uuid::nil(), revision: book.committed.len() as u64 + 1 })
    }

    async fn opened(&mut self) -> Result<Option<(u64, usize)>, Fault> {
        Ok(None)
    }

    async fn keep(&mut self, _statement: &Statement, _args: &[Arg<'_>]) -> Result<(), Fault> {
        self.book.lock().unwrap().kept += 1;
        Ok(())
    }

    async fn tally(&mut self, _increments: &str) -> Result<Vec<(String, i64)>, Fault> {
        Ok(Vec::new())
    }

    async fn commit(&mut self) -> Result<(), Fault> {
        let mut book = self.book.lock().unwrap();
        let writing = std::mem::take(&mut self.writing);
        if !writing.is_empty() {
            book.committed.push(writing.iter().map(|ident| ident.id.as_u128()).collect());
        }
        book.entities.extend(writing);
        Ok(())
    }

    async fn rollback(&mut self) {
        self.writing.clear();
    }
}

struct Set {
    lane: Arc<Lane>,
    book: Arc<Mutex<Book>>,
    permits: Arc<Semaphore>,
    told: Arc<Mutex<Vec<u64>>>,
}

fn start(script: impl IntoIterator<Item = Option<Fault>>) -> Set {
    let book = Book { script: script.into_iter().collect(), ..Book::default() };
    let book = Arc::new(Mutex::new(book));
    let permits = Arc::new(Semaphore::new(0));
    let ledger =
        Told { book: Arc::clone(&book), permits: Arc::clone(&permits), writing: Vec::new() };
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let lane = Lane::start(ledger, move |at| telling.lock().unwrap().push(at.revision));
    Set { lane: Arc::new(lane), book, permits, told }
}

type Writing = JoinHandle<Result<Committed, Error>>;

impl Set {
    /// Begins to write a set, and lets it get into the queue.
    async fn write(&self, numbers: impl IntoIterator<Item = u128>) -> Writing {
        let row = |n| Row {
            kind: Kind::known("services"),
            id: Uuid::from_u128(n),
            body: "{}".into(),
            keys: Vec::new(),
            references: Vec::new(),
            tags: Vec::new(),
        };
        let operations: Vec<_> = numbers.into_iter().map(|n| Operation::Insert(row(n))).collect();
        let lane = Arc::clone(&self.lane);
        let writing = tokio::spawn(async move { lane.write(WriteSet::from(operations)).await });
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
        writing
    }

    fn committed(&self) -> Vec<Vec<u128>> {
        self.book.lock().unwrap().committed.clone()
    }
}

async fn revision(writing: Writing) -> u64 {
    writing.await.unwrap().unwrap().at.revision
}

async fn error(writing: Writing) -> String {
    writing.await.unwrap().unwrap_err().to_string()
}

fn race() -> Option<Fault> {
    Some(Fault::Race("raced".to_owned()))
}

fn lost() -> Option<Fault> {
    Some(Fault::Lost("lost".to_owned()))
}

#[tokio::test(start_paused = true)]
async fn what_waits_becomes_one_transaction_and_each_gets_its_answer() {
    let set = start([]);
    let first = set.write([1]).await;
    let second = set.write([2]).await;
    let third = set.write([3, 4]).await;
    let again = set.write([3]).await;
    set.permits.add_permits(9);
    assert_eq!(revision(first).await, 1);
    assert_eq!(revision(second).await, 2);
    let third = third.await.unwrap().unwrap();
    assert_eq!((third.at.revision, third.changes.len()), (2, 2));
    assert!(error(again).await.contains("exists already"));
    assert_eq!(set.committed(), [vec![1], vec![2, 3, 4]]);
    assert_eq!(*set.told.lock().unwrap(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn groups_are_bounded_and_a_large_set_goes_alone() {
    let set = start([]);
    let first = set.write([0]).await;
    let small = set.write([1]).await;
    let large = set.write(10..10 + GROUP as u128 + 1).await;
    let half = set.write(5000..5000 + GROUP as u128 / 2).await;
    let other_half = set.write(6000..6000 + GROUP as u128 / 2).await;
    let more = set.write([7000]).await;
    set.permits.add_permits(9);
    let revisions = [first, small, large, half, other_half, more].map(revision);
    assert_eq!(futures_util::future::join_all(revisions).await, [1, 2, 3, 4, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn one_that_the_database_refuses_does_not_fail_the_others() {
    let set = start([]);
    set.book.lock().unwrap().poison = Some(Uuid::from_u128(3));
    let first = set.write([1]).await;
    let (good, bad, also_good) = (set.write([2]).await, set.write([3]).await, set.write([4]).await);
    set.permits.add_permits(9);
    assert_eq!(revision(first).await, 1);
    assert_eq!(revision(good).await, 2);
    assert!(error(bad).await.contains("poison"));
    assert_eq!(revision(also_good).await, 3);
    assert_eq!(set.committed(), [[1], [2], [4]]);
}

#[tokio::test(start_paused = true)]
async fn races_and_lost_connections_are_run_again_within_limits() {
    let set = start([race(), lost(), race(), None, lost(), lost()]);
    set.permits.add_permits(100);
    assert_eq!(revision(set.write([1]).await).await, 1);
    assert_eq!(set.book.lock().unwrap().begun, [false, false, false, true]);
    assert!(error(set.write([2]).await).await.contains("lost"), "not for ever");
    assert_eq!(revision(set.write([2]).await).await, 2);

    let set = start(std::iter::repeat_with(race).take(ATTEMPTS));
    set.permits.add_permits(100);
    assert!(error(set.write([1]).await).await.contains("try again"));
    assert_eq!(set.book.lock().unwrap().begun, [false, false, false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_commit_of_unknown_end_is_not_run_again() {
    let set = start([Some(Fault::Unknown("who knows".to_owned()))]);
    let (one, two) = (set.write([1]).await, set.write([2]).await);
    set.permits.add_permits(9);
    assert!(error(one).await.contains("who knows"));
    assert_eq!(revision(two).await, 1);
    assert_eq!(set.committed(), [[2]]);
}

#[tokio::test(start_paused = true)]
async fn who_went_away_or_waited_too_long_is_not_written() {
    let set = start([]);
    let first = set.write([1]).await;
    let gone = set.write([2]).await;
    gone.abort();
    let late = set.write([3]).await;
    tokio::time::advance(PATIENCE).await;
    let in_time = set.write([4]).await;
    set.permits.add_permits(9);
    assert_eq!(revision(first).await, 1);
    assert!(error(late).await.contains("try again later"));
    assert_eq!(revision(in_time).await, 2);
    assert_eq!(set.committed(), [[1], [4]]);
}

#[tokio::test(start_paused = true)]
async fn upkeep_takes_its_turn() {
    let set = start([]);
    let (first, second) = (set.write([1]).await, set.write([2]).await);
    let lane = Arc::clone(&set.lane);
    let keeping =
        tokio::spawn(
            async move { lane.upkeep(vec![(state::COMPACTED, vec![Kept::Int(1)])]).await },
        );
    tokio::task::yield_now().await;
    let third = set.write([3]).await;
    set.permits.add_permits(9);
    assert_eq!(revision(first).await, 1);
    assert_eq!(revision(second).await, 2);
    keeping.await.unwrap().unwrap();
    assert_eq!(revision(third).await, 3, "not in the group before the upkeep");
    assert_eq!(set.book.lock().unwrap().kept, 1);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_is_dropped_finishes_what_it_has() {
    let set = start([]);
    let first = set.write([1]).await;
    first.abort();
    drop(set.lane);
    set.permits.add_permits(9);
    while set.book.lock().unwrap().committed.is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn writers_that_come_back_at_once_are_written_together() {
    let set = Arc::new(start([]));
    set.permits.add_permits(1000);
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..4u128 {
        let set = Arc::clone(&set);
        writers.spawn(async move {
            for m in 0..10 {
                revision(set.write([n * 100 + m]).await).await;
            }
        });
    }
    writers.join_all().await;
    let sizes: Vec<usize> = set.committed().iter().map(Vec::len).collect();
    let full = sizes.iter().filter(|size| **size == 4).count();
    assert!(full >= 8, "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn writers_that_take_their_time_are_not_waited_for_again_and_again() {
    let set = start([]);
    set.permits.add_permits(1000);
    let begun = Instant::now();
    for n in 0..100 {
        // Two at once, and then one alone.
        let (one, two) = (set.write([3 * n]).await, set.write([3 * n + 1]).await);
        revision(one).await;
        revision(two).await;
        revision(set.write([3 * n + 2]).await).await;
    }
    // The clock moves only where the lane waits: once per 2, 4, … 64 groups.
    assert!(begun.elapsed() < 20 * MOMENT, "{:?}", begun.elapsed());
}
