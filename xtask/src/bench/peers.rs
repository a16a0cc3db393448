//! The gateways that are compared, each with one worker on a CPU of its own, adding the same
//! header fields; and the backend behind them.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::bench::backend::{Backend, Certificate};
use crate::bench::case::Contestant;
use crate::bench::envoy;
use crate::bench::load::{GRPC_METHOD, Tool};
use crate::bench::weir::{self, Changes};
use crate::packages;
use crate::run::{read, root, run};

/// The CPU of the gateways.
pub(super) const GATEWAY_CPU: &str = "0";
/// The CPU of the load and of the backend.
pub(super) const LOAD_CPU: &str = "1";
/// Both of them.
pub(super) const BOTH_CPUS: &str = "0,1";

/// Connections that each of them may have, on both sides together: clients that are idle, and some that are served.
pub(super) const CONNECTIONS: usize = 11_000;

/// The host that is asked for.
pub(super) const HOST: &str = "bench.test";

/// Files that each of them, and we, must be able to have open.
const FILES: usize = CONNECTIONS + 1_000;

/// Lets this process and those that it starts have so many files open.
pub(super) fn raise_limits() -> Result<()> {
    let this = std::process::id().to_string();
    let limit = |limits: &str| {
        read(Command::new("prlimit").args(["--pid", &this, &format!("--nofile={limits}")]))
    };
    let now = read(Command::new("prlimit").args([
        "--pid",
        &this,
        "--nofile",
        "--output=SOFT",
        "--noheadings",
        "--raw",
    ]))?;
    if now.trim().parse().is_ok_and(|soft: usize| soft < FILES) {
        // As far as the hard limit goes anyone may; beyond it, root.
        limit(&format!("{FILES}:")).or_else(|_| limit(&format!("{FILES}:{FILES}"))).with_context(
            || {
                format!(
                    "the limit of open files is {}: raise it (`ulimit -Hn {FILES}` as root)",
                    now.trim()
                )
            },
        )?;
    }
    Ok(())
}

/// Gets the programs that are not there, from Debian when we are root.
pub(super) fn install() -> Result<()> {
    let wanted = [
        ("nginx", "nginx-light"),
        ("haproxy", "haproxy"),
        ("wrk", "wrk"),
        ("h2load", "nghttp2-client"),
        ("nghttpd", "nghttp2-server"),
        ("openssl", "openssl"),
        ("valgrind", "valgrind"),
    ];
    packages::install("the comparison", &wanted)
}

/// Where a gateway listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    /// HTTP/1.1 and, without asking, HTTP/2.
    pub(super) plain: u16,
    pub(super) tls: u16,
    /// HTTP/2 alone, where a gateway cannot tell by itself.
    http2: u16,
}

impl Ports {
    pub(super) fn free() -> Result<Ports> {
        Ok(Ports { plain: free_port()?, tls: free_port()?, http2: free_port()? })
    }
}

/// A gateway, running.
pub(super) struct Gateway {
    name: &'static str,
    ports: Ports,
    folder: PathBuf,
    changes: Option<Changes>,
    process: Process,
    twin: Option<Box<Gateway>>,
}

impl Gateway {
    /// Starts one; none where the program cannot be had.
    pub(super) fn start(
        contestant: Contestant,
        weir: &Path,
        backend: &Backend,
        certificate: &Certificate,
    ) -> Result<Gateway> {
        match contestant {
            Contestant::Weir(setup) => weir::start(weir, setup, backend, certificate),
            Contestant::Nginx => Gateway::nginx(backend, certificate),
            Contestant::Haproxy => Gateway::haproxy(backend, certificate),
            Contestant::Pingora => Gateway::pingora(backend),
            Contestant::Envoy => envoy::start(backend),
        }
    }

    pub(super) fn new(name: &'static str, ports: Ports, folder: PathBuf, child: Child) -> Gateway {
        Gateway { name, ports, folder, changes: None, process: Process(child), twin: None }
    }

    /// Keeps what changes its configuration running.
    pub(super) fn keep(&mut self, changes: Changes) {
        self.changes = Some(changes);
    }

    /// Shares the load with another process from now on.
    pub(super) fn join(&mut self, twin: Gateway) {
        self.twin = Some(Box::new(twin));
    }

    /// The other process that shares its load.
    pub(super) fn twin(&self) -> Option<&Gateway> {
        self.twin.as_deref()
    }

    /// Has its configuration changed, if it is to be, until it is told otherwise.
    pub(super) fn change(&self, on: bool) {
        if let Some(changes) = &self.changes {
            changes.pause(!on);
        }
    }

    /// Ends it; an error if a change was refused meanwhile.
    pub(super) fn end(mut self) -> Result<()> {
        self.changes.as_mut().map_or(Ok(()), Changes::end)
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn port(&self) -> u16 {
        self.ports.plain
    }

    pub(super) fn address(&self, tool: Tool, tls: bool) -> String {
        let port = match tool {
            Tool::Http2 | Tool::Grpc if self.name == "nginx" => self.ports.http2,
            _ if tls => self.ports.tls,
            _ => self.ports.plain,
        };
        format!("127.0.0.1:{port}")
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Its process and the one that shares its load.
    pub(super) fn pids(&self) -> impl Iterator<Item = u32> {
        std::iter::once(self.pid()).chain(self.twin().map(Gateway::pid))
    }

    fn pingora(backend: &Backend) -> Result<Gateway> {
        let folder = folder("pingora")?;
        let ports = Ports::free()?;
        let mut command = pinned(GATEWAY_CPU, &pingora_program());
        command.arg(format!("127.0.0.1:{}", ports.plain));
        let child = quiet(command.arg(format!("127.0.0.1:{}", backend.port())), &folder)?;
        wait_for(ports.plain)?;
        Ok(Gateway::new("pingora", ports, folder, child))
    }

    fn nginx(backend: &Backend, certificate: &Certificate) -> Result<Gateway> {
        let folder = folder("nginx")?;
        let ports = Ports::free()?;
        // The same for both protocols; each module has a directive of its own.
        let fields = |directive: &str| -> String {
            [
                "Host $host",
                "X-Forwarded-For $proxy_add_x_forwarded_for",
                "X-Forwarded-Proto $scheme",
                "X-Forwarded-Host $host",
                "X-Forwarded-Port $server_port",
                "X-Forwarded-Path $request_uri",
                "X-Real-IP $remote_addr",
                "Via \"1.1 nginx\"",
                "X-Request-Id $request_id",
            ]
            .iter()
            .map(|field| format!("{directive} {field};\n"))
            .collect()
        };
        let config = format!(
            "worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;\n\
             events {{ worker_connections {CONNECTIONS}; }}\n\
             http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {folder}/b; \
             proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; \
             scgi_temp_path {folder}/s;\n\
             upstream bench {{ server 127.0.0.1:{backend}; keepalive 512; keepalive_requests 1000000000; }}\n\
             upstream calls {{ server 127.0.0.1:{calls}; keepalive 512; keepalive_requests 1000000000; }}\n\
             server {{ listen 127.0.0.1:{plain} backlog=4096; listen 127.0.0.1:{tls} ssl; listen 127.0.0.1:{http2} http2; server_name {HOST};\n\
             ssl_certificate {chain}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:s:1m;\n\
             add_header X-Upstream-Latency $upstream_response_time; add_header X-Proxy-Latency $request_time;\n\
             add_header Via \"1.1 nginx\"; add_header X-Request-Id $request_id;\n\
             location / {{ proxy_pass http://bench; proxy_http_version 1.1;\n\
             proxy_set_header Connection \"\"; {proxy} }}\n\
             location = {GRPC_METHOD} {{ grpc_pass grpc://calls; {grpc} }}\n\
             }} }}\n",
            folder = folder.display(),
            backend = backend.port(),
            calls = backend.grpc_port(),
            plain = ports.plain,
            tls = ports.tls,
            http2 = ports.http2,
            proxy = fields("proxy_set_header"),
            grpc = fields("grpc_set_header"),
            chain = certificate.chain.display(),
            key = certificate.key.display(),
        );
        let child = nginx(&folder, &config, GATEWAY_CPU)?;
        wait_for(ports.plain)?;
        Ok(Gateway::new("nginx", ports, folder, child))
    }

    fn haproxy(backend: &Backend, certificate: &Certificate) -> Result<Gateway> {
        let folder = folder("haproxy")?;
        let ports = Ports::free()?;
        let config = format!(
            "global\n nbthread 1\n no strict-limits\n maxconn {connections}\n\
             defaults\n mode http\n timeout connect 5s\n timeout client 300s\n timeout server 60s\n\
             option http-keep-alive\n http-reuse always\n\
             frontend bench\n bind 127.0.0.1:{plain} backlog 4096\n bind 127.0.0.1:{tls} ssl crt {both} alpn http/1.1\n unique-id-format %{{+X}}o\\ %ci%cp%fi%fp%Ts%rt%pid\n\
             http-request set-header X-Forwarded-Proto http\n http-request set-header X-Forwarded-Host %[req.hdr(host)]\n\
             http-request set-header X-Forwarded-Port %[dst_port]\n http-request set-header X-Forwarded-Path %[path]\n\
             http-request set-header X-Forwarded-For %[src]\n http-request set-header X-Real-IP %[src]\n\
             http-request set-header Via 1.1\\ haproxy\n http-request set-header X-Request-Id %[unique-id]\n\
             http-response set-header Via 1.1\\ haproxy\n http-response set-header X-Request-Id %[unique-id]\n\
             http-response set-header X-Proxy-Latency 0\n http-response set-header X-Upstream-Latency 0\n\
             use_backend calls if {{ path {GRPC_METHOD} }}\n\
             default_backend bench\n\
             backend bench\n server one 127.0.0.1:{backend}\n\
             backend calls\n server one 127.0.0.1:{calls} proto h2\n",
            plain = ports.plain,
            tls = ports.tls,
            both = certificate.both.display(),
            connections = CONNECTIONS,
            backend = backend.port(),
            calls = backend.grpc_port(),
        );
        let file = folder.join("haproxy.cfg");
        fs::write(&file, config)?;
        let program = packages::find("haproxy").context("haproxy is not there")?;
        let child = quiet(pinned(GATEWAY_CPU, &program).arg("-db").arg("-f").arg(&file), &folder)?;
        let gateway = Gateway::new("haproxy", ports, folder, child);
        wait_for(ports.plain)?;
        Ok(gateway)
    }
}

/// Pingora's balancer, which is no part of the workspace.
fn pingora_program() -> PathBuf {
    root().join("target/pingora/release/bench-pingora")
}

/// Builds the peer that comes as source; minutes, the first time.
pub(super) fn build_pingora() -> Result<()> {
    run(crate::run::cargo()
        .args(["build", "--release", "--manifest-path"])
        .arg(root().join("xtask/pingora/Cargo.toml"))
        .arg("--target-dir")
        .arg(root().join("target/pingora")))
}

pub(super) fn nginx(folder: &Path, config: &str, cpu: &str) -> Result<Child> {
    let file = folder.join("nginx.conf");
    fs::write(&file, config)?;
    let program = packages::find("nginx").context("nginx is not there")?;
    quiet(pinned(cpu, &program).arg("-c").arg(&file).arg("-p").arg(folder), folder)
}

pub(super) fn pinned(cpu: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", cpu]).arg(program);
    command
}

/// Starts a program whose words go to a file, where they are when it fails.
pub(super) fn quiet(command: &mut Command, folder: &Path) -> Result<Child> {
    let log = fs::File::create(folder.join("log"))?;
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("a peer cannot be started")
}

/// A process that ends with us.
pub(super) struct Process(pub(super) Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Asked to end, nginx takes its workers along; killed, it would leave them behind.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// An empty folder for one program.
pub(super) fn folder(name: &str) -> Result<PathBuf> {
    let folder = root().join("target/bench").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits until something listens.
pub(super) fn wait_for(port: u16) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if Instant::now() > deadline {
            bail!("nothing listens on port {port}; see the logs under target/bench");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
