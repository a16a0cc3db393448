//! The store's promises, over pools that read and lanes that write.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::time::Duration;

use async_trait::async_trait;
use model::{Change, Cursor, Entity, Kind, Transaction};
use serde_json::json;
use store::{
    Committed, Error, Head, Increment, Key, ListQuery, Log, Notice, Notices, OpenRollout,
    Operation, Page, Store, TagFilter, TaggedEntity, WriteSet,
};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::facts::indexed;
use crate::growth::Growth;
use crate::lane::Lanes;
use crate::ledger::Kept;
use crate::notices::{self, Board};
use crate::pools::{Arg, Pools, Record};
use crate::replica::Replica;
use crate::sql::{Statement, counters, read, state};

/// About so many changes are dropped from the log in one transaction, so that writes wait only
/// shortly for it.
const COMPACT_STEP: i64 = 2000;

/// Either database.
#[derive(Debug)]
pub(crate) struct SqlStore {
    pub(crate) pools: Pools,
    /// Where reads may go that need not see what other processes have just written.
    pub(crate) replica: Option<Replica>,
    pub(crate) lanes: Lanes,
    pub(crate) growth: Growth,
    pub(crate) board: Board,
    /// What runs beside it.
    #[expect(dead_code, reason = "dropped with the store")]
    pub(crate) tasks: Vec<Task>,
    /// Keeps other processes from the SQLite file.
    pub(crate) lock: Option<File>,
}

/// A task that ends with the store.
#[derive(Debug)]
pub(crate) struct Task(pub(crate) JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[async_trait]
impl Store for SqlStore {
    async fn get(&self, kind: &str, id: Uuid) -> Result<Option<Entity>, Error> {
        let args = [Arg::Text(kind), Arg::Id(id)];
        Ok(self.fetch(&read::GET, &args, entity).await?.pop())
    }

    async fn find(&self, kind: &str, key: &Key) -> Result<Option<Entity>, Error> {
        // Postgres has no such text, so nothing can be stored under it: see `storable`.
        if key.value.contains('\0') {
            return Ok(None);
        }
        let value = indexed(&key.value);
        let args = [Arg::Text(kind), Arg::Text(key.field), Arg::Text(&value)];
        Ok(self.fetch(&read::FIND, &args, entity).await?.pop())
    }

    async fn keyed_before(
        &self,
        kind: &str,
        field: &str,
        before: &str,
        limit: u32,
    ) -> Result<Vec<Entity>, Error> {
        let limit = Arg::Int(i64::from(limit));
        let args = [Arg::Text(kind), Arg::Text(field), Arg::Text(before), limit];
        self.fetch(&read::KEYED_BEFORE, &args, entity).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, Error> {
        let end = Page { entities: Vec::new(), more: false };
        let Some(first) = successor(query.after) else { return Ok(end) };
        // One more than asked for tells whether there are more.
        let limit = i64::from(query.size) + 1;
        let kind = Arg::Text(query.kind.as_str());
        let page = [kind, Arg::Id(first), Arg::Int(limit)];
        let (tags, needed) = match &query.tags {
            None => (Vec::new(), 0),
            Some(TagFilter::Any(tags)) => (distinct(tags), 1),
            Some(TagFilter::All(tags)) => {
                let tags = distinct(tags);
                let needed = i64::try_from(tags.len()).unwrap_or(i64::MAX);
                (tags, needed)
            }
        };
        let entities = if let Some((field, to_id)) = query.referring {
            let [kind, first, limit] = page;
            let tags = [Arg::Texts(&tags), Arg::Int(needed)];
            let args = [kind, first, limit, tags[0], tags[1], Arg::Text(field), Arg::Id(to_id)];
            self.fetch(&read::LIST_REFERRING, &args, entity).await?
        } else if needed == 0 {
            self.fetch(&read::LIST, &page, entity).await?
        } else if tags.is_empty() {
            return Ok(end); // any of no tags
        } else if needed > 1 || tags.len() == 1 {
            let [kind, first, limit] = page;
            let one = tags.first().map_or("", String::as_str);
            let args = [kind, first, limit, Arg::Texts(&tags), Arg::Int(needed), Arg::Text(one)];
            self.fetch(&read::LIST_ALL_TAGS, &args, entity).await?
        } else {
            let [kind, first, limit] = page;
            let args = [kind, first, limit, Arg::Texts(&tags)];
            self.fetch(&read::LIST_ANY_TAG, &args, entity).await?
        };
        let size = usize::try_from(query.size).unwrap_or(usize::MAX);
        let more = entities.len() > size;
        Ok(Page { entities: entities.into_iter().take(size).collect(), more })
    }

    async fn tags(
        &self,
        tag: Option<&str>,
        after: Option<&TaggedEntity>,
        size: u32,
    ) -> Result<Vec<TaggedEntity>, Error> {
        let (kind, id) = match after {
            Some(after) => (after.kind.as_str(), after.id),
            None => ("", Uuid::nil()),
        };
        let limit = Arg::Int(i64::from(size));
        let tagged = |record: Record<'_>| {
            Ok(TaggedEntity {
                tag: record.text(0)?.to_owned(),
                kind: Kind::named(record.text(1)?),
                id: record.id(2)?,
            })
        };
        match tag {
            Some(tag) => {
                let args = [Arg::Text(tag), Arg::Text(kind), Arg::Id(id), limit];
                self.fetch(&read::TAGGED, &args, tagged).await
            }
            None => {
                let tag = after.map_or("", |after| &after.tag);
                let args = [Arg::Text(tag), Arg::Text(kind), Arg::Id(id), limit];
                self.fetch(&read::TAGS, &args, tagged).await
            }
        }
    }

    async fn referrers(&self, kind: &str, id: Uuid) -> Result<Vec<Entity>, Error> {
        self.fetch(&read::REFERRERS, &[Arg::Text(kind), Arg::Id(id)], entity).await
    }

    async fn write(&self, set: WriteSet) -> Result<Committed, Error> {
        if set.operations.is_empty() {
            return Ok(Committed { at: self.head().await?.at, changes: Vec::new() });
        }
        storable(&set)?;
        let written = self.lanes.write(set).await;
        if self.replica.is_some() && written.is_err() {
            // What stands in the way may be newer than all that is known here: it must be read next.
            if let Err(error) = self.head().await {
                tracing::debug!(%error, "what stands in the way may not be seen at once");
            }
        }
        written
    }

    async fn head(&self) -> Result<Head, Error> {
        let before = self.growth.known();
        let head =
            self.pools.fetch(&read::HEAD, &[], head).await?.pop().ok_or_else(|| self.empty())?;
        self.growth.read(before, head.at);
        Ok(head)
    }

    async fn log_after(&self, after: u64, limit: usize) -> Result<Log, Error> {
        let before = self.growth.known();
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit.max(1)).unwrap_or(i64::MAX);
        let mut log: Option<Head> = None;
        let mut transactions: Vec<Transaction> = Vec::new();
        let row = |record: Record<'_>| {
            log = Some(head(record)?);
            let (Some(revision), Some(committed_us), Some(kind), Some(id)) = (
                record.maybe_int(4)?,
                record.maybe_int(5)?,
                record.maybe_text(6)?,
                record.maybe_id(7)?,
            ) else {
                return Ok(()); // nothing newer
            };
            let body = record.maybe_text(8)?.map(Into::into);
            let change = Change { kind: Kind::named(kind), id, body };
            let revision = revision.unsigned_abs();
            match transactions.last_mut() {
                Some(last) if last.revision == revision => last.changes.push(change),
                _ => transactions.push(Transaction {
                    prev: revision.saturating_sub(1),
                    revision,
                    committed_us,
                    changes: vec![change],
                }),
            }
            Ok(())
        };
        self.pools.fetch(&read::LOG_AFTER, &[Arg::Int(after), Arg::Int(limit)], row).await?;
        let head = log.ok_or_else(|| self.empty())?;
        self.growth.read(before, head.at);
        Ok(Log { head, transactions })
    }

    async fn snapshot(&self) -> Result<(Cursor, Vec<Entity>), Error> {
        let mut at: Option<Cursor> = None;
        let row = |record: Record<'_>| {
            if at.is_none() {
                at = Some(Cursor { epoch: record.id(0)?, revision: record.count(1)? });
            }
            let Some(kind) = record.maybe_text(2)? else { return Ok(None) };
            Ok(Some(Entity {
                kind: Kind::named(kind),
                id: record.id(3)?,
                body: record.text(4)?.into(),
                version: record.count(5)?,
            }))
        };
        let entities = self.pools.fetch(&read::SNAPSHOT, &[], row).await?;
        let at = at.ok_or_else(|| self.empty())?;
        Ok((at, entities.into_iter().flatten().collect()))
    }

    async fn rollout(&self) -> Result<Option<OpenRollout>, Error> {
        let mut open: Option<OpenRollout> = None;
        let row = |record: Record<'_>| {
            let opened = record.count(0)?;
            let open = open.get_or_insert_with(|| OpenRollout { opened, before: Vec::new() });
            if let Some(kind) = record.maybe_text(1)? {
                open.before.push(Change {
                    kind: Kind::named(kind),
                    id: record.id(2)?,
                    body: record.maybe_text(3)?.map(Into::into),
                });
            }
            Ok(())
        };
        self.pools.fetch(&read::ROLLOUT, &[], row).await?;
        Ok(open)
    }

    async fn grown(&self, revision: u64) {
        self.growth.beyond(revision).await;
    }

    async fn compact(&self, revision: u64) -> Result<(), Error> {
        let head = self.head().await?;
        let target = i64::try_from(revision.min(head.at.revision)).unwrap_or(i64::MAX);
        let mut done = i64::try_from(head.compacted).unwrap_or(i64::MAX);
        while done < target {
            let args = [Arg::Int(target), Arg::Int(COMPACT_STEP)];
            let step =
                self.pools.fetch(&state::COMPACT_STEP, &args, |record| record.int(0)).await?;
            done = step.first().copied().unwrap_or(target);
            let upto = vec![Kept::Int(done)];
            self.lanes
                .upkeep(vec![
                    (state::COMPACT_CHANGES, upto.clone()),
                    (state::COMPACT_REVISIONS, upto.clone()),
                    (state::COMPACTED, upto),
                ])
                .await?;
        }
        Ok(())
    }

    async fn revision_at(&self, time_us: i64) -> Result<u64, Error> {
        let row = |record: Record<'_>| record.count(0);
        let found = self.pools.fetch(&read::REVISION_AT, &[Arg::Int(time_us)], row).await?;
        found.first().copied().ok_or_else(|| self.empty())
    }

    async fn renew_epoch(&self, seen: Cursor) -> Result<Cursor, Error> {
        let revision = i64::try_from(seen.revision).unwrap_or(i64::MAX);
        let args = vec![Kept::Id(Uuid::new_v4()), Kept::Id(seen.epoch), Kept::Int(revision)];
        self.lanes.upkeep(vec![(state::RENEW_EPOCH, args)]).await?;
        Ok(self.head().await?.at)
    }

    async fn count(&self, increments: &[Increment]) -> Result<Vec<i64>, Error> {
        let mut sums: BTreeMap<&str, (i64, u64)> = BTreeMap::new();
        for increment in increments {
            let (by, expires_at) = sums.entry(&increment.key).or_default();
            *by = by.saturating_add(increment.by);
            *expires_at = increment.expires_at.max(*expires_at);
        }
        if sums.is_empty() {
            return Ok(Vec::new());
        }
        let rows = sums.iter().map(|(key, (by, expires_at))| json!([key, by, expires_at]));
        let totals = self.lanes.count(serde_json::Value::from_iter(rows).to_string()).await?;
        let totals: HashMap<String, i64> = totals.into_iter().collect();
        let total = |increment: &Increment| totals.get(&increment.key).copied();
        increments.iter().map(total).collect::<Option<_>>().ok_or_else(|| {
            Error::Failed(format!("{}: not every counter was told", self.pools.place))
        })
    }

    async fn forget_counters(&self) -> Result<(), Error> {
        self.lanes.upkeep(vec![(counters::FORGET, Vec::new())]).await
    }

    fn is_shared(&self) -> bool {
        self.lock.is_none()
    }

    async fn post(&self, author: Uuid, round: u64, notices: &[Notice]) -> Result<(), Error> {
        self.board.post(&self.lanes, author, round, notices).await
    }

    async fn notices(&self, known: &[(Uuid, u64)]) -> Result<Notices, Error> {
        notices::read(&self.pools, known).await
    }

    async fn noticed(&self) {
        self.board.news.notified().await;
    }

    async fn clear_notices(&self, silent: Duration, kept: Duration) -> Result<(), Error> {
        self.board.clear(&self.lanes, silent, kept).await
    }
}

impl SqlStore {
    /// What the Admin API reads, from the replica if that has all that is known here.
    async fn fetch<T: Send>(
        &self,
        statement: &Statement,
        args: &[Arg<'_>],
        each: fn(Record<'_>) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, Error> {
        if let Some(replica) = &self.replica
            && let Some(rows) = replica.fetch(statement, args, each).await
        {
            return Ok(rows);
        }
        self.pools.fetch(statement, args, each).await
    }

    fn empty(&self) -> Error {
        Error::Failed(format!(
            "{}: the table store_state is empty; restore a backup",
            self.pools.place
        ))
    }
}

fn entity(record: Record<'_>) -> Result<Entity, sqlx::Error> {
    Ok(Entity {
        kind: Kind::named(record.text(0)?),
        id: record.id(1)?,
        body: record.text(2)?.into(),
        version: record.count(3)?,
    })
}

/// The first four columns of what reads the state.
pub(crate) fn head(record: Record<'_>) -> Result<Head, sqlx::Error> {
    Ok(Head {
        at: Cursor { epoch: record.id(0)?, revision: record.count(1)? },
        compacted: record.count(2)?,
        now_us: record.int(3)?,
    })
}

/// The least id behind `after`; `None` when there is none.
fn successor(after: Option<Uuid>) -> Option<Uuid> {
    match after {
        None => Some(Uuid::nil()),
        Some(id) => id.as_u128().checked_add(1).map(Uuid::from_u128),
    }
}

fn distinct(tags: &[String]) -> Vec<String> {
    let mut tags = tags.to_vec();
    tags.sort_unstable();
    tags.dedup();
    tags
}

/// Postgres cannot store U+0000 in a text. (A body cannot contain it: JSON escapes it.)
fn storable(set: &WriteSet) -> Result<(), Error> {
    let bad = set.operations.iter().find_map(|operation| match operation {
        Operation::Insert(row) | Operation::Update { row, .. } | Operation::Upsert(row) => {
            let values = row.keys.iter().map(|key| &key.value);
            values.chain(&row.tags).any(|text| text.contains('\0')).then_some(row)
        }
        Operation::Delete { .. } => None,
    });
    match bad {
        None => Ok(()),
        Some(row) => Err(Error::Failed(format!(
            "{} {} has a key or a tag with the character U+0000, which cannot be stored",
            row.kind, row.id
        ))),
    }
}
