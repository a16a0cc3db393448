//! `correlation-id`: gives every request an id that upstreams and clients can log.

mod config;

use std::sync::atomic::{AtomicU64, Ordering};

use http1::{Fields, ResponseHead, write_decimal};
use plugin::{Access, Answered, BuildError, Client, Exchange, Instance, Phases, Plugin};
use schema::Record;

use crate::declared::Declared;
use crate::settings;
use config::{Config, Generator};

/// A running instance of `correlation-id`.
#[derive(Debug)]
pub(crate) struct CorrelationId {
    config: Config,
    /// How the ids of a counted series begin.
    series: String,
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
            series: format!("{}#", instance.id),
            counter: AtomicU64::new(counted),
        })
    }
}

impl Plugin for CorrelationId {
    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Access<'a> {
        let name = &self.config.header_name;
        let fields = &mut exchange.request.fields;
        match given(fields, name) {
            Given::Id(_) => {}
            Given::Nothing => {
                let id = self.generate(exchange.id, exchange.client, exchange.started_us);
                fields.push(name.as_bytes(), &id);
            }
            Given::Blank => {
                let id = self.generate(exchange.id, exchange.client, exchange.started_us);
                fields.remove_named(name.as_bytes());
                fields.push(name.as_bytes(), &id);
            }
        }
        Access::CONTINUE
    }

    fn header_filter(&self, exchange: &mut Answered<'_>, head: &mut ResponseHead) {
        if !self.config.echo_downstream {
            return;
        }
        let name = &self.config.header_name;
        head.fields.remove_named(name.as_bytes());
        if let Given::Id(id) = given(&exchange.request.fields, name) {
            return head.fields.push(name.as_bytes(), id);
        }
        // Without a route the access phase did not run, and nobody has given the request an id.
        let id = self.generate(exchange.id, exchange.client, exchange.timing.started_us);
        head.fields.push(name.as_bytes(), &id);
    }
}

impl CorrelationId {
    fn generate(&self, request_id: &str, client: &Client, started_us: u64) -> Vec<u8> {
        match self.config.generator {
            Generator::Uuid => uuid_of(request_id),
            Generator::Counter => {
                let number = self.counter.fetch_add(1, Ordering::Relaxed) + 1;
                let mut id = Vec::with_capacity(self.series.len() + 20);
                id.extend_from_slice(self.series.as_bytes());
                write_decimal(&mut id, number);
                id
            }
            Generator::Tracker => {
                let (seconds, ms) = (started_us / 1_000_000, started_us / 1000 % 1000);
                let (address, port) = (client.peer.ip(), client.peer.port());
                format!("{address}-{port}-{request_id}-{seconds}.{ms:03}").into_bytes()
            }
        }
    }
}

/// What a request says about its id.
enum Given<'a> {
    Id(&'a [u8]),
    /// A field without a visible character.
    Blank,
    Nothing,
}

fn given<'a>(fields: &'a Fields, name: &str) -> Given<'a> {
    match fields.named(name.as_bytes()).next() {
        None => Given::Nothing,
        Some(id) if id.trim_ascii().is_empty() => Given::Blank,
        Some(id) => Given::Id(id),
    }
}

/// The request's own id, 32 hexadecimal digits at random, in the form of a version 4 UUID (RFC 9562 §5.4).
fn uuid_of(request_id: &str) -> Vec<u8> {
    let mut id = Vec::with_capacity(36);
    for (at, digit) in request_id.bytes().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            id.push(b'-');
        }
        id.push(match (at, digit) {
            (12, _) => b'4',
            // The variant: 8, 9, a or b.
            (16, b'a'..=b'f') => b"89ab"[usize::from(digit - b'a' + 2) % 4],
            (16, _) => b"89ab"[usize::from(digit - b'0') % 4],
            _ => digit,
        });
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_becomes_a_random_uuid() {
        for id in ["0123456789abcdef0123456789abcdef", "ffffffffffffffffffffffffffffffff"] {
            let text = String::from_utf8(uuid_of(id)).unwrap();
            let random = u128::from_str_radix(id, 16).unwrap().to_be_bytes();
            let expected = uuid::Builder::from_random_bytes(random).into_uuid();
            assert_eq!(text, expected.to_string());
        }
    }
}
