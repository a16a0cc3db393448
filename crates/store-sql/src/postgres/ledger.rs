//! Writing to Postgres: each step one round trip.

use std::time::Duration;

use model::{Cursor, Kind};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::query::Query;
use sqlx::{ConnectOptions, Connection, PgConnection, Postgres, Row};

use crate::facts::{Collector, Edge, Facts, Hold, Ident, Looked, Wanted};
use crate::fault::{self, Fault};
use crate::ledger::{Ledger, opened};
use crate::plan::{KeyRow, Plan, Portion, ReferenceRow, TagRow};
use crate::pools::{Arg, postgres_query};
use crate::sql::{Statement, counters, state, write};

/// Rows of a table that are sent at once: a statement stays within a few MB and a second.
const PORTION: usize = 2000;

/// A connection of its own that writes.
#[derive(Debug)]
pub(crate) struct PostgresLedger {
    place: String,
    options: PgConnectOptions,
    connect_timeout: Duration,
    /// Longer than the server lets a statement run, so that its own message comes first.
    step_timeout: Duration,
    connection: Option<PgConnection>,
}

impl PostgresLedger {
    pub(crate) fn new(
        place: String,
        options: PgConnectOptions,
        connect_timeout: Duration,
        step_timeout: Duration,
    ) -> PostgresLedger {
        PostgresLedger { place, options, connect_timeout, step_timeout, connection: None }
    }

    /// Runs a step, and forgets the connection when it went away or does not answer.
    async fn step<T>(
        &mut self,
        step: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, Fault> {
        let Some(connection) = self.connection.as_mut() else {
            return Err(Fault::Lost(format!("{}: not connected", self.place)));
        };
        let fault = match tokio::time::timeout(self.step_timeout, step(connection)).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => fault::postgres(&self.place, &error),
            Err(_) => Fault::Lost(format!(
                "{}: no answer for {} s",
                self.place,
                self.step_timeout.as_secs()
            )),
        };
        if matches!(fault, Fault::Lost(_)) {
            self.connection = None;
        }
        Err(fault)
    }

    async fn apply_portion(
        &mut self,
        version: i64,
        portion: &Portion<'_, '_>,
    ) -> Result<(), Fault> {
        let query = sqlx::query(write::POSTGRES_APPLY).bind(version);
        let query = bind_touched(query, portion);
        let query = bind_key_names(query, portion.dropped_keys);
        let query = bind_keys(query, portion.moved_keys);
        let query = bind_keys(query, portion.added_keys);
        let query = bind_references(query, portion.dropped_references);
        let query = bind_references(query, portion.added_references)
            .bind(column(portion.added_references, ReferenceRow::on_delete));
        let query = bind_tags(query, portion.dropped_tags);
        let query = bind_tags(query, portion.added_tags);
        self.step(async move |connection| query.execute(connection).await).await?;
        Ok(())
    }
}

impl Ledger for PostgresLedger {
    const SHARED: bool = true;

    async fn begin(&mut self, alone: bool) -> Result<(), Fault> {
        if self.connection.is_none() {
            let connected = tokio::time::timeout(self.connect_timeout, self.options.connect());
            let connection = match connected.await {
                Ok(Ok(connection)) => connection,
                Ok(Err(error)) => return Err(fault::postgres(&self.place, &error)),
                Err(_) => {
                    return Err(Fault::Lost(format!(
                        "{}: no connection within {} ms",
                        self.place,
                        self.connect_timeout.as_millis()
                    )));
                }
            };
            self.connection = Some(connection);
        }
        // Under a stricter isolation the counter would fail instead of wait. Every other writer
        // locks rows of `entities`, so having the table means that they have all finished and the
        // next ones wait; readers do not notice.
        let begin = sqlx::raw_sql(match alone {
            false => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
            true => {
                "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
                 LOCK TABLE entities IN EXCLUSIVE MODE"
            }
        });
        self.step(async move |connection| begin.execute(connection).await).await?;
        Ok(())
    }

    async fn edges(&mut self, roots: &[Ident]) -> Result<Vec<Edge>, Fault> {
        let query = sqlx::query(write::POSTGRES_EDGES)
            .bind(column(roots, |ident| ident.kind.as_str()))
            .bind(column(roots, |ident| ident.id));
        let rows = self.step(async move |connection| query.fetch_all(connection).await).await?;
        let edge = |row: &PgRow| -> Result<Edge, sqlx::Error> {
            Ok(Edge {
                from: Ident { kind: Kind::named(row.try_get::<&str, _>(0)?), id: row.try_get(1)? },
                field: row.try_get(2)?,
                cascade: row.try_get::<i32, _>(3)? == 1,
                to: Ident { kind: Kind::named(row.try_get::<&str, _>(4)?), id: row.try_get(5)? },
            })
        };
        let edges: Result<Vec<Edge>, sqlx::Error> = rows.iter().map(edge).collect();
        edges.map_err(|error| fault::postgres(&self.place, &error))
    }

    async fn look(&mut self, wanted: &Wanted) -> Result<Facts, Fault> {
        let entities: Vec<(&Ident, &Hold)> = wanted.entities.iter().collect();
        let keys: Vec<_> = wanted.keys.iter().collect();
        let query = sqlx::query(write::POSTGRES_LOOK)
            .bind(column(&entities, |(ident, _)| ident.kind.as_str()))
            .bind(column(&entities, |(ident, _)| ident.id))
            .bind(column(&entities, |(_, hold)| **hold as i32))
            .bind(column(&keys, |key| key.kind.as_str()))
            .bind(column(&keys, |key| &*key.field))
            .bind(column(&keys, |key| key.value.as_str()));
        let rows = self.step(async move |connection| query.fetch_all(connection).await).await?;
        let mut collector = Collector::new();
        for row in &rows {
            let row = looked(row).map_err(|error| fault::postgres(&self.place, &error))?;
            collector.take(row);
        }
        collector
            .finish()
            .ok_or_else(|| Fault::Race("what is written has just been changed".to_owned()))
    }

    async fn apply(&mut self, version: u64, plan: &Plan<'_>) -> Result<Cursor, Fault> {
        let version = version.cast_signed();
        for portion in plan.portions(PORTION) {
            self.apply_portion(version, &portion).await?;
        }
        let query = sqlx::query(write::POSTGRES_COUNT).bind(version).bind(plan.size());
        let row = self.step(async move |connection| query.fetch_one(connection).await).await?;
        let cursor = |row: &PgRow| -> Result<Cursor, sqlx::Error> {
            Ok(Cursor {
                epoch: row.try_get(0)?,
                revision: row.try_get::<i64, _>(1)?.unsigned_abs(),
            })
        };
        cursor(&row).map_err(|error| fault::postgres(&self.place, &error))
    }

    async fn keep(&mut self, statement: &Statement, args: &[Arg<'_>]) -> Result<(), Fault> {
        let query = postgres_query(statement, args);
        self.step(async move |connection| query.execute(connection).await).await?;
        Ok(())
    }

    async fn opened(&mut self) -> Result<Option<(u64, usize)>, Fault> {
        let query = postgres_query(&state::OPENED, &[]);
        let row = self.step(async move |connection| query.fetch_optional(connection).await).await?;
        let numbers = |row: PgRow| opened(row.try_get(0)?, row.try_get(1)?);
        let opened = row.map(numbers).transpose();
        opened.map_err(|error| fault::postgres(&self.place, &error))
    }

    async fn tally(&mut self, increments: &str) -> Result<Vec<(String, i64)>, Fault> {
        let query = postgres_query(&counters::ADD, &[Arg::Text(increments)]);
        let rows = self.step(async move |connection| query.fetch_all(connection).await).await?;
        let total = |row: &PgRow| Ok((row.try_get(0)?, row.try_get(1)?));
        let totals: Result<Vec<_>, sqlx::Error> = rows.iter().map(total).collect();
        totals.map_err(|error| fault::postgres(&self.place, &error))
    }

    async fn commit(&mut self) -> Result<(), Fault> {
        let commit = sqlx::raw_sql("COMMIT");
        match self.step(async move |connection| commit.execute(connection).await).await {
            Ok(_) => Ok(()),
            Err(Fault::Lost(why)) => Err(Fault::Unknown(format!(
                "{why}; the write was on its way, read to see whether it is there"
            ))),
            Err(fault) => Err(fault),
        }
    }

    async fn rollback(&mut self) {
        let Some(connection) = self.connection.as_mut() else { return };
        let undone = tokio::time::timeout(
            self.step_timeout,
            sqlx::raw_sql("ROLLBACK").execute(&mut *connection),
        );
        if !matches!(undone.await, Ok(Ok(_))) {
            // Closing it makes the server roll back.
            if let Some(connection) = self.connection.take() {
                drop(tokio::time::timeout(Duration::from_secs(1), connection.close_hard()).await);
            }
        }
    }
}

fn looked(row: &PgRow) -> Result<Looked, sqlx::Error> {
    Ok(Looked {
        part: row.try_get(0)?,
        kind: row.try_get(1)?,
        id: row.try_get(2)?,
        field: row.try_get(3)?,
        value: row.try_get(4)?,
        other: row.try_get(5)?,
        seen: row.try_get(6)?,
        held: row.try_get(7)?,
    })
}

type Bound<'q> = Query<'q, Postgres, PgArguments>;

fn column<'r, R, T>(rows: &'r [R], value: impl Fn(&'r R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

fn bind_touched<'q>(query: Bound<'q>, portion: &Portion<'_, '_>) -> Bound<'q> {
    let rows = portion.touched;
    query
        .bind(column(rows, |row| row.ord))
        .bind(column(rows, |row| row.mode as i32))
        .bind(column(rows, |row| row.ident.kind.as_str()))
        .bind(column(rows, |row| row.ident.id))
        .bind(column(rows, |row| row.body))
}

fn bind_key_names<'q>(query: Bound<'q>, rows: &[KeyRow]) -> Bound<'q> {
    query
        .bind(column(rows, |row| row.name.kind.as_str()))
        .bind(column(rows, |row| &*row.name.field))
        .bind(column(rows, |row| row.name.value.as_str()))
}

fn bind_keys<'q>(query: Bound<'q>, rows: &[KeyRow]) -> Bound<'q> {
    bind_key_names(query, rows).bind(column(rows, |row| row.id))
}

fn bind_references<'q>(query: Bound<'q>, rows: &[ReferenceRow]) -> Bound<'q> {
    query
        .bind(column(rows, |row| row.from.kind.as_str()))
        .bind(column(rows, |row| row.from.id))
        .bind(column(rows, |row| &*row.reference.field))
        .bind(column(rows, |row| row.reference.to.kind.as_str()))
        .bind(column(rows, |row| row.reference.to.id))
}

fn bind_tags<'q>(query: Bound<'q>, rows: &[TagRow<'_>]) -> Bound<'q> {
    query
        .bind(column(rows, |row| row.tag))
        .bind(column(rows, |row| row.ident.kind.as_str()))
        .bind(column(rows, |row| row.ident.id))
}
