//! `simulate FIRST COUNT`: the simulated cluster of the tests, for that many seeds from the first
//! one on. It names the seeds that fail, and fails then.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "talks to the developer who called it")]

#[expect(dead_code, reason = "what only other tests do with them")]
#[path = "../it/sync/planes.rs"]
mod planes;
#[expect(dead_code, reason = "the mistakes are for its own test")]
#[path = "../it/sync/simulation.rs"]
mod simulation;
#[expect(dead_code, reason = "what only other tests do with it")]
#[path = "../it/sync/store.rs"]
mod store;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = || {
        arguments.next().context("usage: simulate FIRST COUNT")?.parse::<u64>().context("a number")
    };
    let (first, count) = (number()?, number()?);
    let began = Instant::now();
    let (next, failed, served) = (AtomicU64::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let run = || {
        let mut longest = Duration::ZERO;
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= count {
                return longest;
            }
            match simulation::simulate(first + seed, None) {
                Ok((steps, converged)) => {
                    served.fetch_add(steps, Ordering::Relaxed);
                    longest = longest.max(converged);
                }
                Err(error) => {
                    failed.fetch_add(1, Ordering::Relaxed);
                    println!("seed {}: {error}", first + seed);
                }
            }
        }
    };
    let threads = std::thread::available_parallelism()?.get();
    let longest = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        running.into_iter().filter_map(|one| one.join().ok()).max()
    });
    println!(
        "{count} seeds in {:?}: {} revisions served; the slowest converged in {:?}",
        began.elapsed(),
        served.into_inner(),
        longest.unwrap_or_default(),
    );
    let failed = failed.into_inner();
    ensure!(failed == 0, "{failed} seeds failed");
    Ok(())
}
