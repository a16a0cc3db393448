//! The contract on SQLite, and what only a file can suffer.

use std::sync::Arc;
use std::time::Duration;

use model::Kind;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor, SqliteConnection};
use store::{Error, Operation, Row, Store, WriteSet};
use tempfile::TempDir;
use uuid::Uuid;

use crate::fault::Fault;
use crate::ledger::transact;
use crate::sqlite::SqliteLedger;
use crate::{SqliteOptions, open_sqlite};

/// A store on a new file, and the directory that goes with it.
pub(super) async fn open() -> (Arc<dyn Store>, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weir.db");
    (open_sqlite(&SqliteOptions { path }).await.unwrap(), directory)
}

mod contract {
    store::contract!(super::open);
}

fn set(numbers: impl IntoIterator<Item = u128>) -> WriteSet {
    let row = |n| Row {
        kind: Kind::known("services"),
        id: Uuid::from_u128(n),
        body: format!("{{\"pad\":\"{}\"}}", "x".repeat(1000)).into(),
        keys: Vec::new(),
        references: Vec::new(),
        tags: Vec::new(),
    };
    numbers.into_iter().map(|n| Operation::Insert(row(n))).collect::<Vec<_>>().into()
}

/// A file with the tables, and a writing connection of ours to it.
async fn ledger(directory: &TempDir, set_up: &str) -> (SqliteLedger, SqliteConnection) {
    let path = directory.path().join("weir.db");
    drop(open_sqlite(&SqliteOptions { path: path.clone() }).await.unwrap());
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .foreign_keys(true)
        .busy_timeout(Duration::from_millis(50));
    let mut connection = options.connect().await.unwrap();
    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(set_up.to_owned()))).await.unwrap();
    let ledger = SqliteLedger::new("SQLite file weir.db".to_owned(), connection);
    (ledger, options.connect().await.unwrap())
}

async fn entities(connection: &mut SqliteConnection) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM entities").fetch_one(connection).await.unwrap()
}

fn unavailable(fault: &Fault, named: &str) -> bool {
    matches!(fault, Fault::Refused(Error::Unavailable(why))
        if why.contains("weir.db") && why.contains(named))
}

#[tokio::test]
async fn a_full_disk_fails_the_write_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    // The same error as a disk without space.
    let (mut ledger, mut reader) = ledger(&directory, "PRAGMA max_page_count = 60").await;
    transact(&mut ledger, &[set(0..10)], false).await.unwrap();
    let fault = transact(&mut ledger, &[set(100..400)], false).await.unwrap_err();
    assert!(unavailable(&fault, "free space on the disk"), "{fault:?}");
    assert_eq!(entities(&mut reader).await, 10, "nothing is half written");
    let outcomes = transact(&mut ledger, &[set([20])], false).await.unwrap();
    assert_eq!(outcomes[0].as_ref().unwrap().at.revision, 2);
}

#[tokio::test]
async fn a_file_that_another_program_writes_to_is_waited_for_and_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let (mut ledger, mut other) = ledger(&directory, "PRAGMA synchronous = OFF").await;
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let fault = transact(&mut ledger, &[set([1])], false).await.unwrap_err();
    assert!(unavailable(&fault, "another program writes"), "{fault:?}");
    other.execute("ROLLBACK").await.unwrap();
    transact(&mut ledger, &[set([1])], false).await.unwrap();
}

#[tokio::test]
async fn a_read_only_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (mut ledger, _) = ledger(&directory, "PRAGMA query_only = ON").await;
    let fault = transact(&mut ledger, &[set([1])], false).await.unwrap_err();
    assert!(unavailable(&fault, "cannot be written"), "{fault:?}");
}

#[tokio::test]
async fn tables_that_contradict_the_judgement_are_a_failure_not_a_race() {
    let directory = tempfile::tempdir().unwrap();
    let trigger = "CREATE TRIGGER never BEFORE INSERT ON entities \
                   BEGIN SELECT RAISE(ABORT, 'never'); END";
    let (mut ledger, mut reader) = ledger(&directory, trigger).await;
    let fault = transact(&mut ledger, &[set([1])], false).await.unwrap_err();
    assert!(matches!(fault, Fault::Refused(Error::Failed(_))), "{fault:?}");
    assert_eq!(entities(&mut reader).await, 0);
}
