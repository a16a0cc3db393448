//! What holds between the fields of an upstream.

use schema::{Field, Object, Record, Shorthand};
use serde_json::Value;

use crate::address::{Address, Host};

/// Kong 3.9's algorithms, in its order.
pub(super) const ALGORITHMS: [&str; 4] =
    ["consistent-hashing", "least-connections", "round-robin", "latency"];

/// An upstream's name is a host name, so that services can name it as their host.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    match name.parse::<Address>() {
        Ok(Address { host: Host::Name(_), port: None }) => Ok(()),
        Ok(Address { host: Host::Name(_), .. }) => {
            Err(format!("Invalid name ('{name}'); no port allowed"))
        }
        Ok(_) => Err(format!("Invalid name ('{name}'); no ip addresses allowed")),
        Err(_) => Err(format!("Invalid name ('{name}'); must be a valid hostname")),
    }
}

/// What hashing needs, and which fallbacks make sense.
pub(super) fn rules(record: Record) -> Record {
    let record = record
        .shorthand(Shorthand::new("algorithm", Field::string(), expand_algorithm))
        .shorthand(Shorthand::new("hash_on", Field::string(), expand_hash_on))
        .settle(settle);
    let record = needs(record, "hash_on", "header", "hash_on_header");
    let record = needs(record, "hash_fallback", "header", "hash_fallback_header");
    let record = needs(record, "hash_on", "cookie", "hash_on_cookie");
    let record = needs(record, "hash_fallback", "cookie", "hash_on_cookie");
    let record = falls_back(record, "none", &["none"]);
    // A request without the cookie gets one, so there is nothing to fall back to.
    let record = falls_back(record, "cookie", &["none"]);
    let record = falls_back(
        record,
        "consumer",
        &["none", "ip", "header", "cookie", "path", "query_arg", "uri_capture"],
    );
    let record = falls_back(
        record,
        "ip",
        &["none", "consumer", "header", "cookie", "path", "query_arg", "uri_capture"],
    );
    let record = falls_back(
        record,
        "path",
        &["none", "consumer", "header", "cookie", "query_arg", "ip", "uri_capture"],
    );
    let record = record.distinct(&["hash_on_header", "hash_fallback_header"]);
    let record = needs(record, "hash_on", "query_arg", "hash_on_query_arg");
    let record = needs(record, "hash_fallback", "query_arg", "hash_fallback_query_arg");
    let record = record.distinct(&["hash_on_query_arg", "hash_fallback_query_arg"]);
    let record = needs(record, "hash_on", "uri_capture", "hash_on_uri_capture");
    let record = needs(record, "hash_fallback", "uri_capture", "hash_fallback_uri_capture");
    let record = record.distinct(&["hash_on_uri_capture", "hash_fallback_uri_capture"]);
    needs(record, "algorithm", "sticky-sessions", "sticky_sessions_cookie")
}

fn needs(record: Record, field: &'static str, value: &str, other: &'static str) -> Record {
    record.conditional(field, |f| f.equal(value), other, Field::required)
}

fn falls_back(record: Record, hash_on: &str, allowed: &[&str]) -> Record {
    let allowed = allowed.iter().copied();
    record.conditional("hash_on", |f| f.equal(hash_on), "hash_fallback", |f| f.one_of(allowed))
}

/// Algorithms that hash nothing take `hash_on` back.
fn expand_algorithm(algorithm: Value) -> Object {
    let mut fields = Object::new();
    if hashes_nothing(&algorithm) {
        fields.insert("hash_on".to_owned(), Value::Null);
    }
    fields.insert("algorithm".to_owned(), algorithm);
    fields
}

/// To hash something is to ask for the algorithm that does.
fn expand_hash_on(hash_on: Value) -> Object {
    let algorithm = match hash_on.as_str() {
        None => None,
        Some("none") => Some("round-robin"),
        Some(_) => Some("consistent-hashing"),
    };
    let mut fields = Object::new();
    fields.insert("hash_on".to_owned(), if hash_on.is_null() { "none".into() } else { hash_on });
    if let Some(algorithm) = algorithm {
        fields.insert("algorithm".to_owned(), algorithm.into());
    }
    fields
}

/// The same coupling for the whole entity, so that an algorithm that hashes never stands with
/// nothing to hash.
fn settle(upstream: &mut Object) {
    let algorithm = upstream.get("algorithm").unwrap_or(&Value::Null);
    if hashes_nothing(algorithm) {
        upstream.insert("hash_on".to_owned(), "none".into());
    } else if let Some(hash_on) = upstream.get("hash_on").cloned() {
        upstream.extend(expand_hash_on(hash_on));
    }
}

fn hashes_nothing(algorithm: &Value) -> bool {
    matches!(algorithm.as_str(), Some("least-connections" | "latency" | "sticky-sessions"))
}
