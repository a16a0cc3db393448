//! What a change of an upstream's targets, or the loss of some, would do to its traffic.
//!
//! Answered by the balancer itself: two upstreams are made, one as things stand and one as they
//! would be, and both are asked for the same picks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use balancer::{Algorithm, Answer as Resolved, Config, Key, Lease, Pick, TargetSpec, Upstream};
use http::StatusCode;
use model::HostPort;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::Answer;
use crate::call::Call;
use crate::crud;
use crate::endpoint::Family;
use crate::entity::{fleet::Seen, targets, upstreams};
use crate::error::Refusal;
use crate::state::Object;

/// How many picks are made of each of the two, each with a key of its own.
const PICKS: u32 = 20_000;
/// More targets than this are not looked at.
const TARGETS: usize = 10_000;
/// Kong's weight of a target that names none, and the largest.
const DEFAULT_WEIGHT: u64 = 100;
const MAX_WEIGHT: u64 = 65_535;

/// The targets of an upstream, as they are or would be.
#[derive(Clone, Debug, Default)]
struct Situation {
    specs: Vec<TargetSpec>,
    /// The addresses of names, where a data plane knows them.
    addresses: BTreeMap<Arc<str>, Vec<IpAddr>>,
    /// `host:port` of targets that are there and take no requests.
    down: BTreeSet<String>,
}

/// What came of the picks.
#[derive(Debug, Default)]
struct Outcome {
    /// By target: how many picks it got.
    share: BTreeMap<String, u32>,
    /// By pick: which target got it.
    picked: Vec<Option<String>>,
    total: u64,
    available: u64,
    healthy: bool,
}

/// `POST /upstreams/{upstreams}/preview` with `targets` (what there would be, in place of what
/// there is), `down` (which of them would take no requests), or both. Nothing is written.
pub(crate) async fn preview(call: &Call<'_>, family: &Family) -> Result<Answer, Refusal> {
    let upstream = crud::parent_id(call, family).await?;
    let entity = call.state.store.get(family.parent.name, upstream).await?;
    let config = upstreams::config(&entity.ok_or(Refusal::NotFound)?)?;
    let stored = targets::all(call, family, upstream).await?;
    let seen = Seen::of(&config, &stored, &call.state.fleet.upstream_health(upstream));
    let before = present(&stored, &seen);
    let after = proposed(&call.input.object, &before)?;
    let algorithm = config.algorithm;
    let now = call.state.clock.monotonic();
    let both = tokio::task::spawn_blocking(move || {
        (play(&config, &before, now), play(&config, &after, now), after)
    });
    let (before, after, situation) =
        both.await.map_err(|error| Refusal::Broken(error.to_string()))?;
    Ok(Answer::json(StatusCode::OK, &shown(algorithm, &before, &after, &situation)))
}

/// The targets as they are stored, with what data planes see of them.
fn present(stored: &[Object], seen: &Seen) -> Situation {
    let mut situation = Situation::default();
    for target in stored.iter().take(TARGETS) {
        let Some(spec) = target.get("target").and_then(Value::as_str).and_then(|text| {
            let failover = target.get("failover").and_then(Value::as_bool).unwrap_or(false);
            spec(text, upstreams::weight(target), failover)
        }) else {
            continue;
        };
        if let Some(seen) = seen.target(target) {
            let ips = seen.addresses.iter().map(|address| address.address.ip()).collect();
            situation.addresses.insert(spec.host.clone(), ips);
            let is_down = seen.addresses.iter().all(|address| !address.healthy);
            if is_down && !seen.addresses.is_empty() {
                situation.down.insert(place(&spec));
            }
        }
        situation.specs.push(spec);
    }
    situation
}

/// What the request proposes, on top of what there is.
fn proposed(body: &Object, before: &Situation) -> Result<Situation, Refusal> {
    if let Some(unknown) = body.keys().find(|name| !matches!(name.as_str(), "targets" | "down")) {
        return Err(Refusal::field(unknown, "unknown field"));
    }
    let mut after = before.clone();
    if let Some(targets) = body.get("targets") {
        let list = targets.as_array().filter(|list| list.len() <= TARGETS);
        let list = list.ok_or_else(|| {
            Refusal::field("targets", format!("expected an array of up to {TARGETS} targets"))
        })?;
        let read = |target: &Value| {
            let text = target.get("target")?.as_str()?;
            let weight = match target.get("weight") {
                None | Some(Value::Null) => DEFAULT_WEIGHT,
                Some(weight) => weight.as_u64().filter(|weight| *weight <= MAX_WEIGHT)?,
            };
            let failover = target.get("failover").and_then(Value::as_bool).unwrap_or(false);
            spec(text, u32::try_from(weight).ok()?, failover)
        };
        after.specs = list.iter().map(read).collect::<Option<_>>().ok_or_else(|| {
            Refusal::field(
                "targets",
                format!("each needs a target (host:port) and may have a weight up to {MAX_WEIGHT}"),
            )
        })?;
        let present: BTreeSet<String> = after.specs.iter().map(place).collect();
        after.down.retain(|target| present.contains(target));
    }
    if let Some(down) = body.get("down") {
        let list = down.as_array().ok_or_else(|| Refusal::field("down", "expected an array"))?;
        let present: BTreeSet<String> = after.specs.iter().map(place).collect();
        for target in list {
            let text = target.as_str().unwrap_or_default();
            let known = spec(text, 0, false).map(|spec| place(&spec));
            let known = known.filter(|known| present.contains(known));
            let known = known.ok_or_else(|| {
                Refusal::field("down", format!("'{text}' is none of the targets"))
            })?;
            after.down.insert(known);
        }
    }
    Ok(after)
}

fn spec(target: &str, weight: u32, failover: bool) -> Option<TargetSpec> {
    let parsed: HostPort = target.parse().ok()?;
    let text = parsed.to_string();
    Some(TargetSpec {
        // The same target has the same id on both sides, so that it is the same to the balancer.
        id: Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()),
        host: parsed.host.to_string().into(),
        port: parsed.port,
        weight,
        failover,
    })
}

fn place(spec: &TargetSpec) -> String {
    format!("{}:{}", spec.host, spec.port)
}

/// Asks the balancer.
fn play(config: &Config, situation: &Situation, now: Instant) -> Outcome {
    let mut config = config.clone();
    // Health can be set by hand only where there are checks.
    config.passive.limits.tcp_failures = config.passive.limits.tcp_failures.max(1);
    let algorithm = config.algorithm;
    let upstream = Upstream::new(config, 0);
    upstream.set_targets(&situation.specs);
    for (number, name) in (0u32..).zip(upstream.names()) {
        let known = situation.addresses.get(&name).filter(|known| !known.is_empty());
        // One that nobody has resolved counts as one address.
        let assumed = vec![IpAddr::from(number.to_be_bytes().map(|byte| byte | 0x40))];
        upstream.set_answer(&name, &Resolved::Addresses(known.cloned().unwrap_or(assumed)));
    }
    for spec in situation.specs.iter().filter(|spec| situation.down.contains(&place(spec))) {
        // One without addresses takes no requests as it is.
        let _ = upstream.set_health(&spec.host, spec.port, None, false, now);
    }
    // Algorithms that look at the load see the load grow.
    let holds = matches!(algorithm, Algorithm::LeastConnections | Algorithm::Latency);
    let mut held: Vec<Lease> = Vec::new();
    let mut outcome = Outcome::default();
    for number in 0..PICKS {
        let key = match algorithm {
            Algorithm::ConsistentHashing => Key::Hash(scattered(number)),
            Algorithm::StickySessions => Key::Sticky(None),
            _ => Key::None,
        };
        let lease = upstream.pick(&Pick { key, tried: &[], now }).ok();
        let target = lease.as_ref().map(|lease| format!("{}:{}", lease.host(), lease.port()));
        if let Some(target) = &target {
            *outcome.share.entry(target.clone()).or_default() += 1;
        }
        outcome.picked.push(target);
        if holds {
            held.extend(lease);
        }
    }
    let view = upstream.view(now);
    outcome.total = view.weight.total;
    outcome.available = view.weight.available();
    outcome.healthy = view.healthy;
    outcome
}

/// Keys all over the space of hashes (Fibonacci hashing: an odd multiplier visits every value).
fn scattered(number: u32) -> u32 {
    number.wrapping_mul(0x9E37_79B9)
}

fn shown(algorithm: Algorithm, before: &Outcome, after: &Outcome, situation: &Situation) -> Value {
    let weights: BTreeMap<String, u32> =
        situation.specs.iter().map(|spec| (place(spec), spec.weight)).collect();
    let names: BTreeSet<&String> = weights.keys().chain(before.share.keys()).collect();
    let targets: Vec<Value> = names
        .into_iter()
        .map(|name| {
            json!({
                "target": name,
                "weight": weights.get(name),
                "down": situation.down.contains(name),
                "before": part(before.share.get(name).copied().unwrap_or(0), PICKS),
                "after": part(after.share.get(name).copied().unwrap_or(0), PICKS),
            })
        })
        .collect();
    let moved = before.picked.iter().zip(&after.picked).filter(|(one, other)| one != other).count();
    let moved = (algorithm == Algorithm::ConsistentHashing)
        .then(|| part(u32::try_from(moved).unwrap_or(u32::MAX), PICKS));
    let capacity = |outcome: &Outcome| {
        json!({
            "weight": outcome.total,
            "available": outcome.available,
            "healthy": outcome.healthy,
        })
    };
    json!({
        "targets": targets,
        "moved_keys": moved,
        "before": capacity(before),
        "after": capacity(after),
        // Of what is available now; more than 1 when there will be more.
        "capacity_left": (before.available > 0)
            .then(|| rounded(after.available as f64 / before.available as f64)),
    })
}

fn part(some: u32, of: u32) -> f64 {
    rounded(f64::from(some) / f64::from(of))
}

/// To four places: what 20,000 picks can tell.
fn rounded(share: f64) -> f64 {
    (share * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::tests::support::{Answered, Stored, send};

    /// An upstream `u` of this algorithm with three targets of equal weight.
    async fn upstream(algorithm: &str) -> Stored {
        let stored = Stored::sqlite().await;
        let mut body = json!({"name": "u", "algorithm": algorithm});
        if algorithm == "consistent-hashing" {
            body["hash_on"] = "ip".into();
        }
        assert_eq!(send(&stored.api, "POST", "/upstreams", Some(body)).await.status, 201);
        for number in 1..=3 {
            let target = json!({"target": format!("10.0.0.{number}:80")});
            let made = send(&stored.api, "POST", "/upstreams/u/targets", Some(target)).await;
            assert_eq!(made.status, 201);
        }
        stored
    }

    async fn preview(stored: &Stored, body: serde_json::Value) -> Answered {
        send(&stored.api, "POST", "/upstreams/u/preview", Some(body)).await
    }

    fn shares(answer: &Answered, of: &str) -> Vec<f64> {
        let targets = answer.json["targets"].as_array().unwrap();
        targets.iter().map(|target| target[of].as_f64().unwrap()).collect()
    }

    fn near(shares: &[f64], expected: &[f64]) {
        let fits = shares.iter().zip(expected).all(|(one, other)| (one - other).abs() < 0.015);
        assert!(fits && shares.len() == expected.len(), "{shares:?} is not {expected:?}");
    }

    #[tokio::test]
    async fn a_target_that_is_lost_leaves_its_share_to_the_others() {
        for algorithm in ["round-robin", "least-connections", "consistent-hashing", "latency"] {
            let stored = upstream(algorithm).await;
            let answer = preview(&stored, json!({"down": ["10.0.0.2:80"]})).await;
            assert_eq!(answer.status, 200, "{}", answer.json);
            let third = 1.0 / 3.0;
            near(&shares(&answer, "before"), &[third, third, third]);
            near(&shares(&answer, "after"), &[0.5, 0.0, 0.5]);
            assert_eq!(answer.json["capacity_left"], 0.6667);
            assert_eq!(answer.json["after"]["weight"], 300);
            match algorithm {
                // Only the keys of the one that is lost move.
                "consistent-hashing" => {
                    near(&[answer.json["moved_keys"].as_f64().unwrap()], &[third]);
                }
                _ => assert!(answer.json["moved_keys"].is_null()),
            }
        }
    }

    #[tokio::test]
    async fn proposed_targets_are_compared_with_those_that_are_there() {
        let stored = upstream("consistent-hashing").await;
        let before = stored.store.head().await.unwrap().at.revision;
        let targets = json!([
            {"target": "10.0.0.1:80"}, {"target": "10.0.0.2:80"}, {"target": "10.0.0.3:80"},
            {"target": "new.example:80", "weight": 100},
        ]);
        let answer = preview(&stored, json!({ "targets": targets })).await;
        near(&shares(&answer, "after"), &[0.25; 4]);
        // The new one takes its share, and nothing else moves.
        near(&[answer.json["moved_keys"].as_f64().unwrap()], &[0.25]);
        assert_eq!(answer.json["capacity_left"], 1.3333);
        assert_eq!(stored.store.head().await.unwrap().at.revision, before, "nothing is written");

        let all = json!(["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]);
        let none = preview(&stored, json!({ "down": all })).await;
        assert_eq!(none.json["after"]["healthy"], false);
        near(&shares(&none, "after"), &[0.0; 3]);
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_proposal_is_named() {
        let stored = upstream("round-robin").await;
        for (body, field) in [
            (json!({"down": ["10.0.0.9:80"]}), "down"),
            (json!({"down": "10.0.0.1:80"}), "down"),
            (json!({"targets": [{"target": "10.0.0.1:80", "weight": 65536}]}), "targets"),
            (json!({"targets": [{"target": "a b"}]}), "targets"),
            (json!({"lost": []}), "lost"),
        ] {
            let answer = preview(&stored, body).await;
            assert_eq!(answer.status, 400);
            assert!(!answer.json["fields"][field].is_null(), "{}", answer.json);
        }
        assert_eq!(send(&stored.api, "POST", "/upstreams/x/preview", None).await.status, 404);
    }
}
