//! `cargo xtask check`.

use anyhow::{Result, bail};

use crate::run::{cargo, run};
use crate::{codegen, planes, tidy, tools};

type Step = (&'static str, fn() -> Result<()>);

/// In order of what they cost. All run, so that one call tells everything.
const STEPS: [Step; 6] = [
    ("format", || run(cargo().args(["fmt", "--all", "--check"]))),
    ("tidy", tidy::run),
    ("generated code", || codegen::run(true)),
    ("planes", planes::run),
    ("lints", || {
        run(cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ]))
    }),
    ("licences and duplicates", tools::deny),
];

/// Runs every step.
pub(crate) fn run_steps() -> Result<()> {
    let mut failed = Vec::new();
    for (name, step) in STEPS {
        println!("== {name}");
        if let Err(error) = step() {
            println!("{error:#}");
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("not in order: {}", failed.join(", "));
    }
    println!("== everything is in order");
    Ok(())
}
