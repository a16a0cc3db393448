//! What matching and changing cost, by the number of routes, next to Kong's own engine.
//!
//! `cargo run --release -p router --example router_bench`; absolute numbers are of the machine,
//! compare the columns.

#![expect(clippy::print_stdout, reason = "it prints a table")]

use std::hint::black_box;
use std::ops::Range;
use std::time::{Duration, Instant};

use atc_router::ast::{Type, Value};
use atc_router::context::Context;
use atc_router::router::Router;
use atc_router::schema::Schema;
use model::Route;
use router::{Request, Rules, Scheme, Table};
use serde_json::json;
use uuid::Uuid;

const SIZES: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];
/// How long each number is measured.
const SPAN: Duration = Duration::from_millis(300);
/// Kong's engine tries routes one after another; beyond this it takes too long to show.
const MOST_FOR_KONG: usize = 10_000;

fn main() {
    println!(
        "{:<12} {:>8} {:>10} {:>12} {:>12} {:>10} {:>12}",
        "routes by", "number", "ns/match", "Kong ns", "us/change", "ms/build", "bytes/route"
    );
    for shape in [Shape::HostAndPath, Shape::Path, Shape::Regex, Shape::Header] {
        for size in SIZES {
            measure(shape, size);
        }
    }
}

/// What the routes have.
#[derive(Clone, Copy)]
enum Shape {
    /// Ten prefixes for each host.
    HostAndPath,
    /// Prefixes only.
    Path,
    /// Regular expressions of paths with a literal beginning.
    Regex,
    /// The same host and path for all, and a header.
    Header,
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Shape::HostAndPath => "host, path",
            Shape::Path => "path",
            Shape::Regex => "regex",
            Shape::Header => "header",
        }
    }

    fn route(self, number: usize) -> (Route, String) {
        let (host, path) = self.target(number);
        let mut entity = json!({
            "id": Uuid::from_u128(u128::try_from(number).unwrap_or_default() + 1),
            "protocols": ["http", "https"], "https_redirect_status_code": 426,
            "strip_path": true, "preserve_host": false,
            "request_buffering": true, "response_buffering": true,
        });
        let expression = match self {
            Shape::HostAndPath => {
                entity["hosts"] = json!([host]);
                entity["paths"] = json!([path]);
                format!(r##"(http.host == r#"{host}"#) && (http.path ^= r#"{path}"#)"##)
            }
            Shape::Path => {
                entity["paths"] = json!([path]);
                format!(r##"(http.path ^= r#"{path}"#)"##)
            }
            Shape::Regex => {
                entity["paths"] = json!([format!(r"~{path}/(\d+)/[a-z]+$")]);
                format!(r##"(http.path ~ r#"^{path}/(\d+)/[a-z]+$"#)"##)
            }
            Shape::Header => {
                entity["hosts"] = json!(["all.example.com"]);
                entity["headers"] = json!({"x-tenant": [format!("tenant{number}")]});
                format!(
                    r##"(http.host == r#"all.example.com"#) && (any(lower(http.headers.x_tenant)) == r#"tenant{number}"#)"##
                )
            }
        };
        let route = serde_json::from_value(entity).expect("a route");
        (route, expression)
    }

    /// A host and a path that the route of this number matches.
    fn target(self, number: usize) -> (String, String) {
        match self {
            Shape::HostAndPath => (
                format!("host{}.example.com", number / 10),
                format!("/api/v{}/resource{}", number % 3, number % 10),
            ),
            Shape::Path | Shape::Regex => {
                ("any.example.com".to_owned(), format!("/team{}/service{number}", number % 97))
            }
            Shape::Header => ("all.example.com".to_owned(), "/".to_owned()),
        }
    }
}

/// A request of each route, one behind the other in memory: where a request lies is not measured.
struct Samples {
    text: String,
    list: Vec<Sample>,
}

struct Sample {
    host: Range<usize>,
    path: Range<usize>,
    tenant: Option<Range<usize>>,
}

impl Samples {
    fn new(shape: Shape, size: usize) -> Samples {
        let mut text = String::new();
        let mut put = |part: &str| {
            let start = text.len();
            text.push_str(part);
            start..text.len()
        };
        let list = order(size)
            .map(|number| {
                let (host, path) = shape.target(number);
                let tenant = format!("tenant{number}");
                Sample {
                    host: put(&host),
                    path: put(&format!("{path}/42/items")),
                    tenant: matches!(shape, Shape::Header).then(|| put(&tenant)),
                }
            })
            .collect();
        Samples { text, list }
    }

    fn find(&self, sample: &Sample, table: &Table<usize>) -> bool {
        let tenant = sample.tenant.clone().map_or("", |range| &self.text[range]);
        let headers = [("user-agent", "bench/1"), ("accept", "*/*"), ("x-tenant", tenant)];
        let request = Request {
            scheme: Scheme::Http,
            method: "GET",
            host: &self.text[sample.host.clone()],
            port: None,
            path: self.text[sample.path.clone()].as_bytes(),
            query: None,
            headers: &&headers[..],
            sni: None,
            source: None,
            destination: None,
        };
        table.find(&request).is_some()
    }

    fn find_in_kong(&self, sample: &Sample, router: &Router<'_>, schema: &Schema) -> bool {
        let mut context = Context::new(schema);
        let mut add = |field: &str, range: &Range<usize>| {
            context.add_value(field, Value::String(self.text[range.clone()].to_owned()));
        };
        add("http.host", &sample.host);
        add("http.path", &sample.path);
        if let Some(tenant) = &sample.tenant {
            add("http.headers.x_tenant", tenant);
        }
        router.execute(&mut context)
    }
}

fn measure(shape: Shape, size: usize) {
    let samples = Samples::new(shape, size);
    let routes: Vec<_> = (0..size).map(|number| shape.route(number).0).collect();

    let before = resident_bytes();
    let start = Instant::now();
    let mut table = Table::new(Rules::default());
    for (number, route) in routes.iter().enumerate() {
        table.insert(route, number).expect("the route compiles");
    }
    let build = start.elapsed();
    let memory = resident_bytes().saturating_sub(before) / size;

    let matching = per_call(&samples.list, |sample| assert!(samples.find(sample, &table)));
    let mut current = table;
    let changing = per_call(&routes, |route| {
        // As a data plane does: the table in use stays as it is.
        let mut next = current.clone();
        next.remove(route.id);
        next.insert(route, 0).expect("the route compiles");
        current = next;
    });
    let kong = (size <= MOST_FOR_KONG).then(|| kong(shape, size, &samples));
    println!(
        "{:<12} {:>8} {:>10.0} {:>12} {:>12.1} {:>10.1} {:>12}",
        shape.name(),
        size,
        matching.as_secs_f64() * 1e9,
        kong.map_or("-".to_owned(), |kong| format!("{:.0}", kong.as_secs_f64() * 1e9)),
        changing.as_secs_f64() * 1e6,
        build.as_secs_f64() * 1e3,
        memory,
    );
}

fn kong(shape: Shape, size: usize, samples: &Samples) -> Duration {
    let mut schema = Schema::default();
    for field in ["http.host", "http.path", "http.headers.*"] {
        schema.add_field(field, Type::String);
    }
    let mut router = Router::new(&schema);
    for number in 0..size {
        let (route, expression) = shape.route(number);
        router.add_matcher(0, route.id, &expression).expect("the expression parses");
    }
    per_call(&samples.list, |sample| assert!(samples.find_in_kong(sample, &router, &schema)))
}

/// The mean time of a call, over the items in turn.
fn per_call<T>(items: &[T], mut call: impl FnMut(&T)) -> Duration {
    let (start, busy) = (Instant::now(), busy_time());
    let mut calls = 0_u32;
    loop {
        for item in items {
            call(black_box(item));
            calls += 1;
            if calls.is_multiple_of(64) && start.elapsed() > SPAN {
                let passed = busy_time().zip(busy).map(|(now, then)| now - then);
                return passed.unwrap_or_else(|| start.elapsed()) / calls;
            }
        }
    }
}

/// How long this process was on a processor, which other processes do not disturb; `None` where
/// that cannot be read.
fn busy_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}

/// All numbers below `size`, shuffled by a fixed step, so that caches do not help.
fn order(size: usize) -> impl Iterator<Item = usize> {
    (0..size).map(move |n| n.wrapping_mul(7_368_787) % size)
}

/// What the process holds in memory; 0 where that cannot be read.
fn resident_bytes() -> usize {
    const PAGE: usize = 4096;
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    pages
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<usize>().ok())
        .map_or(0, |pages| pages * PAGE)
}
