//! Targets: the addresses that an upstream is balanced over.

use schema::{Field, Object, Violations};
use serde_json::Value;
use uuid::Uuid;

use crate::address::HostPort;
use crate::reference::Reference;
use crate::types;

schema::record! {
    /// An address that an upstream is balanced over.
    pub struct Target in "targets" {
        /// The primary key.
        pub id: Uuid = types::id(),
        /// When it was made, in seconds since 1970, to the millisecond.
        pub created_at: Option<f64> = Field::number().timestamp().auto(),
        /// When it was last written, in seconds since 1970, to the millisecond.
        pub updated_at: Option<f64> = Field::number().timestamp().auto().unvalidated(),
        /// The upstream.
        pub upstream: Reference = Field::foreign("upstreams").required().cascade(),
        /// A host or IP address with its port.
        pub target: HostPort = Field::string().required().check(check_target),
        /// Its share of the requests; 0: none.
        pub weight: Option<u32> = Field::integer().between(0, 65535).default(100),
        /// Words to find it by.
        pub tags: Option<Vec<String>> = types::tags(),
        /// Whether it is kept back until no other target is available (Kong 3.12). Not looked at
        /// where a key names the target: consistent hashing, sticky sessions.
        pub failover: Option<bool> = Field::boolean().extension(),
    }
    rules |record| record.settle(settle)
}

/// Brings a new target's address into its normal form before anything else is looked at.
///
/// # Errors
/// When it is no address: then that alone is said.
pub(crate) fn prepare(target: &mut Object) -> Result<(), Violations> {
    if let Some(Value::String(text)) = target.get_mut("target") {
        match text.parse::<HostPort>() {
            Ok(address) => *text = address.to_string(),
            Err(_) => {
                let text = "Invalid target; not a valid hostname or ip address";
                return Err(Violations::field("target", text));
            }
        }
    }
    Ok(())
}

/// Two spellings of one address are one target, or the same server would get its share twice.
fn settle(target: &mut Object) {
    if let Some(Value::String(text)) = target.get_mut("target")
        && let Ok(address) = text.parse::<HostPort>()
    {
        *text = address.to_string();
    }
}

fn check_target(text: &str) -> Result<(), String> {
    match text.parse::<HostPort>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("Invalid target ('{text}'); not a valid hostname or ip address")),
    }
}

#[cfg(test)]
mod tests;
