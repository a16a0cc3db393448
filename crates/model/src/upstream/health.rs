//! Health checks of an upstream.

use std::collections::BTreeMap;

use schema::{Field, Record};
use serde_json::json;

use crate::types;

schema::choice! {
    /// What a health check speaks.
    pub enum CheckType {
        /// It connects.
        Tcp = "tcp",
        /// HTTP without TLS.
        Http = "http",
        /// HTTP with TLS.
        Https = "https",
        /// gRPC without TLS.
        Grpc = "grpc",
        /// gRPC with TLS.
        Grpcs = "grpcs",
    }
}

schema::record! {
    /// How the health of targets is found.
    pub struct Healthchecks {
        /// Probes.
        pub active: ActiveCheck = shown(ActiveCheck::record()),
        /// What is learned from requests.
        pub passive: PassiveCheck = shown(PassiveCheck::record()),
        /// The share of the targets' weight, in percent, that must be available for the upstream
        /// to be healthy.
        pub threshold: Option<f64> = Field::number().between(0, 100).default(0),
    }
}

schema::record! {
    /// Probes of targets.
    pub struct ActiveCheck {
        /// What a probe speaks.
        pub r#type: Option<CheckType> = check_type(),
        /// Seconds until a probe is given up.
        pub timeout: Option<f64> = seconds().default(1),
        /// How many targets are probed at a time.
        pub concurrency: Option<u32> =
            Field::integer().between(1, 2_147_483_648_i64).default(10),
        /// The path of a probe.
        pub http_path: Option<String> = types::path().default("/"),
        /// The server name of TLS of a probe.
        pub https_sni: Option<String> = types::sni(),
        /// Whether a probe verifies the target's certificate.
        pub https_verify_certificate: bool = Field::boolean().required().default(true),
        /// Header fields of a probe.
        pub headers: Option<BTreeMap<String, Vec<String>>> = types::headers(),
        /// What makes a target healthy.
        pub healthy: ActiveHealthy = shown(ActiveHealthy::record()),
        /// What makes a target unhealthy.
        pub unhealthy: ActiveUnhealthy = shown(ActiveUnhealthy::record()),
    }
}

schema::record! {
    /// What makes a target healthy.
    pub struct ActiveHealthy {
        /// Seconds between probes of a healthy target; 0: no probes.
        pub interval: Option<f64> = seconds().default(0),
        /// How many successes in a row it takes; 0: never by probes.
        pub successes: Option<u32> = count(),
        /// Statuses that are a success.
        pub http_statuses: Option<Vec<u16>> = statuses(&[200, 302]),
    }
}

schema::record! {
    /// What makes a target unhealthy.
    pub struct ActiveUnhealthy {
        /// Seconds between probes of an unhealthy target; 0: no probes.
        pub interval: Option<f64> = seconds().default(0),
        /// Statuses that are a failure.
        pub http_statuses: Option<Vec<u16>> = statuses(&[429, 404, 500, 501, 502, 503, 504, 505]),
        /// How many failures to connect it takes; 0: never by these.
        pub tcp_failures: Option<u32> = count(),
        /// How many time-outs it takes; 0: never by these.
        pub timeouts: Option<u32> = count(),
        /// How many failed answers it takes; 0: never by these.
        pub http_failures: Option<u32> = count(),
    }
}

schema::record! {
    /// What is learned about targets from requests.
    pub struct PassiveCheck {
        /// What requests speak.
        pub r#type: Option<CheckType> = check_type(),
        /// What makes a target healthy.
        pub healthy: PassiveHealthy = shown(PassiveHealthy::record()),
        /// What makes a target unhealthy.
        pub unhealthy: PassiveUnhealthy = shown(PassiveUnhealthy::record()),
        /// How a target that requests found unhealthy comes back by itself; absent: only by
        /// probes or by hand, as in Kong.
        pub ejection: Option<Ejection> =
            Field::record(Ejection::record().clone()).optional().extension(),
    }
}

schema::record! {
    /// A target that requests found unhealthy is taken out for a time, and then gets one request
    /// to show that it is well again.
    pub struct Ejection {
        /// Seconds until its trial; doubled each time in a row that it fails it.
        pub time: Option<f64> = Field::number().between(1, 65535).default(30),
        /// The most seconds that the doubling comes to.
        pub max_time: Option<f64> = Field::number().between(1, 65535).default(300),
        /// The share of the targets' weight, in percent, that may be out by this at a time; a
        /// target beyond it keeps its requests.
        pub max_percent: Option<f64> = Field::number().between(0, 100).default(50),
    }
}

schema::record! {
    /// What makes a target healthy.
    pub struct PassiveHealthy {
        /// How many successes in a row it takes; 0: never by requests.
        pub successes: Option<u32> = count(),
        /// Statuses that are a success.
        pub http_statuses: Option<Vec<u16>> = statuses(&[
            200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 306,
            307, 308,
        ]),
    }
}

schema::record! {
    /// What makes a target unhealthy.
    pub struct PassiveUnhealthy {
        /// Statuses that are a failure.
        pub http_statuses: Option<Vec<u16>> = statuses(&[429, 500, 503]),
        /// How many failures to connect it takes; 0: never by these.
        pub tcp_failures: Option<u32> = count(),
        /// How many time-outs it takes; 0: never by these.
        pub timeouts: Option<u32> = count(),
        /// How many failed answers it takes; 0: never by these.
        pub http_failures: Option<u32> = count(),
    }
}

/// The field of an upstream; its description shows the defaults of both kinds of checks.
pub(super) fn field() -> Field {
    let defaults = json!({
        "active": ActiveCheck::record().defaults(),
        "passive": PassiveCheck::record().defaults(),
    });
    Field::record(Healthchecks::record().clone()).attribute("default", defaults)
}

/// A nested record whose description shows its defaults as one object, as Kong's does.
fn shown(record: &Record) -> Field {
    Field::record(record.clone()).attribute("default", record.defaults())
}

fn check_type() -> Field {
    Field::string().one_of(CheckType::WORDS).default("http")
}

fn seconds() -> Field {
    Field::number().between(0, 65535)
}

fn count() -> Field {
    Field::integer().between(0, 255).default(0)
}

fn statuses(default: &[u16]) -> Field {
    Field::array(Field::integer().between(100, 999)).default(default.to_vec())
}
