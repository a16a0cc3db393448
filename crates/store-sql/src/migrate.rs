//! Bringing the tables to this version.

use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::{Connection, PgConnection, SqliteConnection};

use crate::open_error::OpenError;
use crate::options::Database;
use crate::{postgres, sqlite};

/// Where the applied migrations are noted: other programs in the same database may use sqlx's
/// default name.
const TABLE: &str = "weir_migrations";

/// Applies the migrations that are missing, as opening does, and names them.
///
/// # Errors
/// When the database cannot be used, or has been migrated by a newer version.
pub async fn migrate(database: &Database) -> Result<Vec<String>, OpenError> {
    match database {
        Database::Postgres(options) => {
            let mut connection = postgres::connect_to_migrate(options).await?;
            let place = options.place();
            let names = postgres_pending(&place, &mut connection).await?;
            postgres_run(&place, &mut connection).await?;
            close(connection.close().await);
            Ok(names)
        }
        Database::Sqlite(options) => {
            let (mut connection, lock) = sqlite::connect_to_migrate(options).await?;
            let place = options.place();
            let names = sqlite_pending(&place, &mut connection).await?;
            sqlite_run(&place, &mut connection).await?;
            close(connection.close().await);
            drop(lock);
            Ok(names)
        }
    }
}

/// Names the migrations that are missing, without applying them.
///
/// # Errors
/// When the database cannot be used, or has been migrated by a newer version.
pub async fn pending(database: &Database) -> Result<Vec<String>, OpenError> {
    match database {
        Database::Postgres(options) => {
            let mut connection = postgres::connect_to_migrate(options).await?;
            let names = postgres_pending(&options.place(), &mut connection).await?;
            close(connection.close().await);
            Ok(names)
        }
        Database::Sqlite(options) => {
            let (mut connection, lock) = sqlite::connect_to_migrate(options).await?;
            let names = sqlite_pending(&options.place(), &mut connection).await?;
            close(connection.close().await);
            drop(lock);
            Ok(names)
        }
    }
}

fn close(closed: Result<(), sqlx::Error>) {
    if let Err(error) = closed {
        tracing::debug!(%error, "a connection was not closed cleanly");
    }
}

fn migrator(mut migrator: Migrator) -> Migrator {
    migrator.dangerous_set_table_name(TABLE);
    migrator
}

pub(crate) fn postgres_migrator() -> Migrator {
    migrator(sqlx::migrate!("../../migrations/postgres"))
}

pub(crate) fn sqlite_migrator() -> Migrator {
    migrator(sqlx::migrate!("../../migrations/sqlite"))
}

/// Applies what is missing. Of several control planes that start at once, one does it and the
/// others wait.
pub(crate) async fn postgres_run(
    place: &str,
    connection: &mut PgConnection,
) -> Result<(), OpenError> {
    let run = postgres_migrator().run_direct(None, connection, false).await;
    run.map_err(|error| OpenError::migration(place, &error))
}

/// Applies what is missing.
pub(crate) async fn sqlite_run(
    place: &str,
    connection: &mut SqliteConnection,
) -> Result<(), OpenError> {
    let run = sqlite_migrator().run_direct(None, connection, false).await;
    run.map_err(|error| OpenError::migration(place, &error))
}

async fn postgres_pending(
    place: &str,
    connection: &mut PgConnection,
) -> Result<Vec<String>, OpenError> {
    let exists = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(TABLE)
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| OpenError::postgres(place, &error))?;
    missing(place, connection, exists, &postgres_migrator()).await
}

async fn sqlite_pending(
    place: &str,
    connection: &mut SqliteConnection,
) -> Result<Vec<String>, OpenError> {
    let exists = sqlx::query_scalar(
        "SELECT count(*) > 0 FROM sqlite_master WHERE type = 'table' AND name = $1",
    )
    .bind(TABLE)
    .fetch_one(&mut *connection)
    .await
    .map_err(|error| OpenError::sqlite(place, &error))?;
    missing(place, connection, exists, &sqlite_migrator()).await
}

async fn missing<C: Migrate>(
    place: &str,
    connection: &mut C,
    exists: bool,
    migrator: &Migrator,
) -> Result<Vec<String>, OpenError> {
    let fault = |error: MigrateError| OpenError::migration(place, &error);
    let applied = match exists {
        true => connection.list_applied_migrations(TABLE).await.map_err(fault)?,
        false => Vec::new(),
    };
    if let Some(newer) = applied.iter().find(|applied| !migrator.version_exists(applied.version)) {
        return Err(fault(MigrateError::VersionMissing(newer.version)));
    }
    let missing = migrator
        .iter()
        .filter(|migration| applied.iter().all(|applied| applied.version != migration.version));
    Ok(missing.map(|m| format!("{:04} {}", m.version, m.description)).collect())
}
