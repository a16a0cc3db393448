//! What can go wrong with a store, in words that map one to one to Kong's errors.

use uuid::Uuid;

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The primary key is taken (Kong: primary key violation).
    #[error("{kind} {id} exists already")]
    Exists {
        /// Collection.
        kind: String,
        /// The primary key.
        id: Uuid,
    },
    /// A unique key is taken (Kong: unique constraint violation).
    #[error("another {kind} has {field} {value:?}")]
    NotUnique {
        /// Collection.
        kind: String,
        /// The key's name in [`crate::Key::field`].
        field: String,
        /// The key's text in [`crate::Key::value`].
        value: String,
    },
    /// A reference names an entity that is not there (Kong: foreign key violation).
    #[error("{kind} refers by {field} to {to_kind} {to_id}, which does not exist")]
    Dangling {
        /// Collection of the entity that refers.
        kind: String,
        /// The field that refers.
        field: String,
        /// Collection of the missing entity.
        to_kind: String,
        /// Its primary key.
        to_id: Uuid,
    },
    /// An entity cannot be deleted while another refers to it (Kong: foreign key violation).
    #[error("{by_kind} {by_id} still refers to {kind} {id}")]
    Referenced {
        /// Collection of the entity that was to be deleted.
        kind: String,
        /// Its primary key.
        id: Uuid,
        /// Collection of the one that refers to it.
        by_kind: String,
        /// Its primary key.
        by_id: Uuid,
        /// The field by which it refers.
        by_field: String,
    },
    /// The entity is not what the operation expected: changed or gone since it was read. Read
    /// again and retry.
    #[error("{kind} {id} was changed by another writer")]
    Conflict {
        /// Collection.
        kind: String,
        /// The primary key.
        id: Uuid,
    },
    /// The store could not be reached or was too busy; try again later.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The store is broken in a way that trying again does not mend.
    #[error("the store failed: {0}")]
    Failed(String),
}
