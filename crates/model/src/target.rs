//! Targets: the addresses that an upstream is balanced over.

use schema::Field;
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
    }
}

fn check_target(text: &str) -> Result<(), String> {
    match text.parse::<HostPort>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("Invalid target ('{text}'); not a valid hostname or ip address")),
    }
}
