//! Checks of what several writers and readers do at the same time, through one store. A database
//! that several processes share deserves the same with a store for each; see [`race`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::Transaction;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::rows::{
    Cascade, PLUGINS, ROUTES, Restrict, SERVICES, With, all, delete, get, id, insert, named, page,
    row, update, upsert, write,
};
use crate::{Error, Store};

/// How many writers a check has.
const WRITERS: u128 = 16;

/// Many want one name: one gets it, the others are told so.
pub async fn a_unique_value_has_one_winner(store: Arc<dyn Store>) {
    one_winner(&[store]).await;
}

/// [`a_unique_value_has_one_winner`] among stores that share a database.
pub async fn one_winner(stores: &[Arc<dyn Store>]) {
    for round in 0..10 {
        let name = format!("name {round}");
        let mut writers = JoinSet::new();
        for (n, store) in (0..WRITERS).zip(stores.iter().cycle()) {
            let (store, service) = (Arc::clone(store), row(SERVICES, round * WRITERS + n));
            let service = service.named(&name);
            writers.spawn(async move { write(&store, [insert(service)]).await });
        }
        let outcomes = writers.join_all().await;
        let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(won, 1, "{outcomes:?}");
        for outcome in outcomes {
            assert!(matches!(outcome, Ok(_) | Err(Error::NotUnique { .. })), "{outcome:?}");
        }
    }
    assert_eq!(page(&stores[0], &all(SERVICES)).await.0.len(), 10);
}

/// Many read a version and write their own: one wins per version, so no update is lost.
pub async fn a_version_is_updated_once(store: Arc<dyn Store>) {
    updated_once(&[store]).await;
}

/// [`a_version_is_updated_once`] among stores that share a database.
pub async fn updated_once(stores: &[Arc<dyn Store>]) {
    const EACH: usize = 5;
    write(&stores[0], [insert(row(SERVICES, 1).body("0"))]).await.unwrap();
    let mut writers = JoinSet::new();
    for (_, store) in (0..WRITERS).zip(stores.iter().cycle()) {
        let store = Arc::clone(store);
        writers.spawn(async move {
            let mut done = 0;
            while done < EACH {
                let read = get(&store, SERVICES, 1).await;
                let count: u64 = read.body.parse().unwrap();
                let next = row(SERVICES, 1).body(&(count + 1).to_string());
                match write(&store, [update(next, read.version)]).await {
                    Ok(_) => done += 1,
                    Err(Error::Conflict { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        });
    }
    writers.join_all().await;
    let count = get(&stores[0], SERVICES, 1).await.body;
    assert_eq!(&*count, (WRITERS as usize * EACH).to_string());
}

/// Parents are deleted while children are inserted: no child is left without its parent, and
/// everyone is told precisely what happened.
pub async fn parents_do_not_vanish_under_their_children(store: Arc<dyn Store>) {
    whole_families(&[store]).await;
}

/// [`parents_do_not_vanish_under_their_children`] among stores that share a database.
pub async fn whole_families(stores: &[Arc<dyn Store>]) {
    const PARENTS: u128 = 4;
    let mut writers = JoinSet::new();
    for (n, store) in (0..WRITERS).zip(stores.iter().cycle()) {
        let store = Arc::clone(store);
        writers.spawn(async move {
            for round in 0..12u128 {
                let parent = (n + round) % PARENTS;
                let child = n * 100 + round;
                let route = row(ROUTES, child).refers("service", (SERVICES, parent), Restrict);
                let plugin = row(PLUGINS, child).refers("route", (ROUTES, child), Cascade);
                let outcome = match n % 4 {
                    0 => write(&store, [upsert(row(SERVICES, parent))]).await,
                    1 => write(&store, [delete(SERVICES, parent)]).await,
                    2 => write(&store, [delete(ROUTES, (n + 1) * 100 + round)]).await,
                    _ => write(&store, [insert(plugin), insert(route)]).await,
                };
                match (n % 4, outcome) {
                    (_, Ok(_)) => {}
                    (1, Err(Error::Referenced { by_kind, .. })) => assert_eq!(by_kind, ROUTES),
                    (3, Err(Error::Dangling { to_kind, .. })) => assert_eq!(to_kind, SERVICES),
                    (_, Err(other)) => panic!("{other}"),
                }
            }
        });
    }
    writers.join_all().await;
    let services: BTreeSet<_> = page(&stores[0], &all(SERVICES)).await.0.into_iter().collect();
    let mut children = 0;
    for service in 0..PARENTS {
        let of_service =
            crate::ListQuery { referring: Some(("service", id(service))), ..all(ROUTES) };
        let routes = page(&stores[0], &of_service).await.0;
        assert!(routes.is_empty() || services.contains(&service), "{service} has {routes:?}");
        children += routes.len();
    }
    assert_eq!(page(&stores[0], &all(ROUTES)).await.0.len(), children);
    assert_eq!(page(&stores[0], &all(PLUGINS)).await.0.len(), children);
}

/// Random sets that meet each other in every way: whatever was accepted is consistent, and nobody is
/// refused for a reason that is not in the contract.
pub async fn a_crowd_leaves_everything_consistent(store: Arc<dyn Store>) {
    crowd(&[store], 12).await;
}

/// [`a_crowd_leaves_everything_consistent`] among stores that share a database; each writer writes
/// `each` sets.
pub async fn crowd(stores: &[Arc<dyn Store>], each: usize) {
    let mut writers = JoinSet::new();
    for (n, store) in (0..WRITERS).zip(stores.iter().cycle()) {
        let store = Arc::clone(store);
        writers.spawn(async move {
            let mut random = StdRng::seed_from_u64(n as u64);
            for _ in 0..each {
                let operations = random.random_range(1..=6);
                let set = (0..operations).map(|_| crowded(&mut random));
                match write(&store, set.collect::<Vec<_>>()).await {
                    Ok(_)
                    | Err(
                        Error::Exists { .. }
                        | Error::NotUnique { .. }
                        | Error::Dangling { .. }
                        | Error::Referenced { .. },
                    ) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        });
    }
    writers.join_all().await;

    let (at, entities) = stores[0].snapshot().await.unwrap();
    let mut names = BTreeSet::new();
    let there: BTreeSet<(&str, Uuid)> =
        entities.iter().map(|entity| (entity.kind.as_str(), entity.id)).collect();
    for entity in &entities {
        let (name, to) = entity.body.split_once(' ').unwrap();
        assert!(names.insert((entity.kind.as_str(), name)), "{name} twice");
        assert_eq!(named(&stores[0], entity.kind.as_str(), name).await, Some(entity.id));
        let (kind, number) = to.split_once(' ').unwrap();
        let to = (kind, id(number.parse().unwrap()));
        assert!(there.contains(&to), "{} refers to nothing", entity.body);
    }
    let mut state = BTreeMap::new();
    let log = stores[0].log_after(0, usize::MAX).await.unwrap();
    assert_eq!(log.transactions.last().map(|t| t.revision), Some(at.revision));
    for change in log.transactions.into_iter().flat_map(|transaction| transaction.changes) {
        state.insert((change.kind, change.id), change.body);
    }
    state.retain(|_, body| body.is_some());
    let expected = entities.into_iter().map(|e| ((e.kind, e.id), Some(e.body)));
    assert_eq!(state, expected.collect());
}

/// An operation on one of a few entities, whose body tells its name and what it refers to.
fn crowded(random: &mut StdRng) -> crate::Operation {
    const KINDS: [&str; 3] = [PLUGINS, ROUTES, SERVICES];
    let kind = KINDS[random.random_range(0..3)];
    let number = random.random_range(0..6);
    if random.random_range(0..5) == 0 {
        return delete(kind, number);
    }
    let name = format!("name{}", random.random_range(0..12));
    // To itself often, so that there is a beginning.
    let to = if random.random() {
        (kind, number)
    } else {
        (KINDS[random.random_range(0..3)], random.random_range(0..6))
    };
    let rule = if random.random() { Cascade } else { Restrict };
    let row = row(kind, number).named(&name).tag(&name).refers("to", to, rule);
    let row = row.body(&format!("{name} {} {}", to.0, to.1));
    if random.random_range(0..4) == 0 { insert(row) } else { upsert(row) }
}

/// A reader that follows the log sees every change once, in the order of revisions.
pub async fn a_reader_of_the_log_misses_nothing(store: Arc<dyn Store>) {
    race(&[store], 20).await;
}

/// 16 writers, spread over stores that share a database, write `each` sets while readers follow
/// the log of every store: no revision may appear behind one that a reader has already seen, none
/// may be missing, and what was acknowledged must be there under the revision that was told.
pub async fn race(stores: &[Arc<dyn Store>], each: u128) {
    let finished = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for store in stores {
        readers.spawn(follow(Arc::clone(store), Arc::clone(&finished)));
    }
    let mut writers = JoinSet::new();
    for (n, store) in (0..WRITERS).zip(stores.iter().cycle()) {
        let store = Arc::clone(store);
        writers.spawn(async move {
            let mut told: Vec<(u64, Vec<u128>)> = Vec::new();
            for round in 0..each {
                let first = 1_000_000 * (n + 1) + 3 * round;
                let set = (0..=round % 3).map(|m| insert(row(SERVICES, first + m)));
                let ids = (0..=round % 3).map(|m| first + m).collect();
                let at = write(&store, set).await.unwrap().at;
                // What one has been told is in the log for everyone.
                let log = store.log_after(at.revision - 1, 1).await.unwrap();
                assert_eq!(log.transactions[0].revision, at.revision);
                told.push((at.revision, ids));
            }
            told
        });
    }
    let told = writers.join_all().await;
    finished.store(true, Ordering::SeqCst);
    let mut expected: BTreeMap<u64, BTreeSet<u128>> = BTreeMap::new();
    for (revision, ids) in told.into_iter().flatten() {
        expected.entry(revision).or_default().extend(ids);
    }
    for seen in readers.join_all().await {
        let seen: BTreeMap<u64, BTreeSet<u128>> = seen
            .into_iter()
            .map(|t| (t.revision, t.changes.iter().map(|c| c.id.as_u128()).collect()))
            .collect();
        assert_eq!(seen, expected);
    }
}

/// Follows the log until it is told that nothing will be added, and then to its end.
async fn follow(store: Arc<dyn Store>, finished: Arc<AtomicBool>) -> Vec<Transaction> {
    let mut seen: Vec<Transaction> = Vec::new();
    let mut at = 0;
    loop {
        let last = finished.load(Ordering::SeqCst);
        let log = store.log_after(at, 50).await.unwrap();
        assert!(log.head.at.revision >= at, "the log went back");
        for transaction in log.transactions {
            assert_eq!(transaction.prev, at, "a revision was skipped");
            assert_eq!(transaction.revision, at + 1, "a revision was skipped");
            at = transaction.revision;
            seen.push(transaction);
        }
        if at == log.head.at.revision {
            if last {
                return seen;
            }
            let patience = std::time::Duration::from_millis(20);
            // A hint: without it the log is read again anyway.
            let _ = tokio::time::timeout(patience, store.grown(at)).await;
        }
    }
}
