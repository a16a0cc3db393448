//! The head of a request.

use std::{mem::MaybeUninit, ops::Range};

use crate::{
    fields::{Fields, Span},
    framing::{ConnectionOptions, Framing, FramingError, request_framing},
    name::Name,
    scan::Limits,
    target::{self, Host, TargetError},
};

/// The protocol version that a message was received in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
    /// HTTP/2: the head was assembled from pseudo-headers and fields.
    Http2,
}

impl Version {
    /// The version as `Via` names it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
            Version::Http2 => "2",
        }
    }
}

/// Why a request head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// The bytes are no HTTP/1.0 or HTTP/1.1 request head.
    #[error("not an HTTP/1 request: {0}")]
    Syntax(httparse::Error),
    /// More field lines than [`RequestHead::MAX_FIELDS`].
    #[error("more than {} header lines", RequestHead::MAX_FIELDS)]
    TooManyFields,
    /// A method with characters other than capitals, `-` and `_`, as nginx has it.
    #[error("the method is not in capitals")]
    Method,
    /// See [`TargetError`].
    #[error(transparent)]
    Target(#[from] TargetError),
    /// HTTP/1.1 without a Host field (RFC 9112 §3.2).
    #[error("no Host header")]
    NoHost,
    /// More than one Host field: the next hop may take the other one.
    #[error("more than one Host header")]
    RepeatedHost,
    /// See [`FramingError`].
    #[error(transparent)]
    Framing(#[from] FramingError),
}

/// The head of a request: what it asks for and its fields. Kept by its user and read into again for each request, so
/// that its memory is allocated once.
#[derive(Debug, Clone, Default)]
pub struct RequestHead {
    /// The fields; plugins change them freely.
    pub fields: Fields,
    method: Span,
    target: Span,
    /// Method and target before anybody replaced them.
    received: (Span, Span),
    path: Span,
    query: Option<Span>,
    version: Version,
    framing: Framing,
    connection: ConnectionOptions,
    host: KnownHost,
}

/// The Host field taken apart when the head was read.
#[derive(Debug, Clone, Copy, Default)]
struct KnownHost {
    /// The value that was taken apart.
    field: Span,
    name: Span,
    port: Option<u16>,
}

impl RequestHead {
    /// The most field lines of a request, and of a response.
    pub const MAX_FIELDS: usize = 256;

    /// Reads a complete head, as [`crate::HeadScan`] finds it, and checks everything that decides where the request
    /// ends and whom it is for.
    ///
    /// # Errors
    /// See [`HeadError`]; the head is then of no use.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), HeadError> {
        match self.parse(bytes)? {
            length if length == bytes.len() => Ok(()),
            _ => Err(HeadError::Syntax(httparse::Error::NewLine)),
        }
    }

    /// Reads a head that lies whole at the beginning of `bytes`, behind which more may lie, without looking for its
    /// end before: where it ends. None where it does not lie there as nearly all do, each line short and ended by
    /// CRLF: [`crate::HeadScan`] and [`RequestHead::read`] then find out what it is.
    pub fn read_whole(&mut self, bytes: &[u8]) -> Option<usize> {
        let length = self.parse(bytes).ok()?;
        let head = bytes.get(..length)?;
        let is_usual = length <= Limits::default().line
            && self.method.start == 0
            && head.ends_with(b"\r\n\r\n")
            && self.fields.begin_lines(head);
        is_usual.then_some(length)
    }

    /// Reads the head at the beginning of `bytes`: where it ends.
    fn parse(&mut self, bytes: &[u8]) -> Result<usize, HeadError> {
        self.fields.clear();
        let mut lines =
            [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; RequestHead::MAX_FIELDS];
        let mut request = httparse::Request::new(&mut []);
        let length = match request.parse_with_uninit_headers(bytes, &mut lines) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => {
                return Err(HeadError::Syntax(httparse::Error::NewLine));
            }
            Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooManyFields),
            Err(error) => return Err(HeadError::Syntax(error)),
        };
        self.fields.start(bytes.get(..length).unwrap_or_default());
        let place = |part: &[u8]| place_in(bytes, part);
        let method = request.method.unwrap_or_default().as_bytes();
        let target = request.path.unwrap_or_default().as_bytes();
        self.method = place(method);
        self.target = place(target);
        self.received = (self.method, self.target);
        self.version = if request.version == Some(0) { Version::Http10 } else { Version::Http11 };
        for line in request.headers.iter() {
            let name = line.name.as_bytes();
            self.fields.push_line(Name::recognise(name), place(name), place(line.value));
        }
        self.check(method, target)?;
        Ok(length)
    }

    /// Begins a head that comes from another protocol: `target` is its path with query. The fields are pushed after
    /// this, then [`RequestHead::finish`] is called.
    pub fn begin(&mut self, method: &[u8], target: &[u8], version: Version) {
        self.fields.clear();
        self.method = self.fields.intern(method);
        self.target = self.fields.intern(target);
        self.received = (self.method, self.target);
        self.version = version;
    }

    /// Checks a head that was begun by [`RequestHead::begin`] and given its fields.
    ///
    /// # Errors
    /// As [`RequestHead::read`].
    pub fn finish(&mut self) -> Result<(), HeadError> {
        let (method, target) = (self.method().to_vec(), self.target().to_vec());
        self.check(&method, &target)
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &[u8] {
        self.fields.slice(self.method)
    }

    /// The method that was received, whatever replaced it.
    #[must_use]
    pub fn received_method(&self) -> &[u8] {
        self.fields.slice(self.received.0)
    }

    /// The request target that was received, whatever replaced it.
    #[must_use]
    pub fn received_target(&self) -> &[u8] {
        self.fields.slice(self.received.1)
    }

    /// The request target.
    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.fields.slice(self.target)
    }

    /// The path as it was received, without query and fragment; `/` where a URL had none.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        let path = self.fields.slice(self.path);
        if path.is_empty() { b"/" } else { path }
    }

    /// The query as it was received, without its question mark; an empty one is there.
    #[must_use]
    pub fn query(&self) -> Option<&[u8]> {
        self.query.map(|query| self.fields.slice(query))
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

    /// Sets how the body is delimited, where another protocol knows it.
    pub fn set_framing(&mut self, framing: Framing) {
        self.framing = framing;
    }

    /// What its Connection fields say.
    #[must_use]
    pub fn connection(&self) -> ConnectionOptions {
        self.connection
    }

    /// The Host field taken apart; none where there is none (HTTP/1.0).
    #[must_use]
    pub fn host(&self) -> Option<Host<'_>> {
        let (name, port) = self.host_parts()?;
        Some(Host { name: std::str::from_utf8(name).ok()?, port })
    }

    /// The name of [`RequestHead::host`], where it is only to be passed on.
    #[must_use]
    pub fn host_name(&self) -> Option<&[u8]> {
        self.host_parts().map(|(name, _)| name)
    }

    fn host_parts(&self) -> Option<(&[u8], Option<u16>)> {
        let field = self.fields.place(Name::Host)?;
        if field == self.host.field {
            return Some((self.fields.slice(self.host.name), self.host.port));
        }
        // Somebody has replaced it.
        let value = self.fields.slice(field);
        let (length, port) = target::take_apart(value)?;
        Some((value.get(..length)?, port))
    }

    /// Replaces the method.
    pub fn set_method(&mut self, method: &[u8]) {
        self.method = self.fields.intern(method);
    }

    /// Replaces path and query.
    ///
    /// # Errors
    /// [`TargetError::Form`] if it does not begin with a slash.
    pub fn set_target(&mut self, target: &[u8]) -> Result<(), TargetError> {
        if target.first() != Some(&b'/') {
            return Err(TargetError::Form);
        }
        let parts = target::split(target)?;
        self.target = self.fields.intern(target);
        self.place_target(&parts);
        Ok(())
    }

    /// Whether the sender keeps the connection open after this exchange (RFC 9112 §9.3).
    #[must_use]
    pub fn keeps_connection(&self) -> bool {
        match self.version {
            Version::Http10 => self.connection.keep_alive && !self.connection.close,
            Version::Http11 => !self.connection.close,
            Version::Http2 => true,
        }
    }

    /// Whether the sender waits for a 100 before it sends its body (RFC 9110 §10.1.1).
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        self.version == Version::Http11
            && self
                .fields
                .get(Name::Expect)
                .is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"))
    }

    fn check(&mut self, method: &[u8], target: &[u8]) -> Result<(), HeadError> {
        if method.is_empty()
            || !method.iter().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_'))
        {
            return Err(HeadError::Method);
        }
        let parts = target::split(target)?;
        self.place_target(&parts);
        let mut known_host = KnownHost::default();
        let mut hosts = self.fields.all(Name::Host);
        match (hosts.next(), hosts.next()) {
            (_, Some(_)) => return Err(HeadError::RepeatedHost),
            (None, None) if self.version != Version::Http10 => return Err(HeadError::NoHost),
            (None, None) => {}
            (Some(host), None) => {
                let (length, port) = target::take_apart(host).ok_or(TargetError::Host)?;
                let field = self.fields.place(Name::Host).unwrap_or_default();
                let end = field.start + length as u32;
                known_host = KnownHost { field, name: Span { end, ..field }, port };
            }
        }
        drop(hosts);
        self.host = known_host;
        self.connection = ConnectionOptions::of(&self.fields);
        self.framing = request_framing(&self.fields, self.version)?;
        Ok(())
    }

    fn place_target(&mut self, parts: &target::TargetParts) {
        let base = self.target.start;
        self.path = within(base, &parts.path);
        self.query = parts.query.as_ref().map(|query| within(base, query));
    }
}

fn within(base: u32, range: &Range<usize>) -> Span {
    Span { start: base + range.start as u32, end: base + range.end as u32 }
}

/// Where `part`, which a parser cut out of `whole`, lies in it.
pub(crate) fn place_in(whole: &[u8], part: &[u8]) -> Span {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    // A parser may hand out an empty slice that points nowhere.
    if part.is_empty() || start > whole.len() {
        return Span::default();
    }
    Span { start: start as u32, end: (start + part.len()) as u32 }
}
