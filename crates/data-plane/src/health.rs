//! The health of this data plane's targets, as it is told to control planes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use balancer::{AddressView, TargetView, Upstream, View};
use lifecycle::Clock;
use tokio::sync::watch;
use uuid::Uuid;
use wire::{AddressHealth, Health, TargetHealth, UpstreamHealth};

use crate::by_hand::ByHand;
use crate::live::Live;

/// How often the upstreams are looked at: what changes in between is told together.
const LOOK: Duration = Duration::from_millis(200);
/// More targets and addresses than this are not told of: a control plane remembers them for every
/// data plane.
const BUDGET: usize = 2_000;
/// Causes and DNS errors are cut to about this many bytes.
const TEXT: usize = 200;

/// Looks at the upstreams and says what there is to tell.
pub(crate) struct Observer {
    live: Live,
    clock: Arc<dyn Clock>,
    by_hand: ByHand,
    /// What was told of an upstream when it had this generation.
    seen: HashMap<Uuid, (u64, Option<Arc<UpstreamHealth>>)>,
    health: watch::Sender<Arc<Health>>,
}

impl Observer {
    pub(crate) fn new(live: Live, clock: Arc<dyn Clock>, by_hand: ByHand) -> Observer {
        let health = watch::Sender::default();
        Observer { live, clock, by_hand, seen: HashMap::new(), health }
    }

    /// What there is to tell, from now on.
    pub(crate) fn health(&self) -> watch::Receiver<Arc<Health>> {
        self.health.subscribe()
    }

    /// Looks for ever.
    pub(crate) async fn run(mut self) {
        loop {
            tokio::time::sleep(LOOK).await;
            self.look();
        }
    }

    /// Looks once. Costs a comparison for each upstream that has not changed.
    fn look(&mut self) {
        let now = self.clock.monotonic();
        let mut changed = Vec::new();
        let mut count = 0;
        self.live.each(|upstream| {
            count += 1;
            let generation = upstream.generation();
            if self.seen.get(&upstream.id()).is_none_or(|(seen, _)| *seen != generation) {
                changed.push((generation, Arc::clone(upstream)));
            }
        });
        if changed.is_empty() && count == self.seen.len() {
            return;
        }
        // Names may have got their first addresses, for which a word was waiting.
        self.by_hand.carry_out(&self.live, now);
        for (generation, upstream) in changed {
            let view = upstream.view(now);
            let told = (!is_plain(&view)).then(|| Arc::new(of_upstream(&view, &*self.clock, now)));
            let before = self.seen.get(&upstream.id()).and_then(|(_, told)| told.clone());
            // What says the same stays the same, so that it is not told again.
            let told = if told == before { before } else { told };
            self.seen.insert(upstream.id(), (generation, told));
        }
        self.seen.retain(|id, _| self.live.get(*id).is_some());
        let next = within_budget(&self.seen);
        self.health.send_if_modified(|health| {
            let is_new = **health != next;
            if is_new {
                *health = Arc::new(next);
            }
            is_new
        });
    }
}

/// What there is to tell, those in trouble first when there is too much.
fn within_budget(seen: &HashMap<Uuid, (u64, Option<Arc<UpstreamHealth>>)>) -> Health {
    let told = seen.iter().filter_map(|(id, (_, told))| Some((*id, told.as_ref()?)));
    let mut told: Vec<_> = told.collect();
    let in_trouble = |health: &UpstreamHealth| {
        let mut addresses = health.targets.iter().flat_map(|target| &target.addresses);
        addresses.any(|address| !address.healthy)
    };
    told.sort_by_key(|(id, health)| (!in_trouble(health), *id));
    let mut health = Health::default();
    let mut left = BUDGET;
    for (id, upstream) in told {
        let size: usize = upstream.targets.iter().map(|target| 1 + target.addresses.len()).sum();
        match left.checked_sub(size) {
            Some(rest) => {
                left = rest;
                health.upstreams.insert(id, Arc::clone(upstream));
            }
            None => health.left_out += 1,
        }
    }
    health
}

/// Whether a control plane knows all about it: every target is an address, and none was ever found
/// unhealthy.
fn is_plain(view: &View) -> bool {
    let is_literal = |host: &str| host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    view.targets.iter().all(|target| {
        is_literal(&target.host) && target.addresses.iter().all(|one| one.since.is_none())
    })
}

/// The health of an upstream at this moment.
pub(crate) fn upstream_health(upstream: &Upstream, clock: &dyn Clock) -> UpstreamHealth {
    let now = clock.monotonic();
    of_upstream(&upstream.view(now), clock, now)
}

fn of_upstream(view: &View, clock: &dyn Clock, now: Instant) -> UpstreamHealth {
    let wall_us = clock.wall_us();
    let at_us = |at: Instant| {
        let ago = now.saturating_duration_since(at).as_micros();
        wall_us.saturating_sub(i64::try_from(ago).unwrap_or(i64::MAX))
    };
    let until_us = |at: Instant| {
        let left = at.saturating_duration_since(now).as_micros();
        wall_us.saturating_add(i64::try_from(left).unwrap_or(i64::MAX))
    };
    let address = |one: &AddressView| AddressHealth {
        address: one.address,
        weight: one.weight,
        healthy: one.state.is_available(),
        cause: cut(&one.cause.to_string()),
        since_us: one.since.map(at_us),
        until_us: one.until.map(until_us),
    };
    let target = |one: &TargetView| TargetHealth {
        target: place(&one.host, one.port),
        dns: if one.addresses.is_empty() { "ERROR".to_owned() } else { cut(&one.dns) },
        addresses: one.addresses.iter().map(address).collect(),
    };
    UpstreamHealth {
        checked: view.checks_on,
        healthy: view.healthy,
        targets: view.targets.iter().map(target).collect(),
    }
}

/// `host:port`, as targets are stored.
fn place(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().find(|(at, _)| *at >= TEXT) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use lifecycle::ManualClock;

    use super::*;
    use crate::live::testing::{live_with, upstream};

    const WALL_US: i64 = 1_700_000_000_000_000;

    fn observer(live: Live) -> (Observer, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(WALL_US));
        (Observer::new(live, clock.clone(), ByHand::default()), clock)
    }

    #[tokio::test]
    async fn what_is_plain_is_not_told_and_what_changed_is() {
        let watched = upstream(1, &["10.0.0.1", "10.0.0.2"]);
        let live = live_with(&[Arc::clone(&watched)]);
        let (mut observer, clock) = observer(live);
        let health = observer.health();
        observer.look();
        assert_eq!(**health.borrow(), Health::default(), "addresses that are well");

        watched.set_health("10.0.0.2", 80, None, false, clock.monotonic()).unwrap();
        clock.advance(Duration::from_secs(5));
        observer.look();
        let told = health.borrow().clone();
        let seen = &told.upstreams[&Uuid::from_u128(1)];
        assert!(seen.checked && seen.healthy);
        let second = seen.targets.iter().find(|target| target.target == "10.0.0.2:80").unwrap();
        assert_eq!(
            second.addresses,
            [AddressHealth {
                address: ([10, 0, 0, 2], 80).into(),
                weight: 100,
                healthy: false,
                cause: "set by hand".to_owned(),
                since_us: Some(WALL_US),
                until_us: None,
            }]
        );

        observer.look();
        assert!(Arc::ptr_eq(&told, &health.borrow()), "nothing new");
    }

    #[tokio::test]
    async fn names_are_told_of_even_when_they_are_well() {
        let live = live_with(&[upstream(1, &["a.example"])]);
        let (mut observer, _) = observer(live);
        let health = observer.health();
        observer.look();
        let told = health.borrow().clone();
        assert_eq!(told.upstreams[&Uuid::from_u128(1)].targets[0].dns, "ERROR");
    }

    #[tokio::test]
    async fn too_much_is_cut_with_those_in_trouble_first() {
        let hosts: Vec<String> = (0..200).map(|n| format!("host-{n}.example")).collect();
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let mut all: Vec<Arc<Upstream>> = (0..11).map(|id| upstream(id, &hosts)).collect();
        let ill = upstream(99, &["10.0.0.1"]);
        all.push(Arc::clone(&ill));
        let (mut observer, clock) = observer(live_with(&all));
        ill.set_health("10.0.0.1", 80, None, false, clock.monotonic()).unwrap();
        let health = observer.health();
        observer.look();
        let told = health.borrow().clone();
        assert!(told.upstreams.contains_key(&Uuid::from_u128(99)));
        // The ill one takes 2 of 2,000, the names 200 each.
        assert_eq!((told.upstreams.len(), told.left_out), (10, 2));
    }
}
