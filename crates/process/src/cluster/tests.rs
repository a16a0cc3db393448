//! Handshakes over real sockets.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use settings::{Program, Sources};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Certificate and key, PEM.
type Pair = (String, String);
type Authority = CertifiedIssuer<'static, KeyPair>;

fn settings(program: Program, pair: &Pair, more: &[(&str, &str)]) -> Settings {
    let mut flags = vec![
        ("cluster_cert".to_owned(), pair.0.clone()),
        ("cluster_cert_key".to_owned(), pair.1.clone()),
    ];
    flags.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    settings::resolve(program, &Sources { flags, ..Sources::default() }).unwrap().settings
}

fn shared(pair: &Pair) -> (Settings, Settings) {
    (settings(Program::ControlPlane, pair, &[]), settings(Program::DataPlane, pair, &[]))
}

/// Shakes hands and says a word each way: with TLS 1.3 a client learns only then that it was
/// refused.
async fn meet(control: &Settings, data: &Settings, host: &str) -> Result<(), String> {
    let (control, data) = (server(control).unwrap().unwrap(), client(data).unwrap().unwrap());
    meet_with(&control, &data, host).await
}

/// As [`meet`], of sides that were made before.
async fn meet_with(control: &Server, data: &Client, host: &str) -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(control.config.load_full());
    let served = tokio::spawn(async move {
        let (socket, _) = listener.accept().await?;
        let mut stream = acceptor.accept(socket).await?;
        stream.write_all(b"welcome").await?;
        stream.shutdown().await?;
        Ok::<(), io::Error>(())
    });
    let Client { config, name, .. } = data.clone();
    let name = name.unwrap_or_else(|| ServerName::try_from(host.to_owned()).unwrap());
    let socket = TcpStream::connect(address).await.unwrap();
    let asked = async {
        let mut stream = TlsConnector::from(config.load_full()).connect(name, socket).await?;
        let mut word = String::new();
        stream.read_to_string(&mut word).await?;
        Ok::<String, io::Error>(word)
    };
    let asked = asked.await;
    match (served.await.unwrap(), asked) {
        (Ok(()), Ok(word)) if word == "welcome" => Ok(()),
        (server, client) => Err(format!("control plane: {server:?}; data plane: {client:?}")),
    }
}

async fn refused(control: &Settings, data: &Settings, host: &str, why: &str) {
    let said = meet(control, data, host).await.unwrap_err();
    assert!(said.contains(why), "{said}");
}

fn now() -> SystemTime {
    use lifecycle::Clock;
    let seconds = lifecycle::SystemClock.wall_s();
    UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs())
}

#[tokio::test]
async fn who_shows_the_shared_certificate_belongs_to_the_cluster() {
    let pair = shared_certificate(now() - DAY, 2 * DAY).unwrap();
    let (control, data) = shared(&pair);
    // Whatever it is called by: the certificate is the name.
    meet(&control, &data, "anything.example").await.unwrap();

    let (_, stranger) = shared(&shared_certificate(now() - DAY, 2 * DAY).unwrap());
    refused(&control, &stranger, "localhost", "NotShared").await;
}

#[tokio::test]
async fn a_shared_certificate_counts_while_it_is_valid() {
    for (from, why) in [(now() - 3 * DAY, "Expired"), (now() + DAY, "NotValidYet")] {
        let (control, data) = shared(&shared_certificate(from, 2 * DAY).unwrap());
        refused(&control, &data, "localhost", why).await;
    }
}

/// An openssl-made twin of what `kong hybrid gen_cert` writes: version 1, no extensions.
#[tokio::test]
async fn certificates_that_kong_made_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let openssl = |arguments: &[&str]| {
        let done = std::process::Command::new("openssl").args(arguments).output();
        let done = done.expect("openssl, which this test needs: apt-get install openssl");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    openssl(&["ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", &path("key")]);
    let (key, request) = (path("key"), path("request"));
    openssl(&["req", "-new", "-key", &key, "-subj", "/CN=kong_clustering", "-out", &request]);
    let made = path("cert");
    openssl(&["x509", "-req", "-in", &request, "-signkey", &key, "-days", "2", "-out", &made]);
    let pair = (std::fs::read_to_string(&made).unwrap(), std::fs::read_to_string(&key).unwrap());
    let (_, der) = x509_parser::pem::parse_x509_pem(pair.0.as_bytes()).unwrap();
    assert_eq!(der.parse_x509().unwrap().version().0, 0, "version 1");
    let (control, data) = shared(&pair);
    meet(&control, &data, "localhost").await.unwrap();
}

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issued(by: &Authority, name: &str, until: SystemTime) -> Pair {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.not_before = (until - 30 * DAY).into();
    params.not_after = until.into();
    (params.signed_by(&key, by).unwrap().pem(), key.serialize_pem())
}

fn pki(program: Program, pair: &Pair, trusted: &Authority, more: &[(&str, &str)]) -> Settings {
    let authority = trusted.pem();
    let mut all = vec![("cluster_mtls", "pki"), ("cluster_ca_cert", authority.as_str())];
    all.extend(more);
    settings(program, pair, &all)
}

#[tokio::test]
async fn who_has_a_certificate_of_the_authority_belongs_to_the_cluster() {
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let later = now() + DAY;
    let control =
        |until| pki(Program::ControlPlane, &issued(&ours, "cp.example", until), &ours, &[]);
    let data = |by: &Authority, until| {
        pki(Program::DataPlane, &issued(by, "dp.example", until), &ours, &[])
    };
    let good = control(later);
    meet(&good, &data(&ours, later), "cp.example").await.unwrap();
    let named = [("cluster_server_name", "cp.example")];
    let named = pki(Program::DataPlane, &issued(&ours, "dp.example", later), &ours, &named);
    meet(&good, &named, "10.0.0.1").await.unwrap();

    refused(&good, &data(&ours, later), "other.example", "NotValidForName").await;
    refused(&good, &data(&theirs, later), "cp.example", "UnknownIssuer").await;
    refused(&good, &data(&ours, now() - DAY), "cp.example", "Expired").await;
    refused(&control(now() - DAY), &data(&ours, later), "cp.example", "Expired").await;
    // A control plane of somebody else: nothing is asked of it.
    let other = pki(Program::ControlPlane, &issued(&theirs, "cp.example", later), &theirs, &[]);
    refused(&other, &data(&ours, later), "cp.example", "UnknownIssuer").await;
}

#[tokio::test]
async fn who_shows_no_certificate_is_refused() {
    let pair = shared_certificate(now() - DAY, 2 * DAY).unwrap();
    let (control, data) = shared(&pair);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(server(&control).unwrap().unwrap().config.load_full());
    let served = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        acceptor.accept(socket).await.map(drop)
    });
    let shown = client(&data).unwrap().unwrap();
    let mut silent = ClientConfig::clone(&shown.config.load());
    silent.client_auth_cert_resolver = Arc::new(Silent);
    let socket = TcpStream::connect(address).await.unwrap();
    // With TLS 1.3 the client's side is done before the server looked at it.
    let _ = TlsConnector::from(Arc::new(silent)).connect(shown.name.unwrap(), socket).await;
    let error = served.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("peer sent no certificates"), "{error}");
}

#[derive(Debug)]
struct Silent;

impl rustls::client::ResolvesClientCert for Silent {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[test]
fn what_is_wrong_with_the_settings_is_named() {
    let pair = shared_certificate(now(), DAY).unwrap();
    let other = shared_certificate(now(), DAY).unwrap();
    let mixed = settings(Program::DataPlane, &(pair.0.clone(), other.1), &[]);
    let error = client(&mixed).unwrap_err().to_string();
    assert_eq!(error, "cluster_cert_key: is not the key of cluster_cert");

    let at = |host: &str| HostPort { host: host.to_owned(), port: 8005 };
    let plain = settings::resolve(Program::DataPlane, &Sources::default()).unwrap().settings;
    assert!(client(&plain).unwrap().is_none());
    for near in ["127.0.0.1", "::1", "localhost", "::ffff:127.0.0.1"] {
        may_be_plain(&plain, "cluster_control_plane", &at(near)).unwrap();
    }
    let error = may_be_plain(&plain, "cluster_control_plane", &at("cp.example")).unwrap_err();
    let error = error.to_string();
    assert!(error.starts_with("cluster_control_plane: cp.example:8005 is not on"), "{error}");
    let flags = vec![("cluster_plaintext".to_owned(), "on".to_owned())];
    let sources = Sources { flags, ..Sources::default() };
    let told = settings::resolve(Program::DataPlane, &sources).unwrap().settings;
    may_be_plain(&told, "cluster_control_plane", &at("cp.example")).unwrap();
}

#[tokio::test]
async fn certificates_that_changed_on_disk_are_used_from_the_next_handshake_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let write = |(certificate, key): &Pair| {
        std::fs::write(path("crt"), certificate).unwrap();
        std::fs::write(path("key"), key).unwrap();
    };
    let made = || shared_certificate(now() - DAY, 2 * DAY).unwrap();
    write(&made());
    let (control, data) = shared(&(path("crt"), path("key")));
    let (control, data) = (server(&control).unwrap().unwrap(), client(&data).unwrap().unwrap());
    assert_eq!(meet_with(&control, &data, "cp").await, Ok(()));

    write(&made());
    assert_eq!(meet_with(&control, &data, "cp").await, Ok(()), "nobody has looked yet");
    control.reload.run().unwrap();
    let refused = meet_with(&control, &data, "cp").await.unwrap_err();
    assert!(refused.contains("NotShared"), "{refused}");
    data.reload.run().unwrap();
    assert_eq!(meet_with(&control, &data, "cp").await, Ok(()));

    // A key of another certificate, no file at all: what is in use stays.
    std::fs::write(path("key"), made().1).unwrap();
    let error = control.reload.run().unwrap_err().to_string();
    assert!(error.contains("cluster_cert_key: is not the key of cluster_cert"), "{error}");
    std::fs::remove_file(path("crt")).unwrap();
    let error = data.reload.run().unwrap_err().to_string();
    assert!(error.starts_with("cluster_cert: is no PEM text, and no file"), "{error}");
    assert_eq!(meet_with(&control, &data, "cp").await, Ok(()));
}

#[tokio::test]
async fn authorities_change_with_the_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let write = |authority: &Authority| {
        let (certificate, key) = issued(authority, "cp.test", now() + DAY);
        std::fs::write(path("ca"), authority.pem()).unwrap();
        std::fs::write(path("crt"), certificate).unwrap();
        std::fs::write(path("key"), key).unwrap();
    };
    write(&authority("first"));
    let pair = (path("crt"), path("key"));
    let ca = path("ca");
    let pki = [("cluster_mtls", "pki"), ("cluster_ca_cert", ca.as_str())];
    let control = server(&settings(Program::ControlPlane, &pair, &pki)).unwrap().unwrap();
    let data = client(&settings(Program::DataPlane, &pair, &pki)).unwrap().unwrap();
    assert_eq!(meet_with(&control, &data, "cp.test").await, Ok(()));
    write(&authority("second"));
    data.reload.run().unwrap();
    assert!(meet_with(&control, &data, "cp.test").await.is_err(), "of different authorities");
    control.reload.run().unwrap();
    assert_eq!(meet_with(&control, &data, "cp.test").await, Ok(()));
}
