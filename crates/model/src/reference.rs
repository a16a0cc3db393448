//! A reference to another entity.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The primary key of another entity, as Kong writes it: `{"id":"…"}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
pub struct Reference {
    /// The other entity.
    pub id: Uuid,
}
