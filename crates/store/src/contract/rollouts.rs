//! Rollouts: what the store keeps while one is open.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Change, Kind};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::rows::{
    Cascade, ROUTES, SERVICES, With, changes, delete, exists, insert, row, upsert, write,
};
use crate::{Committed, Error, OpenRollout, Operation, RolloutStep, Store, WriteSet};

/// The row that stands in the log for the open rollout.
const ROLLOUTS: &str = "rollouts";

async fn open(store: &Arc<dyn Store>) -> Result<Committed, Error> {
    let operations = vec![insert(row(ROLLOUTS, 1))];
    store.write(WriteSet { operations, rollout: Some(RolloutStep::Open) }).await
}

/// Ends the rollout together with these operations.
async fn end(
    store: &Arc<dyn Store>,
    opened: u64,
    touched: Option<usize>,
    mut operations: Vec<Operation>,
) -> Result<Committed, Error> {
    operations.push(delete(ROLLOUTS, 1));
    let rollout = Some(RolloutStep::End { opened, touched });
    store.write(WriteSet { operations, rollout }).await
}

/// What was before, as (kind, number, body).
fn before(open: &OpenRollout) -> Vec<(&str, u128, Option<&str>)> {
    let each = |c: &'_ Change| c.id.as_u128();
    open.before.iter().map(|c| (c.kind.as_str(), each(c), c.body.as_deref())).collect()
}

/// Writes that go on while a rollout is open, each the first or a further touch.
pub async fn what_was_before_a_rollout_is_kept(store: Arc<dyn Store>) {
    let child = |n| row(ROUTES, n).refers("service", (SERVICES, 1), Cascade);
    write(&store, [insert(row(SERVICES, 1).body("a")), insert(row(SERVICES, 2).body("b"))])
        .await
        .unwrap();
    write(&store, [insert(child(3).body("c")), insert(row(SERVICES, 9))]).await.unwrap();
    assert_eq!(store.rollout().await.unwrap(), None);

    let opened = open(&store).await.unwrap().at.revision;
    let kept = store.rollout().await.unwrap().unwrap();
    assert_eq!((kept.opened, kept.before), (opened, Vec::new()), "its own row is not kept");

    // Twice, so that the second touch must not overwrite what the first kept.
    for body in ["a1", "a2"] {
        write(&store, [upsert(row(SERVICES, 1).body(body))]).await.unwrap();
    }
    write(&store, [insert(row(SERVICES, 4)), delete(SERVICES, 2)]).await.unwrap();
    write(&store, [delete(SERVICES, 4)]).await.unwrap();
    // Takes the route along.
    write(&store, [delete(SERVICES, 1)]).await.unwrap();
    let kept = store.rollout().await.unwrap().unwrap();
    assert_eq!(kept.opened, opened);
    assert_eq!(
        before(&kept),
        [
            (ROUTES, 3, Some("c")),
            (SERVICES, 1, Some("a")),
            (SERVICES, 2, Some("b")),
            (SERVICES, 4, None),
        ]
    );
    // A set that is refused touches nothing.
    write(&store, [upsert(row(SERVICES, 9)), insert(row(SERVICES, 9))]).await.unwrap_err();
    assert_eq!(store.rollout().await.unwrap().unwrap(), kept);

    let back = [upsert(row(SERVICES, 1).body("a")), upsert(row(SERVICES, 2).body("b"))];
    let back = back.into_iter().chain([upsert(child(3).body("c")), delete(SERVICES, 4)]);
    let ended = end(&store, opened, Some(4), back.collect()).await.unwrap();
    assert_eq!(
        changes(&ended),
        [(SERVICES, 1, true), (SERVICES, 2, true), (ROUTES, 3, true), (ROLLOUTS, 1, false)],
        "what was not there and is not there is no change"
    );
    assert_eq!(store.rollout().await.unwrap(), None);
    write(&store, [upsert(row(SERVICES, 1).body("later"))]).await.unwrap();
    let opened = open(&store).await.unwrap().at.revision;
    let kept = store.rollout().await.unwrap().unwrap();
    assert_eq!((kept.opened, kept.before), (opened, Vec::new()), "what was kept is forgotten");
}

/// Compacting takes the log, not what was before.
pub async fn what_was_before_does_not_depend_on_the_log(store: Arc<dyn Store>) {
    write(&store, [insert(row(SERVICES, 1).body("a"))]).await.unwrap();
    let opened = open(&store).await.unwrap().at.revision;
    let last = write(&store, [upsert(row(SERVICES, 1).body("b"))]).await.unwrap();
    store.compact(last.at.revision).await.unwrap();
    let kept = store.rollout().await.unwrap().unwrap();
    assert_eq!((kept.opened, before(&kept)), (opened, vec![(SERVICES, 1, Some("a"))]));
}

/// The second is refused, and leaves the first as it is.
pub async fn one_rollout_is_open_at_a_time(store: Arc<dyn Store>) {
    let opened = open(&store).await.unwrap().at.revision;
    write(&store, [insert(row(SERVICES, 1))]).await.unwrap();
    let error = open(&store).await.unwrap_err();
    assert!(matches!(&error, Error::Exists { kind, .. } if kind == ROLLOUTS), "{error}");
    let kept = store.rollout().await.unwrap().unwrap();
    assert_eq!((kept.opened, kept.before.len()), (opened, 1));
}

/// Ending is refused when there is none, another one, or more was touched.
pub async fn a_rollout_ends_only_as_it_was_seen(store: Arc<dyn Store>) {
    let conflict = |result: Result<Committed, Error>| {
        let error = result.unwrap_err();
        assert!(matches!(&error, Error::Conflict { kind, .. } if kind == ROLLOUTS), "{error}");
    };
    conflict(end(&store, 1, None, vec![insert(row(SERVICES, 7))]).await);
    let opened = open(&store).await.unwrap().at.revision;
    write(&store, [insert(row(SERVICES, 1))]).await.unwrap();
    conflict(end(&store, opened + 1, None, vec![insert(row(SERVICES, 7))]).await);
    conflict(end(&store, opened, Some(0), vec![insert(row(SERVICES, 7))]).await);
    assert!(!exists(&store, SERVICES, 7).await);
    assert_eq!(store.rollout().await.unwrap().unwrap().opened, opened);
    // What cannot be done leaves the rollout open.
    end(&store, opened, Some(1), vec![insert(row(SERVICES, 1))]).await.unwrap_err();
    assert_eq!(store.rollout().await.unwrap().unwrap().opened, opened);
    end(&store, opened, None, Vec::new()).await.unwrap();
    conflict(end(&store, opened, None, Vec::new()).await);
}

/// However many write at the same time, nothing else is in the revision that opens a rollout.
pub async fn a_rollout_is_a_revision_of_its_own(store: Arc<dyn Store>) {
    let mut writing = JoinSet::new();
    for n in 0..50 {
        let store = store.clone();
        writing.spawn(async move {
            match n {
                25 => open(&store).await.unwrap(),
                _ => write(&store, [insert(row(SERVICES, n))]).await.unwrap(),
            };
        });
    }
    writing.join_all().await;
    let opened = store.rollout().await.unwrap().unwrap().opened;
    let log = store.log_after(opened - 1, 1).await.unwrap();
    let kinds: Vec<&str> = log.transactions[0].changes.iter().map(|c| c.kind.as_str()).collect();
    assert_eq!(kinds, [ROLLOUTS]);
}

/// Writers on and on, while rollouts are opened and ended: what is kept is always precisely what
/// the log says that was before.
pub async fn a_crowd_writes_while_rollouts_come_and_go(store: Arc<dyn Store>) {
    let mut writing = JoinSet::new();
    for writer in 0..4u128 {
        let store = store.clone();
        writing.spawn(async move {
            for round in 0..60u128 {
                // Shared by all writers, and some that only one has.
                let n = if round % 3 == 0 { round % 7 } else { 100 * (writer + 1) + round % 5 };
                let put = upsert(row(SERVICES, n).body(&format!("{writer}.{round}")));
                let operation = if round % 4 == 3 { delete(SERVICES, n) } else { put };
                write(&store, [operation]).await.unwrap();
            }
        });
    }
    let mut seen = Vec::new();
    for _ in 0..6 {
        let opened = open(&store).await.unwrap().at.revision;
        for _ in 0..3 {
            tokio::task::yield_now().await;
            write(&store, [upsert(row(SERVICES, 3).body("x"))]).await.unwrap();
        }
        let kept = loop {
            let kept = store.rollout().await.unwrap().unwrap();
            match end(&store, opened, Some(kept.before.len()), Vec::new()).await {
                Ok(ended) => break (ended.at.revision, kept),
                Err(Error::Conflict { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        };
        seen.push(kept);
    }
    writing.join_all().await;
    let log = store.log_after(0, usize::MAX).await.unwrap().transactions;
    let mut entities: BTreeMap<(Kind, Uuid), Arc<str>> = BTreeMap::new();
    let mut at = 0;
    for (ended, kept) in seen {
        let mut play = |upto: u64| {
            let mut touched = BTreeMap::new();
            while let Some(transaction) = log.get(at).filter(|t| t.revision <= upto) {
                for Change { kind, id, body } in &transaction.changes {
                    let key = (kind.clone(), *id);
                    let former = match body {
                        Some(body) => entities.insert(key.clone(), body.clone()),
                        None => entities.remove(&key),
                    };
                    touched.entry(key).or_insert(former);
                }
                at += 1;
            }
            touched
        };
        play(kept.opened);
        let touched: Vec<Change> = play(ended - 1)
            .into_iter()
            .map(|((kind, id), body)| Change { kind, id, body })
            .collect();
        assert_eq!(kept.before, touched, "opened at {}, ended at {ended}", kept.opened);
    }
}
