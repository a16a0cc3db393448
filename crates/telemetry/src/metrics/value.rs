//! Single metrics. Clones share the value.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::text::{Kind, Text};

/// What a family can be of.
pub trait Metric: Clone + Send + Sync + 'static {
    /// As Prometheus calls it.
    const KIND: Kind;

    /// Writes the samples.
    fn render(&self, name: &str, labels: &[(&str, &str)], text: &mut Text);
}

/// Only grows.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    /// How many so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Metric for Counter {
    const KIND: Kind = Kind::Counter;

    fn render(&self, name: &str, labels: &[(&str, &str)], text: &mut Text) {
        text.whole(name, labels, self.get());
    }
}

/// Goes up and down.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// From now on this value.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Adds; negative takes away.
    pub fn add(&self, by: f64) {
        add(&self.0, by);
    }

    /// The present value.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

impl Metric for Gauge {
    const KIND: Kind = Kind::Gauge;

    fn render(&self, name: &str, labels: &[(&str, &str)], text: &mut Text) {
        text.sample(name, labels, self.get());
    }
}

/// Counts observations by size.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug)]
struct Buckets {
    bounds: &'static [f64],
    /// One per bound, and one beyond the last.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    /// Upper bounds, ascending, without `+Inf`.
    pub fn new(bounds: &'static [f64]) -> Histogram {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram(Arc::new(Buckets { bounds, counts, sum: AtomicU64::new(0) }))
    }

    /// Notes one observation.
    pub fn observe(&self, value: f64) {
        let bucket = self.0.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.0.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        add(&self.0.sum, value);
    }
}

impl Metric for Histogram {
    const KIND: Kind = Kind::Histogram;

    fn render(&self, name: &str, labels: &[(&str, &str)], text: &mut Text) {
        let counts: Vec<u64> =
            self.0.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        text.histogram(
            name,
            labels,
            self.0.bounds,
            &counts,
            f64::from_bits(self.0.sum.load(Ordering::Relaxed)),
        );
    }
}

fn add(bits: &AtomicU64, by: f64) {
    // The closure always answers `Some`, so this cannot fail.
    let _ = bits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
        Some((f64::from_bits(bits) + by).to_bits())
    });
}
