//! The database: opened at the start, watched while the process runs.

use std::sync::Arc;
use std::time::Duration;

use lifecycle::Readiness;
use process::{DirectoryError, Process};
use settings::{Database, Settings};
use store::Store;
use store_sql::{PostgresOptions, SqliteOptions, Tls};

/// The SQLite file in the data directory.
const SQLITE_FILE: &str = "weir.db";
/// Where entities lie while a process without a database runs; what was loaded last stays in it,
/// so that ids and revisions go on over a restart.
const DECLARATIVE_FILE: &str = "declarative.db";
/// Connections that read from Postgres, when the settings leave it to us.
const READERS: u32 = 16;
/// Why a control plane is not ready; Kong's words.
const UNREACHABLE: &str = "failed to connect to database";

/// The database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its directory cannot.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// It cannot itself.
    #[error(transparent)]
    Store(#[from] store_sql::OpenError),
}

/// Opens the database that the settings name, bringing its tables to this version.
///
/// # Errors
/// When it cannot be reached or used, with what to change.
pub async fn open(settings: &Settings) -> Result<Arc<dyn Store>, OpenError> {
    Ok(store_sql::open(&database(settings)?).await?)
}

/// Brings the tables to this version, and names the migrations that this took.
///
/// # Errors
/// When the database cannot be reached or used, with what to change.
pub async fn migrate(settings: &Settings) -> Result<Vec<String>, OpenError> {
    Ok(store_sql::migrate(&database(settings)?).await?)
}

/// Asks the database every so often whether it can be reached, and tells in log and metrics. What
/// `readiness` there is is not given while it cannot.
pub(crate) fn watch(
    process: &Process,
    store: Arc<dyn Store>,
    every: Duration,
    readiness: Option<Readiness>,
) {
    let reachable = process
        .metrics
        .gauge("kong_datastore_reachable", "Datastore reachable from Kong, 0 is unreachable");
    process.tasks.background("database watch", async move {
        let mut unreachable = None;
        loop {
            match tokio::time::timeout(every, store.head()).await {
                Ok(Ok(_)) => {
                    reachable.set(1.0);
                    if unreachable.take().is_some() {
                        tracing::info!("the database can be reached again");
                    }
                }
                failed => {
                    reachable.set(0.0);
                    if unreachable.is_none() {
                        let why = match failed {
                            Ok(Err(error)) => error.to_string(),
                            _ => format!("no answer within {} s", every.as_secs_f64()),
                        };
                        tracing::error!(
                            error = why,
                            "the database cannot be reached; data planes go on serving"
                        );
                        unreachable =
                            Some(readiness.as_ref().map(|readiness| readiness.hold(UNREACHABLE)));
                    }
                }
            }
            tokio::time::sleep(every).await;
        }
    });
}

fn database(settings: &Settings) -> Result<store_sql::Database, DirectoryError> {
    match settings.database {
        Database::Sqlite => {
            let path = process::prepare(settings)?.join(SQLITE_FILE);
            Ok(store_sql::Database::Sqlite(SqliteOptions { path }))
        }
        Database::Postgres => Ok(store_sql::Database::Postgres(postgres(settings))),
        Database::Off => {
            let path = process::prepare(settings)?.join(DECLARATIVE_FILE);
            Ok(store_sql::Database::Sqlite(SqliteOptions { path }))
        }
    }
}

fn postgres(settings: &Settings) -> PostgresOptions {
    PostgresOptions {
        host: settings.pg_host.clone(),
        port: settings.pg_port,
        user: settings.pg_user.clone(),
        password: settings.pg_password.as_ref().map(|password| password.expose().to_owned()),
        database: settings.pg_database.clone(),
        schema: settings.pg_schema.clone(),
        tls: match (settings.pg_ssl, settings.pg_ssl_verify) {
            (false, _) => Tls::Off,
            (true, false) => Tls::Unverified,
            (true, true) => Tls::Verified { roots: None },
        },
        connect_timeout: settings.pg_timeout,
        pool_size: match u32::try_from(settings.pg_max_concurrent_queries) {
            Ok(0) => READERS,
            Ok(readers) => readers,
            Err(_) => u32::MAX,
        },
    }
}
