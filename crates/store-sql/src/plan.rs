//! What the tables must look like after a transaction, as the smallest set of row changes.

use std::collections::{HashMap, HashSet};

use model::Kind;
use store::{DeleteRule, Row};
use uuid::Uuid;

use crate::facts::{Facts, Ident, KeyName, Stored, StoredReference};

/// What happens to the row of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Insert = 0,
    Update = 1,
    Delete = 2,
}

/// One changed entity: a row of `entities`, and one of `changes` in this order.
#[derive(Clone, Debug)]
pub(crate) struct Touched<'a> {
    pub(crate) ord: i32,
    pub(crate) mode: Mode,
    pub(crate) ident: Ident,
    pub(crate) body: Option<&'a str>,
}

/// A row of `entity_keys`.
#[derive(Clone, Debug)]
pub(crate) struct KeyRow {
    pub(crate) name: KeyName,
    pub(crate) id: Uuid,
}

/// A row of `entity_refs`.
#[derive(Clone, Debug)]
pub(crate) struct ReferenceRow {
    pub(crate) from: Ident,
    pub(crate) reference: StoredReference,
}

impl ReferenceRow {
    /// The text of the column `on_delete`.
    pub(crate) fn on_delete(&self) -> &'static str {
        if self.reference.cascade { "cascade" } else { "restrict" }
    }
}

/// A row of `entity_tags`.
#[derive(Clone, Debug)]
pub(crate) struct TagRow<'a> {
    pub(crate) tag: &'a str,
    pub(crate) ident: Ident,
}

/// The changes to every table. No two of its lists name the same row, so their order does not
/// matter but for foreign keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan<'a> {
    pub(crate) touched: Vec<Touched<'a>>,
    pub(crate) dropped_keys: Vec<KeyRow>,
    /// Keys that pass to another entity; `id` is the new owner.
    pub(crate) moved_keys: Vec<KeyRow>,
    pub(crate) added_keys: Vec<KeyRow>,
    pub(crate) dropped_references: Vec<ReferenceRow>,
    pub(crate) added_references: Vec<ReferenceRow>,
    pub(crate) dropped_tags: Vec<TagRow<'a>>,
    pub(crate) added_tags: Vec<TagRow<'a>>,
}

/// A part of a [`Plan`] that is applied at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Portion<'p, 'a> {
    pub(crate) touched: &'p [Touched<'a>],
    pub(crate) dropped_keys: &'p [KeyRow],
    pub(crate) moved_keys: &'p [KeyRow],
    pub(crate) added_keys: &'p [KeyRow],
    pub(crate) dropped_references: &'p [ReferenceRow],
    pub(crate) added_references: &'p [ReferenceRow],
    pub(crate) dropped_tags: &'p [TagRow<'a>],
    pub(crate) added_tags: &'p [TagRow<'a>],
}

impl<'a> Plan<'a> {
    /// The difference between the facts and these entities as they shall be (`None`: gone).
    pub(crate) fn new(
        facts: &'a Facts,
        after: impl Iterator<Item = (Ident, Option<&'a Row>)>,
    ) -> Plan<'a> {
        let mut plan = Plan::default();
        let mut keys_before: HashMap<KeyName, Uuid> = HashMap::new();
        let mut keys_after: HashMap<KeyName, Uuid> = HashMap::new();
        for (ident, row) in after {
            let stored = facts.entities.get(&ident);
            let mode = match (stored, row) {
                (None, None) => continue,
                (None, Some(_)) => Mode::Insert,
                (Some(_), Some(_)) => Mode::Update,
                (Some(_), None) => Mode::Delete,
            };
            if let Some(stored) = stored {
                keys_before.extend(stored.keys.iter().map(|name| (name.clone(), ident.id)));
            }
            if let Some(row) = row {
                let names = row.keys.iter().map(|key| KeyName::of(&row.kind, key));
                keys_after.extend(names.map(|name| (name, row.id)));
            }
            plan.compare_references(&ident, stored, row);
            plan.compare_tags(&ident, stored, row);
            let ord = i32::try_from(plan.touched.len()).unwrap_or(i32::MAX);
            let body = row.map(|row| &*row.body);
            plan.touched.push(Touched { ord, mode, ident, body });
        }
        for (name, id) in keys_after {
            match keys_before.remove(&name) {
                None => plan.added_keys.push(KeyRow { name, id }),
                Some(before) if before != id => plan.moved_keys.push(KeyRow { name, id }),
                Some(_) => {}
            }
        }
        plan.dropped_keys.extend(keys_before.into_iter().map(|(name, id)| KeyRow { name, id }));
        // Deletions last, so that a portion never deletes what a later one lets go of; otherwise
        // in the order of locking, because a row that another transaction has just inserted is
        // waited for. The order of the log is in `ord`.
        plan.touched.sort_by(|a, b| {
            let last = |touched: &Touched<'_>| touched.mode == Mode::Delete;
            last(a).cmp(&last(b)).then_with(|| a.ident.cmp(&b.ident))
        });
        plan.added_keys.sort_by(|a, b| a.name.cmp(&b.name));
        plan.added_tags.sort_by(|a, b| a.ident.cmp(&b.ident).then(a.tag.cmp(b.tag)));
        plan.added_references.sort_by(|a, b| {
            let place = |row: &ReferenceRow| (row.from.clone(), row.reference.to.clone());
            place(a).cmp(&place(b)).then_with(|| a.reference.field.cmp(&b.reference.field))
        });
        plan
    }

    fn compare_references(&mut self, ident: &Ident, stored: Option<&Stored>, row: Option<&Row>) {
        let mut wanted: HashMap<(&str, Ident), bool> = HashMap::new();
        for reference in row.into_iter().flat_map(|row| &row.references) {
            let to = Ident { kind: Kind::known(reference.to_kind), id: reference.to_id };
            wanted.insert((reference.field, to), reference.on_delete == DeleteRule::Cascade);
        }
        let old = stored.map_or(&[][..], |stored| &stored.references);
        for reference in old {
            let place = (&*reference.field, reference.to.clone());
            match wanted.get(&place) {
                None => self
                    .dropped_references
                    .push(ReferenceRow { from: ident.clone(), reference: reference.clone() }),
                // Adding one that is there changes its rule.
                Some(cascade) if *cascade != reference.cascade => {}
                Some(_) => {
                    wanted.remove(&place);
                }
            }
        }
        self.added_references.extend(wanted.into_iter().map(|((field, to), cascade)| {
            let reference = StoredReference { field: field.to_owned().into(), to, cascade };
            ReferenceRow { from: ident.clone(), reference }
        }));
    }

    fn compare_tags(&mut self, ident: &Ident, stored: Option<&'a Stored>, row: Option<&'a Row>) {
        let old: &[String] = stored.map_or(&[], |stored| &stored.tags);
        let new: &[String] = row.map_or(&[], |row| &row.tags);
        let tag_row = |tag: &'a String| TagRow { tag, ident: ident.clone() };
        self.dropped_tags.extend(old.iter().filter(|tag| !new.contains(tag)).map(tag_row));
        // A tag that is repeated against the contract is one tag.
        let mut known: HashSet<&str> = old.iter().map(String::as_str).collect();
        self.added_tags.extend(new.iter().filter(|tag| known.insert(tag.as_str())).map(tag_row));
    }

    /// How many changes there are.
    pub(crate) fn size(&self) -> i32 {
        i32::try_from(self.touched.len()).unwrap_or(i32::MAX)
    }

    /// The plan in parts of at most `limit` rows of a table, in an order that keeps foreign keys:
    /// what is referred to comes before what refers, and goes after it. One part when it is small.
    pub(crate) fn portions(&self, limit: usize) -> Vec<Portion<'_, 'a>> {
        let whole = Portion {
            touched: &self.touched,
            dropped_keys: &self.dropped_keys,
            moved_keys: &self.moved_keys,
            added_keys: &self.added_keys,
            dropped_references: &self.dropped_references,
            added_references: &self.added_references,
            dropped_tags: &self.dropped_tags,
            added_tags: &self.added_tags,
        };
        let rows = [
            whole.touched.len(),
            whole.dropped_keys.len(),
            whole.moved_keys.len(),
            whole.added_keys.len(),
            whole.dropped_references.len(),
            whole.added_references.len(),
            whole.dropped_tags.len(),
            whole.added_tags.len(),
        ];
        if rows.iter().all(|rows| *rows <= limit) {
            return vec![whole];
        }
        let none = Portion::default;
        let living = self.touched.partition_point(|touched| touched.mode != Mode::Delete);
        let (written, deleted) = self.touched.split_at(living);
        let mut portions = Vec::new();
        portions.extend(written.chunks(limit).map(|touched| Portion { touched, ..none() }));
        portions.extend(
            self.dropped_keys.chunks(limit).map(|dropped_keys| Portion { dropped_keys, ..none() }),
        );
        portions.extend(
            self.moved_keys.chunks(limit).map(|moved_keys| Portion { moved_keys, ..none() }),
        );
        portions.extend(
            self.added_keys.chunks(limit).map(|added_keys| Portion { added_keys, ..none() }),
        );
        portions.extend(
            self.dropped_references
                .chunks(limit)
                .map(|dropped_references| Portion { dropped_references, ..none() }),
        );
        portions.extend(
            self.added_references
                .chunks(limit)
                .map(|added_references| Portion { added_references, ..none() }),
        );
        portions.extend(
            self.dropped_tags.chunks(limit).map(|dropped_tags| Portion { dropped_tags, ..none() }),
        );
        portions.extend(
            self.added_tags.chunks(limit).map(|added_tags| Portion { added_tags, ..none() }),
        );
        portions.extend(deleted.chunks(limit).map(|touched| Portion { touched, ..none() }));
        portions
    }
}
