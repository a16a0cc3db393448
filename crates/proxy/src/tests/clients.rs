//! Clients that others wrote: WebSockets, gRPC, and HTTP/2 under load.

use std::{
    convert::Infallible,
    net::SocketAddr,
    task::{Context, Poll},
};

use futures_util::{SinkExt, StreamExt, stream};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};
use tonic::{
    Code, Request, Response, Status, Streaming,
    codegen::{Body, BoxFuture, BoxStream, Service, StdError, http},
    server::{NamedService, StreamingService, UnaryService},
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;

use super::{
    Backend, Gateway,
    gateway::{route, service},
};

/// A server of WebSockets that gives back every message.
async fn websockets() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut socket = tokio_tungstenite::accept_async(tcp).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() || message.is_binary() {
                        socket.send(message).await.unwrap();
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn websockets_talk_ping_and_close() {
    let gateway = Gateway::before(websockets().await);
    let tcp = TcpStream::connect(gateway.address).await.unwrap();
    let (mut socket, response) =
        tokio_tungstenite::client_async("ws://a.test/chat", tcp).await.unwrap();
    assert_eq!(response.status(), 101);
    for message in [
        Message::text("word"),
        Message::binary(vec![7_u8; 300_000]),
        Message::text("é".repeat(70_000)),
    ] {
        socket.send(message.clone()).await.unwrap();
        assert!(socket.next().await.unwrap().unwrap() == message);
    }
    socket.send(Message::Ping(b"are you there?".as_slice().into())).await.unwrap();
    let pong = socket.next().await.unwrap().unwrap();
    assert_eq!(pong, Message::Pong(b"are you there?".as_slice().into()));
    let bye = CloseFrame { code: CloseCode::Away, reason: "bye".into() };
    socket.close(Some(bye.clone())).await.unwrap();
    let answer = socket.next().await.unwrap().unwrap();
    assert_eq!(answer, Message::Close(Some(bye)));
    assert!(socket.next().await.is_none());
}

/// A gRPC service of texts.
#[derive(Clone)]
struct Texts;

impl NamedService for Texts {
    const NAME: &'static str = "test.Texts";
}

impl<B> Service<http::Request<B>> for Texts
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<String, String>::default());
            Ok(match request.uri().path() {
                "/test.Texts/Upper" => grpc.unary(Upper, request).await,
                _ => grpc.streaming(Each, request).await,
            })
        })
    }
}

/// In capitals; nothing is an error.
struct Upper;

impl UnaryService<String> for Upper {
    type Response = String;
    type Future = BoxFuture<Response<String>, Status>;

    fn call(&mut self, request: Request<String>) -> Self::Future {
        Box::pin(async move {
            let text = request.into_inner();
            if text.is_empty() {
                let mut status = Status::invalid_argument("nothing to say: é");
                status.metadata_mut().insert("x-hint", "say something".parse().unwrap());
                return Err(status);
            }
            let mut response = Response::new(text.to_uppercase());
            response.metadata_mut().insert("x-length", text.len().to_string().parse().unwrap());
            Ok(response)
        })
    }
}

/// Each message as it comes; the word `stop` is an error.
struct Each;

impl StreamingService<String> for Each {
    type Response = String;
    type ResponseStream = BoxStream<String>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<Streaming<String>>) -> Self::Future {
        let messages = request.into_inner().map(|message| match message {
            Ok(text) if text == "stop" => Err(Status::aborted("stopped")),
            other => other,
        });
        Box::pin(async move { Ok(Response::new(Box::pin(messages) as BoxStream<String>)) })
    }
}

/// A gateway before the service, and a channel to it.
async fn texts() -> (Gateway, tonic::client::Grpc<Channel>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve =
        Server::builder().add_service(Texts).serve_with_incoming(TcpIncoming::from(listener));
    tokio::spawn(serve);
    let entities = [
        service(1, address, json!({"protocol": "grpc"})),
        route(1, 1, json!({"paths": ["/test.Texts"], "protocols": ["grpc"], "strip_path": false})),
    ];
    let gateway = Gateway::with(&entities, |options| options.listeners[0].http2 = true);
    let endpoint = Endpoint::from_shared(format!("http://{}", gateway.address)).unwrap();
    let channel = tonic::client::Grpc::new(endpoint.connect().await.unwrap());
    (gateway, channel)
}

fn codec() -> ProstCodec<String, String> {
    ProstCodec::default()
}

#[tokio::test]
async fn grpc_calls_have_answers_metadata_and_errors() {
    let (_gateway, mut grpc) = texts().await;
    let path = || http::uri::PathAndQuery::from_static("/test.Texts/Upper");
    for text in ["word".to_owned(), "x".repeat(1_000_000)] {
        grpc.ready().await.unwrap();
        let response: Response<String> =
            grpc.unary(Request::new(text.clone()), path(), codec()).await.unwrap();
        assert_eq!(response.metadata().get("x-length").unwrap(), &text.len().to_string());
        assert!(*response.get_ref() == text.to_uppercase());
    }
    grpc.ready().await.unwrap();
    let refused = grpc.unary::<String, String, _>(Request::new(String::new()), path(), codec());
    let status = refused.await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "nothing to say: é"));
    assert_eq!(status.metadata().get("x-hint").unwrap(), "say something");
    // What no route has is told in gRPC, too.
    grpc.ready().await.unwrap();
    let elsewhere = http::uri::PathAndQuery::from_static("/test.Other/Upper");
    let lost = grpc.unary::<String, String, _>(Request::new("x".to_owned()), elsewhere, codec());
    assert_eq!(lost.await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn grpc_streams_flow_both_ways_and_end_with_their_status() {
    let (_gateway, mut grpc) = texts().await;
    let path = http::uri::PathAndQuery::from_static("/test.Texts/Each");
    let (say, said) = tokio::sync::mpsc::channel::<String>(1);
    let words = stream::unfold(said, |mut said| async { Some((said.recv().await?, said)) });
    grpc.ready().await.unwrap();
    let response = grpc.streaming(Request::new(Box::pin(words)), path, codec()).await;
    let mut heard: Streaming<String> = response.unwrap().into_inner();
    // Each word is heard before the next one is said.
    for word in ["one", "two", "three"] {
        say.send(word.to_owned()).await.unwrap();
        assert_eq!(heard.message().await.unwrap().as_deref(), Some(word));
    }
    say.send("stop".to_owned()).await.unwrap();
    let status = heard.message().await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Aborted, "stopped"));
}

/// Runs a program of Debian's package nghttp2-client; what it says.
async fn nghttp2(program: &'static str, arguments: Vec<String>) -> String {
    let run = move || std::process::Command::new(program).args(arguments).output();
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let output = output.unwrap_or_else(|error| {
        panic!("{program} cannot be run ({error}); install it: apt-get install nghttp2-client")
    });
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn other_implementations_of_http2_are_served() {
    let backend = Backend::text("hello").await;
    let entities = [service(1, backend.address, json!({})), route(1, 1, json!({"paths": ["/"]}))];
    for tls in [false, true] {
        let gateway = Gateway::with(&entities, |options| {
            options.listeners[0].http2 = true;
            options.listeners[0].ssl = tls;
        });
        let scheme = if tls { "https" } else { "http" };
        let url = format!("{scheme}://{}/", gateway.address);
        let load = ["-n", "300", "-c", "5", "-m", "10", &url].map(str::to_owned).to_vec();
        let report = nghttp2("h2load", load).await;
        assert!(report.contains("300 done, 300 succeeded, 0 failed"), "{report}");
        assert!(report.contains("status codes: 300 2xx"), "{report}");
        // A body, trailers behind it, and both ends' frames.
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("body");
        std::fs::write(&file, "x".repeat(200_000)).unwrap();
        let file = file.to_str().unwrap();
        let post = ["-v", "-n", "-d", file, "--trailer", "x-end: yes", &url];
        let report = nghttp2("nghttp", post.map(str::to_owned).to_vec()).await;
        assert!(report.contains(":status: 200"), "{report}");
        assert_eq!(backend.last().body.len(), 200_000);
        assert!(!report.contains("RST_STREAM"), "{report}");
    }
}
