//! References to secrets: the data plane alone knows what they refer to.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use end_to_end::{Client, Program, address};
use serde_json::json;

/// The certificate and key of a site, as one secret.
fn site(name: &str) -> String {
    let pem = |kind: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/pem");
        fs::read_to_string(folder.join(format!("{name}.{kind}"))).unwrap()
    };
    json!({ "cert": pem("crt"), "key": pem("key") }).to_string()
}

#[test]
fn a_certificate_in_the_environment_is_presented_and_told_to_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().display().to_string();
    let local = "127.0.0.1:0";
    let arguments = [
        ["start", "--data-dir", &data_dir].as_slice(),
        &["--proxy-listen", "127.0.0.1:0 ssl"],
        &["--admin-listen", local, "--status-listen", local],
    ]
    .concat();
    let environment = [("ONE_SITE", site("site1")), ("TWO_SITE", site("site2"))];
    let mut program = Program::start_with("weir", &arguments, &environment).unwrap();
    let entry = program.wait_for("the gateway runs").unwrap();
    let proxy = address(&entry, "proxy").unwrap();
    let client = Client::new(address(&entry, "admin").unwrap(), proxy);
    let write = |method: &str, path: &str, body: serde_json::Value| {
        client.write(&json!({ "method": method, "path": path, "json": body })).unwrap().json
    };
    let shows = |name: &str| {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let shown = client.certificate(proxy, "site1.test").unwrap();
            if shown.as_deref() == Some(name) {
                return;
            }
            assert!(Instant::now() < deadline, "it shows {shown:?}, not {name:?}");
            thread::sleep(Duration::from_millis(10));
        }
    };

    let (cert, key) = ("{vault://mine/site/cert}", "{vault://mine/site/key}");
    let certificate = json!({ "cert": cert, "key": key, "snis": ["site1.test"] });
    let made = write("POST", "/certificates", certificate);
    let path = format!("/certificates/{}", made["id"].as_str().unwrap());
    write("PUT", "/vaults/mine", json!({ "name": "env", "config": { "prefix": "one_" } }));
    shows("site one");
    write("PATCH", "/vaults/mine", json!({ "config": { "prefix": "two_" } }));
    shows("site two");
    write("PATCH", &path, json!({ "key": "{vault://mine/none}" }));
    program.wait_for("a secret cannot be found: the field is empty").unwrap();

    let told = client.write(&json!({ "path": path })).unwrap().json;
    assert_eq!((&told["cert"], &told["key"]), (&json!(cert), &json!("{vault://mine/none}")));
    program.signal("TERM").unwrap();
    let (_, log) = program.wait().unwrap();
    let files = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let kept = files.filter(|path| path.is_file()).map(|path| fs::read(path).unwrap());
    for said in kept.chain([log.into_bytes()]) {
        let said = String::from_utf8_lossy(&said);
        assert!(!said.contains("BEGIN PRIVATE KEY"), "a secret has got out");
    }
}

#[test]
fn a_plugin_uses_a_secret_of_the_environment_that_nobody_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let (local, data_dir) = ("127.0.0.1:0", dir.path().display().to_string());
    let arguments = [
        ["start", "--data-dir", &data_dir].as_slice(),
        &["--proxy-listen", local, "--admin-listen", local, "--status-listen", local],
    ]
    .concat();
    let environment = [("LOG_TOKEN", "open-sesame".to_owned())];
    let mut program = Program::start_with("weir", &arguments, &environment).unwrap();
    let entry = program.wait_for("the gateway runs").unwrap();
    let client = Client::new(address(&entry, "admin").unwrap(), address(&entry, "proxy").unwrap());
    let write = |path: &str, body: serde_json::Value| {
        client.write(&json!({ "method": "POST", "path": path, "json": body })).unwrap().json
    };
    write("/services", json!({ "name": "s", "url": "http://127.0.0.1:1" }));
    write("/services/s/routes", json!({ "paths": ["/"] }));
    write("/plugins", json!({ "name": "request-termination", "config": { "status_code": 204 } }));
    let reference = "{vault://env/log-token}";
    let config = json!({
        "http_endpoint": format!("http://{}/logs", receiver.local_addr().unwrap()),
        "headers": { "X-Token": reference },
    });
    let plugin = write("/plugins", json!({ "name": "http-log", "config": config }));
    client.proxy_until(&json!({ "path": "/" }), 204).unwrap();

    let (mut stream, _) = receiver.accept().unwrap();
    let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
    let token = head
        .iter()
        .find_map(|line| line.to_lowercase().strip_prefix("x-token: ").map(str::to_owned));
    assert_eq!(token.as_deref(), Some("open-sesame"), "{head:?}");
    assert_eq!(plugin["config"]["headers"]["X-Token"], reference);
    program.signal("TERM").unwrap();
    let (_, log) = program.wait().unwrap();
    assert!(!log.contains("open-sesame"), "{log}");
}
