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
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Executor, PgConnection, SqliteConnection};
use store::{DeleteRule, Key, Operation, Reference, Row, Store, WriteSet};
use store_sql::testing::Server;
use store_sql::{PostgresOptions, SqliteOptions, open_postgres, open_sqlite};
use tokio::task::JoinSet;
use uuid::Uuid;

const CLIENTS: [usize; 3] = [1, 8, 32];
const SPAN: Duration = Duration::from_secs(1);
const BULK: u128 = 100_000;

#[tokio::main]
async fn main() {
    sqlite().await;
    postgres().await;
}

/// About as long as a service is.
fn body(id: Uuid) -> String {
    format!(
        "{{\"ca_certificates\":null,\"client_certificate\":null,\"connect_timeout\":60000,\
         \"created_at\":1700000000,\"enabled\":true,\"host\":\"upstream.example.com\",\
         \"id\":\"{id}\",\"name\":\"service-{id}\",\"path\":null,\"port\":80,\
         \"protocol\":\"http\",\"read_timeout\":60000,\"retries\":5,\"tags\":null,\
         \"tls_verify\":null,\"tls_verify_depth\":null,\"updated_at\":1700000000,\
         \"write_timeout\":60000}}"
    )
}

fn service(id: Uuid) -> Row {
    Row {
        kind: Kind::known("services"),
        id,
        body: body(id).into(),
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

/// Runs `write` in so many tasks for a while, and says how often it was done per second.
async fn rate<W, F>(writers: Vec<W>, write: impl Fn(W, Instant) -> F) -> f64
where
    F: Future<Output = u64> + Send + 'static,
{
    let begin = Instant::now();
    let mut running = JoinSet::new();
    for writer in writers {
        running.spawn(write(writer, begin + SPAN));
    }
    let count: u64 = running.join_all().await.into_iter().sum();
    count as f64 / begin.elapsed().as_secs_f64()
}

async fn store_rate(store: &Arc<dyn Store>, clients: usize) -> f64 {
    let writers = vec![Arc::clone(store); clients];
    rate(writers, |store, end| async move {
        let mut count = 0;
        while Instant::now() < end {
            let operations = vec![Operation::Insert(service(Uuid::new_v4()))];
            store.write(WriteSet { operations }).await.unwrap();
            count += 1;
        }
        count
    })
    .await
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
    store.write(WriteSet { operations }).await.unwrap();
    println!("{name}: {BULK} new entities in one set: {:.2?}", begin.elapsed());
    let begin = Instant::now();
    store.write(WriteSet { operations: again }).await.unwrap();
    println!("{name}: the same {BULK} again: {:.2?}", begin.elapsed());
    let begin = Instant::now();
    let (_, entities) = store.snapshot().await.unwrap();
    println!("{name}: snapshot of {}: {:.2?}", entities.len(), begin.elapsed());
    for clients in CLIENTS {
        let ours = store_rate(store, clients).await;
        println!("{name}: after that, {clients:2} clients: {ours:8.0} writes/s");
    }
}

/// The tables of a store without anything that it does about them.
const TABLES: &str = "
    CREATE TABLE plain (kind TEXT NOT NULL, id UUID NOT NULL, body TEXT NOT NULL, \
                        PRIMARY KEY (kind, id));
    CREATE TABLE plain_keys (kind TEXT NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL, \
                             id UUID NOT NULL, PRIMARY KEY (kind, field, value), \
                             FOREIGN KEY (kind, id) REFERENCES plain);
    CREATE TABLE plain_log (id UUID PRIMARY KEY, n BIGINT, kind TEXT, body TEXT);
    CREATE TABLE counter (id INTEGER PRIMARY KEY, n BIGINT NOT NULL);
    INSERT INTO counter VALUES (1, 0)";

const ROW: &str = "INSERT INTO plain VALUES ('services', $1, $2)";
const KEY: &str = "INSERT INTO plain_keys VALUES ('services', 'name', $2, $1)";
const COUNT: &str = "UPDATE counter SET n = n + 1 RETURNING n";
const LOG: &str = "INSERT INTO plain_log VALUES ($2, $1, 'services', $3)";

macro_rules! plain_rates {
    ($name:expr, $database:ty, $clients:expr, $connections:expr) => {{
        let one_row = rate($connections, |mut connection, end| async move {
            let mut count = 0;
            while Instant::now() < end {
                let id = Uuid::new_v4();
                let row = sqlx::query::<$database>(ROW).bind(id).bind(body(id));
                row.execute(&mut connection).await.unwrap();
                count += 1;
            }
            count
        })
        .await;
        let mut all_rows = Vec::new();
        for ordered in [false, true] {
            let all = rate($connections, move |mut connection, end| async move {
                let mut count = 0;
                while Instant::now() < end {
                    let id = Uuid::new_v4();
                    connection.execute("BEGIN").await.unwrap();
                    let row = sqlx::query::<$database>(ROW).bind(id).bind(body(id));
                    row.execute(&mut connection).await.unwrap();
                    let key = sqlx::query::<$database>(KEY).bind(id).bind(format!("service-{id}"));
                    key.execute(&mut connection).await.unwrap();
                    let n = match ordered {
                        false => 0,
                        true => {
                            let n = sqlx::query_scalar::<$database, i64>(COUNT);
                            n.fetch_one(&mut connection).await.unwrap()
                        }
                    };
                    let log = sqlx::query::<$database>(LOG).bind(n).bind(id).bind(body(id));
                    log.execute(&mut connection).await.unwrap();
                    connection.execute("COMMIT").await.unwrap();
                    count += 1;
                }
                count
            });
            all_rows.push(all.await);
        }
        let clients = $clients;
        println!(
            "{}: {clients:2} clients: plain SQL {one_row:6.0} (entity alone) {:6.0} (the same rows) \
             {:6.0} (the same rows, numbered in order) writes/s",
            $name, all_rows[0], all_rows[1]
        );
    }};
}

async fn postgres() {
    let server = Server::start(&[]).unwrap();
    let options = server.database().await;
    let mut first = plain_postgres(&options).await;
    first.execute(sqlx::raw_sql(TABLES)).await.unwrap();
    for clients in CLIENTS {
        let connections = async || {
            let mut connections = Vec::new();
            for _ in 0..clients {
                connections.push(plain_postgres(&options).await);
            }
            connections
        };
        plain_rates!("postgres", sqlx::Postgres, clients, connections().await);
    }
    let store = open_postgres(&options).await.unwrap();
    for clients in CLIENTS {
        let ours = store_rate(&store, clients).await;
        println!("postgres: {clients:2} clients: {ours:8.0} writes/s");
    }
    bulk("postgres", &store).await;
}

async fn plain_postgres(options: &PostgresOptions) -> PgConnection {
    let plain = sqlx::postgres::PgConnectOptions::new_without_pgpass()
        .host(&options.host)
        .port(options.port)
        .username(&options.user)
        .database(&options.database);
    plain.disable_statement_logging().connect().await.unwrap()
}

async fn sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let plain = directory.path().join("plain.db");
    plain_sqlite(&plain).await.execute(sqlx::raw_sql(TABLES)).await.unwrap();
    // More connections only wait for each other.
    plain_rates!("sqlite", sqlx::Sqlite, 1, vec![plain_sqlite(&plain).await]);
    let path = directory.path().join("weir.db");
    let store = open_sqlite(&SqliteOptions { path }).await.unwrap();
    for clients in CLIENTS {
        let ours = store_rate(&store, clients).await;
        println!("sqlite: {clients:2} clients: {ours:8.0} writes/s");
    }
    bulk("sqlite", &store).await;
}

async fn plain_sqlite(path: &std::path::Path) -> SqliteConnection {
    let plain = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true);
    plain.disable_statement_logging().connect().await.unwrap()
}
