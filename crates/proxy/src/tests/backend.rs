//! An upstream that does as it is told.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

/// What a backend does with a request.
#[derive(Clone)]
pub(crate) enum Act {
    /// Sends these bytes and goes on to the next request.
    Answer(Vec<u8>),
    /// Sends these bytes and closes the connection.
    Last(Vec<u8>),
    /// Sends these pieces with a pause between them, and goes on.
    Slowly(Vec<Vec<u8>>, Duration),
    /// Waits, then answers.
    Late(Duration, Vec<u8>),
    /// Closes the connection without a word.
    HangUp,
    /// Answers as soon as the head is there, without taking the body.
    Early(Vec<u8>),
    /// Agrees to switch protocols, then gives back every byte.
    Echo,
}

/// A request as a backend saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// The number of the connection, from 0.
    pub(crate) connection: usize,
}

impl Seen {
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

type Script = Arc<dyn Fn(&Seen, usize) -> Act + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Backend {
    /// Does as `script` says, which is given each request and how many there were before.
    pub(crate) async fn start(
        script: impl Fn(&Seen, usize) -> Act + Send + Sync + 'static,
    ) -> Backend {
        Backend::listen(None, Arc::new(script)).await
    }

    /// Answers every request with 200 and this text, by TLS.
    pub(crate) async fn secured(text: &'static str, tls: rustls::ServerConfig) -> Backend {
        let script = move |_: &Seen, _| Act::Answer(answer(text));
        Backend::listen(Some(TlsAcceptor::from(Arc::new(tls))), Arc::new(script)).await
    }

    async fn listen(tls: Option<TlsAcceptor>, script: Script) -> Backend {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let backend = Backend { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let seen = backend.seen.clone();
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (seen, script, tls) = (seen.clone(), script.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, connection, seen, script).await,
                        Some(tls) => {
                            // A gateway that does not trust us breaks the handshake off.
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, connection, seen, script).await;
                            }
                        }
                    }
                });
            }
        });
        backend
    }

    /// Answers every request with 200 and this text.
    pub(crate) async fn text(text: &'static str) -> Backend {
        Backend::start(move |_, _| Act::Answer(answer(text))).await
    }

    /// An address where nobody listens.
    pub(crate) async fn nobody() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().expect("a request has reached the backend")
    }
}

/// A 200 with a length.
pub(crate) fn answer(text: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()).into_bytes()
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    connection: usize,
    seen: Arc<Mutex<Vec<Seen>>>,
    script: Script,
) {
    let mut waiting = Vec::new();
    loop {
        let Some(end) = read_until(&mut stream, &mut waiting, b"\r\n\r\n").await else {
            return;
        };
        let head = String::from_utf8(waiting.drain(..end).collect()).unwrap();
        let mut request = Seen { head, body: Vec::new(), connection };
        let number = seen.lock().unwrap().len();
        let act = script(&request, number);
        if !matches!(act, Act::Early(_)) {
            let Some(body) = read_body(&mut stream, &mut waiting, &request).await else {
                return;
            };
            request.body = body;
        }
        seen.lock().unwrap().push(request);
        match act {
            Act::Answer(bytes) | Act::Early(bytes) => stream.write_all(&bytes).await.unwrap(),
            Act::Last(bytes) => {
                stream.write_all(&bytes).await.unwrap();
                return;
            }
            Act::Slowly(pieces, pause) => {
                for piece in pieces {
                    if stream.write_all(&piece).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(pause).await;
                }
            }
            Act::Late(pause, bytes) => {
                tokio::time::sleep(pause).await;
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Act::HangUp => return,
            Act::Echo => {
                let head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
                stream.write_all(head).await.unwrap();
                stream.write_all(&waiting).await.unwrap();
                let (mut read, mut write) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut read, &mut write).await;
                return;
            }
        }
    }
}

async fn read_body(
    stream: &mut (impl AsyncRead + Unpin),
    waiting: &mut Vec<u8>,
    request: &Seen,
) -> Option<Vec<u8>> {
    if let Some(length) = request.field("content-length") {
        let length: usize = length.parse().unwrap();
        while waiting.len() < length {
            read_more(stream, waiting).await?;
        }
        return Some(waiting.drain(..length).collect());
    }
    if request.field("transfer-encoding") != Some("chunked") {
        return Some(Vec::new());
    }
    let mut body = Vec::new();
    loop {
        let end = read_until(stream, waiting, b"\r\n").await?;
        let line = String::from_utf8(waiting.drain(..end).collect()).unwrap();
        let length = usize::from_str_radix(line.trim(), 16).unwrap();
        while waiting.len() < length + 2 {
            read_more(stream, waiting).await?;
        }
        body.extend(waiting.drain(..length));
        waiting.drain(..2);
        if length == 0 {
            return Some(body);
        }
    }
}

async fn read_until(
    stream: &mut (impl AsyncRead + Unpin),
    waiting: &mut Vec<u8>,
    end: &[u8],
) -> Option<usize> {
    loop {
        if let Some(at) = waiting.windows(end.len()).position(|window| window == end) {
            return Some(at + end.len());
        }
        read_more(stream, waiting).await?;
    }
}

async fn read_more(stream: &mut (impl AsyncRead + Unpin), waiting: &mut Vec<u8>) -> Option<()> {
    match stream.read_buf(waiting).await {
        Ok(length) if length > 0 => Some(()),
        _ => None,
    }
}
