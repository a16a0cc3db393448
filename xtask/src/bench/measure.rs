//! What a process costs, by what the kernel says of it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

/// CPU time of a process with its children and all their threads, user and system, to the
/// nanosecond (`schedstat`; softirq work for its sockets is charged to it).
pub(super) fn cpu_time(pid: u32) -> Result<Duration> {
    let mut total = 0;
    for pid in family(pid)? {
        let tasks = Path::new("/proc").join(pid.to_string()).join("task");
        for task in fs::read_dir(&tasks).with_context(|| format!("process {pid} has ended"))? {
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            let first = text.split_whitespace().next().unwrap_or_default();
            total += first.parse::<u64>().unwrap_or_default();
        }
    }
    Ok(Duration::from_nanos(total))
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
