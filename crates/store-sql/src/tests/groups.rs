//! Sets that share a transaction get the answers that they would get alone.

use std::collections::BTreeMap;

use model::Kind;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Row as _, SqliteConnection};
use store::{DeleteRule, Key, Operation, Reference, Row, WriteSet};
use tempfile::TempDir;
use uuid::Uuid;

use crate::ledger::{Ledger, transact};
use crate::sqlite::SqliteLedger;
use crate::{SqliteOptions, open_sqlite};

const GROUPS: usize = 150;
const KINDS: [&str; 2] = ["routes", "services"];
const IDS: u128 = 4;

fn operation(random: &mut StdRng) -> Operation {
    let kind = KINDS[random.random_range(0..KINDS.len())];
    let id = Uuid::from_u128(random.random_range(0..IDS));
    if random.random_range(0..4) == 0 {
        return Operation::Delete { kind: Kind::known(kind), id };
    }
    let mut row = Row {
        kind: Kind::known(kind),
        id,
        body: random.random::<u64>().to_string().into(),
        keys: Vec::new(),
        references: Vec::new(),
        tags: (0..random.random_range(0..3)).map(|tag: u8| tag.to_string()).collect(),
    };
    if random.random() {
        let value = random.random_range(0..4).to_string();
        row.keys.push(Key { field: "name", value });
    }
    if random.random() {
        row.references.push(Reference {
            field: "to",
            to_kind: KINDS[random.random_range(0..KINDS.len())],
            to_id: Uuid::from_u128(random.random_range(0..IDS)),
            on_delete: if random.random() { DeleteRule::Cascade } else { DeleteRule::Restrict },
        });
    }
    if random.random_range(0..3) == 0 { Operation::Insert(row) } else { Operation::Upsert(row) }
}

async fn ledger() -> (SqliteLedger, SqliteConnection, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weir.db");
    drop(open_sqlite(&SqliteOptions { path: path.clone() }).await.unwrap());
    let options = SqliteConnectOptions::new().filename(path).foreign_keys(true);
    let ledger = SqliteLedger::new("a file".to_owned(), options.connect().await.unwrap());
    (ledger, options.connect().await.unwrap(), directory)
}

/// The answers to sets, as texts.
async fn answers<L: Ledger>(ledger: &mut L, sets: &[WriteSet]) -> Vec<String> {
    let outcomes = transact(ledger, sets, false).await.unwrap();
    let answer = |outcome: Result<store::Committed, store::Error>| match outcome {
        Ok(committed) => format!("{:?}", committed.changes),
        Err(error) => error.to_string(),
    };
    outcomes.into_iter().map(answer).collect()
}

/// Everything in the tables but versions and revisions.
async fn tables(connection: &mut SqliteConnection) -> BTreeMap<String, usize> {
    let rows = sqlx::query(
        "SELECT 'entity ' || kind || hex(id) || body FROM entities \
         UNION ALL SELECT 'key ' || kind || field || value || hex(id) FROM entity_keys \
         UNION ALL SELECT 'ref ' || kind || hex(id) || field || to_kind || hex(to_id) || on_delete \
                   FROM entity_refs \
         UNION ALL SELECT 'tag ' || tag || kind || hex(id) FROM entity_tags",
    );
    let mut counted = BTreeMap::new();
    for row in rows.fetch_all(connection).await.unwrap() {
        *counted.entry(row.get(0)).or_default() += 1;
    }
    counted
}

#[tokio::test]
async fn a_group_comes_to_what_its_sets_come_to_one_by_one() {
    let seed = 7;
    let mut random = StdRng::seed_from_u64(seed);
    let (mut grouped, mut grouped_tables, _first) = ledger().await;
    let (mut single, mut single_tables, _second) = ledger().await;
    let (mut accepted, mut refused) = (0, 0);
    for number in 0..GROUPS {
        let sets: Vec<WriteSet> = (0..random.random_range(1..6))
            .map(|_| {
                let operations = 0..random.random_range(1..4);
                operations.map(|_| operation(&mut random)).collect::<Vec<_>>().into()
            })
            .collect();
        let together = answers(&mut grouped, &sets).await;
        let mut alone = Vec::new();
        for set in sets.chunks(1) {
            alone.extend(answers(&mut single, set).await);
        }
        assert_eq!(together, alone, "seed {seed}, group {number}: {sets:#?}");
        let ok = together.iter().filter(|answer| answer.starts_with('[')).count();
        accepted += ok;
        refused += together.len() - ok;
        assert_eq!(tables(&mut grouped_tables).await, tables(&mut single_tables).await);
    }
    assert!(accepted > GROUPS / 2 && refused > GROUPS / 2, "{accepted} and {refused}");
}
