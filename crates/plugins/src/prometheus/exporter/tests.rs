use serde_json::{Value, json};

use super::*;

fn service(name: Value) -> Service {
    let body = json!({ "id": Uuid::from_u128(1), "name": name, "host": "backend.test" });
    Service::from_body(&body.to_string()).unwrap()
}

fn route(id: u128, name: Value) -> Route {
    let body = json!({ "id": Uuid::from_u128(id), "name": name, "paths": ["/"] });
    Route::from_body(&body.to_string()).unwrap()
}

fn consumer(id: u128, username: &str) -> Consumer {
    let body = json!({ "id": Uuid::from_u128(id), "username": username });
    Consumer::from_body(&body.to_string()).unwrap()
}

fn outcome(status: u16, from_upstream: bool) -> Outcome<'static> {
    let (request_bytes, response_bytes) = (0, 0);
    let (head, tries, reason) = (None, &[][..], None);
    Outcome { head, status, from_upstream, request_bytes, response_bytes, tries, reason }
}

/// Counts one request by its status.
fn one(
    exporter: &Exporter,
    service: Option<&Service>,
    route: &Route,
    consumer: Option<&Consumer>,
    outcome: &Outcome<'_>,
) {
    let request = Request { route, service, consumer, outcome };
    exporter.count(&request, |entry| entry.requests.add(1));
}

fn text(exporter: &Arc<Exporter>) -> String {
    let metrics = telemetry::metrics::Registry::new();
    let rendered = exporter.clone();
    metrics.collect(move |text| rendered.render(text));
    metrics.render()
}

#[test]
fn threads_are_summed_and_names_are_those_of_the_moment() {
    let exporter = Arc::new(Exporter::new());
    assert_eq!(text(&exporter), "", "nothing is said before anything was configured");
    let (named, nameless) = (service(json!("users")), service(Value::Null));
    let (ok, refused) = (outcome(200, true), outcome(401, false));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let ann = consumer(1, "ann");
                one(&exporter, Some(&named), &route(1, json!("a")), Some(&ann), &ok);
                one(&exporter, Some(&named), &route(1, json!("b")), None, &refused);
                one(&exporter, Some(&nameless), &route(2, Value::Null), None, &ok);
                one(&exporter, None, &route(2, Value::Null), None, &ok);
                // The same name again: the same series, whatever the route's id.
                one(&exporter, Some(&named), &route(3, json!("a")), Some(&ann), &ok);
            });
        }
    });
    let line = |labels: &str, count: u32| format!("kong_http_requests_total{{{labels}}} {count}\n");
    let id = Uuid::from_u128(2);
    let expected = [
        "# HELP kong_http_requests_total HTTP status codes per consumer/service/route in Kong\n\
         # TYPE kong_http_requests_total counter\n"
            .to_owned(),
        line(
            &format!(
                "service=\"\",route=\"{id}\",code=\"200\",source=\"service\",workspace=\"default\",consumer=\"\""
            ),
            3,
        ),
        line(
            &format!(
                "service=\"backend.test\",route=\"{id}\",code=\"200\",source=\"service\",workspace=\"default\",consumer=\"\""
            ),
            3,
        ),
        line(
            "service=\"users\",route=\"a\",code=\"200\",source=\"service\",workspace=\"default\",consumer=\"ann\"",
            6,
        ),
        line(
            "service=\"users\",route=\"b\",code=\"401\",source=\"kong\",workspace=\"default\",consumer=\"\"",
            3,
        ),
        "# HELP kong_nginx_metric_errors_total Number of nginx-lua-prometheus errors\n\
         # TYPE kong_nginx_metric_errors_total counter\n\
         kong_nginx_metric_errors_total 0\n"
            .to_owned(),
    ];
    assert_eq!(text(&exporter), expected.concat());
}

#[test]
fn label_sets_are_bounded_and_what_is_lost_is_told() {
    let exporter = Arc::new(Exporter::new());
    let (service, route, ok) = (service(json!("users")), route(1, json!("a")), outcome(200, true));
    for number in 0..MOST as u128 + 5 {
        let consumer = consumer(number, &format!("consumer-{number}"));
        one(&exporter, Some(&service), &route, Some(&consumer), &ok);
    }
    // Those that are known are counted on.
    one(&exporter, Some(&service), &route, Some(&consumer(0, "consumer-0")), &ok);
    let text = text(&exporter);
    assert!(text.contains("consumer=\"consumer-0\"} 2\n"));
    assert!(text.ends_with("\nkong_nginx_metric_errors_total 5\n"));
    assert_eq!(text.lines().filter(|line| line.starts_with("kong_http")).count(), MOST);
}

#[test]
fn latencies_and_bytes_have_kongs_labels() {
    let exporter = Arc::new(Exporter::new());
    let (service, route, ok) = (service(json!("users")), route(1, json!("a")), outcome(200, true));
    let request = Request { route: &route, service: Some(&service), consumer: None, outcome: &ok };
    exporter.count(&request, |entry| {
        entry.received.add(100);
        entry.sent.add(2000);
        entry.latencies.gateway.observe(1_500);
        entry.latencies.total.observe(31_500);
    });
    let text = text(&exporter);
    let of = "service=\"users\",route=\"a\"";
    for line in [
        format!(
            "kong_bandwidth_bytes{{{of},direction=\"ingress\",workspace=\"default\",consumer=\"\"}} 100"
        ),
        format!(
            "kong_bandwidth_bytes{{{of},direction=\"egress\",workspace=\"default\",consumer=\"\"}} 2000"
        ),
        format!("kong_kong_latency_ms_bucket{{{of},workspace=\"default\",le=\"1\"}} 0"),
        format!("kong_kong_latency_ms_bucket{{{of},workspace=\"default\",le=\"2\"}} 1"),
        format!("kong_kong_latency_ms_bucket{{{of},workspace=\"default\",le=\"+Inf\"}} 1"),
        format!("kong_kong_latency_ms_sum{{{of},workspace=\"default\"}} 1.5"),
        format!("kong_request_latency_ms_bucket{{{of},workspace=\"default\",le=\"60000\"}} 1"),
        format!("kong_request_latency_ms_count{{{of},workspace=\"default\"}} 1"),
    ] {
        assert!(text.lines().any(|each| each == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("kong_upstream_latency_ms"), "no upstream was asked");
    assert!(!text.contains("kong_http_requests_total"), "requests were not to be counted");
}

#[test]
fn health_is_told_while_somebody_asks() {
    let exporter = Exporter::new();
    let (one, other) = (exporter.tell_health(), exporter.tell_health());
    drop(one);
    assert!(exporter.tells_health());
    drop(other);
    assert!(!exporter.tells_health());
}
