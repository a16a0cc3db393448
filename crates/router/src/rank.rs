//! Which route goes first when several match.

use std::cmp::Reverse;

use model::{Endpoint, Route};
use uuid::Uuid;

use crate::conditions::{Conditions, is_regex};
use crate::rules::{Calculation, Rules};

/// A place in the order of evaluation; the greatest is tried first. Unique in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Rank {
    priority: u128,
    /// The `traditional` flavor prefers the older of equals.
    age: Reverse<i64>,
    /// Of the route, or of the part of it that this entry is: Kong prefers the greater.
    id: Uuid,
    /// Parts of one route with the same id: the first is preferred.
    part: Reverse<u32>,
}

impl Rank {
    /// The rank of one entry of `route`: the one with the paths `paths`, which are all regular
    /// expressions or all of one length (in the `traditional` flavor: a single one).
    pub(crate) fn of(route: &Route, paths: &[&str], id: Uuid, part: u32, rules: Rules) -> Rank {
        let conditions = Conditions(route);
        let priority = if rules.traditional() {
            traditional(route, paths)
        } else if route.expression.is_some() {
            // Above every classic route: the top eight bits are set.
            wide(0xff << 56 | route.priority.unwrap_or(0))
        } else if conditions.is_stream() {
            wide(stream(conditions))
        } else {
            match rules.calculation {
                Calculation::Original => wide(original(&Parts::of(route, paths))),
                Calculation::Strict => strict(&Parts::of(route, paths)),
            }
        };
        let age = if rules.traditional() { route.created_at.unwrap_or(0) } else { 0 };
        Rank { priority, age: Reverse(age), id, part: Reverse(part) }
    }

    /// The number that Kong calculates, where it calculates one.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn number(self) -> u64 {
        u64::try_from(self.priority >> 64).unwrap_or(u64::MAX)
    }
}

/// Below Kong's number there is room for what the number cannot say.
fn wide(number: u64) -> u128 {
    u128::from(number) << 64
}

/// What the number of a classic HTTP route is made of.
struct Parts {
    /// Kinds of condition, at most 7.
    kinds: u8,
    /// At most 255.
    headers: u8,
    exact_hosts_only: bool,
    regex: bool,
    /// 0 unless `regex`.
    regex_priority: i64,
    /// 0 if `regex`; at most 19 bits.
    length: u32,
}

const EXACT_HOSTS_ONLY: u64 = 1 << 60;
const REGEX: u64 = 1 << 51;
const LONGEST: usize = 0x7_ffff;

impl Parts {
    fn of(route: &Route, paths: &[&str]) -> Parts {
        let regex = paths.first().is_some_and(|p| is_regex(p));
        let length = paths.first().filter(|_| !regex).map_or(0, |p| p.len() & LONGEST);
        Parts {
            kinds: kinds(Conditions(route), paths).into_iter().map(u8::from).sum(),
            headers: u8::try_from(Conditions(route).header_count()).unwrap_or(u8::MAX),
            // True also of an empty list, as in Kong.
            exact_hosts_only: route
                .hosts
                .as_ref()
                .is_some_and(|hosts| hosts.iter().all(|h| !h.contains('*'))),
            regex,
            regex_priority: if regex { route.regex_priority.unwrap_or(0) } else { 0 },
            length: u32::try_from(length).unwrap_or(u32::MAX),
        }
    }
}

/// Which kinds of condition there are, in the order in which the `traditional` flavor weighs them.
fn kinds(route: Conditions<'_>, paths: &[&str]) -> [bool; 7] {
    [
        !route.hosts().is_empty(),
        route.headers().is_some(),
        !paths.is_empty(),
        !route.methods().is_empty(),
        !route.snis().is_empty(),
        !route.sources().is_empty(),
        !route.destinations().is_empty(),
    ]
}

fn strict(p: &Parts) -> u128 {
    let regex_priority = p.regex_priority.clamp(0, i64::from(u32::MAX)).cast_unsigned();
    let number = u64::from(p.kinds) << 61
        | if p.exact_hosts_only { EXACT_HOSTS_ONLY } else { 0 }
        | u64::from(p.headers) << 52
        | if p.regex { REGEX } else { 0 }
        | regex_priority << 19
        | u64::from(p.length);
    // The number has no place for a negative priority; here it stands below 0, in order.
    wide(number) | u128::from(ordered(p.regex_priority.min(0)))
}

/// As LuaJIT on x86-64 calculates it in Kong 3.9.3 (tried out): plain numbers are shifted as 32
/// signed bits by the amount modulo 32; where one of the operands of the final OR is a 64-bit
/// constant, a negative number is converted to the top bit alone, and where none is, the negative
/// result is converted so.
fn original(p: &Parts) -> u64 {
    let shifted = [
        i32::from(p.kinds) << 29,
        i32::from(p.headers) << 20,
        low_bits(p.regex_priority) << 19,
        p.length.cast_signed(),
    ];
    if !p.exact_hosts_only && !p.regex {
        return to_u64(shifted.into_iter().fold(0, |all, part| all | part));
    }
    let constants =
        if p.exact_hosts_only { EXACT_HOSTS_ONLY } else { 0 } | if p.regex { REGEX } else { 0 };
    shifted.into_iter().fold(constants, |all, part| all | to_u64(part))
}

fn to_u64(number: i32) -> u64 {
    u64::try_from(number).unwrap_or(1 << 63)
}

fn low_bits(number: i64) -> i32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}

/// Signed numbers in the order of unsigned ones.
fn ordered(number: i64) -> u64 {
    number.cast_unsigned() ^ 1 << 63
}

fn stream(route: Conditions<'_>) -> u64 {
    let both_ends = !route.sources().is_empty() && !route.destinations().is_empty();
    let top = if both_ends || !route.snis().is_empty() { 1 << 61 } else { 0 };
    top | weight(route.sources()) << 4 | weight(route.destinations())
}

fn weight(endpoints: &[Endpoint]) -> u64 {
    endpoints.iter().fold(0, |all, endpoint| {
        let ip = match endpoint.ip.map(|ip| ip.net()) {
            Some(net) if net.prefix_len() < net.max_prefix_len() => 1,
            Some(_) => 8,
            None => 0,
        };
        all | ip | if endpoint.port.is_some() { 4 } else { 0 }
    })
}

/// The `traditional` order: number of kinds, which kinds, details of hosts and paths, number of
/// header names, `regex_priority`, length of the path.
fn traditional(route: &Route, paths: &[&str]) -> u128 {
    let (p, conditions) = (Parts::of(route, paths), Conditions(route));
    let category = kinds(conditions, paths)
        .into_iter()
        .fold(0_u128, |bits, kind| bits << 1 | u128::from(kind));
    let wildcard_with_port = conditions
        .hosts()
        .iter()
        .any(|host| host.contains('*') && crate::host::split(host).1.is_some());
    let details = u128::from(wildcard_with_port) << 2
        | u128::from(p.exact_hosts_only && !conditions.hosts().is_empty()) << 1
        | u128::from(p.regex);
    let headers = u16::try_from(conditions.header_count()).unwrap_or(u16::MAX);
    u128::from(p.kinds) << 122
        | category << 115
        | details << 112
        | u128::from(headers) << 96
        | u128::from(ordered(p.regex_priority)) << 32
        | u128::from(p.length)
}

#[cfg(test)]
mod tests;
