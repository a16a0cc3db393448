//! One HTTP request per batch, over connections that are kept.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use plugin::{Destination, Dialer};
use tokio::time::{Instant, timeout};

use crate::queue::Deliver;

/// Where and how records are sent. Those that are equal share a queue.
#[derive(Clone, PartialEq)]
pub(super) struct Settings {
    pub(super) destination: Destination,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    /// Whether a batch is a list, also one of one record.
    pub(super) lists: bool,
    /// For the connection, and for the answer.
    pub(super) timeout: Duration,
    /// How long an idle connection is kept.
    pub(super) keepalive: Duration,
}

/// Sends batches.
pub(super) struct Sender {
    settings: Settings,
    dialer: Arc<dyn Dialer>,
    idle: Mutex<Vec<(SendRequest<Full<Bytes>>, Instant)>>,
}

/// More of an answer is not read: its connection is closed instead.
const LONGEST: usize = 64 * 1024;

/// Connections that are kept at most.
const KEPT: usize = 16;

impl Sender {
    pub(super) fn new(settings: Settings, dialer: Arc<dyn Dialer>) -> Sender {
        Sender { settings, dialer, idle: Mutex::default() }
    }

    /// A connection that is kept and still open, or a new one.
    async fn connection(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        loop {
            let kept = self.lock().pop();
            let Some((mut kept, since)) = kept else { break };
            if since.elapsed() < self.settings.keepalive && kept.ready().await.is_ok() {
                return Ok(kept);
            }
        }
        let Settings { destination, timeout: limit, .. } = &self.settings;
        let stream = self.dialer.dial(destination, *limit).await.map_err(|e| e.to_string())?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        // Ends when the sender is dropped, or the other side hangs up, which the sender shows.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }

    async fn send(&self, body: Bytes) -> Result<(), String> {
        let mut connection = self.connection().await?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = self.settings.method.clone();
        *request.uri_mut() = self.settings.path.parse().map_err(|e| format!("the path: {e}"))?;
        *request.headers_mut() = self.settings.headers.clone();
        let limit = self.settings.timeout;
        let answered = timeout(limit, async {
            let answer = connection.send_request(request).await.map_err(|e| told(&e))?;
            let status = answer.status();
            let mut body = answer.into_body();
            let mut read = 0;
            while let Some(frame) = body.frame().await {
                read += frame.map_err(|e| told(&e))?.data_ref().map_or(0, Bytes::len);
                if read > LONGEST {
                    return Ok::<_, String>((status, false));
                }
            }
            Ok((status, true))
        });
        let (status, is_read) = match answered.await {
            Ok(result) => result?,
            Err(_) => return Err(format!("no answer within {} ms (timeout)", limit.as_millis())),
        };
        if is_read {
            let mut idle = self.lock();
            if idle.len() < KEPT {
                idle.push((connection, Instant::now()));
            }
        }
        match status.as_u16() {
            ..300 => Ok(()),
            status => Err(format!("the server answers {status}")),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(SendRequest<Full<Bytes>>, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deliver for Sender {
    async fn deliver(&self, batch: &[Bytes]) -> Result<(), String> {
        let body = match batch {
            [one] if !self.settings.lists => one.clone(),
            batch => {
                let mut body = Vec::with_capacity(batch.iter().map(|one| one.len() + 1).sum());
                for (at, one) in batch.iter().enumerate() {
                    body.push(if at == 0 { b'[' } else { b',' });
                    body.extend_from_slice(one);
                }
                body.push(b']');
                body.into()
            }
        };
        self.send(body).await
    }
}

impl fmt::Debug for Settings {
    /// Leaves out the fields, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("destination", &self.destination).finish_non_exhaustive()
    }
}

fn told(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
