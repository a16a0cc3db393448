//! Reading from a real replica: one that follows, one that lags, one that is gone.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::Kind;
use sqlx::Executor;
use store::{Error, ListQuery, Operation, Row, Store, WriteSet};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::options::{ReplicaOptions, ReplicaReads};
use crate::testing::Server;
use crate::{PostgresOptions, open_postgres};

const KIND: Kind = Kind::known("services");
const ID: Uuid = Uuid::from_u128(1);
const PATIENCE: Duration = Duration::from_secs(60);

fn row(body: &str) -> Row {
    Row {
        kind: KIND,
        id: ID,
        body: body.into(),
        keys: Vec::new(),
        references: Vec::new(),
        tags: Vec::new(),
    }
}

async fn put(store: &dyn Store, body: &str) {
    let operations = vec![Operation::Upsert(row(body))];
    store.write(WriteSet { operations, ..WriteSet::default() }).await.unwrap();
}

async fn body(store: &dyn Store) -> String {
    let entity = store.get(KIND.as_str(), ID).await.unwrap().unwrap();
    let list = ListQuery { kind: KIND, referring: None, tags: None, after: None, size: 10 };
    assert_eq!(store.list(&list).await.unwrap().entities, std::slice::from_ref(&entity));
    entity.body.to_string()
}

/// Reads until one of them came from the replica.
async fn until_served(store: &dyn Store, reads: &ReplicaReads, expected: &str) {
    let before = reads.served.load(Ordering::Relaxed);
    let deadline = Instant::now() + PATIENCE;
    while reads.served.load(Ordering::Relaxed) == before {
        assert!(Instant::now() < deadline, "{reads:?}");
        assert_eq!(body(store).await, expected);
        sleep(Duration::from_millis(10)).await;
    }
}

async fn replay(standby: &Server, what: &'static str) {
    standby.administrator().await.execute(sqlx::raw_sql(what)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_come_from_a_replica_that_has_what_was_written_else_from_the_primary() {
    let primary = Server::start(&[("fsync", "off")]).unwrap();
    let options = primary.database().await;
    let standby = primary.replica().unwrap();
    let reads: Arc<ReplicaReads> = Arc::default();
    let server = PostgresOptions { port: standby.port(), ..options.clone() };
    let replica = ReplicaOptions { server: Box::new(server), reads: reads.clone() };
    let with_replica = PostgresOptions { replica: Some(replica), ..options.clone() };
    let store = open_postgres(&with_replica).await.unwrap();
    put(&*store, "1").await;
    assert_eq!(body(&*store).await, "1");
    until_served(&*store, &reads, "1").await;

    // It lags: what was written is read all the same, from the primary.
    replay(&standby, "SELECT pg_wal_replay_pause()").await;
    for n in 2..20 {
        put(&*store, &n.to_string()).await;
        let served = reads.served.load(Ordering::Relaxed);
        assert_eq!(body(&*store).await, n.to_string());
        assert_eq!(reads.served.load(Ordering::Relaxed), served, "nothing came from the replica");
    }
    assert!(reads.behind.load(Ordering::Relaxed) > 0, "{reads:?}");
    // What another control plane wrote and this one has not heard of is a conflict once, and is
    // read from then on.
    let other = open_postgres(&options).await.unwrap();
    let version = store.get(KIND.as_str(), ID).await.unwrap().unwrap().version;
    put(&*other, "other").await;
    let operations = vec![Operation::Update { row: row("mine"), expected: version }];
    let refused = store.write(WriteSet { operations, ..WriteSet::default() }).await;
    assert!(matches!(refused, Err(Error::Conflict { .. })), "{refused:?}");
    assert_eq!(body(&*store).await, "other");
    replay(&standby, "SELECT pg_wal_replay_resume()").await;
    until_served(&*store, &reads, "other").await;

    // It is gone, and comes back.
    standby.crash();
    for n in 20..40 {
        put(&*store, &n.to_string()).await;
        assert_eq!(body(&*store).await, n.to_string());
    }
    assert!(reads.unreachable.load(Ordering::Relaxed) > 0, "{reads:?}");
    assert!(reads.passed_over.load(Ordering::Relaxed) > 0, "it is not asked every time");
    standby.start_again();
    until_served(&*store, &reads, "39").await;
}
