//! What a pick and a change cost: `cargo run --release -p balancer --example balancer_bench`.
//!
//! Per algorithm and number of targets: nanoseconds per pick (with its lease given back), and
//! microseconds to add, to re-weight and to remove one target among the others, until picks see
//! it. Weights are 100 for all, or mixed (50, 100, 150, 200 and odd ones).
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use balancer::{Algorithm, Config, Key, Pick, TargetChange, TargetSpec, Upstream};
use uuid::Uuid;

const ALGORITHMS: [(&str, Algorithm); 5] = [
    ("round-robin", Algorithm::RoundRobin),
    ("consistent-hashing", Algorithm::ConsistentHashing),
    ("least-connections", Algorithm::LeastConnections),
    ("latency", Algorithm::Latency),
    ("sticky-sessions", Algorithm::StickySessions),
];

fn main() {
    balancer::refresh_thread();
    println!(
        "{:<19} {:>7} {:>6} {:>9} {:>9} {:>12} {:>10}",
        "algorithm", "targets", "weight", "pick ns", "add us", "re-weight us", "remove us"
    );
    for (name, algorithm) in ALGORITHMS {
        for targets in [10, 100, 300, 500, 1_000, 10_000] {
            for mixed in [false, true] {
                measure(name, algorithm, targets, mixed);
            }
        }
    }
}

fn measure(name: &str, algorithm: Algorithm, targets: u32, mixed: bool) {
    let upstream = Upstream::new(Config { algorithm, ..Config::implicit(Uuid::nil(), "bench") }, 1);
    let all: Vec<TargetSpec> = (0..targets).map(|n| target(n, weight(n, mixed))).collect();
    upstream.set_targets(&all);

    let now = Instant::now();
    let pick = |hash: u32| {
        let pick = Pick { key: Key::Hash(hash), tried: &[], now };
        drop(black_box(upstream.pick(&pick)));
    };
    // The fastest of several batches: the others shared the processor.
    let batch = 20_000u32;
    let batches = (0..30u32).map(|round| {
        let begin = Instant::now();
        (0..batch).for_each(|n| pick(scatter(round * batch + n)));
        begin.elapsed().as_nanos() as f64 / f64::from(batch)
    });
    let pick_ns = batches.fold(f64::INFINITY, f64::min);

    let rounds = 60;
    let (mut add, mut change, mut remove) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let extra = targets + round;
        let timed = |times: &mut Vec<Duration>, change: TargetChange| {
            let begin = Instant::now();
            upstream.change_targets(&[change]);
            times.push(begin.elapsed());
        };
        timed(&mut add, TargetChange::Put(target(extra, 100)));
        timed(&mut change, TargetChange::Put(target(extra, 150)));
        timed(&mut remove, TargetChange::Remove(Uuid::from_u128(extra.into())));
    }
    // The fastest quarter, for the same reason.
    let typical = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times.get(times.len() / 4).map_or(0.0, |time| time.as_nanos() as f64 / 1e3)
    };
    println!(
        "{name:<19} {targets:>7} {:>6} {pick_ns:>9.1} {:>9.1} {:>12.1} {:>10.1}",
        if mixed { "mixed" } else { "100" },
        typical(add),
        typical(change),
        typical(remove),
    );
}

fn target(n: u32, weight: u32) -> TargetSpec {
    let host = format!("10.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255);
    TargetSpec {
        id: Uuid::from_u128(n.into()),
        host: host.into(),
        port: 80,
        weight,
        failover: false,
    }
}

fn weight(n: u32, mixed: bool) -> u32 {
    if !mixed {
        return 100;
    }
    [50, 100, 150, 200, 97, 103].get((n % 6) as usize).copied().unwrap_or(100)
}

fn scatter(n: u32) -> u32 {
    n.wrapping_mul(0x9e37_79b1)
}
