//! How a cluster behaves when it is large, by real processes and real sockets on one machine:
//! `cargo xtask bench cluster`.
//!
//! The planes speak mutual TLS, as between machines, and the control plane stores in Postgres with
//! its disk writes. Data planes that are only counted are clients in this process; those that are
//! measured are programs of their own.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

mod bootstrap;
mod crowd;
mod planes;
mod propagation;
mod table;

use anyhow::{Context, Result, bail, ensure};

/// File descriptors that a thousand data planes in one process take, and some to spare.
const DESCRIPTORS: u64 = 4_096;

/// What can be measured.
const PARTS: [&str; 3] = ["crowd", "bootstrap", "propagation"];

fn main() -> Result<()> {
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = chosen.iter().find(|part| !PARTS.contains(&part.as_str())) {
        bail!("there is no part {unknown}; there are {}", PARTS.join(", "));
    }
    let limit = descriptors()?;
    ensure!(
        limit >= DESCRIPTORS,
        "{DESCRIPTORS} open files are needed, and {limit} allowed: run `ulimit -n {DESCRIPTORS}` \
         before"
    );
    let wanted = |part: &str| chosen.is_empty() || chosen.iter().any(|chosen| chosen == part);
    table::head();
    if wanted("crowd") {
        crowd::measure()?;
    }
    if wanted("bootstrap") {
        bootstrap::measure()?;
    }
    if wanted("propagation") {
        for routes in [1_000, 50_000] {
            propagation::measure(routes)?;
        }
    }
    Ok(())
}

/// How many files this process may have open.
fn descriptors() -> Result<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3));
    Ok(soft.context("no limit of open files in /proc/self/limits")?.parse().unwrap_or(u64::MAX))
}
