//! The drill: real targets are killed, hung, broken, removed and added under constant load, and no
//! client sees any of it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use end_to_end::{Client, Load, Sample, shares};
use serde_json::{Value, json};

use crate::processes::{alone, start};

/// Requests a second. A build for debugging carries less beside all other tests.
const RATE: u32 = if cfg!(debug_assertions) { 500 } else { 2_000 };

/// Between two events.
const PHASE: Duration = Duration::from_secs(5);

/// In which shares are counted.
const WINDOW: Duration = Duration::from_secs(1);

/// A target in a process of its own; dropping it kills it.
struct Target {
    name: String,
    port: u16,
    weight: u32,
    child: Child,
}

impl Target {
    fn start(number: u32, weight: u32) -> Target {
        let name = format!("target-{number}");
        let mut child = Command::new(env!("CARGO_BIN_EXE_target"))
            .arg(&name)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Target { name, port: line.trim().parse().unwrap(), weight, child }
    }

    fn entity(&self) -> Value {
        json!({ "target": format!("127.0.0.1:{}", self.port), "weight": self.weight })
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Has it answer with this status from now on.
    fn become_status(&self, status: u16) {
        use std::io::Write;
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "GET /become/{status} HTTP/1.1\r\n\r\n").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        assert_eq!(line.split(' ').nth(1), Some(status.to_string().as_str()));
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // Dead already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An upstream that finds failures by requests and by probes, and hides them from clients.
fn configure(client: &Client, targets: &[Target]) {
    let failures = json!({ "tcp_failures": 1, "timeouts": 3, "http_failures": 3 });
    let mut probed = failures.clone();
    probed["interval"] = json!(0.25);
    probed["http_statuses"] = json!([500]);
    let upstream = json!({
        "name": "drill.test",
        "retry": { "http_statuses": [500], "timeout": 0.5 },
        "healthchecks": {
            "active": {
                "timeout": 0.5,
                "healthy": { "interval": 0.25, "successes": 2 },
                "unhealthy": probed,
            },
            "passive": { "healthy": { "successes": 1 }, "unhealthy": failures },
        },
    });
    let post = |path: &str, json: Value| {
        client.write(&json!({ "method": "POST", "path": path, "json": json })).unwrap();
    };
    post("/upstreams", upstream);
    for target in targets {
        post("/upstreams/drill.test/targets", target.entity());
    }
    post("/services", json!({ "name": "drill", "host": "drill.test", "connect_timeout": 500 }));
    post("/services/drill/routes", json!({ "paths": ["/"] }));
}

/// Something that happened, and who shares the requests by weight afterwards.
struct Event {
    name: &'static str,
    at: Instant,
    weights: BTreeMap<String, u32>,
}

impl Event {
    fn new<'a>(name: &'static str, serving: impl IntoIterator<Item = &'a Target>) -> Event {
        let weights = serving.into_iter().map(|target| (target.name.clone(), target.weight));
        Event { name, at: Instant::now(), weights: weights.collect() }
    }

    /// How long it took until a window began in which every share is right.
    fn settled_after(&self, samples: &[Sample]) -> Option<Duration> {
        let steps = (PHASE - WINDOW).as_millis() / 50;
        (0..=steps as u32).map(|step| Duration::from_millis(50) * step).find(|after| {
            let window = self.at + *after..self.at + *after + WINDOW;
            let counts = shares(samples.iter().filter(|sample| window.contains(&sample.at)));
            let all: usize = counts.values().sum();
            let weight: u32 = self.weights.values().sum();
            let is_right = |(name, weight_of): (&String, &u32)| {
                let expected = all as f64 * f64::from(*weight_of) / f64::from(weight);
                let count = counts.get(name.as_str()).copied().unwrap_or_default() as f64;
                (count - expected).abs() <= 2.0 + expected * 0.03
            };
            all > 0
                && counts.keys().all(|name| self.weights.contains_key(*name))
                && self.weights.iter().all(is_right)
        })
    }
}

fn percentile(samples: &[Sample], of: impl Fn(&Sample) -> bool, part: f64) -> Duration {
    let chosen = samples.iter().filter(|sample| of(sample));
    let mut times: Vec<Duration> = chosen.map(|sample| sample.took).collect();
    times.sort_unstable();
    let at = (times.len() as f64 * part) as usize;
    times.get(at.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

#[test]
fn no_client_sees_what_befalls_the_targets() {
    let dir = tempfile::tempdir().unwrap();
    let (_program, client) = start(&alone(dir.path()));
    let proxy = client.proxy_address().parse().unwrap();
    let mut targets: Vec<Target> =
        (1..=6).map(|number| Target::start(number, 100 + number % 2 * 100)).collect();
    configure(&client, &targets);
    client.proxy_until(&json!({ "path": "/" }), 200).unwrap();

    let get = "GET / HTTP/1.1\r\nHost: drill\r\n\r\n".to_owned();
    let put = "PUT / HTTP/1.1\r\nHost: drill\r\nContent-Length: 4\r\n\r\nbody".to_owned();
    let load = Load::start(proxy, RATE, vec![get.clone(), get, put]).unwrap();
    thread::sleep(PHASE);
    let mut events = vec![Event::new("all is well", &targets)];
    thread::sleep(PHASE);

    targets[0].signal("KILL");
    events.push(Event::new("one is killed", &targets[1..]));
    thread::sleep(PHASE);

    targets[1].signal("STOP");
    events.push(Event::new("one hangs", &targets[2..]));
    thread::sleep(PHASE);

    targets[2].become_status(500);
    events.push(Event::new("one answers 500", &targets[3..]));
    thread::sleep(PHASE);

    let removed = format!("/upstreams/drill.test/targets/127.0.0.1:{}", targets[3].port);
    client.write(&json!({ "method": "DELETE", "path": removed })).unwrap();
    events.push(Event::new("one is removed", &targets[4..]));
    thread::sleep(PHASE);

    targets.push(Target::start(7, 200));
    let entity = targets[6].entity();
    let path = "/upstreams/drill.test/targets";
    client.write(&json!({ "method": "POST", "path": path, "json": entity })).unwrap();
    events.push(Event::new("one is added", &targets[4..]));
    thread::sleep(PHASE);

    let samples = load.stop().unwrap();
    let failed: Vec<&Sample> = samples.iter().filter(|sample| sample.answer.is_err()).collect();
    assert!(failed.is_empty(), "{} of {}: {:?}", failed.len(), samples.len(), failed.first());
    let drill = events[1].at;
    eprintln!(
        "{} requests, {RATE}/s: p99 {:?} before, {:?} during; p50 {:?}, {:?}",
        samples.len(),
        percentile(&samples, |sample| sample.at < drill, 0.99),
        percentile(&samples, |sample| sample.at >= drill, 0.99),
        percentile(&samples, |sample| sample.at < drill, 0.5),
        percentile(&samples, |sample| sample.at >= drill, 0.5),
    );
    for event in &events {
        let after = event.settled_after(&samples);
        eprintln!("{}: shares are right after {after:?}", event.name);
        assert!(after.is_some(), "{}: the shares do not become right", event.name);
    }
}
