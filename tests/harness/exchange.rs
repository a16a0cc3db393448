//! One HTTP/1.1 exchange, byte for byte as a scenario writes it.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use base64::Engine;
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A listener of the gateway, and how to dial it.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    address: String,
    tls: Option<Tls>,
    source: Option<IpAddr>,
}

#[derive(Clone, Debug)]
struct Tls {
    /// `None`: no SNI at all.
    sni: Option<String>,
    /// Files `<path>.crt` and `<path>.key` of a client certificate.
    identity: Option<PathBuf>,
}

impl Base {
    pub(crate) fn plain(address: &str) -> Base {
        Base { address: address.to_owned(), tls: None, source: None }
    }

    /// `sni`: the name to ask for; empty asks for none, absent for the listener's host.
    pub(crate) fn tls(address: &str, sni: Option<&str>, identity: Option<PathBuf>) -> Base {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let sni = match sni {
            Some("") => None,
            Some(name) => Some(name.to_owned()),
            None => Some(host.to_owned()),
        };
        Base { address: address.to_owned(), tls: Some(Tls { sni, identity }), source: None }
    }

    pub(crate) fn from(mut self, source: Option<&str>) -> Base {
        self.source = source.and_then(|text| text.parse().ok());
        self
    }

    fn dial(&self, timeout: Duration) -> Result<(Connection, Option<String>)> {
        let address: SocketAddr = self.address.parse().context("the gateway's address")?;
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if let Some(source) = self.source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        socket.connect_timeout(&address.into(), timeout)?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(timeout))?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok((Connection::Plain(stream), None)) };
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer));
        let mut config = match &tls.identity {
            Some(files) => config.with_client_auth_cert(
                CertificateDer::pem_file_iter(files.with_extension("crt"))?
                    .collect::<Result<_, _>>()?,
                PrivateKeyDer::from_pem_file(files.with_extension("key"))?,
            )?,
            None => config.with_no_client_auth(),
        };
        config.enable_sni = tls.sni.is_some();
        let name = tls.sni.clone().unwrap_or_else(|| "localhost".to_owned());
        let session = ClientConnection::new(Arc::new(config), ServerName::try_from(name)?)?;
        let mut stream = StreamOwned::new(session, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        let shown = stream.conn.peer_certificates().and_then(|chain| common_name(chain.first()?));
        Ok((Connection::Tls(Box::new(stream)), shown))
    }
}

enum Connection {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Connection::Plain(stream) => stream.read(buffer),
            // A peer that closes without a TLS goodbye has closed all the same.
            Connection::Tls(stream) => match stream.read(buffer) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(0),
                other => other,
            },
        }
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Connection::Plain(stream) => stream.write(bytes),
            Connection::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Connection::Plain(stream) => stream.flush(),
            Connection::Tls(stream) => stream.flush(),
        }
    }
}

/// A request as a scenario writes it.
#[derive(Debug)]
pub(crate) struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &str, path: &str) -> Request {
        Request {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(crate) fn from_scenario(request: &Value) -> Result<Request> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let mut headers = Vec::new();
        for pair in request["headers"].as_array().into_iter().flatten() {
            headers.push((text(&pair[0]), text(&pair[1])));
        }
        let mut body = Vec::new();
        if let Some(json) = request.get("json") {
            body = as_recorded(json)?;
            headers.push(("Content-Type".into(), "application/json".into()));
        } else if let Some(form) = request["form"].as_str() {
            body = form.as_bytes().to_vec();
            headers.push(("Content-Type".into(), "application/x-www-form-urlencoded".into()));
        } else if let Some(text) = request["body"].as_str() {
            body = bytes_of(text);
        } else if let Some(text) = request["body_base64"].as_str() {
            body = base64::engine::general_purpose::STANDARD.decode(text)?;
        }
        Ok(Request {
            method: request["method"].as_str().unwrap_or("GET").to_owned(),
            path: request["path"]
                .as_str()
                .ok_or_else(|| anyhow!("a request without path"))?
                .to_owned(),
            headers,
            body,
        })
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name))
    }

    fn to_bytes(&self, host: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        if !self.has("host") {
            head += &format!("Host: {host}\r\n");
        }
        if !self.body.is_empty() && !self.has("content-length") && !self.has("transfer-encoding") {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        if !self.has("connection") {
            head += "Connection: close\r\n";
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        let mut bytes = bytes_of(&head);
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// JSON as the recording client wrote it, with a space after each comma and colon: what a backend
/// saw was recorded byte for byte.
fn as_recorded(json: &Value) -> Result<Vec<u8>> {
    struct Spaced;

    impl serde_json::ser::Formatter for Spaced {
        fn begin_array_value<W: Write + ?Sized>(
            &mut self,
            out: &mut W,
            first: bool,
        ) -> std::io::Result<()> {
            out.write_all(if first { b"" } else { b", " })
        }

        fn begin_object_key<W: Write + ?Sized>(
            &mut self,
            out: &mut W,
            first: bool,
        ) -> std::io::Result<()> {
            out.write_all(if first { b"" } else { b", " })
        }

        fn begin_object_value<W: Write + ?Sized>(&mut self, out: &mut W) -> std::io::Result<()> {
            out.write_all(b": ")
        }

        fn write_string_fragment<W: Write + ?Sized>(
            &mut self,
            out: &mut W,
            fragment: &str,
        ) -> std::io::Result<()> {
            for c in fragment.chars() {
                if c.is_ascii() {
                    out.write_all(&[c as u8])?;
                } else {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        write!(out, "\\u{unit:04x}")?;
                    }
                }
            }
            Ok(())
        }
    }

    let mut body = Vec::new();
    serde::Serialize::serialize(
        json,
        &mut serde_json::Serializer::with_formatter(&mut body, Spaced),
    )?;
    Ok(body)
}

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// 0 when what came back was no HTTP.
    pub(crate) status: u16,
    /// Names in lower case, in the order received.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The CN of the certificate that the listener presented.
    pub(crate) certificate: Option<String>,
    /// Whether the body ended before its length.
    pub(crate) broken_off: bool,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Sends one request and reads its answer (behind any 1xx).
pub(crate) fn exchange(base: &Base, request: &Request) -> Result<Answer> {
    let (mut connection, certificate) = base.dial(PATIENCE)?;
    // A gateway may answer and close before it has read all of a refused body: read what it said.
    let written = connection.write_all(&request.to_bytes(&base.address));
    let mut reader = BufReader::new(connection);
    loop {
        let answer = match read_answer(&mut reader, &request.method) {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                written?;
                bail!("the gateway closed the connection without an answer");
            }
            Err(error) => return Err(error),
        };
        if answer.broken_off {
            bail!("the answer's body broke off after {} bytes", answer.body.len());
        }
        if answer.status >= 200 || answer.status == 101 {
            return Ok(Answer { certificate, ..answer });
        }
    }
}

/// What a connection gave back.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    pub(crate) answers: Vec<Answer>,
    /// What followed a 101.
    pub(crate) rest: Vec<u8>,
    /// Whether the gateway closed the connection.
    pub(crate) closed: bool,
}

/// Sends `parts` as written; before each further part one answer is awaited.
pub(crate) fn raw_exchange(base: &Base, parts: &[&str], wait: Duration) -> Result<Raw> {
    let (connection, _) = base.dial(wait)?;
    let mut reader = BufReader::new(connection);
    let mut raw = Raw::default();
    let request_line = regex::Regex::new(r"(?m)^([A-Z]+) \S+ HTTP/1")?;
    let all = parts.join("\n");
    let methods: Vec<&str> =
        request_line.captures_iter(&all).filter_map(|c| c.get(1)).map(|m| m.as_str()).collect();
    let next = |raw: &mut Raw, reader: &mut BufReader<Connection>| -> Result<bool> {
        let finals = raw.answers.iter().filter(|a| a.status >= 200).count();
        let method = methods.get(finals).copied().unwrap_or("GET");
        Ok(read_answer(reader, method)?.map(|answer| raw.answers.push(answer)).is_some())
    };
    let upgraded = |raw: &Raw| raw.answers.last().is_some_and(|a| a.status == 101);
    let mut talk = || -> Result<()> {
        for (number, part) in parts.iter().enumerate() {
            if number > 0 && !upgraded(&raw) {
                next(&mut raw, &mut reader)?;
            }
            reader.get_mut().write_all(&bytes_of(part))?;
        }
        while !upgraded(&raw) {
            if !next(&mut raw, &mut reader)? {
                raw.closed = true;
                return Ok(());
            }
        }
        loop {
            let bytes = reader.fill_buf()?;
            if bytes.is_empty() {
                raw.closed = true;
                return Ok(());
            }
            let count = bytes.len();
            raw.rest.extend_from_slice(bytes);
            reader.consume(count);
        }
    };
    if let Err(error) = talk() {
        let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        raw.closed = matches!(
            kind,
            Some(ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe)
        );
    }
    Ok(raw)
}

/// Reads one answer; `None` when the connection was closed instead.
fn read_answer(reader: &mut BufReader<Connection>, method: &str) -> Result<Option<Answer>> {
    let line = read_line(reader)?;
    if line.is_empty() {
        return Ok(None);
    }
    let mut answer = Answer::default();
    if !line.starts_with(b"HTTP/") {
        answer.body = line;
        reader.read_to_end(&mut answer.body)?;
        return Ok(Some(answer));
    }
    let line = latin1(&line);
    let status = line.split_whitespace().nth(1).and_then(|text| text.parse().ok());
    answer.status = status.ok_or_else(|| anyhow!("a status line without a status: {line}"))?;
    loop {
        let line = latin1(&read_line(reader)?);
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        answer.headers.push((name.trim().to_lowercase(), value.trim().to_owned()));
    }
    if answer.status < 200 || matches!(answer.status, 204 | 304) || method == "HEAD" {
        return Ok(Some(answer));
    }
    if answer.header("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        loop {
            let line = latin1(&read_line(reader)?);
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).context("a chunk's size")?;
            let start = answer.body.len();
            answer.body.resize(start + size, 0);
            reader.read_exact(&mut answer.body[start..])?;
            read_line(reader)?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = answer.header("content-length") {
        let length = length.parse::<u64>().context("a Content-Length")?;
        let read = reader.take(length).read_to_end(&mut answer.body)?;
        answer.broken_off = (read as u64) < length;
    } else {
        reader.read_to_end(&mut answer.body)?;
    }
    Ok(Some(answer))
}

fn read_line(reader: &mut BufReader<Connection>) -> Result<Vec<u8>> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    Ok(line)
}

/// Each byte as the character of that number: what scenarios use for bytes that are no text.
pub(crate) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// The bytes of a text whose characters are bytes; text beyond Latin-1 is sent as UTF-8.
fn bytes_of(text: &str) -> Vec<u8> {
    if text.chars().all(|c| (c as u32) < 256) {
        text.chars().map(|c| c as u32 as u8).collect()
    } else {
        text.as_bytes().to_vec()
    }
}

/// The CN of a certificate's subject: the last one in it, the issuer's comes before.
pub(crate) fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let der = certificate.as_ref();
    let at = der.windows(3).rposition(|bytes| bytes == b"\x55\x04\x03")?;
    let length = usize::from(*der.get(at + 4)?);
    let name = der.get(at + 5..at + 5 + length)?;
    Some(String::from_utf8_lossy(name).into_owned())
}

/// Accepts every certificate: a scenario looks at what it was shown, it does not judge it.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
