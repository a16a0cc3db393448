//! The database: opened at the start, watched while the process runs.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lifecycle::Readiness;
use process::{DirectoryError, Process};
use settings::{Database, Settings};
use store::Store;
use store_sql::{PostgresOptions, ReplicaOptions, ReplicaReads, SqliteOptions, Tls};
use telemetry::metrics::{Kind, Registry};

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

/// As [`open`], with what becomes of the reads of a replica in the metrics.
pub(crate) async fn open_measured(
    settings: &Settings,
    metrics: &Registry,
) -> Result<Arc<dyn Store>, OpenError> {
    let database = database(settings)?;
    if let store_sql::Database::Postgres(PostgresOptions { replica: Some(replica), .. }) = &database
    {
        tell_of(metrics, replica.reads.clone());
        if settings.db_update_propagation.is_zero() {
            tracing::warn!(
                host = settings.pg_ro_host,
                "pg_ro_host is set and db_update_propagation is 0: data planes may serve a change \
                 before this Admin API reads it, when another control plane made it and the \
                 replica lags; set db_update_propagation to the longest lag to expect"
            );
        }
    }
    Ok(store_sql::open(&database).await?)
}

fn tell_of(metrics: &Registry, reads: Arc<ReplicaReads>) {
    metrics.collect(move |text| {
        const NAME: &str = "weir_database_replica_reads_total";
        text.family(NAME, Kind::Counter, "Reads by what became of asking the replica for them");
        for (result, count) in [
            ("served", &reads.served),
            ("behind", &reads.behind),
            ("unreachable", &reads.unreachable),
            ("passed_over", &reads.passed_over),
        ] {
            text.whole(NAME, &[("result", result)], count.load(Ordering::Relaxed));
        }
    });
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
    let primary = PostgresOptions {
        host: settings.pg_host.clone(),
        port: settings.pg_port,
        user: settings.pg_user.clone(),
        password: settings.pg_password.as_ref().map(|password| password.expose().to_owned()),
        database: settings.pg_database.clone(),
        schema: settings.pg_schema.clone(),
        tls: tls(settings.pg_ssl, settings.pg_ssl_verify),
        connect_timeout: settings.pg_timeout,
        pool_size: readers(settings.pg_max_concurrent_queries),
        replica: None,
    };
    let replica = settings.pg_ro_host.as_ref().map(|host| replica(settings, &primary, host));
    PostgresOptions { replica, ..primary }
}

/// What is not given for it is as for the primary.
fn replica(settings: &Settings, primary: &PostgresOptions, host: &str) -> ReplicaOptions {
    let or = |given: &Option<String>, primary: &String| given.as_ref().unwrap_or(primary).clone();
    let password = settings.pg_ro_password.as_ref().map(|password| password.expose().to_owned());
    let ssl = settings.pg_ro_ssl.unwrap_or(settings.pg_ssl);
    let server = PostgresOptions {
        host: host.to_owned(),
        port: settings.pg_ro_port.unwrap_or(primary.port),
        user: or(&settings.pg_ro_user, &primary.user),
        password: password.or_else(|| primary.password.clone()),
        database: or(&settings.pg_ro_database, &primary.database),
        schema: settings.pg_ro_schema.clone().or_else(|| primary.schema.clone()),
        tls: tls(ssl, settings.pg_ro_ssl_verify.unwrap_or(settings.pg_ssl_verify)),
        connect_timeout: settings.pg_ro_timeout.unwrap_or(primary.connect_timeout),
        pool_size: settings.pg_ro_max_concurrent_queries.map_or(primary.pool_size, readers),
        replica: None,
    };
    ReplicaOptions { server: Box::new(server), reads: Arc::default() }
}

fn tls(on: bool, verified: bool) -> Tls {
    match (on, verified) {
        (false, _) => Tls::Off,
        (true, false) => Tls::Unverified,
        (true, true) => Tls::Verified { roots: None },
    }
}

fn readers(setting: u64) -> u32 {
    match u32::try_from(setting) {
        Ok(0) => READERS,
        Ok(readers) => readers,
        Err(_) => u32::MAX,
    }
}
