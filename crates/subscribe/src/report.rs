//! What a control plane is told, and when.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use wire::v1;
use wire::v1::status_report::State as WireState;

use crate::settings::Node;
use crate::status::{State, Status};

/// Reports are at least so far apart: what changes meanwhile goes into the next one.
const PAUSE: Duration = Duration::from_millis(5);
/// A report is repeated after this long, unless the control plane wants it sooner.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// One that failed is repeated after this long.
const RETRY: Duration = Duration::from_secs(1);
/// More rejections than this are counted, not listed.
const REJECTIONS: usize = 1_000;
/// Reasons are cut to about this many bytes.
const REASON: usize = 1_000;

/// When the next report is due.
#[derive(Debug)]
pub(crate) struct Reports {
    /// Something changed since the last report.
    news: bool,
    in_flight: bool,
    not_before: Instant,
    heartbeat_at: Instant,
}

impl Reports {
    pub(crate) fn new(now: Instant) -> Reports {
        Reports { news: false, in_flight: false, not_before: now, heartbeat_at: now }
    }

    /// Something changed that a control plane wants to know: reported at once after a quiet
    /// moment.
    pub(crate) fn news(&mut self) {
        self.news = true;
    }

    /// When the next one is due; `None` while one is on its way.
    pub(crate) fn due(&self) -> Option<Instant> {
        match (self.in_flight, self.news) {
            (true, _) => None,
            (false, true) => Some(self.not_before),
            (false, false) => Some(self.heartbeat_at),
        }
    }

    /// One is sent.
    pub(crate) fn sent(&mut self, now: Instant) {
        self.news = false;
        self.in_flight = true;
        self.not_before = now + PAUSE;
        self.heartbeat_at = now + HEARTBEAT;
    }

    /// It was answered with the longest time until the next, or it failed.
    pub(crate) fn answered(&mut self, answer: Option<Duration>, now: Instant) {
        self.in_flight = false;
        match answer {
            Some(next) => self.heartbeat_at = now + next.clamp(PAUSE, HEARTBEAT),
            None => {
                self.news = true;
                self.not_before = now + RETRY;
            }
        }
    }
}

/// A node as it travels.
pub(crate) fn node_to(node: &Node) -> v1::Node {
    v1::Node {
        id: node.id.to_string(),
        hostname: node.hostname.clone(),
        version: node.version.clone(),
        labels: node.labels.clone(),
        plugins: node.plugins.clone(),
    }
}

/// A status as it travels.
pub(crate) fn report_to(node: &v1::Node, status: &Status) -> v1::StatusReport {
    let rejections = status.rejected.iter().take(REJECTIONS).map(|rejected| v1::Rejection {
        revision: rejected.revision,
        kind: rejected.kind.as_str().to_owned(),
        id: wire::uuid_to(rejected.id),
        reason: cut(&rejected.reason),
        in_part: rejected.in_part,
    });
    let state = match status.state {
        State::Booting => WireState::Booting,
        State::Streaming => WireState::Streaming,
        State::Polling => WireState::Polling,
        State::Stale => WireState::Stale,
    };
    v1::StatusReport {
        node: Some(node.clone()),
        received: status.received.map(wire::cursor_to),
        serving: status.serving.map(wire::cursor_to),
        digest: Bytes::copy_from_slice(&status.digest.to_bytes()),
        state: state.into(),
        rejections: rejections.collect(),
        rejections_total: status.rejected.len() as u64,
    }
}

fn cut(reason: &str) -> String {
    match reason.char_indices().find(|(at, _)| *at >= REASON) {
        Some((at, _)) => format!("{}…", reason.get(..at).unwrap_or_default()),
        None => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Rejected;
    use model::Kind;
    use uuid::Uuid;

    #[test]
    fn news_go_at_once_and_bursts_are_joined() {
        let start = Instant::now();
        let mut reports = Reports::new(start);
        reports.news();
        assert_eq!(reports.due(), Some(start));
        reports.sent(start);
        reports.news();
        assert_eq!(reports.due(), None, "one at a time");
        reports.answered(Some(HEARTBEAT), start);
        assert_eq!(reports.due(), Some(start + PAUSE), "the burst");
        reports.sent(start + PAUSE);
        reports.answered(Some(Duration::from_secs(3)), start + PAUSE);
        assert_eq!(reports.due(), Some(start + PAUSE + Duration::from_secs(3)), "the heartbeat");
        reports.sent(start);
        reports.answered(None, start);
        assert_eq!(reports.due(), Some(start + RETRY), "what was not heard is said again");
    }

    #[test]
    fn a_report_is_bounded_however_much_is_rejected() {
        let rejected = Rejected {
            revision: 1,
            kind: Kind::known("routes"),
            id: Uuid::nil(),
            reason: "ä".repeat(5_000),
            in_part: false,
        };
        let status = Status { rejected: vec![rejected; 3_000].into(), ..Status::default() };
        let report = report_to(&v1::Node::default(), &status);
        assert_eq!((report.rejections.len(), report.rejections_total), (1_000, 3_000));
        assert!(prost::Message::encoded_len(&report) < 2 << 20);
    }
}
