//! Writing to SQLite: one connection, no round trips, rows passed in as JSON documents.

use model::{Cursor, Kind};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row, Sqlite, SqliteConnection};
use uuid::Uuid;

use crate::facts::{Collector, Edge, Facts, Ident, Looked, Wanted};
use crate::fault::{self, Fault};
use crate::ledger::{Ledger, opened};
use crate::plan::{KeyRow, Mode, Plan, Portion, ReferenceRow, TagRow};
use crate::pools::{Arg, sqlite_query};
use crate::sql::{Statement, counters, state, write};

/// Rows of a table that are passed in at once: a document stays within a few MB.
const PORTION: usize = 1000;

/// The connection that writes.
#[derive(Debug)]
pub(crate) struct SqliteLedger {
    place: String,
    connection: SqliteConnection,
}

impl SqliteLedger {
    pub(crate) fn new(place: String, connection: SqliteConnection) -> SqliteLedger {
        SqliteLedger { place, connection }
    }

    async fn run(&mut self, sql: &'static str, bind: Bind<'_>) -> Result<(), Fault> {
        let query = bind.to(sqlx::query(sql));
        let done = query.execute(&mut self.connection).await;
        done.map_err(|error| fault::sqlite(&self.place, &error))?;
        Ok(())
    }

    async fn plain(&mut self, sql: &'static str) -> Result<(), Fault> {
        let done = sqlx::raw_sql(sql).execute(&mut self.connection).await;
        done.map_err(|error| fault::sqlite(&self.place, &error))?;
        Ok(())
    }

    async fn rows(&mut self, sql: &'static str, bind: Bind<'_>) -> Result<Vec<SqliteRow>, Fault> {
        let rows = bind.to(sqlx::query(sql)).fetch_all(&mut self.connection).await;
        rows.map_err(|error| fault::sqlite(&self.place, &error))
    }

    async fn apply_portion(
        &mut self,
        version: i64,
        portion: &Portion<'_, '_>,
    ) -> Result<(), Fault> {
        let modes = |mode: Mode| portion.touched.iter().any(|touched| touched.mode == mode);
        let touched = (!portion.touched.is_empty()).then(|| touched(portion));
        let with_touched =
            |sql| (sql, Bind::Versioned(version, touched.as_deref().unwrap_or("[]")));
        if touched.is_some() {
            let (sql, bind) = with_touched(write::SQLITE_KEEP_BEFORE);
            self.run(sql, bind).await?;
        }
        if modes(Mode::Insert) {
            let (sql, bind) = with_touched(write::SQLITE_INSERT_ENTITIES);
            self.run(sql, bind).await?;
        }
        if modes(Mode::Update) {
            let (sql, bind) = with_touched(write::SQLITE_UPDATE_ENTITIES);
            self.run(sql, bind).await?;
        }
        if touched.is_some() {
            let (sql, bind) = with_touched(write::SQLITE_INSERT_CHANGES);
            self.run(sql, bind).await?;
        }
        for (sql, rows) in [
            (write::SQLITE_DROP_KEYS, keys(portion.dropped_keys)),
            (write::SQLITE_MOVE_KEYS, keys(portion.moved_keys)),
            (write::SQLITE_ADD_KEYS, keys(portion.added_keys)),
            (write::SQLITE_DROP_REFS, references(portion.dropped_references)),
            (write::SQLITE_ADD_REFS, references(portion.added_references)),
            (write::SQLITE_DROP_TAGS, tags(portion.dropped_tags)),
            (write::SQLITE_ADD_TAGS, tags(portion.added_tags)),
        ] {
            if let Some(rows) = rows {
                self.run(sql, Bind::Rows(&rows)).await?;
            }
        }
        if modes(Mode::Delete) {
            let (sql, bind) = with_touched(write::SQLITE_DELETE_ENTITIES);
            self.run(sql, bind).await?;
        }
        Ok(())
    }
}

impl Ledger for SqliteLedger {
    const SHARED: bool = false;

    async fn begin(&mut self, _alone: bool) -> Result<(), Fault> {
        // Taking the write lock at once: a transaction that begins by reading cannot always become
        // one that writes.
        self.plain("BEGIN IMMEDIATE").await
    }

    async fn edges(&mut self, roots: &[Ident]) -> Result<Vec<Edge>, Fault> {
        let roots = document(roots.iter().map(|ident| (ident.kind.as_str(), ident.id)));
        let rows = self.rows(write::SQLITE_EDGES, Bind::Rows(&roots)).await?;
        let edge = |row: &SqliteRow| -> Result<Edge, sqlx::Error> {
            Ok(Edge {
                from: Ident { kind: Kind::named(row.try_get::<&str, _>(0)?), id: row.try_get(1)? },
                field: row.try_get(2)?,
                cascade: row.try_get::<i32, _>(3)? == 1,
                to: Ident { kind: Kind::named(row.try_get::<&str, _>(4)?), id: row.try_get(5)? },
            })
        };
        let edges: Result<Vec<Edge>, sqlx::Error> = rows.iter().map(edge).collect();
        edges.map_err(|error| fault::sqlite(&self.place, &error))
    }

    async fn look(&mut self, wanted: &Wanted) -> Result<Facts, Fault> {
        let entities = wanted.entities.iter();
        let entities =
            document(entities.map(|(ident, hold)| (ident.kind.as_str(), ident.id, *hold as i32)));
        let keys = wanted.keys.iter();
        let keys = document(keys.map(|key| (key.kind.as_str(), &*key.field, key.value.as_str())));
        let rows = self.rows(write::SQLITE_LOOK, Bind::Two(&entities, &keys)).await?;
        let mut collector = Collector::new();
        for row in &rows {
            let row = looked(row).map_err(|error| fault::sqlite(&self.place, &error))?;
            collector.take(row);
        }
        collector.finish().ok_or_else(|| Fault::Race("no lock can be waited for here".to_owned()))
    }

    async fn apply(&mut self, version: u64, plan: &Plan<'_>) -> Result<Cursor, Fault> {
        let version = version.cast_signed();
        for portion in plan.portions(PORTION) {
            self.apply_portion(version, &portion).await?;
        }
        let rows = self.rows(write::SQLITE_NEXT_REVISION, Bind::Nothing).await?;
        let row = rows.first().ok_or_else(|| {
            Fault::Refused(store::Error::Failed(format!("{}: store_state is empty", self.place)))
        })?;
        let cursor = |row: &SqliteRow| -> Result<Cursor, sqlx::Error> {
            Ok(Cursor {
                epoch: row.try_get(0)?,
                revision: row.try_get::<i64, _>(1)?.unsigned_abs(),
            })
        };
        let at = cursor(row).map_err(|error| fault::sqlite(&self.place, &error))?;
        self.run(write::SQLITE_APPEND_REVISION, Bind::Numbers(version, plan.size())).await?;
        Ok(at)
    }

    async fn keep(&mut self, statement: &Statement, args: &[Arg<'_>]) -> Result<(), Fault> {
        let done = sqlite_query(statement, args).execute(&mut self.connection).await;
        done.map_err(|error| fault::sqlite(&self.place, &error))?;
        Ok(())
    }

    async fn opened(&mut self) -> Result<Option<(u64, usize)>, Fault> {
        let query = sqlite_query(&state::OPENED, &[]);
        let row = query.fetch_optional(&mut self.connection).await;
        let numbers = |row: SqliteRow| opened(row.try_get(0)?, row.try_get(1)?);
        let opened = row.and_then(|row| row.map(numbers).transpose());
        opened.map_err(|error| fault::sqlite(&self.place, &error))
    }

    async fn tally(&mut self, increments: &str) -> Result<Vec<(String, i64)>, Fault> {
        let query = sqlite_query(&counters::ADD, &[Arg::Text(increments)]);
        let rows = query.fetch_all(&mut self.connection).await;
        let total = |row: &SqliteRow| Ok((row.try_get(0)?, row.try_get(1)?));
        let totals: Result<Vec<_>, sqlx::Error> =
            rows.and_then(|rows| rows.iter().map(total).collect());
        totals.map_err(|error| fault::sqlite(&self.place, &error))
    }

    async fn commit(&mut self) -> Result<(), Fault> {
        let committed = self.plain("COMMIT").await;
        if committed.is_err() {
            // A commit that failed (a full disk) leaves the transaction open.
            self.rollback().await;
        }
        committed
    }

    async fn rollback(&mut self) {
        // Refused when an error has rolled back already.
        if let Err(error) = sqlx::raw_sql("ROLLBACK").execute(&mut self.connection).await {
            tracing::debug!(%error, "nothing to roll back");
        }
    }
}

/// The parameters of a statement.
#[derive(Clone, Copy)]
enum Bind<'a> {
    Nothing,
    Numbers(i64, i32),
    Rows(&'a str),
    Two(&'a str, &'a str),
    Versioned(i64, &'a str),
}

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

impl Bind<'_> {
    fn to(self, query: Query<'_>) -> Query<'_> {
        match self {
            Bind::Nothing => query,
            Bind::Numbers(one, two) => query.bind(one).bind(two),
            Bind::Rows(rows) => query.bind(rows.to_owned()),
            Bind::Two(one, two) => query.bind(one.to_owned()).bind(two.to_owned()),
            Bind::Versioned(version, rows) => query.bind(version).bind(rows.to_owned()),
        }
    }
}

fn looked(row: &SqliteRow) -> Result<Looked, sqlx::Error> {
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

fn document<T: serde::Serialize>(rows: impl Iterator<Item = T>) -> String {
    let rows: Vec<T> = rows.collect();
    serde_json::to_string(&rows).unwrap_or_default()
}

fn touched(portion: &Portion<'_, '_>) -> String {
    document(
        portion
            .touched
            .iter()
            .map(|row| (row.ord, row.mode as i32, row.ident.kind.as_str(), row.ident.id, row.body)),
    )
}

fn keys(rows: &[KeyRow]) -> Option<String> {
    let row = |row: &KeyRow| -> (String, String, String, Uuid) {
        let name = &row.name;
        (name.kind.to_string(), name.field.to_string(), name.value.clone(), row.id)
    };
    (!rows.is_empty()).then(|| document(rows.iter().map(row)))
}

fn references(rows: &[ReferenceRow]) -> Option<String> {
    let row = |row: &ReferenceRow| {
        let reference = &row.reference;
        let to = &reference.to;
        let from = (row.from.kind.to_string(), row.from.id);
        let (field, rule) = (reference.field.to_string(), row.on_delete());
        (from.0, from.1, field, to.kind.to_string(), to.id, rule)
    };
    (!rows.is_empty()).then(|| document(rows.iter().map(row)))
}

fn tags(rows: &[TagRow<'_>]) -> Option<String> {
    let row = |row: &TagRow<'_>| (row.tag.to_owned(), row.ident.kind.to_string(), row.ident.id);
    (!rows.is_empty()).then(|| document(rows.iter().map(row)))
}
