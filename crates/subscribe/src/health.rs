//! What a control plane is told of the health of targets, and when.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;
use wire::{Health, UpstreamHealth, v1};

/// Reports are at least so far apart: what changes meanwhile goes into the next one.
const PAUSE: Duration = Duration::from_millis(100);
/// One that failed is repeated after this long.
const RETRY: Duration = Duration::from_secs(1);

/// A control plane that takes no such reports is asked again after this long: it may have been
/// upgraded, or be another one.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The control plane holds the report of this number now.
    Held(u64),
    /// The control plane, of an older version, does not know such reports.
    Unknown,
    /// It did not arrive.
    Not,
}

/// Tells control planes of changes, and of everything when they do not know what a change adds to.
#[derive(Debug)]
pub(crate) struct HealthReports {
    source: watch::Receiver<Arc<Health>>,
    /// The number of the last report.
    number: u64,
    /// What the control plane knows, and the number of the report that told it so; 0 when it was
    /// told nothing and there was nothing to tell. `None`: not sure, it must be told everything.
    told: Option<(u64, Arc<Health>)>,
    in_flight: Option<Arc<Health>>,
    not_before: Instant,
    /// It was said in the log that the control plane does not take any.
    complained: bool,
}

impl HealthReports {
    /// Reports of what `source` says; `first` is the number before the first report, random so
    /// that two processes of one node do not use the same.
    pub(crate) fn new(source: watch::Receiver<Arc<Health>>, first: u64, now: Instant) -> Self {
        HealthReports {
            source,
            // Room to count upwards, and never 0.
            number: (first >> 1) | 1,
            told: Some((0, Arc::default())),
            in_flight: None,
            not_before: now,
            complained: false,
        }
    }

    /// Completes when there may be something new to tell.
    pub(crate) async fn changed(&mut self) {
        if self.source.changed().await.is_err() {
            // Nobody looks at the targets any more: what was said last stays.
            std::future::pending().await
        }
    }

    /// When the next one is due; `None` while one is on its way, or nothing is to be told.
    pub(crate) fn due(&self) -> Option<Instant> {
        let news = match &self.told {
            Some((_, told)) => {
                let current = self.source.borrow();
                let is_nothing = |health: &Health| health.upstreams.is_empty();
                let is_all_told = is_nothing(told) && is_nothing(&current);
                !(is_all_told || Arc::ptr_eq(told, &current))
            }
            None => true,
        };
        (news && self.in_flight.is_none()).then_some(self.not_before)
    }

    /// The next report, which is then on its way.
    pub(crate) fn next(&mut self, node: &v1::Node) -> v1::HealthReport {
        let current = self.source.borrow_and_update().clone();
        let (follows, told) = self.told.clone().unwrap_or_default();
        let is_new = |id: &Uuid, health: &Arc<UpstreamHealth>| {
            told.upstreams.get(id).is_none_or(|told| !Arc::ptr_eq(told, health))
        };
        let upstreams = current
            .upstreams
            .iter()
            .filter(|(id, health)| is_new(id, health))
            .map(|(id, health)| wire::health_to(*id, health))
            .collect();
        let plain = told
            .upstreams
            .keys()
            .filter(|id| !current.upstreams.contains_key(id))
            .map(|id| wire::uuid_to(*id))
            .collect();
        self.number = self.number.wrapping_add(1).max(1);
        let left_out = current.left_out;
        self.in_flight = Some(current);
        let node = Some(node.clone());
        v1::HealthReport { node, number: self.number, follows, upstreams, plain, left_out }
    }

    /// A report was answered, or it failed.
    pub(crate) fn answered(&mut self, heard: Heard, now: Instant) {
        let sent = self.in_flight.take();
        let is_held = heard == Heard::Held(self.number);
        self.told = sent.filter(|_| is_held).map(|sent| (self.number, sent));
        let pause = match heard {
            Heard::Held(_) => PAUSE,
            Heard::Unknown => ASK_AGAIN,
            Heard::Not => RETRY,
        };
        self.not_before = now + pause;
        let unknown = heard == Heard::Unknown;
        if unknown && !self.complained {
            tracing::warn!(
                "the control plane runs an older version, which does not take reports of the \
                 health of targets: it shows none of this data plane until it is upgraded"
            );
        }
        self.complained = unknown || (self.complained && heard == Heard::Not);
    }

    /// A control plane says which report it holds: another one than the last means that it is
    /// another control plane, or a new process.
    pub(crate) fn held(&mut self, held: u64) {
        let is_known = self.told.as_ref().is_some_and(|(number, _)| *number == held);
        if self.in_flight.is_none() && !is_known {
            self.told = (held == 0).then(Default::default);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(healthy: bool) -> Arc<UpstreamHealth> {
        Arc::new(UpstreamHealth { checked: true, healthy, targets: Vec::new() })
    }

    fn told(report: &v1::HealthReport) -> (u64, usize, usize) {
        (report.follows, report.upstreams.len(), report.plain.len())
    }

    #[test]
    fn only_changes_are_told_and_everything_to_who_lost_it() {
        let start = Instant::now();
        let node = v1::Node::default();
        let (source, receiver) = watch::channel(Arc::<Health>::default());
        let mut reports = HealthReports::new(receiver, 0, start);
        assert_eq!(reports.due(), None, "nothing to tell");

        let id = Uuid::from_u128;
        let mut health = Health::default();
        health.upstreams.insert(id(1), upstream(false));
        health.upstreams.insert(id(2), upstream(true));
        source.send_replace(Arc::new(health.clone()));
        assert_eq!(reports.due(), Some(start));
        let first = reports.next(&node);
        assert_eq!(told(&first), (0, 2, 0));
        assert_eq!(reports.due(), None, "one at a time");
        reports.answered(Heard::Held(first.number), start);
        assert_eq!(reports.due(), None);

        health.upstreams.insert(id(1), upstream(true));
        health.upstreams.remove(&id(2));
        source.send_replace(Arc::new(health.clone()));
        assert_eq!(reports.due(), Some(start + PAUSE));
        let second = reports.next(&node);
        assert_eq!(told(&second), (first.number, 1, 1));
        reports.held(first.number);
        reports.answered(Heard::Not, start);
        assert_eq!(reports.due(), Some(start + RETRY), "nobody knows whether it arrived");
        let third = reports.next(&node);
        assert_eq!(told(&third), (0, 1, 0), "so everything");
        reports.answered(Heard::Held(third.number), start);

        reports.held(third.number);
        assert_eq!(reports.due(), None, "all is told");
        reports.held(0);
        assert_eq!(told(&reports.next(&node)), (0, 1, 0), "a new control plane");
        reports.answered(Heard::Held(0), start);
        assert_eq!(told(&reports.next(&node)), (0, 1, 0), "it was refused");
    }

    #[test]
    fn a_control_plane_that_knows_no_such_reports_is_not_bothered() {
        let start = Instant::now();
        let node = v1::Node::default();
        let (source, receiver) = watch::channel(Arc::<Health>::default());
        let mut reports = HealthReports::new(receiver, 0, start);
        let mut health = Health::default();
        health.upstreams.insert(Uuid::from_u128(1), upstream(false));
        source.send_replace(Arc::new(health));
        reports.next(&node);
        reports.answered(Heard::Unknown, start);
        // What it says of reports is what a message without the field says.
        reports.held(0);
        assert_eq!(reports.due(), Some(start + ASK_AGAIN));
        let again = reports.next(&node);
        assert_eq!(told(&again), (0, 1, 0), "it may have been upgraded");
        reports.answered(Heard::Held(again.number), start);
        assert_eq!(reports.due(), None);
    }

    #[test]
    fn a_control_plane_that_holds_another_processs_word_is_corrected() {
        let start = Instant::now();
        let (_source, receiver) = watch::channel(Arc::<Health>::default());
        let mut reports = HealthReports::new(receiver, 7, start);
        reports.held(99);
        assert!(reports.due().is_some());
        let report = reports.next(&v1::Node::default());
        assert_eq!(told(&report), (0, 0, 0), "there is nothing, and that is told");
    }
}
