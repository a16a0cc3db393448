//! What the two databases must have in common.

use std::collections::BTreeSet;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, Row, SqlStr,
    SqliteConnection,
};
use tempfile::TempDir;

use crate::migrate::{postgres_migrator, sqlite_migrator};
use crate::sql::{counters, notices, read, state, write};
use crate::testing::Server;
use crate::{Database, OpenError, SqliteOptions, migrate, open, pending, postgres};

/// An empty file with the tables of this version.
async fn sqlite() -> (SqliteConnection, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weir.db");
    drop(crate::open_sqlite(&SqliteOptions { path: path.clone() }).await.unwrap());
    (SqliteConnectOptions::new().filename(path).connect().await.unwrap(), directory)
}

/// An empty database with the tables of this version.
async fn postgres() -> PgConnection {
    let options = Server::shared().database().await;
    migrate(&Database::Postgres(options.clone())).await.unwrap();
    postgres::connect_to_migrate(&options).await.unwrap()
}

fn statements() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let common = read::ALL.iter().chain(state::ALL).chain(counters::ALL).chain(notices::ALL);
    common.map(|(name, statement)| (*name, statement.postgres, statement.sqlite))
}

#[tokio::test]
async fn postgres_prepares_every_statement() {
    let mut connection = postgres().await;
    let common = statements().map(|(name, postgres, _)| (name, postgres));
    for (name, text) in common.chain(write::POSTGRES.iter().copied()) {
        let prepared = connection.prepare(SqlStr::from_static(text)).await;
        prepared.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[tokio::test]
async fn sqlite_prepares_every_statement_and_looks_everything_up() {
    let (mut connection, _directory) = sqlite().await;
    let common = statements().map(|(name, _, sqlite)| (name, sqlite));
    for (name, text) in common.chain(write::SQLITE.iter().copied()) {
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"));
        let plan = connection.fetch_all(sqlx::query(explain)).await;
        let plan = plan.unwrap_or_else(|error| panic!("{name}: {error}"));
        let steps: Vec<String> = plan.iter().map(|step| step.get("detail")).collect();
        // A store of 100,000 entities must not be searched from end to end, except when all of it
        // is wanted. (The state is one row; what is passed in is scanned, of course.)
        let scanned = steps.iter().filter(|step| {
            let table = step.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next());
            table.is_some_and(|table| {
                ["entities", "entity_keys", "entity_refs", "entity_tags", "changes", "revisions"]
                    .contains(&table)
                    || ["e", "k", "r", "t", "f", "c"].contains(&table)
            })
        });
        let scanned: Vec<&String> = scanned.collect();
        let allowed = ["snapshot", "rollout", "revision at"].contains(&name);
        assert!(allowed || scanned.is_empty(), "{name}: {steps:#?}");
    }
}

#[tokio::test]
async fn the_tables_are_the_same() {
    let (mut lite, _directory) = sqlite().await;
    let mut server = postgres().await;
    let lite = sqlx::query(
        "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c \
         WHERE m.type = 'table'",
    )
    .fetch_all(&mut lite)
    .await
    .unwrap();
    let server_rows = sqlx::query(
        "SELECT table_name::text, column_name::text FROM information_schema.columns \
         WHERE table_schema = current_schema() \
         AND table_name IN (SELECT tablename FROM pg_tables)",
    )
    .fetch_all(&mut server)
    .await
    .unwrap();
    let lite: BTreeSet<(String, String)> =
        lite.iter().map(|row| (row.get(0), row.get(1))).collect();
    let server_rows: BTreeSet<(String, String)> =
        server_rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(lite, server_rows);
    assert!(lite.contains(&("revisions".to_owned(), "committed_us".to_owned())));
}

#[test]
fn the_migrations_have_the_same_names() {
    let names = |migrator: sqlx::migrate::Migrator| -> Vec<(i64, String)> {
        migrator.iter().map(|m| (m.version, m.description.to_string())).collect()
    };
    assert_eq!(names(postgres_migrator()), names(sqlite_migrator()));
}

/// Migrations are applied once, and a database of a newer version is left alone.
async fn check_migrations(database: Database, note: impl AsyncFnOnce(&'static str)) {
    let all = pending(&database).await.unwrap();
    assert_eq!(all.first().map(String::as_str), Some("0001 store"));
    assert_eq!(migrate(&database).await.unwrap(), all);
    assert_eq!(pending(&database).await.unwrap(), [""; 0]);
    assert_eq!(migrate(&database).await.unwrap(), [""; 0]);
    let store = open(&database).await.unwrap();
    assert_eq!(store.head().await.unwrap().at.revision, 0);
    drop(store);

    note(
        "INSERT INTO weir_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'of the future', true, 'x', 0)",
    )
    .await;
    for refused in [pending(&database).await.unwrap_err(), open(&database).await.err().unwrap()] {
        assert!(matches!(refused, OpenError::Migration { .. }));
        let text = refused.to_string();
        assert!(text.contains("9999") && text.contains("newer version"), "{text}");
    }
}

#[tokio::test]
async fn sqlite_is_migrated_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sub/weir.db");
    let file = path.clone();
    check_migrations(Database::Sqlite(SqliteOptions { path }), async move |text| {
        let mut connection = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
        connection.execute(sqlx::raw_sql(text)).await.unwrap();
        connection.close().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn postgres_is_migrated_once() {
    let options = Server::shared().database().await;
    let database = Database::Postgres(options.clone());
    check_migrations(database, async move |text| {
        let mut connection = postgres::connect_to_migrate(&options).await.unwrap();
        let text = text.replace("'x'", "'x'::bytea");
        connection.execute(sqlx::raw_sql(AssertSqlSafe(text))).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn control_planes_may_start_at_the_same_time() {
    let database = Database::Postgres(Server::shared().database().await);
    let opened = futures_util::future::join_all((0..4).map(|_| open(&database))).await;
    let mut epochs = BTreeSet::new();
    for store in opened {
        epochs.insert(store.unwrap().head().await.unwrap().at.epoch);
    }
    assert_eq!(epochs.len(), 1);
}
