//! A gateway of one traffic thread, and a client that sends bytes.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use lifecycle::{Shutdown, SystemClock};
use model::{Change, Cursor, Kind, Transaction};
use serde_json::{Value, json};
use settings::{HostPort, Listener, RealIpHeader, ResponseHeaders, TlsVersion};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use uuid::Uuid;

use crate::{Limits, Options, Proxy, Running, TemplateFiles, TlsRules, Trust};

pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    /// Where it listens for streams.
    pub(crate) streams: Vec<SocketAddr>,
    pub(crate) shutdown: Shutdown,
    running: Option<Running>,
    builder: snapshot::Builder,
    cell: Arc<snapshot::Cell>,
}

/// How long anything in these tests may take at most.
const LIMIT: Duration = Duration::from_secs(20);

impl Gateway {
    /// Serves entities: collection names and bodies, which need only what matters.
    pub(crate) fn start(entities: &[(&'static str, Value)]) -> Gateway {
        Gateway::with(entities, |_| {})
    }

    /// As [`Gateway::start`], with options of its own.
    pub(crate) fn with(
        entities: &[(&'static str, Value)],
        change: impl FnOnce(&mut Options),
    ) -> Gateway {
        Gateway::running(entities, plugins::bundled(), plugin::Node::detached(), change)
    }

    /// As [`Gateway::with`], with other plugins, which run on `node`.
    pub(crate) fn running(
        entities: &[(&'static str, Value)],
        registry: &'static dyn plugin::Registry,
        node: plugin::Node,
        change: impl FnOnce(&mut Options),
    ) -> Gateway {
        let changes = changes(entities);
        let mut builder = snapshot::Builder::new(router::Rules::default(), registry, node, 1);
        let applied = builder.replace(Cursor { epoch: Uuid::nil(), revision: 1 }, &changes);
        assert!(applied.rejections.is_empty(), "{:?}", applied.rejections);
        let mut options = options();
        change(&mut options);
        let bound = Proxy::bind(options).unwrap();
        let address = bound.addresses()[0];
        let streams = bound.stream_addresses();
        let shutdown = Shutdown::new();
        let cell = snapshot::Cell::new(applied.snapshot);
        let running = bound.run(&cell, &shutdown).unwrap();
        Gateway { address, streams, shutdown, running: Some(running), builder, cell }
    }

    /// Serves these entities, too, from the next request on.
    pub(crate) fn apply(&mut self, entities: &[(&'static str, Value)]) {
        assert_eq!(self.apply_newer(entities), []);
    }

    /// As [`Gateway::apply`], with entities of a newer version; what was rejected of them.
    pub(crate) fn apply_newer(
        &mut self,
        entities: &[(&'static str, Value)],
    ) -> Vec<snapshot::Rejection> {
        let changes = changes(entities);
        let applied =
            self.builder.apply(&[Transaction { prev: 1, revision: 2, committed_us: 0, changes }]);
        self.cell.swap(applied.snapshot);
        applied.rejections
    }

    /// Reads certificates anew.
    pub(crate) fn reload(&self) -> Result<(), process::tls::TlsError> {
        self.running.as_ref().unwrap().reload_certificates().unwrap().run()
    }

    /// One service at `backend` with a route for every path.
    pub(crate) fn before(backend: SocketAddr) -> Gateway {
        Gateway::start(&[service(1, backend, json!({})), route(1, 1, json!({"paths": ["/"]}))])
    }

    pub(crate) fn explainer(&self) -> crate::Explainer {
        self.running.as_ref().unwrap().explainer()
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::over(TcpStream::connect(self.address).await.unwrap())
    }

    /// Sends bytes and reads to the end of the connection.
    pub(crate) async fn once(&self, request: &str) -> String {
        let mut client = self.connect().await;
        client.send(request).await;
        client.rest().await
    }

    /// Its metrics, as Prometheus reads them.
    pub(crate) fn metrics(&self) -> String {
        let registry = telemetry::metrics::Registry::new();
        if let Some(running) = &self.running {
            running.register(&registry, Uuid::nil());
        }
        registry.render()
    }

    /// Waits until the traffic thread has ended, after a shutdown began.
    pub(crate) async fn stopped(mut self) {
        let running = self.running.take().unwrap();
        tokio::task::spawn_blocking(|| running.join()).await.unwrap().unwrap();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.shutdown.force();
        if let Some(running) = self.running.take() {
            running.join().unwrap();
        }
    }
}

fn changes(entities: &[(&'static str, Value)]) -> Vec<Change> {
    let change = |(kind, body): &(&'static str, Value)| Change {
        kind: Kind::known(kind),
        id: serde_json::from_value(body["id"].clone()).unwrap(),
        body: Some(body.to_string().into()),
    };
    entities.iter().map(change).collect()
}

fn options() -> Options {
    Options {
        listeners: vec![listener()],
        streams: Vec::new(),
        port_maps: Vec::new(),
        threads: 1,
        clock: Arc::new(SystemClock),
        seed: [7; 32],
        headers: ResponseHeaders::default(),
        request_id_upstream: true,
        trust: Trust::new(&[], RealIpHeader::XRealIp, false),
        error_default_type: "text/plain".to_owned(),
        error_templates: TemplateFiles::default(),
        product: "kong/3.9.3".to_owned(),
        limits: Limits {
            head_timeout: LIMIT,
            body_timeout: LIMIT,
            keepalive_timeout: LIMIT,
            keepalive_requests: 0,
            body: 0,
            connections: Limits::CONNECTIONS,
        },
        pool: upstream::PoolLimits::default(),
        certificates: Vec::new(),
        client_certificate: None,
        tls: TlsRules {
            versions: vec![TlsVersion::Tls12, TlsVersion::Tls13],
            ciphers: None,
            own_order: true,
            tickets: true,
        },
        access_log: None,
        stream_access_log: None,
    }
}

/// A plain listener on a free port.
pub(crate) fn listener() -> Listener {
    Listener {
        at: HostPort { host: "127.0.0.1".to_owned(), port: 0 },
        ssl: false,
        http2: false,
        proxy_protocol: false,
        udp: false,
        backlog: None,
        ipv6only: None,
    }
}

fn id(kind: u8, number: u8) -> String {
    format!("{kind}0000000-0000-4000-8000-0000000000{number:02}")
}

fn merged(mut body: Value, more: Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// A service at an address.
pub(crate) fn service(number: u8, backend: SocketAddr, more: Value) -> (&'static str, Value) {
    let body =
        json!({"id": id(1, number), "host": backend.ip().to_string(), "port": backend.port()});
    ("services", merged(body, more))
}

/// A route to the service of that number; 0 is none.
pub(crate) fn route(number: u8, service: u8, more: Value) -> (&'static str, Value) {
    let service = if service == 0 { Value::Null } else { json!({"id": id(1, service)}) };
    ("routes", merged(json!({"id": id(2, number), "service": service}), more))
}

/// An entity of another kind.
pub(crate) fn entity(kind: &'static str, number: u8, more: Value) -> (&'static str, Value) {
    (kind, merged(json!({"id": id(5, number)}), more))
}

/// The reference to an entity made by [`entity`].
pub(crate) fn reference(number: u8) -> Value {
    json!({"id": id(5, number)})
}

/// An upstream entity.
pub(crate) fn upstream(number: u8, name: &str, more: Value) -> (&'static str, Value) {
    ("upstreams", merged(json!({"id": id(3, number), "name": name}), more))
}

/// A target of the upstream of that number.
pub(crate) fn target(number: u8, upstream: u8, address: SocketAddr) -> (&'static str, Value) {
    let body = json!({"id": id(4, number), "upstream": {"id": id(3, upstream)}, "target": address.to_string(), "weight": 100});
    ("targets", body)
}

pub(crate) struct Client<S = TcpStream> {
    stream: S,
    waiting: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn over(stream: S) -> Client<S> {
        Client { stream, waiting: Vec::new() }
    }

    pub(crate) async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).await.unwrap();
    }

    /// Sends what the other side may refuse to take.
    pub(crate) async fn try_send(&mut self, text: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(text.as_ref()).await;
    }

    /// As [`Client::finish_sending`], to one who may be gone.
    pub(crate) async fn try_finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    pub(crate) fn into_inner(self) -> S {
        self.stream
    }

    pub(crate) async fn finish_sending(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Reads to the end of the connection.
    pub(crate) async fn rest(&mut self) -> String {
        let read = self.stream.read_to_end(&mut self.waiting);
        // A reset is an end, too.
        let _ = tokio::time::timeout(LIMIT, read).await.expect("the connection is closed");
        String::from_utf8_lossy(&std::mem::take(&mut self.waiting)).into_owned()
    }

    /// Reads until what was read contains `text`; returns all of it.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        let read = async {
            loop {
                let found =
                    self.waiting.windows(text.len()).position(|window| window == text.as_bytes());
                if let Some(at) = found {
                    let read: Vec<u8> = self.waiting.drain(..at + text.len()).collect();
                    return String::from_utf8(read).unwrap();
                }
                if self.stream.read_buf(&mut self.waiting).await.unwrap_or_default() == 0 {
                    panic!(
                        "closed after {:?}, before {text:?}",
                        String::from_utf8_lossy(&self.waiting)
                    );
                }
            }
        };
        tokio::time::timeout(LIMIT, read).await.expect("the text comes")
    }

    /// Reads one answer that has a Content-Length: its head and its body.
    pub(crate) async fn answer(&mut self) -> (String, String) {
        let head = self.until("\r\n\r\n").await;
        let length =
            head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
        let length: usize = length.parse().unwrap();
        let read = async {
            while self.waiting.len() < length {
                assert_ne!(
                    self.stream.read_buf(&mut self.waiting).await.unwrap(),
                    0,
                    "closed within a body"
                );
            }
        };
        tokio::time::timeout(LIMIT, read).await.expect("the body comes");
        let body = self.waiting.drain(..length).collect();
        (head, String::from_utf8(body).unwrap())
    }
}

/// An answer as status line, fields and body.
pub(crate) fn split_head(answer: &str) -> (&str, &str) {
    answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no whole head: {answer:?}"))
}
