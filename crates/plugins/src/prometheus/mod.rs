//! `prometheus`: counts requests, bytes and latencies by service and route.

mod config;
mod exporter;
mod series;

use std::sync::Arc;

use model::PluginProtocols;
use plugin::{Answered, BuildError, Definition, Instance, Listing, Node, Outcome, Phases, Plugin};
use schema::Field;

use crate::settings;
use config::Config;
use exporter::{Exporter, HealthTold, Request};

pub(crate) fn definition() -> Definition {
    Definition {
        listing: Listing {
            name: "prometheus",
            version: crate::VERSION,
            priority: 13,
            schema: model::Plugin::subschema(
                Field::record(Config::record().clone()),
                PluginProtocols::Any,
                &[],
            ),
        },
        phases: Phases { log: true, ..Phases::default() },
        build,
    }
}

/// Whether an instance of `prometheus` asks for the health of targets (`upstream_health_metrics`);
/// then it is told for the whole node, as in Kong.
pub fn tells_upstream_health(node: &Node) -> bool {
    Exporter::of(node).tells_health()
}

fn build(instance: &Instance<'_>) -> Result<Arc<dyn Plugin>, BuildError> {
    let config: Config = settings::read(instance)?;
    let exporter = Exporter::of(instance.node);
    let health = config.upstream_health_metrics.then(|| exporter.tell_health());
    Ok(Arc::new(Prometheus { config, exporter, _health: health }))
}

#[derive(Debug)]
struct Prometheus {
    config: Config,
    exporter: Arc<Exporter>,
    _health: Option<HealthTold>,
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
