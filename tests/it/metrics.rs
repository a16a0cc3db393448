//! What Prometheus and Grafana make of `/metrics`.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use end_to_end::{Backend, Client, Program, Prometheus, address, promtool};
use regex::Regex;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A gateway that counts all that it can, and has been asked.
struct Counted {
    status: SocketAddr,
    admin: SocketAddr,
    _program: Program,
    _backend: std::sync::Arc<Backend>,
    _dir: TempDir,
}

impl Counted {
    fn start() -> Counted {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().display().to_string();
        let any = "127.0.0.1:0";
        let listeners = ["--proxy-listen", any, "--admin-listen", any, "--status-listen", any]
            .map(String::from);
        let arguments = ["start", "--data-dir", &data_dir].map(String::from);
        let mut program =
            Program::start("weir", &[&arguments[..], &listeners[..]].concat()).unwrap();
        let entry = program.wait_for("the gateway runs").unwrap();
        let at = |field| address(&entry, field).unwrap();
        let (status, admin) = (at("status"), at("admin"));
        let client = Client::new(admin, at("proxy"));
        let backend = Backend::start("one", None).unwrap();
        let post = |path: &str, body: Value| {
            client.write(&json!({ "method": "POST", "path": path, "json": body })).unwrap();
        };
        post("/upstreams", json!({ "name": "pool" }));
        let target = format!("127.0.0.1:{}", backend.port());
        post("/upstreams/pool/targets", json!({ "target": target }));
        post("/services", json!({ "name": "users", "host": "pool" }));
        let service = json!({ "name": "users" });
        post("/routes", json!({ "name": "one", "paths": ["/one"], "service": service }));
        let config = json!({
            "status_code_metrics": true, "latency_metrics": true, "bandwidth_metrics": true,
            "upstream_health_metrics": true, "per_consumer": true,
        });
        post("/plugins", json!({ "name": "prometheus", "config": config }));
        for _ in 0..3 {
            client.proxy_until(&json!({ "path": "/one" }), 200).unwrap();
        }
        Counted { status, admin, _program: program, _backend: backend, _dir: dir }
    }

    fn text(&self, listener: SocketAddr) -> String {
        let mut stream = TcpStream::connect(listener).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.to_ascii_lowercase().contains("content-type: text/plain"), "{head}");
        body.to_owned()
    }
}

#[test]
fn a_prometheus_server_scrapes_what_was_counted() {
    let gateway = Counted::start();
    for listener in [gateway.status, gateway.admin] {
        let text = gateway.text(listener);
        promtool(&text).unwrap();
        assert!(text.contains("kong_http_requests_total{service=\"users\""));
    }
    let prometheus = Prometheus::scraping(gateway.status).unwrap();
    let value = |query: &str| -> f64 {
        let samples = prometheus.query(query).unwrap();
        samples[0]["value"][1].as_str().unwrap().parse().unwrap()
    };
    assert_eq!(value("up == 1"), 1.0);
    assert_eq!(
        value("kong_http_requests_total{code=\"200\",route=\"one\",source=\"service\"}"),
        3.0
    );
    assert_eq!(value("kong_request_latency_ms_count{service=\"users\"}"), 3.0);
    assert!(value("kong_bandwidth_bytes{direction=\"egress\"}") > 300.0);
    let health = "kong_upstream_target_health{upstream=\"pool\",state=\"healthchecks_off\"}";
    assert_eq!(value(health), 1.0);
}

#[test]
fn the_dashboard_asks_for_metrics_that_exist() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/grafana/weir.json");
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let mut queries = Vec::new();
    collect("expr", &dashboard, &mut queries);
    collect("query", &dashboard, &mut queries);
    let names = Regex::new(r"\b(?:kong|weir|process)_[a-z0-9_]+").unwrap();
    let asked: BTreeSet<&str> =
        queries.iter().flat_map(|query| names.find_iter(query)).map(|name| name.as_str()).collect();
    assert!(asked.len() > 10, "{asked:?}");
    let gateway = Counted::start();
    let text = gateway.text(gateway.status);
    let exposed: BTreeSet<&str> =
        text.lines().filter_map(|line| line.split(['{', ' ']).next()).collect();
    let missing: Vec<_> = asked.difference(&exposed).collect();
    assert!(missing.is_empty(), "{missing:?} is not among the metrics");
}

/// The texts under this key, anywhere.
fn collect<'v>(key: &str, value: &'v Value, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member.as_str() {
                    Some(text) if name == key => found.push(text),
                    _ => collect(key, member, found),
                }
            }
        }
        Value::Array(elements) => elements.iter().for_each(|each| collect(key, each, found)),
        _ => {}
    }
}
