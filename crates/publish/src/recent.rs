//! Which entities changed since a revision: what a catch-up is made of when the frames are gone.

use std::collections::{BTreeSet, VecDeque};

use model::{Change, Kind};
use uuid::Uuid;
use wire::Entities;

/// How many changes are remembered (some 5 MB).
const LIMIT: usize = 65_536;

/// The keys of the newest changes, in order of revision. The bodies are in the released set, so
/// what changed since a revision is known without the log.
#[derive(Clone, Debug)]
pub(crate) struct Recent {
    changes: VecDeque<(u64, Kind, Uuid)>,
    floor: u64,
}

impl Recent {
    /// Nothing is remembered about what came up to and including `floor`.
    pub(crate) fn since(floor: u64) -> Recent {
        Recent { changes: VecDeque::new(), floor }
    }

    /// The lowest revision that can be caught up from.
    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    /// Remembers what a transaction touched. Transactions come in order.
    pub(crate) fn note(&mut self, revision: u64, changes: &[Change]) {
        for change in changes {
            self.changes.push_back((revision, change.kind.clone(), change.id));
        }
        while self.changes.len() > LIMIT {
            if let Some((forgotten, ..)) = self.changes.pop_front() {
                // The rest of that revision is worth nothing without this part of it.
                self.floor = forgotten;
            }
        }
        while self.changes.front().is_some_and(|(revision, ..)| *revision <= self.floor) {
            self.changes.pop_front();
        }
    }

    /// The same, as it was at a revision before.
    pub(crate) fn until(&self, revision: u64) -> Recent {
        let upto = self.changes.partition_point(|(of, ..)| *of <= revision);
        let changes = self.changes.range(..upto).cloned().collect();
        Recent { changes, floor: self.floor.min(revision) }
    }

    /// All that changed after `from`, with the bodies of `entities`; `None` when too much was
    /// forgotten, or so much changed that a snapshot is cheaper.
    pub(crate) fn catch_up(&self, from: u64, entities: &Entities) -> Option<Vec<Change>> {
        // Measured: beyond a fifth of the set, a compressed snapshot is smaller and faster.
        let worthwhile = (entities.len() / 5).max(1_000);
        if from < self.floor {
            return None;
        }
        let start = self.changes.partition_point(|(revision, ..)| *revision <= from);
        let mut keys: BTreeSet<(&Kind, Uuid)> = BTreeSet::new();
        for (_, kind, id) in self.changes.range(start..) {
            keys.insert((kind, *id));
            if keys.len() > worthwhile {
                return None;
            }
        }
        let change = |(kind, id): (&Kind, Uuid)| Change {
            kind: kind.clone(),
            id,
            body: entities.get(kind, id).cloned(),
        };
        Some(keys.into_iter().map(change).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind::known("services");

    fn put(id: u128, body: &str) -> Change {
        Change { kind: KIND, id: Uuid::from_u128(id), body: Some(body.into()) }
    }

    #[test]
    fn a_catch_up_has_the_last_body_of_each_entity_once() {
        let (mut recent, mut entities) = (Recent::since(10), Entities::default());
        let log = [
            (11, put(1, "a")),
            (12, put(2, "b")),
            (13, put(1, "c")),
            (14, Change { body: None, ..put(2, "") }),
        ];
        for (revision, change) in log {
            entities.apply(std::slice::from_ref(&change));
            recent.note(revision, &[change]);
        }
        let ids = |from| {
            let changes = recent.catch_up(from, &entities).expect("remembered");
            changes
                .into_iter()
                .map(|c| (c.id.as_u128(), c.body.as_deref().map(str::to_owned)))
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(10), [(1, Some("c".to_owned())), (2, None)]);
        assert_eq!(ids(12), [(1, Some("c".to_owned())), (2, None)]);
        assert_eq!(ids(13), [(2, None)]);
        assert_eq!(ids(14), []);
        assert!(recent.catch_up(9, &entities).is_none(), "9 was forgotten");
    }

    #[test]
    fn what_is_forgotten_is_forgotten_by_whole_revisions() {
        let mut recent = Recent::since(0);
        let half: Vec<Change> = (0..LIMIT as u128 / 2).map(|id| put(id, "x")).collect();
        recent.note(1, &half);
        recent.note(2, &half);
        assert_eq!(recent.floor(), 0);
        recent.note(3, &[put(1, "y")]);
        assert_eq!(recent.floor(), 1, "a part of revision 1 was dropped");
        let mut entities = Entities::default();
        entities.apply(&half);
        assert!(recent.catch_up(0, &entities).is_none());
        let too_much = recent.catch_up(1, &entities);
        assert!(too_much.is_none(), "a snapshot is cheaper than all entities one by one");
        assert_eq!(recent.catch_up(2, &entities).map(|changes| changes.len()), Some(1));
    }

    #[test]
    fn a_transaction_larger_than_the_memory_leaves_only_a_floor() {
        let mut recent = Recent::since(0);
        let many: Vec<Change> = (0..=LIMIT as u128).map(|id| put(id, "x")).collect();
        recent.note(1, &many);
        assert_eq!(recent.floor(), 1);
        assert_eq!(recent.catch_up(1, &Entities::default()).map(|changes| changes.len()), Some(0));
    }
}
