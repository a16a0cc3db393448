//! What holds between the fields of an upstream.

use schema::{Field, Record};

use crate::address::{Address, AddressError, Host};

/// An upstream's name is a host name, so that services can name it as their host.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    match name.parse::<Address>() {
        Ok(Address { host: Host::Name(_), port: None }) => Ok(()),
        Ok(Address { host: Host::Name(_), .. }) | Err(AddressError::Port) => {
            Err(format!("Invalid name ('{name}'); no port allowed"))
        }
        Ok(_) => Err(format!("Invalid name ('{name}'); no ip addresses allowed")),
        Err(_) => Err(format!("Invalid name ('{name}'); must be a valid hostname")),
    }
}

pub(super) fn rules(record: Record) -> Record {
    record.conditional("hash_on", |f| f.equal("header"), "hash_on_header", Field::required)
}
