//! `weir start`.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context, Error, Result};
use process::Process;
use settings::{Database, Loaded, Settings};
use telemetry::build_info;

use super::say;
use crate::Running;

pub(super) fn run(loaded: Loaded) -> Result<()> {
    let process = Process::start(&loaded)?;
    let runtime = tokio::runtime::Runtime::new().context("the runtime cannot start")?;
    let ended = runtime.block_on(async {
        process.listen_for_signals(&loaded.settings)?;
        let running = crate::start(&loaded.settings, &process).await?;
        tracing::info!(
            version = build_info::VERSION,
            proxy = ?running.data.proxy,
            admin = ?running.control.admin,
            cluster = ?running.control.cluster,
            status = ?running.data.status,
            "the gateway runs"
        );
        say(&greeting(&loaded.settings, &running))?;
        process.tasks.finish().await.map_err(Error::msg)
    });
    // What has not ended by now was told to, and had its time.
    runtime.shutdown_background();
    ended
}

/// Where it listens, and what to try.
fn greeting(settings: &Settings, running: &Running) -> String {
    let mut text = String::from("Weir runs.\n\n");
    let mut line = |name: &str, addresses: &[SocketAddr]| {
        if !addresses.is_empty() {
            let addresses: Vec<String> =
                addresses.iter().map(|address| format!("http://{address}")).collect();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {name:<12} {}", addresses.join(", "));
        }
    };
    line("Proxy", &running.data.proxy);
    line("Admin API", &running.control.admin);
    line("Status", &running.data.status);
    let kept = match settings.database {
        Database::Sqlite => format!("SQLite in {}", settings.data_dir.display()),
        Database::Off => "none (declarative)".to_owned(),
        Database::Postgres => {
            format!(
                "PostgreSQL {} on {}:{}",
                settings.pg_database, settings.pg_host, settings.pg_port
            )
        }
    };
    let _ = writeln!(text, "  {:<12} {kept}", "Database");
    if let (Some(admin), Some(proxy)) = (running.control.admin.first(), running.data.proxy.first())
    {
        let (admin, proxy) = (reachable(*admin), reachable(*proxy));
        let _ = write!(
            text,
            "\nTry it:\n  \
             curl -s http://{admin}/services -d name=example -d url=http://example.com\n  \
             curl -s http://{admin}/services/example/routes -d 'paths[]=/example'\n  \
             curl -i http://{proxy}/example\n"
        );
    }
    text
}

/// The address by which this machine reaches a listener of its own.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())
    } else {
        address
    }
}
