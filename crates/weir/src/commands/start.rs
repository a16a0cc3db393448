//! `weir start`.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context, Error, Result};
use process::Process;
use settings::{Database, Listener, Loaded, Settings};
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
            streams = ?running.data.streams,
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
    let scheme = |listener: &Listener| if listener.ssl { "https" } else { "http" };
    let proxy = settings.proxy_listen.iter().map(scheme).zip(&running.data.proxy);
    let admin = settings.admin_listen.iter().map(scheme).zip(&running.control.admin);
    let status = running.data.status.iter().map(|address| ("http", address));
    let streams = settings.stream_listen.iter().zip(&running.data.streams);
    let streams = streams.map(|(listener, address)| {
        (
            if listener.udp {
                "udp"
            } else if listener.ssl {
                "tls"
            } else {
                "tcp"
            },
            address,
        )
    });
    line(&mut text, "Proxy", proxy);
    line(&mut text, "Streams", streams);
    line(&mut text, "Admin API", admin);
    line(&mut text, "Status", status);
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
    let plain = |listeners: &[Listener], addresses: &[SocketAddr]| {
        let mut plain = listeners.iter().zip(addresses).filter(|(listener, _)| !listener.ssl);
        plain.next().map(|(_, address)| *address)
    };
    if let (Some(admin), Some(proxy)) = (
        plain(&settings.admin_listen, &running.control.admin),
        plain(&settings.proxy_listen, &running.data.proxy),
    ) {
        let (admin, proxy) = (reachable(admin), reachable(proxy));
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

/// A line with the URLs of some listeners; none when there are none.
fn line<'a>(
    text: &mut String,
    name: &str,
    listeners: impl Iterator<Item = (&'static str, &'a SocketAddr)>,
) {
    let urls: Vec<String> =
        listeners.map(|(scheme, address)| format!("{scheme}://{address}")).collect();
    if !urls.is_empty() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<12} {}", urls.join(", "));
    }
}

/// The address by which this machine reaches a listener of its own.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())
    } else {
        address
    }
}
