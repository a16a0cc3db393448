//! What ties a request to a peer: the hash key, or the session's cookie.
//!
//! Which part of the request it is says the upstream (`hash_on`, `hash_fallback`, the sticky
//! cookie); the parts themselves come through [`Inputs`], so that no request type is known here.

use std::borrow::Cow;
use std::net::IpAddr;

use smallvec::SmallVec;
use xxhash_rust::xxh32::xxh32;

use crate::config::{Algorithm, Config, HashOn};
use crate::peer::{Lease, Peer};

/// Where the parts of a request come from. Only what the upstream needs is asked for.
pub trait Inputs {
    /// The authenticated consumer's id, else the credential's.
    fn consumer(&self) -> Option<Cow<'_, str>>;
    /// The client's address, after `trusted_ips` and `real_ip_header`.
    fn client_ip(&self) -> IpAddr;
    /// Calls `found` with each value of a request header, in order. The name's case is free.
    fn header(&self, name: &str, found: &mut dyn FnMut(&[u8]));
    /// The normalised path, without the query.
    fn path(&self) -> &[u8];
    /// The query as it was sent, without the question mark.
    fn query(&self) -> Option<&[u8]>;
    /// A capture of the matched route's path, by its name or its number.
    fn capture(&self, name: &str) -> Option<Cow<'_, [u8]>>;
    /// A new random UUID, for a cookie that has to be issued.
    fn new_uuid(&self) -> uuid::Uuid;
}

/// What a pick goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Nothing: the algorithm does not look at the request.
    None,
    /// The hash of the value that decides (XXH32, Kong's; of nothing when there is no value).
    Hash(u32),
    /// The peer that the cookie names, if there is one.
    Sticky(Option<u64>),
}

/// What ties one request to a peer, made once and used for every attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affinity {
    key: Key,
    issued: Option<Box<str>>,
}

impl Affinity {
    /// Ties to nothing.
    pub const NONE: Affinity = Affinity { key: Key::None, issued: None };

    /// Reads from a request what this upstream goes by.
    pub(crate) fn of(config: &Config, inputs: &dyn Inputs) -> Affinity {
        match config.algorithm {
            Algorithm::ConsistentHashing => hashed(config, inputs),
            Algorithm::StickySessions => {
                let cookie = cookie(inputs, config.sticky_cookie.as_bytes());
                let identity = cookie.and_then(|value| parse_identity(&value));
                Affinity { key: Key::Sticky(identity), issued: None }
            }
            _ => Affinity::NONE,
        }
    }

    /// What the pick goes by.
    pub fn key(&self) -> Key {
        self.key
    }

    /// The `Set-Cookie` for the client's answer, in place of one of the same name: the new value
    /// that was hashed, or the name of the peer that served it if the request's cookie says another.
    pub fn set_cookie(&self, served_by: &Lease) -> Option<String> {
        self.cookie_for(served_by.config(), served_by)
    }

    fn cookie_for(&self, config: &Config, served_by: &Peer) -> Option<String> {
        match (self.key, &self.issued, &config.hash_on, &config.hash_fallback) {
            (Key::Sticky(named), ..) if named != Some(served_by.identity()) => {
                let value = format!("{:016x}", served_by.identity());
                Some(cookie_text(&config.sticky_cookie, &value, &config.sticky_cookie_path))
            }
            (Key::Hash(_), Some(value), HashOn::Cookie(name), _)
            | (Key::Hash(_), Some(value), _, HashOn::Cookie(name)) => {
                Some(cookie_text(name, value, &config.hash_on_cookie_path))
            }
            _ => None,
        }
    }
}

/// Kong's text, its misspelt `Same-Site` included: browsers ignore that attribute, and a right one
/// would change what they send across sites.
fn cookie_text(name: &str, value: &str, path: &str) -> String {
    format!("{name}={value}; Path={path}; Same-Site=Lax; HttpOnly")
}

fn parse_identity(value: &[u8]) -> Option<u64> {
    if value.len() != 16 || !value.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(value).ok()?, 16).ok()
}

type Value = SmallVec<[u8; 64]>;

fn hashed(config: &Config, inputs: &dyn Inputs) -> Affinity {
    let mut issued = None;
    let value = [&config.hash_on, &config.hash_fallback].into_iter().find_map(|from| {
        let value = value(from, inputs);
        if value.is_none() && matches!(from, HashOn::Cookie(_)) {
            let id = inputs.new_uuid().to_string();
            let value = Value::from_slice(id.as_bytes());
            issued = Some(id.into_boxed_str());
            return Some(value);
        }
        value
    });
    Affinity { key: Key::Hash(xxh32(value.as_deref().unwrap_or_default(), 0)), issued }
}

/// The value that a request has for this; `None` makes the fallback decide.
fn value(from: &HashOn, inputs: &dyn Inputs) -> Option<Value> {
    match from {
        HashOn::None => None,
        HashOn::Consumer => {
            inputs.consumer().map(|consumer| Value::from_slice(consumer.as_bytes()))
        }
        HashOn::Ip => Some(Value::from_slice(inputs.client_ip().to_string().as_bytes())),
        HashOn::Header(name) => {
            let mut joined: Option<Value> = None;
            inputs.header(name, &mut |value| {
                let joined = joined.get_or_insert_default();
                if !joined.is_empty() {
                    joined.extend_from_slice(b", ");
                }
                joined.extend_from_slice(value);
            });
            joined
        }
        HashOn::Cookie(name) => cookie(inputs, name.as_bytes()),
        HashOn::Path => Some(Value::from_slice(inputs.path())),
        HashOn::QueryArg(name) => query_arg(inputs.query()?, name.as_bytes()),
        HashOn::UriCapture(name) => inputs.capture(name).map(|capture| Value::from_slice(&capture)),
    }
}

/// The first cookie of this name (RFC 6265 §4.2.1).
fn cookie(inputs: &dyn Inputs, name: &[u8]) -> Option<Value> {
    let mut found = None;
    inputs.header("cookie", &mut |line| {
        for pair in line.split(|byte| *byte == b';') {
            let pair = pair.trim_ascii();
            let value = pair.strip_prefix(name).and_then(|rest| rest.strip_prefix(b"="));
            if let (None, Some(value)) = (&found, value) {
                found = Some(Value::from_slice(value));
            }
        }
    });
    found
}

/// The argument's values as Kong hashes them: sorted and joined by commas, one without `=` counts
/// as `true`; a single empty one is as good as none.
fn query_arg(query: &[u8], name: &[u8]) -> Option<Value> {
    let mut values: SmallVec<[Value; 4]> = SmallVec::new();
    for pair in query.split(|byte| *byte == b'&') {
        let equals = pair.iter().position(|byte| *byte == b'=');
        let (key, value) = match equals.and_then(|at| pair.split_at_checked(at)) {
            Some((key, value)) => (key, decode(value.get(1..).unwrap_or_default())),
            None => (pair, Value::from_slice(b"true")),
        };
        if decode(key).as_slice() == name {
            values.push(value);
        }
    }
    values.sort_unstable();
    let joined = values.join(&b","[..]);
    (!joined.is_empty()).then(|| Value::from_vec(joined))
}

/// Undoes the percent-encoding of a query's name or value, `+` being a space.
fn decode(text: &[u8]) -> Value {
    let spaced: Value = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_encoding::percent_decode(&spaced).collect()
}

#[cfg(test)]
mod tests;
