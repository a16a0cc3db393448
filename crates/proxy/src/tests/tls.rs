//! TLS with clients and with upstreams.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::WebPkiClientVerifier,
};
use serde_json::{Value, json};
use settings::TlsVersion;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::client::TlsStream;
use upstream::{Profile, Stream, TlsSettings, Trust};

use super::{
    Backend, Client, Gateway,
    gateway::{entity, reference, route, service},
};
use crate::Options;

/// A certificate and its key, PEM.
pub(crate) struct Pem {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// An authority that issues certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn issue(&self, name: &str) -> Pem {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Pem { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

pub(crate) fn server(pem: &Pem, clients: Option<&Authority>) -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                .build()
                .unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain =
        CertificateDer::pem_slice_iter(pem.certificate.as_bytes()).map(Result::unwrap).collect();
    builder
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(pem.key.as_bytes()).unwrap())
        .unwrap()
}

fn with_tls(options: &mut Options) {
    options.listeners[0].ssl = true;
    options.listeners[0].http2 = true;
}

async fn connect(address: SocketAddr, name: &str, protocols: &[&[u8]]) -> Stream {
    let settings =
        TlsSettings { trust: Trust::Anyone, depth: 1, client_certificate: None, protocols };
    let secured = Profile::new(&settings).unwrap().towards(name).unwrap();
    upstream::connect(address, Some(&secured), Duration::from_secs(20)).await.unwrap()
}

/// TLS over a connection that is open already, whoever is at its other end.
pub(crate) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    name: &'static str,
) -> TlsStream<S> {
    try_handshake(stream, name).await.unwrap()
}

/// As [`handshake`], with somebody who may not want to.
pub(crate) async fn try_handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    name: &'static str,
) -> std::io::Result<TlsStream<S>> {
    let connector = tokio_rustls::TlsConnector::from(Arc::new(trusting(rustls::ALL_VERSIONS)));
    connector.connect(name.try_into().unwrap(), stream).await
}

/// A client that takes every certificate, and speaks these versions.
fn trusting(versions: &[&'static rustls::SupportedProtocolVersion]) -> rustls::ClientConfig {
    let verifier = Arc::new(Anyone(Arc::new(ring::default_provider())));
    rustls::ClientConfig::builder_with_provider(verifier.0.clone())
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth()
}

/// Takes every certificate.
#[derive(Debug)]
struct Anyone(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The certificate that is presented for a name.
async fn presented(gateway: &Gateway, name: &str) -> Vec<u8> {
    match connect(gateway.address, name, &[]).await {
        Stream::Tls(tls) => tls.get_ref().1.peer_certificates().unwrap()[0].to_vec(),
        Stream::Plain(_) => panic!("not by TLS"),
    }
}

pub(crate) fn der(pem: &Pem) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.certificate.as_bytes()).unwrap().to_vec()
}

pub(crate) fn certificate(number: u8, pem: &Pem) -> (&'static str, Value) {
    entity("certificates", number, json!({"cert": pem.certificate, "key": pem.key}))
}

pub(crate) fn sni(number: u8, name: &str, certificate: u8) -> (&'static str, Value) {
    entity("snis", number, json!({"name": name, "certificate": reference(certificate)}))
}

#[tokio::test]
async fn requests_over_tls_are_https() {
    let backend = Backend::text("ok").await;
    let entities = [
        service(1, backend.address, json!({})),
        route(1, 1, json!({"paths": ["/"], "protocols": ["https"]})),
    ];
    let gateway = Gateway::with(&entities, with_tls);
    let mut client = Client::over(connect(gateway.address, "a.test", &[b"http/1.1"]).await);
    for _ in 0..2 {
        client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody").await;
        assert_eq!(client.answer().await.1, "ok");
    }
    assert_eq!(backend.last().body, b"body");
    assert_eq!(backend.last().field("x-forwarded-proto"), Some("https"));
    assert_eq!(
        backend.last().field("x-forwarded-port"),
        Some(gateway.address.port().to_string().as_str())
    );
}

#[tokio::test]
async fn routes_see_the_name_of_the_handshake() {
    let backend = Backend::text("ok").await;
    let entities = [
        service(1, backend.address, json!({})),
        route(1, 1, json!({"paths": ["/"], "snis": ["a.test"], "protocols": ["https"]})),
    ];
    let gateway = Gateway::with(&entities, with_tls);
    for (name, status) in [("a.test", "200"), ("b.test", "404"), ("127.0.0.1", "404")] {
        let mut client = Client::over(connect(gateway.address, name, &[]).await);
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert_eq!(client.answer().await.0.split(' ').nth(1), Some(status), "{name}");
    }
}

#[tokio::test]
async fn the_certificate_follows_the_name_and_the_snapshot() {
    let authority = Authority::new("authority");
    let (exact, wild, star, later) = (
        authority.issue("a.test"),
        authority.issue("wild"),
        authority.issue("star"),
        authority.issue("later"),
    );
    let entities = [
        certificate(1, &exact),
        certificate(2, &wild),
        certificate(3, &star),
        sni(11, "a.test", 1),
        sni(12, "*.b.test", 2),
        sni(13, "*", 3),
    ];
    let mut gateway = Gateway::with(&entities, with_tls);
    assert_eq!(presented(&gateway, "a.test").await, der(&exact));
    assert_eq!(presented(&gateway, "x.b.test").await, der(&wild));
    assert_eq!(presented(&gateway, "other.test").await, der(&star));
    let unnamed = presented(&gateway, "127.0.0.1").await;
    assert!([&exact, &wild, &star].iter().all(|pem| der(pem) != unnamed));
    gateway.apply(&[certificate(1, &later)]);
    assert_eq!(presented(&gateway, "a.test").await, der(&later));
}

#[tokio::test]
async fn certificates_on_disk_are_read_anew_when_asked_and_bad_ones_left_alone() {
    let (authority, folder) = (Authority::new("authority"), tempfile::tempdir().unwrap());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let write = |pem: &Pem| {
        std::fs::write(path("crt"), &pem.certificate).unwrap();
        std::fs::write(path("key"), &pem.key).unwrap();
    };
    let (first, second) = (authority.issue("first"), authority.issue("second"));
    write(&first);
    let gateway = Gateway::with(&[], |options| {
        with_tls(options);
        options.certificates = vec![(path("crt"), path("key"))];
    });
    let mut open = Client::over(connect(gateway.address, "a.test", &[b"http/1.1"]).await);
    assert_eq!(presented(&gateway, "a.test").await, der(&first));
    write(&second);
    assert_eq!(presented(&gateway, "a.test").await, der(&first), "nobody has asked yet");
    gateway.reload().unwrap();
    assert_eq!(presented(&gateway, "a.test").await, der(&second));

    std::fs::write(path("key"), &first.key).unwrap();
    let error = gateway.reload().unwrap_err().to_string();
    assert!(error.starts_with("ssl_cert: "), "{error}");
    std::fs::write(path("crt"), "nonsense").unwrap();
    assert!(gateway.reload().is_err());
    assert_eq!(presented(&gateway, "127.0.0.1").await, der(&second));
    open.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert!(open.answer().await.0.starts_with("HTTP/1.1 404"), "what is open stays open");
}

#[tokio::test]
async fn plain_http_is_told_to_use_https() {
    let gateway = Gateway::with(&[], with_tls);
    let answer = gateway.once("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.contains("sent to an HTTPS port"), "{answer}");
}

#[tokio::test]
async fn upstreams_are_verified_when_the_service_says_so() {
    let (authority, other) = (Authority::new("authority"), Authority::new("other"));
    let backend = Backend::secured("ok", server(&authority.issue("inner.test"), None)).await;
    let verified = |ca: u8| json!({"protocol": "https", "retries": 0, "tls_verify": true, "ca_certificates": [reference(ca)["id"]]});
    let unverified = json!({"protocol": "https", "retries": 0});
    let gateway = Gateway::start(&[
        entity("ca_certificates", 1, json!({"cert": authority.pem()})),
        entity("ca_certificates", 2, json!({"cert": other.pem()})),
        service(1, backend.address, unverified),
        service(2, backend.address, verified(1)),
        service(3, backend.address, verified(2)),
        route(1, 1, json!({"paths": ["/anyone"], "preserve_host": true})),
        route(2, 2, json!({"paths": ["/right"], "preserve_host": true})),
        route(3, 3, json!({"paths": ["/wrong"], "preserve_host": true})),
    ]);
    let mut client = gateway.connect().await;
    // The unverified service goes first each time: its idle connection must not serve the others.
    for (path, host, status) in [
        ("/anyone", "inner.test", "200"),
        ("/right", "inner.test", "200"),
        ("/anyone", "inner.test", "200"),
        ("/wrong", "inner.test", "502"),
        ("/anyone", "other.test", "200"),
        ("/right", "other.test", "502"),
    ] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(client.answer().await.0.split(' ').nth(1), Some(status), "{path} {host}");
    }
    let connections = backend
        .seen()
        .iter()
        .map(|seen| seen.connection)
        .collect::<std::collections::BTreeSet<_>>();
    assert_eq!(connections.len(), 3, "one for each identity, and one used again");
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_upstreams_that_ask() {
    let (authority, clients) = (Authority::new("authority"), Authority::new("clients"));
    let backend =
        Backend::secured("ok", server(&authority.issue("inner.test"), Some(&clients))).await;
    let gateway = Gateway::start(&[
        certificate(1, &clients.issue("gateway")),
        service(
            1,
            backend.address,
            json!({"protocol": "https", "retries": 0, "client_certificate": reference(1)}),
        ),
        service(2, backend.address, json!({"protocol": "https", "retries": 0})),
        route(1, 1, json!({"paths": ["/with"]})),
        route(2, 2, json!({"paths": ["/without"]})),
    ]);
    let mut client = gateway.connect().await;
    for (path, status) in [("/with", "200"), ("/without", "502"), ("/with", "200")] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(client.answer().await.0.split(' ').nth(1), Some(status), "{path}");
    }
}

/// The version, cipher and kind of a handshake with a gateway.
async fn negotiated(
    gateway: &Gateway,
    config: &Arc<rustls::ClientConfig>,
) -> std::io::Result<(rustls::ProtocolVersion, rustls::CipherSuite, rustls::HandshakeKind)> {
    let tcp = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(config.clone());
    let mut client = Client::over(connector.connect("a.test".try_into().unwrap(), tcp).await?);
    // Tickets come with the first answer.
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    client.rest().await;
    let tls = client.into_inner();
    let tls = tls.get_ref().1;
    let cipher = tls.negotiated_cipher_suite().unwrap().suite();
    Ok((tls.protocol_version().unwrap(), cipher, tls.handshake_kind().unwrap()))
}

#[tokio::test]
async fn versions_and_ciphers_are_those_of_the_settings() {
    use rustls::{CipherSuite, ProtocolVersion, version};
    let with = |versions: &[TlsVersion], ciphers: Option<&str>| {
        Gateway::with(&[], |options| {
            with_tls(options);
            options.tls.versions = versions.to_vec();
            options.tls.ciphers = ciphers.map(str::to_owned);
        })
    };
    let (old, new) =
        (Arc::new(trusting(&[&version::TLS12])), Arc::new(trusting(&[&version::TLS13])));
    let modern = with(&[TlsVersion::Tls13], None);
    assert!(negotiated(&modern, &old).await.is_err());
    assert_eq!(negotiated(&modern, &new).await.unwrap().0, ProtocolVersion::TLSv1_3);
    let names = "DHE-RSA-AES256-SHA:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256";
    let custom = with(&[TlsVersion::Tls12], Some(names));
    assert!(negotiated(&custom, &new).await.is_err());
    let (version, cipher, _) = negotiated(&custom, &old).await.unwrap();
    assert_eq!(version, ProtocolVersion::TLSv1_2);
    assert_eq!(cipher, CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256);
}

#[tokio::test]
async fn sessions_are_resumed_with_and_without_tickets() {
    use rustls::{HandshakeKind, version};
    for tickets in [true, false] {
        let gateway = Gateway::with(&[], |options| {
            with_tls(options);
            options.tls.tickets = tickets;
        });
        for version in [&version::TLS12, &version::TLS13] {
            let config = Arc::new(trusting(&[version]));
            assert_eq!(negotiated(&gateway, &config).await.unwrap().2, HandshakeKind::Full);
            assert_eq!(negotiated(&gateway, &config).await.unwrap().2, HandshakeKind::Resumed);
        }
    }
}

#[tokio::test]
async fn a_certificate_of_the_settings_is_shown_where_there_is_no_other() {
    let (authority, clients) = (Authority::new("authority"), Authority::new("clients"));
    let backend =
        Backend::secured("ok", server(&authority.issue("inner.test"), Some(&clients))).await;
    let foreign = Authority::new("foreign").issue("gateway");
    let own = clients.issue("gateway");
    let entities = [
        certificate(1, &foreign),
        service(1, backend.address, json!({"protocol": "https", "retries": 0})),
        service(
            2,
            backend.address,
            json!({"protocol": "https", "retries": 0, "client_certificate": reference(1)}),
        ),
        route(1, 1, json!({"paths": ["/of-settings"]})),
        route(2, 2, json!({"paths": ["/of-service"]})),
    ];
    let gateway = Gateway::with(&entities, |options| {
        options.client_certificate = Some((own.certificate.clone(), own.key.clone()));
    });
    let mut client = gateway.connect().await;
    for (path, status) in [("/of-settings", "200"), ("/of-service", "502")] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(client.answer().await.0.split(' ').nth(1), Some(status), "{path}");
    }
}
