use std::ops::ControlFlow;

use super::*;

const VECTOR_LIMITS: Limits =
    Limits { successes: 2, http_failures: 3, tcp_failures: 2, timeouts: 2 };

fn rules(limits: Limits) -> Rules {
    Rules {
        limits,
        healthy_statuses: [200, 201, 302].into_iter().collect(),
        unhealthy_statuses: [429, 500, 503].into_iter().collect(),
    }
}

/// The state after a sequence: statuses, `tcp` and `timeout`, separated by commas.
fn after(begin: Health, limits: Limits, sequence: &str) -> Health {
    let rules = rules(limits);
    let outcomes = sequence.split(',').map(|word| match word {
        "tcp" => Outcome::ConnectFailed,
        "timeout" => Outcome::Timeout,
        status => Outcome::Status(status.parse().unwrap()),
    });
    let end =
        outcomes.fold(Condition::settled(begin), |condition, outcome| match rules.judge(outcome) {
            Some(report) => step(condition, report, &rules.limits),
            None => condition,
        });
    end.health
}

#[test]
fn recorded_sequences() {
    use Health::{Healthy, MostlyHealthy, MostlyUnhealthy, Unhealthy};
    let check = |begin, limits, sequence: &str, end| {
        assert_eq!(after(begin, limits, sequence), end, "{begin} then {sequence}");
    };
    check(Healthy, VECTOR_LIMITS, "500,500,200,500,500", MostlyHealthy);
    let no_successes = Limits { successes: 0, ..VECTOR_LIMITS };
    check(Healthy, no_successes, "500,500,200,500", Unhealthy);
    check(Healthy, VECTOR_LIMITS, "500,500,500", Unhealthy);
    check(Healthy, VECTOR_LIMITS, "500,tcp,500,tcp", Unhealthy);
    check(Healthy, VECTOR_LIMITS, "500,tcp,500", MostlyHealthy);
    check(Healthy, VECTOR_LIMITS, "500,404,500,500", Unhealthy);
    check(Unhealthy, VECTOR_LIMITS, "200,500,200,200", Healthy);
    check(Unhealthy, VECTOR_LIMITS, "200,500,200", MostlyUnhealthy);
    check(Unhealthy, VECTOR_LIMITS, "200", MostlyUnhealthy);
    check(Healthy, VECTOR_LIMITS, "timeout", MostlyHealthy);
    check(Healthy, VECTOR_LIMITS, "timeout,timeout", Unhealthy);
    check(Healthy, VECTOR_LIMITS, "0,0,0", Unhealthy);
    let hundred = ["200"; 100].join(",");
    check(Unhealthy, no_successes, &hundred, Unhealthy);
}

const STATES: [Health; 4] =
    [Health::Healthy, Health::MostlyHealthy, Health::MostlyUnhealthy, Health::Unhealthy];
const REPORTS: [Report; 4] =
    [Report::Success, Report::HttpFailure, Report::TcpFailure, Report::Timeout];

/// Every state with every combination of small counters, every report, every small limit.
fn each_transition(mut check: impl FnMut(Condition, Report, &Limits, Condition)) {
    let each = |mut visit: Box<dyn FnMut([u8; 4]) + '_>| {
        for code in 0..4u32.pow(4) {
            visit(std::array::from_fn(|at| (code >> (2 * at) & 3) as u8));
        }
    };
    for health in STATES {
        for report in REPORTS {
            each(Box::new(|[successes, http_failures, tcp_failures, timeouts]| {
                let before = Condition { health, successes, http_failures, tcp_failures, timeouts };
                for limit in 0..4 {
                    // Only the limit of the report's own kind may matter, so the others are 1,
                    // which would show at once.
                    let mut limits =
                        Limits { successes: 1, http_failures: 1, tcp_failures: 1, timeouts: 1 };
                    *limit_of(&mut limits, report) = limit;
                    check(before, report, &limits, step(before, report, &limits));
                }
            }));
        }
    }
}

fn limit_of(limits: &mut Limits, report: Report) -> &mut u8 {
    match report {
        Report::Success => &mut limits.successes,
        Report::HttpFailure => &mut limits.http_failures,
        Report::TcpFailure => &mut limits.tcp_failures,
        Report::Timeout => &mut limits.timeouts,
    }
}

fn counter_of(condition: &Condition, report: Report) -> u8 {
    match report {
        Report::Success => condition.successes,
        Report::HttpFailure => condition.http_failures,
        Report::TcpFailure => condition.tcp_failures,
        Report::Timeout => condition.timeouts,
    }
}

#[test]
fn a_report_without_a_limit_changes_nothing() {
    each_transition(|before, report, limits, after| {
        if *limit_of(&mut limits.clone(), report) == 0 {
            assert_eq!(after, before, "{report:?}");
        }
    });
}

#[test]
fn what_is_settled_already_changes_nothing() {
    each_transition(|before, report, _, after| {
        let settled = match report {
            Report::Success => Health::Healthy,
            _ => Health::Unhealthy,
        };
        if before.health == settled {
            assert_eq!(after, before, "{report:?}");
        }
    });
}

#[test]
fn a_report_counts_and_clears_the_opposite() {
    each_transition(|before, report, _, after| {
        if after == before {
            return;
        }
        assert_eq!(counter_of(&after, report), counter_of(&before, report) + 1);
        for other in REPORTS.into_iter().filter(|other| *other != report) {
            let is_opposite = (report == Report::Success) != (other == Report::Success);
            let expected = if is_opposite { 0 } else { counter_of(&before, other) };
            assert_eq!(counter_of(&after, other), expected, "{report:?} and {other:?}");
        }
    });
}

#[test]
fn only_a_limit_that_is_reached_moves_to_the_other_side() {
    each_transition(|before, report, limits, after| {
        if after == before {
            return;
        }
        let reached = counter_of(&after, report) >= *limit_of(&mut limits.clone(), report);
        let expected = match (report, reached, before.health) {
            (Report::Success, true, _) => Health::Healthy,
            (_, true, _) => Health::Unhealthy,
            (Report::Success, false, Health::Unhealthy) => Health::MostlyUnhealthy,
            (Report::Success, false, middle) => middle,
            (_, false, Health::Healthy) => Health::MostlyHealthy,
            (_, false, middle) => middle,
        };
        assert_eq!(after.health, expected, "{before:?} {report:?} {limits:?}");
    });
}

/// Walks every condition that can come about, to see that none is a trap: with all limits set,
/// enough successes heal and enough failures of any kind take out.
#[test]
fn no_reachable_condition_is_a_trap() {
    let limits = VECTOR_LIMITS;
    let mut seen = vec![Condition::settled(Health::Healthy), Condition::settled(Health::Unhealthy)];
    let mut next = 0;
    while let Some(condition) = seen.get(next).copied() {
        next += 1;
        for report in REPORTS {
            let after = step(condition, report, &limits);
            if !seen.contains(&after) {
                seen.push(after);
            }
        }
    }
    assert!(seen.len() > 20, "{} conditions", seen.len());
    for condition in seen {
        for report in REPORTS {
            let aim = match report {
                Report::Success => Health::Healthy,
                _ => Health::Unhealthy,
            };
            let reached = (0..3).try_fold(condition, |condition, _| {
                let after = step(condition, report, &limits);
                if after.health == aim {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(after)
                }
            });
            assert!(reached.is_break(), "{condition:?} does not end {aim} by {report:?}");
        }
    }
}

#[test]
fn counters_do_not_overflow() {
    let limits = Limits { http_failures: 255, tcp_failures: 1, ..VECTOR_LIMITS };
    let mut condition = Condition::settled(Health::Healthy);
    for n in 1..=254 {
        condition = step(condition, Report::HttpFailure, &limits);
        assert_eq!((condition.http_failures, condition.health), (n, Health::MostlyHealthy));
    }
    condition = step(condition, Report::HttpFailure, &limits);
    assert_eq!(condition.health, Health::Unhealthy);
    let full = Condition { health: Health::MostlyUnhealthy, http_failures: 255, ..condition };
    assert_eq!(step(full, Report::HttpFailure, &limits).http_failures, 255);
}

#[test]
fn a_condition_fits_its_word() {
    each_transition(|before, _, _, after| {
        assert_eq!(Condition::unpack(before.pack()), before);
        assert_eq!(Condition::unpack(after.pack()), after);
    });
}

#[test]
fn outcomes_count_as_kong_counts_them() {
    let rules = rules(VECTOR_LIMITS);
    let check = |outcome, report| assert_eq!(rules.judge(outcome), report, "{outcome}");
    check(Outcome::Status(200), Some(Report::Success));
    check(Outcome::Status(500), Some(Report::HttpFailure));
    check(Outcome::Status(404), None);
    check(Outcome::Status(0), Some(Report::HttpFailure));
    check(Outcome::Connected, Some(Report::Success));
    check(Outcome::Serving(false), Some(Report::HttpFailure));
    check(Outcome::ConnectFailed, Some(Report::TcpFailure));
    check(Outcome::Reset, Some(Report::TcpFailure));
    check(Outcome::TlsFailed, Some(Report::TcpFailure));
    check(Outcome::Timeout, Some(Report::Timeout));
}

#[test]
fn a_status_set_holds_what_it_was_given() {
    let set: StatusSet = [100, 999, 302, 0].into_iter().collect();
    assert_eq!(set.iter().collect::<Vec<_>>(), [0, 100, 302, 999]);
    assert!(!set.contains(1_000) && !set.contains(u16::MAX));
    assert!(!StatusSet::default().contains(200));
}
