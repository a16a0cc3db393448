//! A client that speaks HTTP/2: its requests are written into the same head as HTTP/1's.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::pin,
    rc::Rc,
    sync::LazyLock,
    task::{Context, Poll, ready},
};

use ::http1::{Framing, HeadError, Name, RequestHead, ResponseHead, Version};
use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};

use crate::{
    downstream::{Answer, Body},
    failure::Failure,
    thread::Thread,
    timer::Timer,
};

/// Takes a request apart into its head and the two sides of its stream.
///
/// # Errors
/// See [`HeadError`]: what HTTP/1 could not carry is refused here, too.
pub(crate) fn read(head: &mut RequestHead, request: &Request<RecvStream>) -> Result<(), HeadError> {
    let uri = request.uri();
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    head.begin(request.method().as_str().as_bytes(), target.as_bytes(), Version::Http2);
    if let Some(authority) = uri.authority() {
        head.fields.push_known(Name::Host, authority.as_str().as_bytes());
    }
    let mut cookies = Vec::new();
    for (name, value) in request.headers() {
        let value = value.as_bytes().trim_ascii();
        match Name::recognise(name.as_str().as_bytes()) {
            // The authority is whom the request is for; another host beside it would be for somebody else
            // (RFC 9113 §8.3.1).
            Name::Host if head.fields.get(Name::Host) == Some(value) => {}
            // Split only for the sake of compression (RFC 9113 §8.2.3).
            Name::Cookie => {
                if !cookies.is_empty() {
                    cookies.extend_from_slice(b"; ");
                }
                cookies.extend_from_slice(value);
            }
            _ => head.fields.push(name.as_str().as_bytes(), value),
        }
    }
    if !cookies.is_empty() {
        head.fields.push_known(Name::Cookie, &cookies);
    }
    head.finish()?;
    if !request.body().is_end_stream() && head.framing() == Framing::None {
        head.set_framing(Framing::Chunked);
    }
    Ok(())
}

/// The two sides of a stream.
pub(crate) fn sides<'s>(
    thread: &'s Thread,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    framing: Framing,
    timers: (&'s Timer, &'s Timer),
) -> (Http2Body<'s>, Http2Answer<'s>) {
    let receive = request.into_body();
    let sending = Rc::new(RefCell::new(Sending::Head(respond)));
    let body = Http2Body {
        thread,
        timer: timers.0,
        complete: receive.is_end_stream(),
        receive,
        sending: sending.clone(),
        announced: match framing {
            Framing::Length(length) => Some(length),
            Framing::None => Some(0),
            Framing::Chunked | Framing::UntilClose => None,
        },
        data: Vec::new(),
        received: 0,
    };
    let answer = Http2Answer {
        thread,
        timer: timers.1,
        sending,
        head: None,
        begun: false,
        ended: false,
        sent: Cell::new(0),
    };
    (body, answer)
}

/// The sending side, which tells when the client gives up, too.
enum Sending {
    Head(SendResponse<Bytes>),
    Body(SendStream<Bytes>),
}

impl Sending {
    fn poll_reset(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Sending::Head(respond) => respond.poll_reset(context).map(drop),
            Sending::Body(stream) => stream.poll_reset(context).map(drop),
        }
    }

    fn reset(&mut self, reason: Reason) {
        match self {
            Sending::Head(respond) => respond.send_reset(reason),
            Sending::Body(stream) => stream.send_reset(reason),
        }
    }
}

/// The request's body.
pub(crate) struct Http2Body<'s> {
    thread: &'s Thread,
    timer: &'s Timer,
    receive: RecvStream,
    sending: Rc<RefCell<Sending>>,
    announced: Option<u64>,
    data: Vec<u8>,
    received: u64,
    complete: bool,
}

impl Http2Body<'_> {
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match ready!(self.receive.poll_data(context)) {
            Some(Ok(bytes)) => {
                // What was copied no longer counts against the client's window: how much is copied is bounded here.
                let _ = self.receive.flow_control().release_capacity(bytes.len());
                self.received += bytes.len() as u64;
                self.data.extend_from_slice(&bytes);
                self.complete = self.receive.is_end_stream();
                Poll::Ready(Ok(()))
            }
            Some(Err(_)) => Poll::Ready(Err(Failure::ClientGone)),
            None => {
                self.complete = true;
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl Body for Http2Body<'_> {
    fn data(&self) -> &[u8] {
        &self.data
    }

    fn is_complete(&self) -> bool {
        self.complete
    }

    fn announced(&self) -> Option<u64> {
        self.announced
    }

    async fn fill(&mut self) -> Result<(), Failure> {
        if self.complete {
            return Ok(());
        }
        let limit = self.thread.options.limits.body_timeout;
        let timer = self.timer;
        timer
            .limit(limit, pin!(poll_fn(|context| self.poll_data(context))))
            .await
            .unwrap_or(Err(Failure::ClientTimeout(limit)))?;
        let most = self.thread.options.limits.body;
        if most > 0 && self.received > most {
            return Err(Failure::BodyTooLarge(most));
        }
        Ok(())
    }

    fn release(&mut self) {
        self.data.clear();
    }

    async fn gone(&mut self) {
        poll_fn(|context| self.sending.borrow_mut().poll_reset(context)).await;
    }

    fn tunnel(&mut self) {
        // A stream is never handed over: HTTP/2 has no Upgrade (RFC 9113 §8.6).
        self.complete = true;
    }
}

/// The answer.
pub(crate) struct Http2Answer<'s> {
    thread: &'s Thread,
    timer: &'s Timer,
    sending: Rc<RefCell<Sending>>,
    /// The head that waits for the first data.
    head: Option<Response<()>>,
    begun: bool,
    ended: bool,
    sent: Cell<u64>,
}

impl Http2Answer<'_> {
    /// Ends the stream, by force if the answer is not whole: then the client must not take it for that.
    pub(crate) fn finish(&mut self, request_complete: bool) {
        match (self.ended, request_complete) {
            (true, true) => {}
            // The answer is whole; what is left of the request is not wanted (RFC 9113 §8.1).
            (true, false) => self.sending.borrow_mut().reset(Reason::NO_ERROR),
            (false, _) => self.sending.borrow_mut().reset(Reason::INTERNAL_ERROR),
        }
    }

    fn send_head(&mut self, head: Response<()>, last: bool) -> Result<(), Failure> {
        let mut sending = self.sending.borrow_mut();
        if let Sending::Head(respond) = &mut *sending {
            let stream = respond.send_response(head, last).map_err(|_| Failure::ClientGone)?;
            *sending = Sending::Body(stream);
        }
        Ok(())
    }

    /// Sends as much of `data` as the client's window has room for; how much that was.
    fn poll_send(
        &self,
        data: &[u8],
        last: bool,
        context: &mut Context<'_>,
    ) -> Poll<Result<usize, Failure>> {
        let mut sending = self.sending.borrow_mut();
        let Sending::Body(stream) = &mut *sending else {
            return Poll::Ready(Err(Failure::ClientGone));
        };
        stream.reserve_capacity(data.len());
        let mut room = stream.capacity();
        if room == 0 {
            room = match ready!(stream.poll_capacity(context)) {
                Some(Ok(room)) => room,
                Some(Err(_)) | None => return Poll::Ready(Err(Failure::ClientGone)),
            };
        }
        let length = room.min(data.len());
        let piece = Bytes::copy_from_slice(data.get(..length).unwrap_or_default());
        let sent = stream.send_data(piece, last && length == data.len());
        self.sent.set(self.sent.get() + length as u64);
        Poll::Ready(sent.map(|()| length).map_err(|_| Failure::ClientGone))
    }
}

impl Answer for Http2Answer<'_> {
    async fn interim(&mut self, head: &ResponseHead) -> Result<(), Failure> {
        let Some(interim) = response(head) else {
            return Ok(());
        };
        match &mut *self.sending.borrow_mut() {
            Sending::Head(respond) => {
                respond.send_informational(interim).map_err(|_| Failure::ClientGone)
            }
            Sending::Body(_) => Ok(()),
        }
    }

    fn close_after(&mut self) {
        // A stream carries one request anyway.
    }

    fn begin(&mut self, head: &ResponseHead) {
        self.begun = true;
        self.head = response(head);
    }

    async fn send(&mut self, data: &[u8], last: bool, trailers: &[u8]) -> Result<(), Failure> {
        let trailers = if last { parse_trailers(trailers) } else { None };
        let end = last && trailers.is_none();
        if let Some(head) = self.head.take() {
            let head_only = end && data.is_empty();
            self.send_head(head, head_only)?;
            if head_only {
                self.ended = true;
                return Ok(());
            }
        }
        let limit = self.thread.options.limits.body_timeout;
        let mut rest = data;
        while !rest.is_empty() {
            let send = pin!(poll_fn(|context| self.poll_send(rest, end, context)));
            let length = self
                .timer
                .limit(limit, send)
                .await
                .unwrap_or(Err(Failure::ClientTimeout(limit)))?;
            rest = rest.get(length..).unwrap_or_default();
        }
        if let Sending::Body(stream) = &mut *self.sending.borrow_mut() {
            let sent = match trailers {
                Some(trailers) => stream.send_trailers(trailers),
                None if end && data.is_empty() => stream.send_data(Bytes::new(), true),
                None => Ok(()),
            };
            sent.map_err(|_| Failure::ClientGone)?;
        }
        self.ended = last;
        Ok(())
    }

    fn has_begun(&self) -> bool {
        self.begun
    }

    fn sent(&self) -> u64 {
        self.sent.get()
    }
}

/// The names that are known, as HTTP/2 has them; at the place of [`Name`] as a number.
static NAMES: LazyLock<Vec<HeaderName>> = LazyLock::new(|| {
    let lower_case = Name::ALL.iter().map(|name| name.text().to_ascii_lowercase());
    lower_case.map(|name| HeaderName::from_static(name.leak())).collect()
});

/// A head as HTTP/2 has it: names in lower case, and nothing about connections (RFC 9113 §8.2). None for a status that
/// it cannot carry.
fn response(head: &ResponseHead) -> Option<Response<()>> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(head.status()).ok()?;
    let mut fields = HeaderMap::with_capacity(head.fields.len() + 1);
    for field in head.fields.iter() {
        let left_out = match field.known {
            Name::Connection
            | Name::KeepAlive
            | Name::ProxyConnection
            | Name::TransferEncoding
            | Name::Upgrade => true,
            Name::ContentLength => head.framing() != Framing::None,
            _ => false,
        };
        if left_out {
            continue;
        }
        let name = match NAMES.get(field.known as usize) {
            Some(name) => Some(name.clone()),
            None => HeaderName::from_bytes(field.name).ok(),
        };
        if let (Some(name), Ok(mut value)) = (name, HeaderValue::from_bytes(field.value)) {
            // Never the same twice: it is to take no place in the table of the connection's header compression.
            value.set_sensitive(field.known == Name::XKongRequestId);
            fields.append(name, value);
        }
    }
    if let Framing::Length(length) = head.framing() {
        fields.insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    *response.headers_mut() = fields;
    Some(response)
}

/// A trailer section as HTTP/2 has it; none if it is empty.
fn parse_trailers(section: &[u8]) -> Option<HeaderMap> {
    let mut trailers = HeaderMap::new();
    for line in section.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            trailers.append(name, value);
        }
    }
    (!trailers.is_empty()).then_some(trailers)
}
