//! Counters, gauges and histograms, and their text in the Prometheus exposition format 0.0.4.
//!
//! Kong's metrics are a contract down to the order of the labels and to counters without
//! `_total` (`kong_bandwidth_bytes`), which dashboards rely on. The OpenMetrics libraries rename
//! and reorder, hence these few lines of our own.

mod family;
mod text;
mod value;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use family::Family;
pub use text::{Kind, Text};
pub use value::{Counter, Gauge, Histogram};

use value::Metric;

/// The content type of [`Registry::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

type Collector = Arc<dyn Fn(&mut Text) + Send + Sync>;

/// The metrics of a process. Clones share them.
///
/// Metrics are rendered in the order in which they were registered. Registering happens while a
/// process starts; counting takes no lock.
#[derive(Clone, Default)]
pub struct Registry {
    collectors: Arc<Mutex<Vec<Collector>>>,
}

impl Registry {
    /// No metrics.
    pub fn new() -> Registry {
        Registry::default()
    }

    /// A counter without labels.
    pub fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        self.counters(name, help, &[]).with(&[])
    }

    /// A counter for each combination of the labels' values.
    pub fn counters(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> Family<Counter> {
        self.family(name, help, labels, Counter::default)
    }

    /// A gauge without labels.
    pub fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        self.gauges(name, help, &[]).with(&[])
    }

    /// A gauge for each combination of the labels' values.
    pub fn gauges(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> Family<Gauge> {
        self.family(name, help, labels, Gauge::default)
    }

    /// A histogram without labels. `bounds` are the upper bounds of the buckets, ascending,
    /// without `+Inf`.
    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        bounds: &'static [f64],
    ) -> Histogram {
        self.histograms(name, help, &[], bounds).with(&[])
    }

    /// A histogram for each combination of the labels' values.
    pub fn histograms(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        bounds: &'static [f64],
    ) -> Family<Histogram> {
        self.family(name, help, labels, move || Histogram::new(bounds))
    }

    /// Metrics that are computed when they are asked for, or kept elsewhere (per thread).
    pub fn collect(&self, collector: impl Fn(&mut Text) + Send + Sync + 'static) {
        self.lock().push(Arc::new(collector));
    }

    /// All metrics as text.
    pub fn render(&self) -> String {
        let mut text = Text::default();
        // Not under the lock: a collector may come to register another.
        let collectors = self.lock().clone();
        for collector in collectors {
            collector(&mut text);
        }
        text.into_string()
    }

    fn family<M: Metric>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        make: impl Fn() -> M + Send + Sync + 'static,
    ) -> Family<M> {
        let family = Family::new(labels, make);
        let rendered = family.clone();
        self.collect(move |text| rendered.render(name, help, text));
        family
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Collector>> {
        self.collectors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("collectors", &self.lock().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_what_prometheus_reads() {
        let registry = Registry::new();
        let requests = registry.counters(
            "kong_http_requests_total",
            "HTTP status codes per service/route in Kong",
            &["service", "code"],
        );
        requests.with(&["users", "200"]).add(3);
        requests.with(&["a \"quoted\"\\\nname", "502"]).inc();
        registry.gauge("weir_revision", "Applied revision").set(41.0);
        let latency = registry.histogram("kong_latency_ms", "Latency", &[1.0, 2.5]);
        for ms in [0.5, 1.0, 2.0, 100.0] {
            latency.observe(ms);
        }
        registry.collect(|text| {
            text.family("kong_node_info", Kind::Gauge, "Node");
            text.sample("kong_node_info", &[("version", "1")], 1.0);
        });
        assert_eq!(
            registry.render(),
            "# HELP kong_http_requests_total HTTP status codes per service/route in Kong\n\
             # TYPE kong_http_requests_total counter\n\
             kong_http_requests_total{service=\"a \\\"quoted\\\"\\\\\\nname\",code=\"502\"} 1\n\
             kong_http_requests_total{service=\"users\",code=\"200\"} 3\n\
             # HELP weir_revision Applied revision\n\
             # TYPE weir_revision gauge\n\
             weir_revision 41\n\
             # HELP kong_latency_ms Latency\n\
             # TYPE kong_latency_ms histogram\n\
             kong_latency_ms_bucket{le=\"1\"} 2\n\
             kong_latency_ms_bucket{le=\"2.5\"} 3\n\
             kong_latency_ms_bucket{le=\"+Inf\"} 4\n\
             kong_latency_ms_count 4\n\
             kong_latency_ms_sum 103.5\n\
             # HELP kong_node_info Node\n\
             # TYPE kong_node_info gauge\n\
             kong_node_info{version=\"1\"} 1\n"
        );
    }

    #[test]
    fn a_family_without_samples_renders_nothing() {
        let registry = Registry::new();
        let family = registry.gauges("weir_targets", "Targets", &["upstream"]);
        assert_eq!(registry.render(), "");
        family.with(&["users"]).add(2.0);
        family.with(&["users"]).add(-0.5);
        assert!(registry.render().ends_with("weir_targets{upstream=\"users\"} 1.5\n"));
        family.remove(&["users"]);
        assert_eq!(registry.render(), "");
    }
}
