//! The one workspace of an open-source Kong.

use uuid::Uuid;

/// Its name.
pub const WORKSPACE: &str = "default";

/// Its id: the same everywhere and always, since there is nothing to tell apart.
pub fn workspace_id() -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, b"workspace:default")
}
