//! Opening Postgres.

mod ledger;
mod notify;

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::sync::{Notify, watch};

use crate::growth::Growth;
use crate::lane::{Lane, Lanes};
use crate::migrate;
use crate::notices::Board;
use crate::open_error::OpenError;
use crate::options::{PostgresOptions, ReplicaOptions, Tls};
use crate::pools::{Pool, Pools};
use crate::replica::Replica;
use crate::sql::read;
use crate::sql_store::{SqlStore, Task, head};

use ledger::PostgresLedger;

/// The oldest server that is used: `gen_random_uuid` and materialized `WITH` came by then.
const OLDEST: i32 = 13;

/// What a session of ours is like. Every wait has an end: the server gives up a lock that it does
/// not get, a statement that takes too long, and a transaction whose client has fallen silent.
struct Session {
    statement_timeout: &'static str,
    /// The longest silence within a transaction: between looking and applying the writer judges,
    /// which takes seconds for 100,000 operations on a busy machine.
    idle_timeout: &'static str,
    /// Look-ups by index, planned once: right from the first row to the millionth. Left alone, the
    /// planner would learn from empty tables to scan them, and keep to it until they are analysed.
    look_up: bool,
    /// Whether a commit waits for the disk.
    durable: bool,
}

const READER: Session =
    Session { statement_timeout: "60s", idle_timeout: "5s", look_up: false, durable: true };
const NOTICES: Session =
    Session { statement_timeout: "10s", idle_timeout: "5s", look_up: true, durable: false };
const WRITER: Session =
    Session { statement_timeout: "10s", idle_timeout: "5s", look_up: true, durable: true };
const BULK_WRITER: Session =
    Session { statement_timeout: "120s", idle_timeout: "60s", look_up: true, durable: true };
/// Longer than the server lets a writer's statement run.
const WRITER_STEP: Duration = Duration::from_secs(15);
const BULK_WRITER_STEP: Duration = Duration::from_secs(130);
/// A connection that lay idle for longer is tried before it is used.
const TRUSTED: Duration = Duration::from_secs(1);

pub(crate) async fn open(options: &PostgresOptions) -> Result<SqlStore, OpenError> {
    let place = options.place();
    let mut connection = connect_to_migrate(options).await?;
    migrate::postgres_run(&place, &mut connection).await?;
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "a connection was not closed cleanly");
    }

    let reader = session(options, &READER);
    let pool = pool(options, options.pool_size.max(1)).connect_lazy_with(reader.clone());
    let pools = Pools { pool: Pool::Postgres(pool.clone()), place: place.clone() };
    let stands =
        pools.fetch(&read::HEAD, &[], head).await.map_err(|error| OpenError::Unreachable {
            place: place.clone(),
            cause: error.to_string(),
            advice: "Check the log of the server".to_owned(),
        })?;
    let stands = stands.first().ok_or_else(|| OpenError::Unsuitable {
        place: place.clone(),
        cause: "the table store_state is empty".to_owned(),
        advice: "Restore a backup, or use an empty database".to_owned(),
    })?;

    let growth = Growth::new(stands.at);
    let commits = Arc::new(watch::Sender::new(stands.at));
    let lane = |session_of: &Session, step| {
        let ledger = PostgresLedger::new(
            place.clone(),
            session(options, session_of),
            options.connect_timeout,
            step,
        );
        let (growth, commits) = (growth.clone(), Arc::clone(&commits));
        Lane::start(ledger, move |at| {
            growth.reached(at);
            commits.send_replace(at);
        })
    };
    let lanes = Lanes::new(lane(&WRITER, WRITER_STEP), Some(lane(&BULK_WRITER, BULK_WRITER_STEP)));
    let news: Arc<Notify> = Arc::default();
    let announce = notify::announce(pool.clone(), place.clone(), commits.subscribe());
    let heard = notify::Heard { pools: pools.clone(), growth: growth.clone(), news: news.clone() };
    let listen = notify::listen(reader, options.connect_timeout, heard);
    let tasks = vec![Task(tokio::spawn(announce)), Task(tokio::spawn(listen))];
    let own = self::pool(options, 1).connect_lazy_with(session(options, &NOTICES));
    let replica = options.replica.as_ref().map(|ReplicaOptions { server, reads }| {
        let pool =
            self::pool(server, server.pool_size.max(1)).connect_lazy_with(session(server, &READER));
        let patience = server.connect_timeout;
        Replica::new(pool, server.place(), patience, growth.clone(), reads.clone())
    });
    let board = Board { own: Some(Pools { pool: Pool::Postgres(own), place }), news };
    Ok(SqlStore { pools, replica, lanes, growth, board, tasks, lock: None })
}

/// Connections that are made when they are needed, and tried when they lay idle.
fn pool(options: &PostgresOptions, size: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(options.connect_timeout)
        .test_before_acquire(false)
        .before_acquire(|connection, about| {
            Box::pin(async move {
                if about.idle_for > TRUSTED {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
}

/// A connection that may take as long as a migration takes, to a server that we can use.
pub(crate) async fn connect_to_migrate(
    options: &PostgresOptions,
) -> Result<PgConnection, OpenError> {
    let place = options.place();
    let server = base(options);
    let connected = tokio::time::timeout(options.connect_timeout, server.connect()).await;
    let mut connection = match connected {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return Err(OpenError::postgres(&place, &error)),
        Err(_) => {
            return Err(OpenError::Unreachable {
                place,
                cause: format!("no answer within {} ms", options.connect_timeout.as_millis()),
                advice: "Check pg_host and pg_port, and that the network lets them through, or \
                         raise pg_timeout"
                    .to_owned(),
            });
        }
    };
    check(&place, &mut connection).await?;
    Ok(connection)
}

async fn check(place: &str, connection: &mut PgConnection) -> Result<(), OpenError> {
    let about = sqlx::query_as::<_, (i32, String, bool, Option<String>)>(
        "SELECT current_setting('server_version_num')::int / 10000, \
         current_setting('server_encoding'), pg_is_in_recovery(), current_schema()::text",
    );
    let (version, encoding, standby, schema) =
        about.fetch_one(connection).await.map_err(|error| OpenError::postgres(place, &error))?;
    let unsuitable = |cause: String, advice: &str| {
        Err(OpenError::Unsuitable { place: place.to_owned(), cause, advice: advice.to_owned() })
    };
    if version < OLDEST {
        return unsuitable(
            format!("the server is Postgres {version}"),
            &format!("Use Postgres {OLDEST} or newer"),
        );
    }
    if encoding != "UTF8" {
        return unsuitable(
            format!("the database is in {encoding}"),
            "Create one in UTF-8: createdb --encoding UTF8 --template template0",
        );
    }
    if standby {
        return unsuitable(
            "the server is a standby, which cannot be written".to_owned(),
            "Point pg_host to the primary",
        );
    }
    if schema.is_none() {
        return unsuitable(
            "the schema does not exist, or the user may not use it".to_owned(),
            "Create it (CREATE SCHEMA), or correct pg_schema",
        );
    }
    Ok(())
}

fn base(options: &PostgresOptions) -> PgConnectOptions {
    let mut base = PgConnectOptions::new_without_pgpass()
        .host(&options.host)
        .port(options.port)
        .username(&options.user)
        .password(options.password.as_deref().unwrap_or_default())
        .database(&options.database)
        .application_name("weir")
        .disable_statement_logging();
    base = match &options.tls {
        Tls::Off => base.ssl_mode(PgSslMode::Disable),
        Tls::Unverified => base.ssl_mode(PgSslMode::Require),
        Tls::Verified { roots } => {
            let base = base.ssl_mode(PgSslMode::VerifyFull);
            match roots {
                Some(file) => base.ssl_root_cert(file),
                None => base,
            }
        }
    };
    match &options.schema {
        Some(schema) => {
            base.options([("search_path", format!("\"{}\"", schema.replace('"', "\"\"")))])
        }
        None => base,
    }
}

fn session(options: &PostgresOptions, session: &Session) -> PgConnectOptions {
    let base = base(options).options([
        ("statement_timeout", session.statement_timeout),
        ("lock_timeout", "2s"),
        ("idle_in_transaction_session_timeout", session.idle_timeout),
        // Compiling pays for queries of another kind.
        ("jit", "off"),
        ("enable_seqscan", "off"),
    ]);
    // Otherwise as the server has it: `remote_apply` may be what the operator wants.
    let base = match session.durable {
        true => base,
        false => base.options([("synchronous_commit", "off")]),
    };
    if !session.look_up {
        return base;
    }
    base.options([
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("plan_cache_mode", "force_generic_plan"),
    ])
}
