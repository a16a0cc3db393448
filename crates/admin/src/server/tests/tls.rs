//! TLS, client certificates and HTTP/2 over real sockets.

use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::SendRequest;
use process::tls::{self, Clients};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::*;

/// An authority that issues clients' certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for a client, and its key, PEM.
    fn issue(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    fn clients(&self, optional: bool) -> Clients {
        let authorities = tls::authorities("test", &self.0.pem()).unwrap();
        Clients::Certified { authorities, optional }
    }
}

/// A server with TLS, and its certificate, PEM.
async fn secure(clients: Clients, http2: bool, limits: Limits) -> (Server, String) {
    let (certificate, key) = tls::self_signed().unwrap();
    let config = tls::server(
        tls::Presented::new(tls::certified(&certificate, &key).unwrap()),
        clients,
        http2,
    )
    .unwrap();
    (server_with(Tls::new(Arc::new(config)), limits).await, certificate)
}

/// Shakes hands with a server that has this certificate.
async fn connect(
    server: &Server,
    certificate: &str,
    identity: Option<&(String, String)>,
    alpn: &[&str],
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// One HTTP/1.1 request; in TLS 1.3 a refused certificate shows only here.
async fn ask(stream: io::Result<TlsStream<TcpStream>>) -> io::Result<String> {
    let mut stream = stream?;
    stream.write_all(b"GET /unknown HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Begins HTTP/2 on a stream.
async fn http2<S>(stream: S) -> SendRequest<Empty<bytes::Bytes>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let made = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = made.await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn get(sender: &mut SendRequest<Empty<bytes::Bytes>>, url: &str) -> (u16, String) {
    let request = Request::get(url).body(Empty::new()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.into()).unwrap())
}

async fn stop(server: Server) {
    server.shutdown.drain();
    server.running.await.unwrap();
}

#[tokio::test]
async fn http1_over_tls() {
    let (server, certificate) = secure(Clients::Anyone, false, Limits::default()).await;
    let stream = connect(&server, &certificate, None, &["h2", "http/1.1"]).await;
    assert_eq!(stream.as_ref().unwrap().get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let answer = ask(stream).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
    stop(server).await;
}

#[tokio::test]
async fn http2_where_both_offer_it() {
    let (server, certificate) = secure(Clients::Anyone, true, Limits::default()).await;
    let stream = connect(&server, &certificate, None, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut sender = http2(stream).await;
    let (status, body) = get(&mut sender, "https://localhost/unknown").await;
    assert_eq!((status, body.as_str()), (404, r#"{"message":"Not found"}"#));
    let plain = connect(&server, &certificate, None, &[]).await;
    assert!(ask(plain).await.unwrap().starts_with("HTTP/1.1 404"), "HTTP/1.1 without ALPN");
    assert_eq!(server.counters.read().requests, 2);
    stop(server).await;
}

#[tokio::test]
async fn clients_show_a_certificate_of_the_authority() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (ours, theirs) = (authority.issue(), stranger.issue());
    for (optional, without) in [(false, false), (true, true)] {
        let clients = authority.clients(optional);
        let (server, certificate) = secure(clients, true, Limits::default()).await;
        let ask_as = async |identity| {
            ask(connect(&server, &certificate, identity, &["http/1.1"]).await).await
        };
        assert!(ask_as(Some(&ours)).await.unwrap().starts_with("HTTP/1.1 404"));
        assert!(ask_as(Some(&theirs)).await.is_err(), "of another authority");
        assert_eq!(ask_as(None).await.is_ok(), without, "optional: {optional}");
        stop(server).await;
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_come_closes_the_connection() {
    let limits = Limits { head: Duration::from_millis(20), ..Limits::default() };
    let (server, _) = secure(Clients::Anyone, true, limits).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
    let mut wrong = TcpStream::connect(server.address).await.unwrap();
    wrong.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    // An alert, or a reset: nothing of HTTP in any case.
    let _ = wrong.read_to_end(&mut said).await;
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
    stop(server).await;
}

#[tokio::test]
async fn http2_in_clear_text_where_it_is_listed() {
    let server = server_with(Plain { http2: true }, Limits::default()).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (status, _) = get(&mut http2(stream).await, "http://localhost/unknown").await;
    assert_eq!(status, 404);
    // A preface in pieces, and a request that begins like one.
    let mut pieces = TcpStream::connect(server.address).await.unwrap();
    pieces.write_all(b"PRI * HT").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    pieces.write_all(b"TP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut settings = [0; 9];
    pieces.read_exact(&mut settings).await.unwrap();
    assert_eq!(settings[3], 4, "the server answers with its SETTINGS frame");
    drop(pieces);
    let mut post = TcpStream::connect(server.address).await.unwrap();
    let answer = exchange(&mut post, "PUT /unknown HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    stop(server).await;
}

#[tokio::test]
async fn an_http2_connection_that_idles_is_closed() {
    let limits = Limits { head: Duration::from_millis(50), ..Limits::default() };
    let server = server_with(Plain { http2: true }, limits).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let mut sender = http2(stream).await;
    assert_eq!(get(&mut sender, "http://localhost/unknown").await.0, 404);
    while server.counters.read().active > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(sender.ready().await.is_err());

    // One that never finishes a head, and keeps sending.
    let mut dripping = TcpStream::connect(server.address).await.unwrap();
    dripping.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    dripping.write_all(b"\0\x40\0\x01\x04\0\0\0\x01").await.unwrap();
    let mut rest = [0; 1024];
    let ended = async {
        while dripping.write_all(&[0]).await.is_ok() {
            match dripping.try_read(&mut rest) {
                Ok(0) => break,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => break,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended).await.expect("it is cut off");
    stop(server).await;
}
