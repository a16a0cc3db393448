//! Replays recorded scenarios (`tests/conformance`, format in its README) against a running
//! gateway and says where an answer differs from what a real Kong gave.
//!
//! The runner is a client like any other: blocking sockets, bytes sent as they are written in the
//! scenario, nothing shared with the gateway's own code.

mod compare;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow, bail};
use regex::{Captures, Regex};
use serde_json::{Map, Value, json};

use crate::backend::Backend;
use crate::exchange::{self, Answer, Base, Request};
use crate::sinks::Sinks;
use compare::compare;

/// Collections that are emptied before each scenario, children before their parents.
const COLLECTIONS: [&str; 11] = [
    "plugins",
    "routes",
    "services",
    "consumers",
    "upstreams",
    "snis",
    "certificates",
    "ca_certificates",
    "keys",
    "key-sets",
    "vaults",
];

/// Where the gateway under test listens.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// `host:port` of the Admin API.
    pub admin: String,
    /// `host:port` of the plain proxy listener.
    pub proxy: String,
    /// `host:port` of the TLS proxy listener.
    pub tls: String,
    /// How long a write may take to reach the proxy when nothing says that it has.
    pub settle: Duration,
}

/// Plays scenarios one after the other, with its own backends and log receivers.
#[derive(Debug)]
pub struct Runner {
    gateway: Gateway,
    backends: BTreeMap<String, Arc<Backend>>,
    sinks: Sinks,
    pem: Map<String, Value>,
    folder: PathBuf,
    dirty: bool,
    variable: Regex,
    number: Regex,
}

type Variables = Map<String, Value>;

impl Runner {
    /// A runner for `gateway`, with test certificates from `folder/pem`.
    pub fn new(gateway: Gateway, folder: &Path) -> Result<Runner> {
        let pem_folder = folder.join("pem");
        let mut pem = Map::new();
        for entry in std::fs::read_dir(&pem_folder).context("the test certificates")? {
            let path = entry?.path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            let text = std::fs::read_to_string(&path)?;
            pem.insert(format!("pem_{}", name.replace('.', "_")), json!(text));
        }
        let mut backends = BTreeMap::new();
        for number in 1..=4 {
            let name = format!("echo{number}");
            backends.insert(name.clone(), Backend::start(&name, None)?);
        }
        backends.insert("tls1".into(), Backend::start("tls1", Some(&pem_folder))?);
        Ok(Runner {
            gateway,
            backends,
            sinks: Sinks::start()?,
            pem,
            folder: pem_folder,
            dirty: false,
            variable: Regex::new(r"\{\{([\w.]+)\}\}")?,
            number: Regex::new(r"^\{\{([\w.]+):int\}\}$")?,
        })
    }

    /// Plays one scenario; an empty list means that every answer was as recorded.
    pub fn play(&mut self, file: &Path) -> Vec<String> {
        match self.try_play(file) {
            Ok(problems) => problems,
            Err(error) => vec![format!("{error:#}")],
        }
    }

    /// Plays steps of the same form against a gateway as it is.
    pub fn play_steps(&mut self, document: &Value) -> Vec<String> {
        self.sinks.reset();
        self.try_steps(document).unwrap_or_else(|error| vec![format!("{error:#}")])
    }

    fn try_play(&mut self, file: &Path) -> Result<Vec<String>> {
        let document: Value = serde_json::from_str(&std::fs::read_to_string(file)?)?;
        self.reset()?;
        self.try_steps(&document)
    }

    fn try_steps(&mut self, document: &Value) -> Result<Vec<String>> {
        let mut variables = self.variables(document);
        let steps = document["steps"].as_array().ok_or_else(|| anyhow!("no steps"))?;
        for (number, step) in steps.iter().enumerate() {
            let place = format!("step {}", number + 1);
            let problems =
                self.step(step, &mut variables, &place).with_context(|| place.clone())?;
            if !problems.is_empty() {
                return Ok(problems);
            }
        }
        Ok(Vec::new())
    }

    fn variables(&self, document: &Value) -> Variables {
        let mut all = self.pem.clone();
        for (name, backend) in &self.backends {
            all.insert(name.clone(), json!(format!("127.0.0.1:{}", backend.port())));
            all.insert(format!("{name}_port"), json!(backend.port()));
        }
        for (name, port) in self.sinks.ports() {
            all.insert(format!("{name}_sink"), json!(format!("127.0.0.1:{port}")));
            all.insert(format!("{name}_sink_port"), json!(port));
        }
        all.insert("file_sink".into(), json!(self.sinks.file()));
        all.insert("unique".into(), json!(uuid::Uuid::new_v4().simple().to_string()));
        for (name, address) in [("proxy", &self.gateway.proxy), ("tls", &self.gateway.tls)] {
            let port = address.rsplit(':').next().and_then(|p| p.parse::<u16>().ok());
            all.insert(format!("{name}_port"), json!(port));
        }
        if let Some(own) = document["variables"].as_object() {
            all.extend(own.clone());
        }
        all
    }

    /// The gateway starts each scenario empty, the backends obedient.
    fn reset(&mut self) -> Result<()> {
        for backend in self.backends.values() {
            backend.set_mode("ok")?;
            backend.forget();
        }
        self.sinks.reset();
        for collection in COLLECTIONS {
            for _ in 0..50 {
                let page = self.admin("GET", &format!("/{collection}?size=1000"))?;
                let Ok(page) = serde_json::from_slice::<Value>(&page.body) else { break };
                for item in page["data"].as_array().into_iter().flatten() {
                    let id = item["id"].as_str().unwrap_or_default();
                    self.admin("DELETE", &format!("/{collection}/{id}"))?;
                }
                if page["next"].is_null() {
                    break;
                }
            }
        }
        self.dirty = true;
        Ok(())
    }

    fn admin(&self, method: &str, path: &str) -> Result<Answer> {
        exchange::exchange(&Base::plain(&self.gateway.admin), &Request::new(method, path))
    }

    // ------------------------------------------------------------------ steps

    fn step(
        &mut self,
        step: &Value,
        variables: &mut Variables,
        place: &str,
    ) -> Result<Vec<String>> {
        if let Some(seconds) = step["sleep"].as_f64() {
            std::thread::sleep(Duration::from_secs_f64(seconds));
            return Ok(Vec::new());
        }
        if let Some(modes) = step["backend"].as_object() {
            for (name, mode) in modes {
                self.backend(name)?.set_mode(mode.as_str().unwrap_or("ok"))?;
            }
            return Ok(Vec::new());
        }
        if let Some(wanted) = step["hits"].as_object() {
            return self.hits(wanted, place);
        }
        if let Some(name) = step["seen"].as_str() {
            let seen = json!({"upstream": self.backend(name)?.last()});
            return Ok(compare(&self.fill(&step["expect"], variables), &seen, place));
        }
        if step.get("raw").is_some() {
            return self.raw(step, variables, place);
        }
        if let Some(room) = step["room"].as_array() {
            wait_for_room(room);
            return Ok(Vec::new());
        }
        if let Some(name) = step["sink"].as_str() {
            let count = step["count"].as_u64().unwrap_or(1) as usize;
            let patience = Duration::from_secs_f64(step["within_s"].as_f64().unwrap_or(5.0));
            let seen = json!({"records": self.sinks.take(name, count, patience)});
            return Ok(compare(&self.fill(&step["expect"], variables), &seen, place));
        }
        self.call(step, variables, place)
    }

    fn call(
        &mut self,
        step: &Value,
        variables: &mut Variables,
        place: &str,
    ) -> Result<Vec<String>> {
        let kind = if step.get("admin").is_some() { "admin" } else { "proxy" };
        if kind == "proxy" {
            self.settle();
        }
        if step.get("repeat").is_some() {
            return self.repeat(step, variables, place);
        }
        let method = step[kind]["method"].as_str().unwrap_or("GET");
        if kind == "admin" && !matches!(method, "GET" | "HEAD" | "OPTIONS") {
            self.dirty = true;
        }
        let mut known = variables.clone();
        known.insert("i".into(), json!(0));
        let request = self.fill(&step[kind], &known);
        let patience = Duration::from_secs_f64(step["within_s"].as_f64().unwrap_or(0.0));
        let deadline = Instant::now() + patience;
        loop {
            let seen = match self.send(kind, &request) {
                Ok(answer) => describe(kind, &answer),
                Err(error) => {
                    json!({"status": 0, "headers": {}, "text": format!("no answer: {error:#}")})
                }
            };
            if let Some(wanted) = step["save"].as_object() {
                save(wanted, &seen, variables)?;
            }
            let expected = step.get("expect").cloned().unwrap_or_else(|| json!({}));
            let problems = compare(&self.fill(&expected, variables), &seen, place);
            if problems.is_empty() || Instant::now() >= deadline {
                return Ok(problems);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends the same request many times and compares how the answers were spread.
    fn repeat(&self, step: &Value, variables: &Variables, place: &str) -> Result<Vec<String>> {
        let times = step["repeat"].as_u64().unwrap_or(1);
        let at_once = step["at_once"].as_u64().unwrap_or(1).max(1);
        let next = std::sync::atomic::AtomicU64::new(0);
        let counts = std::sync::Mutex::new(BTreeMap::<String, i64>::new());
        std::thread::scope(|scope| {
            for _ in 0..at_once {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= times {
                            return;
                        }
                        let mut known = variables.clone();
                        known.insert("i".into(), json!(number));
                        let key = match self.send("proxy", &self.fill(&step["proxy"], &known)) {
                            Ok(answer) => answered_by(&describe("proxy", &answer)),
                            Err(_) => "0".to_owned(),
                        };
                        if let Ok(mut counts) = counts.lock() {
                            *counts.entry(key).or_default() += 1;
                        }
                    }
                });
            }
        });
        let counts = counts.into_inner().map_err(|_| anyhow!("a sender panicked"))?;
        let slack = step["slack"].as_i64().unwrap_or(0);
        if let Some(wanted) = step["spread"].as_array() {
            let mut got: Vec<i64> = counts.values().copied().collect();
            got.sort_by_key(|n| -n);
            let near = |(g, w): (&i64, &Value)| (g - w.as_i64().unwrap_or(0)).abs() <= slack;
            let same = got.len() == wanted.len() && got.iter().zip(wanted).all(near);
            let problem = format!(
                "{place}: the answers were spread {counts:?}, expected {wanted:?} ± {slack}"
            );
            return Ok(if same { Vec::new() } else { vec![problem] });
        }
        let wanted = step["counts"].as_object().ok_or_else(|| anyhow!("repeat without counts"))?;
        let mut problems = Vec::new();
        for key in counts.keys().chain(wanted.keys()).collect::<std::collections::BTreeSet<_>>() {
            let got = counts.get(key).copied().unwrap_or(0);
            let want = wanted.get(key).and_then(Value::as_i64).unwrap_or(0);
            if (got - want).abs() > slack {
                problems.push(format!(
                    "{place}: {key} answered {got} of {times}, expected {want} ± {slack}"
                ));
            }
        }
        Ok(problems)
    }

    fn hits(&self, wanted: &Map<String, Value>, place: &str) -> Result<Vec<String>> {
        let mut problems = Vec::new();
        for (name, want) in wanted {
            let got = self.backend(name)?.hits.load(Ordering::SeqCst) as i64;
            let (low, high) = match want.as_array() {
                Some(range) => (range[0].as_i64(), range[1].as_i64()),
                None => (want.as_i64(), want.as_i64()),
            };
            if Some(got) < low || Some(got) > high {
                problems.push(format!("{place}: {name} got {got} requests, expected {want}"));
            }
        }
        for backend in self.backends.values() {
            backend.hits.store(0, Ordering::SeqCst);
        }
        Ok(problems)
    }

    fn raw(&mut self, step: &Value, variables: &Variables, place: &str) -> Result<Vec<String>> {
        let raw = self.fill(&step["raw"], variables);
        self.settle();
        let base = if raw["tls"] == true {
            Base::tls(&self.gateway.tls, raw["sni"].as_str(), None)
        } else {
            Base::plain(&self.gateway.proxy)
        };
        let base = base.from(raw["from"].as_str());
        let parts: Vec<&str> =
            raw["send"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let wait = Duration::from_secs_f64(raw["wait"].as_f64().unwrap_or(1.0));
        let seen = exchange::raw_exchange(&base, &parts, wait)?;
        let expected = self.fill(step.get("expect").unwrap_or(&json!({})), variables);
        let answers: Vec<Value> = seen.answers.iter().map(|a| describe("proxy", a)).collect();
        let mut problems = Vec::new();
        if let Some(wanted) = expected["answers"].as_array() {
            if wanted.len() != answers.len() {
                let got: Vec<&Value> = answers.iter().map(|a| &a["status"]).collect();
                return Ok(vec![format!(
                    "{place}: expected {} answers, got {got:?}",
                    wanted.len()
                )]);
            }
            for (number, (want, got)) in wanted.iter().zip(&answers).enumerate() {
                problems.extend(compare(want, got, &format!("{place} answer {}", number + 1)));
            }
        }
        let mut ends = Map::new();
        for key in ["rest", "closed"] {
            if let Some(want) = expected.get(key) {
                ends.insert(key.into(), want.clone());
            }
        }
        let end = json!({"rest": exchange::latin1(&seen.rest), "closed": seen.closed});
        problems.extend(compare(&Value::Object(ends), &end, place));
        Ok(problems)
    }

    // ------------------------------------------------------------------ small things

    fn settle(&mut self) {
        if std::mem::take(&mut self.dirty) {
            std::thread::sleep(self.gateway.settle);
        }
    }

    fn backend(&self, name: &str) -> Result<&Arc<Backend>> {
        self.backends.get(name).ok_or_else(|| anyhow!("no backend named {name}"))
    }

    fn send(&self, kind: &str, request: &Value) -> Result<Answer> {
        let base = if kind == "admin" {
            Base::plain(&self.gateway.admin)
        } else if request["tls"] == true {
            let identity = request["client"].as_str().map(|name| self.folder.join(name));
            Base::tls(&self.gateway.tls, request["sni"].as_str(), identity)
        } else {
            Base::plain(&self.gateway.proxy)
        };
        exchange::exchange(&base.from(request["from"].as_str()), &Request::from_scenario(request)?)
    }

    /// Replaces `{{name}}` by its value everywhere in `value`.
    fn fill(&self, value: &Value, variables: &Variables) -> Value {
        match value {
            Value::String(text) => {
                if let Some(found) = self.number.captures(text) {
                    return match variables.get(&found[1]) {
                        Some(Value::String(digits)) => json!(digits.parse::<i64>().ok()),
                        Some(other) => other.clone(),
                        None => Value::Null,
                    };
                }
                let filled =
                    self.variable.replace_all(text, |found: &Captures<'_>| {
                        match variables.get(&found[1]) {
                            Some(Value::String(text)) => text.clone(),
                            Some(other) => other.to_string(),
                            None => format!("no variable {}", &found[1]),
                        }
                    });
                Value::String(filled.into_owned())
            }
            Value::Array(items) => items.iter().map(|item| self.fill(item, variables)).collect(),
            Value::Object(fields) => {
                let mut filled = Map::new();
                for (key, value) in fields {
                    let key = self.fill(&json!(key), variables);
                    filled.insert(
                        key.as_str().unwrap_or_default().to_owned(),
                        self.fill(value, variables),
                    );
                }
                Value::Object(filled)
            }
            other => other.clone(),
        }
    }
}

/// Waits for the next window of `room[0]` seconds if fewer than `room[1]` of this one are left.
fn wait_for_room(room: &[Value]) {
    let window = room.first().and_then(Value::as_f64).unwrap_or(1.0);
    let needed = room.get(1).and_then(Value::as_f64).unwrap_or(0.0);
    #[expect(clippy::disallowed_methods, reason = "a scenario waits for the real clock's minute")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let left = window - now.as_secs_f64() % window;
    if left < needed {
        std::thread::sleep(Duration::from_secs_f64(left));
    }
}

fn answered_by(seen: &Value) -> String {
    match seen["upstream"]["backend"].as_str() {
        Some(name) => name.to_owned(),
        None => seen["status"].to_string(),
    }
}

/// An answer in the form that a scenario's `expect` has.
fn describe(kind: &str, answer: &Answer) -> Value {
    let mut headers = Map::new();
    for (name, value) in &answer.headers {
        let joined = match headers.get(name).and_then(Value::as_str) {
            Some(before) => format!("{before}, {value}"),
            None => value.clone(),
        };
        headers.insert(name.clone(), json!(joined));
    }
    let mut seen = json!({"status": answer.status, "headers": headers});
    if let Some(name) = &answer.certificate {
        seen["certificate"] = json!(name);
    }
    let text = String::from_utf8_lossy(&answer.body);
    let parsed = serde_json::from_str::<Value>(&text).unwrap_or(Value::Null);
    let reached = ["backend", "method", "path", "headers"].iter().all(|k| parsed.get(k).is_some());
    if kind == "proxy" && reached {
        seen["upstream"] = parsed;
    } else if !parsed.is_null() {
        seen["json"] = parsed;
    } else {
        seen["text"] = json!(text);
    }
    seen
}

fn save(wanted: &Map<String, Value>, seen: &Value, variables: &mut Variables) -> Result<()> {
    for (name, path) in wanted {
        let path = path.as_str().unwrap_or_default();
        let value = if let Some(header) = path.strip_prefix("@header.") {
            seen["headers"][header].clone()
        } else if let Some(cookie) = path.strip_prefix("@cookie.") {
            let pattern = Regex::new(&format!(r"(?:^|, )({}=[^;]*)", regex::escape(cookie)))?;
            let sent = seen["headers"]["set-cookie"].as_str().unwrap_or_default();
            json!(pattern.captures(sent).map(|found| found[1].to_owned()))
        } else {
            let (path, pattern) = path.split_once(" ~ ").unwrap_or((path, ""));
            let mut value =
                seen.get("json").or_else(|| seen.get("upstream")).unwrap_or(&Value::Null);
            for part in path.split('.') {
                value = match value {
                    Value::Array(items) => match part.parse::<usize>() {
                        Ok(index) => items.get(index).unwrap_or(&Value::Null),
                        Err(_) => bail!("{part} is no index (saving {name})"),
                    },
                    other => other.get(part).unwrap_or(&Value::Null),
                };
            }
            if pattern.is_empty() {
                value.clone()
            } else {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                json!(Regex::new(pattern)?.captures(&text).map(|found| found[1].to_owned()))
            }
        };
        variables.insert(name.clone(), value);
    }
    Ok(())
}
