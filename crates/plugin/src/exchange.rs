//! One request as a plugin sees it, from its first phase to its last.

use std::any::Any;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http1::{Fields, RequestHead, ResponseHead};
use model::{Consumer, Route, Service};
use uuid::Uuid;

use crate::body::RequestBody;
use crate::directory::Directory;

/// One request on its way to the upstream: what `rewrite` and `access` see and may change.
///
/// Fields that a plugin may change are public and mutable by design of the phases: the order of
/// the plugins is the order of the changes.
pub struct Exchange<'r> {
    /// The request as it will go to the upstream; changes to its fields, method and query arrive
    /// there. Fields that belong to one connection have not been removed yet.
    pub request: &'r mut RequestHead,
    /// Where the upstream will be asked; before routing, changes to it are lost.
    pub onward: &'r mut Onward,
    /// The request's body.
    pub body: &'r mut dyn RequestBody,
    /// Who is asking.
    pub client: &'r Client,
    /// The route that matched; `None` before routing.
    pub route: Option<&'r Route>,
    /// The route's service.
    pub service: Option<&'r Service>,
    /// What the route's regular expression captured.
    pub captures: &'r Captures,
    /// Who the client turned out to be; set by authentication plugins.
    pub identity: &'r mut Identity,
    /// Fields that every answer to this request gets, the upstream's and our own, in place of
    /// those of the same name.
    pub response_fields: &'r mut Fields,
    /// What plugins remember until a later phase.
    pub notes: &'r mut Notes,
    /// Consumers and credentials at the revision that this request is served from.
    pub directory: &'r dyn Directory,
    /// The request's id: 32 lower-case hexadecimal digits.
    pub id: &'r str,
    /// When the request's head was complete, in microseconds since 1970.
    pub started_us: u64,
}

impl fmt::Debug for Exchange<'_> {
    /// Leaves out the message, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("id", &self.id).field("client", &self.client).finish()
    }
}

/// One request that an answer is on its way to: what the phases behind `access` see.
pub struct Answered<'r> {
    /// The request, with what plugins made of it.
    pub request: &'r RequestHead,
    /// Path and query that the upstream was asked for; empty before routing.
    pub onward: &'r Onward,
    /// Who is asking.
    pub client: &'r Client,
    /// The route that matched; `None` when none did.
    pub route: Option<&'r Route>,
    /// The route's service.
    pub service: Option<&'r Service>,
    /// Who the client turned out to be.
    pub identity: &'r Identity,
    /// What plugins remember of the phases before.
    pub notes: &'r mut Notes,
    /// Consumers and credentials at the revision that this request is served from.
    pub directory: &'r dyn Directory,
    /// The request's id: 32 lower-case hexadecimal digits.
    pub id: &'r str,
    /// When what happened.
    pub timing: Timing,
}

impl fmt::Debug for Answered<'_> {
    /// Leaves out the message, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answered").field("id", &self.id).field("client", &self.client).finish()
    }
}

/// Where the upstream will be asked, beside what the request itself says.
#[derive(Clone, Debug, Default)]
pub struct Onward {
    /// The path to ask for, escaped; the query is the request's.
    pub path: Vec<u8>,
    /// The Host field, where a plugin wants another than the route's and the service's.
    pub host: Option<Vec<u8>>,
}

/// The groups of a route's regular expression, in their order: number as text or name, and what
/// was matched. Groups with a name are there by both.
#[derive(Clone, Debug, Default)]
pub struct Captures(pub Vec<(String, Vec<u8>)>);

impl Captures {
    /// What the group of this number or name matched.
    pub fn get(&self, group: &str) -> Option<&[u8]> {
        self.0.iter().find(|(name, _)| name == group).map(|(_, value)| value.as_slice())
    }
}

/// What plugins remember of one request from one phase to another, each under a type of its own.
#[derive(Default)]
pub struct Notes(Vec<Box<dyn Any>>);

impl Notes {
    /// Remembers `note` in place of one of the same type.
    pub fn put<T: Any>(&mut self, note: T) {
        match self.get_mut() {
            Some(present) => *present = note,
            None => self.0.push(Box::new(note)),
        }
    }

    /// The note of this type.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.0.iter().find_map(|note| note.downcast_ref())
    }

    /// The note of this type, to be changed.
    pub fn get_mut<T: Any>(&mut self) -> Option<&mut T> {
        self.0.iter_mut().find_map(|note| note.downcast_mut())
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Notes").field(&self.0.len()).finish()
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
    /// Where the client connected to.
    pub local: SocketAddr,
    /// The TLS of the connection itself; `None` for plain TCP, and in stream sessions.
    pub tls: Option<TlsSession>,
}

/// What was agreed on in a TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsSession {
    /// The version, as OpenSSL names it: `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite, as OpenSSL names it: `TLS_AES_256_GCM_SHA384`.
    pub cipher: &'static str,
}

/// Who the client turned out to be.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The authenticated (or anonymous) consumer.
    pub consumer: Option<Arc<Consumer>>,
    /// The credential that was accepted; `None` for an anonymous consumer.
    pub credential: Option<Uuid>,
    /// Groups that an authentication plugin vouches for, beside the consumer's own.
    pub authenticated_groups: Option<Vec<String>>,
}

impl Identity {
    /// Whose requests go to one target where that is asked for: the consumer's id, or else the credential's.
    pub fn subject(&self) -> Option<Uuid> {
        self.consumer.as_ref().map(|consumer| consumer.id).or(self.credential)
    }
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
    /// The status that the client got; 499 if it left before.
    pub status: u16,
    /// Whether the upstream gave the answer.
    pub from_upstream: bool,
    /// Bytes of the request's head and body as received.
    pub request_bytes: u64,
    /// Bytes of the answer's head and body as sent.
    pub response_bytes: u64,
    /// The attempts to reach a target, in their order.
    pub tries: &'a [Try],
    /// Why the gateway answered itself; a name of the metrics.
    pub reason: Option<&'static str>,
}

/// One attempt to reach a target.
#[derive(Clone, Copy, Debug)]
pub struct Try {
    /// The target's address.
    pub address: SocketAddr,
    /// When the balancer was asked for it, in microseconds since 1970.
    pub started_us: u64,
    /// How long the balancer took to choose it, in nanoseconds.
    pub picked_ns: u64,
    /// The status of its answer, or why there was none (a name of the metrics).
    pub result: Result<u16, &'static str>,
}
