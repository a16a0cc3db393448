//! Kong's own engine, which tries routes one after another.

use std::ops::ControlFlow;
use std::sync::LazyLock;

use atc_router::ast::{Type, Value};
use atc_router::context::Context;
use atc_router::router::Router;
use atc_router::schema::Schema;
use model::Route;
use uuid::Uuid;

use super::Found;
use super::translation::expression_of;
use crate::conditions::Conditions;
use crate::entry::{groups, part_id};
use crate::rank::Rank;
use crate::request::Request;
use crate::rules::Rules;

/// Kong's router with the routes as Kong adds them, for the flavors `traditional_compatible` and
/// `expressions`.
///
/// It compares bytes: give it hosts, SNIs and header fields of expressions in lower case.
pub struct Kong {
    /// Kong has an engine for each.
    http: Router<'static>,
    stream: Router<'static>,
    /// The ids of the parts, with their routes'.
    routes: Vec<(Uuid, Uuid)>,
}

impl Kong {
    /// A router of these routes, whose ids differ; an expression's text goes to it unchanged.
    ///
    /// # Errors
    /// What the engine says to a route that it does not take.
    pub fn new(routes: &[Route], rules: Rules) -> Result<Kong, String> {
        let router = || Router::new(schema());
        let mut kong = Kong { http: router(), stream: router(), routes: Vec::new() };
        for route in routes {
            let groups = groups(route, rules);
            for (paths, number) in groups.iter().zip(1..) {
                let id = if groups.len() == 1 { route.id } else { part_id(route.id, number) };
                let rank = Rank::of(route, paths, id, number, rules);
                let part = Route {
                    paths: Some(paths.iter().map(|path| (*path).to_owned()).collect()),
                    ..route.clone()
                };
                let priority = usize::try_from(rank.number()).unwrap_or(usize::MAX);
                let stream = Conditions(route).is_stream();
                let router = if stream { &mut kong.stream } else { &mut kong.http };
                router.add_matcher(priority, id, &expression_of(&part, rules))?;
                kong.routes.push((id, route.id));
            }
        }
        Ok(kong)
    }

    /// The route that Kong finds. Text that is no UTF-8 is none for it.
    pub fn find(&self, request: &Request<'_>) -> Option<Found> {
        let mut context = Context::new(schema());
        let router = if request.scheme.is_http() { &self.http } else { &self.stream };
        for field in router.fields.keys() {
            values(field, request, &mut |value| context.add_value(field, value));
        }
        if !router.execute(&mut context) {
            return None;
        }
        let found = context.result?;
        let (_, route) = self.routes.iter().find(|(part, _)| *part == found.uuid)?;
        let prefix = found.matches.get("http.path").and_then(|value| match value {
            Value::String(text) => Some(text.len()),
            _ => None,
        });
        Some(Found { route: *route, prefix })
    }
}

impl std::fmt::Debug for Kong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kong").field("routes", &self.routes).finish_non_exhaustive()
    }
}

/// The fields of HTTP and of streams.
fn schema() -> &'static Schema {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
        let mut schema = Schema::default();
        for field in ["http.host", "http.path", "http.method", "net.protocol", "tls.sni"] {
            schema.add_field(field, Type::String);
        }
        for field in ["http.headers.*", "http.queries.*", "http.path.segments.*"] {
            schema.add_field(field, Type::String);
        }
        for field in ["net.src.port", "net.dst.port", "http.path.segments.len"] {
            schema.add_field(field, Type::Int);
        }
        for field in ["net.src.ip", "net.dst.ip"] {
            schema.add_field(field, Type::IpAddr);
        }
        schema
    });
    &SCHEMA
}

/// Gives every value that the request has for a field.
fn values(field: &str, request: &Request<'_>, give: &mut dyn FnMut(Value)) {
    let mut text = |text: &[u8]| {
        if let Ok(text) = std::str::from_utf8(text)
            && !text.is_empty()
        {
            give(Value::String(text.to_owned()));
        }
    };
    match field {
        "net.protocol" => text(request.scheme.as_str().as_bytes()),
        "http.host" => text(request.host.as_bytes()),
        "http.path" => text(request.path),
        "http.method" => text(request.method.as_bytes()),
        "tls.sni" => text(request.sni.unwrap_or_default().as_bytes()),
        "net.dst.port" => {
            let port = request.port.or(request.destination.map(|address| address.port()));
            port.into_iter().for_each(|port| give(Value::Int(port.into())));
        }
        "net.src.port" => {
            request.source.iter().for_each(|source| give(Value::Int(source.port().into())));
        }
        "net.src.ip" => request.source.iter().for_each(|a| give(Value::IpAddr(a.ip()))),
        "net.dst.ip" => request.destination.iter().for_each(|a| give(Value::IpAddr(a.ip()))),
        "http.path.segments.len" => {
            give(Value::Int(i64::try_from(segments(request.path).len()).unwrap_or(i64::MAX)));
        }
        _ => several(field, request, give),
    }
}

fn several(field: &str, request: &Request<'_>, give: &mut dyn FnMut(Value)) {
    let mut text = |text: &[u8]| {
        if let Ok(text) = std::str::from_utf8(text) {
            give(Value::String(text.to_owned()));
        }
    };
    if let Some(range) = field.strip_prefix("http.path.segments.") {
        let (first, last) = range.split_once('_').unwrap_or((range, range));
        let segments = segments(request.path);
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>())
            && let Some(found) = last.checked_add(1).and_then(|end| segments.get(first..end))
        {
            text(&found.join(&b'/'));
        }
    } else if let Some(name) = field.strip_prefix("http.headers.") {
        let _: ControlFlow<()> = request.headers.each(&name.replace('_', "-"), &mut |value| {
            text(value);
            ControlFlow::Continue(())
        });
    } else if let Some(name) = field.strip_prefix("http.queries.") {
        form_urlencoded::parse(request.query.unwrap_or_default())
            .filter(|(key, _)| **key == *name)
            .for_each(|(_, value)| text(value.as_bytes()));
    }
}

/// What stands between the slashes, without empty ones at the end.
fn segments(path: &[u8]) -> Vec<&[u8]> {
    let mut segments: Vec<_> = path.split(|byte| *byte == b'/').skip(1).collect();
    while segments.pop_if(|last| last.is_empty()).is_some() {}
    segments
}
