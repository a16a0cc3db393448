//! Between the messages and the words of `model`. What arrives may be anything, so every
//! conversion from a message can fail, and says which field is wrong.

use std::sync::Arc;

use bytes::Bytes;
use model::{Change, Cursor, Digest, Kind};
use uuid::Uuid;

use crate::v1;

/// A message that breaks the rules of its declaration: the peer runs something else than it says,
/// or the bytes were damaged on the way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed message: {0}")]
pub struct Malformed(pub String);

impl Malformed {
    pub(crate) fn because(reason: impl Into<String>) -> Malformed {
        Malformed(reason.into())
    }
}

/// A UUID as it travels: 16 bytes.
pub fn uuid_to(id: Uuid) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

/// A UUID that arrived in `field`.
///
/// # Errors
/// When it is not 16 bytes.
pub fn uuid_from(field: &str, bytes: &[u8]) -> Result<Uuid, Malformed> {
    Uuid::from_slice(bytes)
        .map_err(|_| Malformed(format!("{field} has {} bytes, a UUID has 16", bytes.len())))
}

/// A cursor as it travels.
pub fn cursor_to(cursor: Cursor) -> v1::Cursor {
    v1::Cursor { epoch: uuid_to(cursor.epoch), revision: cursor.revision }
}

/// A cursor that arrived; absent stays absent.
///
/// # Errors
/// When its epoch is not a UUID.
pub fn cursor_from(cursor: Option<v1::Cursor>) -> Result<Option<Cursor>, Malformed> {
    cursor
        .map(|c| Ok(Cursor { epoch: uuid_from("epoch", &c.epoch)?, revision: c.revision }))
        .transpose()
}

/// A digest that arrived in `field`.
///
/// # Errors
/// When it is not 16 bytes.
pub fn digest_from(field: &str, bytes: &[u8]) -> Result<Digest, Malformed> {
    Digest::from_bytes(bytes)
        .ok_or_else(|| Malformed(format!("{field} has {} bytes, a digest has 16", bytes.len())))
}

/// A change as it travels.
pub fn change_to(kind: &Kind, id: Uuid, body: Option<&str>) -> v1::Change {
    v1::Change {
        kind: kind.as_str().to_owned(),
        id: uuid_to(id),
        entity_json: body.map(str::to_owned),
    }
}

/// A change that arrived. Its kind may be one that this build does not know; its body is not
/// looked at.
///
/// # Errors
/// When its id is not a UUID, or it has no kind.
pub fn change_from(change: v1::Change) -> Result<Change, Malformed> {
    if change.kind.is_empty() {
        return Err(Malformed::because("a change has no kind"));
    }
    let id = uuid_from("id", &change.id)?;
    Ok(Change { kind: Kind::named(change.kind), id, body: change.entity_json.map(Arc::from) })
}

/// An entity that arrived in a snapshot.
///
/// # Errors
/// As [`change_from`], and when it is a deletion.
pub fn entity_from(change: v1::Change) -> Result<(Kind, Uuid, Arc<str>), Malformed> {
    let Change { kind, id, body } = change_from(change)?;
    let body = body.ok_or_else(|| Malformed(format!("{kind} {id} in a snapshot has no body")))?;
    Ok((kind, id, body))
}
