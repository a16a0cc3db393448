//! `weir`: both planes in one process, and the operator's commands.

use std::process::ExitCode;

fn main() -> ExitCode {
    process::exit(weir::commands::run(std::env::args_os()))
}
