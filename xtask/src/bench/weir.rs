//! Weir, set up for a case.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::bench::backend::{Backend, Certificate};
use crate::bench::counts;
use crate::bench::load::{GRPC_METHOD, KEY};
use crate::bench::peers::{
    GATEWAY_CPU, Gateway, HOST, Ports, folder, free_port, pinned, quiet, wait_for,
};
use crate::bench::plugins;
use crate::run::read;

/// What is configured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) label: &'static str,
    /// Routes, the one that matches among them.
    pub(super) routes: usize,
    /// Whether key-auth, rate-limiting and prometheus are on the service.
    pub(super) plugins: bool,
    /// Whether each plugin is on a route of its own beside it ([`plugins::run`]).
    pub(super) singly: bool,
    /// Changes of another route per second, as long as it runs.
    pub(super) changes: u32,
    /// Whether there is a service that speaks gRPC.
    pub(super) grpc: bool,
    /// Traffic threads.
    pub(super) threads: usize,
    /// Whether a second process like it takes half of the load.
    pub(super) twice: bool,
    /// The CPUs that it may use.
    pub(super) cpus: &'static str,
    /// Whether its instructions are counted (which makes it some fifty times slower).
    pub(super) counted: bool,
}

impl Setup {
    /// One route, nothing else, one thread.
    pub(super) const PLAIN: Setup = Setup {
        label: "weir",
        routes: 1,
        plugins: false,
        singly: false,
        changes: 0,
        grpc: false,
        threads: 1,
        twice: false,
        cpus: GATEWAY_CPU,
        counted: false,
    };
}

/// How far changes may fall behind their rate.
const MOST_LAG: Duration = Duration::from_secs(1);

/// Writes to the Admin API until it is dropped.
pub(super) struct Changes {
    stop: Arc<AtomicBool>,
    paused: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

/// Starts it and waits until it serves its configuration.
pub(super) fn start(
    program: &Path,
    setup: Setup,
    backend: &Backend,
    certificate: &Certificate,
) -> Result<Gateway> {
    let folder = folder(&setup.label.replace([' ', ',', '\''], "-"))?;
    let ports = Ports::free()?;
    let admin = free_port()?;
    let mut command = if setup.counted {
        let mut out = OsString::from("--callgrind-out-file=");
        out.push(counts::file(&folder));
        let mut command = pinned(setup.cpus, Path::new("valgrind"));
        command.args(["--quiet", "--tool=callgrind"]).args(counts::OPTIONS).arg(out).arg(program);
        command
    } else {
        pinned(setup.cpus, program)
    };
    command
        .args(["start", "--proxy-access-log", "off"])
        .arg(format!("--nginx-main-worker-processes={}", setup.threads))
        .arg(format!(
            "--proxy-listen=127.0.0.1:{} http2, 127.0.0.1:{} ssl http2",
            ports.plain, ports.tls
        ))
        .arg(format!("--admin-listen=127.0.0.1:{admin}"))
        .arg("--status-listen=off")
        .arg("--ssl-cert")
        .arg(&certificate.chain)
        .arg("--ssl-cert-key")
        .arg(&certificate.key)
        .arg("--data-dir")
        .arg(folder.join("data"));
    let child = quiet(&mut command, &folder)?;
    let mut gateway = Gateway::new(setup.label, ports, folder, child);
    wait_for(admin)?;
    let file = gateway.folder().join("configuration.json");
    fs::write(&file, configuration(setup, backend))?;
    let url = format!("http://127.0.0.1:{admin}");
    read(Command::new(program).args(["load", "--admin", &url, "--wait", "all"]).arg(&file))
        .context("the configuration was not taken; is something of it unknown?")?;
    wait_for(gateway.port())?;
    if setup.twice {
        let twin = Setup { label: "weir, the other", twice: false, ..setup };
        gateway.join(start(program, twin, backend, certificate)?);
    }
    if setup.changes > 0 {
        gateway.keep(Changes::start(admin, setup.changes));
    }
    Ok(gateway)
}

fn configuration(setup: Setup, backend: &Backend) -> String {
    let mut routes = format!(r#"{{"name":"bench","hosts":["{HOST}"],"paths":["/"]}}"#);
    for number in 1..setup.routes {
        let host = number % 1000;
        let _ = write!(
            routes,
            r#",{{"name":"r{number}","hosts":["h{host}.test"],"paths":["/p{number}"]}}"#
        );
    }
    if setup.singly {
        routes.push_str(&plugins::routes());
    }
    let plugins = if setup.plugins {
        r#"{"name":"key-auth"},{"name":"rate-limiting","config":{"second":100000000,"policy":"local"}},{"name":"prometheus"}"#
    } else {
        ""
    };
    let calls = if setup.grpc {
        format!(
            r#",{{"name":"calls","url":"grpc://127.0.0.1:{}","routes":[{{"name":"calls","protocols":["grpc"],"hosts":["{HOST}"],"paths":["{GRPC_METHOD}"]}}]}}"#,
            backend.grpc_port()
        )
    } else {
        String::new()
    };
    format!(
        r#"{{"_format_version":"3.0","upstreams":[{{"name":"bench","targets":[{{"target":"127.0.0.1:{port}"}}]}}],
"consumers":[{{"username":"bench","keyauth_credentials":[{{"key":"{KEY}"}}]{credentials}}}],
"services":[{{"name":"bench","host":"bench","plugins":[{plugins}],"routes":[{routes}]}}{calls}]}}"#,
        port = backend.port(),
        credentials = if setup.singly { plugins::CREDENTIALS } else { "" },
    )
}

impl Changes {
    fn start(admin: u16, per_second: u32) -> Changes {
        let (stop, paused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
        let (stopped, rests) = (Arc::clone(&stop), Arc::clone(&paused));
        let thread = thread::spawn(move || {
            let pause = Duration::from_secs(1) / per_second;
            let mut due = Instant::now();
            let mut number = 0;
            let mut lag = Duration::ZERO;
            while !stopped.load(Ordering::Relaxed) {
                if rests.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(1));
                    due = Instant::now();
                    continue;
                }
                number += 1;
                let body = format!(r#"{{"paths":["/p1","/changed{number}"]}}"#);
                patch(admin, "/routes/r1", &body)?;
                due += pause;
                let now = Instant::now();
                lag = lag.max(now.saturating_duration_since(due));
                thread::sleep(due.saturating_duration_since(now));
            }
            println!("  {number} changes were made, each answered when it was served");
            if lag > MOST_LAG {
                bail!(
                    "the changes fell behind by {lag:?}: {per_second} a second are too many here"
                );
            }
            Ok(())
        });
        Changes { stop, paused, thread: Some(thread) }
    }

    /// Begins to make changes, or rests: what else is measured has its CPU for itself.
    pub(super) fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// An error if a change was refused.
    pub(super) fn end(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(error),
            Some(Err(_)) => bail!("what makes the changes panicked"),
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        // Whoever wants to know has asked by `end`.
        let _ = self.end();
    }
}

/// One change by the Admin API.
fn patch(admin: u16, path: &str, body: &str) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", admin))?;
    write!(
        stream,
        "PATCH {path} HTTP/1.1\r\nHost: admin\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if !answer.starts_with("HTTP/1.1 200") {
        bail!("PATCH {path} was answered: {answer}");
    }
    Ok(())
}
