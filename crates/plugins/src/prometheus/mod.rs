//! `prometheus`: counts requests, bytes and latencies by service and route.

mod config;
mod exporter;
mod series;

use std::sync::Arc;

use model::PluginProtocols;
use plugin::{Answered, BuildError, Instance, Node, Outcome, Phases, Plugin};
use schema::Record;

use crate::declared::Declared;
use crate::settings;
use config::Config;
use exporter::{Exporter, HealthTold, Request};

/// A running instance of `prometheus`.
#[derive(Debug)]
pub(crate) struct Prometheus {
    config: Config,
    exporter: Arc<Exporter>,
    _health: Option<HealthTold>,
}

impl Declared for Prometheus {
    const NAME: &str = "prometheus";
    const PRIORITY: i32 = 13;
    const PROTOCOLS: PluginProtocols = PluginProtocols::Any;
    const PHASES: Phases = Phases { log: true, ..Phases::NONE };
    const EXAMPLE: &str = include_str!("example.md");

    fn config() -> &'static Record {
        Config::record()
    }

    fn build(instance: &Instance<'_>, _: Option<&Self>) -> Result<Self, BuildError> {
        let config: Config = settings::read(instance)?;
        let exporter = Exporter::of(instance.node);
        let health = config.upstream_health_metrics.then(|| exporter.tell_health());
        Ok(Prometheus { config, exporter, _health: health })
    }
}

/// Whether an instance of `prometheus` asks for the health of targets (`upstream_health_metrics`);
/// then it is told for the whole node, as in Kong.
pub fn tells_upstream_health(node: &Node) -> bool {
    Exporter::of(node).tells_health()
}

impl Plugin for Prometheus {
    fn log(&self, exchange: &mut Answered<'_>, outcome: &Outcome<'_>) {
        // What no route matched is nobody's: as in Kong it is not counted.
        let Some(route) = exchange.route else { return };
        let consumer = match self.config.per_consumer {
            true => exchange.identity.consumer.as_deref(),
            false => None,
        };
        let request = Request { route, service: exchange.service, consumer, outcome };
        self.exporter.count(&request, |entry| {
            if self.config.status_code_metrics {
                entry.requests.add(1);
            }
            if self.config.bandwidth_metrics {
                entry.received.add(outcome.request_bytes);
                entry.sent.add(outcome.response_bytes);
            }
            if self.config.latency_metrics {
                let timing = &exchange.timing;
                let total = timing.total_us.unwrap_or_default();
                // For an answer of the gateway's own, all of the time is the gateway's.
                entry.latencies.gateway.observe(timing.gateway_us.unwrap_or(total));
                if let Some(upstream) = timing.upstream_us {
                    entry.latencies.upstream.observe(upstream);
                }
                entry.latencies.total.observe(total);
            }
        });
    }
}
