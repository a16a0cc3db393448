//! The gateways that are compared, each with one worker on a CPU of its own, adding the same
//! header fields; and the backend behind them.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::run::{on_path, read, root, run};

/// The CPU of the gateways.
const GATEWAY_CPU: &str = "0";
/// The CPU of the load and of the backend.
pub(super) const LOAD_CPU: &str = "1";

/// Gets the programs that are not there, from Debian when we are root.
pub(super) fn install() -> Result<()> {
    let wanted = [("nginx", "nginx-light"), ("haproxy", "haproxy"), ("wrk", "wrk")];
    let missing: Vec<&str> =
        wanted.iter().filter(|(program, _)| find(program).is_none()).map(|(_, p)| *p).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let hint = format!("install these packages of Debian: {}", missing.join(" "));
    if on_path("apt-get").is_none() || read(Command::new("id").arg("-u"))?.trim() != "0" {
        bail!("the comparison needs programs that are not there; {hint}");
    }
    let apt = |arguments: &[&str]| {
        run(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(arguments))
    };
    apt(&["update", "-q"])?;
    let install = ["install", "-q", "-y", "--no-install-recommends"];
    apt(&[&install[..], &missing[..]].concat()).context(hint)
}

/// The program, also where Debian keeps those of the superuser.
fn find(program: &str) -> Option<PathBuf> {
    let on_path = on_path(program).map(|folder| folder.join(program));
    on_path.or_else(|| Some(Path::new("/usr/sbin").join(program)).filter(|path| path.is_file()))
}

/// What answers behind the gateways: one nginx worker, keep-alive, from memory.
pub(super) struct Backend {
    port: u16,
    _process: Process,
}

impl Backend {
    pub(super) fn start() -> Result<Backend> {
        let folder = folder("backend")?;
        for (name, size) in [("10k", 10_000), ("100k", 100_000)] {
            fs::write(folder.join(name), vec![b'x'; size])?;
        }
        let port = free_port()?;
        let small = "x".repeat(100);
        let config = format!(
            "worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;\n\
             events {{ worker_connections 20000; }}\n\
             http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {folder}/b; \
             proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; \
             scgi_temp_path {folder}/s; default_type text/plain;\n\
             server {{ listen 127.0.0.1:{port} backlog=4096; root {folder};\n\
             location = /small {{ return 200 \"{small}\"; }}\n\
             location = /post {{ client_max_body_size 1m; return 200 \"{small}\"; }}\n\
             }} }}\n",
            folder = folder.display()
        );
        let process = nginx(&folder, &config, LOAD_CPU)?;
        wait_for(port)?;
        Ok(Backend { port, _process: process })
    }
}

/// A gateway, running.
pub(super) struct Gateway {
    name: &'static str,
    port: u16,
    folder: PathBuf,
    process: Process,
}

impl Gateway {
    pub(super) fn start_all(weir: &Path, backend: &Backend, routes: usize) -> Result<Vec<Gateway>> {
        Ok(vec![
            Gateway::weir(weir, backend, routes)?,
            Gateway::nginx(backend)?,
            Gateway::haproxy(backend)?,
        ])
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    fn weir(program: &Path, backend: &Backend, routes: usize) -> Result<Gateway> {
        let folder = folder("weir")?;
        let (port, admin) = (free_port()?, free_port()?);
        let log = fs::File::create(folder.join("log"))?;
        let child = pinned(GATEWAY_CPU, program)
            .args(["start", "--nginx-main-worker-processes", "1", "--proxy-access-log", "off"])
            .arg(format!("--proxy-listen=127.0.0.1:{port}"))
            .arg(format!("--admin-listen=127.0.0.1:{admin}"))
            .arg("--status-listen=off")
            .arg("--data-dir")
            .arg(folder.join("data"))
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let gateway = Gateway { name: "weir", port, folder, process: Process(child) };
        wait_for(admin)?;
        let target = format!("127.0.0.1:{}", backend.port);
        let post = |path: &str, body: String| call(admin, path, &body);
        post("/upstreams", r#"{"name":"bench"}"#.to_owned())?;
        post("/upstreams/bench/targets", format!(r#"{{"target":"{target}"}}"#))?;
        post("/services", r#"{"name":"bench","host":"bench"}"#.to_owned())?;
        for number in 1..routes {
            post(
                "/services/bench/routes",
                format!(r#"{{"hosts":["h{}.test"],"paths":["/p{number}"]}}"#, number % 1000),
            )?;
        }
        post(
            "/services/bench/routes?wait=all",
            r#"{"hosts":["bench.test"],"paths":["/"]}"#.to_owned(),
        )?;
        wait_for(port)?;
        Ok(gateway)
    }

    fn nginx(backend: &Backend) -> Result<Gateway> {
        let folder = folder("nginx")?;
        let port = free_port()?;
        let config = format!(
            "worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;\n\
             events {{ worker_connections 20000; }}\n\
             http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {folder}/b; \
             proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; \
             scgi_temp_path {folder}/s;\n\
             upstream bench {{ server 127.0.0.1:{backend}; keepalive 512; keepalive_requests 1000000000; }}\n\
             server {{ listen 127.0.0.1:{port} backlog=4096; server_name bench.test;\n\
             location / {{ proxy_pass http://bench; proxy_http_version 1.1;\n\
             proxy_set_header Connection \"\"; proxy_set_header Host $host;\n\
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;\n\
             proxy_set_header X-Forwarded-Host $host; proxy_set_header X-Forwarded-Port $server_port;\n\
             proxy_set_header X-Forwarded-Path $request_uri; proxy_set_header X-Real-IP $remote_addr;\n\
             proxy_set_header Via \"1.1 nginx\"; proxy_set_header X-Request-Id $request_id;\n\
             add_header X-Upstream-Latency $upstream_response_time; add_header X-Proxy-Latency $request_time;\n\
             add_header Via \"1.1 nginx\"; add_header X-Request-Id $request_id;\n\
             }} }} }}\n",
            folder = folder.display(),
            backend = backend.port,
        );
        let process = nginx(&folder, &config, GATEWAY_CPU)?;
        wait_for(port)?;
        Ok(Gateway { name: "nginx", port, folder, process })
    }

    fn haproxy(backend: &Backend) -> Result<Gateway> {
        let folder = folder("haproxy")?;
        let port = free_port()?;
        let config = format!(
            "global\n nbthread 1\n maxconn 20000\n\
             defaults\n mode http\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
             option http-keep-alive\n http-reuse always\n\
             frontend bench\n bind 127.0.0.1:{port} backlog 4096\n unique-id-format %{{+X}}o\\ %ci%cp%fi%fp%Ts%rt%pid\n\
             http-request set-header X-Forwarded-Proto http\n http-request set-header X-Forwarded-Host %[req.hdr(host)]\n\
             http-request set-header X-Forwarded-Port %[dst_port]\n http-request set-header X-Forwarded-Path %[path]\n\
             http-request set-header X-Forwarded-For %[src]\n http-request set-header X-Real-IP %[src]\n\
             http-request set-header Via 1.1\\ haproxy\n http-request set-header X-Request-Id %[unique-id]\n\
             http-response set-header Via 1.1\\ haproxy\n http-response set-header X-Request-Id %[unique-id]\n\
             http-response set-header X-Proxy-Latency 0\n http-response set-header X-Upstream-Latency 0\n\
             default_backend bench\n\
             backend bench\n server one 127.0.0.1:{}\n",
            backend.port
        );
        let file = folder.join("haproxy.cfg");
        fs::write(&file, config)?;
        let program = find("haproxy").context("haproxy is not there")?;
        let child = quiet(pinned(GATEWAY_CPU, &program).arg("-db").arg("-f").arg(&file), &folder)?;
        let gateway = Gateway { name: "haproxy", port, folder, process: Process(child) };
        wait_for(port)?;
        Ok(gateway)
    }
}

fn nginx(folder: &Path, config: &str, cpu: &str) -> Result<Process> {
    let file = folder.join("nginx.conf");
    fs::write(&file, config)?;
    let program = find("nginx").context("nginx is not there")?;
    let child = quiet(pinned(cpu, &program).arg("-c").arg(&file).arg("-p").arg(folder), folder)?;
    Ok(Process(child))
}

fn pinned(cpu: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", cpu]).arg(program);
    command
}

/// Starts a program whose words go to a file, where they are when it fails.
fn quiet(command: &mut Command, folder: &Path) -> Result<Child> {
    let log = fs::File::create(folder.join("log"))?;
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("a peer cannot be started")
}

/// A process that ends with us.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Asked to end, nginx takes its workers along; killed, it would leave them behind.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// An empty folder for one program.
fn folder(name: &str) -> Result<PathBuf> {
    let folder = root().join("target/bench").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits until something listens.
fn wait_for(port: u16) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if Instant::now() > deadline {
            bail!("nothing listens on port {port}; see the logs under target/bench");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// One call of the Admin API.
fn call(admin: u16, path: &str, body: &str) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", admin))?;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: admin\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if !answer.starts_with("HTTP/1.1 201") {
        bail!("POST {path} was answered: {answer}");
    }
    Ok(())
}
