//! Sets that are judged together: as if each were a transaction of its own.

use model::Cursor;
use store::{Key, Reference};

use super::*;

fn ident_of(kind: &'static str, n: u128) -> Ident {
    Ident { kind: Kind::known(kind), id: Uuid::from_u128(n) }
}

fn plain(kind: &'static str, n: u128) -> Row {
    Row {
        kind: Kind::known(kind),
        id: Uuid::from_u128(n),
        body: "{}".into(),
        keys: Vec::new(),
        references: Vec::new(),
        tags: Vec::new(),
    }
}

fn named(n: u128, name: &str) -> Row {
    Row { keys: vec![Key { field: "name", value: name.to_owned() }], ..plain("services", n) }
}

fn child(n: u128, of: u128, on_delete: DeleteRule) -> Row {
    let reference =
        Reference { field: "service", to_kind: "services", to_id: Uuid::from_u128(of), on_delete };
    Row { references: vec![reference], ..plain("routes", n) }
}

fn delete(kind: &'static str, n: u128) -> Operation {
    Operation::Delete { kind: Kind::known(kind), id: Uuid::from_u128(n) }
}

fn set(operations: impl IntoIterator<Item = Operation>) -> WriteSet {
    operations.into_iter().collect::<Vec<_>>().into()
}

/// Services with these numbers and names are stored.
fn stored(services: &[(u128, &str)]) -> Facts {
    let mut facts = Facts {
        at: Cursor { epoch: Uuid::nil(), revision: 9 },
        version: 10,
        entities: HashMap::new(),
        owners: HashMap::new(),
    };
    for (n, name) in services {
        let key = KeyName::of(&Kind::known("services"), &named(*n, name).keys[0]);
        facts.owners.insert(key.clone(), Uuid::from_u128(*n));
        let stored = Stored { version: 5, keys: vec![key], ..Stored::default() };
        facts.entities.insert(ident_of("services", *n), stored);
    }
    facts
}

/// What becomes of each set: the number of its changes, or the beginning of its error.
fn check(facts: &Facts, sets: &[WriteSet], expected: &[Result<usize, &str>]) {
    let judgement = judge(sets, facts, &[]);
    let found: Vec<Result<usize, String>> = judgement
        .outcomes
        .iter()
        .map(|outcome| match outcome {
            Ok(changes) => Ok(changes.len()),
            Err(error) => Err(error.to_string()),
        })
        .collect();
    for (place, expected) in expected.iter().enumerate() {
        let same = match (&found[place], expected) {
            (Ok(found), Ok(expected)) => found == expected,
            (Err(found), Err(expected)) => found.contains(expected),
            _ => false,
        };
        assert!(same, "set {place}: {found:?}");
    }
}

#[test]
fn a_name_that_an_earlier_set_took_is_taken() {
    let sets = [
        set([Operation::Insert(named(1, "a"))]),
        set([Operation::Insert(named(2, "a"))]),
        set([Operation::Insert(named(1, "b"))]),
    ];
    check(&stored(&[]), &sets, &[Ok(1), Err("has name"), Err("exists already")]);
}

#[test]
fn a_name_that_an_earlier_set_let_go_is_free() {
    let sets = [
        set([Operation::Upsert(named(1, "b"))]),
        set([Operation::Upsert(named(2, "a"))]),
        set([delete("services", 2)]),
        set([Operation::Insert(named(3, "a"))]),
    ];
    check(&stored(&[(1, "a")]), &sets, &[Ok(1), Ok(1), Ok(1), Ok(1)]);
}

#[test]
fn two_sets_cannot_swap_what_one_set_could() {
    let facts = stored(&[(1, "a"), (2, "b")]);
    let one = [set([Operation::Upsert(named(1, "b")), Operation::Upsert(named(2, "a"))])];
    check(&facts, &one, &[Ok(2)]);
    let two = [set([Operation::Upsert(named(1, "b"))]), set([Operation::Upsert(named(2, "a"))])];
    check(&facts, &two, &[Err("has name"), Err("has name")]);
}

#[test]
fn a_refused_set_leaves_nothing_to_the_next() {
    let sets = [
        set([
            Operation::Insert(named(1, "a")),
            Operation::Insert(child(1, 9, DeleteRule::Restrict)),
        ]),
        set([Operation::Insert(named(2, "a"))]),
        set([Operation::Insert(child(2, 1, DeleteRule::Restrict))]),
    ];
    let facts = stored(&[]);
    check(&facts, &sets, &[Err("does not exist"), Ok(1), Err("does not exist")]);
    assert_eq!(judge(&sets, &facts, &[]).plan.touched.len(), 1);
}

#[test]
fn of_two_sets_that_read_the_same_version_the_first_wins() {
    let update = || set([Operation::Update { row: named(1, "a"), expected: 5 }]);
    check(&stored(&[(1, "a")]), &[update(), update()], &[Ok(1), Err("another writer")]);
}

#[test]
fn references_see_what_earlier_sets_did() {
    let sets = [
        set([Operation::Insert(child(1, 1, DeleteRule::Restrict))]),
        set([delete("services", 1)]),
        set([delete("routes", 1)]),
        set([delete("services", 1)]),
        set([Operation::Insert(child(2, 1, DeleteRule::Restrict))]),
        set([
            Operation::Insert(named(1, "a")),
            Operation::Insert(child(3, 1, DeleteRule::Cascade)),
        ]),
        set([delete("services", 1)]),
        set([delete("routes", 3)]),
    ];
    let expected =
        [Ok(1), Err("still refers"), Ok(1), Ok(1), Err("does not exist"), Ok(2), Ok(2), Ok(0)];
    let facts = stored(&[(1, "a")]);
    check(&facts, &sets, &expected);
    // Together: the service is gone, and nothing else has ever been.
    let plan = judge(&sets, &facts, &[]).plan;
    let touched: Vec<&Ident> = plan.touched.iter().map(|touched| &touched.ident).collect();
    assert_eq!(touched, [&ident_of("services", 1)]);
    assert_eq!(plan.dropped_keys.len(), 1);
}

#[test]
fn stored_references_count_until_a_set_replaces_them() {
    let facts = {
        let mut facts = stored(&[(1, "a"), (2, "b")]);
        facts.entities.insert(ident_of("routes", 1), Stored::default());
        facts
    };
    let edges = [Edge {
        from: ident_of("routes", 1),
        field: "service".to_owned(),
        cascade: false,
        to: ident_of("services", 1),
    }];
    let sets = [
        set([delete("services", 1)]),
        set([Operation::Upsert(child(1, 2, DeleteRule::Cascade))]),
        set([delete("services", 1)]),
        set([delete("services", 2)]),
    ];
    let outcomes = judge(&sets, &facts, &edges).outcomes;
    assert!(
        matches!(&outcomes[0], Err(Error::Referenced { by_field, .. }) if by_field == "service")
    );
    let sizes: Vec<usize> = outcomes[1..].iter().map(|o| o.as_ref().unwrap().len()).collect();
    assert_eq!(sizes, [1, 1, 2]);
}
