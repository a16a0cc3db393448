//! The client's side of a request, whatever protocol it speaks: where the body comes from and where the answer goes.
//!
//! The life of a request (`request.rs`) is written against these two traits only, so that routing, plugins and
//! forwarding are one code path for all protocols. The two are apart because both are at work at the same time.

pub(crate) mod http1;
pub(crate) mod http2;

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    pin::pin,
    task::Poll,
    time::Duration,
};

use ::http1::ResponseHead;
use upstream::{Pipe, Stream};

use crate::{failure::Failure, timer::Timer};

/// The body of a request.
pub(crate) trait Body {
    /// The bytes at hand, without their framing.
    fn data(&self) -> &[u8];

    /// Whether nothing follows the bytes at hand.
    fn is_complete(&self) -> bool;

    /// The length that the client announced.
    fn announced(&self) -> Option<u64>;

    /// Receives more, once. What is at hand stays.
    ///
    /// # Errors
    /// [`Failure::ClientGone`], [`Failure::ClientTimeout`], [`Failure::ClientBody`], [`Failure::BodyTooLarge`],
    /// [`Failure::BodyOverLimit`].
    async fn fill(&mut self) -> Result<(), Failure>;

    /// Forgets the bytes at hand: they have been passed on.
    fn release(&mut self);

    /// Waits for the client to close its connection; never ends if it does not. Only called when the body is
    /// complete.
    async fn gone(&mut self);

    /// Leaves HTTP: from now on all bytes of the connection are data, until its end.
    fn tunnel(&mut self);
}

/// The answer to a request.
pub(crate) trait Answer {
    /// Sends an interim answer (1xx) at once.
    ///
    /// # Errors
    /// [`Failure::ClientGone`] or [`Failure::ClientTimeout`], as for the others here.
    async fn interim(&mut self, head: &ResponseHead) -> Result<(), Failure>;

    /// The request's body was not taken to its end, so that another request cannot follow on this connection. Before
    /// [`Answer::begin`].
    fn close_after(&mut self);

    /// Begins the answer. Nothing is sent before the first data or the end, so that they leave together.
    fn begin(&mut self, head: &ResponseHead);

    /// Sends data, and with `last` what ends the answer, `trailers` being a section of field lines or empty.
    ///
    /// # Errors
    /// As [`Answer::interim`].
    async fn send(&mut self, data: &[u8], last: bool, trailers: &[u8]) -> Result<(), Failure>;

    /// Where the rest of the body may go as it is, once the answer has begun to be sent: none where something is done
    /// to its bytes.
    fn outlet(&mut self) -> Option<Outlet<'_>> {
        None
    }

    /// Whether anything of the answer itself was sent.
    fn has_begun(&self) -> bool;

    /// The bytes of answers sent so far.
    fn sent(&self) -> u64;
}

/// A plain connection to which the rest of an answer's body can be moved by the system.
pub(crate) struct Outlet<'a> {
    io: &'a RefCell<Stream>,
    timer: &'a Timer,
    limit: Duration,
    sent: &'a Cell<u64>,
    ended: &'a mut bool,
}

impl Outlet<'_> {
    /// Sends what is in the pipe; with `last` it ends the answer.
    ///
    /// # Errors
    /// As [`Answer::send`].
    pub(crate) async fn send(&mut self, pipe: &mut Pipe, last: bool) -> Result<(), Failure> {
        let drain = pin!(poll_fn(|context| match self.io.borrow().plain() {
            Some(tcp) => pipe.poll_drain(tcp, self.sent, context),
            None => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }));
        match self.timer.limit_pauses(self.limit, self.sent, drain).await {
            Err(_) => Err(Failure::ClientTimeout(self.limit)),
            Ok(Err(_)) => Err(Failure::ClientGone),
            Ok(Ok(())) => {
                *self.ended = last;
                Ok(())
            }
        }
    }
}
