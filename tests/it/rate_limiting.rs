//! Rate limits over several data planes, with a real Redis and with the control plane's database.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use end_to_end::{Client, Gateway, Program, Redis, address};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A control plane and four data planes.
struct Fleet {
    admin: Client,
    proxies: Vec<SocketAddr>,
    _programs: Vec<Program>,
    _dir: TempDir,
}

impl Fleet {
    fn start() -> Fleet {
        let dir = tempfile::tempdir().unwrap();
        let (control, admin, cluster) = control_plane(&dir.path().join("control"));
        let mut programs = vec![control];
        let mut proxies = Vec::new();
        for number in 0..4 {
            let (program, proxy) =
                data_plane(&dir.path().join(format!("data-{number}")), &cluster.to_string());
            programs.push(program);
            proxies.push(proxy);
        }
        let admin = Client::new(admin, proxies[0]);
        Fleet { admin, proxies, _programs: programs, _dir: dir }
    }

    /// A path that is answered at once, and limited so.
    fn limit(&self, path: &str, config: Value) {
        limit(&self.admin, path, config);
        for proxy in &self.proxies {
            let ready = json!({ "path": format!("/{path}?ready") });
            self.admin.with_proxy(*proxy).proxy_until(&ready, 200).unwrap();
        }
    }

    /// Asks all data planes at once, each over two connections, and counts what was let pass.
    fn ask(&self, path: &str, requests: usize) -> usize {
        let clients = self.proxies.iter().chain(&self.proxies).map(|proxy| {
            let (proxy, path) = (*proxy, path.to_owned());
            thread::spawn(move || {
                let mut connection = Connection::open(proxy);
                (0..requests).filter(|_| connection.get(&path).0 == 200).count()
            })
        });
        let clients: Vec<_> = clients.collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    }
}

/// A connection that is kept.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(proxy: SocketAddr) -> Connection {
        Connection(BufReader::new(TcpStream::connect(proxy).unwrap()))
    }

    /// The status, and the value of `RateLimit-Remaining`.
    fn get(&mut self, path: &str) -> (u16, Option<String>) {
        let request = format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut status, mut length, mut remaining) = (0, 0, None);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            let line = line.trim_end();
            if let Some(code) = line.strip_prefix("HTTP/1.1 ") {
                status = code[..3].parse().unwrap();
            } else if let Some((name, value)) = line.split_once(": ") {
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.parse().unwrap(),
                    "ratelimit-remaining" => remaining = Some(value.to_owned()),
                    _ => {}
                }
            } else {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (status, remaining)
    }
}

fn limit(admin: &Client, path: &str, config: Value) {
    let post = |path: String, json: Value| {
        let wait = format!("{path}?wait=all&wait_timeout=20s");
        admin.write(&json!({ "method": "POST", "path": wait, "json": json })).unwrap();
    };
    let route = json!({ "name": path, "paths": [format!("/{path}")] });
    post("/routes".to_owned(), route);
    let answer =
        json!({ "name": "request-termination", "config": { "status_code": 200, "message": "ok" } });
    post(format!("/routes/{path}/plugins"), answer);
    post(format!("/routes/{path}/plugins"), json!({ "name": "rate-limiting", "config": config }));
}

fn control_plane(data_dir: &Path) -> (Program, SocketAddr, SocketAddr) {
    let arguments = [
        ("--database", "sqlite".to_owned()),
        ("--data-dir", data_dir.display().to_string()),
        ("--admin-listen", "127.0.0.1:0".to_owned()),
        ("--cluster-listen", "127.0.0.1:0".to_owned()),
        ("--status-listen", "off".to_owned()),
    ];
    let mut program = Program::start("weir-control-plane", &flat(&arguments)).unwrap();
    let entry = program.wait_for("the control plane runs").unwrap();
    (program, address(&entry, "admin").unwrap(), address(&entry, "cluster").unwrap())
}

fn data_plane(data_dir: &Path, control_plane: &str) -> (Program, SocketAddr) {
    let arguments = [
        ("--data-dir", data_dir.display().to_string()),
        ("--proxy-listen", "127.0.0.1:0".to_owned()),
        ("--status-listen", "off".to_owned()),
        ("--cluster-control-plane", control_plane.to_owned()),
    ];
    let mut program = Program::start("weir-data-plane", &flat(&arguments)).unwrap();
    let entry = program.wait_for("the data plane runs").unwrap();
    (program, address(&entry, "proxy").unwrap())
}

fn flat(arguments: &[(&str, String)]) -> Vec<String> {
    arguments.iter().flat_map(|(name, value)| [(*name).to_owned(), value.clone()]).collect()
}

#[test]
fn four_data_planes_let_pass_the_limit_together() {
    let (redis, fleet) = (Redis::start(&[]).unwrap(), Fleet::start());
    let at = json!({ "host": "127.0.0.1", "port": redis.port() });
    for (path, config) in [
        ("exchanged", json!({ "policy": "redis", "redis": at, "sync_rate": 0.1, "day": 1000 })),
        ("each", json!({ "policy": "redis", "redis": at, "day": 1000 })),
        ("cluster", json!({ "policy": "cluster", "day": 1000 })),
    ] {
        fleet.limit(path, config);
        // Four were let pass to see whether the limit is there.
        let passed = fleet.ask(path, 300) + 4;
        assert!((990..=1010).contains(&passed), "{path}: {passed} of 2400, at a limit of 1000");
    }
    let keys = redis.command("DBSIZE").unwrap();
    assert_eq!(keys, ":2", "one counter for each route");
}

#[test]
fn requests_go_on_without_redis_if_the_configuration_says_so() {
    let mut redis = Redis::start(&[]).unwrap();
    let gateway = Gateway::start(&[]).unwrap();
    let (client, proxy) = (gateway.client(), gateway.listeners().proxy.parse().unwrap());
    let at = json!({ "host": "127.0.0.1", "port": redis.port(), "timeout": 1000 });
    let kinds = [("tolerant", true, -1.0), ("strict", false, -1.0), ("synced", false, 0.05)];
    for (path, fault_tolerant, sync_rate) in kinds {
        let config = json!({
            "policy": "redis", "redis": at, "fault_tolerant": fault_tolerant, "sync_rate": sync_rate, "day": 5000,
        });
        limit(&client, path, config);
    }
    let mut connection = Connection::open(proxy);
    for (path, ..) in kinds {
        for left in ["4999", "4998"] {
            assert_eq!(connection.get(path), (200, Some(left.to_owned())), "{path}");
        }
    }
    // Killed while requests come, on a connection that goes on.
    let running = thread::spawn(move || {
        let mut connection = Connection::open(proxy);
        (0..3000).map(|_| connection.get("tolerant").0).filter(|status| *status == 200).count()
    });
    redis.stop();
    assert_eq!(running.join().unwrap(), 3000, "not one is refused");
    let until = |path: &str, wanted: (u16, bool)| {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut connection = Connection::open(proxy);
        loop {
            let (status, remaining) = connection.get(path);
            if (status, remaining.is_some()) == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{path}: {status} {remaining:?}, not {wanted:?}");
            thread::sleep(Duration::from_millis(10));
        }
    };
    until("tolerant", (200, false));
    until("strict", (500, false));
    until("synced", (500, false));
    redis.resume().unwrap();
    for (path, ..) in kinds {
        until(path, (200, true));
    }
}

#[test]
fn redis_is_reached_by_tls_as_a_user_and_in_a_database() {
    let pem = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/pem");
    let file = |name: &str| pem.join(name).display().to_string();
    let redis = Redis::start(&[
        "--tls-port",
        "{port}",
        "--tls-cert-file",
        &file("backend.crt"),
        "--tls-key-file",
        &file("backend.key"),
        "--tls-ca-cert-file",
        &file("ca.crt"),
        "--tls-auth-clients",
        "no",
        "--user",
        "default",
        "off",
        "--user",
        "weir",
        "on",
        ">secret",
        "~ratelimit:*",
        "+eval",
        "+incrby",
        "+expire",
        "+select",
    ])
    .unwrap();
    let gateway = Gateway::start(&[]).unwrap();
    let (client, proxy) = (gateway.client(), gateway.listeners().proxy.parse().unwrap());
    let at = |verify: bool, password: &str| {
        json!({
            "host": "127.0.0.1", "port": redis.port(), "ssl": true, "ssl_verify": verify, "server_name": "tls1",
            "username": "weir", "password": password, "database": 3,
        })
    };
    for (path, at, status) in [
        ("known", at(false, "secret"), 200),
        ("unknown", at(false, "wrong"), 500),
        ("untrusted", at(true, "secret"), 500),
    ] {
        let config = json!({ "policy": "redis", "redis": at, "fault_tolerant": false, "day": 10 });
        limit(&client, path, config);
        let mut connection = Connection::open(proxy);
        assert_eq!(connection.get(path).0, status, "{path}");
    }
    let mut connection = Connection::open(proxy);
    assert_eq!(connection.get("known"), (200, Some("8".to_owned())));
}
