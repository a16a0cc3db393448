//! Between what is received and what is served: hands changes to the [`Apply`], and keeps the last
//! good version of what it rejects.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Change, Cursor, Kind, Transaction};
use uuid::Uuid;
use wire::Entities;

use crate::apply::{Apply, Rejection};
use crate::status::Rejected;

/// From this many changes on, applying goes to a thread of its own: it may take longer than the
/// runtime's other tasks (keep-alives, probes) can wait.
const LARGE: usize = 1_000;

/// What is served.
pub(crate) struct Serving<A> {
    apply: A,
    at: Option<Cursor>,
    /// What was handed to `apply`, rejected or not.
    handed: Entities,
    rejected: BTreeMap<(Kind, Uuid), Fallback>,
    /// `rejected` for everybody else.
    list: Arc<[Rejected]>,
}

/// An entity that is rejected, or in force in part.
struct Fallback {
    revision: u64,
    reason: String,
    in_part: bool,
    /// The version that is served instead, if there is one.
    last_good: Option<Arc<str>>,
}

/// More are counted in the log, not named: all are in the status.
const NAMED: usize = 10;

/// Everything at once, or what follows.
pub(crate) enum Work {
    /// Replaces everything. `last_good` are the versions that are served of what was rejected
    /// when this was kept.
    Replace { at: Cursor, entities: Entities, last_good: Vec<(Kind, Uuid, Arc<str>)> },
    /// One transaction; `at` is where it leads.
    Apply { at: Cursor, transaction: Transaction },
}

impl<A: Apply> Serving<A> {
    pub(crate) fn new(apply: A) -> Serving<A> {
        Serving {
            apply,
            at: None,
            handed: Entities::default(),
            rejected: BTreeMap::new(),
            list: Arc::from([]),
        }
    }

    /// Where what is served stands.
    pub(crate) fn at(&self) -> Option<Cursor> {
        self.at
    }

    /// What is rejected, by kind and id.
    pub(crate) fn rejected(&self) -> &Arc<[Rejected]> {
        &self.list
    }

    /// The versions that are served of what is rejected.
    pub(crate) fn last_good(&self) -> Vec<(Kind, Uuid, Arc<str>)> {
        self.rejected
            .iter()
            .filter_map(|((kind, id), fallback)| {
                Some((kind.clone(), *id, fallback.last_good.clone()?))
            })
            .collect()
    }

    /// Does the work, on a thread of its own if it is large.
    ///
    /// # Errors
    /// When the [`Apply`] panicked.
    pub(crate) async fn work(mut self, work: Work) -> Result<Serving<A>, tokio::task::JoinError> {
        let large = match &work {
            Work::Replace { entities, .. } => entities.len() >= LARGE,
            Work::Apply { transaction, .. } => transaction.changes.len() >= LARGE,
        };
        if !large {
            self.do_now(work);
            return Ok(self);
        }
        tokio::task::spawn_blocking(move || {
            self.do_now(work);
            self
        })
        .await
    }

    fn do_now(&mut self, work: Work) {
        match work {
            Work::Replace { at, entities, last_good } => self.replace(at, entities, last_good),
            Work::Apply { at, transaction } => self.apply(at, transaction),
        }
    }

    fn replace(&mut self, at: Cursor, entities: Entities, last_good: Vec<(Kind, Uuid, Arc<str>)>) {
        // What was kept as the last good versions is applied first, and what was rejected over it
        // again: the way that the process before this one went.
        let good: Vec<_> = last_good
            .into_iter()
            .filter(|(kind, id, body)| entities.get(kind, *id).is_some_and(|is| is != body))
            .collect();
        let mut first = entities.clone();
        for (kind, id, body) in &good {
            first.put(kind, *id, body.clone());
        }
        let before = std::mem::replace(&mut self.handed, first);
        let rejections = self.apply.replace(at, self.handed.to_changes());
        self.note(at.revision, rejections, &before);
        self.at = Some(at);
        if !good.is_empty() {
            let changes = good.into_iter().map(|(kind, id, _)| {
                let body = entities.get(&kind, id).cloned();
                Change { kind, id, body }
            });
            self.repeat(at, changes.collect());
        }
    }

    /// Applies changes that belong to what `at` stands for already.
    fn repeat(&mut self, at: Cursor, changes: Vec<Change>) {
        let (prev, revision) = (at.revision, at.revision);
        self.apply(at, Transaction { prev, revision, committed_us: 0, changes });
    }

    fn apply(&mut self, at: Cursor, transaction: Transaction) {
        let before = self.handed.clone();
        self.handed.apply(&transaction.changes);
        let rejections = self.apply.apply(std::slice::from_ref(&transaction));
        self.note(at.revision, rejections, &before);
        self.at = Some(at);
    }

    /// Notes what is rejected after a step that led to `revision`, from the set `before`.
    fn note(&mut self, revision: u64, rejections: Vec<Rejection>, before: &Entities) {
        let mut were = std::mem::take(&mut self.rejected);
        let mut new = 0;
        for Rejection { kind, id, reason, in_part } in rejections {
            let key = (kind, id);
            let was = were.remove(&key);
            let is_new = was.is_none();
            let fallback = match was {
                Some(was) if was.reason == reason => was,
                // What is in force in part needs no other version in its place.
                _ if in_part => Fallback { revision, reason, in_part, last_good: None },
                Some(was) if !was.in_part => {
                    Fallback { revision, reason, in_part, last_good: was.last_good }
                }
                _ => {
                    let last_good = before.get(&key.0, id).cloned();
                    Fallback { revision, reason, in_part, last_good }
                }
            };
            if is_new {
                new += 1;
                if new <= NAMED {
                    complain(&key, &fallback);
                }
            }
            self.rejected.insert(key, fallback);
        }
        if new > NAMED {
            let more = new - NAMED;
            tracing::error!(revision, more, "more entities could not be applied: see /status");
        }
        for ((kind, id), _) in were {
            tracing::info!(%kind, %id, revision, "an entity that was rejected is in order again");
        }
        if !(self.rejected.is_empty() && self.list.is_empty()) {
            let list = self.rejected.iter().map(|((kind, id), fallback)| Rejected {
                revision: fallback.revision,
                kind: kind.clone(),
                id: *id,
                reason: fallback.reason.clone(),
                in_part: fallback.in_part,
            });
            self.list = list.collect();
        }
    }
}

fn complain((kind, id): &(Kind, Uuid), fallback: &Fallback) {
    let Fallback { revision, reason, .. } = fallback;
    if fallback.in_part {
        tracing::warn!(%kind, %id, revision, reason, "an entity is in force only in part");
    } else {
        tracing::error!(
            %kind,
            %id,
            revision,
            reason,
            "an entity could not be applied; its last good version stays in force"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind::known("services");

    /// Rejects every body that begins with "bad" and serves the last one that did not; one that
    /// begins with "half" is told and served.
    #[derive(Default)]
    struct Picky {
        served: Entities,
        bad: BTreeMap<Uuid, String>,
    }

    impl Picky {
        fn take(&mut self, changes: &[Change]) -> Vec<Rejection> {
            for change in changes {
                match &change.body {
                    Some(body) if body.starts_with("bad") => {
                        self.bad.insert(change.id, body.to_string());
                    }
                    body => {
                        self.bad.remove(&change.id);
                        if let Some(body) = body.as_ref().filter(|body| body.starts_with("half")) {
                            self.bad.insert(change.id, body.to_string());
                        }
                        self.served.apply(std::slice::from_ref(change));
                    }
                }
            }
            self.bad
                .iter()
                .map(|(id, body)| Rejection {
                    kind: KIND,
                    id: *id,
                    reason: body.clone(),
                    in_part: body.starts_with("half"),
                })
                .collect()
        }
    }

    impl Apply for Picky {
        fn replace(&mut self, _: Cursor, entities: Vec<Change>) -> Vec<Rejection> {
            let stays = |id: &Uuid| entities.iter().any(|entity| entity.id == *id);
            let gone: Vec<Change> = self
                .served
                .to_changes()
                .into_iter()
                .filter(|entity| !stays(&entity.id))
                .map(|entity| Change { body: None, ..entity })
                .collect();
            self.served.apply(&gone);
            self.bad.retain(|id, _| stays(id));
            self.take(&entities)
        }

        fn apply(&mut self, transactions: &[Transaction]) -> Vec<Rejection> {
            self.take(&transactions.iter().flat_map(|t| t.changes.clone()).collect::<Vec<_>>())
        }
    }

    fn at(revision: u64) -> Cursor {
        Cursor { epoch: Uuid::nil(), revision }
    }

    fn change(id: u128, body: Option<&str>) -> Change {
        Change { kind: KIND, id: Uuid::from_u128(id), body: body.map(Arc::from) }
    }

    fn step(revision: u64, changes: Vec<Change>) -> Work {
        let prev = revision - 1;
        Work::Apply {
            at: at(revision),
            transaction: Transaction { prev, revision, committed_us: 0, changes },
        }
    }

    fn served(serving: &Serving<Picky>) -> Vec<(u128, &str)> {
        serving.apply.served.iter().map(|(_, id, body)| (id.as_u128(), &**body)).collect()
    }

    fn rejected(serving: &Serving<Picky>) -> Vec<(u64, u128, String)> {
        serving.rejected().iter().map(|r| (r.revision, r.id.as_u128(), r.reason.clone())).collect()
    }

    #[test]
    fn the_last_good_version_survives_rejections_and_a_restart() {
        let mut serving = Serving::new(Picky::default());
        let entities = [change(1, Some("one")), change(2, Some("two"))];
        let mut received = Entities::default();
        received.apply(&entities);
        serving.do_now(Work::Replace { at: at(4), entities: received.clone(), last_good: vec![] });
        let steps = [
            vec![change(1, Some("bad 1")), change(3, Some("bad 3"))],
            vec![change(1, Some("bad again"))],
            vec![change(2, Some("two!"))],
        ];
        for (revision, changes) in (5..).zip(steps) {
            received.apply(&changes);
            serving.do_now(step(revision, changes));
        }
        assert_eq!(served(&serving), [(1, "one"), (2, "two!")]);
        let reasons = [(6, 1, "bad again".to_owned()), (5, 3, "bad 3".to_owned())];
        assert_eq!(rejected(&serving), reasons);
        assert_eq!(serving.last_good(), [(KIND, Uuid::from_u128(1), Arc::from("one"))]);

        // A new process with what the disk kept.
        let mut after = Serving::new(Picky::default());
        let last_good = serving.last_good();
        after.do_now(Work::Replace { at: at(7), entities: received.clone(), last_good });
        assert_eq!(served(&after), [(1, "one"), (2, "two!")]);
        assert_eq!(after.last_good(), serving.last_good());
        assert_eq!(after.handed, received);
        assert_eq!(after.at(), Some(at(7)));

        // The next good version heals it, a deletion ends it.
        after.do_now(step(8, vec![change(1, Some("fine")), change(3, None)]));
        assert_eq!(served(&after), [(1, "fine"), (2, "two!")]);
        assert_eq!(rejected(&after), []);
        assert_eq!(after.last_good(), []);
    }

    #[test]
    fn what_is_in_force_in_part_is_the_last_good_version() {
        let mut serving = Serving::new(Picky::default());
        let mut received = Entities::default();
        received.apply(&[change(1, Some("one"))]);
        serving.do_now(Work::Replace { at: at(4), entities: received, last_good: vec![] });
        serving.do_now(step(5, vec![change(1, Some("half one"))]));
        assert_eq!(served(&serving), [(1, "half one")]);
        let told = serving.rejected().first().expect("it is told");
        assert!(told.in_part && told.revision == 5, "{told:?}");
        assert_eq!(serving.last_good(), [], "nothing is served in its place");
        serving.do_now(step(6, vec![change(1, Some("bad one"))]));
        assert_eq!(served(&serving), [(1, "half one")]);
        assert!(!serving.rejected()[0].in_part);
        assert_eq!(serving.last_good(), [(KIND, Uuid::from_u128(1), Arc::from("half one"))]);
        serving.do_now(step(7, vec![change(1, Some("half again"))]));
        assert_eq!(serving.last_good(), []);
        serving.do_now(step(8, vec![change(1, Some("whole"))]));
        assert_eq!(rejected(&serving), []);
    }

    #[test]
    fn a_snapshot_keeps_the_last_good_versions_too() {
        let mut serving = Serving::new(Picky::default());
        let mut replace = |revision, changes: &[Change]| {
            let mut entities = Entities::default();
            entities.apply(changes);
            serving.do_now(Work::Replace { at: at(revision), entities, last_good: vec![] });
            (
                served(&serving).into_iter().map(|(id, body)| (id, body.to_owned())).collect(),
                rejected(&serving).into_iter().map(|(_, id, _)| id).collect(),
            )
        };
        let told = |pairs: &[(u128, &str)]| -> Vec<(u128, String)> {
            pairs.iter().map(|(id, body)| (*id, (*body).to_owned())).collect()
        };
        let all: (_, Vec<u128>) = replace(1, &[change(1, Some("one")), change(2, Some("bad"))]);
        assert_eq!(all, (told(&[(1, "one")]), vec![2]));
        let all = replace(9, &[change(1, Some("bad one")), change(2, Some("bad two"))]);
        assert_eq!(all, (told(&[(1, "one")]), vec![1, 2]), "what was good stays");
        let all = replace(10, &[change(1, Some("bad 1")), change(2, Some("two"))]);
        assert_eq!(all, (told(&[(1, "one"), (2, "two")]), vec![1]), "also the second time");
        let all = replace(11, &[change(2, Some("two"))]);
        assert_eq!(all, (told(&[(2, "two")]), vec![]), "what is gone is gone");
    }

    #[tokio::test]
    async fn a_panic_of_a_large_step_is_an_error() {
        struct Broken;
        impl Apply for Broken {
            fn replace(&mut self, _: Cursor, _: Vec<Change>) -> Vec<Rejection> {
                panic!("broken");
            }
            fn apply(&mut self, _: &[Transaction]) -> Vec<Rejection> {
                Vec::new()
            }
        }
        let entities: Entities =
            (0..LARGE as u128).map(|id| (KIND, Uuid::from_u128(id), Arc::from("{}"))).collect();
        let work = Work::Replace { at: at(1), entities, last_good: vec![] };
        let error = Serving::new(Broken).work(work).await.err().expect("it panicked");
        assert!(error.is_panic());
    }
}
