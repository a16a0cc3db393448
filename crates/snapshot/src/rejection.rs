//! What could not be applied.

use std::collections::BTreeMap;

use model::{BodyError, Kind, Unknown};
use uuid::Uuid;

/// What came of taking an entity in: what of it is set and not known to this version, or why it
/// could not be applied.
pub(crate) type Outcome = Result<Unknown, String>;

/// An entity that could not be applied as it is. Its last good version stays; without one, what it
/// guards answers an error. Or it is in force but for parts that this version does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The collection.
    pub kind: Kind,
    /// The primary key.
    pub id: Uuid,
    /// Why, for the operator.
    pub reason: String,
    /// Whether it is in force all the same, without the parts that the reason names.
    pub in_part: bool,
}

/// All rejections as things stand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rejections(BTreeMap<(Kind, Uuid), Rejected>);

#[derive(Clone, Debug)]
struct Rejected {
    reason: String,
    in_part: bool,
}

/// Reads a body by the `read` of its kind; a deletion has none.
///
/// # Errors
/// When the body is not what its kind declares.
pub(crate) fn read<T>(
    body: Option<&str>,
    read: fn(&str) -> Result<(T, Unknown), BodyError>,
) -> Result<(Option<T>, Unknown), String> {
    match body.map(read).transpose().map_err(|error| error.to_string())? {
        Some((entity, unknown)) => Ok((Some(entity), unknown)),
        None => Ok((None, Unknown::default())),
    }
}

/// For what decides whether a request gets through, or where it goes: a part that is not known
/// may be a condition, and to leave it out would let through what it should not.
///
/// # Errors
/// When something is set that this version does not know.
pub(crate) fn only_whole(unknown: Unknown) -> Result<(), String> {
    if unknown.is_empty() {
        return Ok(());
    }
    Err(format!("this version does not know {unknown}, and does without it only where it is unset"))
}

impl Rejections {
    pub(crate) fn set(&mut self, kind: &Kind, id: Uuid, outcome: Outcome) {
        let rejected = match outcome {
            Ok(unknown) if unknown.is_empty() => {
                self.0.remove(&(kind.clone(), id));
                return;
            }
            Ok(unknown) => Rejected {
                reason: format!("in force without {unknown}, which this version does not know"),
                in_part: true,
            },
            Err(reason) => Rejected { reason, in_part: false },
        };
        self.0.insert((kind.clone(), id), rejected);
    }

    /// Whether an entity could not be applied.
    pub(crate) fn contains(&self, kind: &Kind, id: Uuid) -> bool {
        !self.0.is_empty() && self.0.get(&(kind.clone(), id)).is_some_and(|one| !one.in_part)
    }

    pub(crate) fn list(&self) -> Vec<Rejection> {
        let rejection = |((kind, id), rejected): (&(Kind, Uuid), &Rejected)| Rejection {
            kind: kind.clone(),
            id: *id,
            reason: rejected.reason.clone(),
            in_part: rejected.in_part,
        };
        self.0.iter().map(rejection).collect()
    }
}
