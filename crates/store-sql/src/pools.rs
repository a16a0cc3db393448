//! Reading from either database: the same statement, the same arguments, the same rows.

use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{PgPool, Postgres, Row, Sqlite, SqlitePool};
use store::Error;
use uuid::Uuid;

use crate::fault::{self, Fault};
use crate::sql::Statement;

/// A database that sends nothing for so long is taken for gone. Longer than it lets a statement
/// run, so that its own, better message comes first.
const STALL: Duration = Duration::from_secs(70);

/// The connections that read.
#[derive(Clone, Debug)]
pub(crate) enum Pool {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

/// [`Pool`], and what to call it in an error.
#[derive(Clone, Debug)]
pub(crate) struct Pools {
    pub(crate) pool: Pool,
    pub(crate) place: String,
}

/// A parameter of a statement.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arg<'a> {
    Text(&'a str),
    Id(Uuid),
    Int(i64),
    Texts(&'a [String]),
}

/// A row of a result.
#[derive(Clone, Copy)]
pub(crate) enum Record<'r> {
    Postgres(&'r PgRow),
    Sqlite(&'r SqliteRow),
}

macro_rules! column {
    ($record:expr, $index:expr) => {
        match $record {
            Record::Postgres(row) => row.try_get($index),
            Record::Sqlite(row) => row.try_get($index),
        }
    };
}

impl<'r> Record<'r> {
    pub(crate) fn text(&self, index: usize) -> Result<&'r str, sqlx::Error> {
        column!(self, index)
    }

    pub(crate) fn maybe_text(&self, index: usize) -> Result<Option<&'r str>, sqlx::Error> {
        column!(self, index)
    }

    pub(crate) fn id(&self, index: usize) -> Result<Uuid, sqlx::Error> {
        column!(self, index)
    }

    pub(crate) fn maybe_id(&self, index: usize) -> Result<Option<Uuid>, sqlx::Error> {
        column!(self, index)
    }

    pub(crate) fn int(&self, index: usize) -> Result<i64, sqlx::Error> {
        column!(self, index)
    }

    pub(crate) fn maybe_int(&self, index: usize) -> Result<Option<i64>, sqlx::Error> {
        column!(self, index)
    }

    /// A number that the schema keeps from being negative: a revision, a version.
    pub(crate) fn count(&self, index: usize) -> Result<u64, sqlx::Error> {
        Ok(self.int(index)?.unsigned_abs())
    }
}

impl Pools {
    /// Runs a statement that only reads, and turns each row into a `T`. Tried a second time when
    /// the connection turned out to be dead: a restarted server leaves a pool full of them.
    pub(crate) async fn fetch<T>(
        &self,
        statement: &Statement,
        args: &[Arg<'_>],
        mut each: impl FnMut(Record<'_>) -> Result<T, sqlx::Error> + Send,
    ) -> Result<Vec<T>, Error>
    where
        T: Send,
    {
        match self.fetch_once(statement, args, &mut each).await {
            Err(Fault::Lost(why)) => {
                tracing::info!(why, "a read is run again on another connection");
                Ok(self.fetch_once(statement, args, &mut each).await?)
            }
            result => Ok(result?),
        }
    }

    async fn fetch_once<T>(
        &self,
        statement: &Statement,
        args: &[Arg<'_>],
        each: &mut (impl FnMut(Record<'_>) -> Result<T, sqlx::Error> + Send),
    ) -> Result<Vec<T>, Fault>
    where
        T: Send,
    {
        let mut out = Vec::new();
        match &self.pool {
            Pool::Postgres(pool) => {
                let fault = |error| fault::postgres(&self.place, &error);
                let mut rows = postgres_query(statement, args).fetch(pool);
                while let Some(row) = self.within(rows.try_next()).await?.map_err(fault)? {
                    out.push(each(Record::Postgres(&row)).map_err(fault)?);
                }
            }
            Pool::Sqlite(pool) => {
                let fault = |error| fault::sqlite(&self.place, &error);
                let mut rows = sqlite_query(statement, args).fetch(pool);
                while let Some(row) = self.within(rows.try_next()).await?.map_err(fault)? {
                    out.push(each(Record::Sqlite(&row)).map_err(fault)?);
                }
            }
        }
        Ok(out)
    }

    async fn within<F: Future>(&self, step: F) -> Result<F::Output, Fault> {
        let stalled = |_| {
            Fault::Refused(Error::Unavailable(format!(
                "{}: no answer for {} s",
                self.place,
                STALL.as_secs()
            )))
        };
        tokio::time::timeout(STALL, step).await.map_err(stalled)
    }
}

/// A statement with its parameters, for Postgres.
pub(crate) fn postgres_query<'q>(
    statement: &Statement,
    args: &[Arg<'_>],
) -> Query<'q, Postgres, PgArguments> {
    args.iter().fold(sqlx::query(statement.postgres), |query, arg| match *arg {
        Arg::Text(text) => query.bind(text),
        Arg::Id(id) => query.bind(id),
        Arg::Int(int) => query.bind(int),
        Arg::Texts(texts) => query.bind(texts),
    })
}

/// A statement with its parameters, for SQLite, which takes lists as JSON.
pub(crate) fn sqlite_query<'q>(
    statement: &Statement,
    args: &[Arg<'_>],
) -> Query<'q, Sqlite, SqliteArguments> {
    args.iter().fold(sqlx::query(statement.sqlite), |query, arg| match *arg {
        Arg::Text(text) => query.bind(text),
        Arg::Id(id) => query.bind(id),
        Arg::Int(int) => query.bind(int),
        Arg::Texts(texts) => query.bind(serde_json::Value::from(texts).to_string()),
    })
}
