//! What hyper reads from a connection, as the oracle for heads and bodies.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;

/// A request as one of the two read it.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    /// By name in lower case, the values in their order.
    pub(crate) fields: BTreeMap<String, Vec<Vec<u8>>>,
    /// `None` where the body broke off or was refused.
    pub(crate) body: Option<Vec<u8>>,
}

/// The requests that hyper finds in what a client sends before it closes.
pub(crate) fn requests(bytes: &[u8]) -> Vec<Seen> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let service = service_fn(|request: http::Request<Incoming>| {
        let seen = Rc::clone(&seen);
        async move {
            let (head, body) = request.into_parts();
            let mut fields: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
            for (name, value) in &head.headers {
                fields.entry(name.to_string()).or_default().push(value.as_bytes().to_vec());
            }
            let body = body.collect().await.ok().map(|body| body.to_bytes().to_vec());
            seen.borrow_mut().push(Seen {
                method: head.method.to_string(),
                path: head.uri.path().to_owned(),
                query: head.uri.query().map(str::to_owned),
                fields,
                body,
            });
            Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new()))
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .max_headers(http1::RequestHead::MAX_FIELDS)
        .half_close(true)
        .serve_connection(Client { rest: bytes.to_vec(), at: 0 }, service);
    let mut connection = pin!(connection);
    let mut context = Context::from_waker(Waker::noop());
    // The client never makes anybody wait, so what is not done soon is done never.
    for _ in 0..64 {
        if connection.as_mut().poll(&mut context).is_ready() {
            break;
        }
    }
    seen.take()
}

/// A client that has sent everything and takes everything.
struct Client {
    rest: Vec<u8>,
    at: usize,
}

impl Read for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        let end = self.rest.len().min(self.at + into.remaining());
        into.put_slice(&self.rest[self.at..end]);
        self.at = end;
        Poll::Ready(Ok(()))
    }
}

impl Write for Client {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
