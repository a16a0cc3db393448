//! The head of a response.

use std::mem::MaybeUninit;

use crate::{
    fields::{Fields, Span},
    framing::{ConnectionOptions, Framing, FramingError, response_framing},
    name::Name,
    request::{RequestHead, Version, place_in},
};

/// Why a response head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// The bytes are no HTTP/1 response head.
    #[error("not an HTTP/1 response: {0}")]
    Syntax(httparse::Error),
    /// The head goes on behind the bytes.
    #[error("the head of the response is not complete")]
    Incomplete,
    /// The bytes begin otherwise than any HTTP/1 response.
    #[error("not an HTTP/1 response: it does not begin with HTTP/1")]
    NotHttp,
    /// A status that no three digits from 100 on are.
    #[error("the status is not between 100 and 999")]
    Status,
    /// 101 to a request that did not ask for another protocol.
    #[error("switches protocols unasked")]
    Unasked,
    /// See [`FramingError`].
    #[error(transparent)]
    Framing(#[from] FramingError),
}

/// The head of a response: status and fields. Kept by its user and read into again for each response.
#[derive(Debug, Clone, Default)]
pub struct ResponseHead {
    /// The fields; plugins change them freely.
    pub fields: Fields,
    status: u16,
    reason: Span,
    version: Version,
    framing: Framing,
    connection: ConnectionOptions,
}

impl ResponseHead {
    /// Reads the head at the beginning of `bytes`, behind which more may lie: where it ends. `to_head` says that the
    /// request was a HEAD, whose answer has no body whatever it announces.
    ///
    /// # Errors
    /// See [`ResponseError`]; [`ResponseError::Incomplete`] where it does not lie there whole.
    pub fn read(&mut self, bytes: &[u8], to_head: bool) -> Result<usize, ResponseError> {
        self.fields.clear();
        let mut lines =
            [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; RequestHead::MAX_FIELDS];
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            bytes,
            &mut lines,
        );
        let length = match parsed {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Err(ResponseError::Incomplete),
            Err(error) => return Err(ResponseError::Syntax(error)),
        };
        self.fields.start(bytes.get(..length).unwrap_or_default());
        self.version = if response.version == Some(0) { Version::Http10 } else { Version::Http11 };
        self.status = response.code.unwrap_or_default();
        self.reason = place_in(bytes, response.reason.unwrap_or_default().as_bytes());
        if !(100..=999).contains(&self.status) {
            return Err(ResponseError::Status);
        }
        for line in response.headers.iter() {
            let name = line.name.as_bytes();
            self.fields.push_line(
                Name::recognise(name),
                place_in(bytes, name),
                place_in(bytes, line.value),
            );
        }
        self.connection = ConnectionOptions::of(&self.fields);
        self.framing = response_framing(&self.fields, self.version, self.status, to_head)?;
        Ok(length)
    }

    /// Whether a response can begin with these bytes, of which more may follow: what is no HTTP need not be waited for.
    #[must_use]
    pub fn may_begin_with(bytes: &[u8]) -> bool {
        let length = bytes.len().min(b"HTTP/1.".len());
        bytes.get(..length) == b"HTTP/1.".get(..length)
    }

    /// Begins a head of our own with the usual reason phrase and no fields.
    pub fn begin(&mut self, status: u16, version: Version) {
        self.fields.clear();
        self.status = status;
        self.reason = self.fields.intern(reason_phrase(status).as_bytes());
        self.version = version;
        self.framing = Framing::None;
        self.connection = ConnectionOptions::default();
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase, empty where the sender gave none.
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        self.fields.slice(self.reason)
    }

    /// The version it was received in.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// How its body is delimited.
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Sets how the body is delimited.
    pub fn set_framing(&mut self, framing: Framing) {
        self.framing = framing;
    }

    /// What its Connection fields say.
    #[must_use]
    pub fn connection(&self) -> ConnectionOptions {
        self.connection
    }

    /// Replaces the status and its reason phrase.
    pub fn set_status(&mut self, status: u16) {
        self.status = status;
        self.reason = self.fields.intern(reason_phrase(status).as_bytes());
    }

    /// Whether more answers to the same request follow (1xx but for 101, which ends HTTP).
    #[must_use]
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }

    /// Whether the sender keeps the connection open after this exchange (RFC 9112 §9.3).
    #[must_use]
    pub fn keeps_connection(&self) -> bool {
        if self.framing == Framing::UntilClose {
            return false;
        }
        match self.version {
            Version::Http10 => self.connection.keep_alive && !self.connection.close,
            Version::Http11 | Version::Http2 => !self.connection.close,
        }
    }

    /// Appends the status line; HTTP/1.1 is our version whatever the other side's.
    pub fn write_status_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"HTTP/1.1 ");
        crate::write_decimal(out, u64::from(self.status));
        out.push(b' ');
        out.extend_from_slice(self.reason());
        out.extend_from_slice(b"\r\n");
    }
}

/// The usual reason phrase of a status, empty for those that have none.
#[must_use]
pub const fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Payload Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
