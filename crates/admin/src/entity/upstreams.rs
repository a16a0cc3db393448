//! The health of an upstream, as the data planes see it.

use http::StatusCode;
use model::HostPort;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::call::Call;
use crate::crud;
use crate::endpoint::Family;
use crate::entity::targets;
use crate::error::Refusal;
use crate::query::escape;
use crate::state::{AddressHealth, Object, TargetHealth, UpstreamHealth};

const OFF: &str = "HEALTHCHECKS_OFF";

/// `/upstreams/{upstreams}/health`
pub(crate) async fn health(call: &Call<'_>, family: &Family) -> Result<Answer, Refusal> {
    let upstream = crud::parent_id(call, family).await?;
    let stored = targets::all(call, family, upstream).await?;
    let reported = call.state.fleet.upstream_health(upstream).await;
    let node = call.state.about.node_id;
    if call.query.text("balancer_health").is_some_and(|value| value == "1") {
        let health = reported.unwrap_or_else(|| unreported(&stored));
        let mut data = of_upstream(&health, &stored);
        data.insert("id".to_owned(), upstream.to_string().into());
        let body = json!({ "data": data, "next": null, "node_id": node });
        return Ok(Answer::json(StatusCode::OK, &body));
    }
    let (page, offset) = targets::cut(call, stored)?;
    let health = reported.unwrap_or_else(|| unreported(&page));
    let data: Vec<Value> = page
        .into_iter()
        .map(|target| {
            let seen = health
                .targets
                .iter()
                .find(|seen| target.get("target") == Some(&json!(seen.target)));
            let (state, details) = of_target(&health, seen, &target);
            let mut shown = crud::shown(call.state, family.child, &target);
            shown.insert("health".to_owned(), state.into());
            shown.insert("data".to_owned(), details);
            Value::Object(shown)
        })
        .collect();
    let mut body = json!({ "data": data, "next": null, "node_id": node });
    if let Some(offset) = offset {
        let path = format!("/{}/{}/health", family.parent.path, call.segment(1).raw);
        body["next"] = format!("{path}?offset={}", escape(&offset)).into();
        body["offset"] = offset.into();
    }
    Ok(Answer::json(StatusCode::OK, &body))
}

/// What is known without a data plane: nothing is checked, and an address literal is its own
/// address.
fn unreported(stored: &[Object]) -> UpstreamHealth {
    let targets = stored
        .iter()
        .filter_map(|target| {
            let text = target.get("target")?.as_str()?;
            let parsed: HostPort = text.parse().ok()?;
            let address = parsed.host.ip().map(|ip| AddressHealth {
                address: (ip, parsed.port).into(),
                weight: weight(target),
                healthy: true,
            });
            Some(TargetHealth {
                target: text.to_owned(),
                dns: "A".to_owned(),
                addresses: address.into_iter().collect(),
            })
        })
        .collect();
    UpstreamHealth { checked: false, healthy: true, targets }
}

fn of_upstream(health: &UpstreamHealth, stored: &[Object]) -> Object {
    let hosts: Vec<Value> = stored
        .iter()
        .filter_map(|target| {
            let seen = health
                .targets
                .iter()
                .find(|seen| target.get("target") == Some(&json!(seen.target)));
            let addresses = |a: &AddressHealth| {
                json!({
                    "ip": a.address.ip(),
                    "port": a.address.port(),
                    "weight": a.weight,
                    "healthy": a.healthy,
                })
            };
            Some(host(seen?, target, addresses))
        })
        .collect();
    let total = Weights::of(health.targets.iter().flat_map(|target| &target.addresses));
    let balancer = if health.healthy { "HEALTHY" } else { "UNHEALTHY" };
    let body = json!({
        "health": if health.checked { balancer } else { OFF },
        "balancer_health": balancer,
        "details": { "healthy": health.healthy, "weight": total.shown(), "hosts": hosts },
    });
    match body {
        Value::Object(body) => body,
        _ => Object::new(),
    }
}

fn of_target(
    health: &UpstreamHealth,
    seen: Option<&TargetHealth>,
    target: &Object,
) -> (&'static str, Value) {
    // A target without weight gets no requests, so its health means nothing.
    let off = !health.checked || weight(target) == 0;
    let word = |healthy: bool| match (off, healthy) {
        (true, _) => OFF,
        (false, true) => "HEALTHY",
        (false, false) => "UNHEALTHY",
    };
    let Some(seen) = seen else { return (word(true), Value::Null) };
    let state = if off {
        OFF
    } else if seen.addresses.is_empty() {
        "DNS_ERROR"
    } else {
        word(seen.addresses.iter().any(|address| address.healthy))
    };
    let addresses = |a: &AddressHealth| {
        json!({
            "ip": a.address.ip(),
            "port": a.address.port(),
            "weight": a.weight,
            "health": word(a.healthy),
        })
    };
    (state, host(seen, target, addresses))
}

fn host(seen: &TargetHealth, target: &Object, address: impl Fn(&AddressHealth) -> Value) -> Value {
    let parsed: Option<HostPort> = seen.target.parse().ok();
    json!({
        "host": parsed.as_ref().map(|parsed| parsed.host.to_string()),
        "port": parsed.as_ref().map(|parsed| parsed.port),
        "dns": seen.dns,
        "nodeWeight": weight(target),
        "weight": Weights::of(&seen.addresses).shown(),
        "addresses": seen.addresses.iter().map(address).collect::<Vec<_>>(),
    })
}

struct Weights {
    available: u64,
    unavailable: u64,
}

impl Weights {
    fn of<'a>(addresses: impl IntoIterator<Item = &'a AddressHealth>) -> Weights {
        let mut weights = Weights { available: 0, unavailable: 0 };
        for address in addresses {
            let sum =
                if address.healthy { &mut weights.available } else { &mut weights.unavailable };
            *sum += u64::from(address.weight);
        }
        weights
    }

    fn shown(&self) -> Value {
        json!({
            "total": self.available + self.unavailable,
            "available": self.available,
            "unavailable": self.unavailable,
        })
    }
}

fn weight(target: &Object) -> u32 {
    let weight = target.get("weight").and_then(Value::as_u64).unwrap_or(100);
    u32::try_from(weight).unwrap_or(u32::MAX)
}
