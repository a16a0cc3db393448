//! The counters of the control plane, as plugins ask for them.

use plugin::{CountersError, Increment, Totals};

/// Hands increments on.
pub(crate) struct Counters(pub(crate) subscribe::Counters);

impl plugin::Counters for Counters {
    fn add(&self, increments: Vec<Increment>) -> Totals<'_> {
        let increment =
            |Increment { key, by, expires_at }| subscribe::Increment { key, by, expires_at };
        let increments = increments.into_iter().map(increment).collect();
        Box::pin(async move {
            let totals = self.0.add(increments).await;
            totals.map_err(|error| CountersError(error.to_string()))
        })
    }
}
