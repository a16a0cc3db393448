//! The command line of `weir`.

mod api;
mod configuration;
mod explain;
mod hybrid;
mod migrate;
mod rollout;
mod start;

use std::ffi::OsString;
use std::io::Write;

use anyhow::Result;
use clap::Command;
use settings::Program;
use telemetry::build_info;

/// Does what the command line says.
///
/// # Errors
/// What went wrong, for the operator.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<()> {
    let matches = command().get_matches_from(arguments);
    match matches.subcommand() {
        Some(("start", matches)) => start::run(settings::from_matches(Program::Weir, matches)?),
        Some(("migrate", matches)) => migrate::run(settings::from_matches(Program::Weir, matches)?),
        Some(("hybrid", matches)) => hybrid::run(matches),
        Some(("dump", matches)) => configuration::dump(matches),
        Some(("load", matches)) => configuration::load(matches),
        Some(("explain", matches)) => explain::run(matches),
        Some(("rollout", matches)) => rollout::run(matches),
        // `version` is the only other one; clap refuses the rest.
        _ => version(),
    }
}

/// What there is to say on the command line.
fn command() -> Command {
    Command::new("weir")
        .version(build_info::VERSION)
        .about("Weir, an API gateway that is compatible with Kong")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("start")
                .about("Run the gateway: both planes in this process, its configuration in --data-dir")
                .args(settings::args(Program::Weir)),
        )
        .subcommand(
            Command::new("migrate")
                .about("Bring the database to the form that this version needs (also done at every start)")
                .args(settings::args(Program::Weir)),
        )
        .subcommand(hybrid::command())
        .subcommand(configuration::dump_command())
        .subcommand(configuration::load_command())
        .subcommand(explain::command())
        .subcommand(rollout::command())
        .subcommand(Command::new("version").about("Print the version"))
}

fn version() -> Result<()> {
    say(&format!("weir {} (answers as Kong {})", build_info::VERSION, build_info::KONG_VERSION))
}

/// Tells the operator; standard output is the answer of a command.
fn say(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
