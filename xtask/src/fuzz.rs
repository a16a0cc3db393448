//! `cargo xtask fuzz`: libFuzzer on stable Rust.
//!
//! It needs no more than a C++ compiler: the flags that guide libFuzzer are the compiler's own, and
//! without a sanitizer nothing asks for nightly. There is no `unsafe` here that one would look into.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::run::{cargo, read, root, run};

/// What makes the programs count which edges they take and with what they compare.
const GUIDED: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Longer inputs tell nothing new, and slow everything down.
const LONGEST: usize = 4096;

/// What to fuzz and for how long.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// One target; all, one after another, if none is named
    target: Option<Target>,
    /// How long each target runs
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
}

/// A module of the package `fuzz`.
#[derive(Clone, Copy, ValueEnum)]
enum Target {
    /// Heads and bodies of HTTP/1, beside hyper
    Request,
    /// The normal form of paths, beside a plain one
    Path,
    /// Tables of routes, beside Kong's engine and a plain evaluation
    Router,
    /// Expressions, beside Kong's engine
    Expression,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Target::Request => "request",
            Target::Path => "path",
            Target::Router => "router",
            Target::Expression => "expression",
        }
    }
}

/// Runs the targets. What was learnt stays in `target/fuzz/corpus`, a finding in
/// `target/fuzz/findings`; mended, it goes to `tests/fuzz/seeds`.
pub(crate) fn run_fuzz(arguments: &Arguments) -> Result<()> {
    let programs = build()?;
    let targets = match arguments.target {
        Some(target) => vec![target],
        None => Target::value_variants().to_vec(),
    };
    let mut found = Vec::new();
    for target in targets {
        let name = target.name();
        let [corpus, findings] =
            ["corpus", "findings"].map(|folder| root().join("target/fuzz").join(folder).join(name));
        fs::create_dir_all(&corpus)?;
        fs::create_dir_all(&findings)?;
        let seconds = arguments.minutes.saturating_mul(60);
        let ran = run(Command::new(programs.join(format!("fuzz-{name}")))
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={LONGEST}"))
            .arg("-timeout=10")
            .arg("-print_final_stats=1")
            .arg(format!("-artifact_prefix={}/", findings.display()))
            .args([corpus, root().join("tests/fuzz/seeds").join(name)]));
        if let Err(error) = ran {
            println!("{error:#}");
            found.push(format!("{name} (see {})", findings.display()));
        }
    }
    if !found.is_empty() {
        bail!("findings in {}", found.join(", "));
    }
    Ok(())
}

/// Builds the programs, apart from everything else, since their flags differ; returns where they are.
fn build() -> Result<PathBuf> {
    // The machine's own name, said aloud, so that build scripts do without the flags.
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let host = read(Command::new(rustc).args(["--print", "host-tuple"]))?;
    let host = host.trim();
    let folder = root().join("target/fuzz/build");
    run(cargo()
        .args(["build", "--locked", "--profile", "fuzz", "--package", "fuzz", "--bins"])
        .args(["--features", "libfuzzer", "--target", host, "--target-dir"])
        .arg(&folder)
        .env("RUSTFLAGS", GUIDED))?;
    Ok(folder.join(host).join("fuzz"))
}
