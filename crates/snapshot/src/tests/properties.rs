//! However a set came about, requests meet the same.

use std::collections::BTreeMap;

use model::{Change, Cursor, Kind};
use plugin::{CredentialKind, Directory as _};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::select;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    CERTIFICATE, CONSUMER, CREDENTIAL, PLUGIN, PLUGINS, ROUTE, SERVICE, SNI, TARGET, UPSTREAM,
    builder, gone, id, meets, plugin, put, route, service, target, transaction, upstream,
};
use crate::Applied;

const HOSTS: [&str; 3] = ["a.test", "b.test", "c.test"];
const KEYS: [&str; 3] = ["k", "l", "m"];

fn any_change() -> impl Strategy<Value = Change> {
    let number = 0..3_u128;
    let host = select(vec!["one", "two", "127.0.0.9"]);
    let domain = select(HOSTS.to_vec());
    let key = select(KEYS.to_vec());
    let address = select(vec!["127.0.0.1:1", "127.0.0.2:2", "127.0.0.3:3"]);
    let deleted = select(vec![
        ("routes", ROUTE),
        ("upstreams", UPSTREAM),
        ("targets", TARGET),
        ("plugins", PLUGIN),
        ("consumers", CONSUMER),
        ("keyauth_credentials", CREDENTIAL),
        ("snis", SNI),
    ]);
    let scope = (any::<[bool; 3]>(), number.clone());
    prop_oneof![
        1 => (number.clone(), host.clone(), any::<bool>()).prop_map(|(n, h, on)| service(n, h, on)),
        1 => (number.clone(), domain.clone(), number.clone()).prop_map(|(n, d, of)| route(n, d, of)),
        1 => (number.clone(), host).prop_map(|(n, name)| upstream(n, name)),
        1 => (number.clone(), number.clone(), address).prop_map(|(n, of, a)| target(n, of, a)),
        3 => (0..6_u128, select(PLUGINS.to_vec()), scope)
            .prop_map(|(n, name, (of, target))| scoped(n, name, of, target)),
        1 => (number.clone(), key.clone()).prop_map(|(n, username)| {
            put("consumers", id(CONSUMER, n), json!({"username": username}))
        }),
        1 => (number.clone(), key).prop_map(|(n, key)| {
            let consumer = json!({"id": id(CONSUMER, 1)});
            put("keyauth_credentials", id(CREDENTIAL, n), json!({"key": key, "consumer": consumer}))
        }),
        1 => (number.clone(), domain).prop_map(|(n, name)| {
            let certificate = json!({"id": id(CERTIFICATE, n % 2)});
            put("snis", id(SNI, n), json!({"name": name, "certificate": certificate}))
        }),
        2 => (number, deleted).prop_map(|(n, (kind, space))| gone(kind, id(space, n))),
    ]
}

fn scoped(number: u128, name: &str, of: [bool; 3], target: u128) -> Change {
    let mut scope = json!({});
    for (is, (field, space)) in
        of.into_iter().zip([("route", ROUTE), ("service", SERVICE), ("consumer", CONSUMER)])
    {
        if is {
            scope[field] = json!(id(space, target));
        }
    }
    plugin(name, number, scope, json!({}))
}

/// What a store keeps unique of an entity.
fn unique(change: &Change) -> Option<String> {
    let body: Value = serde_json::from_str(change.body.as_deref()?).ok()?;
    let fields: &[&str] = match change.kind.as_str() {
        "upstreams" | "snis" => &["name"],
        "consumers" => &["username"],
        "keyauth_credentials" => &["key"],
        "plugins" => &["name", "route", "service", "consumer"],
        "targets" => &["upstream", "target"],
        _ => return None,
    };
    let values: Vec<_> = fields.iter().map(|field| body[field].to_string()).collect();
    Some(format!("{} {}", change.kind, values.join(" ")))
}

/// Everything that requests can ask a snapshot for, in words.
fn seen(applied: &Applied) -> Vec<String> {
    let snapshot = &applied.snapshot;
    let mut seen: Vec<_> = HOSTS.iter().map(|host| meets(applied, host)).collect();
    seen.extend(HOSTS.iter().map(|name| {
        format!("{:?}", snapshot.certificate_for(name).map(|certificate| certificate.id))
    }));
    seen.extend(KEYS.iter().map(|key| {
        let credential = snapshot.directory.credential(CredentialKind::KeyAuth, key);
        let consumer = snapshot.directory.consumer_named(key);
        format!("{:?} {:?}", credential.map(|c| c.id), consumer.map(|c| c.id))
    }));
    seen
}

proptest! {
    #[test]
    fn many_small_steps_lead_where_one_large_one_does(
        steps in vec(vec(any_change(), 1..4), 1..25),
        order in any::<u64>(),
    ) {
        let mut incremental = builder();
        let mut all: BTreeMap<(Kind, Uuid), Change> = BTreeMap::new();
        // Services and certificates are there from the start and stay, as the store's references
        // make sure of.
        let mut first: Vec<Change> = (0..3).map(|n| service(n, "one", true)).collect();
        first.extend((0..2).map(|n| {
            put("certificates", id(CERTIFICATE, n), json!({"cert": "c", "key": "k"}))
        }));
        let mut applied = incremental.apply(&[transaction(0, first.clone())]);
        let mut revision = 1;
        let key = |change: &Change| (change.kind.clone(), change.id);
        all.extend(first.into_iter().map(|change| (key(&change), change)));
        for step in steps {
            // A store takes only what leaves unique what is to be.
            let taken: Vec<Change> = step
                .into_iter()
                .filter(|change| {
                    let taken = unique(change).is_none_or(|unique_now| {
                        all.values().all(|other| {
                            key(other) == key(change) || unique(other).as_ref() != Some(&unique_now)
                        })
                    });
                    match &change.body {
                        Some(_) if taken => { all.insert(key(change), change.clone()); }
                        None => { all.remove(&key(change)); }
                        Some(_) => {}
                    }
                    taken
                })
                .collect();
            applied = incremental.apply(&[transaction(revision, taken)]);
            revision += 1;
        }
        let at = Cursor { epoch: Uuid::nil(), revision };
        let mut entities: Vec<Change> = all.into_values().collect();
        // A snapshot comes in no order.
        entities.sort_by_key(|change| change.id.as_u128().wrapping_mul(u128::from(order) | 1));
        let fresh = builder().replace(at, &entities);
        prop_assert_eq!(seen(&applied), seen(&fresh));
        // The same from a set that has little to do with it.
        let mut other = builder();
        other.replace(at, &entities.iter().filter_map(shuffled).collect::<Vec<_>>());
        prop_assert_eq!(seen(&other.replace(at, &entities)), seen(&fresh));
        prop_assert_eq!(seen(&incremental.replace(at, &entities)), seen(&fresh));
    }
}

/// The body of another entity of the same kind, so that names and scopes change hands.
fn shuffled(change: &Change) -> Option<Change> {
    let (space, number) = (change.id.as_u128() >> 64, change.id.as_u128() & 0xff);
    let other = id(space, (number + 1) % 3);
    let mut body: Value = serde_json::from_str(change.body.as_deref()?).ok()?;
    body["id"] = json!(other);
    Some(Change { id: other, body: Some(body.to_string().into()), ..change.clone() })
}
