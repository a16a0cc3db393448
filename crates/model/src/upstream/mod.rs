//! Upstreams: names that are balanced over targets.

mod health;
mod retry;
mod rules;

use schema::Field;
use uuid::Uuid;

use crate::reference::Reference;
use crate::types;

pub use health::{
    ActiveCheck, ActiveHealthy, ActiveUnhealthy, CheckType, Ejection, Healthchecks, PassiveCheck,
    PassiveHealthy, PassiveUnhealthy,
};
pub use retry::Retry;

schema::choice! {
    /// How a target is picked.
    pub enum Algorithm {
        /// By the hash of a property of the request.
        ConsistentHashing = "consistent-hashing",
        /// The one with the fewest requests in flight for its weight.
        LeastConnections = "least-connections",
        /// In turn, by weight.
        RoundRobin = "round-robin",
        /// The one that lately answered fastest.
        Latency = "latency",
        /// The one that a cookie of the client names (Kong 3.11).
        StickySessions = "sticky-sessions",
    }
}

schema::choice! {
    /// What becomes of requests when too few targets are healthy.
    pub enum PanicPolicy {
        /// They are refused with 503, as by Kong.
        FailClosed = "fail-closed",
        /// They go to all targets, healthy or not: when all seem to be ill, the checks are less
        /// to be believed than the targets.
        FailOpen = "fail-open",
    }
}

schema::choice! {
    /// What is hashed.
    pub enum HashOn {
        /// Nothing.
        None = "none",
        /// The authenticated consumer.
        Consumer = "consumer",
        /// The client's address.
        Ip = "ip",
        /// A header field.
        Header = "header",
        /// A cookie, which is set when absent.
        Cookie = "cookie",
        /// The path.
        Path = "path",
        /// An argument of the query.
        QueryArg = "query_arg",
        /// A group that the route's regular expression captured.
        UriCapture = "uri_capture",
    }
}

schema::record! {
    /// A virtual host name: services whose host it is are balanced over its targets.
    pub struct Upstream in "upstreams" {
        /// The primary key.
        pub id: Uuid = types::id(),
        /// When it was made, in seconds since 1970.
        pub created_at: Option<i64> = types::created_at(),
        /// The host name that services refer to it by.
        pub name: String = Field::string().required().unique().check(rules::check_name),
        /// When it was last written, in seconds since 1970.
        pub updated_at: Option<i64> = types::updated_at(),
        /// How a target is picked.
        pub algorithm: Option<Algorithm> =
            Field::string().one_of(rules::ALGORITHMS).further("sticky-sessions").default("round-robin"),
        /// What is hashed.
        pub hash_on: Option<HashOn> = Field::string().one_of(HashOn::WORDS).default("none"),
        /// What is hashed when the request does not have the first.
        pub hash_fallback: Option<HashOn> = Field::string().one_of(HashOn::WORDS).default("none"),
        /// The header field to hash.
        pub hash_on_header: Option<String> = types::header_name(),
        /// The header field to hash as fallback.
        pub hash_fallback_header: Option<String> = types::header_name(),
        /// The cookie to hash.
        pub hash_on_cookie: Option<String> = types::cookie_name(),
        /// The path of the cookie when it is set.
        pub hash_on_cookie_path: Option<String> = types::path().default("/"),
        /// The argument of the query to hash.
        pub hash_on_query_arg: Option<String> = Field::string(),
        /// The argument of the query to hash as fallback.
        pub hash_fallback_query_arg: Option<String> = Field::string(),
        /// The captured group to hash.
        pub hash_on_uri_capture: Option<String> = Field::string(),
        /// The captured group to hash as fallback.
        pub hash_fallback_uri_capture: Option<String> = Field::string(),
        /// How fine the ring of consistent hashing is.
        pub slots: Option<u32> = Field::integer().between(10, 65536).default(10000),
        /// How the health of targets is found.
        pub healthchecks: Healthchecks = health::field(),
        /// Words to find it by.
        pub tags: Option<Vec<String>> = types::tags(),
        /// The Host header that targets get; null: the request's or the target's.
        pub host_header: Option<String> = types::host_with_optional_port(),
        /// The certificate to present to targets.
        pub client_certificate: Option<Reference> = Field::foreign("certificates"),
        /// Whether the host names of SRV records are used as Host header.
        pub use_srv_name: Option<bool> = Field::boolean().default(false),
        /// The cookie that holds a client's target, with the algorithm `sticky-sessions`
        /// (Kong 3.11).
        pub sticky_sessions_cookie: Option<String> = types::cookie_name().extension(),
        /// The path of that cookie; absent: `/` (Kong 3.11).
        pub sticky_sessions_cookie_path: Option<String> = types::path().extension(),
        /// When and how requests are tried again, beyond what `retries` of the service says;
        /// absent: as by Kong.
        pub retry: Option<Retry> = Field::record(Retry::record().clone()).optional().extension(),
        /// Seconds in which a target that is new or has come back grows to its full share, with
        /// algorithms that no key decides; absent or 0: it has it at once, as by Kong.
        pub slow_start: Option<f64> = Field::number().between(0, 3600).extension(),
        /// What becomes of requests when too few targets are healthy; absent: `fail-closed`, as
        /// by Kong.
        pub panic_policy: Option<PanicPolicy> =
            Field::string().one_of(PanicPolicy::WORDS).extension(),
    }
    rules |record| rules::rules(record)
}

#[cfg(test)]
mod tests;
