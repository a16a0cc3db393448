//! The configuration of `prometheus`.

use schema::Field;

schema::record! {
    /// Counts requests, bytes and latencies for a Prometheus server, which reads them at `/metrics`
    /// of the status listener or of the Admin API.
    pub(super) struct Config {
        /// Whether requests and bytes are counted for each consumer apart.
        pub(super) per_consumer: bool = Field::boolean().default(false),
        /// Whether requests are counted by status.
        pub(super) status_code_metrics: bool = Field::boolean().default(false),
        /// Whether calls of language models are counted.
        pub(super) ai_metrics: bool = Field::boolean().default(false),
        /// Whether latencies are measured.
        pub(super) latency_metrics: bool = Field::boolean().default(false),
        /// Whether bytes are counted.
        pub(super) bandwidth_metrics: bool = Field::boolean().default(false),
        /// Whether the health of targets is told, those of all upstreams.
        pub(super) upstream_health_metrics: bool = Field::boolean().default(false),
    }
}
