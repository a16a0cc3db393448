//! What could not be applied.

use std::collections::BTreeMap;

use model::Kind;
use uuid::Uuid;

/// An entity that could not be applied. Its last good version stays; without one, what it guards
/// answers an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The collection.
    pub kind: Kind,
    /// The primary key.
    pub id: Uuid,
    /// Why, for the operator.
    pub reason: String,
}

/// All rejections as things stand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rejections(BTreeMap<(Kind, Uuid), String>);

impl Rejections {
    pub(crate) fn set(&mut self, kind: &Kind, id: Uuid, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.0.remove(&(kind.clone(), id)),
            Err(reason) => self.0.insert((kind.clone(), id), reason),
        };
    }

    pub(crate) fn contains(&self, kind: &Kind, id: Uuid) -> bool {
        !self.0.is_empty() && self.0.contains_key(&(kind.clone(), id))
    }

    pub(crate) fn list(&self) -> Vec<Rejection> {
        let rejection = |((kind, id), reason): (&(Kind, Uuid), &String)| Rejection {
            kind: kind.clone(),
            id: *id,
            reason: reason.clone(),
        };
        self.0.iter().map(rejection).collect()
    }
}
