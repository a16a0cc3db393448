//! Entities of the model, unpacked.
//!
//! An entity that was stored is complete and checked, so what is absent here can only come from an
//! older or newer control plane: it gets Kong's default.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{
    ActiveChecks, Algorithm, Config, HashOn, Origin, PanicPolicy, ProbeHeader, ProbeProtocol,
};
use crate::ejection::Ejection;
use crate::health::{Limits, Rules};
use crate::retry::Retry;
use crate::target::TargetSpec;

/// Kong's default weight of a target.
const DEFAULT_WEIGHT: u32 = 100;

/// Kong's default for probes of one upstream at a time.
const DEFAULT_CONCURRENCY: usize = 10;

impl From<&model::Upstream> for Config {
    fn from(upstream: &model::Upstream) -> Config {
        let hash_on = hash_on(
            upstream.hash_on,
            &upstream.hash_on_header,
            &upstream.hash_on_cookie,
            &upstream.hash_on_query_arg,
            &upstream.hash_on_uri_capture,
        );
        let hash_fallback = hash_on_fallback(upstream);
        Config {
            id: upstream.id,
            name: upstream.name.as_str().into(),
            origin: Origin::Entity,
            algorithm: match upstream.algorithm {
                None | Some(model::Algorithm::RoundRobin) => Algorithm::RoundRobin,
                Some(model::Algorithm::ConsistentHashing) => Algorithm::ConsistentHashing,
                Some(model::Algorithm::LeastConnections) => Algorithm::LeastConnections,
                Some(model::Algorithm::Latency) => Algorithm::Latency,
                Some(model::Algorithm::StickySessions) => Algorithm::StickySessions,
            },
            hash_on,
            hash_fallback,
            hash_on_cookie_path: text(&upstream.hash_on_cookie_path).unwrap_or_else(root),
            sticky_cookie: text(&upstream.sticky_sessions_cookie).unwrap_or_default(),
            sticky_cookie_path: text(&upstream.sticky_sessions_cookie_path).unwrap_or_else(root),
            threshold: upstream.healthchecks.threshold.unwrap_or(0.0),
            active: active(&upstream.healthchecks.active),
            passive: passive(&upstream.healthchecks.passive),
            ejection: upstream.healthchecks.passive.ejection.as_ref().map(ejection),
            slow_start: seconds(upstream.slow_start),
            panic: match upstream.panic_policy {
                None | Some(model::PanicPolicy::FailClosed) => PanicPolicy::FailClosed,
                Some(model::PanicPolicy::FailOpen) => PanicPolicy::FailOpen,
            },
            retry: upstream.retry.as_ref().map(|settings| Arc::new(retry(settings))),
            host_header: text(&upstream.host_header),
            client_certificate: upstream.client_certificate.map(|reference| reference.id),
            use_srv_name: upstream.use_srv_name.unwrap_or(false),
        }
    }
}

impl From<&model::Target> for TargetSpec {
    fn from(target: &model::Target) -> TargetSpec {
        TargetSpec {
            id: target.id,
            host: target.target.host.to_string().into(),
            port: target.target.port,
            weight: target.weight.unwrap_or(DEFAULT_WEIGHT),
            failover: target.failover.unwrap_or(false),
        }
    }
}

fn hash_on_fallback(upstream: &model::Upstream) -> HashOn {
    hash_on(
        upstream.hash_fallback,
        &upstream.hash_fallback_header,
        // One cookie serves both.
        &upstream.hash_on_cookie,
        &upstream.hash_fallback_query_arg,
        &upstream.hash_fallback_uri_capture,
    )
}

/// A source that lacks its name is as good as none: Kong's rules demand the name.
fn hash_on(
    source: Option<model::HashOn>,
    header: &Option<String>,
    cookie: &Option<String>,
    query_arg: &Option<String>,
    capture: &Option<String>,
) -> HashOn {
    let named =
        |name: &Option<String>, make: fn(Arc<str>) -> HashOn| text(name).map_or(HashOn::None, make);
    match source {
        None | Some(model::HashOn::None) => HashOn::None,
        Some(model::HashOn::Consumer) => HashOn::Consumer,
        Some(model::HashOn::Ip) => HashOn::Ip,
        Some(model::HashOn::Path) => HashOn::Path,
        Some(model::HashOn::Header) => named(header, HashOn::Header),
        Some(model::HashOn::Cookie) => named(cookie, HashOn::Cookie),
        Some(model::HashOn::QueryArg) => named(query_arg, HashOn::QueryArg),
        Some(model::HashOn::UriCapture) => named(capture, HashOn::UriCapture),
    }
}

fn active(checks: &model::ActiveCheck) -> ActiveChecks {
    let headers = checks.headers.iter().flatten();
    let headers =
        headers.map(|(name, values)| ProbeHeader { name: name.clone(), values: values.clone() });
    ActiveChecks {
        protocol: match checks.r#type {
            None | Some(model::CheckType::Http) => ProbeProtocol::Http,
            Some(model::CheckType::Https) => ProbeProtocol::Https,
            Some(model::CheckType::Tcp) => ProbeProtocol::Tcp,
            Some(model::CheckType::Grpc) => ProbeProtocol::Grpc,
            Some(model::CheckType::Grpcs) => ProbeProtocol::Grpcs,
        },
        timeout: seconds(checks.timeout.or(Some(1.0))),
        concurrency: checks
            .concurrency
            .and_then(|at_once| usize::try_from(at_once).ok())
            .map_or(DEFAULT_CONCURRENCY, |at_once| at_once.max(1)),
        http_path: text(&checks.http_path).unwrap_or_else(root),
        https_sni: text(&checks.https_sni),
        https_verify_certificate: checks.https_verify_certificate,
        headers: headers.collect(),
        healthy_interval: seconds(checks.healthy.interval),
        unhealthy_interval: seconds(checks.unhealthy.interval),
        rules: Rules {
            limits: Limits {
                successes: count(checks.healthy.successes),
                http_failures: count(checks.unhealthy.http_failures),
                tcp_failures: count(checks.unhealthy.tcp_failures),
                timeouts: count(checks.unhealthy.timeouts),
            },
            healthy_statuses: checks.healthy.http_statuses.iter().flatten().copied().collect(),
            unhealthy_statuses: checks.unhealthy.http_statuses.iter().flatten().copied().collect(),
        },
    }
}

fn passive(checks: &model::PassiveCheck) -> Rules {
    Rules {
        limits: Limits {
            successes: count(checks.healthy.successes),
            http_failures: count(checks.unhealthy.http_failures),
            tcp_failures: count(checks.unhealthy.tcp_failures),
            timeouts: count(checks.unhealthy.timeouts),
        },
        healthy_statuses: checks.healthy.http_statuses.iter().flatten().copied().collect(),
        unhealthy_statuses: checks.unhealthy.http_statuses.iter().flatten().copied().collect(),
    }
}

fn ejection(settings: &model::Ejection) -> Ejection {
    Ejection {
        time: seconds(settings.time.or(Some(30.0))),
        max_time: seconds(settings.max_time.or(Some(300.0))),
        max_percent: settings.max_percent.unwrap_or(50.0),
    }
}

fn retry(settings: &model::Retry) -> Retry {
    Retry {
        statuses: settings.http_statuses.iter().flatten().copied().collect(),
        methods: settings.methods.clone(),
        timeout: seconds(settings.timeout),
        backoff: seconds(settings.backoff),
        backoff_max: seconds(settings.backoff_max.or(Some(1.0))),
        budget: settings.budget,
        budget_min: settings.budget_min.unwrap_or(10),
    }
}

fn text(text: &Option<String>) -> Option<Arc<str>> {
    text.as_deref().map(Arc::from)
}

fn root() -> Arc<str> {
    "/".into()
}

fn seconds(seconds: Option<f64>) -> Duration {
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default()
}

fn count(count: Option<u32>) -> u8 {
    count.map_or(0, |count| u8::try_from(count).unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn takes_an_upstream_over() {
        let body = r#"{
            "id": "00000000-0000-0000-0000-000000000001", "name": "u.test",
            "algorithm": "consistent-hashing", "hash_on": "header", "hash_on_header": "x-key",
            "hash_fallback": "cookie", "hash_on_cookie": "stick", "hash_on_cookie_path": "/app",
            "slots": 10000, "host_header": "inner.test", "use_srv_name": true,
            "client_certificate": {"id": "00000000-0000-0000-0000-000000000002"},
            "healthchecks": {
                "threshold": 55.5,
                "active": {
                    "type": "https", "timeout": 0.5, "concurrency": 3, "http_path": "/ping",
                    "https_sni": "sni.test", "https_verify_certificate": false,
                    "headers": {"x-check": ["one", "two"]},
                    "healthy": {"interval": 0.2, "successes": 1, "http_statuses": [200]},
                    "unhealthy": {"interval": 2, "http_statuses": [500], "tcp_failures": 2,
                                  "timeouts": 3, "http_failures": 4}
                },
                "passive": {
                    "type": "http", "healthy": {"successes": 5, "http_statuses": [201]},
                    "unhealthy": {"http_statuses": [503], "tcp_failures": 6, "timeouts": 7,
                                  "http_failures": 255},
                    "ejection": {"time": 1.5, "max_time": 60, "max_percent": 34}
                }
            },
            "sticky_sessions_cookie": "session", "sticky_sessions_cookie_path": "/shop",
            "slow_start": 2.5, "panic_policy": "fail-open",
            "retry": {"http_statuses": [502, 503], "methods": ["GET"], "timeout": 0.25,
                      "backoff": 0.01, "backoff_max": 0.2, "budget": 20, "budget_min": 3}
        }"#;
        let config = Config::from(&model::Upstream::from_body(body).unwrap());
        let limits = |successes, http_failures, tcp_failures, timeouts| Limits {
            successes,
            http_failures,
            tcp_failures,
            timeouts,
        };
        let expected = Config {
            id: Uuid::from_u128(1),
            name: "u.test".into(),
            origin: Origin::Entity,
            algorithm: Algorithm::ConsistentHashing,
            hash_on: HashOn::Header("x-key".into()),
            hash_fallback: HashOn::Cookie("stick".into()),
            hash_on_cookie_path: "/app".into(),
            sticky_cookie: "session".into(),
            sticky_cookie_path: "/shop".into(),
            threshold: 55.5,
            active: ActiveChecks {
                protocol: ProbeProtocol::Https,
                timeout: Duration::from_millis(500),
                concurrency: 3,
                http_path: "/ping".into(),
                https_sni: Some("sni.test".into()),
                https_verify_certificate: false,
                headers: vec![ProbeHeader {
                    name: "x-check".to_owned(),
                    values: vec!["one".to_owned(), "two".to_owned()],
                }],
                healthy_interval: Duration::from_millis(200),
                unhealthy_interval: Duration::from_secs(2),
                rules: Rules {
                    limits: limits(1, 4, 2, 3),
                    healthy_statuses: [200].into_iter().collect(),
                    unhealthy_statuses: [500].into_iter().collect(),
                },
            },
            passive: Rules {
                limits: limits(5, 255, 6, 7),
                healthy_statuses: [201].into_iter().collect(),
                unhealthy_statuses: [503].into_iter().collect(),
            },
            ejection: Some(Ejection {
                time: Duration::from_millis(1_500),
                max_time: Duration::from_secs(60),
                max_percent: 34.0,
            }),
            slow_start: Duration::from_millis(2_500),
            panic: PanicPolicy::FailOpen,
            retry: Some(Arc::new(Retry {
                statuses: [502, 503].into_iter().collect(),
                methods: Some(vec!["GET".to_owned()]),
                timeout: Duration::from_millis(250),
                backoff: Duration::from_millis(10),
                backoff_max: Duration::from_millis(200),
                budget: Some(20.0),
                budget_min: 3,
            })),
            host_header: Some("inner.test".into()),
            client_certificate: Some(Uuid::from_u128(2)),
            use_srv_name: true,
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn takes_a_target_over() {
        let check = |target: &str, host: &str, port: u16| {
            let body = format!(
                r#"{{"id":"00000000-0000-0000-0000-000000000001","target":"{target}","weight":7,
                    "upstream":{{"id":"00000000-0000-0000-0000-000000000002"}}}}"#
            );
            let spec = TargetSpec::from(&model::Target::from_body(&body).unwrap());
            assert_eq!((&*spec.host, spec.port, spec.weight), (host, port, 7));
        };
        check("a.example:81", "a.example", 81);
        check("10.0.0.1", "10.0.0.1", 8000);
        let body = r#"{"id":"00000000-0000-0000-0000-000000000001","target":"a:1","failover":true,
            "upstream":{"id":"00000000-0000-0000-0000-000000000002"}}"#;
        assert!(TargetSpec::from(&model::Target::from_body(body).unwrap()).failover);
        check("[::1]:1", "[0000:0000:0000:0000:0000:0000:0000:0001]", 1);
    }
}
