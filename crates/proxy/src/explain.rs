//! What would become of a request, told without sending it.
//!
//! It is the way of `request.rs`, by the same functions and on the same snapshot, but for the plugins: they are named
//! and not run, so what one of them answers or changes is not part of it.

mod question;

use std::{net::SocketAddr, sync::Arc, time::Instant};

use balancer::{Affinity, Peer};
use http1::{Name, RequestHead, Version};
use model::{Consumer, Route};
use plugin::{Captures, Directory, Identity, Phases, Scope};
use router::{Candidate, Shadow};
use serde_json::{Map, Value, json};
use snapshot::{Cell, RouteEntry, ServiceEntry, Snapshot};
use uuid::Uuid;

use self::question::Question;
use crate::{
    failure::Failure,
    forward::{Ties, host_field, is_grpc},
    options::Options,
    own_answer::{Content, Reply},
    peers, phases, protocol,
    request::Origin,
    routing::{self, RoutedBy},
    upstream_head::{self, Destination, Forwarding},
};

/// At most so many candidates are told.
const CANDIDATES: usize = 100;

/// Tells what would become of a request, by the newest snapshot.
#[derive(Clone, Debug)]
pub struct Explainer {
    snapshots: Arc<Cell>,
    options: Arc<Options>,
    /// The listeners' addresses, and whether they end TLS.
    listeners: Vec<(SocketAddr, bool)>,
}

/// Why nothing can be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unexplained {
    /// A field of the description is wrong.
    #[error("{field}: {reason}")]
    Field {
        /// The field's name.
        field: String,
        /// What is wrong with it, for the operator.
        reason: String,
    },
    /// The revision that was asked for is not served yet.
    #[error("revision {wanted} is not served here yet; revision {served} is")]
    Revision {
        /// The one that was asked for.
        wanted: u64,
        /// The newest one that is served.
        served: u64,
    },
}

impl Explainer {
    pub(crate) fn new(
        snapshots: Arc<Cell>,
        options: Arc<Options>,
        listeners: Vec<(SocketAddr, bool)>,
    ) -> Explainer {
        Explainer { snapshots, options, listeners }
    }

    /// Tells what would become of the request that is described: as a JSON object, whose fields `README.md` lists.
    /// Waits for a name that was never resolved as long as the request would.
    ///
    /// # Errors
    /// See [`Unexplained`].
    pub async fn explain(&self, described: &Map<String, Value>) -> Result<Value, Unexplained> {
        let question = Question::read(described)?;
        let snapshot = self.snapshots.load();
        let served = snapshot.at.revision;
        if let Some(wanted) = question.revision.filter(|wanted| *wanted > served) {
            return Err(Unexplained::Revision { wanted, served });
        }
        let identity = identity(&snapshot, question.consumer.as_deref())?;
        let mut told = Map::new();
        told.insert("revision".to_owned(), served.into());
        let head = question.head();
        let outcome = match &head {
            Ok(head) => self.follow(&snapshot, &question, head, &identity, &mut told).await,
            Err(error) => Err(Failure::Head(*error)),
        };
        let answer = match outcome {
            Ok(None) => {
                told.insert("outcome".to_owned(), "proxied".into());
                return Ok(told.into());
            }
            Ok(Some(reply)) => {
                told.insert("outcome".to_owned(), "answered".into());
                reply_told(&reply)
            }
            Err(failure) => {
                told.insert("outcome".to_owned(), "failed".into());
                told.insert("reason".to_owned(), failure.to_string().into());
                json!({ "status": failure.status(), "message": failure.message() })
            }
        };
        told.insert("answer".to_owned(), answer);
        Ok(told.into())
    }

    /// The routes that hide the route of this id, and those that it hides, each with the name of the other route.
    #[must_use]
    pub fn shadows(&self, route: Uuid) -> Vec<(Shadow, Option<String>)> {
        let snapshot = self.snapshots.load();
        let named = |shadow: Shadow| {
            let other = if shadow.by == route { shadow.hidden } else { shadow.by };
            let name = snapshot.routes.get(other).and_then(|entry| entry.route.name.clone());
            (shadow, name)
        };
        snapshot.routes.shadows(route).into_iter().map(named).collect()
    }

    /// The way of the request: an answer of the gateway's own if it gets one, none if it goes to a target.
    async fn follow(
        &self,
        snapshot: &Snapshot,
        question: &Question,
        request: &RequestHead,
        identity: &Identity,
        told: &mut Map<String, Value>,
    ) -> Result<Option<Reply>, Failure> {
        let origin = self.origin(question);
        let routed = match self.route(snapshot, question, &origin, request, identity, told)? {
            Ok(routed) => routed,
            Err(reply) => return Ok(Some(reply)),
        };
        let entry = &*routed.entry;
        let service = entry.service.as_deref().ok_or(Failure::NoService)?;
        let peer = target(service, &routed.affinity, told).await?;
        let mut path = routing::target(entry, routed.matched, &routed.path);
        if let Some(query) = request.query() {
            path.push(b'?');
            path.extend_from_slice(query);
        }
        let preserved = request.fields.get(Name::Host).filter(|_| entry.route.preserve_host);
        let host = host_field(service, preserved, &service.upstream().config(), &peer);
        let to = Destination {
            target: &path,
            host: &host,
            framing: Some(request.framing()),
            websocket: routing::asks_for_websocket(request),
        };
        let about = Forwarding {
            peer: origin.peer,
            client: routed.client,
            trusted: origin.trusted,
            scheme: if origin.tls { "https" } else { "http" },
            port: origin.local.port(),
            prefix: routing::stripped(entry, routed.matched, &routed.path),
            request_id: None,
            product: &self.options.product,
        };
        told.insert("sends".to_owned(), sent(service, request, &to, &about));
        Ok(None)
    }

    /// The way to the choice of a target; an answer of the gateway's own ends it.
    fn route(
        &self,
        snapshot: &Snapshot,
        question: &Question,
        origin: &Origin,
        request: &RequestHead,
        identity: &Identity,
        told: &mut Map<String, Value>,
    ) -> Result<Result<Routed, Reply>, Failure> {
        let normal = routing::path(request)?;
        let client = origin.client_of(&self.options.trust, request);
        told.insert(
            "request".to_owned(),
            json!({
                "client": client.ip().to_canonical().to_string(),
                "path": String::from_utf8_lossy(&normal),
                "listener": origin.local.to_string(),
            }),
        );
        let headers = RoutedBy(&request.fields);
        let asked = routing::asked(request, origin, client, &normal, &headers);
        let found = snapshot.routes.find(&asked);
        candidates(snapshot, &asked, question.route, told);
        let found = found.ok_or(Failure::NoRoute)?;
        let captured = routing::captures(Some(&found));
        let (entry, matched) = (Arc::clone(found.payload), found.prefix);
        told.insert("route".to_owned(), route_told(&entry.route, matched, &normal, &captured));
        if let Some(reply) = protocol::check(&entry.route, request, origin) {
            return Ok(Err(reply));
        }
        plugins(snapshot, &entry, identity, told)?;
        let service = entry.service.as_deref().ok_or(Failure::NoService)?;
        told.insert(
            "service".to_owned(),
            json!({ "id": service.service.id, "name": service.service.name }),
        );
        let affinity = service.upstream().affinity(&Ties {
            request,
            client,
            path: &normal,
            captures: &|name: &str| captured.get(name).map(<[u8]>::to_vec),
            subject: identity.subject(),
            // A client without the cookie that ties it gets one by chance.
            new_uuid: &Uuid::nil,
        });
        Ok(Ok(Routed { matched, client, affinity, path: normal.into_owned(), entry }))
    }

    /// The connection that the request would have come by.
    fn origin(&self, question: &Question) -> Origin {
        let listener = || {
            let of_scheme = self.listeners.iter().find(|(_, tls)| *tls == question.tls);
            let usual = SocketAddr::new(question.peer.ip(), if question.tls { 443 } else { 80 });
            of_scheme.map_or(usual, |(address, _)| self.options.outside(*address))
        };
        Origin {
            peer: question.peer,
            proxied: None,
            local: question.listener.unwrap_or_else(listener),
            trusted: self.options.trust.trusts(question.peer.ip()),
            tls: question.tls,
            session: None,
            http2: question.version == Version::Http2,
            sni: question.sni.as_deref().map(Box::from),
        }
    }
}

/// A request that has a route and needs a target.
struct Routed {
    entry: Arc<RouteEntry>,
    /// How much of the path the route's path matched.
    matched: Option<usize>,
    client: SocketAddr,
    affinity: Affinity,
    /// In normal form.
    path: Vec<u8>,
}

/// The target whose turn it is, which stays where it is.
async fn target(
    service: &ServiceEntry,
    affinity: &Affinity,
    told: &mut Map<String, Value>,
) -> Result<Arc<Peer>, Failure> {
    let upstream = service.upstream();
    told.insert(
        "upstream".to_owned(),
        json!({ "id": upstream.id(), "name": *upstream.config().name }),
    );
    let peer = peers::preview(service, affinity).await?;
    let view = upstream.view(Instant::now());
    let health = view
        .targets
        .iter()
        .filter(|target| *target.host == **peer.host() && target.port == peer.port())
        .flat_map(|target| &target.addresses)
        .find(|address| address.address == peer.address())
        .map(|address| address.health.as_str());
    told.insert(
        "target".to_owned(),
        json!({
            "host": **peer.host(),
            "port": peer.port(),
            "address": peer.address().to_string(),
            "health": health,
        }),
    );
    Ok(peer)
}

/// Whom the plugins are to find out.
fn identity(snapshot: &Snapshot, consumer: Option<&str>) -> Result<Identity, Unexplained> {
    let Some(consumer) = consumer else { return Ok(Identity::default()) };
    let found: Option<&Arc<Consumer>> = snapshot.directory.consumer_named(consumer);
    let found = found.ok_or_else(|| Unexplained::Field {
        field: "consumer".to_owned(),
        reason: format!("there is no consumer with the id or user name {consumer}"),
    })?;
    Ok(Identity { consumer: Some(Arc::clone(found)), ..Identity::default() })
}

/// The routes that were considered, in their order, and the one that was asked about.
fn candidates(
    snapshot: &Snapshot,
    asked: &router::Request<'_>,
    about: Option<Uuid>,
    told: &mut Map<String, Value>,
) {
    let candidates = snapshot.routes.candidates(asked);
    let shown: Vec<Value> = candidates.iter().take(CANDIDATES).map(candidate_told).collect();
    told.insert("candidates".to_owned(), shown.into());
    let left_off = candidates.len().saturating_sub(CANDIDATES);
    if left_off > 0 {
        told.insert("candidates_left_off".to_owned(), left_off.into());
    }
    if let Some(route) = about {
        let parts: Vec<Value> =
            snapshot.routes.check(route, asked).iter().map(candidate_told).collect();
        told.insert("asked_about".to_owned(), parts.into());
    }
}

fn candidate_told(candidate: &Candidate<'_, Arc<RouteEntry>>) -> Value {
    let failed = candidate.outcome.err().map(|condition| condition.to_string());
    json!({
        "route": { "id": candidate.route, "name": candidate.payload.route.name },
        "matches": failed.is_none(),
        "failed": failed,
    })
}

fn route_told(route: &Route, matched: Option<usize>, path: &[u8], captured: &Captures) -> Value {
    let prefix = matched.and_then(|length| path.get(..length));
    let captured = captured.0.iter();
    json!({
        "id": route.id,
        "name": route.name,
        "matched_prefix": prefix.map(String::from_utf8_lossy),
        "captures": captured
            .map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into()))
            .collect::<Map<_, _>>(),
    })
}

/// The plugins that take part, in their order.
///
/// # Errors
/// [`Failure::Plugin`], if one of them cannot run: the request is answered so.
fn plugins(
    snapshot: &Snapshot,
    entry: &RouteEntry,
    identity: &Identity,
    told: &mut Map<String, Value>,
) -> Result<(), Failure> {
    let consumer = identity.consumer.as_ref().map(|consumer| consumer.id);
    let chain = phases::chain(snapshot, entry);
    let running: Vec<_> = phases::running(snapshot, chain, consumer).collect();
    let plugins: Vec<Value> = running
        .iter()
        .map(|running| {
            let Scope { route, service, consumer } = running.scope;
            json!({
                "id": running.id,
                "name": *running.name,
                "scope": { "route": route, "service": service, "consumer": consumer },
                "phases": phase_names(running.phases),
                "runs": running.plugin.is_some(),
            })
        })
        .collect();
    told.insert("plugins".to_owned(), plugins.into());
    match running.iter().find(|running| running.phases.access && running.plugin.is_none()) {
        Some(broken) => Err(phases::cannot_run(broken)),
        None => Ok(()),
    }
}

fn phase_names(phases: Phases) -> Vec<&'static str> {
    [
        (phases.rewrite, "rewrite"),
        (phases.access, "access"),
        (phases.header_filter, "header_filter"),
        (phases.body_filter, "body_filter"),
        (phases.log, "log"),
    ]
    .into_iter()
    .filter_map(|(takes_part, name)| takes_part.then_some(name))
    .collect()
}

/// The head that the target gets. The request's id is left out: each request has its own.
fn sent(
    service: &ServiceEntry,
    request: &RequestHead,
    to: &Destination<'_>,
    about: &Forwarding<'_>,
) -> Value {
    let mut head = Vec::new();
    upstream_head::write(&mut head, request, to, about);
    let text = String::from_utf8_lossy(&head);
    let headers: Vec<(&str, &str)> = text
        .split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        // HTTP/2 has no use for what is about one connection.
        .filter(|(name, _)| {
            !(is_grpc(&service.service) && matches!(*name, "Connection" | "Upgrade"))
        })
        .collect();
    let scheme = if service.is_secured() { "https" } else { "http" };
    json!({
        "protocol": if is_grpc(&service.service) { "HTTP/2" } else { "HTTP/1.1" },
        "method": String::from_utf8_lossy(request.method()),
        "url": format!(
            "{scheme}://{}{}",
            String::from_utf8_lossy(to.host),
            String::from_utf8_lossy(to.target)
        ),
        "headers": headers,
    })
}

fn reply_told(reply: &Reply) -> Value {
    let message = match &reply.content {
        Content::Message(message) => message,
        Content::Whole(_) => "",
    };
    let headers: Vec<(&str, String)> = reply
        .fields
        .iter()
        .map(|(name, value)| (name.text(), String::from_utf8_lossy(value).into_owned()))
        .collect();
    json!({ "status": reply.status, "message": message, "headers": headers })
}
