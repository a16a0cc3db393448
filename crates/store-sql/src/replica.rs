//! Reading from a replica of the Postgres that is written to.
//!
//! A replica shows the past. What is read from it is what the caller may expect when it has reached
//! the newest revision that this process has written or seen, so every read asks it for that
//! first, on the same connection: behind one name there may be several servers, which lag each for
//! itself. Otherwise, and when it does not answer, the primary is read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::TryStreamExt;
use lifecycle::Backoff;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sqlx::PgPool;
use tokio::time::{Instant, timeout};

use crate::growth::Growth;
use crate::options::ReplicaReads;
use crate::pools::{Arg, Record, postgres_query};
use crate::sql::{Statement, read};
use crate::sql_store::head;

/// The pauses between two tries, of which each is twice as long as the one before.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Lagging is worth a line in the log when it lasts.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// The connections to the replica.
#[derive(Debug)]
pub(crate) struct Replica {
    pool: PgPool,
    place: String,
    /// A read that takes longer is given up.
    patience: Duration,
    growth: Growth,
    reads: Arc<ReplicaReads>,
    trouble: Mutex<Trouble>,
}

#[derive(Debug)]
struct Trouble {
    backoff: Backoff,
    random: StdRng,
    /// Not asked before.
    pause_until: Instant,
    /// Since when it has not been of use.
    since: Option<Instant>,
    told: bool,
}

/// Why the replica was of no use.
enum Useless {
    Behind,
    Unreachable(String),
}

impl Replica {
    pub(crate) fn new(
        pool: PgPool,
        place: String,
        patience: Duration,
        growth: Growth,
        reads: Arc<ReplicaReads>,
    ) -> Replica {
        let trouble = Trouble {
            backoff: Backoff::new(SHORTEST_PAUSE, LONGEST_PAUSE),
            random: StdRng::from_os_rng(),
            pause_until: Instant::now(),
            since: None,
            told: false,
        };
        Replica { pool, place, patience, growth, reads, trouble: Mutex::new(trouble) }
    }

    /// The rows of a statement that only reads; `None` when the primary is to be asked for them.
    pub(crate) async fn fetch<T: Send>(
        &self,
        statement: &Statement,
        args: &[Arg<'_>],
        each: impl FnMut(Record<'_>) -> Result<T, sqlx::Error> + Send,
    ) -> Option<Vec<T>> {
        if Instant::now() < self.trouble().pause_until {
            ReplicaReads::count(&self.reads.passed_over);
            return None;
        }
        let answer = match timeout(self.patience, self.ask(statement, args, each)).await {
            Ok(answer) => answer,
            Err(_) => {
                let after = format!("no answer within {} ms", self.patience.as_millis());
                Err(Useless::Unreachable(after))
            }
        };
        match answer {
            Ok(rows) => {
                self.useful();
                Some(rows)
            }
            Err(useless) => {
                self.useless(&useless);
                None
            }
        }
    }

    async fn ask<T: Send>(
        &self,
        statement: &Statement,
        args: &[Arg<'_>],
        mut each: impl FnMut(Record<'_>) -> Result<T, sqlx::Error> + Send,
    ) -> Result<Vec<T>, Useless> {
        let failed = |error: sqlx::Error| Useless::Unreachable(error.to_string());
        let floor = self.growth.known();
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        let row =
            postgres_query(&read::HEAD, &[]).fetch_one(&mut *connection).await.map_err(failed)?;
        let at = head(Record::Postgres(&row)).map_err(failed)?.at;
        if at.epoch != floor.epoch || at.revision < floor.revision {
            return Err(Useless::Behind);
        }
        let mut out = Vec::new();
        let mut rows = postgres_query(statement, args).fetch(&mut *connection);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            out.push(each(Record::Postgres(&row)).map_err(failed)?);
        }
        Ok(out)
    }

    fn useful(&self) {
        ReplicaReads::count(&self.reads.served);
        let mut trouble = self.trouble();
        trouble.backoff.reset();
        trouble.since = None;
        if std::mem::take(&mut trouble.told) {
            tracing::info!(place = self.place, "the replica is read again");
        }
    }

    fn useless(&self, why: &Useless) {
        ReplicaReads::count(match why {
            Useless::Behind => &self.reads.behind,
            Useless::Unreachable(_) => &self.reads.unreachable,
        });
        let now = Instant::now();
        let mut trouble = self.trouble();
        let trouble = &mut *trouble;
        trouble.pause_until = now + trouble.backoff.next_delay(&mut trouble.random);
        let since = *trouble.since.get_or_insert(now);
        let why = match why {
            Useless::Behind if now - since < WORTH_TELLING => return,
            Useless::Behind => "it has not reached the newest revision that is known here",
            Useless::Unreachable(why) => why,
        };
        if !std::mem::replace(&mut trouble.told, true) {
            tracing::warn!(
                place = self.place,
                why,
                "the replica is of no use; the primary is read"
            );
        }
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
