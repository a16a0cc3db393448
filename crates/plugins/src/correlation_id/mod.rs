//! `correlation-id`: gives every request an id that upstreams and clients can log.

mod config;

use std::sync::atomic::{AtomicU64, Ordering};

use http1::ResponseHead;
use plugin::{Access, Answered, BuildError, Client, Exchange, Instance, Phases, Plugin};
use schema::Record;
use uuid::Uuid;

use crate::declared::Declared;
use crate::{fields, settings};
use config::{Config, Generator};

/// A running instance of `correlation-id`.
#[derive(Debug)]
pub(crate) struct CorrelationId {
    config: Config,
    /// What the ids of a counted series have in common.
    series: Uuid,
    counter: AtomicU64,
}

impl Declared for CorrelationId {
    const NAME: &str = "correlation-id";
    const PRIORITY: i32 = 100_001;
    const PHASES: Phases = Phases { access: true, header_filter: true, ..Phases::NONE };
    const EXAMPLE: &str = include_str!("example.md");

    fn config() -> &'static Record {
        Config::record()
    }

    fn build(instance: &Instance<'_>, previous: Option<&Self>) -> Result<Self, BuildError> {
        let counted = previous.map_or(0, |previous| previous.counter.load(Ordering::Relaxed));
        Ok(CorrelationId {
            config: settings::read(instance)?,
            series: instance.id,
            counter: AtomicU64::new(counted),
        })
    }
}

impl Plugin for CorrelationId {
    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Access<'a> {
        let name = &self.config.header_name;
        if fields::first(&exchange.request.fields, name).is_none_or(|id| id.trim().is_empty()) {
            let id = self.generate(exchange.id, exchange.client, exchange.started_us);
            fields::set(&mut exchange.request.fields, name, &id);
        }
        Access::CONTINUE
    }

    fn header_filter(&self, exchange: &mut Answered<'_>, head: &mut ResponseHead) {
        if !self.config.echo_downstream {
            return;
        }
        let name = &self.config.header_name;
        let given =
            fields::first(&exchange.request.fields, name).filter(|id| !id.trim().is_empty());
        // Without a route the access phase did not run, and nobody has given the request an id.
        let generate = || self.generate(exchange.id, exchange.client, exchange.timing.started_us);
        let id = given.map_or_else(generate, str::to_owned);
        fields::set(&mut head.fields, name, &id);
    }
}

impl CorrelationId {
    fn generate(&self, request_id: &str, client: &Client, started_us: u64) -> String {
        match self.config.generator {
            Generator::Uuid => uuid_of(request_id),
            Generator::Counter => {
                let number = self.counter.fetch_add(1, Ordering::Relaxed) + 1;
                format!("{}#{number}", self.series)
            }
            Generator::Tracker => {
                let (seconds, ms) = (started_us / 1_000_000, started_us / 1000 % 1000);
                let (address, port) = (client.peer.ip(), client.peer.port());
                format!("{address}-{port}-{request_id}-{seconds}.{ms:03}")
            }
        }
    }
}

/// The request's own id, which is random, in the form of a version 4 UUID.
fn uuid_of(id: &str) -> String {
    let random = u128::from_str_radix(id, 16).unwrap_or_default();
    uuid::Builder::from_random_bytes(random.to_be_bytes()).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_becomes_a_random_uuid() {
        let text = uuid_of("0123456789abcdef0123456789abcdef");
        assert_eq!(Uuid::parse_str(&text).unwrap().get_version_num(), 4);
    }
}
