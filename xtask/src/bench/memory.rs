//! `cargo xtask bench memory`: what the planes take, empty and full, and what an idle connection takes in each gateway.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::bench::backend::{Backend, Certificate};
use crate::bench::case::{Contestant, Guests};
use crate::bench::measure::memory;
use crate::bench::peers::{
    BOTH_CPUS, Gateway, HOST, Process, folder, free_port, pinned, quiet, wait_for,
};
use crate::bench::weir::Setup;
use crate::run::read;

/// Idle connections of clients.
pub(super) const CONNECTIONS: usize = 10_000;

/// Services, and as many routes, of the planes when they are full.
const FULL: [usize; 2] = [50_000, 100_000];

/// How long memory is left alone before it is read, so that what was only needed on the way is free again.
const SETTLE: Duration = Duration::from_secs(4);

/// What may be taken, in MB.
const IDLE_PLANE: f64 = 20.0;
const FULL_PLANE: f64 = 250.0;
const IDLE_CONNECTIONS: f64 = 70.0;

/// One line of the table.
struct Line {
    what: String,
    bytes: u64,
    /// In MB.
    most: Option<f64>,
    remark: String,
}

/// Measures, prints a table and writes it to `folder`. `weir` has the programs of the two planes beside it.
pub(super) fn run(weir: &Path, guests: Guests, results: &Path) -> Result<()> {
    let mut lines = planes(weir)?;
    let (backend, certificate) = (Backend::start()?, Certificate::make()?);
    let mut contestants =
        vec![Contestant::Weir(Setup::PLAIN), Contestant::Nginx, Contestant::Haproxy];
    contestants.extend(guests.pingora.then_some(Contestant::Pingora));
    contestants.extend(guests.envoy.then_some(Contestant::Envoy));
    for contestant in contestants {
        let gateway = Gateway::start(contestant, weir, &backend, &certificate)?;
        lines.push(idle_connections(&gateway)?);
        gateway.end()?;
    }
    let mut text = String::from("| what | MB | at most | |\n| --- | --- | --- | --- |\n");
    for Line { what, bytes, most, remark } in lines {
        let most = most.map_or_else(String::new, |most| format!("{most:.0}"));
        let _ = writeln!(text, "| {what} | {:.1} | {most} | {remark} |", bytes as f64 / 1e6);
    }
    println!("\n{text}");
    fs::create_dir_all(results)?;
    fs::write(results.join("memory.md"), text)?;
    Ok(())
}

/// The planes as processes of their own: without a configuration, then full.
fn planes(weir: &Path) -> Result<Vec<Line>> {
    let start = |name: &str, folder: &Path, arguments: &[String]| {
        let program = weir.with_file_name(name);
        ensure!(
            program.is_file(),
            "{} is not there: --program needs both planes beside it",
            program.display()
        );
        let mut command = pinned(BOTH_CPUS, &program);
        command
            .args(arguments)
            .arg("--status-listen=off")
            .arg("--data-dir")
            .arg(folder.join("data"));
        quiet(&mut command, folder).map(Process)
    };
    let (admin, cluster, proxy) = (free_port()?, free_port()?, free_port()?);
    let home = folder("control plane")?;
    let control = start(
        "weir-control-plane",
        &home,
        &[
            "--database=sqlite".to_owned(),
            format!("--admin-listen=127.0.0.1:{admin}"),
            format!("--cluster-listen=127.0.0.1:{cluster}"),
        ],
    )?;
    wait_for(cluster)?;
    let data = start(
        "weir-data-plane",
        &folder("data plane")?,
        &[
            format!("--proxy-listen=127.0.0.1:{proxy}"),
            format!("--cluster-control-plane=127.0.0.1:{cluster}"),
            "--nginx-main-worker-processes=1".to_owned(),
        ],
    )?;
    wait_for(proxy)?;
    thread::sleep(SETTLE);
    let mut lines = Vec::new();
    let mut note = |what: String, process: &Process, most: Option<f64>| -> Result<()> {
        let bytes = memory(process.0.id())?;
        println!("  {what}: {:.1} MB", bytes as f64 / 1e6);
        lines.push(Line { what, bytes, most, remark: String::new() });
        Ok(())
    };
    note("data plane, no configuration".to_owned(), &data, Some(IDLE_PLANE))?;
    note("control plane, no configuration (SQLite)".to_owned(), &control, None)?;
    for number in FULL {
        let file = home.join("configuration.json");
        fs::write(&file, configuration(number))?;
        let begun = Instant::now();
        read(
            Command::new(weir)
                .args(["load", "--wait", "all", "--admin", &format!("http://127.0.0.1:{admin}")])
                .arg(&file),
        )
        .context("the configuration was not taken")?;
        println!(
            "  {number} services and as many routes were loaded and served in {:?}",
            begun.elapsed()
        );
        thread::sleep(SETTLE);
        // The requirement is about 100,000 entities.
        let most = (2 * number <= 100_000).then_some(FULL_PLANE);
        note(format!("data plane, {number} services and {number} routes"), &data, most)?;
        note(format!("control plane, {number} services and {number} routes"), &control, None)?;
    }
    Ok(lines)
}

fn configuration(number: usize) -> String {
    let mut text = String::from(r#"{"_format_version":"3.0","services":["#);
    for number in 0..number {
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(
            text,
            r#"{comma}{{"name":"s{number}","host":"s{number}.bench.test","routes":[{{"name":"r{number}","hosts":["h{}.test"],"paths":["/p{number}"]}}]}}"#,
            number % 1000
        );
    }
    text + "]}"
}

/// Connections that carried one request and wait for the next.
fn idle_connections(gateway: &Gateway) -> Result<Line> {
    // What the first requests need is not the connections'.
    drop((0..100).map(|_| open(gateway)).collect::<Result<Vec<_>>>()?);
    thread::sleep(SETTLE);
    let before = memory(gateway.pid())?;
    let mut connections =
        (0..CONNECTIONS).map(|_| open(gateway)).collect::<Result<Vec<TcpStream>>>()?;
    thread::sleep(SETTLE);
    let bytes = memory(gateway.pid())?;
    // They are open indeed.
    for connection in connections.iter_mut().step_by(CONNECTIONS / 100) {
        request(connection)
            .with_context(|| format!("{} closed one that was idle", gateway.name()))?;
    }
    let each = bytes.saturating_sub(before) as f64 / CONNECTIONS as f64 / 1024.0;
    let what = format!("{}, {CONNECTIONS} idle connections", gateway.name());
    println!("  {what}: {:.1} MB, {each:.1} KiB each", bytes as f64 / 1e6);
    let most = gateway.name().starts_with("weir").then_some(IDLE_CONNECTIONS);
    let remark = format!("{:.1} before, {each:.1} KiB each", before as f64 / 1e6);
    Ok(Line { what, bytes, most, remark })
}

fn open(gateway: &Gateway) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", gateway.port()))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    request(&mut stream).with_context(|| format!("{} did not answer", gateway.name()))?;
    Ok(stream)
}

/// One request, and the whole of its answer: 100 bytes of `x` at the end.
fn request(stream: &mut TcpStream) -> Result<()> {
    // In one piece: the second would wait for the first to be acknowledged.
    let head = format!("GET /small HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::with_capacity(1024);
    let mut buffer = [0; 4096];
    while !answer.ends_with(&[b'x'; 100]) {
        match stream.read(&mut buffer)? {
            0 => bail!("the connection was closed"),
            length => answer.extend_from_slice(buffer.get(..length).unwrap_or_default()),
        }
    }
    ensure!(
        answer.starts_with(b"HTTP/1.1 200"),
        "it was refused: {}",
        String::from_utf8_lossy(&answer)
    );
    Ok(())
}
