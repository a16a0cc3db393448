//! The repository's own commands; `cargo xtask help` lists them.
//!
//! `check` and `test` are what CI runs, and what to run before a commit. Both get the tools that
//! they need and say how where they cannot.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "commands that talk to the developer who called them")]

mod bench;
mod check;
mod codegen;
mod dist;
mod e2e;
mod fuzz;
mod packages;
mod planes;
mod postgres;
mod run;
mod test;
mod tidy;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The repository's own commands")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything that can be said about the code without running it: format, floors and tidiness,
    /// generated code, lints, licences and duplicates
    Check,
    /// Every test, with everything that they need
    Test {
        /// Passed on to `cargo test --workspace`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Clients that Weir does not ship, unmodified, against whole gateways
    E2e {
        /// Which client
        #[arg(value_enum)]
        client: e2e::Outsider,
    },
    /// Writes what is generated: code, and the reference of Admin API and plugins
    Codegen {
        /// Change nothing, fail if something would change
        #[arg(long)]
        check: bool,
    },
    /// Weir beside nginx and HAProxy on this machine: CPU time per request, latency, memory; or one
    /// engine alone
    Bench(bench::Arguments),
    /// Builds the programs as they are shipped, by the profile of the benchmark's traffic
    Dist,
    /// Reads random bytes as what strangers send us, beside an oracle, guided by coverage
    Fuzz(fuzz::Arguments),
    /// Only the part of `check` that looks at the files: takes a second
    Tidy,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Check => check::run_steps(),
        Command::Test { arguments } => test::run_tests(&arguments),
        Command::E2e { client } => client.run(),
        Command::Codegen { check } => codegen::run(check),
        Command::Bench(arguments) => bench::run_bench(&arguments),
        Command::Dist => dist::run_dist(),
        Command::Fuzz(arguments) => fuzz::run_fuzz(&arguments),
        Command::Tidy => tidy::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
