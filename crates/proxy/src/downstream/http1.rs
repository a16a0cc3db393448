//! A client that speaks HTTP/1.

use std::{
    cell::{Cell, RefCell},
    future::{pending, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use http1::{
    BodyDecoder, Framing, LAST_CHUNK, Name, RequestHead, ResponseHead, Version, write_decimal,
};
use tokio::time::Instant;
use upstream::Stream;

use crate::{
    downstream::{Answer, Body, Outlet},
    failure::Failure,
    incoming::Incoming,
    outgoing::{shut_down, write_all},
    thread::Thread,
    timer::Timer,
};

/// The request's body as it comes over the connection.
pub(crate) struct Http1Body<'c> {
    thread: &'c Thread,
    io: &'c RefCell<Stream>,
    incoming: &'c mut Incoming,
    timer: &'c Timer,
    decoder: BodyDecoder,
    announced: Option<u64>,
    received: u64,
    tunnel: bool,
}

impl<'c> Http1Body<'c> {
    /// The body of a request whose head was taken off `incoming`.
    ///
    /// # Errors
    /// As [`Body::fill`], for what is there already.
    pub(crate) fn new(
        thread: &'c Thread,
        io: &'c RefCell<Stream>,
        incoming: &'c mut Incoming,
        timer: &'c Timer,
        framing: Framing,
    ) -> Result<Self, Failure> {
        let announced = match framing {
            Framing::Length(length) => Some(length),
            Framing::None => Some(0),
            Framing::Chunked | Framing::UntilClose => None,
        };
        let limit = thread.options.limits.body;
        if limit > 0 && announced.is_some_and(|length| length > limit) {
            return Err(Failure::BodyTooLarge(limit));
        }
        let decoder = BodyDecoder::new(framing);
        let mut body = Http1Body {
            thread,
            io,
            incoming,
            timer,
            decoder,
            announced,
            received: 0,
            tunnel: false,
        };
        body.decode()?;
        Ok(body)
    }

    /// Ends the request: whether the connection stands where the next request begins. What is left of the body is
    /// skipped if it is at hand.
    pub(crate) fn finish(&mut self) -> bool {
        while !self.decoder.is_done() && !self.incoming.raw().is_empty() {
            self.incoming.release();
            let before = self.incoming.raw().len();
            if self.incoming.decode(&mut self.decoder).is_err()
                || self.incoming.raw().len() == before
            {
                return false;
            }
        }
        self.incoming.release();
        self.decoder.is_done()
    }

    /// Receives what is left of a body that nobody wanted, so that the next request can be read; whether that was
    /// little enough to be worth it.
    pub(crate) async fn skip(&mut self) -> bool {
        const MOST: u64 = 256 * 1024;
        const LIMIT: Duration = Duration::from_secs(5);
        let most = self.received + MOST;
        let deadline = Instant::now() + LIMIT;
        while !self.is_complete() && self.received < most && Instant::now() < deadline {
            self.incoming.release();
            if self.fill().await.is_err() {
                return false;
            }
        }
        self.finish()
    }

    fn decode(&mut self) -> Result<(), Failure> {
        let before = self.incoming.data().len();
        self.incoming.decode(&mut self.decoder).map_err(Failure::ClientBody)?;
        self.received += (self.incoming.data().len() - before) as u64;
        let limit = self.thread.options.limits.body;
        if limit > 0 && self.received > limit {
            return Err(Failure::BodyTooLarge(limit));
        }
        Ok(())
    }
}

impl Body for Http1Body<'_> {
    fn data(&self) -> &[u8] {
        self.incoming.data()
    }

    fn is_complete(&self) -> bool {
        self.decoder.is_done()
    }

    fn announced(&self) -> Option<u64> {
        self.announced
    }

    async fn fill(&mut self) -> Result<(), Failure> {
        if self.is_complete() {
            return Ok(());
        }
        let limit = self.thread.options.limits.body_timeout;
        let Http1Body { thread, io, incoming, timer, .. } = self;
        let fill = pin!(poll_fn(|context| {
            incoming.poll_fill(&thread.buffers, &mut *io.borrow_mut(), context)
        }));
        // The other direction of a tunnel sees to it that it is not idle for ever.
        let filled = if self.tunnel { Ok(fill.await) } else { timer.limit(limit, fill).await };
        match filled {
            Err(_) => Err(Failure::ClientTimeout(limit)),
            Ok(Err(_)) => Err(Failure::ClientGone),
            Ok(Ok(0)) => self.decoder.close().map_err(|_| Failure::ClientGone),
            Ok(Ok(_)) => self.decode(),
        }
    }

    fn release(&mut self) {
        self.incoming.release();
    }

    async fn gone(&mut self) {
        let Http1Body { thread, io, incoming, .. } = self;
        // Requests that are sent ahead are kept, as far as there is room: a client that sends more must wait.
        while incoming.has_room() {
            let fill = poll_fn(|context| {
                incoming.poll_fill(&thread.buffers, &mut *io.borrow_mut(), context)
            });
            match fill.await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        pending().await
    }

    fn tunnel(&mut self) {
        self.tunnel = true;
        self.decoder = BodyDecoder::new(Framing::UntilClose);
        // A failure to decode cannot be: there is no framing any more.
        let _ = self.incoming.decode(&mut self.decoder);
    }
}

/// The answer as it goes over the connection.
pub(crate) struct Http1Answer<'c> {
    thread: &'c Thread,
    io: &'c RefCell<Stream>,
    timer: &'c Timer,
    out: Vec<u8>,
    version: Version,
    to_head: bool,
    keep: bool,
    framing: Sending,
    begun: bool,
    ended: bool,
    sent: Cell<u64>,
}

/// A body of at most so many bytes is copied behind its head: cheaper than to hand the system two pieces.
const SHORT: usize = 1024;

/// How the end of the answer is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sending {
    /// No body, or one whose length was announced.
    Counted,
    Chunked,
    /// By closing the connection.
    Close,
}

impl<'c> Http1Answer<'c> {
    /// The answer to `request`. `keep` says whether the connection could be used for another request.
    pub(crate) fn new(
        thread: &'c Thread,
        io: &'c RefCell<Stream>,
        timer: &'c Timer,
        request: &RequestHead,
        keep: bool,
    ) -> Self {
        Http1Answer {
            thread,
            io,
            timer,
            out: Vec::new(),
            version: request.version(),
            to_head: request.method() == b"HEAD",
            keep,
            framing: Sending::Counted,
            begun: false,
            ended: false,
            sent: Cell::new(0),
        }
    }

    /// Whether the answer was sent to its end.
    pub(crate) fn is_whole(&self) -> bool {
        self.ended
    }

    /// Whether the client was told that another request may follow.
    pub(crate) fn keeps_connection(&self) -> bool {
        self.ended && self.keep
    }

    async fn write<const N: usize>(&mut self, parts: [&[u8]; N]) -> Result<(), Failure> {
        let limit = self.thread.options.limits.body_timeout;
        let write = pin!(write_all(self.io, parts, &self.sent));
        match self.timer.limit_pauses(limit, &self.sent, write).await {
            Err(_) => Err(Failure::ClientTimeout(limit)),
            Ok(Err(_)) => Err(Failure::ClientGone),
            Ok(Ok(())) => Ok(()),
        }
    }

    fn write_framing(&mut self, head: &ResponseHead) {
        let body = !self.to_head && !matches!(head.status(), 100..=199 | 204 | 304);
        self.framing = match head.framing() {
            Framing::Length(length) => {
                self.out.extend_from_slice(b"Content-Length: ");
                write_decimal(&mut self.out, length);
                self.out.extend_from_slice(b"\r\n");
                Sending::Counted
            }
            Framing::None => {
                // What a HEAD's or a 304's answer says about the body that it does not have.
                if let Some(length) =
                    head.fields.get(Name::ContentLength).filter(|_| head.status() != 204)
                {
                    http1::write_field(&mut self.out, b"Content-Length", length);
                } else if body {
                    self.out.extend_from_slice(b"Content-Length: 0\r\n");
                }
                Sending::Counted
            }
            Framing::Chunked | Framing::UntilClose if self.version == Version::Http11 => {
                self.out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
                Sending::Chunked
            }
            Framing::Chunked | Framing::UntilClose => {
                self.keep = false;
                Sending::Close
            }
        };
    }
}

impl Answer for Http1Answer<'_> {
    async fn interim(&mut self, head: &ResponseHead) -> Result<(), Failure> {
        if self.version == Version::Http10 {
            return Ok(());
        }
        let mut out = Vec::with_capacity(128);
        head.write_status_line(&mut out);
        head.fields.write(&mut out, |_| true);
        out.extend_from_slice(b"\r\n");
        self.write([&out]).await
    }

    fn close_after(&mut self) {
        self.keep = false;
    }

    fn begin(&mut self, head: &ResponseHead) {
        self.begun = true;
        if self.thread.is_draining() {
            self.keep = false;
        }
        self.out = self.thread.output();
        head.write_status_line(&mut self.out);
        head.fields.write(&mut self.out, |name| {
            !matches!(name, Name::ContentLength | Name::TransferEncoding)
        });
        if head.status() == 101 {
            self.framing = Sending::Close;
            self.keep = false;
        } else {
            self.write_framing(head);
            self.out.extend_from_slice(match (self.keep, self.version) {
                (false, _) => b"Connection: close\r\n",
                (true, Version::Http10) => b"Connection: keep-alive\r\n",
                (true, _) => b"",
            });
        }
        self.out.extend_from_slice(b"\r\n");
    }

    async fn send(&mut self, data: &[u8], last: bool, trailers: &[u8]) -> Result<(), Failure> {
        let mut end: &[u8] = b"";
        let mut section = Vec::new();
        let mut out = match self.out.is_empty() {
            true => self.thread.output(),
            false => std::mem::take(&mut self.out),
        };
        if self.framing == Sending::Chunked {
            if !data.is_empty() {
                http1::write_chunk_start(&mut out, data.len());
                end = b"\r\n";
            }
            match (last, data.is_empty(), trailers.is_empty()) {
                (false, ..) => {}
                (true, true, true) => end = LAST_CHUNK,
                (true, false, true) => end = b"\r\n0\r\n\r\n",
                (true, empty, false) => {
                    section.extend_from_slice(if empty { b"0\r\n" } else { b"\r\n0\r\n" });
                    section.extend_from_slice(trailers);
                    section.extend_from_slice(b"\r\n");
                    end = &section;
                }
            }
        }
        let result = if !out.is_empty() && data.len() <= SHORT {
            out.extend_from_slice(data);
            out.extend_from_slice(end);
            self.write([&out]).await
        } else {
            self.write([&out, data, end]).await
        };
        self.thread.give_output(out);
        self.ended = last && result.is_ok();
        result
    }

    fn outlet(&mut self) -> Option<Outlet<'_>> {
        let is_plain = self.io.borrow().plain().is_some();
        if !is_plain || self.framing != Sending::Counted || !self.out.is_empty() {
            return None;
        }
        Some(Outlet {
            io: self.io,
            timer: self.timer,
            limit: self.thread.options.limits.body_timeout,
            sent: &self.sent,
            ended: &mut self.ended,
        })
    }

    fn has_begun(&self) -> bool {
        self.begun
    }

    fn sent(&self) -> u64 {
        self.sent.get()
    }
}

/// After the last answer of a connection: tells the client that nothing follows, and takes what it still sends for a
/// while. To close at once would make its system throw the answer away (RFC 9112 §9.6).
pub(crate) async fn linger(
    thread: &Thread,
    io: &RefCell<Stream>,
    incoming: &mut Incoming,
    timer: &Timer,
) {
    const TOTAL: Duration = Duration::from_secs(5);
    if shut_down(io).await.is_err() {
        return;
    }
    let deadline = Instant::now() + TOTAL;
    loop {
        incoming.clear(&thread.buffers);
        let fill = pin!(poll_fn(|context| {
            match incoming.poll_fill(&thread.buffers, &mut *io.borrow_mut(), context) {
                Poll::Pending if thread.is_draining() => Poll::Ready(Ok(0)),
                other => other,
            }
        }));
        match timer.until(deadline, fill).await {
            Ok(Ok(length)) if length > 0 => {}
            _ => return,
        }
    }
}
