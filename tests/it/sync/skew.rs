//! Planes of different versions: messages, calls and entities that one of them does not know.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, StreamExt};
use http_body_util::StreamBody;
use hyper_util::rt::TokioIo;
use model::{Change, Cursor, Digest, Kind, Transaction};
use publish::Wanted;
use serde_json::json;
use snapshot::Builder;
use subscribe::{Apply, Endpoint, Rejection, State};
use tokio::time::sleep;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use uuid::Uuid;
use wire::Entities;
use wire::v1;
use wire::v1::config_sync_client::ConfigSyncClient;
use wire::v1::watch_frame::Kind as Frame;

use super::planes::{ControlPlane, DataPlane, SOON, Served, Wire, follower};
use super::store::{FaultyStore, SERVICES};

/// A field of number 999 that is a number: no message has one.
const UNKNOWN: [u8; 3] = [0xb8, 0x3e, 0x01];

/// A control plane of a newer version, or of one so different that it knows none of the calls.
#[derive(Clone)]
enum Stranger {
    Newer(Arc<Script>),
    Other,
}

/// What the newer one has.
struct Script {
    before: (Cursor, Entities),
    then: Transaction,
    digest: Digest,
}

impl NamedService for Stranger {
    const NAME: &'static str = "weir.sync.v1.ConfigSync";
}

impl tower::Service<http::Request<Body>> for Stranger {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answer = match (&self, request.uri().path().rsplit('/').next()) {
            (Stranger::Newer(script), Some("GetSnapshot")) => {
                let (at, entities) = &script.before;
                let block = wire::pack(entities).expect("memory").remove(0);
                let chunk = v1::SnapshotChunk {
                    at: Some(wire::cursor_to(*at)),
                    index: 0,
                    total: 1,
                    zstd: block.zstd,
                    raw_len: block.raw_len,
                    digest: entities.digest().to_bytes().to_vec().into(),
                    entities: entities.len() as u64,
                };
                respond(vec![strange(&wire::frame(&chunk))], true)
            }
            (Stranger::Newer(script), Some("Watch")) => {
                let head = Cursor { revision: script.then.revision, ..script.before.0 };
                let frame = |kind| strange(&wire::frame(&v1::WatchFrame { kind: Some(kind) }));
                let hello = v1::Hello {
                    head: Some(wire::cursor_to(head)),
                    compacted: 0,
                    bookmark_ms: 600_000,
                    version: "99.0.0".to_owned(),
                };
                let bookmark = v1::Bookmark {
                    revision: head.revision,
                    digest: script.digest.to_bytes().to_vec().into(),
                };
                // A kind of frame that does not exist: field 15, with three bytes in it.
                let unheard_of = framed(&[0x7a, 3, b'a', b'b', b'c']);
                let frames = vec![
                    frame(Frame::Hello(hello)),
                    unheard_of.clone(),
                    frame(Frame::Transaction(wire::transaction_to(&script.then))),
                    unheard_of,
                    frame(Frame::Bookmark(bookmark)),
                ];
                respond(frames, false)
            }
            (Stranger::Newer(_), Some("ReportStatus")) => {
                let reply = v1::StatusReply { next_ms: 1_000, health_held: 0 };
                respond(vec![strange(&wire::frame(&reply))], true)
            }
            _ => Status::unimplemented("there is no such call").into_http(),
        };
        async move { Ok(answer) }.boxed()
    }
}

/// The message with a field that nobody knows.
fn strange(frame: &[u8]) -> Vec<u8> {
    framed(&[&frame[5..], &UNKNOWN[..]].concat())
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("it is small").to_be_bytes();
    [&[0], &length[..], message].concat()
}

/// An answer of these frames, which then ends or stays open.
fn respond(frames: Vec<Vec<u8>>, ends: bool) -> http::Response<Body> {
    let frames = stream::iter(frames).map(|frame| http_body::Frame::data(frame.into()));
    let mut trailers = http::HeaderMap::new();
    Status::new(Code::Ok, "").add_header(&mut trailers).expect("headers");
    let end = stream::once(async move {
        if !ends {
            std::future::pending::<()>().await;
        }
        http_body::Frame::trailers(trailers)
    });
    let body = StreamBody::new(frames.chain(end).map(Ok::<_, Status>).boxed());
    let mut response = http::Response::new(Body::new(body));
    let grpc = http::HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
    response
}

impl Stranger {
    fn start(self) -> Endpoint {
        let (dialer, listener) = wire::pipe();
        let server = tonic::transport::Server::builder().add_service(self);
        tokio::spawn(server.serve_with_incoming(listener));
        Endpoint::in_process(dialer)
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_newer_control_plane_says_beyond_this_protocol_is_passed_over() {
    let id = Uuid::from_u128;
    let change = |number, kind: &Kind, body: &str| Change {
        kind: kind.clone(),
        id: id(number),
        body: Some(body.into()),
    };
    let mut entities = Entities::default();
    entities.apply(&[change(1, &SERVICES, "one")]);
    let at = Cursor { epoch: id(9), revision: 4 };
    let then = Transaction {
        prev: 4,
        revision: 5,
        committed_us: 0,
        changes: vec![change(1, &SERVICES, "two"), change(2, &Kind::named("warp"), "{}")],
    };
    let mut after = entities.clone();
    after.apply(&then.changes);
    let script = Script { before: (at, entities), then, digest: after.digest() };
    let endpoint = Stranger::Newer(Arc::new(script)).start();
    let mut data_plane = DataPlane::start(1, vec![endpoint]);
    let at = Cursor { revision: 5, ..at };
    data_plane.until(SOON, |status| status.serving == Some(at)).await;
    data_plane.streaming(SOON).await;
    // It has no calls for polls and reports of health; the stream is what counts.
    sleep(Duration::from_secs(300)).await;
    assert_eq!(data_plane.state(), State::Streaming);
    assert_eq!(data_plane.mirror().body(1), Some("two"));
    assert_eq!(data_plane.mirror().replaced, 1, "what it holds is not doubted");
    assert_eq!(data_plane.mirror().entities, after, "what is not known is held, too");
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_of_another_protocol_is_no_obstacle() {
    let store = FaultyStore::new();
    store.put(1, "one");
    let control_plane = ControlPlane::start(&store);
    let endpoints = || vec![Stranger::Other.start(), Wire::to(&control_plane).endpoint("cp")];
    for id in 1..=4 {
        let mut data_plane = DataPlane::start(id, endpoints());
        data_plane.current(&store, SOON * 60).await;
        data_plane.streaming(SOON * 120).await;
        store.put(1, "another");
        data_plane.current(&store, SOON).await;
        store.put(1, "one");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_newer_data_plane_says_beyond_this_protocol_is_passed_over() {
    let store = FaultyStore::new();
    let at = store.put(1, "one");
    let control_plane = ControlPlane::start(&store);
    let dialer = control_plane.dialer.clone();
    let connect = tower::service_fn(move |_: http::Uri| {
        let dialer = dialer.clone();
        async move { dialer.dial().await.map(TokioIo::new) }
    });
    let uri = http::Uri::from_static("http://control-plane");
    let channel = tonic::transport::Channel::builder(uri).connect_with_connector_lazy(connect);
    let node = v1::Node {
        id: Uuid::from_u128(7).to_string(),
        version: "99.0.0".to_owned(),
        ..v1::Node::default()
    };
    let report = v1::StatusReport {
        node: Some(node),
        serving: Some(wire::cursor_to(at)),
        // A state that does not exist.
        state: 99,
        ..v1::StatusReport::default()
    };
    let mut client = ConfigSyncClient::new(channel.clone());
    client.report_status(report.clone()).await.expect("it is taken");
    let fleet = control_plane.publisher.fleet();
    assert!(fleet.wait_served(at, Wanted::Count(1), SOON).await.reached);
    let member = fleet.member(Uuid::from_u128(7)).expect("it is known");
    assert_eq!((member.state, &*member.node.version), (publish::State::Unknown, "99.0.0"));

    let mut raw = tonic::client::Grpc::new(channel);
    for path in ["/weir.sync.v1.ConfigSync/Teleport", "/weir.sync.v2.ConfigSync/Watch"] {
        raw.ready().await.expect("a connection");
        let path = http::uri::PathAndQuery::from_static(path);
        let codec = ProstCodec::<v1::StatusReport, v1::StatusReply>::default();
        let refused = raw.unary(tonic::Request::new(report.clone()), path, codec).await;
        assert_eq!(refused.expect_err("there is none").code(), Code::Unimplemented);
    }
    client.report_status(report).await.expect("the connection is as good as before");
}

/// Serves what this version's snapshots are made of.
struct Real {
    builder: Builder,
    also: Served,
}

impl Real {
    fn rejections(applied: snapshot::Applied) -> Vec<Rejection> {
        let rejection = |one: snapshot::Rejection| Rejection {
            kind: one.kind,
            id: one.id,
            reason: one.reason,
            in_part: one.in_part,
        };
        applied.rejections.into_iter().map(rejection).collect()
    }
}

impl Apply for Real {
    fn replace(&mut self, at: Cursor, entities: Vec<Change>) -> Vec<Rejection> {
        let applied = self.builder.replace(at, &entities);
        self.also.replace(at, entities);
        Real::rejections(applied)
    }

    fn apply(&mut self, transactions: &[Transaction]) -> Vec<Rejection> {
        let applied = self.builder.apply(transactions);
        self.also.apply(transactions);
        Real::rejections(applied)
    }
}

#[tokio::test(start_paused = true)]
async fn the_control_plane_hears_what_a_data_plane_keeps_out() {
    let store = FaultyStore::new();
    let entity = |kind: &str, number: u128, body: serde_json::Value| {
        let mut body = body;
        body["id"] = json!(Uuid::from_u128(number));
        let kind = Kind::named(kind.to_owned());
        Change { kind, id: Uuid::from_u128(number), body: Some(body.to_string().into()) }
    };
    store.commit(vec![
        entity("services", 1, json!({"host": "a.test"})),
        entity("routes", 2, json!({"paths": ["/"], "service": {"id": Uuid::from_u128(1)}})),
    ]);
    let control_plane = ControlPlane::start(&store);
    let endpoints = vec![Wire::to(&control_plane).endpoint("cp")];
    let mut data_plane = DataPlane::following(follower(1, endpoints), |also| {
        let node = plugin::Node::detached();
        let builder = Builder::new(router::Rules::default(), plugins::bundled(), node, 1);
        Real { builder, also }
    });
    data_plane.streaming(SOON).await;
    let at = store.commit(vec![
        entity("plugins", 3, json!({"name": "warp-shield", "config": {}})),
        entity("warp_drives", 4, json!({})),
        entity("services", 1, json!({"host": "b.test", "warp": 9})),
    ]);
    let fleet = control_plane.publisher.fleet();
    assert!(fleet.wait_served(at, Wanted::All, SOON).await.reached, "and the revision is served");
    let told = |kind: &str, number| {
        let told = fleet.rejected_by(kind, Uuid::from_u128(number));
        let one = |(node, one): (publish::Node, publish::Rejection)| {
            (node.hostname, one.revision, one.in_part, one.reason)
        };
        told.into_iter().map(one).collect::<Vec<_>>()
    };
    let by = |in_part, reason: &str| vec![("dp-1".to_owned(), 2, in_part, reason.to_owned())];
    assert_eq!(told("plugins", 3), by(false, "there is no plugin 'warp-shield' in this version"));
    assert_eq!(told("warp_drives", 4), by(false, "this version does not know warp_drives"));
    let without = "in force without 'warp', which this version does not know";
    assert_eq!(told("services", 1), by(true, without));
    assert_eq!(told("routes", 2), []);
    let at = store.commit(vec![
        entity("plugins", 3, json!({"name": "cors", "config": {}})),
        Change { body: None, ..entity("warp_drives", 4, json!({})) },
        entity("services", 1, json!({"host": "b.test"})),
    ]);
    assert!(fleet.wait_served(at, Wanted::All, SOON).await.reached);
    assert_eq!(fleet.member(data_plane.id).expect("it is known").rejections, []);
}
