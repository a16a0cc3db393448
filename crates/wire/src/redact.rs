//! Debug without secrets.

use std::fmt;

use crate::v1;

// Entities carry keys and passwords; what identifies one is enough for a log.
impl fmt::Debug for v1::Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change")
            .field("kind", &self.kind)
            .field("id", &self.id)
            .field("entity_json", &self.entity_json.as_ref().map(|body| body.len()))
            .finish()
    }
}
