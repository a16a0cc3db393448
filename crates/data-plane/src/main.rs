//! `weir-data-plane`: follows a control plane and serves traffic.

use std::process::ExitCode;

use anyhow::{Context, Error, Result};
use process::Process;
use settings::Program;
use telemetry::build_info;

fn main() -> ExitCode {
    process::exit(run())
}

fn run() -> Result<()> {
    let command = clap::Command::new("weir-data-plane")
        .version(build_info::VERSION)
        .about("Weir's data plane: serves traffic as a control plane says")
        .args(settings::args(Program::DataPlane));
    let loaded = settings::from_matches(Program::DataPlane, &command.get_matches())?;
    let process = Process::start(&loaded)?;
    // The control runtime; traffic has threads of its own.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("the runtime cannot start")?;
    let ended = runtime.block_on(async {
        process.listen_for_signals(&loaded.settings)?;
        let running = data_plane::start(&loaded.settings, &process, None)?;
        tracing::info!(
            version = build_info::VERSION,
            proxy = ?running.proxy,
            streams = ?running.streams,
            status = ?running.status,
            "the data plane runs"
        );
        process.tasks.finish().await.map_err(Error::msg)
    });
    // What has not ended by now was told to, and had its time.
    runtime.shutdown_background();
    ended
}
