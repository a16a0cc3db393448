//! Conversions there and back, cutting and joining, sets and blocks.

use std::sync::Arc;

use model::{Change, Cursor, Digest, Kind, Transaction};
use proptest::prelude::{ProptestConfig, Strategy, any, prop, proptest};
use prost::Message;
use uuid::Uuid;

use crate::{
    Assembler, Entities, MAX_MESSAGE, PART, change_from, change_to, cursor_from, cursor_to,
    digest_from, frame, merge, pack, parts, pipe, transaction_from, unpack, v1,
};

const SERVICES: Kind = Kind::known("services");
const ROUTES: Kind = Kind::known("routes");

fn change(kind: Kind, id: u128, body: Option<&str>) -> Change {
    Change { kind, id: Uuid::from_u128(id), body: body.map(Arc::from) }
}

fn transaction(prev: u64, revision: u64, changes: Vec<Change>) -> Transaction {
    Transaction { prev, revision, committed_us: 1_700_000_000_000_000, changes }
}

/// Few ids and bodies, so that changes meet.
fn changes() -> impl Strategy<Value = Vec<Change>> {
    let one = (any::<bool>(), 0u128..8, prop::option::of("[a-c]{0,3}")).prop_map(
        |(service, id, body)| change(if service { SERVICES } else { ROUTES }, id, body.as_deref()),
    );
    prop::collection::vec(one, 0..20)
}

#[test]
fn words_survive_the_way_there_and_back() {
    let cursor = Cursor { epoch: Uuid::from_u128(7), revision: u64::MAX };
    assert_eq!(cursor_from(Some(cursor_to(cursor))), Ok(Some(cursor)));
    assert_eq!(cursor_from(None), Ok(None));
    for body in [None, Some(""), Some("{\"name\":\"é\"}")] {
        let there = change(SERVICES, 3, body);
        let message = change_to(&there.kind, there.id, there.body.as_deref());
        assert_eq!(change_from(message), Ok(there));
    }
}

#[test]
fn malformed_messages_name_the_field() {
    let short = v1::Cursor { epoch: vec![1; 15].into(), revision: 1 };
    let error = cursor_from(Some(short)).expect_err("15 bytes are no UUID");
    assert_eq!(error.to_string(), "malformed message: epoch has 15 bytes, a UUID has 16");
    let error = digest_from("digest", &[0; 17]).expect_err("17 bytes are no digest");
    assert_eq!(error.to_string(), "malformed message: digest has 17 bytes, a digest has 16");
    let nameless = v1::Change { kind: String::new(), ..change_to(&SERVICES, Uuid::nil(), None) };
    assert!(change_from(nameless).is_err());
    let backwards = parts(&transaction(5, 5, vec![])).remove(0);
    assert!(transaction_from(backwards).is_err());
}

#[test]
fn debug_shows_no_body() {
    let message = change_to(&SERVICES, Uuid::nil(), Some("{\"password\":\"hunter2\"}"));
    let whole = v1::WatchFrame {
        kind: Some(v1::watch_frame::Kind::Transaction(v1::Transaction {
            changes: vec![message],
            ..Default::default()
        })),
    };
    assert!(!format!("{whole:?}").contains("hunter2"));
    let set: Entities =
        [(SERVICES, Uuid::nil(), Arc::from("{\"password\":\"hunter2\"}"))].into_iter().collect();
    assert!(!format!("{set:?}").contains("hunter2"));
}

#[test]
fn a_frame_is_what_grpc_expects() {
    let message = v1::StatusReply { next_ms: 300, health_held: 0 };
    let framed = frame(&message);
    assert_eq!(framed[..5], [0, 0, 0, 0, 3]);
    assert_eq!(v1::StatusReply::decode(&framed[5..]), Ok(message));
}

#[test]
fn a_large_transaction_travels_in_parts() {
    let body = "x".repeat(100_000);
    let changes: Vec<Change> = (0..50).map(|id| change(SERVICES, id, Some(&body))).collect();
    let whole = transaction(4, 9, changes);
    let messages = parts(&whole);
    assert_eq!(messages.len(), 5);
    let mut assembler = Assembler::default();
    for (at, message) in messages.into_iter().enumerate() {
        assert!(message.encoded_len() <= PART);
        assert_eq!(message.more, at < 4);
        let joined = assembler.push(message).expect("the parts fit");
        assert_eq!(joined, (at == 4).then(|| whole.clone()));
    }
}

#[test]
fn an_entity_larger_than_a_part_is_not_cut() {
    let body = "x".repeat(10 << 20);
    let whole = transaction(
        0,
        1,
        vec![
            change(ROUTES, 1, Some("{}")),
            change(ROUTES, 2, Some(&body)),
            change(ROUTES, 3, None),
        ],
    );
    let messages = parts(&whole);
    assert_eq!(messages.len(), 3);
    assert!(messages.iter().all(|message| message.encoded_len() < MAX_MESSAGE));
}

#[test]
fn parts_of_different_transactions_do_not_mix() {
    let part = |revision, more| v1::Transaction { prev: 1, revision, more, ..Default::default() };
    let mut assembler = Assembler::default();
    assert_eq!(assembler.push(part(2, true)), Ok(None));
    assert!(assembler.push(part(3, false)).is_err());
    assert!(transaction_from(part(2, true)).is_err());
}

#[test]
fn blocks_hold_the_whole_set() {
    let body = "x".repeat(3_000);
    let set: Entities = (0..1_000u128)
        .map(|id| {
            (if id % 2 == 0 { SERVICES } else { ROUTES }, Uuid::from_u128(id), body.as_str().into())
        })
        .collect();
    let blocks = pack(&set).expect("memory");
    assert_eq!(blocks.len(), 3);
    let mut back = Entities::default();
    for block in &blocks {
        assert!(block.raw_len as usize <= PART);
        unpack(&block.zstd, block.raw_len, &mut back).expect("what was packed");
    }
    assert_eq!(back, set);
    assert_eq!(pack(&Entities::default()).expect("memory").len(), 1);
}

#[test]
fn damaged_blocks_are_refused() {
    let set: Entities = [(SERVICES, Uuid::nil(), Arc::from("{}"))].into_iter().collect();
    let block = pack(&set).expect("memory").remove(0);
    let mut into = Entities::default();
    assert!(unpack(&block.zstd, block.raw_len + 1, &mut into).is_err());
    assert!(unpack(&block.zstd, block.raw_len - 1, &mut into).is_err());
    assert!(unpack(&block.zstd, u32::MAX, &mut into).is_err());
    assert!(unpack(b"not zstd", 8, &mut into).is_err());
    assert!(into.is_empty());
}

#[test]
fn an_empty_set_has_the_digest_zero() {
    let mut set = Entities::default();
    set.put(&SERVICES, Uuid::nil(), "{}".into());
    assert_ne!(set.digest(), Digest::default());
    set.remove(&SERVICES, Uuid::nil());
    assert_eq!(set.digest(), Digest::default());
    assert!(set.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_set_counts_and_digests_what_it_holds(changes in changes()) {
        let mut set = Entities::default();
        for change in &changes {
            set.apply(std::slice::from_ref(change));
            assert_eq!(set.digest(), set.digest_anew());
            assert_eq!(set.len(), set.iter().count());
        }
    }

    #[test]
    fn merged_transactions_lead_to_the_same_set(
        before in changes(),
        log in prop::collection::vec(changes(), 1..5),
    ) {
        let log: Vec<Transaction> =
            (10..).zip(log).map(|(at, changes)| transaction(at, at + 1, changes)).collect();
        let mut one_by_one = Entities::default();
        one_by_one.apply(&before);
        let mut at_once = one_by_one.clone();
        log.iter().for_each(|transaction| one_by_one.apply(&transaction.changes));
        let last = log.len() as u64 + 10;
        let merged = merge(log).expect("there are some");
        assert_eq!((merged.prev, merged.revision), (10, last));
        at_once.apply(&merged.changes);
        assert_eq!(at_once.to_changes(), one_by_one.to_changes());
        let mut keys: Vec<_> = merged.changes.iter().map(|c| (&c.kind, c.id)).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), merged.changes.len());
    }
}

#[tokio::test]
async fn a_pipe_refuses_when_nobody_listens() {
    let (dialer, listener) = pipe();
    drop(listener);
    let error = dialer.dial().await.expect_err("nobody listens");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}
