//! The contract on Postgres, and what only a server can suffer.

use std::sync::Arc;
use std::time::Duration;

use model::Kind;
use sqlx::{Executor, PgConnection};
use store::contract::concurrent;
use store::{Committed, DeleteRule, Error, Key, Operation, Reference, Row, Store};
use uuid::Uuid;

use crate::testing::Server;
use crate::{PostgresOptions, open_postgres, postgres};

/// A store on a new database.
pub(super) async fn open() -> (Arc<dyn Store>, ()) {
    let options = Server::shared().database().await;
    (open_postgres(&options).await.unwrap(), ())
}

mod contract {
    store::contract!(super::open);
}

/// So many sets each of the 16 writers of the long race writes.
const RACE: u128 = 60;

/// So many sets each of the 16 writers that meet in every way writes.
const CROWD: usize = 25;

/// As many control planes on one new database.
async fn several(count: usize) -> (Vec<Arc<dyn Store>>, PostgresOptions) {
    let options = Server::shared().database().await;
    let mut stores = Vec::new();
    for _ in 0..count {
        stores.push(open_postgres(&options).await.unwrap());
    }
    (stores, options)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_planes_race_and_no_reader_misses_a_revision() {
    concurrent::race(&several(2).await.0, RACE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_control_planes_one_gets_the_name() {
    concurrent::one_winner(&several(4).await.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_control_planes_none_loses_an_update() {
    concurrent::updated_once(&several(4).await.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_planes_do_not_tear_families_apart() {
    concurrent::whole_families(&several(4).await.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_planes_that_meet_in_every_way_stay_consistent() {
    let (stores, options) = several(4).await;
    concurrent::crowd(&stores, CROWD).await;
    // Locks are taken in an order in which nobody waits for each other. (The server counts when a
    // session comes to rest, so what is closed has been counted.)
    drop(stores);
    let (mut looker, _) = foreign(&options).await;
    let alone = "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database()";
    while !sqlx::query_scalar::<_, bool>(alone).fetch_one(&mut looker).await.unwrap() {
        tokio::task::yield_now().await;
    }
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let deadlocks: i64 = sqlx::query_scalar(deadlocks).fetch_one(&mut looker).await.unwrap();
    assert_eq!(deadlocks, 0);
}

fn row(kind: &'static str, n: u128) -> Row {
    Row {
        kind: Kind::known(kind),
        id: Uuid::from_u128(n),
        body: "{}".into(),
        keys: Vec::new(),
        references: Vec::new(),
        tags: Vec::new(),
    }
}

fn named(n: u128, value: &str) -> Row {
    Row { keys: vec![Key { field: "name", value: value.to_owned() }], ..row("services", n) }
}

async fn write(
    store: &Arc<dyn Store>,
    operations: impl IntoIterator<Item = Operation>,
) -> Result<Committed, Error> {
    store.write(operations.into_iter().collect::<Vec<_>>().into()).await
}

/// Waits until a session of this database waits for a lock.
async fn somebody_waits(connection: &mut PgConnection) {
    let waiting = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    loop {
        let count: i64 = sqlx::query_scalar(waiting).fetch_one(&mut *connection).await.unwrap();
        if count > 0 {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Two connections to a store's database: one to hold locks, one to look.
async fn foreign(options: &PostgresOptions) -> (PgConnection, PgConnection) {
    let holder = postgres::connect_to_migrate(options).await.unwrap();
    (holder, postgres::connect_to_migrate(options).await.unwrap())
}

/// Writes a set while `held` is uncommitted; commits that as soon as the write waits for it.
async fn behind(
    options: &PostgresOptions,
    store: &Arc<dyn Store>,
    held: &'static str,
    set: Vec<Operation>,
) -> Result<Committed, Error> {
    let (mut holder, mut looker) = foreign(options).await;
    holder.execute("BEGIN").await.unwrap();
    holder.execute(sqlx::raw_sql(held)).await.unwrap();
    let writing = {
        let store = Arc::clone(store);
        tokio::spawn(async move { write(&store, set).await })
    };
    somebody_waits(&mut looker).await;
    holder.execute("COMMIT").await.unwrap();
    writing.await.unwrap()
}

#[tokio::test]
async fn what_is_committed_while_a_write_waits_is_judged_as_if_it_had_been_there() {
    let (stores, options) = several(1).await;
    let store = &stores[0];

    // The same name: the unique index makes the write wait, and then fails it.
    let taken = "INSERT INTO entities VALUES \
        ('services', '00000000-0000-0000-0000-000000000001', '{}', nextval('entity_versions')); \
        INSERT INTO entity_keys VALUES \
        ('services', 'name', 'a', '00000000-0000-0000-0000-000000000001')";
    let late = behind(&options, store, taken, vec![Operation::Insert(named(2, "a"))]).await;
    assert!(matches!(late, Err(Error::NotUnique { value, .. }) if value == "a"));

    // The same id.
    let taken = "INSERT INTO entities VALUES \
        ('services', '00000000-0000-0000-0000-000000000003', '{}', nextval('entity_versions'))";
    let late = behind(&options, store, taken, vec![Operation::Insert(row("services", 3))]).await;
    assert!(matches!(late, Err(Error::Exists { id, .. }) if id == Uuid::from_u128(3)));

    // Another version.
    write(store, [Operation::Upsert(named(3, "b"))]).await.unwrap();
    let expected = store.get("services", Uuid::from_u128(3)).await.unwrap().unwrap().version;
    let changed = "UPDATE entities SET version = nextval('entity_versions') \
        WHERE id = '00000000-0000-0000-0000-000000000003'";
    let set = vec![Operation::Update { row: named(3, "c"), expected }];
    let late = behind(&options, store, changed, set).await;
    assert!(matches!(late, Err(Error::Conflict { .. })));

    // Another name, which an upsert must let go of although it was not there when it looked.
    let renamed = "UPDATE entities SET version = nextval('entity_versions') \
        WHERE id = '00000000-0000-0000-0000-000000000003'; \
        UPDATE entity_keys SET value = 'd' WHERE value = 'b'";
    let set = vec![Operation::Upsert(named(3, "e"))];
    behind(&options, store, renamed, set).await.unwrap();
    write(store, [Operation::Insert(named(4, "d")), Operation::Insert(named(5, "b"))])
        .await
        .unwrap();
}

#[tokio::test]
async fn children_that_come_while_a_deletion_waits_are_seen() {
    let (stores, options) = several(1).await;
    let store = &stores[0];
    write(store, [1, 2].map(|n| Operation::Insert(row("services", n)))).await.unwrap();
    let delete =
        |n| vec![Operation::Delete { kind: Kind::known("services"), id: Uuid::from_u128(n) }];

    let restricting = "INSERT INTO entities VALUES \
        ('routes', '00000000-0000-0000-0000-000000000001', '{}', nextval('entity_versions')); \
        INSERT INTO entity_refs VALUES \
        ('routes', '00000000-0000-0000-0000-000000000001', 'service', \
         'services', '00000000-0000-0000-0000-000000000001', 'restrict')";
    let refused = behind(&options, store, restricting, delete(1)).await;
    assert!(matches!(refused, Err(Error::Referenced { by_kind, .. }) if by_kind == "routes"));

    let cascading = "INSERT INTO entities VALUES \
        ('plugins', '00000000-0000-0000-0000-000000000002', '{}', nextval('entity_versions')); \
        INSERT INTO entity_refs VALUES \
        ('plugins', '00000000-0000-0000-0000-000000000002', 'service', \
         'services', '00000000-0000-0000-0000-000000000002', 'cascade')";
    let deleted = behind(&options, store, cascading, delete(2)).await.unwrap();
    let kinds: Vec<&str> = deleted.changes.iter().map(|change| change.kind.as_str()).collect();
    assert_eq!(kinds, ["services", "plugins"]);
}

#[tokio::test]
async fn parents_that_go_while_a_child_waits_are_missed() {
    let (stores, options) = several(1).await;
    let store = &stores[0];
    write(store, [Operation::Insert(row("services", 1))]).await.unwrap();
    let child = Row {
        references: vec![Reference {
            field: "service",
            to_kind: "services",
            to_id: Uuid::from_u128(1),
            on_delete: DeleteRule::Restrict,
        }],
        ..row("routes", 1)
    };
    let gone = "DELETE FROM entities WHERE kind = 'services'";
    let late = behind(&options, store, gone, vec![Operation::Insert(child)]).await;
    assert!(matches!(late, Err(Error::Dangling { to_kind, .. }) if to_kind == "services"));
}

#[tokio::test]
async fn a_silent_holder_of_the_counter_is_waited_for_and_given_up() {
    let (stores, options) = several(1).await;
    let store = &stores[0];
    write(store, [Operation::Insert(named(1, "a"))]).await.unwrap();
    let (mut holder, _) = foreign(&options).await;
    holder.execute("BEGIN").await.unwrap();
    holder.execute("UPDATE store_state SET revision = revision").await.unwrap();
    let refused = write(store, [Operation::Insert(named(2, "b"))]).await.unwrap_err();
    assert!(matches!(&refused, Error::Unavailable(why) if why.contains("another writer")));
    assert_eq!(store.get("services", Uuid::from_u128(2)).await.unwrap(), None);
    holder.execute("ROLLBACK").await.unwrap();
    let next = write(store, [Operation::Insert(named(2, "b"))]).await.unwrap();
    assert_eq!(next.at.revision, 2, "what was refused has spent no revision");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bulk_load_that_waits_keeps_nobody_else_waiting() {
    let (stores, options) = several(1).await;
    let store = &stores[0];
    write(store, [Operation::Insert(row("services", 1))]).await.unwrap();
    let (mut holder, mut looker) = foreign(&options).await;
    holder.execute("BEGIN").await.unwrap();
    holder.execute("SELECT FROM entities FOR UPDATE").await.unwrap();
    let bulk = {
        let store = Arc::clone(store);
        let rows = (1..=2000).map(|n| Operation::Upsert(row("services", n)));
        tokio::spawn(async move { write(&store, rows).await })
    };
    somebody_waits(&mut looker).await;
    write(store, [Operation::Insert(row("routes", 1))]).await.unwrap();
    holder.execute("ROLLBACK").await.unwrap();
    assert_eq!(bulk.await.unwrap().unwrap().changes.len(), 2000);
}

/// Longer than anything here takes, and shorter than a reader's poll would be allowed to hide.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_wakes_the_other_control_planes() {
    let (stores, options) = several(2).await;
    for n in 1..=3 {
        let at = write(&stores[0], [Operation::Insert(row("services", n))]).await.unwrap().at;
        tokio::time::timeout(PATIENCE, stores[1].grown(at.revision - 1)).await.unwrap();
    }
    // Notifications of another store in the same database, and noise.
    let (mut stranger, _) = foreign(&options).await;
    for payload in ["'6a5a1b1e-3d5b-4b53-9b39-000000000000:99'", "'noise'", "''"] {
        let notify = format!("SELECT pg_notify('weir_log', {payload})");
        stranger.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(notify))).await.unwrap();
    }
    let at = write(&stores[0], [Operation::Insert(row("services", 4))]).await.unwrap().at;
    tokio::time::timeout(PATIENCE, stores[1].grown(at.revision - 1)).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(50), stores[1].grown(at.revision));
    assert!(early.await.is_err(), "nobody is woken for what is not there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_connections_are_made_again() {
    let (stores, options) = several(2).await;
    write(&stores[0], [Operation::Insert(row("services", 1))]).await.unwrap();
    stores[1].head().await.unwrap();
    let (mut administrator, _) = foreign(&options).await;
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
    administrator.execute(others).await.unwrap();
    // Nobody is refused for it.
    let at = write(&stores[0], [Operation::Insert(row("services", 2))]).await.unwrap().at;
    assert_eq!(stores[1].head().await.unwrap().at, at);
    // And the listener listens again, or reads what it has missed.
    let at = write(&stores[0], [Operation::Insert(row("services", 3))]).await.unwrap().at;
    tokio::time::timeout(PATIENCE, stores[1].grown(at.revision - 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_the_server_loses_nothing_that_was_acknowledged() {
    let server = Arc::new(Server::start(&[]).unwrap());
    let options = server.database().await;
    let store = open_postgres(&options).await.unwrap();
    let mut acknowledged: Vec<u128> = Vec::new();
    for round in 0..2u128 {
        let (told, mut telling) = tokio::sync::mpsc::unbounded_channel();
        let mut writers = tokio::task::JoinSet::new();
        for n in 0..8u128 {
            let (store, told) = (Arc::clone(&store), told.clone());
            writers.spawn(async move {
                for m in 0.. {
                    let id = (round * 8 + n) * 1_000_000 + m;
                    match write(&store, [Operation::Insert(named(id, &id.to_string()))]).await {
                        Ok(_) => told.send(id).unwrap(),
                        Err(Error::Unavailable(_)) => return,
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
        // In the middle of their writes.
        for _ in 0..200 {
            acknowledged.push(telling.recv().await.unwrap());
        }
        let crashing = Arc::clone(&server);
        tokio::task::spawn_blocking(move || crashing.crash()).await.unwrap();
        writers.join_all().await;
        drop(told);
        while let Some(id) = telling.recv().await {
            acknowledged.push(id);
        }
        let starting = Arc::clone(&server);
        tokio::task::spawn_blocking(move || starting.start_again()).await.unwrap();
        // The store has survived it and goes on.
        let first = 900_000_000 + round;
        write(&store, [Operation::Insert(row("services", first))]).await.unwrap();
        acknowledged.push(first);
    }
    check_acknowledged(&store, &acknowledged).await;
}

/// Everything acknowledged is there, and the log has no gap and tells the same.
pub(super) async fn check_acknowledged(store: &Arc<dyn Store>, acknowledged: &[u128]) {
    let (at, entities) = store.snapshot().await.unwrap();
    let present: std::collections::BTreeSet<u128> =
        entities.iter().map(|entity| entity.id.as_u128()).collect();
    for id in acknowledged {
        assert!(present.contains(id), "{id} was acknowledged and is gone");
    }
    let log = store.log_after(0, usize::MAX).await.unwrap();
    let revisions: Vec<u64> = log.transactions.iter().map(|t| t.revision).collect();
    assert_eq!(revisions, (1..=at.revision).collect::<Vec<_>>());
    let logged = log.transactions.iter().flat_map(|t| &t.changes);
    assert_eq!(
        logged.map(|change| change.id.as_u128()).collect::<std::collections::BTreeSet<_>>(),
        present
    );
}
