//! The configuration of `rate-limiting`.

use model::types;
use schema::{
    CustomCheck, Deprecation, Field, Object, Shorthand, Subschema, Surroundings, Violations,
};
use serde_json::Value;

schema::choice! {
    /// What requests are counted by.
    pub(super) enum LimitBy {
        /// The consumer; else the credential, else the address.
        Consumer = "consumer",
        /// The credential; else the address.
        Credential = "credential",
        /// The client's address.
        Ip = "ip",
        /// The service; else the address.
        Service = "service",
        /// The value of a header field; else the address.
        Header = "header",
        /// The path, if it is the configured one; else the address.
        Path = "path",
    }
}

schema::choice! {
    /// Where requests are counted.
    pub(super) enum Policy {
        /// In the memory of each data plane.
        Local = "local",
        /// In the control plane's database.
        Cluster = "cluster",
        /// In Redis.
        Redis = "redis",
    }
}

schema::record! {
    /// Where Redis is.
    pub(super) struct Redis {
        /// Its host.
        pub(super) host: Option<String> = types::host(),
        /// Its port.
        pub(super) port: Option<u16> = types::port().default(6379),
        /// The longest wait for an answer, in milliseconds.
        pub(super) timeout: Option<u32> = types::timeout().default(2000),
        /// The user to log in as.
        pub(super) username: Option<String> = Field::string().referenceable(),
        /// The password to log in with.
        pub(super) password: Option<String> =
            Field::string().referenceable().encrypted().may_be_empty(),
        /// The number of the database.
        pub(super) database: Option<i64> = Field::integer().default(0),
        /// Whether TLS is spoken.
        pub(super) ssl: bool = Field::boolean().required().default(false),
        /// Whether the certificate is verified.
        pub(super) ssl_verify: bool = Field::boolean().required().default(false),
        /// The server name of the TLS handshake.
        pub(super) server_name: Option<String> = types::sni(),
    }
}

schema::record! {
    /// Refuses requests beyond a number in a window of time. Windows begin at full seconds,
    /// minutes, hours, days, months and years (UTC).
    pub(super) struct Config {
        /// Requests per second.
        pub(super) second: Option<f64> = Field::number().greater_than(0),
        /// Requests per minute.
        pub(super) minute: Option<f64> = Field::number().greater_than(0),
        /// Requests per hour.
        pub(super) hour: Option<f64> = Field::number().greater_than(0),
        /// Requests per day.
        pub(super) day: Option<f64> = Field::number().greater_than(0),
        /// Requests per month.
        pub(super) month: Option<f64> = Field::number().greater_than(0),
        /// Requests per year.
        pub(super) year: Option<f64> = Field::number().greater_than(0),
        /// What requests are counted by.
        pub(super) limit_by: Option<LimitBy> =
            Field::string().default("consumer").one_of(LimitBy::WORDS),
        /// The header field for `limit_by` `header`.
        pub(super) header_name: Option<String> = types::header_name(),
        /// The path for `limit_by` `path`.
        pub(super) path: Option<String> = types::path(),
        /// Where requests are counted.
        pub(super) policy: Option<Policy> =
            Field::string().default("local").one_of(Policy::WORDS),
        /// Whether requests pass while the counters cannot be reached.
        pub(super) fault_tolerant: bool = Field::boolean().required().default(true),
        /// Where Redis is, for `policy` `redis`.
        pub(super) redis: Redis = Field::record(Redis::record().clone()),
        /// Whether clients are not told of their limits.
        pub(super) hide_client_headers: bool = Field::boolean().required().default(false),
        /// The status of a refusal.
        pub(super) error_code: Option<f64> = Field::number().default(429).greater_than(0),
        /// The message of a refusal.
        pub(super) error_message: Option<String> =
            Field::string().default("API rate limit exceeded"),
        /// How often counters are exchanged with Redis, in seconds; -1: with every request.
        pub(super) sync_rate: f64 = Field::number().required().default(-1),
    }
    rules |record| former_redis_fields().into_iter().fold(record, schema::Record::shorthand)
}

/// The periods by their names, shortest first.
pub(super) const PERIODS: [&str; 6] = ["second", "minute", "hour", "day", "month", "year"];

/// Adds the rules between fields.
pub(super) fn rules(subschema: Subschema) -> Subschema {
    let limits = [
        "config.second",
        "config.minute",
        "config.hour",
        "config.day",
        "config.month",
        "config.year",
    ];
    let redis = |subschema: Subschema, field| {
        subschema.conditional("config.policy", |f| f.equal("redis"), field, Field::required)
    };
    let subschema = subschema.at_least_one_of(&limits).check(CustomCheck {
        fields: &["config"],
        with_invalid_fields: false,
        check: limits_rise,
    });
    ["config.redis.host", "config.redis.port", "config.redis.timeout"]
        .into_iter()
        .fold(subschema, redis)
        .conditional(
            "config.limit_by",
            |f| f.equal("header"),
            "config.header_name",
            Field::required,
        )
        .conditional("config.limit_by", |f| f.equal("path"), "config.path", Field::required)
}

/// A longer period cannot allow less than a shorter one; and only Redis is synchronised.
fn limits_rise(entity: &Object, _: &dyn Surroundings) -> Result<(), Violations> {
    let Some(config) = entity.get("config").and_then(Value::as_object) else { return Ok(()) };
    let refuse = |text: String| Err(Violations::field("config", text));
    let mut shorter: Option<(&str, f64)> = None;
    for period in PERIODS {
        let Some(limit) = config.get(period).and_then(Value::as_f64) else { continue };
        if let Some((name, most)) = shorter.filter(|(_, most)| limit < *most) {
            return refuse(format!(
                "The limit for {period}({limit:.1}) cannot be lower than the limit for \
                 {name}({most:.1})"
            ));
        }
        shorter = Some((period, limit));
    }
    let rate = config.get("sync_rate").and_then(Value::as_f64).unwrap_or(-1.0);
    let redis = config.get("policy").and_then(Value::as_str) == Some("redis");
    if rate != -1.0 && !redis {
        return refuse("sync_rate can only be used with the redis policy".to_owned());
    }
    if rate != -1.0 && rate < 0.02 {
        return refuse("sync_rate must be greater than 0.02, or -1 to disable".to_owned());
    }
    Ok(())
}

/// The fields `redis_…` of former times, which are members of `redis` now.
fn former_redis_fields() -> Vec<Shorthand> {
    macro_rules! former {
        ($($name:literal for $member:literal: $field:expr),* $(,)?) => {
            vec![$(
                Shorthand::new($name, $field, |value| {
                    let inner = Object::from_iter([($member.to_owned(), value)]);
                    Object::from_iter([("redis".to_owned(), Value::Object(inner))])
                })
                .deprecated(Deprecation {
                    message: concat!(
                        "rate-limiting: config.", $name,
                        " is deprecated, please use config.redis.", $member, " instead"
                    ),
                    removal_in_version: "4.0",
                    replaced_with: vec![concat!("redis.", $member)],
                })
            ),*]
        };
    }
    former![
        "redis_host" for "host": Field::string(),
        "redis_port" for "port": Field::integer(),
        "redis_password" for "password": Field::string().may_be_empty(),
        "redis_username" for "username": Field::string(),
        "redis_ssl" for "ssl": Field::boolean(),
        "redis_ssl_verify" for "ssl_verify": Field::boolean(),
        "redis_server_name" for "server_name": Field::string(),
        "redis_timeout" for "timeout": Field::integer(),
        "redis_database" for "database": Field::integer(),
    ]
}
