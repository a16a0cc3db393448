//! The status listener: `/status`, `/status/ready`, `/metrics`, as Kong's `status_listen`.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use lifecycle::Readiness;
use telemetry::build_info;
use telemetry::metrics::{self, Registry};
use tokio::sync::Semaphore;

use crate::{DRAINING, Process};

/// How long a client may take over a request's head, and how long it may idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Connections at once; further ones wait.
const CONNECTIONS: usize = 64;
/// The largest body of a request.
const BODY: usize = 1024;

/// What `GET /status` answers: made anew for each request.
pub type Status = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;

/// Serves these listeners until every other task of the process has ended: during a drain it
/// still tells that it drains. Answers with the listeners' addresses.
///
/// # Errors
/// When a socket cannot be handed to the runtime.
pub fn serve(
    process: &Process,
    listeners: Vec<TcpListener>,
    status: Status,
) -> io::Result<Vec<SocketAddr>> {
    let page =
        Page { readiness: process.readiness.clone(), metrics: process.metrics.clone(), status };
    let mut addresses = Vec::new();
    for listener in listeners {
        addresses.push(listener.local_addr()?);
        let listener = tokio::net::TcpListener::from_std(listener)?;
        process.tasks.background("status", accept(listener, page.clone()));
    }
    Ok(addresses)
}

#[derive(Clone)]
struct Page {
    readiness: Readiness,
    metrics: Registry,
    status: Status,
}

async fn accept(listener: tokio::net::TcpListener, page: Page) {
    let service = TowerToHyperService::new(router(page));
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let service = service.clone();
                connections.spawn(async move {
                    let connection = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(HEAD_TIMEOUT)
                        .serve_connection(TokioIo::new(stream), service);
                    if let Err(error) = pin!(connection).await {
                        tracing::debug!(%error, "a connection to the status listener broke off");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: some will be free in a moment.
                tracing::warn!(%error, "the status listener could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// The paths. As in Kong, a slash behind one makes no difference.
fn router(page: Page) -> Router {
    let paths = [
        ("/status", get(status)),
        ("/status/ready", get(ready).post(drain)),
        ("/metrics", get(metrics)),
    ];
    let router = paths.into_iter().fold(Router::new(), |router, (path, answers)| {
        router.route(path, answers.clone()).route(&format!("{path}/"), answers)
    });
    router
        .method_not_allowed_fallback(|| async {
            message(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
        })
        .fallback(|| async { message(StatusCode::NOT_FOUND, "Not found") })
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(page)
}

async fn status(State(page): State<Page>) -> Response {
    json(StatusCode::OK, &(page.status)())
}

async fn metrics(State(page): State<Page>) -> Response {
    answer(StatusCode::OK, metrics::CONTENT_TYPE, page.metrics.render())
}

async fn ready(State(page): State<Page>) -> Response {
    match page.readiness.reasons() {
        reasons if reasons.is_empty() => message(StatusCode::OK, "ready"),
        reasons => message(StatusCode::SERVICE_UNAVAILABLE, &reasons.join(", ")),
    }
}

/// Kong: `status=draining` takes this node out of a load balancer that probes it, until it is
/// restarted. Traffic that still comes is served.
async fn drain(State(page): State<Page>, body: Bytes) -> Response {
    let as_json = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default();
    if &*body == b"status=draining"
        || as_json.get("status").and_then(|status| status.as_str()) == Some(DRAINING)
    {
        page.readiness.close(DRAINING);
        return answer(StatusCode::NO_CONTENT, JSON, String::new());
    }
    message(StatusCode::BAD_REQUEST, "the body must be status=draining")
}

const JSON: &str = "application/json; charset=utf-8";

fn message(status: StatusCode, message: &str) -> Response {
    json(status, &serde_json::json!({ "message": message }))
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response {
    answer(status, JSON, value.to_string())
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let server = HeaderValue::from_str(&format!("kong/{}", build_info::KONG_VERSION));
    let mut response = (status, [(header::CONTENT_TYPE, content_type)], body).into_response();
    response.headers_mut().extend(server.ok().map(|server| (header::SERVER, server)));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// The status line and the body of one request.
    async fn ask(address: SocketAddr, request: &str) -> (String, String) {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (line, rest) = request.split_once('\n').unwrap_or((request, ""));
        let length = rest.len();
        let head = format!(
            "{line} HTTP/1.1\r\nHost: s\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{rest}"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap()[9..].to_owned(), body.to_owned())
    }

    #[tokio::test]
    async fn answers_as_kong_does() {
        let process = Process::embedded();
        process.metrics.counter("weir_test_total", "Test").inc();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let status: Status = Arc::new(|| serde_json::json!({ "server": { "total_requests": 1 } }));
        let at = serve(&process, vec![listener], status).unwrap()[0];

        let booting = process.readiness.hold("no configuration available");
        let not_ready = (
            "503 Service Unavailable".to_owned(),
            r#"{"message":"no configuration available"}"#.to_owned(),
        );
        assert_eq!(ask(at, "GET /status/ready").await, not_ready);
        drop(booting);
        assert_eq!(
            ask(at, "GET /status/ready/").await,
            ("200 OK".to_owned(), r#"{"message":"ready"}"#.to_owned())
        );
        assert_eq!(ask(at, "GET /status").await.1, r#"{"server":{"total_requests":1}}"#);
        assert!(ask(at, "GET /metrics").await.1.contains("weir_test_total 1\n"));
        assert_eq!(ask(at, "GET /services").await.0, "404 Not Found");
        assert_eq!(ask(at, "DELETE /status").await.0, "405 Method Not Allowed");

        assert_eq!(ask(at, "POST /status/ready\nstatus=other").await.0, "400 Bad Request");
        assert_eq!(ask(at, "POST /status/ready\nstatus=draining").await.0, "204 No Content");
        assert_eq!(ask(at, "GET /status/ready").await.1, r#"{"message":"draining"}"#);
    }
}
