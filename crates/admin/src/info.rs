//! What a node says of itself: `/`, `/status`, `/endpoints`, `/debug`, `/clustering`.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use model::Kind;
use serde::Deserialize;
use serde_json::{Value, json};
use telemetry::build_info::KONG_VERSION;
use telemetry::logging::Level;
use telemetry::metrics;

use crate::answer::Answer;
use crate::error::Refusal;
use crate::query::Query;
use crate::scan::scan;
use crate::state::{DataPlane, Object, Role, State};

/// How long a changed log level lasts when the caller does not say (Kong's default).
const LOG_LEVEL_SECONDS: f64 = 60.0;

/// `GET /`.
pub(crate) async fn root(state: &State) -> Result<Answer, Refusal> {
    let about = &state.about;
    let names = state.plugins.names();
    let available: Object = names
        .iter()
        .filter_map(|name| state.plugins.find(name))
        .map(|plugin| {
            let shown = json!({ "version": plugin.version, "priority": plugin.priority });
            (plugin.name.to_owned(), shown)
        })
        .collect();
    let loaded: Object = names.iter().map(|&name| (name.to_owned(), true.into())).collect();
    let mut configuration = about.configuration.clone();
    configuration.insert("loaded_plugins".to_owned(), loaded.into());
    configuration.insert("role".to_owned(), role(about.role).into());
    configuration.insert("router_flavor".to_owned(), json!(about.router_flavor.as_str()));
    let pid = std::process::id();
    let body = json!({
        "tagline": "Welcome to kong",
        "version": KONG_VERSION,
        "edition": "community",
        "hostname": about.hostname,
        "node_id": about.node_id,
        // Clients expect a string; there is no Lua here to tell the version of.
        "lua_version": "none",
        "timers": { "running": 0, "pending": 0 },
        "pids": { "master": pid, "workers": [pid] },
        "plugins": {
            "available_on_server": available,
            "enabled_in_cluster": configured_plugins(state).await?,
        },
        "configuration": configuration,
    });
    Ok(Answer::json(StatusCode::OK, &body))
}

/// The names of all plugins that are configured anywhere.
async fn configured_plugins(state: &State) -> Result<BTreeSet<String>, Refusal> {
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    let mut names = BTreeSet::new();
    scan(state, Kind::known("plugins"), None, |entity| {
        if let Ok(plugin) = serde_json::from_str::<Named>(&entity.body) {
            names.insert(plugin.name);
        }
        true
    })
    .await?;
    Ok(names)
}

/// `GET /status`.
pub(crate) async fn status(state: &State, query: &Query) -> Result<Answer, Refusal> {
    let unit = Unit::of(query)?;
    let connections = state.node.connections();
    let memory = unit.show(state.node.resident_memory());
    let mut body = json!({
        "memory": {
            "lua_shared_dicts": {},
            "workers_lua_vms": [{ "pid": std::process::id(), "http_allocated_gc": memory }],
        },
        "server": {
            "connections_accepted": connections.accepted,
            "connections_active": connections.active,
            "connections_handled": connections.handled,
            "connections_reading": connections.reading,
            "connections_writing": connections.writing,
            "connections_waiting": connections.waiting,
            "total_requests": connections.requests,
        },
    });
    match &state.declarative {
        Some(current) => body["configuration_hash"] = current.hash().into(),
        None => body["database"] = json!({ "reachable": state.store.head().await.is_ok() }),
    }
    Ok(Answer::json(StatusCode::OK, &body))
}

/// `GET /metrics`.
pub(crate) fn metrics(state: &State) -> Answer {
    let mut answer = Answer::empty(StatusCode::OK);
    answer.headers.insert(CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
    answer.body = state.node.metrics().into();
    answer
}

/// How `/status` shows amounts of memory.
#[derive(Debug)]
struct Unit {
    bytes: f64,
    /// `None`: a bare number.
    name: Option<&'static str>,
    decimals: usize,
}

impl Unit {
    fn of(query: &Query) -> Result<Unit, Refusal> {
        let unit = query.text("unit").unwrap_or("m");
        let (bytes, name) = match unit {
            "b" | "B" => (1.0, None),
            "k" | "K" => (1024.0, Some("KiB")),
            "m" | "M" => (1024.0 * 1024.0, Some("MiB")),
            "g" | "G" => (1024.0 * 1024.0 * 1024.0, Some("GiB")),
            other => {
                return Err(Refusal::bad_request(format!(
                    "invalid unit '{other}' (expected 'k/K', 'm/M', or 'g/G')"
                )));
            }
        };
        let decimals = query.text("scale").and_then(|text| text.parse().ok()).unwrap_or(2);
        Ok(Unit { bytes, name, decimals: decimals.min(9) })
    }

    fn show(&self, amount: u64) -> Value {
        match self.name {
            None => amount.into(),
            Some(name) => format!("{:.*} {name}", self.decimals, amount as f64 / self.bytes).into(),
        }
    }
}

/// `GET /debug/node/log-level`.
pub(crate) fn log_level(state: &State) -> Answer {
    let level = state.node.log_level();
    Answer::json(StatusCode::OK, &json!({ "message": format!("log level: {level}") }))
}

/// `PUT /debug/node/log-level/{level}`.
pub(crate) fn set_log_level(state: &State, name: &str, query: &Query) -> Result<Answer, Refusal> {
    let level = Level::from_str(name)
        .map_err(|_| Refusal::bad_request(format!("unknown log level: {name}")))?;
    let seconds = match query.text("timeout") {
        None => LOG_LEVEL_SECONDS,
        Some(text) => text.parse().unwrap_or(LOG_LEVEL_SECONDS),
    };
    let during = Duration::try_from_secs_f64(seconds)
        .map_err(|_| Refusal::bad_request("timeout must be greater than or equal to 0"))?;
    let message = if state.node.log_level() == level {
        format!("log level is already {level}")
    } else {
        // No time means that it stays.
        let during = Some(during).filter(|during| !during.is_zero());
        state.node.set_log_level(level, during).map_err(Refusal::bad_request)?;
        "log level changed".to_owned()
    };
    Ok(Answer::json(StatusCode::OK, &json!({ "message": message })))
}

/// `GET /clustering/data-planes`.
pub(crate) fn data_planes(state: &State) -> Result<Answer, Refusal> {
    control_plane_only(state)?;
    let planes = state.fleet.data_planes();
    let data: Vec<Value> = planes.iter().map(|plane| data_plane(plane, REJECTED_LISTED)).collect();
    Ok(Answer::json(StatusCode::OK, &json!({ "data": data, "next": null })))
}

/// `GET /clustering/status`, which Kong replaced by `/clustering/data-planes`.
pub(crate) fn clustering_status(state: &State) -> Result<Answer, Refusal> {
    control_plane_only(state)?;
    let nodes: Object = state
        .fleet
        .data_planes()
        .iter()
        .map(|node| {
            let shown = json!({
                "config_hash": node.config_hash,
                "hostname": node.hostname,
                "ip": node.ip,
                "last_seen": node.last_seen,
            });
            (node.id.to_string(), shown)
        })
        .collect();
    let answer = Answer::json(StatusCode::OK, &Value::Object(nodes));
    Ok(answer.with(HeaderName::from_static("deprecation"), "true"))
}

/// Kong has these endpoints on a control plane only.
pub(crate) fn control_plane_only(state: &State) -> Result<(), Refusal> {
    match state.about.role {
        Role::ControlPlane => Ok(()),
        Role::Traditional => Err(Refusal::bad_request(
            "this endpoint is only available when Kong is configured to run as Control Plane for \
             the cluster",
        )),
    }
}

/// As many rejected entities of each data plane are in the list of data planes; all that are known
/// are at the data plane itself.
const REJECTED_LISTED: usize = 20;

/// As Kong's `clustering_data_planes` shows it, with so many of the entities that it rejected.
pub(crate) fn data_plane(node: &DataPlane, rejected: usize) -> Value {
    let rejected = node.rejected.iter().take(rejected).map(|one| {
        json!({
            "entity": one.kind,
            "id": one.id,
            "revision": one.revision,
            "reason": one.reason,
            "in_part": one.in_part,
        })
    });
    json!({
        "id": node.id,
        "hostname": node.hostname,
        "ip": node.ip,
        "version": node.version,
        "config_hash": node.config_hash,
        "sync_status": node.sync_status,
        "last_seen": node.last_seen,
        "updated_at": node.last_seen,
        "labels": (!node.labels.is_empty()).then_some(&node.labels),
        "cert_details": node.certificate.as_ref().map(|shown| json!({
            "expiry_timestamp": shown.expires,
            // Weir's own: what `/clustering/revocations` takes.
            "fingerprint": shown.fingerprint,
        })),
        "rpc_capabilities": null,
        // Weir's own: the revision that it serves, and the one that it is to serve.
        "revision": node.serving,
        "target_revision": node.target,
        // Weir's own: what it could not apply as it is, and how many these are.
        "rejected": rejected.collect::<Vec<_>>(),
        "rejected_total": node.rejected_total,
    })
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Traditional => "traditional",
        Role::ControlPlane => "control_plane",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(text: &str) -> Result<Unit, Refusal> {
        Unit::of(&Query::parse(Some(text)).unwrap())
    }

    #[test]
    fn memory_is_shown_in_the_asked_unit() {
        let amount = 3 * 1024 * 1024 / 2;
        assert_eq!(unit("").unwrap().show(amount), json!("1.50 MiB"));
        assert_eq!(unit("unit=b").unwrap().show(amount), json!(amount));
        assert_eq!(unit("unit=K&scale=0").unwrap().show(amount), json!("1536 KiB"));
        assert_eq!(unit("unit=g&scale=3").unwrap().show(amount), json!("0.001 GiB"));
        match unit("unit=x") {
            Err(Refusal::Message(StatusCode::BAD_REQUEST, text)) => {
                assert_eq!(text, "invalid unit 'x' (expected 'k/K', 'm/M', or 'g/G')");
            }
            other => panic!("{other:?}"),
        }
    }
}
