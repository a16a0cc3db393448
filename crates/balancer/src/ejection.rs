//! How a peer that requests found unhealthy comes back by itself: out for a time, then on trial.
//!
//! ```text
//! in rotation ──failed──▶ Out ──time is up──▶ Trial ──succeeded──▶ Back ──served its time again──▶ forgotten
//!                          ▲                    │                    │
//!                          └──failed, for longer┴────────────────────┘
//! ```
//! A [`Sentence`] is one peer's place in it. No clock: the time is an argument.

use std::time::{Duration, Instant};

/// The rules of ejection (`healthchecks.passive.ejection`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ejection {
    /// Until the first trial, above zero.
    pub time: Duration,
    /// The longest time until a trial, however often the peer failed.
    pub max_time: Duration,
    /// Percentage of the weight that may be out at a time, 0 to 100.
    pub max_percent: f64,
}

impl Ejection {
    /// How long a peer stays out the n-th time in a row (from 1).
    fn sentence(&self, in_a_row: u32) -> Duration {
        let doublings = in_a_row.saturating_sub(1).min(31);
        self.time.saturating_mul(1 << doublings).min(self.max_time.max(self.time))
    }

    /// Whether peers of `weight` more may be out when those of weight `out` are, of `total`.
    pub(crate) fn leaves_enough(&self, out: u64, weight: u64, total: u64) -> bool {
        (out + weight) as f64 * 100.0 <= self.max_percent * total as f64
    }
}

/// What became of a peer that was ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sentence {
    stage: Stage,
    in_a_row: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It gets nothing until then.
    Out { until: Instant },
    /// It may show that it is well.
    Trial,
    /// It is in rotation again since then.
    Back { since: Instant },
}

impl Sentence {
    /// The sentence of a peer that failed, with the one that it had before.
    pub(crate) fn of(before: Option<&Sentence>, rules: &Ejection, now: Instant) -> Sentence {
        let in_a_row = match before {
            None => 1,
            Some(before) if before.is_served(rules, now) => 1,
            Some(before) => before.in_a_row.saturating_add(1),
        };
        Sentence { stage: Stage::Out { until: now + rules.sentence(in_a_row) }, in_a_row }
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// Whether it counts among those that are out.
    pub(crate) fn is_out(&self) -> bool {
        !matches!(self.stage, Stage::Back { .. })
    }

    /// When its trial begins, while it is out.
    pub(crate) fn until(&self) -> Option<Instant> {
        match self.stage {
            Stage::Out { until } => Some(until),
            Stage::Trial | Stage::Back { .. } => None,
        }
    }

    /// Begins the trial if it is time; whether it did.
    pub(crate) fn elapse(&mut self, now: Instant) -> bool {
        let is_due = self.until().is_some_and(|until| until <= now);
        if is_due {
            self.stage = Stage::Trial;
        }
        is_due
    }

    /// It is in rotation again: by its trial, by probes, or by hand.
    pub(crate) fn end(&mut self, now: Instant) {
        self.stage = Stage::Back { since: now };
    }

    /// Whether it has been back as long as it had been out, so that it begins anew.
    fn is_served(&self, rules: &Ejection, now: Instant) -> bool {
        match self.stage {
            Stage::Back { since } => {
                now.saturating_duration_since(since) >= rules.sentence(self.in_a_row)
            }
            Stage::Out { .. } | Stage::Trial => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules() -> Ejection {
        Ejection {
            time: Duration::from_secs(10),
            max_time: Duration::from_secs(60),
            max_percent: 50.0,
        }
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn each_time_in_a_row_takes_longer_up_to_a_bound() {
        let begin = Instant::now();
        let mut sentence = Sentence::of(None, &rules(), begin);
        let mut now = begin;
        for expected in [10, 20, 40, 60, 60] {
            assert_eq!(sentence.until(), Some(now + seconds(expected)));
            now += seconds(expected);
            assert!(!sentence.clone().elapse(now - Duration::from_millis(1)));
            assert!(sentence.elapse(now) && !sentence.elapse(now), "once");
            assert_eq!(sentence.stage(), Stage::Trial);
            sentence = Sentence::of(Some(&sentence), &rules(), now);
        }
    }

    #[test]
    fn who_stays_well_as_long_as_it_was_out_begins_anew() {
        let begin = Instant::now();
        for (well_for, next) in [(0, 20), (9, 20), (10, 10), (100, 10)] {
            let mut sentence = Sentence::of(None, &rules(), begin);
            sentence.elapse(begin + seconds(10));
            sentence.end(begin + seconds(10));
            assert!(!sentence.is_out());
            let now = begin + seconds(10 + well_for);
            let again = Sentence::of(Some(&sentence), &rules(), now);
            assert_eq!(again.until(), Some(now + seconds(next)), "well for {well_for} s");
        }
    }

    #[test]
    fn the_share_that_is_out_is_bounded() {
        let check = |max_percent, out, weight, total, expected| {
            let rules = Ejection { max_percent, ..rules() };
            assert_eq!(rules.leaves_enough(out, weight, total), expected, "{max_percent} {out}");
        };
        check(50.0, 0, 100, 200, true);
        check(50.0, 100, 100, 200, false);
        check(49.9, 0, 100, 200, false);
        check(0.0, 0, 1, 200, false);
        check(100.0, 100, 100, 200, true);
        check(50.0, 0, 100, 100, false);
    }

    proptest! {
        /// Whatever happens, a peer is never out for longer than the bound, and its trial comes.
        #[test]
        fn nobody_stays_out_for_ever(
            time in 1u64..100,
            max_time in 1u64..1_000,
            events in prop::collection::vec((0u64..300, any::<bool>()), 1..60),
        ) {
            let rules = Ejection {
                time: seconds(time), max_time: seconds(max_time), max_percent: 100.0,
            };
            let mut now = Instant::now();
            let mut sentence = Sentence::of(None, &rules, now);
            for (wait, succeeds) in events {
                now += seconds(wait);
                sentence.elapse(now);
                match (sentence.stage(), succeeds) {
                    (Stage::Trial, true) => sentence.end(now),
                    (Stage::Trial | Stage::Back { .. }, false) => {
                        sentence = Sentence::of(Some(&sentence), &rules, now);
                    }
                    _ => {}
                }
                if let Some(until) = sentence.until() {
                    let left = until - now;
                    prop_assert!(left <= rules.max_time.max(rules.time), "{left:?}");
                    prop_assert!(sentence.clone().elapse(until));
                }
            }
        }
    }
}
