//! TCP, TLS and UDP by the routes for streams.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use serde_json::{Value, json};
use settings::{AccessLogFormat, Listener, RealIpHeader, Trusted};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};
use tokio_rustls::TlsAcceptor;

use super::{
    Backend, Client, Gateway,
    gateway::{entity, listener, reference, route, service, target, upstream},
    tls::{Authority, certificate, der, handshake, server, sni},
};
use crate::{AccessLog, Options, Trust};

const LIMIT: Duration = Duration::from_secs(20);

/// Says its name, then gives back every byte until the client has said all.
async fn echo(name: &'static str, tls: Option<rustls::ServerConfig>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let tls = tls.clone();
            tokio::spawn(async move {
                match tls {
                    None => serve(tcp, name).await,
                    Some(tls) => serve(tls.accept(tcp).await.unwrap(), name).await,
                }
            });
        }
    });
    address
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, name: &str) {
    if stream.write_all(name.as_bytes()).await.is_err() {
        return;
    }
    let (mut from, mut to) = tokio::io::split(stream);
    if tokio::io::copy(&mut from, &mut to).await.is_ok() {
        let _ = to.shutdown().await;
    }
}

fn with(listeners: impl IntoIterator<Item = Listener>) -> impl FnOnce(&mut Options) {
    let streams = listeners.into_iter().collect();
    |options: &mut Options| options.streams = streams
}

fn plain() -> Listener {
    listener()
}

fn ssl() -> Listener {
    Listener { ssl: true, ..listener() }
}

fn udp() -> Listener {
    Listener { udp: true, ..listener() }
}

fn tcp_service(number: u8, backend: SocketAddr, more: Value) -> (&'static str, Value) {
    let (kind, mut body) = service(number, backend, more);
    if body.get("protocol").is_none() {
        body["protocol"] = "tcp".into();
    }
    (kind, body)
}

fn stream_route(number: u8, service: u8, protocols: &[&str], more: Value) -> (&'static str, Value) {
    let (kind, mut body) = route(number, service, more);
    body["protocols"] = json!(protocols);
    (kind, body)
}

/// A route for all that comes from this machine.
fn any(number: u8, service: u8, protocols: &[&str]) -> (&'static str, Value) {
    stream_route(number, service, protocols, json!({"sources": [{"ip": "127.0.0.0/8"}]}))
}

async fn connect(address: SocketAddr) -> Client {
    Client::over(TcpStream::connect(address).await.unwrap())
}

/// All that comes of a connection on which nothing is said.
async fn said(address: SocketAddr) -> String {
    let mut client = connect(address).await;
    client.finish_sending().await;
    client.rest().await
}

#[tokio::test]
async fn bytes_flow_both_ways_and_each_end_is_passed_on() {
    let backend = echo("db:", None).await;
    let entities = [tcp_service(1, backend, json!({})), any(1, 1, &["tcp"])];
    let gateway = Gateway::with(&entities, with([plain()]));
    let mut client = connect(gateway.streams[0]).await;
    // The target speaks first: nothing waits for the client.
    client.until("db:").await;
    let long = "0123456789abcdef".repeat(40_000);
    let (mut from, mut to) = tokio::io::split(client.into_inner());
    let sent = long.clone();
    let sender = tokio::spawn(async move {
        to.write_all(sent.as_bytes()).await.unwrap();
        to.shutdown().await.unwrap();
    });
    let mut back = String::new();
    tokio::time::timeout(LIMIT, from.read_to_string(&mut back)).await.unwrap().unwrap();
    sender.await.unwrap();
    assert!(back == long, "{} of {} bytes", back.len(), long.len());
}

#[tokio::test]
async fn routes_are_found_by_source_and_destination_the_closest_first() {
    let (one, two, three) =
        (echo("one", None).await, echo("two", None).await, echo("three", None).await);
    let mut gateway = Gateway::with(&[], with([plain(), plain()]));
    let ports = [0, 1].map(|number: usize| gateway.streams[number].port());
    let port = |number: usize| ports[number];
    let entities = [
        tcp_service(1, one, json!({})),
        tcp_service(2, two, json!({})),
        tcp_service(3, three, json!({})),
        stream_route(1, 1, &["tcp"], json!({"destinations": [{"port": port(0)}]})),
        stream_route(2, 2, &["tcp"], json!({"destinations": [{"port": port(1)}]})),
    ];
    assert_eq!(said(gateway.streams[0]).await, "");
    gateway.apply(&entities);
    assert_eq!(said(gateway.streams[0]).await, "one");
    assert_eq!(said(gateway.streams[1]).await, "two");
    let both = json!({"sources": [{"ip": "127.0.0.1"}], "destinations": [{"port": port(1)}]});
    gateway.apply(&[stream_route(3, 3, &["tcp"], both)]);
    assert_eq!(said(gateway.streams[0]).await, "one");
    assert_eq!(said(gateway.streams[1]).await, "three");
}

#[tokio::test]
async fn tls_ends_here_or_is_passed_on_by_its_name() {
    let authority = Authority::new("authority");
    let (ours, theirs) = (authority.issue("ours.test"), authority.issue("theirs.test"));
    let (open, closed) =
        (echo("open", None).await, echo("closed", Some(server(&theirs, None))).await);
    let entities = [
        certificate(1, &ours),
        sni(2, "ours.test", 1),
        tcp_service(1, open, json!({})),
        tcp_service(2, closed, json!({})),
        stream_route(1, 1, &["tls"], json!({"snis": ["ours.test"]})),
        stream_route(2, 2, &["tls_passthrough"], json!({"snis": ["*.theirs.test"]})),
    ];
    let gateway = Gateway::with(&entities, with([ssl()]));
    for (name, greeting, pem) in
        [("ours.test", "open", &ours), ("a.theirs.test", "closed", &theirs)]
    {
        let tcp = TcpStream::connect(gateway.streams[0]).await.unwrap();
        let tls = handshake(tcp, name).await;
        assert_eq!(tls.get_ref().1.peer_certificates().unwrap()[0].to_vec(), der(pem), "{name}");
        let mut client = Client::over(tls);
        client.until(greeting).await;
        client.send("a word").await;
        client.until("a word").await;
    }
    // A name that no route has, and what is no TLS at all.
    let mut client = connect(gateway.streams[0]).await;
    client.send("GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(client.rest().await, "");
    let tcp = TcpStream::connect(gateway.streams[0]).await.unwrap();
    assert!(super::tls::try_handshake(tcp, "nobody.test").await.is_err());
}

#[tokio::test]
async fn a_first_message_in_pieces_is_put_together() {
    let backend = echo("ok", None).await;
    let entities = [
        tcp_service(1, backend, json!({})),
        stream_route(1, 1, &["tls"], json!({"snis": ["a.test"]})),
    ];
    let gateway = Gateway::with(&entities, with([ssl()]));
    // Between client and gateway stands one who passes on a byte at a time.
    let (near, mut far) = tokio::io::duplex(1);
    let mut tcp = TcpStream::connect(gateway.streams[0]).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    tokio::spawn(async move { tokio::io::copy_bidirectional(&mut far, &mut tcp).await });
    let mut client = Client::over(handshake(near, "a.test").await);
    client.until("ok").await;
}

#[tokio::test]
async fn services_by_tls_are_reached_by_tls() {
    let authority = Authority::new("authority");
    let backend = echo("inner", Some(server(&authority.issue("inner.test"), None))).await;
    let secured = |more: Value| {
        let mut body = json!({"protocol": "tls", "retries": 0, "tls_verify": true});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    let gateway = Gateway::with(
        &[
            entity("ca_certificates", 1, json!({"cert": authority.pem()})),
            upstream(1, "inner", json!({"host_header": "inner.test"})),
            upstream(2, "other", json!({"host_header": "other.test"})),
            target(1, 1, backend),
            target(2, 2, backend),
            tcp_service(
                1,
                backend,
                secured(json!({"host": "inner", "ca_certificates": [reference(1)["id"]]})),
            ),
            tcp_service(
                2,
                backend,
                secured(json!({"host": "other", "ca_certificates": [reference(1)["id"]]})),
            ),
            stream_route(1, 1, &["tls"], json!({"snis": ["right.test"]})),
            stream_route(2, 2, &["tls"], json!({"snis": ["wrong.test"]})),
            stream_route(3, 2, &["tls"], json!({"snis": ["inner.test"], "preserve_host": true})),
        ],
        with([ssl()]),
    );
    for (name, reached) in [("right.test", true), ("wrong.test", false), ("inner.test", true)] {
        let tcp = TcpStream::connect(gateway.streams[0]).await.unwrap();
        let mut client = Client::over(handshake(tcp, name).await);
        client.try_finish().await;
        assert_eq!(client.rest().await == "inner", reached, "{name}");
    }
}

#[tokio::test]
async fn what_is_not_allowed_is_closed() {
    let backend = echo("ok", None).await;
    let entities = |ports: [u16; 3]| {
        let at = |number: usize| json!({"destinations": [{"port": ports[number]}]});
        [
            tcp_service(1, backend, json!({})),
            // A route that takes TLS only, reached without; one without a service; one with a guard.
            stream_route(1, 1, &["tls"], at(0)),
            stream_route(2, 0, &["tcp"], at(1)),
            stream_route(3, 1, &["tcp"], at(2)),
            entity(
                "plugins",
                1,
                json!({
                    "name": "ip-restriction", "route": {"id": "20000000-0000-4000-8000-000000000003"},
                    "protocols": ["tcp"], "config": {"deny": ["127.0.0.0/8"]},
                }),
            ),
        ]
    };
    let mut gateway = Gateway::with(&[], with([plain(), plain(), plain()]));
    let ports = [0, 1, 2].map(|number: usize| gateway.streams[number].port());
    gateway.apply(&entities(ports));
    for address in gateway.streams.clone() {
        assert_eq!(said(address).await, "", "{address}");
    }
    // The same guard for HTTP alone says nothing about streams.
    let mut plugin = entities(ports)[4].clone();
    plugin.1["protocols"] = json!(["http"]);
    gateway.apply(&[plugin]);
    assert_eq!(said(gateway.streams[2]).await, "ok");
}

fn logging(path: &std::path::Path, next: impl FnOnce(&mut Options)) -> impl FnOnce(&mut Options) {
    let path = path.to_owned();
    move |options| {
        options.stream_access_log =
            Some(AccessLog { path, format: AccessLogFormat::Json, sampling: 1.0 });
        next(options);
    }
}

/// The lines of a log, once there are so many.
async fn lines(path: &std::path::Path, number: usize) -> Vec<Value> {
    let read = async {
        loop {
            let text = std::fs::read_to_string(path).unwrap();
            if text.lines().count() >= number {
                return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, read).await.expect("the lines come")
}

#[tokio::test]
async fn a_target_that_refuses_is_passed_over_and_then_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let (alive, dead) = (echo("alive", None).await, Backend::nobody().await);
    let checks = json!({"passive": {"type": "tcp", "unhealthy": {"tcp_failures": 1}}});
    let entities = [
        upstream(1, "pool", json!({"healthchecks": checks})),
        target(1, 1, alive),
        target(2, 1, dead),
        tcp_service(1, alive, json!({"host": "pool", "retries": 1})),
        any(1, 1, &["tcp"]),
    ];
    let gateway = Gateway::with(&entities, logging(&path, with([plain()])));
    for _ in 0..6 {
        assert_eq!(said(gateway.streams[0]).await, "alive");
    }
    let lines = lines(&path, 6).await;
    let tries: Vec<u64> = lines.iter().map(|line| line["tries"].as_u64().unwrap()).collect();
    assert_eq!(tries.iter().filter(|tries| **tries == 2).count(), 1, "{tries:?}");
    assert!(lines.iter().all(|line| line["status"] == 200 && line["sent_bytes"] == 5), "{lines:?}");
    assert!(lines.iter().all(|line| line["target"] == alive.to_string()), "{lines:?}");
}

#[tokio::test]
async fn a_session_that_fails_says_why_in_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let dead = Backend::nobody().await;
    let entities = [tcp_service(1, dead, json!({"retries": 1})), any(1, 1, &["tcp"])];
    let mut gateway = Gateway::with(&[], logging(&path, with([plain()])));
    assert_eq!(said(gateway.streams[0]).await, "");
    gateway.apply(&entities);
    assert_eq!(said(gateway.streams[0]).await, "");
    let lines = lines(&path, 2).await;
    assert_eq!((&lines[0]["status"], &lines[0]["reason"]), (&json!(500), &json!("no_route")));
    assert_eq!((&lines[1]["status"], &lines[1]["reason"]), (&json!(502), &json!("connect_failed")));
    assert_eq!(lines[1]["tries"], 2);
}

#[tokio::test]
async fn silence_ends_a_session() {
    let backend = echo("ok", None).await;
    let entities = [tcp_service(1, backend, json!({"read_timeout": 50})), any(1, 1, &["tcp"])];
    let gateway = Gateway::with(&entities, with([plain()]));
    let mut client = connect(gateway.streams[0]).await;
    assert_eq!(client.rest().await, "ok");
}

#[tokio::test]
async fn the_source_is_whom_a_trusted_proxy_speaks_for() {
    let backend = echo("ok", None).await;
    let entities = [
        tcp_service(1, backend, json!({})),
        stream_route(
            1,
            1,
            &["tcp", "tls"],
            json!({"sources": [{"ip": "1.2.3.0/24", "port": 4000}]}),
        ),
    ];
    let trusting = |options: &mut Options| {
        let loopback = Trusted::Network("127.0.0.0/8".parse().unwrap());
        options.trust = Trust::new(&[loopback], RealIpHeader::XRealIp, false);
    };
    let listeners = || {
        with([
            Listener { proxy_protocol: true, ..plain() },
            Listener { proxy_protocol: true, ..ssl() },
        ])
    };
    let gateway = Gateway::with(&entities, |options| {
        listeners()(options);
        trusting(options);
    });
    for (header, reached) in [
        ("PROXY TCP4 1.2.3.4 5.6.7.8 4000 80\r\n", "ok"),
        ("PROXY TCP4 1.2.4.4 5.6.7.8 4000 80\r\n", ""),
    ] {
        let mut client = connect(gateway.streams[0]).await;
        client.send(header).await;
        client.finish_sending().await;
        assert_eq!(client.rest().await, reached, "{header}");
    }
    let mut tcp = TcpStream::connect(gateway.streams[1]).await.unwrap();
    tcp.write_all(b"PROXY TCP4 1.2.3.4 5.6.7.8 4000 80\r\n").await.unwrap();
    Client::over(handshake(tcp, "a.test").await).until("ok").await;
    let distrusting = Gateway::with(&entities, listeners());
    let mut client = connect(distrusting.streams[0]).await;
    client.send("PROXY TCP4 1.2.3.4 5.6.7.8 4000 80\r\n").await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_drain_lets_sessions_end_and_takes_no_new_ones() {
    let backend = echo("ok", None).await;
    let entities = [tcp_service(1, backend, json!({})), any(1, 1, &["tcp"])];
    let gateway = Gateway::with(&entities, with([plain()]));
    let mut client = connect(gateway.streams[0]).await;
    client.until("ok").await;
    gateway.shutdown.drain();
    while TcpStream::connect(gateway.streams[0]).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    client.send("still").await;
    client.until("still").await;
    client.finish_sending().await;
    assert_eq!(client.rest().await, "");
    gateway.stopped().await;
}

/// Answers each datagram with what it says and the port that it came from.
async fn parrot() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut room = vec![0; 65_535];
        loop {
            let (length, peer) = socket.recv_from(&mut room).await.unwrap();
            if room[..length] == *b"quiet" {
                continue;
            }
            let answer = [&room[..length], format!(" {}", peer.port()).as_bytes()].concat();
            socket.send_to(&answer, peer).await.unwrap();
        }
    });
    address
}

/// A client's socket.
async fn towards(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(address).await.unwrap();
    socket
}

/// The answer to a datagram: its text and the port that the session has towards the target.
async fn ask(socket: &UdpSocket, text: &str) -> (String, u16) {
    socket.send(text.as_bytes()).await.unwrap();
    let mut room = vec![0; 65_535];
    let length = tokio::time::timeout(LIMIT, socket.recv(&mut room)).await.unwrap().unwrap();
    let answer = String::from_utf8(room[..length].to_vec()).unwrap();
    let (text, port) = answer.rsplit_once(' ').unwrap();
    (text.to_owned(), port.parse().unwrap())
}

#[tokio::test]
async fn datagrams_of_a_client_are_one_session() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let backend = parrot().await;
    let entities = [
        tcp_service(1, backend, json!({"protocol": "udp", "read_timeout": 150})),
        any(1, 1, &["udp"]),
    ];
    let gateway = Gateway::with(&entities, logging(&path, with([udp()])));
    let (one, two) = (towards(gateway.streams[0]).await, towards(gateway.streams[0]).await);
    let (text, port) = ask(&one, "first").await;
    assert_eq!(text, "first");
    assert_eq!(ask(&one, "second").await, ("second".to_owned(), port));
    let long = "x".repeat(9_000);
    assert_eq!(ask(&one, &long).await, (long, port));
    assert_ne!(ask(&two, "other").await.1, port);
    let ended = lines(&path, 2).await;
    assert!(ended.iter().any(|line| line["received_bytes"] == 5 + 6 + 9_000), "{ended:?}");
    assert!(ended.iter().all(|line| line["protocol"] == "udp" && line["status"] == 200));
    // Whoever was silent for too long begins anew.
    assert_eq!(ask(&one, "third").await.0, "third");
}

#[tokio::test]
async fn a_drain_waits_for_answers_that_are_owed() {
    let backend = parrot().await;
    let entities = [tcp_service(1, backend, json!({"protocol": "udp"})), any(1, 1, &["udp"])];
    let gateway = Gateway::with(&entities, with([udp()]));
    let client = towards(gateway.streams[0]).await;
    ask(&client, "hello").await;
    // Nothing is owed: the session ends at once, however long it could have stayed.
    gateway.shutdown.drain();
    gateway.stopped().await;
}

#[tokio::test]
async fn a_target_that_takes_no_datagrams_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let alive = parrot().await;
    let dead = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let checks = json!({"passive": {"type": "tcp", "unhealthy": {"tcp_failures": 1}}});
    let entities = [
        upstream(1, "pool", json!({"healthchecks": checks})),
        target(1, 1, alive),
        target(2, 1, dead),
        tcp_service(1, alive, json!({"protocol": "udp", "host": "pool"})),
        any(1, 1, &["udp"]),
    ];
    let gateway = Gateway::with(&entities, logging(&path, with([udp()])));
    // The refusal comes when something was sent: whoever was sent there loses it, and the next one does not.
    for _ in 0..2 {
        towards(gateway.streams[0]).await.send(b"quiet").await.unwrap();
    }
    let line = lines(&path, 1).await.remove(0);
    assert_eq!((&line["status"], &line["target"]), (&json!(502), &json!(dead.to_string())));
    for _ in 0..4 {
        assert_eq!(ask(&towards(gateway.streams[0]).await, "word").await.0, "word");
    }
}

#[tokio::test]
async fn ports_are_those_that_clients_know() {
    let (http, stream) = (Backend::text("ok").await, echo("stream", None).await);
    let entities = [
        service(1, http.address, json!({})),
        tcp_service(2, stream, json!({})),
        route(1, 1, json!({"hosts": ["a.test:443"]})),
        stream_route(2, 2, &["tcp"], json!({"destinations": [{"port": 5432}]})),
    ];
    // The ports have to be known beforehand: those of sockets that are closed again are free.
    let (one, two) = (Backend::nobody().await.port(), Backend::nobody().await.port());
    let gateway = Gateway::with(&entities, |options| {
        options.listeners[0].at.port = one;
        with([plain()])(options);
        options.streams[0].at.port = two;
        options.port_maps = vec![(443, one), (5432, two)];
    });
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert_eq!(client.answer().await.1, "ok");
    assert_eq!(http.last().field("x-forwarded-port"), Some("443"));
    assert_eq!(said(gateway.streams[0]).await, "stream");
}
