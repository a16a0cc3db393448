//! `cors`: answers preflight requests and tells browsers who may read an answer (Fetch standard,
//! "CORS protocol").

mod config;
mod origins;

use bytes::Bytes;
use http1::{Fields, RequestHead, ResponseHead};
use model::Scope;
use plugin::{Access, Answer, Answered, BuildError, Exchange, Instance, Phases, Plugin, Rendering};
use schema::Record;

use crate::declared::Declared;
use crate::{fields, settings};
use config::Config;
use origins::{Allowed, Origins};

/// A running instance of `cors`.
#[derive(Debug)]
pub(crate) struct Cors {
    config: Config,
    origins: Origins,
    /// What the answers' `Access-Control-Expose-Headers` says.
    exposed: Option<String>,
}

impl Declared for Cors {
    const NAME: &str = "cors";
    const PRIORITY: i32 = 2000;
    const WITHOUT: &[Scope] = &[Scope::Consumer];
    const PHASES: Phases = Phases { access: true, header_filter: true, ..Phases::NONE };
    const EXAMPLE: &str = include_str!("example.md");

    fn config() -> &'static Record {
        Config::record()
    }

    fn build(instance: &Instance<'_>, _: Option<&Self>) -> Result<Self, BuildError> {
        let config: Config = settings::read(instance)?;
        let origins = Origins::new(config.origins.as_deref()).map_err(BuildError)?;
        let exposed = config.exposed_headers.as_deref().filter(|names| !names.is_empty());
        let exposed = exposed.map(|names| names.join(","));
        Ok(Cors { config, origins, exposed })
    }
}

impl Plugin for Cors {
    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Access<'a> {
        if !is_preflight(exchange.request) || self.config.preflight_continue {
            return Access::CONTINUE;
        }
        let sent = &exchange.request.fields;
        let mut out = Fields::default();
        self.tell_origin(fields::first(sent, "Origin"), &mut out);
        if let Some(methods) = &self.config.methods {
            fields::set(&mut out, "Access-Control-Allow-Methods", &methods.join(","));
        }
        let asked = fields::first(sent, "Access-Control-Request-Headers").map(str::to_owned);
        let headers = match &self.config.headers {
            Some(headers) if !headers.is_empty() => Some(headers.join(",")),
            _ => asked.filter(|asked| !asked.is_empty()),
        };
        if let Some(headers) = headers {
            fields::set(&mut out, "Access-Control-Allow-Headers", &headers);
        }
        if let Some(seconds) = &self.config.max_age {
            fields::set(&mut out, "Access-Control-Max-Age", &seconds.to_string());
        }
        let private = fields::first(sent, "Access-Control-Request-Private-Network") == Some("true");
        if self.config.private_network && private {
            fields::set(&mut out, "Access-Control-Allow-Private-Network", "true");
        }
        let rendering = Rendering::Verbatim(Bytes::new());
        Answer { status: 200, fields: out, rendering }.into()
    }

    fn header_filter(&self, exchange: &mut Answered<'_>, head: &mut ResponseHead) {
        if is_preflight(exchange.request) {
            return;
        }
        let origin = fields::first(&exchange.request.fields, "Origin");
        self.tell_origin(origin, &mut head.fields);
        if let Some(exposed) = &self.exposed {
            fields::set(&mut head.fields, "Access-Control-Expose-Headers", exposed);
        }
    }
}

impl Cors {
    /// Sets or removes who may read the answer, and that this depends on the asker.
    fn tell_origin(&self, origin: Option<&str>, out: &mut Fields) {
        let given = origin.filter(|origin| !origin.is_empty());
        let mut allowed = self.origins.allowed(origin);
        if self.config.credentials && allowed == Allowed::Any && given.is_some() {
            // A browser refuses `*` together with credentials: name the asker.
            allowed = Allowed::Named(given.unwrap_or_default().into());
        } else if allowed == Allowed::Any && !self.origins.vary() {
            fields::set(out, ALLOW_ORIGIN, "*");
            return;
        }
        if self.config.credentials && allowed != Allowed::Any {
            fields::set(out, "Access-Control-Allow-Credentials", "true");
        }
        match allowed {
            Allowed::Any => fields::set(out, ALLOW_ORIGIN, "*"),
            Allowed::Named(origin) => fields::set(out, ALLOW_ORIGIN, &origin),
            Allowed::Nobody => fields::remove(out, ALLOW_ORIGIN),
        }
        out.push(b"Vary", b"Origin");
    }
}

const ALLOW_ORIGIN: &str = "Access-Control-Allow-Origin";

/// `OPTIONS` with an origin and the method that is going to be used; anything else is a request
/// like others.
fn is_preflight(request: &RequestHead) -> bool {
    let sent = &request.fields;
    request.method() == b"OPTIONS"
        && fields::first(sent, "Origin").is_some_and(|origin| !origin.is_empty())
        && fields::first(sent, "Access-Control-Request-Method").is_some()
}
