//! Kong's own engine, as the judge of ours.

use atc_router::ast::{Type, Value};
use atc_router::context::Context;
use atc_router::router::Router;
use atc_router::schema::Schema;
use model::Route;
use uuid::Uuid;

use super::arbitrary::Owned;
use super::kong::expression_of;
use crate::entry::{groups, part_id};
use crate::rank::Rank;
use crate::rules::Rules;

pub(super) fn schema() -> Schema {
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
}

/// Kong's router with the routes as Kong would add them.
pub(super) struct Atc<'s> {
    schema: &'s Schema,
    router: Router<'s>,
    /// The ids of the parts, with their routes'.
    routes: Vec<(Uuid, Uuid)>,
}

impl<'s> Atc<'s> {
    pub(super) fn new(schema: &'s Schema, routes: &[Route], rules: Rules) -> Atc<'s> {
        let mut atc = Atc { schema, router: Router::new(schema), routes: Vec::new() };
        for route in routes {
            let groups = groups(route, rules);
            for (paths, number) in groups.iter().zip(1..) {
                let id = if groups.len() == 1 { route.id } else { part_id(route.id, number) };
                let rank = Rank::of(route, paths, id, number, rules);
                let part = Route {
                    paths: Some(paths.iter().map(|p| (*p).to_owned()).collect()),
                    ..route.clone()
                };
                let priority = usize::try_from(rank.number()).unwrap();
                atc.router.add_matcher(priority, id, &expression_of(&part)).unwrap();
                atc.routes.push((id, route.id));
            }
        }
        atc
    }

    /// The route that Kong finds, and how much of the path it matched.
    pub(super) fn find(&self, request: &Owned) -> Option<(Uuid, Option<usize>)> {
        let mut context = Context::new(self.schema);
        fill(&mut context, request);
        if !self.router.execute(&mut context) {
            return None;
        }
        let found = context.result.unwrap();
        let route = self.routes.iter().find(|(part, _)| *part == found.uuid).unwrap().1;
        let prefix = found.matches.get("http.path").map(|value| match value {
            Value::String(text) => text.len(),
            other => panic!("a path that is {other:?}"),
        });
        Some((route, prefix))
    }
}

fn fill(context: &mut Context<'_>, request: &Owned) {
    let mut text = |field: &str, value: &str| {
        if !value.is_empty() {
            context.add_value(field, Value::String(value.to_owned()));
        }
    };
    text("net.protocol", request.scheme.as_str());
    text("http.host", request.host);
    text("http.path", request.path);
    text("http.method", request.method);
    text("tls.sni", request.sni.unwrap_or_default());
    for (name, value) in &request.headers {
        let name = name.to_lowercase().replace('-', "_");
        context.add_value(&format!("http.headers.{name}"), Value::String((*value).to_owned()));
    }
    for pair in request.query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = value.replace("%31", "1");
        context.add_value(&format!("http.queries.{name}"), Value::String(value));
    }
    let segments: Vec<_> =
        request.path.trim_end_matches('/').split('/').skip(1).map(str::to_owned).collect();
    if let Some(first) = segments.first() {
        context.add_value("http.path.segments.0", Value::String(first.clone()));
    }
    if let Some(two) = segments.get(..2) {
        context.add_value("http.path.segments.0_1", Value::String(two.join("/")));
    }
    context.add_value("http.path.segments.len", Value::Int(i64::try_from(segments.len()).unwrap()));
    let port = request.port.unwrap_or(request.destination.port());
    context.add_value("net.dst.port", Value::Int(port.into()));
    context.add_value("net.src.port", Value::Int(request.source.port().into()));
    context.add_value("net.src.ip", Value::IpAddr(request.source.ip()));
    context.add_value("net.dst.ip", Value::IpAddr(request.destination.ip()));
}
