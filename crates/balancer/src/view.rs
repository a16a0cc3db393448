//! An upstream as an operator sees it: what `/upstreams/{u}/health` is made from.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::health::{Cause, Health};

/// One upstream at one moment, on this node.
#[derive(Clone, Debug)]
pub struct View {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: Arc<str>,
    /// Whether any health check is on.
    pub checks_on: bool,
    /// Whether more of its weight is available than `threshold` says (`balancer_health`); computed
    /// also when the checks are off.
    pub healthy: bool,
    /// The weights of all its addresses.
    pub weight: Weights,
    /// Its targets, by host and port.
    pub targets: Vec<TargetView>,
}

impl View {
    /// The upstream's `health` in Kong's words.
    pub fn health(&self) -> Label {
        match (self.checks_on, self.healthy) {
            (false, _) => Label::ChecksOff,
            (true, true) => Label::Healthy,
            (true, false) => Label::Unhealthy,
        }
    }
}

/// Sums of weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    /// Of all addresses.
    pub total: u64,
    /// Of those that are unhealthy.
    pub unavailable: u64,
}

impl Weights {
    /// Of those that are not unhealthy.
    pub fn available(&self) -> u64 {
        self.total.saturating_sub(self.unavailable)
    }
}

/// One target.
#[derive(Clone, Debug)]
pub struct TargetView {
    /// The target entity's id.
    pub id: Uuid,
    /// Its host as configured.
    pub host: Arc<str>,
    /// Its port as configured.
    pub port: u16,
    /// Its weight as configured (`nodeWeight`).
    pub node_weight: u32,
    /// Whether it is kept for when no other is available.
    pub failover: bool,
    /// What its addresses come from: `A`, `AAAA`, `SRV`, why there are none, or `unknown`.
    pub dns: Arc<str>,
    /// Its health in Kong's words.
    pub health: Label,
    /// The weights of its addresses.
    pub weight: Weights,
    /// Its addresses.
    pub addresses: Vec<AddressView>,
}

/// One address of a target.
#[derive(Clone, Debug)]
pub struct AddressView {
    /// Where it is.
    pub address: SocketAddr,
    /// Its share.
    pub weight: u32,
    /// Its health in Kong's words.
    pub health: Label,
    /// Its state in detail.
    pub state: Health,
    /// Since when it is available or not; `None` since it is known.
    pub since: Option<Instant>,
    /// What made it so.
    pub cause: Cause,
    /// When it is tried again, where requests took it out for a time.
    pub until: Option<Instant>,
    /// Requests in flight, where the algorithm counts them.
    pub in_flight: u32,
    /// Average latency, where the algorithm measures it; zero when unknown.
    pub latency: Duration,
}

/// Kong's words for health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// `HEALTHY`.
    Healthy,
    /// `UNHEALTHY`.
    Unhealthy,
    /// `HEALTHCHECKS_OFF`: no checks, or a weight of 0.
    ChecksOff,
    /// `DNS_ERROR`: no address.
    DnsError,
}

impl Label {
    /// As the Admin API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Label::Healthy => "HEALTHY",
            Label::Unhealthy => "UNHEALTHY",
            Label::ChecksOff => "HEALTHCHECKS_OFF",
            Label::DnsError => "DNS_ERROR",
        }
    }
}
