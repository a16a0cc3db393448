//! The loop that drives the machine: makes its calls, applies what they bring, reports, keeps the
//! last good configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lifecycle::Shutdown;
use model::Cursor;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tonic::transport::Channel;
use wire::{Health, v1};

use crate::apply::Apply;
use crate::calls::{self, Reply};
use crate::disk::{self, Kept, SnapshotKey};
use crate::health::{HealthReports, Heard};
use crate::inbox::Inbox;
use crate::machine::{Brought, Command, Event, Machine, Said};
use crate::report::{Reports, node_to, report_to};
use crate::serving::{Serving, Work};
use crate::settings::Settings;
use crate::status::Status;

/// How much may arrive while something is applied: the rest waits at the control plane.
const EVENTS: usize = 64;
/// The file is written at most this often…
const SAVE_PAUSE: Duration = Duration::from_secs(1);
/// …and so many times longer than the last time took lies between two: a large configuration that
/// changes all the time takes no more than a twentieth of a core and of the disk.
const SAVE_SHARE: u32 = 20;
/// The last report may take this long.
const LAST_REPORT: Duration = Duration::from_secs(1);

/// Follows the control planes.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    status: watch::Sender<Status>,
    health: watch::Receiver<Arc<Health>>,
}

/// A panic, most likely in the [`Apply`]. What is served stays as it was before.
#[derive(Debug, thiserror::Error)]
#[error("following the control planes crashed: {0}")]
pub struct Crashed(#[from] JoinError);

/// What a task brings back to the loop.
enum Done {
    Event(Event),
    /// A stream's task; what it had to say came before.
    StreamOver,
    Reported(Option<Reply>),
    HealthReported(Heard),
    Saved(Saved),
}

/// The file was written, or was not.
struct Saved {
    at: Cursor,
    took: Duration,
    result: std::io::Result<()>,
}

/// Everything that the loop holds but what is served.
struct Driver {
    settings: Settings,
    node: v1::Node,
    machine: Machine,
    channels: Vec<Option<Channel>>,
    /// Who answered last: reports go there while there is no stream.
    answered: Option<usize>,
    tasks: JoinSet<Done>,
    stream: Option<OpenStream>,
    events: mpsc::Sender<Event>,
    reports: Reports,
    health: HealthReports,
    served: Option<Cursor>,
    saved: Option<Cursor>,
    saving: bool,
    save_at: Instant,
    save_failed: bool,
}

struct OpenStream {
    stream: u64,
    endpoint: usize,
    task: AbortHandle,
}

impl Client {
    /// A client with these settings. Nothing happens before [`run`](Client::run).
    pub fn new(settings: Settings) -> Client {
        let health = watch::Sender::<Arc<Health>>::default().subscribe();
        Client { settings, status: watch::Sender::default(), health }
    }

    /// The same, which also tells control planes of the health of targets, as it is there.
    pub fn telling(self, health: watch::Receiver<Arc<Health>>) -> Client {
        Client { health, ..self }
    }

    /// What this data plane knows of itself, from now on.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Serves what the disk holds, then follows the control planes until the shutdown begins;
    /// then reports and saves once more.
    ///
    /// # Errors
    /// When something panicked. Nothing else ends it: control planes and disks may be away.
    pub async fn run<A: Apply>(self, apply: A, shutdown: &Shutdown) -> Result<(), Crashed> {
        let Client { settings, status, health } = self;
        let mut serving = Serving::new(apply);
        let kept = match settings.data_dir.clone() {
            Some(dir) => {
                let key = settings.snapshot_key.clone();
                tokio::task::spawn_blocking(move || disk::load(&dir, key.as_ref())).await?
            }
            None => None,
        };
        let mut inbox = Inbox::default();
        let mut saved = None;
        if let Some(Kept { at, entities, last_good }) = kept {
            tracing::info!(
                %at,
                entities = entities.len(),
                "serving the last good configuration from disk until a control plane answers"
            );
            inbox = Inbox::restored(at, entities.clone());
            saved = Some(at);
            serving = serving.work(Work::Replace { at, entities, last_good }).await?;
        }
        let (events, mut arrived) = mpsc::channel(EVENTS);
        let mut driver = Driver::new(settings, inbox, saved, events, health);
        loop {
            driver.start_calls();
            driver.publish(&serving, &status);
            driver.report(&status);
            driver.report_health();
            driver.save(&serving);
            let (deadline, mut batch) = (driver.deadline(), Vec::new());
            tokio::select! {
                biased;
                () = shutdown.draining() => break,
                Some(done) = driver.tasks.join_next() => driver.done(done, &mut batch)?,
                Some(event) = arrived.recv() => batch.push(event),
                () = driver.health.changed() => {}
                () = sleep_until(deadline) => {}
            }
            // What came meanwhile is applied together.
            while batch.len() < EVENTS
                && let Ok(event) = arrived.try_recv()
            {
                batch.push(event);
            }
            for work in driver.take(batch) {
                serving = serving.work(work).await?;
            }
        }
        driver.publish(&serving, &status);
        driver.finish(&serving, &status).await;
        Ok(())
    }
}

impl Driver {
    fn new(
        settings: Settings,
        inbox: Inbox,
        saved: Option<Cursor>,
        events: mpsc::Sender<Event>,
        health: watch::Receiver<Arc<Health>>,
    ) -> Driver {
        let now = Instant::now();
        let names = settings.endpoints.iter().map(|endpoint| endpoint.name().clone()).collect();
        let machine = Machine::new(
            settings.node.id,
            names,
            settings.frequency,
            settings.cache_ttl,
            settings.seed,
            inbox,
            now,
        );
        Driver {
            node: node_to(&settings.node),
            machine,
            channels: vec![None; settings.endpoints.len()],
            answered: None,
            tasks: JoinSet::new(),
            stream: None,
            events,
            reports: Reports::new(now),
            health: HealthReports::new(health, settings.seed, now),
            served: None,
            saved,
            saving: false,
            save_at: now,
            save_failed: false,
            settings,
        }
    }

    /// Starts what the machine wants done, and ends the stream that it does not want any more.
    fn start_calls(&mut self) {
        if let Some(open) = &self.stream
            && self.machine.stream() != Some(open.stream)
        {
            open.task.abort();
            self.stream = None;
        }
        while let Some(command) = self.machine.command(Instant::now()) {
            self.start(command);
        }
    }

    fn start(&mut self, command: Command) {
        let node = self.node.clone();
        match command {
            Command::Watch { stream, endpoint, from } => {
                let Some(channel) = self.channel(endpoint) else { return };
                let events = self.events.clone();
                let task = self.tasks.spawn(async move {
                    calls::watch(channel, node, from, stream, events).await;
                    Done::StreamOver
                });
                self.stream = Some(OpenStream { stream, endpoint, task });
            }
            Command::Poll { endpoint, from, audit } => {
                let Some(channel) = self.channel(endpoint) else { return };
                let entities = audit.then(|| self.machine.inbox().entities().clone());
                self.tasks.spawn(async move {
                    let sound = match entities {
                        Some(entities) => tokio::task::spawn_blocking(move || {
                            entities.digest_anew() == entities.digest()
                        })
                        .await
                        .unwrap_or(true),
                        None => true,
                    };
                    let answer = calls::poll(channel, node, from).await;
                    Done::Event(Event::Polled { endpoint, from, sound, answer })
                });
            }
            Command::Snapshot { ticket, endpoint, from } => {
                let Some(channel) = self.channel(endpoint) else { return };
                self.tasks.spawn(async move {
                    let answer = calls::snapshot(channel, node, from).await;
                    Done::Event(Event::Snapshot { ticket, endpoint, answer })
                });
            }
        }
    }

    /// The channel to a control plane; it connects when it is used, and again when it must.
    fn channel(&mut self, endpoint: usize) -> Option<Channel> {
        let channel = self.channels.get_mut(endpoint)?;
        let endpoint = self.settings.endpoints.get(endpoint)?;
        Some(channel.get_or_insert_with(|| endpoint.channel()).clone())
    }
    /// A task is done: what it brings joins the batch of events.
    fn done(
        &mut self,
        done: Result<Done, JoinError>,
        batch: &mut Vec<Event>,
    ) -> Result<(), Crashed> {
        match done {
            Ok(Done::Event(event)) => batch.push(event),
            Ok(Done::StreamOver) => {}
            Ok(Done::Reported(reply)) => {
                self.reports.answered(reply.map(|reply| reply.next), Instant::now());
                if let Some(reply) = reply {
                    self.health.held(reply.health_held);
                }
            }
            Ok(Done::HealthReported(heard)) => self.health.answered(heard, Instant::now()),
            Ok(Done::Saved(saved)) => self.was_saved(saved),
            Err(error) if error.is_cancelled() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Takes events in; gives what is to be applied, bursts as one step.
    fn take(&mut self, batch: Vec<Event>) -> Vec<Work> {
        let (mut work, mut changes, mut reached) = (Vec::new(), Vec::new(), None);
        for event in batch {
            self.note_channels(&event);
            match self.machine.on(event, Instant::now()) {
                Brought::Nothing => {}
                Brought::Changes(taken) => {
                    if !taken.is_empty() {
                        reached = self.machine.inbox().at();
                    }
                    changes.extend(taken);
                }
                Brought::Everything => {
                    changes.clear();
                    work.clear();
                    let entities = self.machine.inbox().entities().clone();
                    work.extend(self.machine.inbox().at().map(|at| Work::Replace {
                        at,
                        entities,
                        last_good: Vec::new(),
                    }));
                }
            }
        }
        if let (Some(transaction), Some(at)) = (wire::merge(changes), reached) {
            work.push(Work::Apply { at, transaction });
        }
        work
    }

    /// A connection that failed is not used again, and those that are not needed are closed.
    fn note_channels(&mut self, event: &Event) {
        let (endpoint, failed) = match event {
            Event::Stream(stream, said) => match &self.stream {
                Some(open) if open.stream == *stream => {
                    (open.endpoint, matches!(said, Said::Closed(_)))
                }
                _ => return,
            },
            Event::Polled { endpoint, answer, .. } => (*endpoint, answer.is_err()),
            Event::Snapshot { endpoint, answer, .. } => (*endpoint, answer.is_err()),
        };
        if failed {
            if let Some(channel) = self.channels.get_mut(endpoint) {
                *channel = None;
            }
            self.answered = self.answered.filter(|answered| *answered != endpoint);
        } else {
            self.answered = Some(endpoint);
        }
        if let Some(following) = self.machine.following() {
            for (endpoint, channel) in self.channels.iter_mut().enumerate() {
                if endpoint != following {
                    *channel = None;
                }
            }
        }
    }

    /// Tells everybody in this process how things stand, and notes what is news for the control
    /// plane.
    fn publish<A: Apply>(&mut self, serving: &Serving<A>, status: &watch::Sender<Status>) {
        let now = Instant::now();
        let inbox = self.machine.inbox();
        let following = self.machine.following();
        let next = Status {
            state: self.machine.state(now),
            received: inbox.at(),
            serving: serving.at(),
            digest: inbox.entities().digest(),
            entities: inbox.entities().len(),
            restored: self.machine.unconfirmed(),
            following: following
                .and_then(|endpoint| self.settings.endpoints.get(endpoint))
                .map(|endpoint| endpoint.name().clone()),
            last_contact: self.machine.last_contact(),
            rejected: serving.rejected().clone(),
        };
        self.served = next.serving;
        let changed = status.send_if_modified(|status| {
            let last_contact = status.last_contact;
            let was = std::mem::replace(status, next);
            // The time of the last contact changes with every frame and is no news by itself.
            Status { last_contact, ..status.clone() } != was
        });
        if changed {
            self.reports.news();
        }
    }

    /// Who is to be told: whom we follow, else who answered last.
    fn listener(&self) -> Option<usize> {
        self.machine.following().or(self.answered)
    }

    fn report(&mut self, status: &watch::Sender<Status>) {
        let now = Instant::now();
        if self.reports.due().is_none_or(|due| due > now) {
            return;
        }
        let Some(channel) = self.listener().and_then(|endpoint| self.channel(endpoint)) else {
            return;
        };
        self.reports.sent(now);
        let report = report_to(&self.node, &status.borrow());
        self.tasks.spawn(async move {
            match calls::report(channel, report).await {
                Ok(reply) => Done::Reported(Some(reply)),
                Err(failure) => {
                    tracing::debug!(%failure, "a report did not arrive");
                    Done::Reported(None)
                }
            }
        });
    }

    fn report_health(&mut self) {
        if self.health.due().is_none_or(|due| due > Instant::now()) {
            return;
        }
        let Some(channel) = self.listener().and_then(|endpoint| self.channel(endpoint)) else {
            return;
        };
        let report = self.health.next(&self.node);
        self.tasks.spawn(async move {
            match calls::report_health(channel, report).await {
                Ok(Some(held)) => Done::HealthReported(Heard::Held(held)),
                Ok(None) => Done::HealthReported(Heard::Unknown),
                Err(failure) => {
                    tracing::debug!(%failure, "a report of health did not arrive");
                    Done::HealthReported(Heard::Not)
                }
            }
        });
    }

    /// When the file must be written; `None` when it is current or being written.
    fn save_due(&self) -> Option<Instant> {
        let due = self.settings.data_dir.is_some()
            && !self.saving
            && self.served.is_some()
            && self.served != self.saved;
        due.then_some(self.save_at)
    }

    fn save<A: Apply>(&mut self, serving: &Serving<A>) {
        if self.save_due().is_none_or(|due| due > Instant::now()) {
            return;
        }
        let Some((dir, kept)) = self.to_keep(serving) else { return };
        self.saving = true;
        let key = self.settings.snapshot_key.clone();
        self.tasks.spawn_blocking(move || Done::Saved(save(&dir, &kept, key.as_ref())));
    }

    fn to_keep<A: Apply>(&self, serving: &Serving<A>) -> Option<(PathBuf, Kept)> {
        let entities = self.machine.inbox().entities().clone();
        let kept = Kept { at: serving.at()?, entities, last_good: serving.last_good() };
        Some((self.settings.data_dir.clone()?, kept))
    }

    fn was_saved(&mut self, Saved { at, took, result }: Saved) {
        self.saving = false;
        self.save_at = Instant::now() + SAVE_PAUSE.max(took * SAVE_SHARE);
        match result {
            Ok(()) => {
                self.saved = Some(at);
                if std::mem::take(&mut self.save_failed) {
                    tracing::info!("the last good configuration can be kept on disk again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.save_failed, true) {
                    let dir = self.settings.data_dir.as_deref().unwrap_or("".as_ref());
                    tracing::warn!(
                        dir = %dir.display(),
                        %error,
                        "the last good configuration cannot be kept on disk; after a restart \
                         without a control plane, an older one will be served"
                    );
                }
            }
        }
    }

    /// When the loop must look again, if nothing happens.
    fn deadline(&self) -> Instant {
        let now = Instant::now();
        let report = self.listener().and_then(|_| self.reports.due());
        let health = self.listener().and_then(|_| self.health.due());
        let due = [self.machine.deadline(now), report, health, self.save_due()];
        // A day is as good as never.
        due.into_iter().flatten().min().unwrap_or(now + Duration::from_secs(86_400))
    }

    /// Says and keeps where things stand at the end.
    async fn finish<A: Apply>(mut self, serving: &Serving<A>, status: &watch::Sender<Status>) {
        if let Some(channel) = self.listener().and_then(|endpoint| self.channel(endpoint)) {
            let report = report_to(&self.node, &status.borrow());
            if timeout(LAST_REPORT, calls::report(channel, report)).await.is_err() {
                tracing::debug!("the last report did not arrive in time");
            }
        }
        self.stream = None;
        while self.saving
            && let Some(done) = self.tasks.join_next().await
        {
            if let Ok(Done::Saved(saved)) = done {
                self.was_saved(saved);
            }
        }
        if self.save_due().is_some()
            && let Some((dir, kept)) = self.to_keep(serving)
        {
            let key = self.settings.snapshot_key.take();
            match tokio::task::spawn_blocking(move || save(&dir, &kept, key.as_ref())).await {
                Ok(saved) => self.was_saved(saved),
                Err(error) => tracing::error!(%error, "keeping the configuration crashed"),
            }
        }
    }
}

fn save(dir: &Path, kept: &Kept, key: Option<&SnapshotKey>) -> Saved {
    let began = Instant::now();
    let result = std::fs::create_dir_all(dir).and_then(|()| disk::save(dir, kept, key));
    Saved { at: kept.at, took: began.elapsed(), result }
}
