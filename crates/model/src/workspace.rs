//! The one workspace of an open-source Kong.

use std::sync::LazyLock;

use uuid::Uuid;

/// Its name.
pub const WORKSPACE: &str = "default";

/// Its id: the same everywhere and always, since there is nothing to tell apart.
pub fn workspace_id() -> Uuid {
    // A digest: asked for with each record that a plugin logs.
    static ID: LazyLock<Uuid> =
        LazyLock::new(|| Uuid::new_v5(&Uuid::NAMESPACE_OID, b"workspace:default"));
    *ID
}
