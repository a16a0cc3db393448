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

impl Who {
    /// A text that clients choose. A long one stands for its digest, so that a name of a counter
    /// stays short.
    pub(super) fn text(text: &[u8]) -> Who {
        const LONGEST: usize = 128;
        if text.len() <= LONGEST {
            return Who::Text(String::from_utf8_lossy(text).into());
        }
        let digest = ring::digest::digest(&ring::digest::SHA256, text);
        let digits = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
        Who::Text(digits.collect::<String>().into())
    }
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
