//! Why there is no peer for a request.

use std::sync::Arc;

/// Why nothing can be picked. The texts are Kong's answers to the client, all with status 503.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPeer {
    /// No target, only targets of weight 0, or too little of the weight is healthy.
    #[error("failure to get a peer from the ring-balancer")]
    Unavailable,
    /// The first answer for a name is still awaited: wait for it, within a bound, and pick again.
    #[error("name resolution failed")]
    Unresolved,
    /// The name does not resolve; holds what the resolver said.
    #[error("name resolution failed")]
    NameResolution(Arc<str>),
}

/// Why health cannot be set by hand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotSet {
    /// Neither active nor passive checks are on. Kong's text, status 400.
    #[error("no healthchecker found for {0}")]
    ChecksOff(Arc<str>),
    /// No such target, or not at this address. Kong answers 204 and only warns.
    #[error("upstream {upstream} has no target {target}")]
    UnknownTarget {
        /// The upstream's name.
        upstream: Arc<str>,
        /// The target that was asked for, with its address if one was given.
        target: String,
    },
}
