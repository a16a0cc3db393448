//! The same rows by plain SQL: the ceiling of what any store can write on a database.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Executor, PgConnection, SqliteConnection};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::options::PostgresOptions;

/// New entities per second.
#[derive(Clone, Copy, Debug)]
pub struct Ceiling {
    /// The entity's row alone, in a transaction of its own.
    pub entity: f64,
    /// All that is kept of it: the entity, its key, its entry in the log.
    pub rows: f64,
    /// The same, numbered in the order of the commits.
    pub ordered: f64,
}

impl fmt::Display for Ceiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "plain SQL {:6.0} (entity alone) {:6.0} (the same rows) {:6.0} (the same rows, \
             numbered in order) writes/s",
            self.entity, self.rows, self.ordered
        )
    }
}

// Runs the statements of one transaction after the other on each connection, and says how many
// per second.
macro_rules! measured {
    ($database:ty, $connections:expr, $span:expr) => {{
        let entity = rate($connections, $span, |mut connection, end| async move {
            let mut count = 0;
            while Instant::now() < end {
                let id = Uuid::new_v4();
                let row = sqlx::query::<$database>(ROW).bind(id).bind(body(id));
                row.execute(&mut connection).await?;
                count += 1;
            }
            Ok::<u64, sqlx::Error>(count)
        })
        .await?;
        let mut all_rows = [0.0; 2];
        for (ordered, rows) in [false, true].into_iter().zip(&mut all_rows) {
            let all = rate($connections, $span, move |mut connection, end| async move {
                let mut count = 0;
                while Instant::now() < end {
                    let id = Uuid::new_v4();
                    connection.execute("BEGIN").await?;
                    let row = sqlx::query::<$database>(ROW).bind(id).bind(body(id));
                    row.execute(&mut connection).await?;
                    let key = sqlx::query::<$database>(KEY).bind(id).bind(format!("service-{id}"));
                    key.execute(&mut connection).await?;
                    let n = match ordered {
                        false => 0,
                        true => {
                            let n = sqlx::query_scalar::<$database, i64>(COUNT);
                            n.fetch_one(&mut connection).await?
                        }
                    };
                    let log = sqlx::query::<$database>(LOG).bind(n).bind(id).bind(body(id));
                    log.execute(&mut connection).await?;
                    connection.execute("COMMIT").await?;
                    count += 1;
                }
                Ok::<u64, sqlx::Error>(count)
            });
            *rows = all.await?;
        }
        let [rows, ordered] = all_rows;
        Ok(Ceiling { entity, rows, ordered })
    }};
}

/// Measures Postgres with so many connections, each statement for about `span`. Makes its own
/// tables, once.
///
/// # Errors
/// What the database says.
pub async fn postgres(
    options: &PostgresOptions,
    clients: usize,
    span: Duration,
) -> Result<Ceiling, sqlx::Error> {
    connect(options).await?.execute(sqlx::raw_sql(TABLES)).await?;
    let connections = async || {
        let mut connections = Vec::new();
        for _ in 0..clients {
            connections.push(connect(options).await?);
        }
        Ok::<Vec<PgConnection>, sqlx::Error>(connections)
    };
    measured!(sqlx::Postgres, connections().await?, span)
}

async fn connect(options: &PostgresOptions) -> Result<PgConnection, sqlx::Error> {
    let plain = sqlx::postgres::PgConnectOptions::new_without_pgpass()
        .host(&options.host)
        .port(options.port)
        .username(&options.user)
        .database(&options.database);
    plain.disable_statement_logging().connect().await
}

/// Measures SQLite on a new file, with one connection: more only wait for each other.
///
/// # Errors
/// What the database says.
pub async fn sqlite(file: &Path, span: Duration) -> Result<Ceiling, sqlx::Error> {
    let open = async || -> Result<Vec<SqliteConnection>, sqlx::Error> {
        let plain = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true);
        Ok(vec![plain.disable_statement_logging().connect().await?])
    };
    for connection in &mut open().await? {
        connection.execute(sqlx::raw_sql(TABLES)).await?;
    }
    measured!(sqlx::Sqlite, open().await?, span)
}

/// The tables of a store without anything that it does about them.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS plain (kind TEXT NOT NULL, id UUID NOT NULL, body TEXT NOT NULL, \
                        PRIMARY KEY (kind, id));
    CREATE TABLE IF NOT EXISTS plain_keys (kind TEXT NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL, \
                             id UUID NOT NULL, PRIMARY KEY (kind, field, value), \
                             FOREIGN KEY (kind, id) REFERENCES plain);
    CREATE TABLE IF NOT EXISTS plain_log (id UUID PRIMARY KEY, n BIGINT, kind TEXT, body TEXT);
    CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY, n BIGINT NOT NULL);
    INSERT INTO counter VALUES (1, 0) ON CONFLICT DO NOTHING";

const ROW: &str = "INSERT INTO plain VALUES ('services', $1, $2)";
const KEY: &str = "INSERT INTO plain_keys VALUES ('services', 'name', $2, $1)";
const COUNT: &str = "UPDATE counter SET n = n + 1 RETURNING n";
const LOG: &str = "INSERT INTO plain_log VALUES ($2, $1, 'services', $3)";

/// About as long as a service is.
pub fn body(id: Uuid) -> String {
    format!(
        "{{\"ca_certificates\":null,\"client_certificate\":null,\"connect_timeout\":60000,\
         \"created_at\":1700000000,\"enabled\":true,\"host\":\"upstream.example.com\",\
         \"id\":\"{id}\",\"name\":\"service-{id}\",\"path\":null,\"port\":80,\
         \"protocol\":\"http\",\"read_timeout\":60000,\"retries\":5,\"tags\":null,\
         \"tls_verify\":null,\"tls_verify_depth\":null,\"updated_at\":1700000000,\
         \"write_timeout\":60000}}"
    )
}

/// Runs `write` in one task per writer for a while, and says how often it was done per second.
///
/// # Errors
/// The first one of `write`.
pub async fn rate<W, F, E>(
    writers: Vec<W>,
    span: Duration,
    write: impl Fn(W, Instant) -> F,
) -> Result<f64, E>
where
    F: Future<Output = Result<u64, E>> + Send + 'static,
    E: Send + 'static,
{
    let begin = Instant::now();
    let mut running = JoinSet::new();
    for writer in writers {
        running.spawn(write(writer, begin + span));
    }
    let mut count = 0;
    for written in running.join_all().await {
        count += written?;
    }
    Ok(count as f64 / begin.elapsed().as_secs_f64())
}
