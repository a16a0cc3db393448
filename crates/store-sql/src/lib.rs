//! The store on Postgres and on SQLite, from one text of SQL.
//!
//! This crate owns: the SQL ([`store::Store`]'s promises in tables, see `migrations/`), the
//! connections, the order of revisions, the translation of databases' errors. It must not know
//! what the entities are, who asks, or who reads the log.
//!
//! # A write, top to bottom
//! - `lane`: waits in a queue; whatever has gathered while the writer was busy becomes one
//!   transaction.
//! - `ledger`: the steps of that transaction. Look (and lock) → judge → apply → take the revision
//!   → commit.
//! - `facts`: what must be looked at. `judge`: a function from facts and write sets to what is
//!   refused and what the tables must become (`plan`).
//! - `postgres`, `sqlite`: the steps in each database's way. `sql`: the statements of both.
//!
//! Reading goes through `pools`; `growth` wakes whoever waits for the log to grow.

#![forbid(unsafe_code)]

mod facts;
mod fault;
mod growth;
mod judge;
mod lane;
mod ledger;
mod migrate;
mod notices;
mod open_error;
mod options;
mod plan;
mod pools;
mod postgres;
mod replica;
mod sql;
mod sql_store;
mod sqlite;

#[cfg(any(test, feature = "testing"))]
pub mod testing;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use store::Store;

pub use migrate::{migrate, pending};
pub use open_error::OpenError;
pub use options::{Database, PostgresOptions, ReplicaOptions, ReplicaReads, SqliteOptions, Tls};

/// Opens the store on either database; see [`open_postgres`] and [`open_sqlite`].
///
/// # Errors
/// As they do.
pub async fn open(database: &Database) -> Result<Arc<dyn Store>, OpenError> {
    match database {
        Database::Postgres(options) => open_postgres(options).await,
        Database::Sqlite(options) => open_sqlite(options).await,
    }
}

/// Opens the store on Postgres, which any number of control planes may do at once, and applies
/// the migrations that are missing.
///
/// # Errors
/// When the server cannot be reached or used, with what to change.
pub async fn open_postgres(options: &PostgresOptions) -> Result<Arc<dyn Store>, OpenError> {
    Ok(Arc::new(postgres::open(options).await?))
}

/// Opens the store on a SQLite file, which one process may do, and applies the migrations that are
/// missing. The file and its directory are created when they are not there.
///
/// # Errors
/// When the file cannot be used, with what to change.
pub async fn open_sqlite(options: &SqliteOptions) -> Result<Arc<dyn Store>, OpenError> {
    Ok(Arc::new(sqlite::open(options).await?))
}
