//! The gRPC health checking protocol: `grpc.health.v1.Health/Check` over HTTP/2.

use balancer::{Outcome, ProbeHeader};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::stream::Stream;

const METHOD: &str = "/grpc.health.v1.Health/Check";

/// A `HealthCheckRequest` without a service name, which asks for the server as a whole: no
/// compression, no bytes.
const EMPTY_REQUEST: &[u8] = &[0, 0, 0, 0, 0];

/// A `HealthCheckResponse` has a few bytes; one that is larger than this is none.
const LARGEST: usize = 4 * 1024;

/// `HealthCheckResponse.ServingStatus.SERVING`.
const SERVING: u64 = 1;

/// Asks whether the server serves. A server that does not know the method is one that does not.
pub(super) async fn ask(
    stream: Stream,
    host: &str,
    is_tls: bool,
    headers: &[ProbeHeader],
) -> Outcome {
    let builder = http2::Builder::new(TokioExecutor::new());
    let Ok((mut sender, connection)) = builder.handshake(TokioIo::new(stream)).await else {
        return Outcome::Reset;
    };
    let Some(request) = request(host, is_tls, headers) else {
        return Outcome::Reset;
    };
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        if !status.is_success() {
            return Ok(Outcome::Status(status.as_u16()));
        }
        let early = is_refused(response.headers());
        let body = Limited::new(response.into_body(), LARGEST).collect().await;
        let Ok(body) = body else { return Ok(Outcome::Serving(false)) };
        let refused = early || body.trailers().is_some_and(is_refused);
        let serving = serving_status(&body.to_bytes()) == Some(SERVING);
        Ok::<Outcome, hyper::Error>(Outcome::Serving(serving && !refused))
    };
    // The connection is driven here; what it was given to run ends when it is dropped.
    tokio::pin!(exchange);
    let result = tokio::select! {
        biased;
        result = &mut exchange => result,
        // The server hung up, maybe after its answer.
        _ = connection => exchange.await,
    };
    result.unwrap_or(Outcome::Reset)
}

fn request(host: &str, is_tls: bool, headers: &[ProbeHeader]) -> Option<Request<Full<Bytes>>> {
    let scheme = if is_tls { "https" } else { "http" };
    let mut request = Request::post(format!("{scheme}://{host}{METHOD}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for ProbeHeader { name, values } in headers {
        for value in values {
            request = request.header(name, HeaderValue::from_str(value).ok()?);
        }
    }
    request.body(Full::new(Bytes::from_static(EMPTY_REQUEST))).ok()
}

/// Whether `grpc-status` is there and not 0.
fn is_refused(headers: &HeaderMap) -> bool {
    headers.get("grpc-status").is_some_and(|status| status != "0")
}

/// Field 1 (`status`) of the message; 0 (`UNKNOWN`) when it is left out, `None` when it is no
/// message.
fn serving_status(body: &[u8]) -> Option<u64> {
    let [0, a, b, c, d, message @ ..] = body else { return None };
    let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
    let message = message.get(..length)?;
    match message {
        [] => Some(0),
        // Field 1, a varint, of which one byte suffices for all values there are.
        [0x08, status, ..] if *status < 0x80 => Some(u64::from(*status)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_serving_status() {
        assert_eq!(serving_status(&[0, 0, 0, 0, 2, 8, 1]), Some(1));
        assert_eq!(serving_status(&[0, 0, 0, 0, 2, 8, 2]), Some(2));
        assert_eq!(serving_status(&[0, 0, 0, 0, 0]), Some(0));
        assert_eq!(serving_status(&[0, 0, 0, 0, 2, 8]), None, "cut off");
        assert_eq!(
            serving_status(&[1, 0, 0, 0, 2, 8, 1]),
            None,
            "compressed, which was not asked for"
        );
        assert_eq!(serving_status(b""), None);
    }
}
