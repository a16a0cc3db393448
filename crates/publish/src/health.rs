//! What the data planes tell of their targets' health.

use std::collections::BTreeMap;

use uuid::Uuid;
use wire::{UpstreamHealth, v1};

/// More upstreams than this are not remembered of one data plane: it tells of fewer itself.
const UPSTREAMS: usize = 4_096;

/// The last word of one data plane.
#[derive(Debug, Default)]
pub(crate) struct Told {
    held: u64,
    upstreams: BTreeMap<Uuid, UpstreamHealth>,
    left_out: u64,
}

/// What the connected data planes say of an upstream.
#[derive(Clone, Debug, Default)]
pub struct FleetHealth {
    /// How many are connected. Those without a report find nothing wrong.
    pub connected: usize,
    /// Those that have something to tell, by hostname and id.
    pub reports: Vec<NodeHealth>,
    /// How many data planes leave upstreams out of their reports, since there is too much to tell.
    pub incomplete: usize,
}

/// What one data plane says of an upstream.
#[derive(Clone, Debug)]
pub struct NodeHealth {
    /// The data plane.
    pub id: Uuid,
    /// The name of its machine.
    pub hostname: String,
    /// What it sees.
    pub health: UpstreamHealth,
}

/// A [`v1::HealthReport`] whose fields have been checked, but for who sent it.
#[derive(Debug)]
pub(crate) struct HealthReport {
    number: u64,
    follows: u64,
    upstreams: Vec<(Uuid, UpstreamHealth)>,
    plain: Vec<Uuid>,
    left_out: u64,
}

impl Told {
    /// The number of the report that is held; 0 is none.
    pub(crate) fn held(&self) -> u64 {
        self.held
    }

    /// Takes a report in, if what it follows is held or it follows nothing.
    pub(crate) fn take(&mut self, report: HealthReport) {
        if report.follows == 0 {
            self.upstreams.clear();
        } else if report.follows != self.held {
            return;
        }
        self.upstreams.extend(report.upstreams);
        for id in report.plain {
            self.upstreams.remove(&id);
        }
        while self.upstreams.len() > UPSTREAMS {
            self.upstreams.pop_last();
        }
        self.held = report.number;
        self.left_out = report.left_out;
    }

    /// What was told of an upstream.
    pub(crate) fn of(&self, upstream: Uuid) -> Option<&UpstreamHealth> {
        self.upstreams.get(&upstream)
    }

    /// All that was told, and how many upstreams were left out of it.
    pub(crate) fn all(&self) -> (&BTreeMap<Uuid, UpstreamHealth>, u64) {
        (&self.upstreams, self.left_out)
    }

    /// What another control plane says was told it.
    pub(crate) fn relayed(upstreams: BTreeMap<Uuid, UpstreamHealth>, left_out: u64) -> Told {
        Told { held: 0, upstreams, left_out }
    }

    /// Whether there is more to tell than was told.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.left_out > 0
    }
}

impl TryFrom<v1::HealthReport> for HealthReport {
    type Error = wire::Malformed;

    fn try_from(report: v1::HealthReport) -> Result<HealthReport, wire::Malformed> {
        if report.number == 0 {
            return Err(wire::Malformed("a report of health has no number".to_owned()));
        }
        let upstreams = report.upstreams.into_iter().map(wire::health_from);
        let plain = report.plain.iter().map(|id| wire::uuid_from("plain", id));
        Ok(HealthReport {
            number: report.number,
            follows: report.follows,
            upstreams: upstreams.collect::<Result<_, _>>()?,
            plain: plain.collect::<Result<_, _>>()?,
            left_out: report.left_out,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(number: u64, follows: u64, upstreams: &[u128], plain: &[u128]) -> HealthReport {
        let health = |id: &u128| {
            let health = UpstreamHealth { checked: true, healthy: false, targets: Vec::new() };
            (Uuid::from_u128(*id), health)
        };
        HealthReport {
            number,
            follows,
            upstreams: upstreams.iter().map(health).collect(),
            plain: plain.iter().copied().map(Uuid::from_u128).collect(),
            left_out: 0,
        }
    }

    fn held(told: &Told) -> (u64, Vec<u128>) {
        (told.held(), told.upstreams.keys().map(Uuid::as_u128).collect())
    }

    #[test]
    fn a_report_is_taken_when_it_follows_what_is_held() {
        let mut told = Told::default();
        told.take(report(8, 7, &[1], &[]));
        assert_eq!(held(&told), (0, vec![]), "what it follows is not here");
        told.take(report(9, 0, &[1, 2], &[]));
        told.take(report(10, 9, &[3], &[1]));
        assert_eq!(held(&told), (10, vec![2, 3]));
        told.take(report(10, 9, &[4], &[]));
        assert_eq!(held(&told), (10, vec![2, 3]), "a repetition changes nothing");
        told.take(report(11, 0, &[], &[]));
        assert_eq!(held(&told), (11, vec![]), "everything is nothing any more");
    }

    #[test]
    fn what_is_remembered_of_a_data_plane_is_bounded() {
        let mut told = Told::default();
        let many: Vec<u128> = (0..5_000).collect();
        told.take(report(1, 0, &many, &[]));
        assert_eq!(told.upstreams.len(), UPSTREAMS);
    }

    #[test]
    fn a_report_without_a_number_is_malformed() {
        let error = HealthReport::try_from(v1::HealthReport::default()).unwrap_err();
        assert!(error.to_string().contains("number"), "{error}");
    }
}
