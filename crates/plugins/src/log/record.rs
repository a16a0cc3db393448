//! The record itself.

use http1::{Fields, Version};
use model::{WORKSPACE, workspace_id};
use plugin::{Answered, Outcome, Try};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::query;

/// Header fields whose value is nobody's business.
const SECRET: [&str; 2] = ["authorization", "proxy-authorization"];

pub(super) fn of(exchange: &Answered<'_>, outcome: &Outcome<'_>) -> Map<String, Value> {
    let mut record = Map::new();
    let mut set = |name: &str, value: Value| {
        record.insert(name.to_owned(), value);
    };
    set("request", request(exchange, outcome));
    set("upstream_uri", upstream_uri(exchange).into());
    set("upstream_status", upstream_status(outcome.tries).into());
    set(
        "response",
        json!({
            "status": outcome.status,
            "headers": response_headers(exchange, outcome),
            "size": outcome.response_bytes,
        }),
    );
    set("latencies", latencies(exchange, outcome));
    if exchange.route.is_some() {
        let last = outcome.tries.len().saturating_sub(1);
        let tries = outcome.tries.iter().enumerate();
        set("tries", tries.map(|(at, one)| attempt(one, at < last)).collect());
    }
    if let Some(credential) = exchange.identity.credential {
        set("authenticated_entity", json!({ "id": credential }));
    }
    if let Some(route) = exchange.route {
        set("route", entity(route));
    }
    if let Some(service) = exchange.service {
        set("service", entity(service));
    }
    if let Some(consumer) = &exchange.identity.consumer {
        let mut consumer = entity(&**consumer);
        // Consumers are of the whole gateway.
        consumer.as_object_mut().map(|consumer| consumer.remove("ws_id"));
        set("consumer", consumer);
    }
    set("client_ip", exchange.client.address.to_string().into());
    set("started_at", (exchange.timing.started_us / 1000).into());
    set("source", if outcome.from_upstream { "upstream" } else { "kong" }.into());
    set("workspace", workspace_id().to_string().into());
    set("workspace_name", WORKSPACE.into());
    record
}

fn request(exchange: &Answered<'_>, outcome: &Outcome<'_>) -> Value {
    let request = exchange.request;
    let client = exchange.client;
    let uri = text(request.received_target());
    let host = request.host();
    let host = host.map_or_else(|| client.local.ip().to_string(), |host| host.name.to_owned());
    let scheme = if client.tls.is_some() { "https" } else { "http" };
    let path = if uri.starts_with('/') { uri.as_str() } else { "/" };
    let mut headers = headers(&request.fields);
    for name in SECRET {
        if let Some(value) = headers.get_mut(name) {
            *value = "REDACTED".into();
        }
    }
    let mut members = json!({
        "id": exchange.id,
        "url": format!("{scheme}://{host}:{}{path}", client.local.port()),
        "uri": uri,
        "querystring": arguments(request.received_target()),
        "method": text(request.received_method()),
        "headers": headers,
        "size": outcome.request_bytes,
    });
    if let Some(session) = &client.tls {
        members["tls"] = json!({
            "version": session.version,
            "cipher": session.cipher,
            // No listener asks for a client's certificate.
            "client_verify": "NONE",
        });
    }
    members
}

/// By lower-case name; repeated ones as a list.
fn headers(fields: &Fields) -> Map<String, Value> {
    let mut headers = Map::new();
    for field in fields.iter() {
        let name = text(field.name).to_ascii_lowercase();
        add(&mut headers, name, text(field.value).into());
    }
    headers
}

/// What nginx shows of an answer: with how the connection goes on, and without the date of answers
/// that it makes itself.
fn response_headers(exchange: &Answered<'_>, outcome: &Outcome<'_>) -> Map<String, Value> {
    let Some(head) = outcome.head else { return Map::new() };
    let mut headers = headers(&head.fields);
    if !outcome.from_upstream {
        headers.remove("date");
    }
    let request = exchange.request;
    if request.version() != Version::Http2 {
        let connection = if request.keeps_connection() { "keep-alive" } else { "close" };
        headers.entry("connection").or_insert_with(|| connection.into());
    }
    headers
}

fn arguments(target: &[u8]) -> Map<String, Value> {
    let query = target.iter().position(|byte| *byte == b'?').and_then(|at| target.get(at + 1..));
    let mut arguments = Map::new();
    for (name, value) in query::arguments(query) {
        let value = value.map_or(Value::Bool(true), |value| value.into_owned().into());
        add(&mut arguments, name.into_owned(), value);
    }
    arguments
}

/// One value as it is, several as a list.
fn add(members: &mut Map<String, Value>, name: String, value: Value) {
    match members.get_mut(&name) {
        None => {
            members.insert(name, value);
        }
        Some(Value::Array(values)) => values.push(value),
        Some(one) => *one = Value::Array(vec![one.take(), value]),
    }
}

fn upstream_uri(exchange: &Answered<'_>) -> String {
    let mut uri = text(&exchange.onward.path);
    if let Some(query) = exchange.request.query()
        && !uri.is_empty()
        && !uri.contains('?')
    {
        uri.push('?');
        uri.push_str(&text(query));
    }
    uri
}

/// As nginx' variable: the statuses of all attempts.
fn upstream_status(tries: &[Try]) -> String {
    let statuses: Vec<String> = tries.iter().map(|one| status(one).to_string()).collect();
    statuses.join(", ")
}

/// An attempt without an answer counts as 504 if it took too long, as 502 otherwise.
fn status(one: &Try) -> u16 {
    match one.result {
        Ok(status) => status,
        Err(reason) if reason.ends_with("timeout") => 504,
        Err(_) => 502,
    }
}

fn latencies(exchange: &Answered<'_>, outcome: &Outcome<'_>) -> Value {
    let timing = &exchange.timing;
    let milliseconds = |us: u64| us / 1000;
    let total = timing.total_us.unwrap_or_default();
    let gateway = timing.gateway_us.unwrap_or(total);
    let upstream = timing.upstream_us.filter(|_| !outcome.tries.is_empty());
    let receive = upstream.map_or(0, |upstream| total.saturating_sub(gateway + upstream));
    json!({
        "kong": milliseconds(gateway),
        "proxy": upstream.map_or(json!(-1), |upstream| json!(milliseconds(upstream))),
        "request": milliseconds(total),
        "receive": milliseconds(receive),
    })
}

fn attempt(one: &Try, was_retried: bool) -> Value {
    let mut attempt = json!({
        "balancer_start": one.started_us / 1000,
        "balancer_start_ns": one.started_us * 1000,
        "balancer_latency": one.picked_ns / 1_000_000,
        "balancer_latency_ns": one.picked_ns,
        "ip": one.address.ip().to_string(),
        "port": one.address.port(),
    });
    if was_retried {
        attempt["state"] = if one.result.is_ok() { "next" } else { "failed" }.into();
        attempt["code"] = status(one).into();
    }
    attempt
}

/// An entity as it is stored, with its workspace and without what is not set.
fn entity(entity: &impl Serialize) -> Value {
    let mut value = serde_json::to_value(entity).unwrap_or_default();
    without_nulls(&mut value);
    if let Value::Object(members) = &mut value {
        members.insert("ws_id".to_owned(), workspace_id().to_string().into());
    }
    value
}

fn without_nulls(value: &mut Value) {
    if let Value::Object(members) = value {
        members.retain(|_, value| !value.is_null());
        members.values_mut().for_each(without_nulls);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
