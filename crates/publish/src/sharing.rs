//! Telling the other control planes of the data planes here, and hearing of theirs.
//!
//! Each control plane posts notices beside the log: of each data plane what has changed, all in one
//! statement, and a sign of life. While no other one lives, it does so now and then, for who comes
//! later; where there cannot be another one, only when something changed.

use std::time::Duration;

use lifecycle::{Backoff, Shutdown};
use store::Notice;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use crate::members::{LIVE, MEMBERS};
use crate::notices::withdrawn;
use crate::publisher::Shared;
use crate::siblings::{News, Reading, Siblings};

/// A control plane shows a sign of life so often, and looks for those of others.
const BEAT: Duration = Duration::from_secs(3);
/// While others listen, they are told of a change at once, but never more often than this…
const PACE: Duration = Duration::from_millis(50);
/// …and no more than this share of the time is spent on it, whatever there is to tell.
const SHARE: u32 = 10;
/// The longest pause by that rule.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A data plane that polls is mentioned again when it was heard of for so long since.
const REFRESH: Duration = Duration::from_secs(10);
/// At most about so many notices are posted at once…
const NOTICES: usize = 4_096;
/// …of about so many bytes.
const BYTES: usize = 4 << 20;
/// So often everything is said and read anew, and what nobody needs is cleared.
const ANEW: Duration = Duration::from_secs(600);
/// A control plane that was silent for so long does not come back.
const GONE: Duration = Duration::from_secs(3_600);

/// Shares until the shutdown begins.
pub(crate) async fn run(shared: &Shared, name: Uuid, shutdown: &Shutdown) {
    let now = Instant::now();
    let mut sharing = Sharing {
        shared,
        name,
        round: 0,
        siblings: Siblings::default(),
        anew_at: now,
        posted_at: None,
        heard_at: None,
        database_us: 0,
        forgive_until: now,
        backoff: Backoff::new(Duration::from_millis(100), BEAT),
        failing: false,
    };
    tokio::select! {
        () = shutdown.draining() => {}
        never = sharing.run() => match never {},
    }
}

struct Sharing<'a> {
    shared: &'a Shared,
    name: Uuid,
    round: u64,
    siblings: Siblings,
    anew_at: Instant,
    posted_at: Option<Instant>,
    heard_at: Option<Instant>,
    /// What the database's clock showed then.
    database_us: i64,
    /// The silence of others says nothing until then.
    forgive_until: Instant,
    backoff: Backoff,
    failing: bool,
}

impl Sharing<'_> {
    async fn run(&mut self) -> std::convert::Infallible {
        let mut changes = self.shared.fleet.changes();
        loop {
            changes.borrow_and_update();
            let began = Instant::now();
            match self.exchange().await {
                Ok(()) => self.recovered(),
                Err(error) => {
                    self.failed(&error);
                    let pause = self.shared.draw(|random| self.backoff.next_delay(random));
                    tokio::time::sleep(pause.max(PACE)).await;
                    continue;
                }
            }
            let ended = Instant::now();
            let pause = ((ended - began) * SHARE).clamp(PACE, LONGEST_PAUSE);
            let listened_to = self.siblings.any();
            tokio::select! {
                () = self.shared.store.noticed() => {}
                () = self.shared.fleet.has_untold(&mut changes), if listened_to => {}
                () = tokio::time::sleep(BEAT) => {}
            }
            tokio::time::sleep_until(ended + pause).await;
        }
    }

    async fn exchange(&mut self) -> Result<(), store::Error> {
        let whole = self.anew_at <= Instant::now();
        if whole {
            self.begin_anew().await?;
        }
        if whole || self.shared.store.is_shared() {
            self.hear(whole).await?;
        }
        self.tell().await?;
        if whole {
            self.anew_at = Instant::now() + self.shared.jittered(ANEW);
        }
        Ok(())
    }

    async fn begin_anew(&mut self) -> Result<(), store::Error> {
        let kept = self.shared.settings.purge_delay;
        self.shared.store.clear_notices(GONE, kept).await?;
        let mut members = self.shared.fleet.lock();
        members.local.values_mut().for_each(crate::members::Entry::retell_all);
        Ok(())
    }

    async fn hear(&mut self, whole: bool) -> Result<(), store::Error> {
        // One's own notices are not read.
        let mut known = vec![(self.name, u64::MAX)];
        if !whole {
            known.extend(self.siblings.known());
        }
        let read = self.shared.store.notices(&known).await?;
        let now = Instant::now();
        if self.heard_at.is_some_and(|heard_at| now - heard_at > LIVE / 2) {
            self.forgive_until = now + 2 * BEAT;
        }
        self.heard_at = Some(now);
        self.database_us = read.now_us;
        let after_outage = now < self.forgive_until;
        let news = self.siblings.take(read, self.name, Reading { now, whole, after_outage });
        self.shared.fleet.hear(news);
        Ok(())
    }

    async fn tell(&mut self) -> Result<(), store::Error> {
        self.withdraw();
        let notices = self.shared.fleet.untold();
        let beats = self.shared.store.is_shared()
            && self.posted_at.is_none_or(|posted_at| posted_at.elapsed() >= BEAT);
        if notices.is_empty() && !beats {
            return Ok(());
        }
        self.round += 1;
        let posted = self.shared.store.post(self.name, self.round, &notices).await;
        match posted {
            Ok(()) => self.posted_at = Some(Instant::now()),
            Err(_) => self.shared.fleet.retell(notices),
        }
        posted
    }

    /// What was said of those that were forgotten is not believed any more.
    fn withdraw(&mut self) {
        let Some(heard_at) = self.heard_at else { return };
        let signed = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        for (id, seen) in &self.shared.fleet.lock().forgotten {
            let since = signed(seen.saturating_duration_since(heard_at));
            let until = signed(heard_at.saturating_duration_since(*seen));
            self.siblings.withdraw(*id, self.database_us.saturating_add(since - until));
        }
    }

    fn recovered(&mut self) {
        self.backoff.reset();
        if std::mem::take(&mut self.failing) {
            tracing::info!("the control planes tell each other of their data planes again");
        }
    }

    fn failed(&mut self, error: &store::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(
                %error,
                "nothing can be heard of the data planes of other control planes; they are listed \
                 as they were last"
            );
        }
    }
}

impl crate::fleet::Fleet {
    /// What the other control planes have not been told, which counts as told from now on.
    fn untold(&self) -> Vec<Notice> {
        let mut members = self.lock();
        let members = &mut *members;
        let mut notices = Vec::new();
        for (id, seen) in members.forgotten.drain() {
            notices.extend(withdrawn(id, seen));
        }
        let mut bytes = 0;
        for entry in members.local.values_mut() {
            let before = notices.len();
            entry.tell(REFRESH, &mut notices);
            let said = notices.get(before..).unwrap_or_default();
            bytes += said
                .iter()
                .filter_map(|notice| notice.body.as_ref())
                .map(String::len)
                .sum::<usize>();
            if notices.len() >= NOTICES || bytes >= BYTES {
                break;
            }
        }
        notices
    }

    /// Waits until there is something to tell.
    async fn has_untold(&self, changes: &mut watch::Receiver<()>) {
        loop {
            // The fleet lives as long as this does.
            let _ = changes.changed().await;
            let members = self.lock();
            if !members.forgotten.is_empty()
                || members.local.values().any(|entry| entry.is_untold(REFRESH))
            {
                return;
            }
        }
    }

    /// These were not posted.
    fn retell(&self, notices: Vec<Notice>) {
        let mut members = self.lock();
        for Notice { subject, part, age_us, body } in notices {
            if body.is_none() {
                let seen = Instant::now().checked_sub(Duration::from_micros(age_us));
                members.forgotten.insert(subject, seen.unwrap_or_else(Instant::now));
            } else if let Some(entry) = members.local.get_mut(&subject) {
                entry.retell(&part);
            }
        }
    }

    /// Takes in what the other control planes say.
    fn hear(&self, news: News) {
        let mut members = self.lock();
        let was_deaf = std::mem::take(&mut members.deaf);
        if news.members.is_empty() && news.forgotten.is_empty() && !was_deaf {
            return;
        }
        for id in news.forgotten {
            if members.local.get(&id).is_some_and(|entry| !entry.is_live()) {
                members.local.remove(&id);
            }
        }
        for (id, entry) in news.members {
            match entry {
                Some(entry) if members.remote.len() < MEMBERS || entry.is_live() => {
                    members.remote.insert(id, entry);
                }
                _ => {
                    members.remote.remove(&id);
                }
            }
        }
        drop(members);
        self.announce();
    }
}
