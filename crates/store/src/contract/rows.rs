//! Rows that read well in checks.

use std::sync::Arc;

use model::{Entity, Kind};
use uuid::Uuid;

use crate::{
    Committed, DeleteRule, Error, Key, ListQuery, Operation, Reference, Row, Store, TagFilter,
    WriteSet,
};

pub(super) const SERVICES: &str = "services";
pub(super) const ROUTES: &str = "routes";
pub(super) const PLUGINS: &str = "plugins";

pub(super) use DeleteRule::{Cascade, Restrict};

/// The n-th id.
pub(super) fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// The n-th entity of a kind, without keys, references and tags.
pub(super) fn row(kind: &'static str, n: u128) -> Row {
    Row {
        kind: Kind::known(kind),
        id: id(n),
        body: format!("{{\"id\":\"{}\"}}", id(n)).into(),
        keys: Vec::new(),
        references: Vec::new(),
        tags: Vec::new(),
    }
}

/// What a check adds to a row.
pub(super) trait With: Sized {
    fn body(self, body: &str) -> Self;
    fn key(self, field: &'static str, value: &str) -> Self;
    fn named(self, name: &str) -> Self {
        self.key("name", name)
    }
    fn refers(self, field: &'static str, to: (&'static str, u128), rule: DeleteRule) -> Self;
    fn tag(self, tag: &str) -> Self;
}

impl With for Row {
    fn body(mut self, body: &str) -> Row {
        self.body = body.into();
        self
    }

    fn key(mut self, field: &'static str, value: &str) -> Row {
        self.keys.push(Key { field, value: value.to_owned() });
        self
    }

    fn refers(mut self, field: &'static str, to: (&'static str, u128), rule: DeleteRule) -> Row {
        let (to_kind, n) = to;
        self.references.push(Reference { field, to_kind, to_id: id(n), on_delete: rule });
        self
    }

    fn tag(mut self, tag: &str) -> Row {
        self.tags.push(tag.to_owned());
        self
    }
}

pub(super) fn insert(row: Row) -> Operation {
    Operation::Insert(row)
}

pub(super) fn upsert(row: Row) -> Operation {
    Operation::Upsert(row)
}

pub(super) fn update(row: Row, expected: u64) -> Operation {
    Operation::Update { row, expected }
}

pub(super) fn delete(kind: &'static str, n: u128) -> Operation {
    Operation::Delete { kind: Kind::known(kind), id: id(n) }
}

/// Writes a set.
pub(super) async fn write(
    store: &Arc<dyn Store>,
    operations: impl IntoIterator<Item = Operation>,
) -> Result<Committed, Error> {
    store.write(WriteSet::from(operations.into_iter().collect::<Vec<_>>())).await
}

/// The entity, which must be there.
pub(super) async fn get(store: &Arc<dyn Store>, kind: &str, n: u128) -> Entity {
    store.get(kind, id(n)).await.unwrap().unwrap_or_else(|| panic!("{kind} {n} is not there"))
}

pub(super) async fn exists(store: &Arc<dyn Store>, kind: &str, n: u128) -> bool {
    store.get(kind, id(n)).await.unwrap().is_some()
}

pub(super) async fn named(store: &Arc<dyn Store>, kind: &str, name: &str) -> Option<Uuid> {
    let key = Key { field: "name", value: name.to_owned() };
    store.find(kind, &key).await.unwrap().map(|entity| entity.id)
}

/// A page of a collection from its beginning.
pub(super) fn all(kind: &'static str) -> ListQuery {
    ListQuery { kind: Kind::known(kind), referring: None, tags: None, after: None, size: 1000 }
}

pub(super) fn tagged_all(tags: &[&str]) -> Option<TagFilter> {
    Some(TagFilter::All(tags.iter().map(|tag| (*tag).to_owned()).collect()))
}

pub(super) fn tagged_any(tags: &[&str]) -> Option<TagFilter> {
    Some(TagFilter::Any(tags.iter().map(|tag| (*tag).to_owned()).collect()))
}

/// The numbers of a page's entities, and whether more follow.
pub(super) async fn page(store: &Arc<dyn Store>, query: &ListQuery) -> (Vec<u128>, bool) {
    let page = store.list(query).await.unwrap();
    (page.entities.iter().map(|entity| entity.id.as_u128()).collect(), page.more)
}

/// What changed, as (kind, number, whether it is there now).
pub(super) fn changes(committed: &Committed) -> Vec<(&str, u128, bool)> {
    let change = |c: &'_ model::Change| (c.id.as_u128(), c.body.is_some());
    committed.changes.iter().map(|c| (c.kind.as_str(), change(c).0, change(c).1)).collect()
}
