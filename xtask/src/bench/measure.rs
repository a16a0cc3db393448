//! What a process costs, by what the kernel says of it.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Linux tells times in these to programs, on every machine (`USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;

/// CPU time of a process with its children, user and system, threads that have ended included. The kernel counts it to
/// the nanosecond (softirq work for its sockets is charged to it) and tells it in hundredths of a second.
pub(super) fn cpu_time(pid: u32) -> Result<Duration> {
    let mut ticks = 0;
    for pid in family(pid)? {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
        let stat = stat.with_context(|| format!("process {pid} has ended"))?;
        // The name may hold spaces; behind it come the state and 10 more fields, then user and system time.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        ticks += fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
    }
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// Resident memory of a process with its children, in bytes.
pub(super) fn memory(pid: u32) -> Result<u64> {
    let mut total = 0;
    for pid in family(pid)? {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|rest| rest.split_whitespace().next());
        total += kilobytes.and_then(|number| number.parse::<u64>().ok()).unwrap_or_default() * 1024;
    }
    Ok(total)
}

/// The process and its children.
fn family(pid: u32) -> Result<Vec<u32>> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(parent) = all.get(next).copied() {
        next += 1;
        let tasks = fs::read_dir(format!("/proc/{parent}/task"))
            .with_context(|| format!("process {parent} has ended"))?;
        for task in tasks.flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
    }
    Ok(all)
}
