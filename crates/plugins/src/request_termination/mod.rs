//! `request-termination`: answers in place of the upstream.

mod config;

use bytes::Bytes;
use plugin::{Access, Answer, BuildError, Exchange, Instance, Phases, Plugin, Rendering};
use schema::{Check, Record, Subschema};
use serde_json::{Map, Value, json};

use crate::declared::Declared;
use crate::{fields, query, settings};
use config::Config;

/// A running instance of `request-termination`.
#[derive(Debug)]
pub(crate) struct RequestTermination {
    config: Config,
}

impl Declared for RequestTermination {
    const NAME: &str = "request-termination";
    const PRIORITY: i32 = 2;
    const PHASES: Phases = Phases { access: true, ..Phases::NONE };
    const EXAMPLE: &str = include_str!("example.md");

    fn config() -> &'static Record {
        Config::record()
    }

    fn rules(subschema: Subschema) -> Subschema {
        subschema.rule(Check::Custom(config::EXCLUSIONS))
    }

    fn build(instance: &Instance<'_>, _: Option<&Self>) -> Result<Self, BuildError> {
        Ok(RequestTermination { config: settings::read(instance)? })
    }
}

impl Plugin for RequestTermination {
    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Access<'a> {
        if !self.is_triggered(exchange) {
            return Access::CONTINUE;
        }
        if self.config.echo {
            return Access::Later(Box::pin(async move {
                plugin::Verdict::Answer(self.echo(exchange).await)
            }));
        }
        self.answer().into()
    }
}

impl RequestTermination {
    fn is_triggered(&self, exchange: &Exchange<'_>) -> bool {
        let Some(name) = &self.config.trigger else { return true };
        exchange.request.fields.named(name.as_bytes()).next().is_some()
            || query::arguments(exchange.request.query()).any(|(key, _)| key == name.as_str())
    }

    fn answer(&self) -> Answer {
        let status = self.config.status_code;
        if let Some(body) = &self.config.body {
            let rendering = Rendering::Verbatim(Bytes::from(body.clone()));
            let answer = Answer { status, fields: http1::Fields::default(), rendering };
            return match &self.config.content_type {
                Some(kind) => answer.field("Content-Type", kind),
                None => answer,
            };
        }
        match self.message() {
            Some(message) => Answer::json(status, json!({"message": message})),
            None => {
                let rendering = Rendering::Bodyless;
                Answer { status, fields: http1::Fields::default(), rendering }
            }
        }
    }

    fn message(&self) -> Option<&str> {
        self.config.message.as_deref().or(match self.config.status_code {
            401 => Some("Unauthorized"),
            404 => Some("Not found"),
            405 => Some("Method not allowed"),
            500 => Some("An unexpected error occurred"),
            502 => Some("Bad Gateway"),
            503 => Some("Service unavailable"),
            _ => None,
        })
    }

    /// What the request looked like when it came here: for those who debug a configuration.
    async fn echo(&self, exchange: &mut Exchange<'_>) -> Answer {
        const LIMIT: usize = 1 << 20;
        let body = exchange.body.read(LIMIT).await.unwrap_or_default();
        let request = &exchange.request;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut headers = Map::new();
        for field in request.fields.iter() {
            headers.insert(text(field.name).to_lowercase(), json!(text(field.value)));
        }
        let arguments: Map<String, Value> = query::arguments(request.query())
            .map(|(name, value)| (name.into_owned(), value.map_or(json!(true), |v| json!(v))))
            .collect();
        let captures: Map<String, Value> = exchange
            .captures
            .0
            .iter()
            .map(|(name, value)| (name.clone(), json!(text(value))))
            .collect();
        Answer::json(
            self.config.status_code,
            json!({
                "message": self.message(),
                "kong": {},
                "request": {
                    "scheme": if exchange.client.tls.is_some() { "https" } else { "http" },
                    "host": fields::first(&request.fields, "Host"),
                    "method": text(request.method()),
                    "path": text(request.path()),
                    "query": arguments,
                    "headers": headers,
                    "raw_body": text(&body),
                    "uri_captures": captures,
                },
                "matched_route": exchange.route.map(|route| json!(route)),
                "matched_service": exchange.service.map(|service| json!(service)),
            }),
        )
    }
}
