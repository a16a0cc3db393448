//! A process that writes is killed in the middle of it: what it has acknowledged is there.
//!
//! The process is this test binary again, told by the environment where to write.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use model::Kind;
use store::{Key, Operation, Row, Store};
use uuid::Uuid;

use super::postgres::check_acknowledged;
use crate::testing::Server;
use crate::{Database, PostgresOptions, SqliteOptions, Tls, open};

/// Where the killed process writes: a port, a user and a database of 127.0.0.1, or a path; and the
/// first number that it uses.
const TARGET: &str = "WEIR_STORE_TEST_TARGET";
/// How many writers it has.
const WRITERS: u128 = 8;
/// How often a process is killed, and after how many acknowledgements.
const ROUNDS: [usize; 4] = [1, 40, 150, 300];

fn target() -> Option<(Database, u128)> {
    let target = std::env::var_os(TARGET)?.into_string().unwrap();
    let fields: Vec<&str> = target.split('|').collect();
    let database = match fields[1..] {
        [path] => Database::Sqlite(SqliteOptions { path: path.into() }),
        [port, user, database] => Database::Postgres(PostgresOptions {
            host: "127.0.0.1".to_owned(),
            port: port.parse().unwrap(),
            user: user.to_owned(),
            password: None,
            database: database.to_owned(),
            schema: None,
            tls: Tls::Off,
            connect_timeout: Duration::from_secs(5),
            pool_size: 2,
            replica: None,
        }),
        _ => panic!("{target}"),
    };
    Some((database, fields[0].parse().unwrap()))
}

/// The part of the process that is killed. Without a target there is nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_until_killed() {
    let Some((database, first)) = target() else { return };
    let store = open(&database).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..WRITERS {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            for m in 0.. {
                let number = first + n * 1_000_000 + m;
                let row = Row {
                    kind: Kind::known("services"),
                    id: Uuid::from_u128(number),
                    body: format!("{{\"number\":{number}}}").into(),
                    keys: vec![Key { field: "name", value: number.to_string() }],
                    references: Vec::new(),
                    tags: vec!["killed".to_owned()],
                };
                store.write(vec![Operation::Insert(row)].into()).await.unwrap();
                println!("acknowledged {number}");
            }
        });
    }
    writers.join_all().await;
}

/// Runs a process until it has acknowledged so much, kills it, and says what it has acknowledged.
fn kill_after(acknowledgements: usize, target: &str) -> Vec<u128> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["tests::killed::writes_until_killed", "--exact", "--nocapture"])
        .env(TARGET, target)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut acknowledged: Vec<u128> = Vec::new();
    for line in output.lines() {
        let line = line.unwrap();
        if let Some((_, number)) = line.split_once("acknowledged ") {
            acknowledged.push(number.parse().unwrap());
            if acknowledged.len() == acknowledgements {
                child.kill().unwrap();
            }
        }
    }
    assert!(acknowledged.len() >= acknowledgements, "it ended by itself");
    child.wait().unwrap();
    acknowledged
}

async fn check(target: impl Fn(u128) -> String + Send + 'static, database: Database) {
    let acknowledged = tokio::task::spawn_blocking(move || {
        let rounds = (1..).zip(ROUNDS);
        let round = |(n, count): (u128, usize)| kill_after(count, &target(n * 100_000_000));
        rounds.flat_map(round).collect::<Vec<u128>>()
    })
    .await
    .unwrap();
    let store: Arc<dyn Store> = open(&database).await.unwrap();
    check_acknowledged(&store, &acknowledged).await;
    let all = u32::try_from(acknowledged.len()).unwrap();
    let tagged = store.tags(Some("killed"), None, u32::MAX).await.unwrap();
    assert!(tagged.len() >= all as usize);
    for number in acknowledged {
        let key = Key { field: "name", value: number.to_string() };
        assert!(store.find("services", &key).await.unwrap().is_some(), "{number} has no name");
    }
}

#[tokio::test]
async fn sqlite_keeps_what_a_killed_process_has_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weir.db");
    let file = path.to_str().unwrap().to_owned();
    let target = move |first| format!("{first}|{file}");
    check(target, Database::Sqlite(SqliteOptions { path })).await;
}

#[tokio::test]
async fn postgres_keeps_what_a_killed_process_has_acknowledged() {
    let server = Server::start(&[("fsync", "off")]).unwrap();
    let options = server.database().await;
    let fields = format!("{}|{}|{}", options.port, options.user, options.database);
    let target = move |first| format!("{first}|{fields}");
    check(target, Database::Postgres(options)).await;
}
