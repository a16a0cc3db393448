//! `cargo xtask bench atomics`: every instruction of a request that locks a cache line, and who asks for it.
//!
//! A line that two traffic threads write is moved between their processors at each write, and that is what keeps a
//! second thread from being a second gateway. Whoever writes to what is shared does so by a locked instruction (or
//! a race would lose writes), so a list of those that a request runs is a list of what could be shared: each is
//! either of the thread's own (a task's state, a lock that nobody else takes), or it is to go.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::bench::backend::{Backend, Certificate};
use crate::bench::counts::{self, Place};
use crate::bench::weir::Setup;
use crate::packages;
use crate::run::read;

/// What runs less often than once in so many requests is not of the request.
const RARELY: u64 = 100;

/// Counts, prints a table and writes it to `folder`.
pub(super) fn run(weir: &Path, plugins: bool, folder: &Path) -> Result<()> {
    if !cfg!(target_arch = "x86_64") {
        bail!("what locks a line is known for x86-64 only");
    }
    packages::install(
        "the list of atomics",
        &[("objdump", "binutils"), ("addr2line", "binutils")],
    )?;
    let (backend, certificate) = (Backend::start()?, Certificate::make()?);
    let setup = Setup { label: "weir counted", plugins, ..Setup::PLAIN };
    let [few, many] = counts::both(weir, setup, &backend, &certificate)?;
    let requests = counts::RUNS[1] - counts::RUNS[0];
    let mut often: BTreeMap<&Path, Vec<(&Place, u64)>> = BTreeMap::new();
    for (place, count) in &many.places {
        let more = count.saturating_sub(few.places.get(place).copied().unwrap_or_default());
        if more * RARELY >= requests {
            often.entry(&place.object).or_default().push((place, more));
        }
    }
    let mut rows: BTreeMap<(String, String), u64> = BTreeMap::new();
    for (object, places) in often.into_iter().filter(|(object, _)| object.is_file()) {
        let locking = locking(object)?;
        let places: Vec<_> =
            places.into_iter().filter(|(place, _)| locking.contains(&place.address)).collect();
        let origins = origins(object, places.iter().map(|(place, _)| place.address))?;
        for (place, count) in places {
            let unknown = (place.function.clone(), object.display().to_string());
            let origin = origins.get(&place.address).cloned().flatten().unwrap_or(unknown);
            *rows.entry(origin).or_default() += count;
        }
    }
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let all: u64 = rows.iter().map(|(_, count)| count).sum();
    let mut text = String::from("| per request | what | where |\n| --- | --- | --- |\n");
    for ((what, place), count) in rows {
        let _ = writeln!(text, "| {:.2} | `{what}` | {place} |", count as f64 / requests as f64);
    }
    let _ = writeln!(text, "| {:.2} | all | |", all as f64 / requests as f64);
    println!("\n{text}");
    fs::create_dir_all(folder)?;
    fs::write(folder.join("atomics.md"), text)?;
    Ok(())
}

/// The addresses of the instructions that lock a line: with the prefix, or an exchange with memory, which implies it.
fn locking(object: &Path) -> Result<BTreeSet<u64>> {
    let code = read(Command::new("objdump").args(["-d", "--no-show-raw-insn"]).arg(object))?;
    let address = |line: &str| {
        let (address, instruction) = line.split_once(":\t")?;
        let locks = instruction.starts_with("lock ")
            || (instruction.starts_with("xchg ") && instruction.contains('('));
        locks.then(|| u64::from_str_radix(address.trim(), 16).ok()).flatten()
    };
    Ok(code.lines().filter_map(address).collect())
}

/// What was asked for at each address, and by whom: from the chain of calls that were inlined there, the outermost of
/// the standard library's, and the place in our code that it is in, or in a dependency's.
fn origins(
    object: &Path,
    addresses: impl Iterator<Item = u64>,
) -> Result<BTreeMap<u64, Option<(String, String)>>> {
    let mut command = Command::new("addr2line");
    command.args(["--addresses", "--functions", "--inlines", "--demangle", "--exe"]).arg(object);
    command.args(addresses.map(|address| format!("{address:#x}")));
    let text = read(&mut command)?;
    let mut found = BTreeMap::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let address = line.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let Some(address) = address else { continue };
        let mut frames: Vec<(&str, &str)> = Vec::new();
        while let Some(function) = lines.next_if(|line| !line.starts_with("0x")) {
            frames.push((function, lines.next().unwrap_or_default()));
        }
        found.insert(address, origin(&frames));
    }
    Ok(found)
}

fn origin(frames: &[(&str, &str)]) -> Option<(String, String)> {
    let is_library = |place: &str| place.contains("/rustc/") || place.contains("/rust/library/");
    let is_ours = |place: &str| place.contains("/crates/") && !place.contains("/registry/");
    let outer = frames.iter().position(|(_, place)| !is_library(place)).unwrap_or(frames.len());
    let (what, _) = frames.get(outer.saturating_sub(1))?;
    let asked = frames.iter().find(|(_, place)| is_ours(place)).or(frames.get(outer));
    let (by, place) = asked.or(frames.last())?;
    if place.starts_with('?') {
        return None;
    }
    let place = place.split(" (discriminator").next().unwrap_or(place);
    // Below the folder of our crates, or that of a registry, which has a name of its own.
    let of_registry = place.split_once("/registry/src/").and_then(|(_, rest)| rest.split_once('/'));
    let of_ours = || place.split_once("/crates/");
    let place = of_registry.or_else(of_ours).map_or(place, |(_, rest)| rest);
    Some((short(what).to_owned(), format!("{place} (`{}`)", short(by))))
}

/// A function without what it is generic over.
fn short(function: &str) -> &str {
    match function.find('<') {
        Some(end) if end > 0 => &function[..end],
        _ => function,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inlined_operation_is_told_by_our_line() {
        let frames = [
            ("core::sync::atomic::atomic_add", "/rustc/1/library/core/src/sync/atomic.rs:3900"),
            ("<Arc<T> as Clone>::clone", "/rustc/1/library/alloc/src/sync.rs:2100"),
            (
                "balancer::plan::pick",
                "/home/me/weir/crates/balancer/src/plan.rs:90 (discriminator 2)",
            ),
            ("proxy::peers::pick", "/home/me/weir/crates/proxy/src/peers.rs:30"),
        ];
        let (what, place) = origin(&frames).unwrap();
        assert_eq!(what, "<Arc<T> as Clone>::clone");
        assert_eq!(place, "balancer/src/plan.rs:90 (`balancer::plan::pick`)");
        let frames =
            [("lock<T>", "/home/me/.cargo/registry/src/index.crates.io-1/lock-1.0.0/src/raw.rs:9")];
        assert_eq!(
            origin(&frames).unwrap(),
            ("lock".to_owned(), "lock-1.0.0/src/raw.rs:9 (`lock`)".to_owned())
        );
        assert_eq!(origin(&[("??", "??:0")]), None);
    }
}
