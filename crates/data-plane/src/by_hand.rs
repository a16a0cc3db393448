//! The health that operators set by hand, which comes with the configuration.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use balancer::{CannotSet, Upstream};
use model::{Change, TargetHealth};
use uuid::Uuid;

use crate::live::Live;

/// Carries out each word once: when it comes, or when its target has its first addresses. Clones
/// share it.
///
/// A data plane that starts takes over the last word on every target; what checks and traffic see
/// afterwards counts as ever.
#[derive(Clone, Debug, Default)]
pub(crate) struct ByHand {
    words: Arc<Mutex<BTreeMap<Uuid, Word>>>,
}

#[derive(Debug)]
struct Word {
    body: Arc<str>,
    said: TargetHealth,
    is_pending: bool,
}

/// What came of carrying a word out.
enum Outcome {
    Done,
    /// The target has no address yet.
    Wait,
}

impl ByHand {
    /// Takes over what was said, with everything that was said before.
    ///
    /// # Errors
    /// Of each change that cannot be read: which row, and why.
    pub(crate) fn take<'a>(
        &self,
        changes: impl IntoIterator<Item = &'a Change>,
    ) -> Vec<(Uuid, String)> {
        let mut failed = Vec::new();
        let mut words = self.lock();
        for change in changes.into_iter().filter(|change| change.kind == TargetHealth::KIND) {
            let Some(body) = &change.body else {
                words.remove(&change.id);
                continue;
            };
            if words.get(&change.id).is_some_and(|word| word.body == *body) {
                continue;
            }
            match TargetHealth::from_body(body) {
                Ok(said) => {
                    let word = Word { body: Arc::clone(body), said, is_pending: true };
                    words.insert(change.id, word);
                }
                Err(error) => failed.push((change.id, error.to_string())),
            }
        }
        failed
    }

    /// Forgets what is not among these, which are everything that there is.
    pub(crate) fn keep(&self, entities: &[Change]) {
        let present = entities.iter().filter(|entity| entity.kind == TargetHealth::KIND);
        let present: std::collections::BTreeSet<Uuid> = present.map(|entity| entity.id).collect();
        self.lock().retain(|id, _| present.contains(id));
    }

    /// Carries out what can be.
    pub(crate) fn carry_out(&self, live: &Live, now: Instant) {
        let mut words = self.lock();
        let mut pending: Vec<&mut Word> =
            words.values_mut().filter(|word| word.is_pending).collect();
        // In the order in which they were said: the later word stands.
        pending.sort_by_key(|word| word.said.said_us);
        for word in pending {
            let Some(upstream) = live.get(word.said.upstream.id) else { continue };
            if let Outcome::Done = set(&upstream, &word.said, now) {
                word.is_pending = false;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, Word>> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn set(upstream: &Upstream, said: &TargetHealth, now: Instant) -> Outcome {
    let view = upstream.view(now);
    let target = view.targets.iter().find(|target| target.id == said.target.id);
    let Some(target) = target.filter(|target| !target.addresses.is_empty()) else {
        return Outcome::Wait;
    };
    let has = |address: SocketAddr| target.addresses.iter().any(|one| one.address == address);
    if let Some(address) = said.address.filter(|address| !has(*address)) {
        tracing::warn!(
            upstream = &*view.name,
            target = &*target.host,
            %address,
            "the health of an address was set by hand that the target does not have here"
        );
        return Outcome::Done;
    }
    let done = upstream.set_health(&target.host, target.port, said.address, said.healthy, now);
    match done {
        Ok(transitions) => {
            for transition in &transitions {
                upstream::log_transition(&upstream.config(), transition);
            }
            Outcome::Done
        }
        // Without checks everything is healthy, and stays so when checks are switched on.
        Err(CannotSet::ChecksOff(_)) => Outcome::Done,
        // It has left in this moment.
        Err(CannotSet::UnknownTarget { .. }) => Outcome::Wait,
    }
}

#[cfg(test)]
mod tests {
    use balancer::Answer;
    use model::Reference;

    use super::*;
    use crate::live::testing::{live_with, target_id, upstream};

    fn word(host: &str, address: Option<&str>, healthy: bool, said_us: i64) -> Change {
        let target = target_id(1, host);
        let address = address.map(|address| address.parse().unwrap());
        let said = TargetHealth {
            id: TargetHealth::id_of(target, address),
            upstream: Reference { id: Uuid::from_u128(1) },
            target: Reference { id: target },
            address,
            healthy,
            said_us,
        };
        let body = serde_json::to_string(&said).unwrap();
        Change { kind: TargetHealth::KIND, id: said.id, body: Some(body.into()) }
    }

    fn available(upstream: &Upstream, now: Instant) -> Vec<(String, bool)> {
        let view = upstream.view(now);
        let addresses = view.targets.iter().flat_map(|target| &target.addresses);
        let mut all: Vec<_> =
            addresses.map(|one| (one.address.to_string(), one.state.is_available())).collect();
        all.sort();
        all
    }

    fn told(pairs: &[(&str, bool)]) -> Vec<(String, bool)> {
        pairs.iter().map(|(address, healthy)| ((*address).to_owned(), *healthy)).collect()
    }

    #[tokio::test]
    async fn a_word_is_carried_out_once() {
        let now = tokio::time::Instant::now().into_std();
        let one = upstream(1, &["10.0.0.1"]);
        let live = live_with(&[Arc::clone(&one)]);
        let by_hand = ByHand::default();
        let said = [word("10.0.0.1", None, false, 1)];
        assert!(by_hand.take(&said).is_empty());
        by_hand.carry_out(&live, now);
        assert_eq!(available(&one, now), told(&[("10.0.0.1:80", false)]));

        // A probe found it well; the same configuration comes again as a snapshot.
        one.set_health("10.0.0.1", 80, None, true, now).unwrap();
        by_hand.keep(&said);
        by_hand.take(&said);
        by_hand.carry_out(&live, now);
        assert_eq!(available(&one, now), told(&[("10.0.0.1:80", true)]));

        // The same word, said again.
        by_hand.take(&[word("10.0.0.1", None, false, 2)]);
        by_hand.carry_out(&live, now);
        assert_eq!(available(&one, now), told(&[("10.0.0.1:80", false)]));
    }

    #[tokio::test]
    async fn a_word_waits_for_the_name_to_resolve_and_the_later_one_stands() {
        let now = tokio::time::Instant::now().into_std();
        let one = upstream(1, &["a.example"]);
        let live = live_with(&[Arc::clone(&one)]);
        let by_hand = ByHand::default();
        by_hand.take(&[
            word("a.example", Some("10.0.0.2:80"), true, 2),
            word("a.example", None, false, 1),
            word("a.example", Some("10.0.0.9:80"), false, 3),
        ]);
        by_hand.carry_out(&live, now);
        let addresses = vec![[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];
        one.set_answer("a.example", &Answer::Addresses(addresses));
        by_hand.carry_out(&live, now);
        assert_eq!(available(&one, now), told(&[("10.0.0.1:80", false), ("10.0.0.2:80", true)]));
        assert!(by_hand.lock().values().all(|word| !word.is_pending));
    }

    #[test]
    fn what_cannot_be_read_is_named_and_what_is_gone_is_forgotten() {
        let by_hand = ByHand::default();
        let odd = Change { body: Some("{}".into()), ..word("10.0.0.1", None, true, 1) };
        let failed = by_hand.take(&[odd.clone(), word("10.0.0.2", None, true, 1)]);
        assert_eq!(failed.len(), 1);
        assert_eq!(failed[0].0, odd.id);
        by_hand.keep(&[]);
        assert!(by_hand.lock().is_empty());
    }
}
