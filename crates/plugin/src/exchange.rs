//! One request as a plugin sees it, from its first phase to its last.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http1::{Fields, RequestHead, ResponseHead};
use model::{Consumer, Route, Service};
use uuid::Uuid;

use crate::body::RequestBody;
use crate::directory::Directory;

/// One request on its way through the phases.
///
/// Fields that a plugin may change are public and mutable by design of the phases: the order of
/// the plugins is the order of the changes.
pub struct Exchange<'r> {
    /// The request as it will go to the upstream; changes to its fields, method and target arrive
    /// there. Fields that belong to one connection have not been removed yet.
    pub request: &'r mut RequestHead,
    /// The request's body.
    pub body: &'r mut dyn RequestBody,
    /// Who is asking.
    pub client: Client,
    /// The route that matched; `None` before routing and when none did.
    pub route: Option<&'r Route>,
    /// The route's service.
    pub service: Option<&'r Service>,
    /// Values that the route's regular expression captured, by name and by number.
    pub captures: &'r [(String, String)],
    /// Who the client turned out to be; set by authentication plugins.
    pub identity: Identity,
    /// Fields that every answer to this request gets, the upstream's and our own.
    pub response_fields: Fields,
    /// Consumers and credentials at the revision that this request is served from.
    pub directory: &'r dyn Directory,
    /// The request's id: 32 lower-case hexadecimal digits.
    pub id: &'r str,
    /// When what happened.
    pub timing: Timing,
}

impl fmt::Debug for Exchange<'_> {
    /// Leaves out the message, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("id", &self.id).field("client", &self.client).finish()
    }
}

/// Who is asking, before authentication.
#[derive(Clone, Debug)]
pub struct Client {
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// The client's address: the peer, or what a trusted peer says (`real_ip_header`).
    pub address: IpAddr,
    /// The client's port, where known.
    pub port: u16,
    /// `https`, or what a trusted peer says in `X-Forwarded-Proto`.
    pub secure: bool,
    /// Whether the connection itself is TLS.
    pub tls: bool,
}

/// Who the client turned out to be.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The authenticated (or anonymous) consumer.
    pub consumer: Option<Arc<Consumer>>,
    /// The credential that was accepted; `None` for an anonymous consumer.
    pub credential: Option<Uuid>,
    /// What `X-Credential-Identifier` says.
    pub credential_identifier: Option<String>,
    /// Groups that an authentication plugin vouches for, beside the consumer's own.
    pub authenticated_groups: Option<Vec<String>>,
}

/// When what happened, for the plugins that log and measure.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    /// When the request's head was complete, in microseconds since 1970.
    pub started_us: u64,
    /// From there until the upstream was asked, in microseconds.
    pub gateway_us: Option<u64>,
    /// From there until the upstream's answer began, in microseconds.
    pub upstream_us: Option<u64>,
    /// From the request's head until the last byte of the answer, in microseconds.
    pub total_us: Option<u64>,
}

/// How a request ended.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// The head that the client got; `None` when it left before.
    pub head: Option<&'a ResponseHead>,
    /// Whether the upstream gave the answer.
    pub from_upstream: bool,
    /// Bytes of the request's head and body as received.
    pub request_bytes: u64,
    /// Bytes of the answer's head and body as sent.
    pub response_bytes: u64,
    /// The attempts to reach a target: address, and the status or what went wrong.
    pub tries: &'a [(SocketAddr, Result<u16, &'static str>)],
    /// The upstream's target that answered, by name.
    pub target: Option<&'a str>,
    /// Why the gateway answered itself; a name of the metrics.
    pub reason: Option<&'static str>,
}
