//! `cargo xtask bench`: Weir beside its peers, in one run, on this machine.
//!
//! The figure that counts is CPU time per request of the gateway's processes: it survives a noisy
//! machine far better than requests per second. All gateways of a case stay up; the rounds go
//! forward, then backward (A B C C B A), so that a machine that slows down slows all of them.
//! Absolutes are of this machine; only the ratios of one run mean anything elsewhere.

mod engines;
mod load;
mod measure;
mod peers;
mod report;

use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::run::{cargo, root, run, target_folder};
use engines::Engine;
use load::Load;
use peers::{Backend, Gateway};
use report::{Outcome, Sample};

/// What to measure.
#[derive(Args)]
pub(crate) struct Arguments {
    /// One engine alone instead of the whole gateway
    #[command(subcommand)]
    engine: Option<Engine>,
    /// The cases to run; all of them when none is named
    #[arg(value_enum)]
    cases: Vec<Case>,
    /// Pairs of rounds, forward and backward
    #[arg(long, default_value_t = 3)]
    pairs: usize,
    /// Seconds of each round
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// How what is measured is built: `release`, or `quick-release` while working on it
    #[arg(long, global = true, default_value = "release")]
    profile: String,
}

/// A shape of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    /// 100 bytes, 64 connections
    Small,
    /// 10 kB, 64 connections
    Body10k,
    /// 100 kB, 64 connections
    Body100k,
    /// 10 kB sent, 64 connections
    Post10k,
    /// 100 bytes, 1,000 busy connections
    Connections1000,
    /// 100 bytes, 64 connections, 10,000 routes beside the one that matches
    Routes10k,
}

impl Case {
    fn load(self, seconds: u64) -> Load {
        let small = Load {
            path: "/small",
            connections: 64,
            body: 0,
            duration: Duration::from_secs(seconds),
        };
        match self {
            Case::Small | Case::Routes10k => small,
            Case::Body10k => Load { path: "/10k", ..small },
            Case::Body100k => Load { path: "/100k", ..small },
            Case::Post10k => Load { path: "/post", body: 10_000, ..small },
            Case::Connections1000 => Load { connections: 1000, ..small },
        }
    }

    fn routes(self) -> usize {
        if self == Case::Routes10k { 10_000 } else { 1 }
    }
}

/// Measures, prints a table and writes it with a chart to `target/bench/`.
pub(crate) fn run_bench(arguments: &Arguments) -> Result<()> {
    if let Some(engine) = arguments.engine {
        return engine.run(&arguments.profile);
    }
    if arguments.pairs == 0 || arguments.seconds == 0 {
        bail!("--pairs and --seconds must be at least 1");
    }
    if std::thread::available_parallelism()?.get() < 2 {
        bail!("two CPUs are needed: one for the gateway, one for the load and what answers it");
    }
    peers::install()?;
    run(cargo().args(["build", "--profile", &arguments.profile, "--package", "weir", "--locked"]))?;
    let folder = if arguments.profile == "dev" { "debug" } else { &arguments.profile };
    let weir = target_folder()?.join(folder).join("weir");
    let cases =
        if arguments.cases.is_empty() { Case::value_variants() } else { &arguments.cases[..] };
    let backend = Backend::start()?;
    let mut outcomes = Vec::new();
    for case in cases {
        println!("\n{case:?}");
        outcomes.push(measure_case(*case, arguments, &weir, &backend)?);
    }
    report::write(&outcomes, &root().join("target/bench"))
}

fn measure_case(
    case: Case,
    arguments: &Arguments,
    weir: &std::path::Path,
    backend: &Backend,
) -> Result<Outcome> {
    let gateways = Gateway::start_all(weir, backend, case.routes())?;
    let load = case.load(arguments.seconds);
    for gateway in &gateways {
        // Warm connections, caches and branch predictors; and prove that it answers.
        load.clone().lasting(Duration::from_secs(1)).run(gateway)?;
    }
    let mut samples: Vec<Vec<Sample>> = gateways.iter().map(|_| Vec::new()).collect();
    let forward: Vec<usize> = (0..gateways.len()).collect();
    let backward: Vec<usize> = forward.iter().rev().copied().collect();
    for _ in 0..arguments.pairs {
        for index in forward.iter().chain(&backward) {
            let gateway = &gateways[*index];
            let before = measure::cpu_time(gateway.pid())?;
            let seen = load.run(gateway)?;
            let spent = measure::cpu_time(gateway.pid())? - before;
            let sample = Sample::new(&seen, spent, measure::memory(gateway.pid())?);
            println!("  {:10} {sample}", gateway.name());
            samples[*index].push(sample);
        }
    }
    let names = gateways.iter().map(|gateway| gateway.name().to_owned());
    Ok(Outcome::new(format!("{case:?}"), names.zip(samples).collect()))
}
