//! Checks of the log: revisions, snapshots, compacting, epochs.

use std::sync::Arc;
use std::time::Duration;

use model::Cursor;
use uuid::Uuid;

use super::rows::{ROUTES, Restrict, SERVICES, With, delete, get, insert, row, upsert, write};
use crate::{Committed, Store};

/// What was committed is what the log says.
pub async fn the_log_tells_every_change_in_order(store: Arc<dyn Store>) {
    let empty = store.log_after(0, 100).await.unwrap();
    assert_eq!((empty.head.at.revision, empty.head.compacted), (0, 0));
    assert!(empty.transactions.is_empty());

    let route = row(ROUTES, 1).refers("service", (SERVICES, 1), Restrict);
    let sets = [
        vec![insert(row(SERVICES, 1))],
        vec![upsert(row(SERVICES, 1).body("2")), insert(route), insert(row(SERVICES, 2))],
        vec![delete(ROUTES, 1), delete(SERVICES, 1)],
    ];
    let mut committed: Vec<Committed> = Vec::new();
    for set in sets {
        committed.push(write(&store, set).await.unwrap());
    }
    let log = store.log_after(0, 100).await.unwrap();
    assert_eq!(log.head.at, committed[2].at);
    let mut time = 0;
    for (n, (transaction, committed)) in log.transactions.iter().zip(&committed).enumerate() {
        assert_eq!(transaction.revision, committed.at.revision);
        assert_eq!(transaction.revision, n as u64 + 1, "no gaps");
        assert_eq!(transaction.prev, n as u64);
        assert_eq!(transaction.changes, committed.changes);
        assert!(transaction.committed_us >= time);
        time = transaction.committed_us;
    }
    // The same clock, to the millisecond.
    assert!((0..60_000_000).contains(&(log.head.now_us + 1_000 - time)), "{:?}", log.head);
    let head = store.head().await.unwrap();
    assert_eq!((head.at, head.compacted), (log.head.at, 0));
    assert!(head.now_us >= log.head.now_us);

    let rest = store.log_after(2, 100).await.unwrap();
    assert_eq!(rest.transactions, log.transactions[2..]);
    let none = store.log_after(3, 100).await.unwrap();
    assert_eq!((none.transactions.len(), none.head.at.revision), (0, 3));
    let beyond = store.log_after(1000, 100).await.unwrap();
    assert_eq!((beyond.transactions.len(), beyond.head.at.revision), (0, 3));
}

/// Limits count changes and cut between transactions.
pub async fn the_log_never_splits_a_transaction(store: Arc<dyn Store>) {
    for n in 0..4u128 {
        let set = (0..3).map(|m| insert(row(SERVICES, 10 * n + m)));
        write(&store, set).await.unwrap();
    }
    for (limit, expected) in [(0, 1), (1, 1), (3, 1), (4, 2), (6, 2), (7, 3), (12, 4), (99, 4)] {
        let log = store.log_after(0, limit).await.unwrap();
        assert_eq!(log.transactions.len(), expected, "limit {limit}");
        assert!(log.transactions.iter().all(|t| t.changes.len() == 3));
        assert_eq!(log.head.at.revision, 4);
    }
}

/// Compacting.
pub async fn a_compacted_log_says_so(store: Arc<dyn Store>) {
    for n in 1..=6 {
        write(&store, [insert(row(SERVICES, n)), insert(row(ROUTES, n))]).await.unwrap();
    }
    store.compact(0).await.unwrap();
    assert_eq!(store.head().await.unwrap().compacted, 0);
    let before = store.log_after(4, 100).await.unwrap().transactions;
    store.compact(4).await.unwrap();
    assert_eq!(store.head().await.unwrap().compacted, 4);
    let late = store.log_after(3, 100).await.unwrap();
    assert_eq!((late.head.compacted, late.transactions.len()), (4, 0));
    let just = store.log_after(4, 100).await.unwrap();
    assert_eq!(just.transactions, before);
    assert_eq!(just.transactions[0].prev, 4);
    // It never goes back, and never further than there is.
    store.compact(2).await.unwrap();
    assert_eq!(store.head().await.unwrap().compacted, 4);
    store.compact(1000).await.unwrap();
    let head = store.head().await.unwrap();
    assert_eq!((head.compacted, head.at.revision), (6, 6));
    assert_eq!(store.snapshot().await.unwrap().1.len(), 12, "the entities stay");
    write(&store, [delete(SERVICES, 1)]).await.unwrap();
    let next = store.log_after(6, 100).await.unwrap();
    assert_eq!((next.transactions.len(), next.transactions[0].prev), (1, 6));
}

/// Snapshots.
pub async fn a_snapshot_is_the_state_at_its_cursor(store: Arc<dyn Store>) {
    let (at, entities) = store.snapshot().await.unwrap();
    assert_eq!((at, entities.len()), (store.head().await.unwrap().at, 0));
    write(&store, [insert(row(SERVICES, 1)), insert(row(SERVICES, 2))]).await.unwrap();
    write(&store, [insert(row(ROUTES, 1)), delete(SERVICES, 1)]).await.unwrap();
    let (at, mut entities) = store.snapshot().await.unwrap();
    assert_eq!(at, store.head().await.unwrap().at);
    entities.sort_by(|a, b| a.kind.cmp(&b.kind));
    assert_eq!(entities, [get(&store, ROUTES, 1).await, get(&store, SERVICES, 2).await]);
}

/// `grown` wakes.
pub async fn growth_wakes_those_who_wait(store: Arc<dyn Store>) {
    let patience = Duration::from_secs(20);
    write(&store, [insert(row(SERVICES, 1))]).await.unwrap();
    tokio::time::timeout(patience, store.grown(0)).await.expect("it has grown beyond 0 before");
    let waiting = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.grown(1).await })
    };
    write(&store, [insert(row(SERVICES, 2))]).await.unwrap();
    tokio::time::timeout(patience, waiting).await.expect("it wakes").unwrap();
    let early = tokio::time::timeout(Duration::from_millis(50), store.grown(2)).await;
    assert!(early.is_err(), "nothing is there beyond 2, so waking would be a busy loop");
}

/// `revision_at`.
pub async fn revisions_are_found_by_time(store: Arc<dyn Store>) {
    assert_eq!(store.revision_at(i64::MAX).await.unwrap(), 0);
    for n in 1..=3 {
        write(&store, [insert(row(SERVICES, n))]).await.unwrap();
        // Longer than the grain of the coarsest clock, so that the times differ.
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let log = store.log_after(0, 100).await.unwrap().transactions;
    assert_eq!(store.revision_at(0).await.unwrap(), 0);
    for transaction in &log {
        let at = transaction.committed_us;
        assert_eq!(store.revision_at(at).await.unwrap(), transaction.revision);
        assert_eq!(store.revision_at(at - 1).await.unwrap(), transaction.prev);
    }
    assert_eq!(store.revision_at(i64::MAX).await.unwrap(), 3);
    store.compact(2).await.unwrap();
    assert_eq!(store.revision_at(0).await.unwrap(), 2);
    store.compact(3).await.unwrap();
    assert_eq!(store.revision_at(0).await.unwrap(), 3);
}

/// `renew_epoch`.
pub async fn a_new_epoch_begins_once(store: Arc<dyn Store>) {
    let first = write(&store, [insert(row(SERVICES, 1))]).await.unwrap().at;
    assert_eq!(store.renew_epoch(first).await.unwrap(), first, "it is reached");
    let other = Cursor { epoch: Uuid::from_u128(7), revision: 99 };
    assert_eq!(store.renew_epoch(other).await.unwrap(), first, "of another history");
    let seen = Cursor { revision: 5, ..first };
    let second = store.renew_epoch(seen).await.unwrap();
    assert_ne!(second.epoch, first.epoch);
    assert_eq!(second.revision, 1);
    assert_eq!(store.renew_epoch(seen).await.unwrap(), second, "a second witness");
    assert_eq!(store.head().await.unwrap().at, second);
    assert_eq!(store.snapshot().await.unwrap().0, second);
    assert_eq!(store.log_after(0, 10).await.unwrap().head.at, second);
    let next = write(&store, [insert(row(SERVICES, 2))]).await.unwrap().at;
    assert_eq!(next, Cursor { revision: 2, ..second });
}
