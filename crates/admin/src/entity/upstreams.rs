//! The health of an upstream, as the data planes see it.

use http::StatusCode;
use model::{Entity, HostPort};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::call::Call;
use crate::crud;
use crate::endpoint::Family;
use crate::entity::fleet::{Address, Seen, Target};
use crate::entity::targets;
use crate::error::Refusal;
use crate::query::escape;
use crate::state::{Object, Role};

const OFF: &str = "HEALTHCHECKS_OFF";

/// `/upstreams/{upstreams}/health`; `?data_planes=1` adds what each data plane says, which a
/// control plane always does.
pub(crate) async fn health(call: &Call<'_>, family: &Family) -> Result<Answer, Refusal> {
    let upstream = crud::parent_id(call, family).await?;
    let entity = call.state.store.get(family.parent.name, upstream).await?;
    let config = config(&entity.ok_or(Refusal::NotFound)?)?;
    let stored = targets::all(call, family, upstream).await?;
    let reported = call.state.fleet.upstream_health(upstream);
    let seen = Seen::of(&config, &stored, &reported);
    let node = call.state.about.node_id;
    // Kong's clients compare what a gateway answers; a control plane has no answer of Kong's.
    let detailed = call.state.about.role == Role::ControlPlane
        || call.query.text("data_planes").is_some_and(|value| value == "1");
    if call.query.text("balancer_health").is_some_and(|value| value == "1") {
        let mut data = of_upstream(&seen, &stored, detailed);
        data.insert("id".to_owned(), upstream.to_string().into());
        let body = json!({ "data": data, "next": null, "node_id": node });
        return Ok(Answer::json(StatusCode::OK, &body));
    }
    let (page, offset) = targets::cut(call, stored)?;
    let data: Vec<Value> = page
        .into_iter()
        .map(|target| {
            let (state, details) = of_target(&seen, &target, detailed);
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

/// A stored upstream as the balancer takes it.
pub(crate) fn config(upstream: &Entity) -> Result<balancer::Config, Refusal> {
    let upstream = model::Upstream::from_body(&upstream.body);
    let upstream = upstream.map_err(|error| Refusal::Broken(error.to_string()))?;
    Ok(balancer::Config::from(&upstream))
}

fn of_upstream(seen: &Seen, stored: &[Object], detailed: bool) -> Object {
    let hosts: Vec<Value> = stored
        .iter()
        .filter_map(|target| {
            let addresses = |a: &Address| {
                let mut shown = address(a, detailed);
                shown["healthy"] = a.healthy.into();
                shown
            };
            Some(host(seen.target(target)?, target, addresses))
        })
        .collect();
    let total = Weights::of(seen.targets().flat_map(|target| &target.addresses));
    let balancer = if seen.healthy { "HEALTHY" } else { "UNHEALTHY" };
    let mut body = json!({
        "health": if seen.checked { balancer } else { OFF },
        "balancer_health": balancer,
        "details": { "healthy": seen.healthy, "weight": total.shown(), "hosts": hosts },
    });
    if detailed {
        body["data_planes"] = seen.planes();
    }
    match body {
        Value::Object(body) => body,
        _ => Object::new(),
    }
}

fn of_target(seen: &Seen, target: &Object, detailed: bool) -> (&'static str, Value) {
    // A target without weight gets no requests, so its health means nothing.
    let off = !seen.checked || weight(target) == 0;
    let word = |healthy: bool| match (off, healthy) {
        (true, _) => OFF,
        (false, true) => "HEALTHY",
        (false, false) => "UNHEALTHY",
    };
    let Some(seen) = seen.target(target) else { return (word(true), Value::Null) };
    let state = if off {
        OFF
    } else if seen.addresses.is_empty() {
        "DNS_ERROR"
    } else {
        word(seen.addresses.iter().any(|address| address.healthy))
    };
    let addresses = |a: &Address| {
        let mut shown = address(a, detailed);
        shown["health"] = word(a.healthy).into();
        shown
    };
    (state, host(seen, target, addresses))
}

/// An address without its health, which Kong writes in two ways; `data_planes` is Weir's own.
fn address(address: &Address, detailed: bool) -> Value {
    let mut shown = json!({
        "ip": address.address.ip(),
        "port": address.address.port(),
        "weight": address.weight,
    });
    if detailed {
        shown["data_planes"] = address.shown_planes();
    }
    shown
}

fn host(seen: &Target, target: &Object, address: impl Fn(&Address) -> Value) -> Value {
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
    fn of<'a>(addresses: impl IntoIterator<Item = &'a Address>) -> Weights {
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

/// The weight of a stored target.
pub(crate) fn weight(target: &Object) -> u32 {
    let weight = target.get("weight").and_then(Value::as_u64).unwrap_or(100);
    u32::try_from(weight).unwrap_or(u32::MAX)
}
