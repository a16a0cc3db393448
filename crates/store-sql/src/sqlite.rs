//! Opening a SQLite file.

mod ledger;
mod place;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection};

use crate::fault::CORRUPT;
use crate::growth::Growth;
use crate::lane::{Lane, Lanes};
use crate::migrate;
use crate::notices::Board;
use crate::open_error::OpenError;
use crate::options::SqliteOptions;
use crate::pools::{Pool, Pools};
use crate::sql::read;
use crate::sql_store::{SqlStore, head};

pub(crate) use ledger::SqliteLedger;

/// How many connections read at the same time. They are threads that mostly wait for the disk.
const READERS: u32 = 4;
/// How long another program (a backup, a shell) may hold the file.
const BUSY: Duration = Duration::from_secs(5);
/// How long a read may wait for one of the readers.
const ACQUIRE: Duration = Duration::from_secs(5);

pub(crate) async fn open(options: &SqliteOptions) -> Result<SqlStore, OpenError> {
    let place = options.place();
    let (mut writer, lock) = connect_to_migrate(options).await?;
    migrate::sqlite_run(&place, &mut writer).await?;

    let pool = SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(ACQUIRE)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(base(&options.path).read_only(true));
    let pools = Pools { pool: Pool::Sqlite(pool), place: place.clone() };
    let stands =
        pools.fetch(&read::HEAD, &[], head).await.map_err(|error| OpenError::Unreachable {
            place: place.clone(),
            cause: error.to_string(),
            advice: "Make the file and its directory writable for this user".to_owned(),
        })?;
    let stands = stands.first().ok_or_else(|| OpenError::Unsuitable {
        place: place.clone(),
        cause: "the table store_state is empty".to_owned(),
        advice: "Restore a backup, or use another path".to_owned(),
    })?;
    let growth = Growth::new(stands.at);
    let known = growth.clone();
    let lane = Lane::start(SqliteLedger::new(place, writer), move |at| known.reached(at));
    let lanes = Lanes::new(lane, None);
    let board = Board { own: None, news: Arc::default() };
    Ok(SqlStore { pools, replica: None, lanes, growth, board, tasks: Vec::new(), lock: Some(lock) })
}

/// The connection that writes, to a file that is sound and nobody else's.
pub(crate) async fn connect_to_migrate(
    options: &SqliteOptions,
) -> Result<(SqliteConnection, File), OpenError> {
    let place = options.place();
    let lock = place::take(&place, &options.path)?;
    let writer = base(&options.path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // In KiB, used as needed: a large load stays in memory until it commits.
        .pragma("cache_size", "-65536")
        // What a large load has made of the log file is given back.
        .pragma("journal_size_limit", "67108864");
    let mut connection =
        writer.connect().await.map_err(|error| OpenError::sqlite(&place, &error))?;
    check(&place, &mut connection).await?;
    Ok((connection, lock))
}

fn base(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).busy_timeout(BUSY).disable_statement_logging()
}

/// A damaged file is refused at the start, not in the middle of a write.
async fn check(place: &str, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let fault = |error: sqlx::Error| OpenError::sqlite(place, &error);
    let ours: bool = sqlx::query_scalar(
        "SELECT count(*) = 0 OR sum(name = 'store_state') > 0 FROM sqlite_master \
         WHERE type = 'table'",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(fault)?;
    if !ours {
        return Err(OpenError::Unsuitable {
            place: place.to_owned(),
            cause: "it is the database of another program".to_owned(),
            advice: "Choose another path".to_owned(),
        });
    }
    let found: String = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_one(&mut *connection)
        .await
        .map_err(fault)?;
    if found != "ok" {
        return Err(OpenError::Unsuitable {
            place: place.to_owned(),
            cause: found,
            advice: format!("To go on: {CORRUPT}"),
        });
    }
    Ok(())
}
