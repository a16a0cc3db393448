//! What all instances of the plugin count into, and its text.
//!
//! Each thread counts into series of its own, which it finds without a lock; a scrape sums over
//! the threads. A series is made when its labels first occur, and stays, also when the plugin is
//! configured anew or not at all any more.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Consumer, Route, Service};
use plugin::{Node, Outcome};
use rustc_hash::FxHashMap;
use telemetry::metrics::{Kind, Text};
use uuid::Uuid;

use super::series::{Count, GATEWAY, Latencies, Summed, UPSTREAM};

/// As many label sets are kept by each thread; requests beyond are not counted but as errors.
/// Routes × consumers × statuses can be more than memory.
const MOST: usize = 20_000;

/// The metrics of a data plane's requests.
pub(super) struct Exporter {
    /// Tells the exporters of one process apart.
    id: u64,
    threads: Mutex<Vec<Arc<Published>>>,
    /// Requests that were not counted because there were too many label sets.
    errors: AtomicU64,
    /// Instances that ask for the health of targets.
    health: Arc<AtomicUsize>,
    /// Whether anything was configured yet: before, nothing is said.
    in_use: AtomicBool,
}

/// A request that has ended.
pub(super) struct Request<'a> {
    pub(super) route: &'a Route,
    pub(super) service: Option<&'a Service>,
    /// Counted apart, if it is given.
    pub(super) consumer: Option<&'a Consumer>,
    pub(super) outcome: &'a Outcome<'a>,
}

/// The series that one kind of request counts into, on one thread.
#[derive(Clone)]
pub(super) struct Entry {
    labels: Labels,
    /// Whether the route has a name.
    named: bool,
    pub(super) requests: Arc<Count>,
    pub(super) received: Arc<Count>,
    pub(super) sent: Arc<Count>,
    pub(super) latencies: Arc<Latencies>,
}

/// Keeps the health of targets among the metrics while it lives.
#[derive(Debug)]
pub(super) struct HealthTold(Arc<AtomicUsize>);

impl Drop for HealthTold {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The values of the labels `service`, `route` and `consumer`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Labels {
    service: Arc<str>,
    route: Arc<str>,
    consumer: Arc<str>,
}

/// A status, and whether it is the upstream's.
type Code = (u16, bool);

/// What a thread's series are for others to read.
#[derive(Default)]
struct Published(Mutex<Series>);

#[derive(Default)]
struct Series {
    requests: Vec<(Labels, Code, Arc<Count>)>,
    bandwidth: Vec<(Labels, Arc<Count>, Arc<Count>)>,
    latencies: Vec<(Labels, Arc<Latencies>)>,
}

/// What a thread finds its series by.
#[derive(Default)]
struct Own {
    published: Arc<Published>,
    /// The fast way: by what a request is about. Names may have changed since.
    entries: FxHashMap<About, Entry>,
    requests: HashMap<(Labels, Code), Arc<Count>>,
    bandwidth: HashMap<Labels, (Arc<Count>, Arc<Count>)>,
    latencies: HashMap<Labels, Arc<Latencies>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct About {
    route: Uuid,
    service: Option<Uuid>,
    consumer: Option<Uuid>,
    code: Code,
}

thread_local! {
    static OWN: RefCell<Vec<(u64, Own)>> = const { RefCell::new(Vec::new()) };
}

impl Exporter {
    /// The exporter of a data plane, whose metrics are among the data plane's.
    pub(super) fn of(node: &Node) -> Arc<Exporter> {
        let shared = node.common(|node| {
            let exporter = Arc::new(Exporter::new());
            let rendered = exporter.clone();
            node.metrics.collect(move |text| rendered.render(text));
            Shared(exporter)
        });
        shared.0.clone()
    }

    fn new() -> Exporter {
        static MADE: AtomicU64 = AtomicU64::new(0);
        Exporter {
            id: MADE.fetch_add(1, Relaxed),
            threads: Mutex::default(),
            errors: AtomicU64::new(0),
            health: Arc::default(),
            in_use: AtomicBool::new(false),
        }
    }

    /// From now on until the result is dropped, the health of targets is told.
    pub(super) fn tell_health(&self) -> HealthTold {
        self.health.fetch_add(1, Relaxed);
        HealthTold(self.health.clone())
    }

    pub(super) fn tells_health(&self) -> bool {
        self.health.load(Relaxed) > 0
    }

    /// Counts a request into the series of its labels.
    pub(super) fn count(&self, request: &Request<'_>, count: impl FnOnce(&Entry)) {
        OWN.with_borrow_mut(|all| {
            let own = match all.iter().position(|(id, _)| *id == self.id) {
                Some(at) => all.get_mut(at),
                None => {
                    all.push((self.id, self.join()));
                    all.last_mut()
                }
            };
            match own.and_then(|(_, own)| own.entry(request)) {
                Some(entry) => count(entry),
                None => {
                    self.errors.fetch_add(1, Relaxed);
                }
            }
        });
    }

    /// What a thread counts into that has not counted before.
    fn join(&self) -> Own {
        let own = Own::default();
        self.threads().push(own.published.clone());
        self.in_use.store(true, Relaxed);
        own
    }

    fn threads(&self) -> MutexGuard<'_, Vec<Arc<Published>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn render(&self, text: &mut Text) {
        if !self.in_use.load(Relaxed) {
            return;
        }
        let (mut requests, mut bandwidth) = (BTreeMap::new(), BTreeMap::new());
        let mut latencies: BTreeMap<Labels, [Summed; 3]> = BTreeMap::new();
        let threads = self.threads().clone();
        for thread in &threads {
            let series = thread.series();
            for (labels, code, count) in &series.requests {
                *requests.entry((labels.clone(), *code)).or_insert(0) += count.get();
            }
            for (labels, received, sent) in &series.bandwidth {
                let sums: &mut [u64; 2] = bandwidth.entry(labels.clone()).or_default();
                sums[0] += received.get();
                sums[1] += sent.get();
            }
            for (labels, counted) in &series.latencies {
                let [gateway, upstream, total] = latencies.entry(labels.clone()).or_default();
                counted.gateway.add_to(gateway);
                counted.upstream.add_to(upstream);
                counted.total.add_to(total);
            }
        }
        render_requests(&requests, text);
        render_bandwidth(&bandwidth, text);
        render_latencies(&latencies, text);
        let name = "kong_nginx_metric_errors_total";
        text.family(name, Kind::Counter, "Number of nginx-lua-prometheus errors");
        text.whole(name, &[], self.errors.load(Relaxed));
    }
}

/// Kong has one workspace outside of its Enterprise edition.
const WORKSPACE: (&str, &str) = ("workspace", "default");

fn render_requests(requests: &BTreeMap<(Labels, Code), u64>, text: &mut Text) {
    let name = "kong_http_requests_total";
    let mut counted = requests.iter().filter(|(_, count)| **count > 0).peekable();
    if counted.peek().is_some() {
        let help = "HTTP status codes per consumer/service/route in Kong";
        text.family(name, Kind::Counter, help);
    }
    for ((labels, (status, upstream)), count) in counted {
        let labels = [
            ("service", &*labels.service),
            ("route", &*labels.route),
            ("code", &status.to_string()),
            ("source", if *upstream { "service" } else { "kong" }),
            WORKSPACE,
            ("consumer", &*labels.consumer),
        ];
        text.whole(name, &labels, *count);
    }
}

fn render_bandwidth(bandwidth: &BTreeMap<Labels, [u64; 2]>, text: &mut Text) {
    let name = "kong_bandwidth_bytes";
    let mut counted = bandwidth.iter().filter(|(_, sums)| **sums != [0, 0]).peekable();
    if counted.peek().is_some() {
        let help = "Total bandwidth (ingress/egress) throughput in bytes";
        text.family(name, Kind::Counter, help);
    }
    for (labels, sums) in counted {
        for (direction, sum) in ["ingress", "egress"].into_iter().zip(sums) {
            let labels = [
                ("service", &*labels.service),
                ("route", &*labels.route),
                ("direction", direction),
                WORKSPACE,
                ("consumer", &*labels.consumer),
            ];
            text.whole(name, &labels, *sum);
        }
    }
}

fn render_latencies(latencies: &BTreeMap<Labels, [Summed; 3]>, text: &mut Text) {
    let families: [(&str, &str, &[f64]); 3] = [
        (
            "kong_kong_latency_ms",
            "Latency added by Kong and enabled plugins for each service/route in Kong",
            GATEWAY,
        ),
        (
            "kong_upstream_latency_ms",
            "Latency added by upstream response for each service/route in Kong",
            UPSTREAM,
        ),
        (
            "kong_request_latency_ms",
            "Total latency incurred during requests for each service/route in Kong",
            UPSTREAM,
        ),
    ];
    for (which, (name, help, bounds)) in families.into_iter().enumerate() {
        let of = latencies.iter().filter_map(|(labels, all)| Some((labels, all.get(which)?)));
        let mut measured = of.filter(|(_, summed)| !summed.is_empty()).peekable();
        if measured.peek().is_some() {
            text.family(name, Kind::Histogram, help);
        }
        for (labels, summed) in measured {
            let labels = [("service", &*labels.service), ("route", &*labels.route), WORKSPACE];
            text.histogram(name, &labels, bounds, &summed.counts, summed.us as f64 / 1e3);
        }
    }
}

impl Published {
    fn series(&self) -> MutexGuard<'_, Series> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Own {
    /// The series of a request; `None` when there are too many already.
    fn entry(&mut self, request: &Request<'_>) -> Option<&Entry> {
        let about = About {
            route: request.route.id,
            service: request.service.map(|service| service.id),
            consumer: request.consumer.map(|consumer| consumer.id),
            code: (request.outcome.status, request.outcome.from_upstream),
        };
        // Looked up twice when it is there, since the borrow checker does not see that a found
        // entry ends the function.
        if self.entries.get(&about).is_none_or(|entry| !entry.is_of(request)) {
            if self.entries.len() >= MOST {
                self.entries.clear();
            }
            let entry = self.make(request, about.code)?;
            self.entries.insert(about, entry);
        }
        self.entries.get(&about)
    }

    fn make(&mut self, request: &Request<'_>, code: Code) -> Option<Entry> {
        let labels = Labels {
            service: service_label(request).into(),
            route: match &request.route.name {
                Some(name) => name.as_str().into(),
                None => request.route.id.to_string().into(),
            },
            consumer: consumer_label(request).into(),
        };
        let of_route = Labels { consumer: "".into(), ..labels.clone() };
        let known = self.requests.contains_key(&(labels.clone(), code));
        if !known && self.requests.len() >= MOST {
            return None;
        }
        let mut published = self.published.series();
        let requests = self.requests.entry((labels.clone(), code)).or_insert_with(|| {
            let count = Arc::<Count>::default();
            published.requests.push((labels.clone(), code, count.clone()));
            count
        });
        let (received, sent) = self.bandwidth.entry(labels.clone()).or_insert_with(|| {
            let counts = (Arc::<Count>::default(), Arc::<Count>::default());
            published.bandwidth.push((labels.clone(), counts.0.clone(), counts.1.clone()));
            counts
        });
        let latencies = self.latencies.entry(of_route.clone()).or_insert_with(|| {
            let latencies = Arc::<Latencies>::default();
            published.latencies.push((of_route, latencies.clone()));
            latencies
        });
        Some(Entry {
            labels,
            named: request.route.name.is_some(),
            requests: requests.clone(),
            received: received.clone(),
            sent: sent.clone(),
            latencies: latencies.clone(),
        })
    }
}

impl Entry {
    /// Whether the names are still those of the request's entities.
    fn is_of(&self, request: &Request<'_>) -> bool {
        let route = match &request.route.name {
            Some(name) => self.named && *self.labels.route == **name,
            None => !self.named,
        };
        route
            && *self.labels.service == *service_label(request)
            && *self.labels.consumer == *consumer_label(request)
    }
}

/// A service is called by its name, else by its host; there may be none.
fn service_label<'a>(request: &Request<'a>) -> &'a str {
    request.service.map_or("", |service| service.name.as_deref().unwrap_or(&service.host))
}

fn consumer_label<'a>(request: &Request<'a>) -> &'a str {
    request.consumer.and_then(|consumer| consumer.username.as_deref()).unwrap_or_default()
}

/// What is kept with the data plane.
struct Shared(Arc<Exporter>);

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
