//! What custom fields may ask for: members of Kong's `kong` (the PDK) that tell of the request.

use std::borrow::Cow;
use std::rc::Rc;

use plugin::{Answered, Outcome};
use uuid::Uuid;

use crate::lua::{self, Library, Place, ROOT, Source, Table, Value};

/// The request that a record is about.
pub(super) struct Api<'r, 'e> {
    pub(super) exchange: &'r Answered<'e>,
    pub(super) outcome: &'r Outcome<'r>,
}

/// The tables and functions, each at the place of its line; the root is before them.
const PATHS: [&str; 24] = [
    "kong",
    "kong.client",
    "kong.client.get_consumer",
    "kong.client.get_credential",
    "kong.client.get_forwarded_ip",
    "kong.client.get_ip",
    "kong.ctx",
    "kong.ctx.shared",
    "kong.request",
    "kong.request.get_header",
    "kong.request.get_headers",
    "kong.request.get_host",
    "kong.request.get_method",
    "kong.request.get_path",
    "kong.request.get_query_arg",
    "kong.request.get_raw_query",
    "kong.request.get_scheme",
    "kong.response",
    "kong.response.get_header",
    "kong.response.get_source",
    "kong.response.get_status",
    "kong.router",
    "kong.router.get_route",
    "kong.router.get_service",
];

/// The place of the table that `kong.request.get_headers` gives.
const HEADERS: Place = PATHS.len() + 1;

fn place(path: &str) -> Option<Place> {
    PATHS.iter().position(|known| *known == path).map(|at| at + 1)
}

/// Whether this name with its members is something that can be asked for. What a function gives may
/// have any members.
pub(super) fn knows(path: &[&str]) -> bool {
    let Some(name) = path.first() else { return true };
    if *name != "kong" {
        return matches!(
            path,
            ["type" | "tostring" | "tonumber"]
                | ["string", "len" | "lower" | "upper" | "reverse" | "sub" | "rep"]
        );
    }
    let joined = path.join(".");
    place(&joined).is_some() || joined.starts_with("kong.ctx.shared.")
}

impl Source for Api<'_, '_> {
    fn get<'v>(&'v self, at: Place, key: &Value<'_>) -> Value<'v> {
        let Some(name) = key.as_text() else { return Value::Nil };
        let name = String::from_utf8_lossy(&name);
        let path: Cow<'_, str> = match at {
            ROOT => name,
            HEADERS => return lua::header(&self.exchange.request.fields, name.as_bytes()),
            at => match PATHS.get(at - 1) {
                Some(table) => format!("{table}.{name}").into(),
                None => return Value::Nil,
            },
        };
        match place(&path) {
            Some(at) => Value::Source(self, at),
            None if at == ROOT => Library.get(ROOT, key),
            None => Value::Nil,
        }
    }

    fn call<'v>(&'v self, at: Place, arguments: &[Value<'v>]) -> Option<Value<'v>> {
        let function = PATHS.get(at.checked_sub(1)?)?.strip_prefix("kong.")?;
        let request = self.exchange.request;
        let argument = arguments.first().and_then(Value::as_text);
        // Of several values these functions give the first.
        let first = |values: Value<'v>| match values {
            Value::Table(table) => table.list.first().cloned().unwrap_or(Value::Nil),
            one => one,
        };
        Some(match function {
            "client.get_consumer" => match &self.exchange.identity.consumer {
                Some(consumer) => table([
                    ("id", id(consumer.id)),
                    ("username", Value::text_or_nil(consumer.username.as_ref())),
                    ("custom_id", Value::text_or_nil(consumer.custom_id.as_ref())),
                ]),
                None => Value::Nil,
            },
            "client.get_credential" => match self.exchange.identity.credential {
                Some(credential) => table([("id", id(credential))]),
                None => Value::Nil,
            },
            "client.get_forwarded_ip" => owned(self.exchange.client.address.to_string()),
            "client.get_ip" => owned(self.exchange.client.peer.ip().to_string()),
            "request.get_header" => first(lua::header(&request.fields, &argument?)),
            "request.get_headers" => Value::Source(self, HEADERS),
            "request.get_host" => match request.host() {
                Some(host) => owned(host.name.to_owned()),
                None => Value::Nil,
            },
            "request.get_method" => Value::text(request.method()),
            "request.get_path" => Value::text(request.path()),
            "request.get_query_arg" => first(lua::argument(request.query(), &argument?)),
            "request.get_raw_query" => Value::text(request.query().unwrap_or_default()),
            "request.get_scheme" => {
                Value::text(if self.exchange.client.tls.is_some() { "https" } else { "http" })
            }
            "response.get_header" => match self.outcome.head {
                Some(head) => first(lua::header(&head.fields, &argument?)),
                None => Value::Nil,
            },
            "response.get_source" => {
                Value::text(if self.outcome.from_upstream { "service" } else { "exit" })
            }
            "response.get_status" => Value::Number(self.outcome.status.into()),
            "router.get_route" => match self.exchange.route {
                Some(route) => {
                    table([("id", id(route.id)), ("name", Value::text_or_nil(route.name.as_ref()))])
                }
                None => Value::Nil,
            },
            "router.get_service" => match self.exchange.service {
                Some(service) => table([
                    ("id", id(service.id)),
                    ("name", Value::text_or_nil(service.name.as_ref())),
                    ("host", Value::text(&service.host)),
                ]),
                None => Value::Nil,
            },
            _ => return None,
        })
    }
}

fn owned<'v>(text: String) -> Value<'v> {
    Value::Text(Cow::Owned(text.into_bytes()))
}

fn id<'v>(id: Uuid) -> Value<'v> {
    owned(id.to_string())
}

fn table<'v, const N: usize>(members: [(&str, Value<'v>); N]) -> Value<'v> {
    let named = members.map(|(name, value)| (name.as_bytes().to_vec(), value));
    Value::Table(Rc::new(Table { list: Vec::new(), named: named.into_iter().collect() }))
}
