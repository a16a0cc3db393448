//! What is said when a database cannot be used: the place, the cause, and what to do.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use store::{Operation, Row};

use crate::testing::Server;
use crate::{OpenError, PostgresOptions, SqliteOptions, Tls, open_postgres, open_sqlite};

/// The error of opening a file, which must name the file and every one of these.
async fn refused(path: PathBuf, named: &[&str]) -> OpenError {
    let Err(error) = open_sqlite(&SqliteOptions { path: path.clone() }).await else {
        panic!("{} was opened", path.display());
    };
    check(error, path.to_str().unwrap(), named)
}

async fn refused_by_server(options: PostgresOptions, named: &[&str]) -> OpenError {
    let place = format!("{}:{}", options.host, options.port);
    let Err(error) = open_postgres(&options).await else { panic!("{options:?} was opened") };
    check(error, &place, named)
}

fn check(error: OpenError, place: &str, named: &[&str]) -> OpenError {
    let text = error.to_string();
    for part in [place].iter().chain(named) {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
    error
}

/// A file with some entities, closed.
async fn file(directory: &tempfile::TempDir) -> PathBuf {
    let path = directory.path().join("weir.db");
    let store = open_sqlite(&SqliteOptions { path: path.clone() }).await.unwrap();
    let rows = (0..500u128).map(|n| {
        Operation::Insert(Row {
            kind: model::Kind::known("services"),
            id: uuid::Uuid::from_u128(n),
            body: format!("{{\"n\":{n},\"pad\":\"{}\"}}", "x".repeat(200)).into(),
            keys: Vec::new(),
            references: Vec::new(),
            tags: Vec::new(),
        })
    });
    store.write(rows.collect::<Vec<_>>().into()).await.unwrap();
    drop(store);
    // The log's content into the file itself.
    let mut connection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await.unwrap();
    connection.close().await.unwrap();
    path
}

#[tokio::test]
async fn a_second_process_is_sent_to_postgres() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weir.db");
    let store = open_sqlite(&SqliteOptions { path: path.clone() }).await.unwrap();
    let error = refused(path.clone(), &["another process", "Postgres"]).await;
    assert!(matches!(error, OpenError::Locked { .. }));
    drop(store);
    open_sqlite(&SqliteOptions { path }).await.unwrap();
}

#[tokio::test]
async fn what_is_written_is_there_after_opening_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory).await;
    let store = open_sqlite(&SqliteOptions { path }).await.unwrap();
    assert_eq!(store.head().await.unwrap().at.revision, 1);
    assert_eq!(store.snapshot().await.unwrap().1.len(), 500);
}

#[tokio::test]
async fn a_file_of_another_kind_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    let text = "not a database, but long enough to have a header\n".repeat(100);
    fs::write(&path, &text).unwrap();
    refused(path.clone(), &["not a database", "another path"]).await;
    assert_eq!(fs::read_to_string(&path).unwrap(), text);

    let path = directory.path().join("other.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    connection.execute("CREATE TABLE songs (title TEXT)").await.unwrap();
    connection.close().await.unwrap();
    refused(path, &["another program", "another path"]).await;
}

#[tokio::test]
async fn a_damaged_file_is_named_with_a_way_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory).await;
    let whole = fs::read(&path).unwrap();
    let advice = ["corrupt", "backup", ".recover"];

    // Its head.
    let mut header = fs::File::options().write(true).open(&path).unwrap();
    header.write_all(&[0x5a; 512]).unwrap();
    drop(header);
    refused(path.clone(), &advice).await;

    // A page in the middle.
    fs::write(&path, &whole).unwrap();
    let mut middle = fs::File::options().write(true).open(&path).unwrap();
    middle.seek(SeekFrom::Start(4096 * 20)).unwrap();
    middle.write_all(&[0x5a; 4096]).unwrap();
    drop(middle);
    refused(path.clone(), &advice).await;

    // Its end.
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    refused(path.clone(), &advice).await;

    fs::write(&path, &whole).unwrap();
    open_sqlite(&SqliteOptions { path }).await.unwrap();
}

#[tokio::test]
async fn a_place_without_room_for_files_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let blocked = directory.path().join("a_file");
    fs::write(&blocked, "").unwrap();
    refused(blocked.join("weir.db"), &["writable", "another path"]).await;
    // The path itself is a directory.
    let taken = directory.path().join("weir.db");
    fs::create_dir(&taken).unwrap();
    refused(taken, &["another path"]).await;
}

/// Where nothing listens.
fn nowhere() -> PostgresOptions {
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    PostgresOptions {
        host: "127.0.0.1".to_owned(),
        port,
        user: "weir_user".to_owned(),
        password: Some("very secret".to_owned()),
        database: "weir_database".to_owned(),
        schema: None,
        tls: Tls::Off,
        connect_timeout: Duration::from_secs(5),
        pool_size: 2,
        replica: None,
    }
}

#[test]
fn options_do_not_tell_the_password() {
    let text = format!("{:?}", nowhere());
    assert!(text.contains("weir_user") && !text.contains("secret"), "{text}");
}

#[tokio::test]
async fn an_unreachable_server_is_named_with_everything_that_can_be_wrong() {
    let options = nowhere();
    let named = ["weir_user", "weir_database", "refused", "pg_host and pg_port"];
    let error = refused_by_server(options.clone(), &named).await;
    assert!(!error.to_string().contains("secret"));
    let unknown = PostgresOptions { host: "no-such-host.invalid".to_owned(), ..options };
    refused_by_server(unknown, &["pg_host and pg_port"]).await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let options = PostgresOptions {
        port: silent.local_addr().unwrap().port(),
        connect_timeout: Duration::from_millis(100),
        ..nowhere()
    };
    refused_by_server(options, &["no answer within 100 ms", "pg_timeout"]).await;
}

#[tokio::test]
async fn a_database_that_cannot_serve_is_named_with_what_to_change() {
    let good = Server::shared().database().await;
    let missing = PostgresOptions { database: "weir_no_such".to_owned(), ..good.clone() };
    refused_by_server(missing, &["weir_no_such", "createdb", "pg_database"]).await;
    let schema = PostgresOptions { schema: Some("nowhere".to_owned()), ..good.clone() };
    refused_by_server(schema, &["schema", "pg_schema"]).await;
    let encrypted = PostgresOptions { tls: Tls::Unverified, ..good.clone() };
    refused_by_server(encrypted, &["pg_ssl"]).await;

    let name = format!("{}_ascii", good.database);
    let create = format!("CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0");
    let mut administrator = Server::shared().administrator().await;
    administrator.execute(AssertSqlSafe(create)).await.unwrap();
    let ascii = PostgresOptions { database: name, ..good };
    refused_by_server(ascii, &["SQL_ASCII", "UTF-8"]).await;
}

#[tokio::test]
async fn a_schema_of_its_own_holds_everything() {
    let options = Server::shared().database().await;
    let mut connection = crate::postgres::connect_to_migrate(&options).await.unwrap();
    connection.execute("CREATE SCHEMA \"Gate \"\"way\"").await.unwrap();
    let schema = PostgresOptions { schema: Some("Gate \"way".to_owned()), ..options };
    let store = open_postgres(&schema).await.unwrap();
    assert_eq!(store.head().await.unwrap().at.revision, 0);
    let found = sqlx::query_scalar::<_, i64>(
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename = 'entities'",
    );
    assert_eq!(found.fetch_one(&mut connection).await.unwrap(), 0);
}
