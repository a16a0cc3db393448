//! How fast the stores write, next to the same rows by plain SQL on the same database.
//!
//! `cargo run --profile quick-release -p store-sql --features testing --example throughput`
//!
//! Postgres is started for it (with fsync), SQLite gets a file in the temporary directory.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]
#![expect(clippy::unwrap_used, reason = "whatever fails ends it")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::Kind;
use store::{DeleteRule, Key, Operation, Reference, Row, Store};
use store_sql::testing::{Server, plain};
use store_sql::{SqliteOptions, open_postgres, open_sqlite};
use uuid::Uuid;

const CLIENTS: [usize; 3] = [1, 8, 32];
const SPAN: Duration = Duration::from_secs(1);
const BULK: u128 = 100_000;

#[tokio::main]
async fn main() {
    sqlite().await;
    postgres().await;
}

fn service(id: Uuid) -> Row {
    Row {
        kind: Kind::known("services"),
        id,
        body: plain::body(id).into(),
        keys: vec![Key { field: "name", value: format!("service-{id}") }],
        references: Vec::new(),
        tags: Vec::new(),
    }
}

fn route(id: Uuid, service: Uuid) -> Row {
    let reference = Reference {
        field: "service",
        to_kind: "services",
        to_id: service,
        on_delete: DeleteRule::Restrict,
    };
    Row {
        kind: Kind::known("routes"),
        references: vec![reference],
        tags: vec!["bulk".to_owned(), format!("team-{}", id.as_u128() % 10)],
        ..self::service(id)
    }
}

async fn store_rate(store: &Arc<dyn Store>, clients: usize) -> f64 {
    let writers = vec![Arc::clone(store); clients];
    plain::rate(writers, SPAN, |store, end| async move {
        let mut count = 0;
        while Instant::now() < end {
            let operations = vec![Operation::Insert(service(Uuid::new_v4()))];
            store.write(operations.into()).await?;
            count += 1;
        }
        Ok::<u64, store::Error>(count)
    })
    .await
    .unwrap()
}

async fn bulk(name: &str, store: &Arc<dyn Store>) {
    let services: Vec<Uuid> = (0..BULK / 2).map(|_| Uuid::new_v4()).collect();
    let operations: Vec<Operation> = services
        .iter()
        .flat_map(|id| [service(*id), route(Uuid::new_v4(), *id)])
        .map(Operation::Upsert)
        .collect();
    let again = operations.clone();
    let begin = Instant::now();
    store.write(operations.into()).await.unwrap();
    println!("{name}: {BULK} new entities in one set: {:.2?}", begin.elapsed());
    let begin = Instant::now();
    store.write(again.into()).await.unwrap();
    println!("{name}: the same {BULK} again: {:.2?}", begin.elapsed());
    let begin = Instant::now();
    let (_, entities) = store.snapshot().await.unwrap();
    println!("{name}: snapshot of {}: {:.2?}", entities.len(), begin.elapsed());
    for clients in CLIENTS {
        let ours = store_rate(store, clients).await;
        println!("{name}: after that, {clients:2} clients: {ours:8.0} writes/s");
    }
}

async fn postgres() {
    let server = Server::start(&[]).unwrap();
    let options = server.database().await;
    for clients in CLIENTS {
        let ceiling = plain::postgres(&options, clients, SPAN).await.unwrap();
        println!("postgres: {clients:2} clients: {ceiling}");
    }
    let store = open_postgres(&options).await.unwrap();
    for clients in CLIENTS {
        let ours = store_rate(&store, clients).await;
        println!("postgres: {clients:2} clients: {ours:8.0} writes/s");
    }
    bulk("postgres", &store).await;
}

async fn sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let ceiling = plain::sqlite(&directory.path().join("plain.db"), SPAN).await.unwrap();
    println!("sqlite: {ceiling}");
    let path = directory.path().join("weir.db");
    let store = open_sqlite(&SqliteOptions { path }).await.unwrap();
    for clients in CLIENTS {
        let ours = store_rate(&store, clients).await;
        println!("sqlite: {clients:2} clients: {ours:8.0} writes/s");
    }
    bulk("sqlite", &store).await;
}
