use model::{Change, Kind};
use uuid::Uuid;

use super::*;
use crate::feed::Next;

const KIND: Kind = Kind::known("services");
const EPOCH: Uuid = Uuid::from_u128(77);

fn at(revision: u64) -> Cursor {
    Cursor { epoch: EPOCH, revision }
}

fn put(id: u128, body: &str) -> Change {
    Change { kind: KIND, id: Uuid::from_u128(id), body: Some(body.into()) }
}

fn labels(stage: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("stage".to_owned(), stage.to_owned())])
}

fn row() -> Arc<str> {
    let rollout = Rollout { id: Rollout::ID, labels: labels("canary"), opened_at: 7 };
    serde_json::to_string(&rollout).expect("it is JSON").into()
}

fn turn(body: Option<Arc<str>>) -> Change {
    Change { kind: Rollout::KIND, id: Rollout::ID, body }
}

fn release(feeds: &mut Feeds, revision: u64, changes: Vec<Change>) {
    let prev = revision - 1;
    feeds.release(&mut Transaction { prev, revision, committed_us: 0, changes });
}

/// Nothing at 10; one at 11, the opening at 12, two canary revisions, 13 and 14.
fn canary() -> Feeds {
    let mut feeds = Feeds::new(at(10), 0, Entities::default(), Recent::since(10), None);
    release(&mut feeds, 11, vec![put(1, "a")]);
    release(&mut feeds, 12, vec![turn(Some(row()))]);
    release(&mut feeds, 13, vec![put(1, "b")]);
    release(&mut feeds, 14, vec![put(2, "new")]);
    feeds
}

fn bodies(feed: &Feed) -> Vec<String> {
    feed.entities_ref().iter().map(|(_, _, body)| body.to_string()).collect()
}

#[test]
fn a_rollout_holds_back_who_has_not_its_labels() {
    let mut feeds = canary();
    assert_eq!(bodies(feeds.of(&labels("canary"), Some(at(11)))), ["b", "new"]);
    for held in [None, Some(at(11)), Some(at(12))] {
        let feed = feeds.of(&labels("stable"), held);
        assert_eq!((feed.released().at, bodies(feed)), (at(12), vec!["a".to_owned()]));
    }
    assert!(matches!(feeds.of(&labels("stable"), Some(at(12))).next(12), Next::UpToDate));
    // One that lost its label stays with what it has seen.
    assert_eq!(feeds.of(&labels("stable"), Some(at(13))).released().at, at(14));
    // A cursor of another history says nothing.
    let elsewhere = Cursor { epoch: Uuid::nil(), revision: 99 };
    assert_eq!(feeds.of(&labels("stable"), Some(elsewhere)).released().at, at(12));
    let open = feeds.open().expect("it is open");
    assert_eq!((open.opened, open.rollout.labels.clone()), (at(12), labels("canary")));
}

#[test]
fn who_was_held_back_passes_over_what_was_reverted() {
    for (end, left) in [
        // Reverted, and promoted.
        (vec![put(1, "a"), Change { body: None, ..put(2, "") }], vec!["a"]),
        (vec![], vec!["b", "new"]),
    ] {
        let mut feeds = canary();
        release(&mut feeds, 15, [end, vec![turn(None)]].concat());
        assert!(feeds.open().is_none());
        assert_eq!(bodies(feeds.newest()), left);
        assert_eq!(feeds.newest().sealed(), 15, "no canary's snapshot is handed out any more");
        let feed = feeds.of(&labels("stable"), Some(at(12)));
        let Next::Frames { to, .. } = feed.next(12) else { panic!("there is something to tell") };
        let way = feed.catch_up(12).expect("it is remembered");
        assert_eq!((way.transaction.prev, way.transaction.revision, to), (12, 15, 15), "one step");
        let mut held = Entities::default();
        held.apply(&[put(1, "a")]);
        held.apply(&way.transaction.changes);
        assert_eq!(held, feed.entities());
        release(&mut feeds, 16, vec![put(3, "c")]);
        let Next::Frames { to, .. } = feeds.of(&labels("stable"), Some(at(12))).next(12) else {
            panic!("there is something to tell")
        };
        assert_eq!(to, 16, "not by way of 13");
    }
}

#[test]
fn what_is_read_in_the_middle_of_a_rollout_is_what_was_followed() {
    let followed = canary();
    let mut stored = followed.newest().entities();
    stored.put(&Rollout::KIND, Rollout::ID, row());
    let mut recent = Recent::since(5);
    for (revision, id) in [(11, 1), (13, 1), (14, 2)] {
        recent.note(revision, &[put(id, "")]);
    }
    let before = vec![put(1, "a"), Change { body: None, ..put(2, "") }];
    let open = store::OpenRollout { opened: 12, before };
    let mut read = Feeds::new(at(14), 0, stored, recent, Some(&open));
    assert_eq!(read.open(), followed.open());
    assert_eq!(bodies(read.newest()), bodies(followed.newest()));
    let digest = |feeds: &Feeds| feeds.newest().released().digest;
    assert_eq!(digest(&read), digest(&followed));
    let feed = read.of(&labels("stable"), None);
    assert_eq!((feed.released().at, bodies(feed)), (at(12), vec!["a".to_owned()]));
    assert_eq!(feed.judge(Some(at(7))), Ok(7), "who is behind needs no snapshot");
    let way = feed.catch_up(10).expect("it is remembered");
    assert_eq!(way.transaction.revision, 12);
    assert_eq!(way.transaction.changes, [put(1, "a")]);
    // One rollout that is not there yet, or not any more, holds nobody back.
    let stored = followed.newest().entities();
    let mut read = Feeds::new(at(14), 0, stored, Recent::since(14), Some(&open));
    assert_eq!(read.of(&labels("stable"), None).released().at, at(14));
}
