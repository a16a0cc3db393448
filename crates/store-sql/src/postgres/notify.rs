//! Telling the other control planes that the log has grown, and hearing from them of that and of
//! their notices.
//!
//! A notification is sent after the commit and on another connection: inside of the transaction it
//! would serialise all commits of the server. It can be lost; readers poll as well.

use std::sync::Arc;
use std::time::Duration;

use lifecycle::Backoff;
use model::Cursor;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::growth::Growth;
use crate::notices;
use crate::pools::Pools;
use crate::sql::read;
use crate::sql_store::head;

const CHANNEL: &str = "weir_log";
/// The shortest time between two notifications: what is committed meanwhile needs no further one.
const APART: Duration = Duration::from_millis(5);
/// A listening connection that was silent for so long is tried: a broken one is silent, too.
const QUIET: Duration = Duration::from_secs(30);
const TRIED: Duration = Duration::from_secs(5);

/// Announces the newest commit of this process, again and again.
pub(crate) async fn announce(pool: PgPool, place: String, mut commits: watch::Receiver<Cursor>) {
    while commits.changed().await.is_ok() {
        let at = *commits.borrow_and_update();
        let notify = sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(at.to_string());
        if let Err(error) = notify.execute(&pool).await {
            tracing::warn!(%error, place, "the other control planes are not notified of {at}");
        }
        tokio::time::sleep(APART).await;
    }
}

/// Who is told of what is heard.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) pools: Pools,
    pub(crate) growth: Growth,
    pub(crate) news: Arc<Notify>,
}

/// Listens to other processes, for ever.
pub(crate) async fn listen(options: PgConnectOptions, connect_timeout: Duration, heard: Heard) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(15));
    let mut random = StdRng::from_os_rng();
    loop {
        let why = hear(&options, connect_timeout, &heard, &mut backoff).await;
        if backoff.failures() == 0 {
            tracing::warn!(why, "notifications are interrupted; the log is polled meanwhile");
        }
        tokio::time::sleep(backoff.next_delay(&mut random)).await;
    }
}

/// Listens until it fails, and says why it did.
async fn hear(
    options: &PgConnectOptions,
    connect_timeout: Duration,
    heard: &Heard,
    backoff: &mut Backoff,
) -> String {
    let Heard { pools, growth, news } = heard;
    // The listener wants a pool; it is the only user of this one.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(connect_timeout)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(options.clone());
    let mut listener = match PgListener::connect_with(&pool).await {
        Ok(listener) => listener,
        Err(error) => return error.to_string(),
    };
    // A lost connection ends this function, so that the caller reads what it has missed.
    listener.eager_reconnect(false);
    if let Err(error) = listener.listen_all([CHANNEL, notices::CHANNEL]).await {
        return error.to_string();
    }
    // What was announced while nobody listened.
    if let Err(error) = look(pools, growth).await {
        return error;
    }
    news.notify_one();
    backoff.reset();
    loop {
        match tokio::time::timeout(QUIET, listener.try_recv()).await {
            // Our own as well: reading finds nothing new then.
            Ok(Ok(Some(notification))) if notification.channel() == notices::CHANNEL => {
                news.notify_one();
            }
            Ok(Ok(Some(notification))) => match parse(notification.payload()) {
                Some(at) if at.epoch == growth.known().epoch => growth.reached(at),
                // Another history, or another store in the same database.
                _ => {
                    if let Err(error) = look(pools, growth).await {
                        return error;
                    }
                }
            },
            Ok(Ok(None)) => return "the connection was lost".to_owned(),
            Ok(Err(error)) => return error.to_string(),
            Err(_) => {
                let tried = sqlx::query("SELECT 1").execute(&mut listener);
                match tokio::time::timeout(TRIED, tried).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return error.to_string(),
                    Err(_) => return "the connection does not answer".to_owned(),
                }
            }
        }
    }
}

async fn look(pools: &Pools, growth: &Growth) -> Result<(), String> {
    let before = growth.known();
    let stands = pools.fetch(&read::HEAD, &[], head).await.map_err(|error| error.to_string())?;
    if let Some(stands) = stands.first() {
        growth.read(before, stands.at);
    }
    Ok(())
}

fn parse(payload: &str) -> Option<Cursor> {
    let (epoch, revision) = payload.split_once(':')?;
    Some(Cursor { epoch: Uuid::parse_str(epoch).ok()?, revision: revision.parse().ok()? })
}
