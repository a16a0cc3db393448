//! The side of an upstream that changes: targets, addresses, weights, who is available.
//!
//! Lives under the upstream's lock and makes the plans that picks read.

mod view;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use uuid::Uuid;

use crate::algorithm::{self, Algorithm};
use crate::comeback::Comeback;
use crate::config::{self, Config, Origin, PanicPolicy};
use crate::ejection::Ejection;
use crate::error::NoPeer;
use crate::health::{Cause, Condition, Health, Source};
use crate::peer::{Mark, Peer, PeerId};
use crate::plan::Plan;
use crate::pool::{Member, Pool, Slot, WHOLE};
use crate::target::{Answer, TargetSpec};
use crate::view::Weights;

/// See the module.
#[derive(Debug)]
pub(crate) struct Control {
    targets: FxHashMap<Uuid, Target>,
    by_place: FxHashMap<(Arc<str>, u16), Uuid>,
    /// Which targets have a name as their host.
    by_name: FxHashMap<Arc<str>, Vec<Uuid>>,
    pool: Pool,
    algorithm: Arc<dyn Algorithm>,
    algorithm_name: config::Algorithm,
    /// Whether the algorithm was built for the present pool.
    is_built: bool,
    /// Slots that were ever used, and those of them that are free.
    slots: Slot,
    free: Vec<Slot>,
    next_peer: u64,
    seed: u64,
    weight: Weights,
    /// Members that are available, have a weight and are not kept back.
    primaries: usize,
    /// Whether the eligible members are those that are kept back.
    on_failover: bool,
    /// Whether health is not looked at, since too few are well.
    panic: bool,
    ejection: Option<Ejection>,
    /// In which a peer grows to its share; zero where it has it at once.
    slow_start: Duration,
    comeback: Comeback,
}

#[derive(Debug)]
struct Target {
    spec: TargetSpec,
    /// `None` until the name is first answered.
    answer: Option<Answer>,
    peers: Vec<Slot>,
}

/// One address that a target has by its answer.
struct Wanted {
    address: SocketAddr,
    weight: u32,
    srv_name: Option<Arc<str>>,
}

impl Control {
    pub(crate) fn new(config: &Config, seed: u64) -> Control {
        let pool = Pool::default();
        let mut control = Control {
            targets: FxHashMap::default(),
            by_place: FxHashMap::default(),
            by_name: FxHashMap::default(),
            algorithm: algorithm::build(config.algorithm, &pool, seed),
            algorithm_name: config.algorithm,
            is_built: true,
            pool,
            slots: 0,
            free: Vec::new(),
            next_peer: 0,
            seed,
            weight: Weights::default(),
            primaries: 0,
            on_failover: false,
            panic: false,
            ejection: None,
            slow_start: Duration::ZERO,
            comeback: Comeback::default(),
        };
        control.take_over(config);
        control
    }

    /// What the rules of change are.
    fn take_over(&mut self, config: &Config) {
        self.ejection = config.ejection;
        let grows = config.algorithm != config::Algorithm::ConsistentHashing;
        self.slow_start = if grows { config.slow_start } else { Duration::ZERO };
    }

    /// The present version, for picks.
    pub(crate) fn plan(&mut self, config: &Arc<Config>) -> Plan {
        let on_failover = self.algorithm.has_tiers() && self.primaries == 0;
        let panic = config.panic == PanicPolicy::FailOpen
            && self.weight.total > 0
            && !self.is_healthy(config.threshold);
        if (on_failover, panic) != (self.on_failover, self.panic) {
            (self.on_failover, self.panic) = (on_failover, panic);
            self.choose_eligible();
            self.is_built = false;
        }
        if !self.is_built {
            self.algorithm = self.algorithm.rebuilt(&self.pool);
            self.is_built = true;
        }
        Plan {
            config: Arc::clone(config),
            refusal: self.refusal(config),
            pool: self.pool.clone(),
            algorithm: Arc::clone(&self.algorithm),
            trials: self.trials(),
            revision: self.comeback.revision(),
        }
    }

    /// The peers that get single requests to show that they are well. Where a key names the peer
    /// they are in rotation instead, and so is everybody in a panic.
    fn trials(&self) -> Vec<Slot> {
        if !self.algorithm.has_tiers() || self.panic {
            return Vec::new();
        }
        let is_wanted = |slot: &Slot| {
            self.pool
                .member(*slot)
                .is_some_and(|member| member.weight > 0 && (!member.failover || self.on_failover))
        };
        self.comeback.on_trial().into_iter().filter(is_wanted).collect()
    }

    /// Does what is due by now: trials begin, shares grow.
    pub(crate) fn advance(&mut self, now: Instant) {
        for slot in self.comeback.elapse(now) {
            self.set_trial(slot, true);
        }
        for (slot, steps) in self.comeback.shares(self.slow_start, now) {
            self.set_steps(slot, steps);
        }
    }

    fn set_trial(&mut self, slot: Slot, trial: bool) {
        if let Some(member) = self.pool.member(slot) {
            member.peer.set_trial(trial);
            if member.trial != trial {
                let member = Member { trial, ..member.clone() };
                self.replace(slot, Some(member));
            }
        }
    }

    fn set_steps(&mut self, slot: Slot, steps: u32) {
        if let Some(member) = self.pool.member(slot)
            && member.steps != steps
        {
            let member = Member { steps, ..member.clone() };
            self.replace(slot, Some(member));
        }
    }

    pub(crate) fn configure(&mut self, config: &Config) {
        if config.algorithm != self.algorithm_name {
            self.algorithm_name = config.algorithm;
            self.algorithm = algorithm::build(config.algorithm, &self.pool, self.seed);
            self.choose_eligible();
            self.is_built = false;
        }
        self.take_over(config);
        if self.ejection.is_none() {
            let out: Vec<Slot> = self.comeback.out().collect();
            for slot in out {
                self.set_trial(slot, false);
                self.comeback.pardon(slot);
            }
        }
        if !config.checks_on() {
            let slots: Vec<Slot> = self.pool.members().map(|(slot, _)| slot).collect();
            for slot in slots {
                if let Some(member) = self.pool.member(slot) {
                    member.peer.update(|_| Condition::settled(Health::Healthy));
                    member.peer.set_mark(Mark { since: None, cause: Cause::Initial });
                    self.set_trial(slot, false);
                    self.comeback.pardon(slot);
                    self.refresh(slot, true);
                }
            }
        }
    }

    pub(crate) fn set_targets(&mut self, targets: &[TargetSpec]) {
        let mut gone: FxHashMap<Uuid, ()> = self.targets.keys().map(|id| (*id, ())).collect();
        for target in targets {
            // A target of another id at the same place hands its peers over, and is not there to
            // be removed any more.
            self.put_target(target);
            gone.remove(&target.id);
        }
        for id in gone.into_keys() {
            self.remove_target(id);
        }
    }

    pub(crate) fn put_target(&mut self, spec: &TargetSpec) {
        let place = (Arc::clone(&spec.host), spec.port);
        let taken_over = self.by_place.get(&place).copied().filter(|id| *id != spec.id);
        if let Some(other) = taken_over {
            self.remove_target_but(spec.id, other);
        }
        let moved = self
            .targets
            .get(&spec.id)
            .is_some_and(|target| (&target.spec.host, target.spec.port) != (&spec.host, spec.port));
        if moved {
            self.remove_target(spec.id);
        }
        match self.targets.get_mut(&spec.id) {
            Some(target) => target.spec = spec.clone(),
            None => {
                let answer = match spec.literal() {
                    Some(address) => Some(Answer::Addresses(vec![address])),
                    None => {
                        let namesakes = self.by_name.entry(Arc::clone(&spec.host)).or_default();
                        let namesake = namesakes.first().copied();
                        namesakes.push(spec.id);
                        namesake.and_then(|id| self.targets.get(&id)?.answer.clone())
                    }
                };
                self.by_place.insert(place, spec.id);
                let target = Target { spec: spec.clone(), answer, peers: Vec::new() };
                self.targets.insert(spec.id, target);
            }
        }
        self.bring_in_line(spec.id);
    }

    pub(crate) fn remove_target(&mut self, id: Uuid) {
        let Some(target) = self.targets.remove(&id) else { return };
        self.by_place.remove(&(Arc::clone(&target.spec.host), target.spec.port));
        self.forget_name(&target.spec.host, id);
        for slot in target.peers {
            self.dismiss(slot);
        }
    }

    /// Gives a target's place, answer and peers to the id that follows it.
    fn remove_target_but(&mut self, heir: Uuid, id: Uuid) {
        self.remove_target(heir);
        let Some(mut target) = self.targets.remove(&id) else { return };
        target.spec.id = heir;
        self.by_place.insert((Arc::clone(&target.spec.host), target.spec.port), heir);
        if let Some(namesakes) = self.by_name.get_mut(&target.spec.host) {
            namesakes.iter_mut().filter(|namesake| **namesake == id).for_each(|it| *it = heir);
        }
        self.targets.insert(heir, target);
    }

    fn forget_name(&mut self, host: &Arc<str>, id: Uuid) {
        if let Some(namesakes) = self.by_name.get_mut(host) {
            namesakes.retain(|namesake| *namesake != id);
            if namesakes.is_empty() {
                self.by_name.remove(host);
            }
        }
    }

    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.by_name.keys().cloned().collect()
    }

    /// Whether anything changed. Servers give the same records in another order each time, which
    /// is no change.
    pub(crate) fn set_answer(&mut self, name: &str, answer: &Answer) -> bool {
        let mut changed = false;
        let answer = &answer.sorted();
        for id in self.by_name.get(name).cloned().unwrap_or_default() {
            if let Some(target) = self.targets.get_mut(&id)
                && target.answer.as_ref() != Some(answer)
            {
                target.answer = Some(answer.clone());
                self.bring_in_line(id);
                changed = true;
            }
        }
        changed
    }

    /// Makes the peers of a target those that its answer and its weight ask for.
    fn bring_in_line(&mut self, id: Uuid) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        let spec = target.spec.clone();
        let wanted = wanted(&spec, target.answer.as_ref());
        let before = std::mem::take(&mut target.peers);
        let place_of = |slot: Slot| {
            let peer = &self.pool.member(slot)?.peer;
            Some(((peer.address(), peer.srv_name().cloned()), slot))
        };
        let mut present: FxHashMap<(SocketAddr, Option<Arc<str>>), Slot> =
            before.into_iter().filter_map(place_of).collect();
        let mut kept = Vec::with_capacity(wanted.len());
        let mut missing = Vec::new();
        for want in wanted {
            let Some(slot) = present.remove(&(want.address, want.srv_name.clone())) else {
                missing.push(want);
                continue;
            };
            kept.push(slot);
            if let Some(member) = self.pool.member(slot)
                && (member.weight, member.failover) != (want.weight, spec.failover)
            {
                let changed =
                    Member { weight: want.weight, failover: spec.failover, ..member.clone() };
                self.replace(slot, Some(changed));
            }
        }
        let mut leaving: Vec<Slot> = present.into_values().collect();
        leaving.sort_unstable();
        leaving.into_iter().for_each(|slot| self.dismiss(slot));
        let latency = if missing.is_empty() { 0.0 } else { self.average_latency_us() };
        kept.extend(missing.into_iter().map(|want| self.admit(&spec, want, latency)));
        if let Some(target) = self.targets.get_mut(&id) {
            target.peers = kept;
        }
    }

    fn admit(&mut self, spec: &TargetSpec, want: Wanted, latency_us: f32) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots += 1;
            self.slots - 1
        });
        let id = PeerId(self.next_peer);
        self.next_peer += 1;
        let host = Arc::clone(&spec.host);
        let peer = Peer::new(id, slot, want.address, host, spec.port, want.srv_name, latency_us);
        let member = Member {
            identity: peer.identity(),
            peer: Arc::new(peer),
            weight: want.weight,
            steps: WHOLE,
            failover: spec.failover,
            available: true,
            trial: false,
        };
        if !self.slow_start.is_zero() {
            self.comeback.grow(slot);
        }
        self.replace(slot, Some(member));
        slot
    }

    fn dismiss(&mut self, slot: Slot) {
        self.comeback.forget(slot);
        self.replace(slot, None);
        self.free.push(slot);
    }

    /// The pool's side of a peer's health, after somebody moved it to this state. Whether the pool
    /// learned something new.
    ///
    /// When others have moved it back meanwhile, it is for them to say so, with their cause.
    pub(crate) fn settle_health(
        &mut self,
        peer: &Arc<Peer>,
        to: Health,
        cause: Cause,
        now: Instant,
    ) -> bool {
        let is_ours =
            self.pool.member(peer.slot()).is_some_and(|member| Arc::ptr_eq(&member.peer, peer));
        let slot = peer.slot();
        if is_ours && cause == Cause::Manual {
            // What was said by hand stands until probes or hands say otherwise.
            self.set_trial(slot, false);
            self.comeback.pardon(slot);
        }
        // Read once, since others may report at any moment.
        let available = peer.health().is_available();
        if !is_ours || available != to.is_available() {
            return false;
        }
        let ejection = self.ejection.filter(|_| matches!(cause, Cause::Report(Source::Passive, _)));
        if !available && ejection.is_some_and(|rules| !self.may_eject(slot, &rules)) {
            peer.update(|_| Condition::settled(Health::Healthy));
            return false;
        }
        if !self.refresh(slot, available) {
            return false;
        }
        peer.set_mark(Mark { since: Some(now), cause });
        match ejection {
            Some(rules) if !available => self.comeback.eject(slot, &rules, now),
            _ if !available => self.comeback.pardon(slot),
            _ => {
                self.set_trial(slot, false);
                self.comeback.end(slot, now);
                if !self.slow_start.is_zero() {
                    self.comeback.grow_since(slot, now);
                    self.set_steps(slot, 1);
                }
            }
        }
        true
    }

    /// Takes a peer that failed its trial out for longer.
    pub(crate) fn fail_trial(&mut self, peer: &Arc<Peer>, now: Instant) {
        let slot = peer.slot();
        let is_ours =
            self.pool.member(slot).is_some_and(|it| it.trial && Arc::ptr_eq(&it.peer, peer));
        if let (true, Some(rules)) = (is_ours, self.ejection) {
            self.set_trial(slot, false);
            self.comeback.eject(slot, &rules, now);
        }
    }

    /// Whether enough would be left without this member.
    fn may_eject(&self, slot: Slot, rules: &Ejection) -> bool {
        let weight = |slot| self.pool.member(slot).map_or(0, |member| u64::from(member.weight));
        let out = self.comeback.out().filter(|other| *other != slot).map(weight).sum();
        rules.leaves_enough(out, weight(slot), self.weight.total)
    }

    /// Takes over whether a member is available; whether that is new.
    fn refresh(&mut self, slot: Slot, available: bool) -> bool {
        match self.pool.member(slot) {
            Some(member) if member.available != available => {
                let member = Member { available, ..member.clone() };
                self.replace(slot, Some(member));
                true
            }
            _ => false,
        }
    }

    /// The one place where the pool changes, so that the sums always fit it.
    fn replace(&mut self, slot: Slot, member: Option<Member>) {
        if let Some(old) = self.pool.member(slot) {
            let weight = u64::from(old.weight);
            self.weight.total -= weight;
            if !old.available {
                self.weight.unavailable -= weight;
            }
            self.primaries -= usize::from(is_primary(old));
        }
        if let Some(new) = &member {
            let weight = u64::from(new.weight);
            self.weight.total += weight;
            if !new.available {
                self.weight.unavailable += weight;
            }
            self.primaries += usize::from(is_primary(new));
        }
        let eligible = member.as_ref().is_some_and(self.eligibility());
        self.pool.put(slot, member);
        self.pool.set_eligible(slot, eligible);
        self.is_built = false;
    }

    fn choose_eligible(&mut self) {
        let rule = self.eligibility();
        self.pool.choose_eligible(self.panic, rule);
    }

    /// Which members may be picked.
    fn eligibility(&self) -> impl Fn(&Member) -> bool + use<> {
        let (has_tiers, on_failover) = (self.algorithm.has_tiers(), self.on_failover);
        let panic = self.panic;
        move |member| {
            let in_tier = !has_tiers || member.failover == on_failover;
            let is_in = in_tier && (member.available || member.trial && !has_tiers);
            member.weight > 0 && (panic || is_in)
        }
    }

    fn refusal(&self, config: &Config) -> Option<NoPeer> {
        let on_trial = || self.pool.members().any(|(_, it)| it.trial && it.weight > 0);
        let may_try = !self.algorithm.has_tiers() && config.ejection.is_some() && on_trial();
        if self.panic || may_try || self.is_healthy(config.threshold) {
            return None;
        }
        if self.weight.total == 0 {
            let unanswered = |target: &Target| target.answer.is_none() && target.spec.weight > 0;
            if self.targets.values().any(unanswered) {
                return Some(NoPeer::Unresolved);
            }
            if config.origin == Origin::ServiceHost {
                let failure = self.targets.values().find_map(|target| match &target.answer {
                    Some(Answer::Failed(why)) => Some(Arc::clone(why)),
                    _ => None,
                });
                return Some(NoPeer::NameResolution(
                    failure.unwrap_or_else(|| "the name has no addresses".into()),
                ));
            }
        }
        Some(NoPeer::Unavailable)
    }

    /// Kong's rule: the share of the weight that is available must exceed the threshold.
    fn is_healthy(&self, threshold: f64) -> bool {
        let total = self.weight.total as f64;
        total > 0.0 && self.weight.available() as f64 / total * 100.0 > threshold
    }

    /// What a new peer begins with, so that it neither attracts everything nor gets nothing.
    fn average_latency_us(&self) -> f32 {
        if !self.algorithm.counts() {
            return 0.0;
        }
        let known = self.pool.members().map(|(_, member)| member.peer.last_latency_us());
        let (sum, count) = known
            .filter(|latency| *latency > 0.0)
            .fold((0.0, 0u32), |(sum, count), latency| (sum + latency, count + 1));
        if count == 0 { 0.0 } else { sum / count as f32 }
    }

    pub(crate) fn weighted_peers(&self) -> Vec<Arc<Peer>> {
        let weighted = self.pool.members().filter(|(_, member)| member.weight > 0);
        weighted.map(|(_, member)| Arc::clone(&member.peer)).collect()
    }

    pub(crate) fn peers_of(
        &self,
        host: &str,
        port: u16,
        address: Option<SocketAddr>,
    ) -> Vec<Arc<Peer>> {
        let target =
            self.by_place.get(&(Arc::from(host), port)).and_then(|id| self.targets.get(id));
        let slots = target.map(|target| target.peers.as_slice()).unwrap_or_default();
        let members = slots.iter().filter_map(|slot| self.pool.member(*slot));
        members
            .map(|member| &member.peer)
            .filter(|peer| address.is_none_or(|address| address == peer.address()))
            .cloned()
            .collect()
    }
}

fn is_primary(member: &Member) -> bool {
    member.weight > 0 && member.available && !member.failover
}

/// The addresses of a target, each once.
fn wanted(spec: &TargetSpec, answer: Option<&Answer>) -> Vec<Wanted> {
    let mut wanted: Vec<Wanted> = match answer {
        None | Some(Answer::Failed(_)) => Vec::new(),
        Some(Answer::Addresses(addresses)) => addresses
            .iter()
            .map(|address| Wanted {
                address: SocketAddr::new(*address, spec.port),
                weight: spec.weight,
                srv_name: None,
            })
            .collect(),
        Some(Answer::Services(services)) => services
            .iter()
            .map(|service| {
                let port = if service.port == 0 { spec.port } else { service.port };
                // A target of weight 0 is out, whatever its records say.
                let weight = u32::from(service.weight.max(1)) * u32::from(spec.weight > 0);
                let srv_name = Some(Arc::clone(&service.name));
                Wanted { address: SocketAddr::new(service.address, port), weight, srv_name }
            })
            .collect(),
    };
    wanted.sort_by(|a, b| (a.address, &a.srv_name).cmp(&(b.address, &b.srv_name)));
    wanted.dedup_by(|a, b| (a.address, &a.srv_name) == (b.address, &b.srv_name));
    wanted
}
