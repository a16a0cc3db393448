//! `weir-control-plane`: Admin API, store and stream for separate data planes.

use std::process::ExitCode;

use anyhow::{Context, Error, Result};
use process::Process;
use settings::Program;
use telemetry::build_info;

fn main() -> ExitCode {
    process::exit(run())
}

fn run() -> Result<()> {
    let command = clap::Command::new("weir-control-plane")
        .version(build_info::VERSION)
        .about("Weir's control plane: the Admin API, and the configuration for data planes")
        .args(settings::args(Program::ControlPlane));
    let loaded = settings::from_matches(Program::ControlPlane, &command.get_matches())?;
    let process = Process::start(&loaded)?;
    let runtime = tokio::runtime::Runtime::new().context("the runtime cannot start")?;
    let ended = runtime.block_on(async {
        process.listen_for_signals(&loaded.settings)?;
        let running = control_plane::start(&loaded.settings, &process, None).await?;
        tracing::info!(
            version = build_info::VERSION,
            admin = ?running.admin,
            cluster = ?running.cluster,
            status = ?running.status,
            "the control plane runs"
        );
        process.tasks.finish().await.map_err(Error::msg)
    });
    // What has not ended by now was told to, and had its time.
    runtime.shutdown_background();
    ended
}
