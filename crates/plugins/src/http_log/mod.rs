//! `http-log`: sends a record of each request to an HTTP server.

mod config;
mod endpoint;
mod queues;
mod sender;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use model::PluginProtocols;
use plugin::{Answered, BuildError, Instance, Outcome, Phases, Plugin};
use schema::{Record, Subschema};

use crate::declared::Declared;
use crate::log::{self, CustomFields};
use crate::queue::{Limits, Queue};
use crate::settings;
use config::{Config, ContentType};
use endpoint::Endpoint;
use queues::Queues;
use sender::Settings;

/// A running instance of `http-log`.
#[derive(Debug)]
pub(crate) struct HttpLog {
    custom: CustomFields,
    queue: Arc<Queue>,
}

impl Declared for HttpLog {
    const NAME: &str = "http-log";
    const PRIORITY: i32 = 12;
    const PROTOCOLS: PluginProtocols = PluginProtocols::Any;
    const PHASES: Phases = Phases { log: true, ..Phases::NONE };
    const EXAMPLE: &str = include_str!("example.md");

    fn config() -> &'static Record {
        Config::record()
    }

    fn rules(subschema: Subschema) -> Subschema {
        config::rules(subschema)
    }

    fn build(instance: &Instance<'_>, _: Option<&Self>) -> Result<Self, BuildError> {
        let config: Config = settings::read(instance)?;
        let custom = CustomFields::new(config.custom_fields_by_lua.as_ref())?;
        let limits = limits(&config);
        let sending = sending(&config, &limits)?;
        // The instance that this one replaces is still there, and with it its queue: what waits in it stays when
        // something else changes. Otherwise the old queue delivers what it has by itself.
        let queue = instance.node.common(|_| Queues::default()).get(limits, sending, instance.node);
        Ok(HttpLog { custom, queue })
    }
}

impl Plugin for HttpLog {
    fn log(&self, exchange: &mut Answered<'_>, outcome: &Outcome<'_>) {
        self.queue.push(log::record(exchange, outcome, &self.custom));
    }
}

/// The bounds of the queue. The settings of former times count where they differ from what they
/// were by default (Kong, `kong/tools/queue.lua`).
fn limits(config: &Config) -> Limits {
    let mut limits = config.queue.limits();
    if let Some(size) = config.queue_size.filter(|size| *size > 1 && !limits.at_once) {
        limits.batch = size as usize;
    }
    if let Some(delay) = config.flush_timeout.filter(|delay| *delay != 2.0) {
        limits.delay = Duration::try_from_secs_f64(delay).unwrap_or(limits.delay);
    }
    limits
}

fn sending(config: &Config, limits: &Limits) -> Result<Settings, BuildError> {
    let unusable = |what: &str, why: &dyn std::fmt::Display| BuildError(format!("{what}: {why}"));
    let endpoint = Endpoint::parse(&config.http_endpoint)
        .map_err(|reason| unusable("http_endpoint", &reason))?;
    let mut headers = HeaderMap::new();
    for (name, value) in config.headers.iter().flatten() {
        let name = HeaderName::try_from(name).map_err(|why| unusable("headers", &why))?;
        let value = HeaderValue::try_from(value).map_err(|why| unusable("headers", &why))?;
        headers.insert(name, value);
    }
    let own = [
        (header::HOST, Some(endpoint.host.as_str())),
        (header::AUTHORIZATION, endpoint.credentials.as_deref()),
        (
            header::CONTENT_TYPE,
            Some(match config.content_type {
                Some(ContentType::JsonUtf8) => "application/json; charset=utf-8",
                _ => "application/json",
            }),
        ),
    ];
    for (name, value) in own {
        if let Some(value) = value {
            let value =
                HeaderValue::from_str(value).map_err(|why| unusable("http_endpoint", &why))?;
            headers.insert(name, value);
        }
    }
    headers
        .entry(header::USER_AGENT)
        .or_insert(HeaderValue::from_static(concat!("weir/", env!("CARGO_PKG_VERSION"))));
    let milliseconds = |setting: Option<f64>, usual: f64| {
        Duration::try_from_secs_f64(setting.unwrap_or(usual) / 1000.0).unwrap_or(Duration::MAX)
    };
    Ok(Settings {
        destination: endpoint.destination,
        method: match config.method {
            Some(config::Method::Put) => Method::PUT,
            Some(config::Method::Patch) => Method::PATCH,
            Some(config::Method::Post) | None => Method::POST,
        },
        path: endpoint.path,
        headers,
        lists: limits.batch > 1,
        timeout: milliseconds(config.timeout, 10_000.0),
        keepalive: milliseconds(config.keepalive, 60_000.0),
    })
}

#[cfg(test)]
mod tests;
