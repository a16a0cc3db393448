//! Receivers for what logging plugins send: http, tcp, udp, and a file that the gateway appends to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

/// Lower-case names with their values.
pub(super) type Headers = BTreeMap<String, Vec<String>>;

type Records = Arc<Mutex<BTreeMap<&'static str, Vec<Value>>>>;

#[derive(Debug)]
pub(crate) struct Sinks {
    records: Records,
    ports: Vec<(&'static str, u16)>,
    folder: tempfile::TempDir,
    file: String,
}

impl Sinks {
    pub(crate) fn start() -> Result<Sinks> {
        let records = Records::default();
        let http = TcpListener::bind("127.0.0.1:0")?;
        let tcp = TcpListener::bind("127.0.0.1:0")?;
        let udp = UdpSocket::bind("127.0.0.1:0")?;
        let ports = vec![
            ("http", http.local_addr()?.port()),
            ("tcp", tcp.local_addr()?.port()),
            ("udp", udp.local_addr()?.port()),
        ];
        accept(http, Arc::clone(&records), serve_http);
        accept(tcp, Arc::clone(&records), serve_tcp);
        let received = Arc::clone(&records);
        std::thread::spawn(move || {
            let mut packet = vec![0; 65_536];
            while let Ok((size, _)) = udp.recv_from(&mut packet) {
                add(&received, "udp", decoded(&packet[..size]));
            }
        });
        let mut sinks = Sinks { records, ports, folder: tempfile::tempdir()?, file: String::new() };
        sinks.reset();
        Ok(sinks)
    }

    pub(crate) fn ports(&self) -> &[(&'static str, u16)] {
        &self.ports
    }

    /// The file that this scenario's gateway may log to.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    pub(crate) fn reset(&mut self) {
        lock(&self.records).clear();
        let name = format!("{}.log", uuid::Uuid::new_v4().simple());
        self.file = self.folder.path().join(name).to_string_lossy().into_owned();
    }

    /// What arrived since the last call; waits until it is `count` records, at most `patience`.
    pub(crate) fn take(&self, name: &str, count: usize, patience: Duration) -> Vec<Value> {
        let deadline = Instant::now() + patience;
        loop {
            let mut records = lock(&self.records);
            if name == "file" {
                let text = std::fs::read(&self.file).unwrap_or_default();
                let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                records.insert("file", lines.map(decoded).collect());
            }
            let all = records.iter_mut().find(|(sink, _)| **sink == name).map(|(_, all)| all);
            let enough = all.as_ref().is_some_and(|all| all.len() >= count.max(1));
            if enough || Instant::now() >= deadline {
                let taken = all.map(std::mem::take).unwrap_or_default();
                if name == "file" && !taken.is_empty() {
                    // The gateway holds the file open for appending: empty it, do not replace it.
                    let _ = std::fs::OpenOptions::new().write(true).truncate(true).open(&self.file);
                }
                return taken;
            }
            drop(records);
            std::thread::sleep(Duration::from_millis(30));
        }
    }
}

fn lock(records: &Records) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Vec<Value>>> {
    records.lock().unwrap_or_else(PoisonError::into_inner)
}

fn add(records: &Records, sink: &'static str, record: Value) {
    lock(records).entry(sink).or_default().push(record);
}

fn accept(listener: TcpListener, records: Records, serve: fn(TcpStream, &Records) -> Result<()>) {
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let records = Arc::clone(&records);
            // A sender that breaks off has sent nothing: the scenario will miss its record.
            std::thread::spawn(move || serve(stream, &records));
        }
    });
}

fn serve_tcp(stream: TcpStream, records: &Records) -> Result<()> {
    for line in BufReader::new(stream).split(b'\n') {
        add(records, "tcp", decoded(&line?));
    }
    Ok(())
}

fn serve_http(stream: TcpStream, records: &Records) -> Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split_whitespace();
        let (method, path) = (
            words.next().unwrap_or_default().to_owned(),
            words.next().unwrap_or_default().to_owned(),
        );
        let (headers, body) = read_fields_and_body(&mut reader)?;
        let mut record = decoded(&body);
        record["method"] = json!(method);
        record["path"] = json!(path);
        record["headers"] = json!(headers);
        add(records, "http", record);
        reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
    }
}

/// The rest of a request behind its first line: lower-case names with their values, and the body.
pub(crate) fn read_fields_and_body<R: Read + Write>(
    reader: &mut BufReader<R>,
) -> Result<(Headers, Vec<u8>)> {
    let mut headers = BTreeMap::<String, Vec<String>>::new();
    loop {
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line)?;
        let line = super::exchange::latin1(&line);
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        headers.entry(name.to_lowercase()).or_default().push(value.trim().to_owned());
    }
    let first = |name: &str| headers.get(name).and_then(|all| all.first()).map(String::as_str);
    if first("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        reader.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let mut body = Vec::new();
    if first("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let size = line.split(';').next().unwrap_or_default().trim().to_owned();
            let size = usize::from_str_radix(&size, 16)?;
            let start = body.len();
            body.resize(start + size, 0);
            reader.read_exact(&mut body[start..])?;
            reader.read_line(&mut line)?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = first("content-length") {
        body.resize(length.parse()?, 0);
        reader.read_exact(&mut body)?;
    }
    Ok((headers, body))
}

fn decoded(data: &[u8]) -> Value {
    match serde_json::from_slice::<Value>(data) {
        Ok(json) => json!({"json": json}),
        Err(_) => json!({"text": String::from_utf8_lossy(data)}),
    }
}
