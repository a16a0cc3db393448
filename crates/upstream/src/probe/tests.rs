//! The prober against targets on free ports.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::http::{HeaderMap, HeaderValue, Response};
use balancer::{Limits, ProbeHeader, ProbeProtocol, Rules, TargetChange, TargetSpec};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use lifecycle::SystemClock;
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;

/// What a target does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Status(u16),
    Garbage,
    HangUp,
    Silence,
}

/// A target that does as it is told, and remembers what it was asked.
#[derive(Clone)]
struct Target {
    address: SocketAddr,
    mode: Arc<Mutex<Mode>>,
    requests: Arc<Mutex<Vec<String>>>,
    open: Arc<AtomicUsize>,
    most_open: Arc<AtomicUsize>,
}

impl Target {
    async fn start(mode: Mode) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target {
            address: listener.local_addr().unwrap(),
            mode: Arc::new(Mutex::new(mode)),
            requests: Arc::default(),
            open: Arc::default(),
            most_open: Arc::default(),
        };
        let running = target.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let target = running.clone();
                tokio::spawn(async move { target.serve(stream).await });
            }
        });
        target
    }

    async fn serve(&self, mut stream: TcpStream) {
        let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_open.fetch_max(open, Ordering::SeqCst);
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                break;
            }
        }
        self.requests.lock().unwrap().push(String::from_utf8(request).unwrap());
        let mode = *self.mode.lock().unwrap();
        match mode {
            Mode::Status(status) => {
                let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            Mode::Garbage => stream.write_all(b"SSH-2.0-OpenSSH_9\r\n").await.unwrap(),
            Mode::HangUp => {}
            Mode::Silence => {
                // Until the prober gives up.
                let _ = stream.read_buf(&mut Vec::new()).await;
            }
        }
        self.open.fetch_sub(1, Ordering::SeqCst);
    }

    fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    fn asked(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn checks(protocol: ProbeProtocol) -> ActiveChecks {
    ActiveChecks {
        protocol,
        timeout: Duration::from_millis(300),
        healthy_interval: Duration::from_millis(20),
        unhealthy_interval: Duration::from_millis(20),
        rules: Rules {
            limits: Limits { successes: 1, http_failures: 1, tcp_failures: 1, timeouts: 1 },
            healthy_statuses: [200, 302].into_iter().collect(),
            unhealthy_statuses: [429, 500, 503].into_iter().collect(),
        },
        ..ActiveChecks::off()
    }
}

fn config(active: ActiveChecks) -> Config {
    Config { active, ..Config::implicit(Uuid::nil(), "u.test") }
}

fn upstream(config: Config, targets: &[SocketAddr]) -> Arc<Upstream> {
    let upstream = Upstream::new(config, 0);
    let targets: Vec<TargetSpec> = (1..).zip(targets).map(|(n, at)| spec(n, *at)).collect();
    upstream.set_targets(&targets);
    upstream
}

fn spec(n: u128, at: SocketAddr) -> TargetSpec {
    let (id, host) = (Uuid::from_u128(n), at.ip().to_string().into());
    TargetSpec { id, host, port: at.port(), weight: 100, failover: false }
}

struct Running {
    changes: Arc<Changes>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn start(upstreams: &[&Arc<Upstream>]) -> Running {
    start_with(upstreams, 512, Arc::new(|_| None))
}

fn start_with(
    upstreams: &[&Arc<Upstream>],
    at_once: usize,
    certificates: Arc<FindCertificate>,
) -> Running {
    let changes = Arc::<Changes>::default();
    for upstream in upstreams {
        changes.add(Change::Put(Arc::clone(upstream)));
    }
    let clock = Arc::new(SystemClock);
    let prober = Prober::new(clock, Arc::clone(&changes), certificates, at_once, 1);
    Running { changes, task: tokio::spawn(prober.run()) }
}

fn peer_at(upstream: &Upstream, address: SocketAddr) -> Arc<Peer> {
    upstream.peers().into_iter().find(|peer| peer.address() == address).unwrap()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}

/// Waits until the peer is out, and says why.
async fn out(upstream: &Upstream, address: SocketAddr) -> String {
    let peer = peer_at(upstream, address);
    until("it is taken out", || !peer.health().is_available()).await;
    peer.mark().cause.to_string()
}

#[tokio::test]
async fn a_target_is_taken_out_and_comes_back() {
    let (good, bad) =
        (Target::start(Mode::Status(200)).await, Target::start(Mode::Status(200)).await);
    let upstream = upstream(config(checks(ProbeProtocol::Http)), &[good.address, bad.address]);
    let _running = start(&[&upstream]);
    until("probes", || good.asked() > 2 && bad.asked() > 2).await;
    let peer = peer_at(&upstream, bad.address);
    assert!(peer.health().is_available());
    for (mode, cause) in [
        (Mode::Status(500), "probe: status 500"),
        (Mode::HangUp, "probe: connection reset"),
        (Mode::Garbage, "probe: no valid HTTP answer"),
        (Mode::Silence, "probe: time-out"),
    ] {
        bad.set(mode);
        assert_eq!(out(&upstream, bad.address).await, cause);
        bad.set(Mode::Status(302));
        until("it comes back", || peer.health().is_available()).await;
    }
    assert!(peer_at(&upstream, good.address).mark().since.is_none(), "it never changed");
}

#[tokio::test]
async fn a_refusing_target_is_taken_out() {
    let refusing = nobody().await;
    for protocol in [ProbeProtocol::Http, ProbeProtocol::Tcp, ProbeProtocol::Grpc] {
        let upstream = upstream(config(checks(protocol)), &[refusing]);
        let _running = start(&[&upstream]);
        assert_eq!(out(&upstream, refusing).await, "probe: connection failed", "{protocol:?}");
    }
}

#[tokio::test]
async fn a_tcp_probe_only_connects() {
    let target = Target::start(Mode::Silence).await;
    let upstream = upstream(config(checks(ProbeProtocol::Tcp)), &[target.address]);
    upstream
        .set_health("127.0.0.1", target.address.port(), None, false, std::time::Instant::now())
        .unwrap();
    let _running = start(&[&upstream]);
    let peer = peer_at(&upstream, target.address);
    until("it comes back", || peer.health().is_available()).await;
    assert_eq!(peer.mark().cause.to_string(), "probe: connected");
    assert!(target.requests.lock().unwrap().iter().all(String::is_empty));
}

#[tokio::test]
async fn the_request_is_what_is_configured() {
    let target = Target::start(Mode::Status(200)).await;
    let header = ProbeHeader { name: "X-Check".to_owned(), values: vec!["one".to_owned()] };
    let active = ActiveChecks {
        http_path: "/check/deep".into(),
        headers: vec![header],
        ..checks(ProbeProtocol::Http)
    };
    let own = upstream(config(active.clone()), &[target.address]);
    {
        let _running = start(&[&own]);
        until("a probe", || target.asked() > 0).await;
    }
    let seen = target.requests.lock().unwrap()[0].clone();
    assert_eq!(seen, "GET /check/deep HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Check: one\r\n\r\n");
    target.requests.lock().unwrap().clear();
    let config = Config { host_header: Some("inner.test".into()), ..config(active) };
    let named = upstream(config, &[target.address]);
    let _running = start(&[&named]);
    until("a probe", || target.asked() > 0).await;
    assert!(target.requests.lock().unwrap()[0].contains("\r\nHost: inner.test\r\n"));
}

#[tokio::test]
async fn only_the_state_that_has_an_interval_is_probed() {
    let (one, two) =
        (Target::start(Mode::Status(200)).await, Target::start(Mode::Status(200)).await);
    let active = ActiveChecks { healthy_interval: Duration::ZERO, ..checks(ProbeProtocol::Http) };
    let limits = Limits { tcp_failures: 1, ..Limits::default() };
    let config = Config { passive: Rules { limits, ..Rules::off() }, ..config(active) };
    let upstream = upstream(config, &[one.address, two.address]);
    let _running = start(&[&upstream]);
    // Traffic finds one of them gone; the prober hears of it by itself.
    let peer = peer_at(&upstream, one.address);
    let now = std::time::Instant::now();
    upstream.report(&peer, Outcome::ConnectFailed, Source::Passive, now).unwrap();
    until("it comes back", || peer.health().is_available()).await;
    assert_eq!(peer.mark().cause.to_string(), "probe: status 200");
    assert_eq!(two.asked(), 0, "healthy ones are not probed");
}

#[tokio::test]
async fn targets_that_come_and_go_are_followed() {
    let (one, two) =
        (Target::start(Mode::Status(200)).await, Target::start(Mode::Status(200)).await);
    let upstream = upstream(config(checks(ProbeProtocol::Http)), &[one.address]);
    let running = start(&[&upstream]);
    until("the first", || one.asked() > 1).await;
    upstream.change_targets(&[
        TargetChange::Put(spec(2, two.address)),
        TargetChange::Put(TargetSpec { weight: 0, ..spec(1, one.address) }),
    ]);
    until("the second", || two.asked() > 1).await;
    let asked = one.asked();
    until("more of the second", || two.asked() > 8).await;
    assert!(one.asked() <= asked + 1, "one of weight 0 is not probed");

    upstream.configure(config(ActiveChecks::off()));
    running.changes.add(Change::Put(Arc::clone(&upstream)));
    until("the last one ends", || two.open.load(Ordering::SeqCst) == 0).await;
    tokio::time::sleep(Duration::from_millis(120)).await;
    let asked = two.asked();
    tokio::time::sleep(Duration::from_millis(120)).await;
    assert_eq!(two.asked(), asked, "the checks are off");

    upstream.configure(config(checks(ProbeProtocol::Http)));
    running.changes.add(Change::Put(Arc::clone(&upstream)));
    until("probes again", || two.asked() > asked + 1).await;
    running.changes.add(Change::Remove(Arc::clone(&upstream)));
    until("the upstream is let go", || Arc::strong_count(&upstream) == 1).await;
}

/// One silent target at several addresses.
async fn silent_at(count: u8) -> (Target, Vec<SocketAddr>) {
    let target = Target::start(Mode::Silence).await;
    let port = target.address.port();
    let addresses: Vec<_> = (1..=count).map(|n| SocketAddr::from(([127, 0, 0, n], port))).collect();
    for address in &addresses[1..] {
        let listener = TcpListener::bind(address).await.unwrap();
        let target = target.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let target = target.clone();
                tokio::spawn(async move { target.serve(stream).await });
            }
        });
    }
    (target, addresses)
}

#[tokio::test]
async fn probes_at_once_are_bounded() {
    let (target, addresses) = silent_at(9).await;
    let active = |concurrency| ActiveChecks {
        concurrency,
        timeout: Duration::from_millis(100),
        ..checks(ProbeProtocol::Http)
    };
    // By the upstream, then by the node.
    for (concurrency, at_once, bound) in [(2, 512, 2), (100, 3, 3)] {
        target.most_open.store(0, Ordering::SeqCst);
        let upstream = upstream(config(active(concurrency)), &addresses);
        let running = start_with(&[&upstream], at_once, Arc::new(|_| None));
        let all_out = || upstream.peers().iter().all(|peer| !peer.health().is_available());
        until("all have had their turn", all_out).await;
        drop(running);
        assert_eq!(target.most_open.load(Ordering::SeqCst), bound);
        until("all are closed", || target.open.load(Ordering::SeqCst) == 0).await;
    }
}

#[tokio::test]
async fn a_peer_that_goes_while_it_waits_holds_up_nobody() {
    let (_target, addresses) = silent_at(6).await;
    let active = ActiveChecks {
        concurrency: 1,
        timeout: Duration::from_millis(100),
        ..checks(ProbeProtocol::Http)
    };
    let upstream = upstream(config(active), &addresses);
    let _running = start(&[&upstream]);
    let is_out = |address: &&SocketAddr| !peer_at(&upstream, **address).health().is_available();
    until("the first is out", || addresses.iter().any(|address| is_out(&address))).await;
    // All others wait by now; one of them stays.
    let waiting: Vec<&SocketAddr> = addresses.iter().filter(|address| !is_out(address)).collect();
    let (last, going) = waiting.split_last().unwrap();
    let gone = addresses.iter().zip(1..).filter(|(address, _)| going.contains(address));
    let gone: Vec<TargetChange> =
        gone.map(|(_, n)| TargetChange::Remove(Uuid::from_u128(n))).collect();
    upstream.change_targets(&gone);
    assert_eq!(out(&upstream, **last).await, "probe: time-out");
}

/// A server configuration for `target.test`, which nobody vouches for.
fn tls() -> ServerConfig {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(["target.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// A TLS target; remembers the server names that it was asked for.
async fn tls_target(config: ServerConfig) -> (SocketAddr, Arc<Mutex<Vec<Option<String>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let names = Arc::<Mutex<Vec<Option<String>>>>::default();
    let (seen, acceptor) = (Arc::clone(&names), TlsAcceptor::from(Arc::new(config)));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let name = stream.get_ref().1.server_name().map(str::to_owned);
                seen.lock().unwrap().push(name);
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            });
        }
    });
    (address, names)
}

#[tokio::test]
async fn tls_is_verified_unless_told_otherwise() {
    let server = tls();
    let (address, names) = tls_target(server).await;
    let sni = |https_verify_certificate| ActiveChecks {
        https_verify_certificate,
        https_sni: Some("target.test".into()),
        timeout: Duration::from_secs(5),
        ..checks(ProbeProtocol::Https)
    };
    let verified = upstream(config(sni(true)), &[address]);
    {
        let _running = start(&[&verified]);
        assert_eq!(out(&verified, address).await, "probe: TLS handshake failed");
    }
    verified.configure(config(sni(false)));
    let _running = start(&[&verified]);
    let peer = peer_at(&verified, address);
    until("it comes back", || peer.health().is_available()).await;
    assert_eq!(names.lock().unwrap()[0].as_deref(), Some("target.test"));
}

#[tokio::test]
async fn useless_tls_settings_take_nobody_out() {
    let server = tls();
    let (address, names) = tls_target(server).await;
    let active = ActiveChecks { https_verify_certificate: false, ..checks(ProbeProtocol::Https) };
    let config = Config { client_certificate: Some(Uuid::nil()), ..config(active) };
    let upstream = upstream(config, &[address]);
    let asked = Arc::new(AtomicUsize::new(0));
    let asking = Arc::clone(&asked);
    let find = Arc::new(move |_| {
        asking.fetch_add(1, Ordering::SeqCst);
        Some(ClientCertificate { chain: "no PEM".to_owned(), key: String::new() })
    });
    let _running = start_with(&[&upstream], 512, find);
    until("it is looked for", || asked.load(Ordering::SeqCst) > 0).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(peer_at(&upstream, address).health().is_available());
    assert!(names.lock().unwrap().is_empty());
}

#[tokio::test]
async fn grpc_asks_whether_it_serves() {
    // The message, and the trailer or header that goes with it.
    let answer: Arc<Mutex<(&'static [u8], &'static str)>> =
        Arc::new(Mutex::new((&[0, 0, 0, 0, 2, 8, 1], "0")));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answering = Arc::clone(&answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answering = Arc::clone(&answering);
            let service = service_fn(move |request: ::http::Request<hyper::body::Incoming>| {
                let (message, status) = *answering.lock().unwrap();
                async move {
                    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                    assert_eq!(request.headers()["content-type"], "application/grpc");
                    let body = request.into_body().collect().await?.to_bytes();
                    assert_eq!(&body[..], [0, 0, 0, 0, 0]);
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", HeaderValue::from_static(status));
                    let body = Full::new(Bytes::from_static(message))
                        .with_trailers(async move { Some(Ok(trailers)) });
                    Ok::<_, hyper::Error>(Response::new(body))
                }
            });
            tokio::spawn(
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    let upstream = upstream(config(checks(ProbeProtocol::Grpc)), &[address]);
    let _running = start(&[&upstream]);
    let peer = peer_at(&upstream, address);
    for (message, status) in [
        (&[0, 0, 0, 0, 2, 8, 2][..], "0"),
        (&[], "12"),
        (&[0, 0, 0, 0, 2, 8, 1], "14"),
        (&[0, 0, 0, 0, 0], "0"),
    ] {
        *answer.lock().unwrap() = (message, status);
        assert_eq!(out(&upstream, address).await, "probe: not serving", "{message:?} {status}");
        *answer.lock().unwrap() = (&[0, 0, 0, 0, 2, 8, 1], "0");
        until("it serves", || peer.health().is_available()).await;
        assert_eq!(peer.mark().cause.to_string(), "probe: serving");
    }
}
