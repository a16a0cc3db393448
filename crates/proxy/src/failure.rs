//! What can go wrong with a request: one vocabulary, one function to the client's answer, one to the metric.

use std::{io, sync::Arc, time::Duration};

use http1::{BodyError, FramingError, HeadError, ResponseError, ScanError};
use router::path::BadPath;
use upstream::ConnectError;
use uuid::Uuid;

/// Why a request was not answered by its upstream.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The client's bytes are no HTTP request, or one that could be read in two ways.
    #[error("bad request: {0}")]
    Head(#[from] HeadError),
    /// The client's request line or headers are too large, or their lines end wrongly.
    #[error("bad request: {0}")]
    Scan(#[from] ScanError),
    /// The path is not percent-encoded rightly, or leads out of its root.
    #[error("bad request path: {0}")]
    Path(#[from] BadPath),
    /// TRACE and CONNECT, which a gateway does not serve.
    #[error("method refused")]
    Method,
    /// The client did not send its head or body in time.
    #[error("the client sent nothing for {} s", .0.as_secs())]
    ClientTimeout(Duration),
    /// The request's body breaks its own framing.
    #[error("bad request body: {0}")]
    ClientBody(BodyError),
    /// The request's body is larger than `client_max_body_size`.
    #[error("the request body is larger than {0} bytes")]
    BodyTooLarge(u64),
    /// The request's body is larger than a plugin allows.
    #[error("the request body is larger than the {0} bytes that a plugin allows")]
    BodyOverLimit(u64),
    /// A connection that must begin with TLS does not, or its handshake failed.
    #[error("no TLS handshake with the client: {0}")]
    Hello(String),
    /// A stream's route asks for TLS, and the listener has none.
    #[error("the route takes TLS only, and the listener has no ssl flag")]
    Unsecured,
    /// A plugin refused the stream session.
    #[error("plugin {name} refused it: {why}")]
    Refusal {
        /// The plugin's name.
        name: Arc<str>,
        /// In its words.
        why: String,
    },
    /// The client closed its connection.
    #[error("the client closed the connection")]
    ClientGone,
    /// No route matches.
    #[error("no route matches")]
    NoRoute,
    /// The route has no service.
    #[error("the route has no service")]
    NoService,
    /// A plugin failed, or there is one that cannot run.
    #[error("plugin {name} ({id}) failed: {cause}")]
    Plugin {
        /// The plugin's name.
        name: Arc<str>,
        /// The instance.
        id: Uuid,
        /// What went wrong.
        cause: String,
    },
    /// The upstream has no target that may be used.
    #[error("no target of {upstream} may be used")]
    NoPeer {
        /// The upstream's name.
        upstream: String,
        /// Whether a target had been tried before.
        retry: bool,
    },
    /// The name of the service's host, or of all targets, does not resolve.
    #[error("name resolution failed: {0}")]
    Unresolved(String),
    /// No connection to the target, or no TLS over it.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The service asks for TLS that its certificates do not allow.
    #[error("TLS to the upstream is not possible: {0}")]
    Secure(String),
    /// The target took no byte of the request in time.
    #[error("the upstream read nothing for {} ms (write_timeout)", .0.as_millis())]
    WriteTimeout(Duration),
    /// The target sent no byte of its answer in time.
    #[error("the upstream sent nothing for {} ms (read_timeout)", .0.as_millis())]
    ReadTimeout(Duration),
    /// The head of the answer was not there when the time of one try was up.
    #[error("the upstream did not answer within {} ms (retry.timeout)", .limit.as_millis())]
    TryTimeout {
        /// The time of one try.
        limit: Duration,
        /// Whether the target may have acted on the request.
        sent: bool,
    },
    /// The target answered with a status that the upstream's `retry.http_statuses` leaves for another one.
    #[error("the upstream answered {0} (retry.http_statuses)")]
    Declined(u16),
    /// The target refused the request without having looked at it (HTTP/2).
    #[error("the upstream refused the request: {0}")]
    Refused(io::Error),
    /// The request cannot be written in the protocol of the upstream.
    #[error("the request cannot be sent by HTTP/2: {0}")]
    Unsendable(String),
    /// The connection to the target broke before the head of the answer was there.
    #[error("the upstream closed the connection: {0}")]
    UpstreamClosed(io::Error),
    /// What the target sent is no HTTP response, or one that could be read in two ways.
    #[error("invalid response: {0}")]
    Response(#[from] ResponseError),
    /// The head of the response is too large.
    #[error("the response's headers are too large")]
    ResponseHeadTooLarge,
    /// The answer broke off within its body; it has begun, so the client sees it break off, too.
    #[error("the response broke off: {0}")]
    ResponseBody(String),
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The client's: the same request will fail again.
    Client,
    /// The upstream's, or the way's to it.
    Upstream,
    /// Weir's, or its configuration's.
    Gateway,
}

/// Whether a request that failed may be sent to another target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Nothing was sent.
    Safe,
    /// Only if doing it twice is as good as once (RFC 9110 §9.2.2): the target may have acted on it.
    IfIdempotent,
    /// It would fail again, or the answer has begun.
    Never,
}

/// How the client is told: Kong answers what its core finds in the format that the client accepts, JSON otherwise,
/// and what nginx finds in the format of the request itself or `error_default_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Teller {
    Core,
    Server,
    /// The request could not be read, so what it accepts is not known.
    Blind,
}

impl Failure {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        use Failure as F;
        match self {
            F::Head(_)
            | F::Scan(_)
            | F::Path(_)
            | F::Method
            | F::ClientTimeout(_)
            | F::ClientBody(_) => Fault::Client,
            F::BodyTooLarge(_) | F::BodyOverLimit(_) | F::ClientGone | F::NoRoute => Fault::Client,
            F::Hello(_) | F::Unsecured | F::Refusal { .. } => Fault::Client,
            F::NoService
            | F::Plugin { .. }
            | F::NoPeer { .. }
            | F::Secure(_)
            | F::Unsendable(_) => Fault::Gateway,
            F::Unresolved(_) | F::Connect(_) | F::WriteTimeout(_) | F::ReadTimeout(_) => {
                Fault::Upstream
            }
            F::TryTimeout { .. } | F::Declined(_) => Fault::Upstream,
            F::UpstreamClosed(_)
            | F::Refused(_)
            | F::Response(_)
            | F::ResponseHeadTooLarge
            | F::ResponseBody(_) => Fault::Upstream,
        }
    }

    /// Whether another target may be tried.
    #[must_use]
    pub fn retry(&self) -> Retry {
        use Failure as F;
        match self {
            F::Connect(_) | F::Refused(_) | F::TryTimeout { sent: false, .. } => Retry::Safe,
            F::TryTimeout { sent: true, .. } | F::Declined(_) => Retry::IfIdempotent,
            F::WriteTimeout(_) | F::ReadTimeout(_) | F::UpstreamClosed(_) | F::Response(_) => {
                Retry::IfIdempotent
            }
            F::ResponseHeadTooLarge => Retry::IfIdempotent,
            _ => Retry::Never,
        }
    }

    /// The status of the answer; 499 is only ever logged.
    #[must_use]
    pub fn status(&self) -> u16 {
        use Failure as F;
        match self {
            F::Head(HeadError::Framing(FramingError::UnknownEncoding)) => 501,
            F::Scan(ScanError::StartLineTooLong) => 414,
            F::Head(_) | F::Scan(_) | F::Path(_) | F::ClientBody(_) => 400,
            F::Hello(_) | F::Unsecured => 400,
            F::Refusal { .. } => 403,
            F::Method => 405,
            F::ClientTimeout(_) => 408,
            F::BodyTooLarge(_) | F::BodyOverLimit(_) => 413,
            F::ClientGone => 499,
            F::NoRoute => 404,
            F::NoService | F::NoPeer { .. } | F::Unresolved(_) => 503,
            F::Secure(_) | F::Plugin { .. } | F::Unsendable(_) => 500,
            F::Connect(ConnectError::Timeout { .. }) | F::WriteTimeout(_) | F::ReadTimeout(_) => {
                504
            }
            F::TryTimeout { .. } => 504,
            F::Declined(status) => *status,
            F::Connect(_) | F::UpstreamClosed(_) | F::Refused(_) | F::Response(_) => 502,
            F::ResponseHeadTooLarge | F::ResponseBody(_) => 502,
        }
    }

    /// The text of the answer, which says no more than Kong's.
    pub(crate) fn message(&self) -> &'static str {
        use Failure as F;
        match self {
            F::NoRoute => "no Route matched with those values",
            F::NoService => "no Service found with those values",
            F::NoPeer { retry: false, .. } => "failure to get a peer from the ring-balancer",
            F::Unresolved(_) => "name resolution failed",
            F::BodyOverLimit(_) => "Request size limit exceeded",
            F::Scan(ScanError::FieldsTooLarge) | F::Head(HeadError::TooManyFields) => {
                "Request header or cookie too large"
            }
            _ => status_message(self.status()),
        }
    }

    pub(crate) fn teller(&self) -> Teller {
        use Failure as F;
        match self {
            F::Head(_) | F::Scan(_) | F::Path(_) => Teller::Blind,
            F::NoRoute | F::NoService | F::NoPeer { retry: false, .. } | F::Unresolved(_) => {
                Teller::Core
            }
            F::Plugin { .. } | F::BodyOverLimit(_) => Teller::Core,
            _ => Teller::Server,
        }
    }

    /// The word for it in metrics and logs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        use Failure as F;
        match self {
            F::Head(_) | F::Scan(_) | F::Path(_) | F::Method => "bad_request",
            F::Hello(_) | F::Unsecured => "client_tls",
            F::Refusal { .. } => "refused",
            F::ClientTimeout(_) => "client_timeout",
            F::ClientBody(_) => "bad_request_body",
            F::BodyTooLarge(_) | F::BodyOverLimit(_) => "request_too_large",
            F::ClientGone => "client_closed",
            F::NoRoute => "no_route",
            F::NoService => "no_service",
            F::Plugin { .. } => "plugin_failed",
            F::NoPeer { .. } => "no_peer",
            F::Unresolved(_) => "name_resolution",
            F::Connect(ConnectError::Timeout { .. }) => "connect_timeout",
            F::Connect(ConnectError::Tcp { .. }) => "connect_failed",
            F::Connect(ConnectError::Tls { .. }) | F::Secure(_) => "upstream_tls",
            F::WriteTimeout(_) => "upstream_write_timeout",
            F::ReadTimeout(_) => "upstream_read_timeout",
            F::TryTimeout { .. } => "upstream_try_timeout",
            F::Declined(_) => "upstream_status",
            F::UpstreamClosed(_) => "upstream_closed",
            F::Refused(_) => "upstream_refused",
            F::Unsendable(_) => "unsendable",
            F::Response(_) | F::ResponseHeadTooLarge => "bad_response",
            F::ResponseBody(_) => "response_broken_off",
        }
    }
}

/// What Kong's error pages say about a status.
pub(crate) fn status_message(status: u16) -> &'static str {
    match status {
        400 => "Bad request",
        401 => "Unauthorized",
        402 => "Payment required",
        403 => "Forbidden",
        404 => "Not found",
        405 => "Method not allowed",
        406 => "Not acceptable",
        407 => "Proxy authentication required",
        408 => "Request timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length required",
        412 => "Precondition failed",
        413 => "Payload too large",
        414 => "URI too long",
        415 => "Unsupported media type",
        416 => "Range not satisfiable",
        417 => "Expectation failed",
        418 => "I'm a teapot",
        421 => "Misdirected request",
        422 => "Unprocessable entity",
        423 => "Locked",
        424 => "Failed dependency",
        425 => "Too early",
        426 => "Upgrade required",
        428 => "Precondition required",
        429 => "Too many requests",
        431 => "Request header fields too large",
        451 => "Unavailable for legal reasons",
        494 => "Request header or cookie too large",
        501 => "Not implemented",
        502 => "An invalid response was received from the upstream server",
        503 => "The upstream server is currently unavailable",
        504 => "The upstream server is timing out",
        _ => "An unexpected error occurred",
    }
}
