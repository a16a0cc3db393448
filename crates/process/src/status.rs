//! The status listener: `/status`, `/status/ready`, `/metrics`, as Kong's `status_listen`.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
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
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let page = page.clone();
                connections.spawn(async move {
                    let service = service_fn(|request| page.answer(request));
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

impl Page {
    async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let path = match head.uri.path() {
            path if path.len() > 1 => path.trim_end_matches('/'),
            path => path,
        };
        Ok(match (path, &head.method) {
            ("/status", &Method::GET | &Method::HEAD) => json(StatusCode::OK, &(self.status)()),
            ("/status/ready", &Method::GET | &Method::HEAD) => self.ready(),
            ("/status/ready", &Method::POST) => self.drain(body).await,
            ("/metrics", &Method::GET | &Method::HEAD) => {
                answer(StatusCode::OK, metrics::CONTENT_TYPE, self.metrics.render().into())
            }
            ("/status" | "/status/ready" | "/metrics", _) => {
                message(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
            }
            _ => message(StatusCode::NOT_FOUND, "Not found"),
        })
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        match self.readiness.reasons() {
            reasons if reasons.is_empty() => message(StatusCode::OK, "ready"),
            reasons => message(StatusCode::SERVICE_UNAVAILABLE, &reasons.join(", ")),
        }
    }

    /// Kong: `status=draining` takes this node out of a load balancer that probes it, until it is
    /// restarted. Traffic that still comes is served.
    async fn drain(&self, body: Incoming) -> Response<Full<Bytes>> {
        let body = Limited::new(body, BODY)
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        let as_json = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default();
        if &*body == b"status=draining"
            || as_json.get("status").and_then(|status| status.as_str()) == Some(DRAINING)
        {
            self.readiness.close(DRAINING);
            return answer(StatusCode::NO_CONTENT, "application/json; charset=utf-8", Bytes::new());
        }
        message(StatusCode::BAD_REQUEST, "the body must be status=draining")
    }
}

fn message(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    json(status, &serde_json::json!({ "message": message }))
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response<Full<Bytes>> {
    answer(status, "application/json; charset=utf-8", value.to_string().into())
}

fn answer(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    if let Ok(server) = header::HeaderValue::from_str(&format!("kong/{}", build_info::KONG_VERSION))
    {
        headers.insert(header::SERVER, server);
    }
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
