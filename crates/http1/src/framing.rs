//! Where a message ends (RFC 9112 §6.3), decided strictly, and what its Connection fields say.

use crate::{decimal::parse_length, fields::Fields, name::Name, request::Version};

/// How a body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// There is no body.
    #[default]
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks, the last one empty.
    Chunked,
    /// Until the connection closes; answers only.
    UntilClose,
}

/// Why it cannot be told where a message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// `Content-Length` is not a number, or too large a one.
    #[error("Content-Length is not a number")]
    BadLength,
    /// More than one `Content-Length`, even if equal: a list of equal ones is what smuggling begins with, and no
    /// honest sender needs it.
    #[error("more than one Content-Length")]
    RepeatedLength,
    /// More than one `Transfer-Encoding` field.
    #[error("more than one Transfer-Encoding")]
    RepeatedEncoding,
    /// Both `Content-Length` and `Transfer-Encoding`.
    #[error("both Content-Length and Transfer-Encoding")]
    LengthAndEncoding,
    /// A transfer coding other than exactly `chunked`.
    #[error("a transfer coding other than chunked")]
    UnknownEncoding,
    /// `Transfer-Encoding` in an HTTP/1.0 message, which does not have it (RFC 9112 §6.1).
    #[error("Transfer-Encoding in HTTP/1.0")]
    EncodingInHttp10,
}

/// What the Connection fields of a message say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionOptions {
    /// `close`
    pub close: bool,
    /// `keep-alive`
    pub keep_alive: bool,
    /// `upgrade`
    pub upgrade: bool,
    /// Names of fields that are for this hop only; see [`ConnectionOptions::lists`].
    pub others: bool,
}

impl ConnectionOptions {
    /// Reads the options of all Connection fields.
    #[must_use]
    pub fn of(fields: &Fields) -> Self {
        let mut options = ConnectionOptions::default();
        for value in fields.all(Name::Connection) {
            // As nearly everybody writes them.
            match value {
                b"keep-alive" | b"Keep-Alive" => {
                    options.keep_alive = true;
                    continue;
                }
                b"close" => {
                    options.close = true;
                    continue;
                }
                _ => {}
            }
            for option in list(value) {
                if option.eq_ignore_ascii_case(b"close") {
                    options.close = true;
                } else if option.eq_ignore_ascii_case(b"keep-alive") {
                    options.keep_alive = true;
                } else if option.eq_ignore_ascii_case(b"upgrade") {
                    options.upgrade = true;
                } else {
                    options.others = true;
                }
            }
        }
        options
    }

    /// Whether a Connection field of `fields` names the field `name`, which then is not passed on (RFC 9110 §7.6.1).
    #[must_use]
    pub fn lists(self, fields: &Fields, name: &[u8]) -> bool {
        self.others
            && fields
                .all(Name::Connection)
                .any(|value| list(value).any(|option| option.eq_ignore_ascii_case(name)))
    }
}

/// The elements of a comma-separated list, without white space and without empty ones (RFC 9110 §5.6.1).
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// Where a request ends.
///
/// # Errors
/// See [`FramingError`]: whatever two recipients may read differently is refused.
pub fn request_framing(fields: &Fields, version: Version) -> Result<Framing, FramingError> {
    announced(fields, version).map(|framing| framing.unwrap_or(Framing::None))
}

/// Where a response ends. `to_head` says that the request was a HEAD.
///
/// # Errors
/// See [`FramingError`].
pub fn response_framing(
    fields: &Fields,
    version: Version,
    status: u16,
    to_head: bool,
) -> Result<Framing, FramingError> {
    let announced = announced(fields, version)?;
    if to_head || status < 200 || status == 204 || status == 304 {
        return Ok(Framing::None);
    }
    Ok(announced.unwrap_or(Framing::UntilClose))
}

fn announced(fields: &Fields, version: Version) -> Result<Option<Framing>, FramingError> {
    let length = only(fields, Name::ContentLength).map_err(|()| FramingError::RepeatedLength)?;
    let Some(encoding) =
        only(fields, Name::TransferEncoding).map_err(|()| FramingError::RepeatedEncoding)?
    else {
        let length =
            length.map(|length| parse_length(length).ok_or(FramingError::BadLength)).transpose()?;
        return Ok(length.map(Framing::Length));
    };
    if length.is_some() {
        return Err(FramingError::LengthAndEncoding);
    }
    if version == Version::Http10 {
        return Err(FramingError::EncodingInHttp10);
    }
    if !encoding.eq_ignore_ascii_case(b"chunked") {
        return Err(FramingError::UnknownEncoding);
    }
    Ok(Some(Framing::Chunked))
}

fn only(fields: &Fields, name: Name) -> Result<Option<&[u8]>, ()> {
    let mut values = fields.all(name);
    let value = values.next();
    if values.next().is_some() { Err(()) } else { Ok(value) }
}
