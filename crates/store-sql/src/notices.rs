//! Notices: posted beside the lanes where the database lets several write, and announced.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sqlx::PgPool;
use store::{Author, Error, Notice, Notices, Said};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::lane::Lanes;
use crate::ledger::Kept;
use crate::pools::{Arg, Pool, Pools, Record};
use crate::sql::notices as sql;

/// The channel on which Postgres tells that somebody has posted; the payload is the author.
pub(crate) const CHANNEL: &str = "weir_notices";

/// How notices are written.
#[derive(Debug)]
pub(crate) struct Board {
    /// Connections of their own on Postgres, which do not wait for the disk: what is lost by a
    /// crash is said again.
    pub(crate) own: Option<Pools>,
    /// Somebody else has posted.
    pub(crate) news: Arc<Notify>,
}

impl Board {
    pub(crate) async fn post(
        &self,
        lanes: &Lanes,
        author: Uuid,
        round: u64,
        notices: &[Notice],
    ) -> Result<(), Error> {
        let notice = |notice: &Notice| {
            json!([notice.subject, notice.part, notice.age_us.min(MAX), notice.body])
        };
        let said = serde_json::Value::from_iter(notices.iter().map(notice)).to_string();
        let round = round.min(MAX).cast_signed();
        let Some(own) = &self.own else {
            let mut post = vec![(sql::SIGN, vec![Kept::Id(author), Kept::Int(round)])];
            if !notices.is_empty() {
                post.push((sql::SAY, vec![Kept::Id(author), Kept::Int(round), Kept::Text(said)]));
            }
            return lanes.upkeep(post).await;
        };
        let args = [Arg::Id(author), Arg::Int(round), Arg::Text(&said)];
        own.fetch(&sql::SAY, &args, |_| Ok(())).await?;
        // A sign of life is no news to those who have heard one before.
        if round == 1 || !notices.is_empty() {
            announce(own, author).await;
        }
        Ok(())
    }

    pub(crate) async fn clear(
        &self,
        lanes: &Lanes,
        silent: Duration,
        kept: Duration,
    ) -> Result<(), Error> {
        let us = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX / 2);
        let (silent, kept) = (us(silent), us(kept));
        let Some(own) = &self.own else {
            let clear = (sql::CLEAR, vec![Kept::Int(silent), Kept::Int(kept)]);
            let authors = (sql::CLEAR_AUTHORS, vec![Kept::Int(silent)]);
            return lanes.upkeep(vec![clear, authors]).await;
        };
        own.fetch(&sql::CLEAR, &[Arg::Int(silent), Arg::Int(kept)], |_| Ok(())).await?;
        own.fetch(&sql::CLEAR_AUTHORS, &[Arg::Int(silent)], |_| Ok(())).await?;
        Ok(())
    }
}

/// What fits into the database's numbers.
const MAX: u64 = i64::MAX.unsigned_abs();

pub(crate) async fn read(pools: &Pools, known: &[(Uuid, u64)]) -> Result<Notices, Error> {
    let known = known.iter().map(|(author, round)| json!([author, (*round).min(MAX)]));
    let known = serde_json::Value::from_iter(known).to_string();
    let mut read = Notices::default();
    let row = |record: Record<'_>| {
        read.now_us = record.int(0)?;
        let Some(author) = record.maybe_id(1)? else { return Ok(()) };
        if read.authors.last().is_none_or(|last| last.id != author) {
            let (posted_us, round) = (record.int(2)?, record.count(3)?);
            read.authors.push(Author { id: author, posted_us, round });
        }
        let Some(subject) = record.maybe_id(4)? else { return Ok(()) };
        read.said.push(Said {
            author,
            subject,
            part: record.text(5)?.to_owned(),
            said_us: record.int(6)?,
            body: record.maybe_text(7)?.map(str::to_owned),
        });
        Ok(())
    };
    pools.fetch(&sql::READ, &[Arg::Text(&known)], row).await?;
    Ok(read)
}

/// After the commit: inside of it, all commits of the server would queue for it.
async fn announce(pools: &Pools, author: Uuid) {
    let Pool::Postgres(pool) = &pools.pool else { return };
    if let Err(error) = notify(pool, author).await {
        tracing::debug!(%error, "the other control planes look by themselves");
    }
}

async fn notify(pool: &PgPool, author: Uuid) -> Result<(), sqlx::Error> {
    let notify = sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(author.to_string());
    notify.execute(pool).await.map(|_| ())
}
