//! A metric for each combination of labels.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use super::text::Text;
use super::value::Metric;

/// Metrics of one name that differ in their labels. Clones share them.
///
/// [`with`](Family::with) takes a lock: whoever counts often keeps what it returns.
#[derive(Clone)]
pub struct Family<M> {
    shared: Arc<Shared<M>>,
}

struct Shared<M> {
    labels: &'static [&'static str],
    make: Box<dyn Fn() -> M + Send + Sync>,
    metrics: RwLock<BTreeMap<Box<[Box<str>]>, M>>,
}

impl<M: Metric> Family<M> {
    pub(super) fn new(
        labels: &'static [&'static str],
        make: impl Fn() -> M + Send + Sync + 'static,
    ) -> Family<M> {
        Family {
            shared: Arc::new(Shared { labels, make: Box::new(make), metrics: RwLock::default() }),
        }
    }

    /// The metric with these label values, in the order of the label names. It appears in the
    /// text from now on.
    pub fn with(&self, values: &[&str]) -> M {
        debug_assert_eq!(values.len(), self.shared.labels.len(), "one value for each label");
        let key = key(values);
        if let Some(metric) =
            self.shared.metrics.read().unwrap_or_else(PoisonError::into_inner).get(&key)
        {
            return metric.clone();
        }
        let mut metrics = self.shared.metrics.write().unwrap_or_else(PoisonError::into_inner);
        metrics.entry(key).or_insert_with(|| (self.shared.make)()).clone()
    }

    /// Forgets the metric with these label values: what it was about is gone.
    pub fn remove(&self, values: &[&str]) {
        self.shared.metrics.write().unwrap_or_else(PoisonError::into_inner).remove(&key(values));
    }

    pub(super) fn render(&self, name: &str, help: &str, text: &mut Text) {
        let metrics = self.shared.metrics.read().unwrap_or_else(PoisonError::into_inner);
        if metrics.is_empty() {
            return;
        }
        text.family(name, M::KIND, help);
        for (values, metric) in &*metrics {
            let labels: Vec<(&str, &str)> = self
                .shared
                .labels
                .iter()
                .copied()
                .zip(values.iter().map(|value| &**value))
                .collect();
            metric.render(name, &labels, text);
        }
    }
}

impl<M> fmt::Debug for Family<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Family").field("labels", &self.shared.labels).finish_non_exhaustive()
    }
}

fn key(values: &[&str]) -> Box<[Box<str>]> {
    values.iter().map(|value| Box::from(*value)).collect()
}
