//! The planes over mutual TLS, as real programs.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use end_to_end::{Client, Program, Reply, address};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::json;

use crate::cluster::{FREQUENCY, flat};

/// How long something may take to be seen.
const PATIENCE: Duration = Duration::from_secs(30);

fn control_plane(home: &Path, tls: &[(&str, String)]) -> (Program, SocketAddr, SocketAddr) {
    let mut arguments = vec![
        ("--data-dir", home.display().to_string()),
        ("--database", "sqlite".to_owned()),
        ("--admin-listen", "127.0.0.1:0".to_owned()),
        ("--cluster-listen", "127.0.0.1:0".to_owned()),
        ("--status-listen", "off".to_owned()),
    ];
    arguments.extend_from_slice(tls);
    let mut program = Program::start("weir-control-plane", &flat(&arguments)).unwrap();
    let entry = program.wait_for("the control plane runs").unwrap();
    (program, address(&entry, "admin").unwrap(), address(&entry, "cluster").unwrap())
}

fn data_plane(home: &Path, at: SocketAddr, tls: &[(&str, String)]) -> (Program, SocketAddr) {
    let mut arguments = vec![
        ("--data-dir", home.display().to_string()),
        ("--proxy-listen", "127.0.0.1:0".to_owned()),
        ("--status-listen", "off".to_owned()),
        ("--cluster-control-plane", at.to_string()),
        ("--db-update-frequency", FREQUENCY.to_owned()),
    ];
    arguments.extend_from_slice(tls);
    let mut program = Program::start("weir-data-plane", &flat(&arguments)).unwrap();
    let entry = program.wait_for("the data plane runs").unwrap();
    (program, address(&entry, "proxy").unwrap())
}

/// A route that is answered without an upstream: a redirect to HTTPS.
fn put_route(client: &Client, name: &str) {
    let route = json!({ "paths": [format!("/{name}")], "protocols": ["https"] });
    let path = format!("/routes/{name}");
    client.write(&json!({ "method": "PUT", "path": path, "json": route })).unwrap();
}

fn serves(client: &Client, name: &str) {
    client.proxy_until(&json!({ "path": format!("/{name}") }), 426).unwrap();
}

fn data_planes_until(client: &Client, count: usize) -> Reply {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reply = client.admin(&json!({ "path": "/clustering/data-planes" })).unwrap();
        if reply.json["data"].as_array().map(Vec::len) == Some(count) {
            return reply;
        }
        assert!(Instant::now() < deadline, "not {count} in time: {reply:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn who_shares_the_certificate_is_served_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let made = |name: &str| {
        let path = |end: &str| dir.path().join(format!("{name}.{end}")).display().to_string();
        let (certificate, key) = (path("crt"), path("key"));
        let (status, said) =
            Program::run("weir", &["hybrid", "gen-cert", &certificate, &key]).unwrap();
        assert!(status.success(), "{said}");
        [("--cluster-cert", certificate), ("--cluster-cert-key", key)]
    };
    let (ours, theirs) = (made("ours"), made("theirs"));
    let (mut control, admin, cluster) = control_plane(&dir.path().join("control"), &ours);
    let (_member, proxy) = data_plane(&dir.path().join("member"), cluster, &ours);
    let member = Client::new(admin, proxy);
    put_route(&member, "one");
    serves(&member, "one");

    let (_stranger, proxy) = data_plane(&dir.path().join("stranger"), cluster, &theirs);
    control.wait_for("a data plane's TLS handshake failed").unwrap();
    let (_plain, plain) = data_plane(&dir.path().join("plain"), cluster, &[]);
    control.wait_for("a data plane's TLS handshake failed").unwrap();
    for proxy in [proxy, plain] {
        let outside = member.with_proxy(proxy);
        assert_eq!(outside.proxy(&json!({ "path": "/one" })).unwrap().status, 404);
    }
    let seen = data_planes_until(&member, 1);
    let details = &seen.json["data"][0]["cert_details"];
    assert!(details["expiry_timestamp"].as_i64().unwrap() > 1_700_000_000, "{details}");

    // One of them cannot be told from another.
    let id = seen.json["data"][0]["id"].as_str().unwrap();
    let path = format!("/clustering/data-planes/{id}");
    let refused = member.admin(&json!({ "method": "DELETE", "path": path })).unwrap();
    assert_eq!(refused.status, 400, "{refused:?}");
}

#[test]
fn at_sighup_both_planes_take_up_new_certificates_and_lose_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let path = |end: &str| dir.path().join(end).display().to_string();
    let make = |name: &str| {
        let made = [path(&format!("{name}.crt")), path(&format!("{name}.key"))];
        let said = Program::run("weir", &["hybrid", "gen-cert", &made[0], &made[1]]).unwrap();
        assert!(said.0.success(), "{}", said.1);
        made
    };
    let used = make("used");
    let tls = [("--cluster-cert", used[0].clone()), ("--cluster-cert-key", used[1].clone())];
    let (mut control, admin, cluster) = control_plane(&dir.path().join("control"), &tls);
    let (mut member, proxy) = data_plane(&dir.path().join("member"), cluster, &tls);
    let client = Client::new(admin, proxy);
    put_route(&client, "one");
    serves(&client, "one");

    let fresh = make("fresh");
    fs::copy(&fresh[0], &used[0]).unwrap();
    control.signal("HUP").unwrap();
    let refused = control.wait_for("cannot be read anew; what is in use stays").unwrap();
    let why = refused["error"].as_str().unwrap_or_default();
    assert!(why.contains("is not the key of cluster_cert"), "{refused}");
    fs::copy(&fresh[1], &used[1]).unwrap();
    for plane in [&mut control, &mut member] {
        plane.signal("HUP").unwrap();
        plane.wait_for("read anew; new connections use it").unwrap();
    }
    // The stream that is open goes on; who comes now has to have the new one.
    put_route(&client, "two");
    serves(&client, "two");
    let (_late, proxy) = data_plane(&dir.path().join("late"), cluster, &tls);
    serves(&client.with_proxy(proxy), "two");
    data_planes_until(&client, 2);
}

#[test]
fn what_would_go_unencrypted_to_other_machines_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().display().to_string();
    let exposed = [
        ("weir-control-plane", vec!["--database", "sqlite", "--cluster-listen", "0.0.0.0:0"]),
        ("weir-data-plane", vec!["--cluster-control-plane", "control.example:8005"]),
    ];
    for (name, arguments) in exposed {
        let mut all = vec!["--data-dir", &home, "--status-listen", "off"];
        all.extend(match name {
            "weir-control-plane" => ["--admin-listen", "127.0.0.1:0"],
            _ => ["--proxy-listen", "127.0.0.1:0"],
        });
        all.extend(&arguments);
        let (status, said) = Program::run(name, &all).unwrap();
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(
            said.contains("weir hybrid gen-cert") && said.contains("cluster_plaintext"),
            "{said}"
        );
    }
}

#[test]
fn a_data_plane_whose_certificate_is_revoked_hears_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "authority");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let file = |name: &str, text: String| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let trusted = file("ca.pem", authority.pem());
    let issued = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        [
            ("--cluster-mtls", "pki".to_owned()),
            ("--cluster-ca-cert", trusted.clone()),
            ("--cluster-cert", file(&format!("{name}.crt"), certificate.pem())),
            ("--cluster-cert-key", file(&format!("{name}.key"), key.serialize_pem())),
        ]
    };
    let (_control, admin, cluster) =
        control_plane(&dir.path().join("control"), &issued("cp.example"));
    let member = |name: &str| {
        let mut tls = issued(name).to_vec();
        tls.push(("--cluster-server-name", "cp.example".to_owned()));
        let (program, proxy) = data_plane(&dir.path().join(name), cluster, &tls);
        (program, Client::new(admin, proxy))
    };
    let ((_one, one), (_two, two)) = (member("dp-1.example"), member("dp-2.example"));
    put_route(&one, "before");
    serves(&one, "before");
    serves(&two, "before");
    let seen = data_planes_until(&one, 2);
    let planes = seen.json["data"].as_array().unwrap();
    let id = planes[0]["id"].as_str().unwrap();
    let shown = planes[0]["cert_details"]["fingerprint"].as_str().unwrap();
    assert_ne!(shown, planes[1]["cert_details"]["fingerprint"].as_str().unwrap());

    let path = format!("/clustering/data-planes/{id}");
    let gone = one.write(&json!({ "method": "DELETE", "path": path })).unwrap();
    assert_eq!(gone.status, 204);
    data_planes_until(&one, 1);
    put_route(&one, "after");
    // One of the two hears of it, the other serves what it has.
    let statuses = || {
        let get = |client: &Client| client.proxy(&json!({ "path": "/after" })).unwrap().status;
        let mut both = [get(&one), get(&two)];
        both.sort_unstable();
        both
    };
    let deadline = Instant::now() + PATIENCE;
    while statuses() != [404, 426] {
        assert!(Instant::now() < deadline, "{:?}", statuses());
        thread::sleep(Duration::from_millis(50));
    }
    // Three polls later, still.
    thread::sleep(Duration::from_secs(3));
    assert_eq!(statuses(), [404, 426]);

    let listed = one.admin(&json!({ "path": "/clustering/revocations" })).unwrap();
    assert_eq!(listed.json["data"][0]["fingerprint"], shown);
    let path = format!("/clustering/revocations/{shown}");
    assert_eq!(one.write(&json!({ "method": "DELETE", "path": path })).unwrap().status, 204);
    serves(&one, "after");
    serves(&two, "after");
}
