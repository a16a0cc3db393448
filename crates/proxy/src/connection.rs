//! One client's HTTP/1 connection: request after request, until one side has enough.

use std::{cell::RefCell, future::poll_fn, ops::Range, pin::pin, rc::Rc, task::Poll};

use http1::{HeadScan, Limits, Version};
use tokio::time::Instant;
use upstream::Stream;

use crate::{
    connection_http2,
    downstream::{
        Answer,
        http1::{Http1Answer, Http1Body, linger},
    },
    failure::Failure,
    incoming::Incoming,
    request::{self, Origin, Timers},
    thread::{Entered, Scratch, Thread},
};

/// Serves a connection to its end.
pub(crate) async fn serve(thread: Rc<Thread>, entered: Entered, stream: Stream, origin: Origin) {
    let mut connection = Connection {
        thread: &thread,
        origin: &origin,
        io: RefCell::new(stream),
        incoming: Incoming::default(),
        timers: Timers::default(),
        requests: 0,
    };
    watch_drain(&entered).await;
    loop {
        let received = match connection.receive_head().await {
            Ok(None) => break,
            Ok(Some(Received::At(ref range))) if connection.is_http2(range) => {
                let received = connection.incoming.raw().to_vec();
                connection.incoming.clear(&thread.buffers);
                let stream = connection.io.into_inner();
                let serve =
                    connection_http2::serve(thread.clone(), entered, stream, received, origin);
                return Box::pin(serve).await;
            }
            Ok(Some(received)) => Ok(received),
            Err(failure) => Err(failure),
        };
        let (mut scratch, read) = connection.read(received);
        let next = match read {
            // In memory of its own: a connection that waits for a request, as most do, keeps none for it.
            Ok(()) => {
                // Made in its place: to be moved there it would first have to lie elsewhere, as a whole.
                let memory = Box::new_uninit();
                Box::into_pin(Box::write(memory, connection.request(&mut scratch))).await
            }
            Err(failure) => Box::pin(connection.refuse(&failure, &mut scratch)).await,
        };
        thread.give_back(scratch);
        match next {
            Next::Request => {}
            Next::Linger => {
                let Connection { io, incoming, timers, .. } = &mut connection;
                Box::pin(linger(&thread, io, incoming, &timers.client_in)).await;
                break;
            }
            Next::Close => break,
        }
    }
    connection.incoming.clear(&thread.buffers);
}

/// Has the calling task woken when its thread begins to drain.
pub(crate) async fn watch_drain(entered: &Entered) {
    poll_fn(|context| {
        entered.wake_to_drain(context.waker());
        Poll::Ready(())
    })
    .await;
}

struct Connection<'t> {
    thread: &'t Thread,
    origin: &'t Origin,
    io: RefCell<Stream>,
    incoming: Incoming,
    timers: Timers,
    requests: u64,
}

/// A request's head that has come.
enum Received {
    /// It was read.
    Read(Box<Scratch>),
    /// It lies here.
    At(Range<usize>),
}

/// What becomes of a connection after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Another request may come.
    Request,
    /// It is closed when the client has had time to read its answer.
    Linger,
    /// It is closed at once: the client is gone, or is to see that its answer broke off.
    Close,
}

impl Connection<'_> {
    /// Waits for a request's head. None if there will be none: the client closed the connection or was idle for too
    /// long, or the gateway is to stop.
    async fn receive_head(&mut self) -> Result<Option<Received>, Failure> {
        let Connection { thread, io, incoming, timers, requests, .. } = self;
        let limits = &thread.options.limits;
        let mut scan = HeadScan::default();
        let mut head_deadline = None;
        loop {
            // Nearly every head comes in one piece, and is read without a search for its end.
            if !scan.begun() && !incoming.raw().is_empty() {
                let mut scratch = thread.scratch();
                if let Some(length) = scratch.request.read_whole(incoming.raw()) {
                    incoming.skip(length);
                    return Ok(Some(Received::Read(scratch)));
                }
                thread.give_back(scratch);
            }
            if let Some(range) = scan.advance(incoming.raw(), &Limits::default(), true)? {
                return Ok(Some(Received::At(range)));
            }
            let begun = scan.begun();
            let fill = pin!(poll_fn(|context| {
                if !begun && thread.is_draining() {
                    return Poll::Ready(Ok(0));
                }
                incoming.poll_fill(&thread.buffers, &mut *io.borrow_mut(), context)
            }));
            let filled = if begun {
                // However slowly its bytes come, the head has its time as a whole.
                let deadline =
                    *head_deadline.get_or_insert_with(|| Instant::now() + limits.head_timeout);
                timers.client_in.until(deadline, fill).await
            } else {
                let limit =
                    if *requests == 0 { limits.head_timeout } else { limits.keepalive_timeout };
                timers.client_in.limit(limit, fill).await
            };
            match filled {
                Err(_) if begun => return Err(Failure::ClientTimeout(limits.head_timeout)),
                Err(_) | Ok(Ok(0) | Err(_)) => return Ok(None),
                Ok(Ok(_)) => {}
            }
        }
    }

    /// Whether the client begins to speak HTTP/2 without asking (RFC 9113 §3.3), where it may.
    fn is_http2(&self, range: &Range<usize>) -> bool {
        const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";
        self.requests == 0
            && self.origin.http2
            && self.incoming.raw().get(range.clone()) == Some(PREFACE)
    }

    /// Reads a head, unless that was done, into memory for its request.
    fn read(&mut self, received: Result<Received, Failure>) -> (Box<Scratch>, Result<(), Failure>) {
        let range = match received {
            Ok(Received::Read(scratch)) => return (scratch, Ok(())),
            Ok(Received::At(range)) => range,
            Err(failure) => return (self.thread.scratch(), Err(failure)),
        };
        let mut scratch = self.thread.scratch();
        let head = self.incoming.raw().get(range.clone()).unwrap_or_default();
        let read = scratch.request.read(head).map_err(Failure::from);
        self.incoming.skip(range.end);
        (scratch, read)
    }

    /// Serves the request whose head was read.
    async fn request(&mut self, scratch: &mut Scratch) -> Next {
        self.requests += 1;
        let limit = self.thread.options.limits.keepalive_requests;
        let keep = scratch.request.keeps_connection() && (limit == 0 || self.requests < limit);
        let framing = scratch.request.framing();
        let Connection { thread, origin, io, incoming, timers, .. } = self;
        incoming.give_back(&thread.buffers);
        let mut answer = Http1Answer::new(thread, io, &timers.client_out, &scratch.request, keep);
        let next = match Http1Body::new(thread, io, incoming, &timers.client_in, framing) {
            Err(failure) => {
                answer.close_after();
                let serve =
                    request::serve_unreadable(thread, origin, scratch, &failure, &mut answer);
                Box::pin(serve).await;
                after(&answer, false)
            }
            Ok(mut body) => {
                request::serve(thread, origin, timers, scratch, &mut body, &mut answer).await;
                let at_next_request =
                    body.finish() || (answer.keeps_connection() && body.skip().await);
                after(&answer, at_next_request)
            }
        };
        self.incoming.give_back(&self.thread.buffers);
        next
    }

    /// Answers what is no request.
    async fn refuse(&mut self, failure: &Failure, scratch: &mut Scratch) -> Next {
        // What was read of it is not to be trusted: not what it accepts, nor that it is a HEAD.
        scratch.request.begin(b"GET", b"/", Version::Http11);
        let Connection { thread, origin, io, timers, .. } = self;
        let mut answer = Http1Answer::new(thread, io, &timers.client_out, &scratch.request, false);
        request::serve_unreadable(thread, origin, scratch, failure, &mut answer).await;
        after(&answer, false)
    }
}

fn after(answer: &Http1Answer<'_>, at_next_request: bool) -> Next {
    match (answer.is_whole(), answer.keeps_connection() && at_next_request) {
        (false, _) => Next::Close,
        (true, true) => Next::Request,
        (true, false) => Next::Linger,
    }
}
