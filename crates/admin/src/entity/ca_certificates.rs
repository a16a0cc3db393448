//! CA certificates: named by id in lists that the store does not know as references, because
//! Kong takes ids there that nobody has (yet).

use model::Kind;
use serde_json::Value;
use uuid::Uuid;

use crate::error::Refusal;
use crate::find;
use crate::scan::scan;
use crate::state::{Object, State};

/// Refuses while a service or the configuration of a plugin names the certificate. Deleting one
/// is rare enough to read them all.
pub(crate) async fn check_unused(state: &State, id: Uuid) -> Result<(), Refusal> {
    let text = id.to_string();
    for kind in ["services", "plugins"] {
        let mut user = None;
        scan(state, Kind::known(kind), None, |entity| {
            // Few bodies have the id anywhere; only those are looked at.
            let named = entity.body.contains(&text)
                && find::object(entity).is_ok_and(|object| names(kind, &object, &text));
            if named {
                user = Some(entity.id);
            }
            !named
        })
        .await?;
        if let Some(user) = user {
            return Err(Refusal::StillReferenced(format!(
                "ca certificate {id} is still referenced by {kind} (id = {user})"
            )));
        }
    }
    Ok(())
}

fn names(kind: &str, object: &Object, id: &str) -> bool {
    let path = if kind == "plugins" { "config.ca_certificates" } else { "ca_certificates" };
    let ids = schema::get(object, path).and_then(Value::as_array);
    ids.is_some_and(|ids| ids.iter().any(|other| other == id))
}
