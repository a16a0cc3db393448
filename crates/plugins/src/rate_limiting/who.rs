//! Who, or what, requests are counted for.

use std::fmt;
use std::net::IpAddr;

use uuid::Uuid;

/// Who, or what, requests are counted for. As text it is what Kong has in the names of counters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    /// A consumer, a credential or a service.
    Id(Uuid),
    /// The client's address.
    Address(IpAddr),
    /// A path, or the value of a header field.
    Text(Box<str>),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Id(id) => id.fmt(f),
            Who::Address(address) => address.fmt(f),
            Who::Text(text) => f.write_str(text),
        }
    }
}
