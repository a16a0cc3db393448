//! An HTTP server that answers what it saw, as JSON; its mode can make it misbehave.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use base64::Engine;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use socket2::{Domain, Socket, Type};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::exchange::{common_name, latin1};
use crate::sinks::read_fields_and_body;

/// An HTTP server on loopback; the scenarios' `echo1`…`echo4` and `tls1` are such.
#[derive(Debug)]
pub struct Backend {
    name: String,
    port: u16,
    /// Requests since the count was last looked at.
    pub(crate) hits: AtomicU64,
    tls: Option<Arc<ServerConfig>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    mode: String,
    last: Value,
    /// Set while listening; raised to stop that listener.
    listening: Option<Arc<AtomicBool>>,
    open: HashMap<SocketAddr, TcpStream>,
    /// What keeps a full queue full.
    block: Vec<Socket>,
}

impl Backend {
    /// A backend on a free port; with the test certificates in `pem` it speaks TLS.
    ///
    /// # Errors
    /// When it cannot listen, or the certificates cannot be read.
    pub fn start(name: &str, pem: Option<&Path>) -> Result<Arc<Backend>> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let backend = Arc::new(Backend {
            name: name.to_owned(),
            port: listener.local_addr()?.port(),
            hits: AtomicU64::new(0),
            tls: pem.map(server_config).transpose()?,
            state: Mutex::new(State { mode: "ok".into(), ..State::default() }),
        });
        backend.listen(listener)?;
        Ok(backend)
    }

    /// The loopback port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many requests came since they were last forgotten.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::SeqCst)
    }

    /// The last request, as it was answered.
    pub(crate) fn last(&self) -> Value {
        self.state().last.clone()
    }

    /// Forgets all requests and hangs up on every kept-alive connection.
    pub(crate) fn forget(&self) {
        self.hits.store(0, Ordering::SeqCst);
        self.state().last = Value::Null;
        self.hang_up();
    }

    /// `ok`, `refuse`, `blackhole`, `close`, `cut`, `garbage`, `status:N` or `slow:MS`.
    pub(crate) fn set_mode(self: &Arc<Self>, mode: &str) -> Result<()> {
        let silent = matches!(mode, "refuse" | "blackhole");
        let stopped = {
            let mut state = self.state();
            state.block.clear();
            state.mode = mode.to_owned();
            if silent { state.listening.take() } else { None }
        };
        if let Some(stop) = stopped {
            stop.store(true, Ordering::SeqCst);
            // The listener is closed once its thread has seen the flag and let go of it.
            while Arc::strong_count(&stop) > 1 {
                std::thread::sleep(Duration::from_millis(2));
            }
            self.hang_up();
        }
        if !silent && self.state().listening.is_none() {
            self.listen(TcpListener::bind(("127.0.0.1", self.port))?)?;
        }
        if mode == "blackhole" {
            self.state().block = full_queue(self.port)?;
        }
        Ok(())
    }

    fn listen(self: &Arc<Self>, listener: TcpListener) -> Result<()> {
        let stop = Arc::new(AtomicBool::new(false));
        self.state().listening = Some(Arc::clone(&stop));
        listener.set_nonblocking(true)?;
        let backend = Arc::clone(self);
        std::thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                match listener.accept() {
                    Ok((stream, peer)) => {
                        let backend = Arc::clone(&backend);
                        std::thread::spawn(move || {
                            // A client that breaks off is no fault of the backend.
                            let _ = backend.connection(stream, peer);
                            backend.state().open.remove(&peer);
                        });
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        Ok(())
    }

    fn connection(&self, stream: TcpStream, peer: SocketAddr) -> Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        self.state().open.insert(peer, stream.try_clone()?);
        let Some(config) = &self.tls else {
            return self.serve(BufReader::new(stream), &Value::Null);
        };
        let session = ServerConnection::new(Arc::clone(config))?;
        let mut stream = StreamOwned::new(session, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        let client = stream.conn.peer_certificates().and_then(|chain| common_name(chain.first()?));
        let seen = json!({"sni": stream.conn.server_name(), "client": client});
        self.serve(BufReader::new(stream), &seen)
    }

    fn serve<S: Read + Write>(&self, mut reader: BufReader<S>, tls: &Value) -> Result<()> {
        loop {
            let mut line = Vec::new();
            if reader.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let line = latin1(&line);
            let mut words = line.split_whitespace();
            let method = words.next().unwrap_or_default().to_owned();
            let path = words.next().unwrap_or_default().to_owned();
            let version = words.next().unwrap_or_default();
            if !version.starts_with("HTTP/") {
                let refusal = b"HTTP/1.0 400 Bad request syntax\r\nConnection: close\r\n\r\n";
                return Ok(reader.get_mut().write_all(refusal)?);
            }
            let old = version == "HTTP/1.0";
            let (headers, body) = read_fields_and_body(&mut reader)?;
            self.hits.fetch_add(1, Ordering::SeqCst);
            let mode = self.state().mode.clone();
            let stream = reader.get_mut();
            match mode.as_str() {
                "close" => return Ok(()),
                "garbage" => return Ok(stream.write_all(b"this is not HTTP\r\n\r\n")?),
                "cut" => {
                    return Ok(stream.write_all(
                        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nonly this",
                    )?);
                }
                _ => {}
            }
            let first = |name: &str| headers.get(name).and_then(|all| all.first()).cloned();
            let mut seen = json!({
                "backend": self.name, "method": method, "path": path,
                "headers": headers, "body": latin1(&body),
            });
            if !tls.is_null() {
                seen["tls"] = tls.clone();
            }
            if let Some(ms) = mode.strip_prefix("slow:") {
                std::thread::sleep(Duration::from_millis(ms.parse()?));
            }
            let wish = Wish::of(&path, &mode);
            std::thread::sleep(wish.delay);
            self.state().last = seen.clone();
            if first("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket")) {
                return upgrade(reader, &first("sec-websocket-key").unwrap_or_default());
            }
            stream.write_all(&wish.answer(&seen, &method))?;
            stream.flush()?;
            let connection = first("connection").unwrap_or_default().to_lowercase();
            if connection == "close" || (old && connection != "keep-alive") {
                return Ok(());
            }
        }
    }

    fn hang_up(&self) {
        for (_, stream) in self.state().open.drain() {
            // Already gone is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the query of a request asks the backend to answer.
struct Wish {
    status: u16,
    delay: Duration,
    headers: Vec<(String, String)>,
    size: Option<usize>,
    body: Option<String>,
    content_type: String,
    chunked: bool,
}

impl Wish {
    fn of(path: &str, mode: &str) -> Wish {
        let status = mode.strip_prefix("status:").and_then(|text| text.parse().ok());
        let mut wish = Wish {
            status: status.unwrap_or(200),
            delay: Duration::ZERO,
            headers: Vec::new(),
            size: None,
            body: None,
            content_type: "application/json".into(),
            chunked: false,
        };
        let query = path.split_once('?').map_or("", |(_, query)| query);
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "_status" => wish.status = value.parse().unwrap_or(200),
                "_delay" => wish.delay = Duration::from_millis(value.parse().unwrap_or(0)),
                "_header" => {
                    let (name, value) = value.split_once(':').unwrap_or((&value, ""));
                    wish.headers.push((name.trim().to_owned(), value.trim().to_owned()));
                }
                "_size" => wish.size = value.parse().ok(),
                "_body" if !value.is_empty() => wish.body = Some(value.into_owned()),
                "_type" if !value.is_empty() => wish.content_type = value.into_owned(),
                "_chunked" if !value.is_empty() => wish.chunked = true,
                _ => {}
            }
        }
        wish
    }

    fn answer(&self, seen: &Value, method: &str) -> Vec<u8> {
        let mut payload = seen.to_string().into_bytes();
        if let Some(size) = self.size {
            payload = vec![b'x'; size];
        }
        if let Some(body) = &self.body {
            payload = body.clone().into_bytes();
        }
        let bodyless = matches!(self.status, 204 | 304);
        let mut head = format!("HTTP/1.1 {} Answer\r\nServer: echo\r\n", self.status);
        if !bodyless {
            head += &format!("Content-Type: {}\r\n", self.content_type);
            if self.chunked {
                head += "Transfer-Encoding: chunked\r\n";
                let mut framed = format!("{:x}\r\n", payload.len()).into_bytes();
                framed.extend_from_slice(&payload);
                framed.extend_from_slice(b"\r\n0\r\n\r\n");
                payload = framed;
            } else {
                head += &format!("Content-Length: {}\r\n", payload.len());
            }
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        let mut bytes = head.into_bytes();
        if method != "HEAD" && !bodyless {
            bytes.extend_from_slice(&payload);
        }
        bytes
    }
}

/// Takes up a WebSocket and gives back every byte.
fn upgrade<S: Read + Write>(mut reader: BufReader<S>, key: &str) -> Result<()> {
    let digest = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    let accept = base64::engine::general_purpose::STANDARD.encode(digest);
    reader.get_mut().write_all(
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nServer: echo\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        .as_bytes(),
    )?;
    loop {
        let bytes = reader.fill_buf()?.to_vec();
        if bytes.is_empty() {
            return Ok(());
        }
        reader.consume(bytes.len());
        reader.get_mut().write_all(&bytes)?;
    }
}

/// A listener whose queue is full: connecting to it neither succeeds nor fails.
fn full_queue(port: u16) -> Result<Vec<Socket>> {
    let address = SocketAddr::from(([127, 0, 0, 1], port)).into();
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    listener.set_reuse_address(true)?;
    listener.bind(&address)?;
    listener.listen(0)?;
    let mut held = vec![listener];
    for _ in 0..4 {
        let filler = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        filler.set_nonblocking(true)?;
        // "In progress" is what a full queue answers.
        let _ = filler.connect(&address);
        held.push(filler);
    }
    Ok(held)
}

fn server_config(pem: &Path) -> Result<Arc<ServerConfig>> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(pem.join("ca.crt"))?)?;
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(
            CertificateDer::pem_file_iter(pem.join("backend.crt"))?.collect::<Result<_, _>>()?,
            PrivateKeyDer::from_pem_file(pem.join("backend.key"))?,
        )?;
    Ok(Arc::new(config))
}
