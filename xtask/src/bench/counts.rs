//! What callgrind counts of a gateway that serves some requests.
//!
//! One request at a time, and of the traffic thread alone: how many requests one wake-up serves, and what timers and
//! the control plane do meanwhile, depends on how busy the machine is.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::bench::backend::{Backend, Certificate};
use crate::bench::load::KEY;
use crate::bench::peers::HOST;
use crate::bench::weir::{self, Setup};
use crate::run::read;

/// Counts of each instruction of each thread, in a form that is read without a dictionary.
pub(super) const OPTIONS: [&str; 4] =
    ["--separate-threads=yes", "--dump-instr=yes", "--compress-strings=no", "--compress-pos=no"];

/// Requests of the shorter and of the longer run: what is counted of one less what is counted of the other is free
/// of start and end.
pub(super) const RUNS: [u64; 2] = [4_000, 12_000];

/// What callgrind's files, one for each thread, begin with.
const FILE: &str = "callgrind.out";

/// Where callgrind writes to.
pub(super) fn file(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// What one run was counted to.
pub(super) struct Counts {
    /// All user-space instructions of the traffic thread.
    pub(super) total: u64,
    /// How often each instruction ran.
    pub(super) places: BTreeMap<Place, u64>,
}

/// An instruction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The program or library that it is in.
    pub(super) object: PathBuf,
    /// Where in it.
    pub(super) address: u64,
    /// The function that it is in.
    pub(super) function: String,
}

/// Counts both of [`RUNS`].
pub(super) fn both(
    weir: &Path,
    setup: Setup,
    backend: &Backend,
    certificate: &Certificate,
) -> Result<[Counts; 2]> {
    let setup = Setup { counted: true, ..setup };
    let [few, many] = RUNS.map(|requests| run(weir, setup, backend, certificate, requests));
    Ok([few?, many?])
}

fn run(
    weir: &Path,
    setup: Setup,
    backend: &Backend,
    certificate: &Certificate,
    requests: u64,
) -> Result<Counts> {
    let gateway = weir::start(weir, setup, backend, certificate)?;
    let output = read(
        Command::new("h2load")
            .args(["--h1", "-t1", "-c1", &format!("-n{requests}")])
            .args(["-H", &format!("apikey: {KEY}")])
            .arg(format!("--connect-to=127.0.0.1:{}", gateway.port()))
            .arg(format!("http://{HOST}/small")),
    )?;
    if !output.contains(&format!("{requests} 2xx")) {
        bail!("not every request succeeded:\n{output}");
    }
    let folder = gateway.folder().to_owned();
    gateway.end()?;
    let mut traffic: Option<(u64, Counts)> = None;
    for file in fs::read_dir(folder)?.flatten() {
        if file.file_name().to_string_lossy().starts_with(&format!("{FILE}-")) {
            let counts = parse(&fs::read_to_string(file.path())?)?;
            let heads = counts.of("http1");
            if heads > traffic.as_ref().map_or(0, |(most, _)| *most) {
                traffic = Some((heads, counts));
            }
        }
    }
    let (_, counts) =
        traffic.context("callgrind saw no thread that reads requests; was it killed?")?;
    Ok(counts)
}

impl Counts {
    /// The instructions of functions with this in their names.
    fn of(&self, part: &str) -> u64 {
        let places = self.places.iter().filter(|(place, _)| place.function.contains(part));
        places.map(|(_, count)| count).sum()
    }
}

/// Reads callgrind's format: `ob=` and `fn=` say where the lines that follow are, a line is an address, a line of
/// source and a count. The line behind `calls=` counts what was called, once more.
fn parse(text: &str) -> Result<Counts> {
    let (mut total, mut places) = (None, BTreeMap::new());
    let (mut object, mut function, mut of_callee) = (PathBuf::new(), String::new(), false);
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("ob=") {
            object = PathBuf::from(name);
        } else if let Some(name) = line.strip_prefix("fn=") {
            function = name.to_owned();
        } else if let Some(number) = line.strip_prefix("totals: ") {
            total = number.trim().parse().ok();
        } else if line.starts_with("calls=") {
            of_callee = true;
        } else if let Some(position) = line.strip_prefix("0x") {
            let mut words = position.split(' ');
            let address = words.next().and_then(|hex| u64::from_str_radix(hex, 16).ok());
            let count = words.nth(1).and_then(|number| number.parse::<u64>().ok());
            let (Some(address), Some(count)) = (address, count) else {
                bail!("callgrind wrote a line that cannot be read: {line}");
            };
            if !std::mem::take(&mut of_callee) {
                let (object, function) = (object.clone(), function.clone());
                *places.entry(Place { object, address, function }).or_default() += count;
            }
        }
    }
    Ok(Counts { total: total.context("callgrind's counts have no total")?, places })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_called_function_takes_is_not_counted_twice() {
        let text = "positions: instr line\nevents: Ir\ntotals: 25\nob=/bin/weir\nfl=a.rs\nfn=main\n\
                    0x10 1 5\n0x14 2 1\ncfn=other\ncalls=1 0x20 1\n0x14 2 19\nfn=other\n0x20 9 19\n";
        let counts = parse(text).unwrap();
        let all: Vec<(u64, &str, u64)> = counts
            .places
            .iter()
            .map(|(place, count)| (place.address, place.function.as_str(), *count))
            .collect();
        assert_eq!(counts.total, 25);
        assert_eq!(all, [(0x10, "main", 5), (0x14, "main", 1), (0x20, "other", 19)]);
    }
}
