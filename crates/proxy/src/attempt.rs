//! One attempt: the request over one connection to one target, and the answer back to the client.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::Poll,
    time::{Duration, Instant},
};

use http1::{
    BodyDecoder, Framing, HeadScan, LAST_CHUNK, Limits, Name, RequestHead, ResponseError,
    ResponseHead, write_chunk_start,
};
use upstream::Stream;

use crate::{
    downstream::{Answer, Body},
    failure::{Failure, Fault},
    incoming::{Incoming, LARGE},
    outgoing::{shut_down, write_all},
    response_head::takes_trailers,
    thread::Thread,
    timer::Timer,
};

/// Room for what upstreams set: cookies, policies, tokens.
const LIMITS: Limits = Limits { line: 32 * 1024, head: 60 * 1024 };

/// One attempt over one connection.
pub(crate) struct Attempt<'a> {
    pub(crate) thread: &'a Thread,
    pub(crate) io: &'a RefCell<Stream>,
    pub(crate) request: &'a RequestHead,
    /// The head to send; until it was sent.
    pub(crate) head: Cell<Vec<u8>>,
    /// How the body is delimited towards the upstream, where there is one.
    pub(crate) framing: Option<Framing>,
    pub(crate) write_timeout: Duration,
    pub(crate) read_timeout: Duration,
    /// The time-outs of the way out, and of the way back.
    pub(crate) timers: (&'a Timer, &'a Timer),
}

/// What is known of an attempt, whether or not it succeeded.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Whether the whole request was sent.
    pub(crate) sent: Cell<bool>,
    /// Whether nothing more will be sent, so that the time for the answer runs.
    pub(crate) waiting: Cell<bool>,
    /// Whether a part of the body was sent that cannot be sent again.
    pub(crate) released: Cell<bool>,
    /// When the head of the answer was there.
    pub(crate) answered: Cell<Option<Instant>>,
    /// Whether the answer's body came later than its head.
    pub(crate) trickled: Cell<bool>,
    /// Bytes received from the upstream.
    pub(crate) received: Cell<u64>,
}

impl Progress {
    /// When the answer was received to its end, which it was.
    pub(crate) fn ended(&self) -> Instant {
        let with_head = self.answered.get().filter(|_| !self.trickled.get());
        with_head.unwrap_or_else(Instant::now)
    }
}

/// What became of the upstream's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Afterwards {
    /// It can carry another request.
    Reusable,
    /// It is to be closed.
    Spent,
}

impl Attempt<'_> {
    /// Sends the request, and the answer to the client. `prepare` makes the answer's head what the client is to get.
    ///
    /// # Errors
    /// Before the answer was begun another attempt may be made; afterwards the client's answer is broken off.
    pub(crate) async fn run<B: Body, A: Answer>(
        &self,
        progress: &Progress,
        body: &mut B,
        answer: &mut A,
        response: &mut ResponseHead,
        prepare: impl FnOnce(&mut ResponseHead) -> Result<(), Failure>,
    ) -> Result<Afterwards, Failure> {
        let mut incoming = Incoming::default();
        let result = {
            let send = pin!(self.send(progress, body));
            let receive = pin!(self.receive(progress, &mut incoming, answer, response, prepare));
            both(progress, send, receive).await
        };
        incoming.clear(&self.thread.buffers);
        result
    }

    /// As [`Attempt::run`] for a request that asks to leave HTTP: where the upstream agrees, bytes flow both ways
    /// until one side ends, or nothing has flowed for the service's `read_timeout`.
    pub(crate) async fn run_upgrade<B: Body, A: Answer>(
        &self,
        progress: &Progress,
        body: &mut B,
        answer: &mut A,
        response: &mut ResponseHead,
        prepare: impl FnOnce(&mut ResponseHead) -> Result<(), Failure>,
    ) -> Result<Afterwards, Failure> {
        let mut incoming = Incoming::default();
        let head = self.head.take();
        self.write([&head]).await?;
        self.thread.give_output(head);
        progress.sent.set(true);
        progress.waiting.set(true);
        let result = self.upgraded(progress, &mut incoming, body, answer, response, prepare).await;
        incoming.clear(&self.thread.buffers);
        result
    }

    async fn upgraded<B: Body, A: Answer>(
        &self,
        progress: &Progress,
        incoming: &mut Incoming,
        body: &mut B,
        answer: &mut A,
        response: &mut ResponseHead,
        prepare: impl FnOnce(&mut ResponseHead) -> Result<(), Failure>,
    ) -> Result<Afterwards, Failure> {
        self.receive_head(progress, incoming, answer, response).await?;
        let switched = response.status() == 101;
        let framing = response.framing();
        prepare(response)?;
        if !switched {
            return self.pass_on(progress, incoming, answer, response, framing).await;
        }
        body.tunnel();
        answer.begin(response);
        answer.send(&[], false, &[]).await?;
        let flowed = Cell::new(0_u64);
        let flow = || flowed.set(flowed.get() + 1);
        let to_upstream = pin!(async {
            loop {
                if !body.data().is_empty() {
                    flow();
                    self.write([body.data()]).await?;
                    body.release();
                }
                if body.is_complete() {
                    // The upstream may be gone already, which is as good.
                    let _ = shut_down(self.io).await;
                    return Ok(());
                }
                body.fill().await?;
            }
        });
        let to_client = pin!(async {
            let mut decoder = BodyDecoder::new(Framing::UntilClose);
            loop {
                incoming
                    .decode(&mut decoder)
                    .map_err(|error| Failure::ResponseBody(error.to_string()))?;
                if !incoming.data().is_empty() {
                    flow();
                    answer.send(incoming.data(), false, &[]).await?;
                    incoming.release();
                }
                let buffers = &self.thread.buffers;
                let fill = pin!(poll_fn(|context| {
                    incoming.poll_fill(buffers, &mut *self.io.borrow_mut(), context)
                }));
                match self.timers.1.limit_pauses(self.read_timeout, &flowed, fill).await {
                    Err(_) => return Err(Failure::ReadTimeout(self.read_timeout)),
                    Ok(Ok(length)) if length > 0 => {
                        progress.received.set(progress.received.get() + length as u64);
                    }
                    Ok(_) => return answer.send(&[], true, &[]).await,
                }
            }
        });
        first(to_upstream, to_client).await?;
        Ok(Afterwards::Spent)
    }

    /// Sends the request; then waits for the client to go away, which ends the attempt.
    async fn send<B: Body>(&self, progress: &Progress, body: &mut B) -> Result<(), Failure> {
        let chunked = self.framing == Some(Framing::Chunked);
        let head = self.head.take();
        if chunked {
            self.send_chunk(&head, body).await?;
        } else {
            self.write([&head, body.data()]).await?;
        }
        self.thread.give_output(head);
        while !body.is_complete() {
            progress.released.set(true);
            body.release();
            body.fill().await?;
            if chunked {
                self.send_chunk(&[], body).await?;
            } else {
                self.write([body.data()]).await?;
            }
        }
        progress.sent.set(true);
        progress.waiting.set(true);
        body.gone().await;
        Err(Failure::ClientGone)
    }

    async fn send_chunk<B: Body>(&self, before: &[u8], body: &B) -> Result<(), Failure> {
        let mut size = Vec::new();
        let data = body.data();
        if !data.is_empty() {
            write_chunk_start(&mut size, data.len());
        }
        let end: &[u8] = match (data.is_empty(), body.is_complete()) {
            (true, false) => b"",
            (true, true) => LAST_CHUNK,
            (false, false) => b"\r\n",
            (false, true) => b"\r\n0\r\n\r\n",
        };
        self.write([before, &size, data, end]).await
    }

    async fn write<const N: usize>(&self, parts: [&[u8]; N]) -> Result<(), Failure> {
        let written = Cell::new(0);
        let write = pin!(write_all(self.io, parts, &written));
        match self.timers.0.limit_pauses(self.write_timeout, &written, write).await {
            Err(_) => Err(Failure::WriteTimeout(self.write_timeout)),
            Ok(Err(error)) => Err(Failure::UpstreamClosed(error)),
            Ok(Ok(())) => Ok(()),
        }
    }

    async fn receive<A: Answer>(
        &self,
        progress: &Progress,
        incoming: &mut Incoming,
        answer: &mut A,
        response: &mut ResponseHead,
        prepare: impl FnOnce(&mut ResponseHead) -> Result<(), Failure>,
    ) -> Result<Afterwards, Failure> {
        self.receive_head(progress, incoming, answer, response).await?;
        if response.status() == 101 {
            // Nobody asked for it.
            return Err(Failure::Response(ResponseError::Unasked));
        }
        if !progress.sent.get() {
            answer.close_after();
        }
        let framing = response.framing();
        prepare(response)?;
        self.pass_on(progress, incoming, answer, response, framing).await
    }

    /// Receives the head of the answer; interim ones are passed on.
    async fn receive_head<A: Answer>(
        &self,
        progress: &Progress,
        incoming: &mut Incoming,
        answer: &mut A,
        response: &mut ResponseHead,
    ) -> Result<(), Failure> {
        let to_head = self.request.method() == b"HEAD";
        loop {
            let mut scan = HeadScan::default();
            let end = loop {
                let raw = incoming.raw();
                if !ResponseHead::may_begin_with(raw) {
                    return Err(Failure::Response(ResponseError::NotHttp));
                }
                // Nearly every head comes in one piece, and none of that size has too long a line.
                if !raw.is_empty() && !scan.begun() && raw.len() <= LIMITS.line {
                    self.thread.lend_memory(response);
                    match response.read(raw, to_head) {
                        Ok(end) => break end,
                        Err(ResponseError::Incomplete) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                match scan.advance(raw, &LIMITS, false) {
                    Err(_) => return Err(Failure::ResponseHeadTooLarge),
                    Ok(Some(range)) => {
                        response.read(raw.get(range.clone()).unwrap_or_default(), to_head)?;
                        break range.end;
                    }
                    Ok(None) => {}
                }
                match self.fill(progress, incoming).await {
                    Err(failure) => return Err(failure),
                    Ok(0) => {
                        return Err(Failure::UpstreamClosed(io::ErrorKind::UnexpectedEof.into()));
                    }
                    Ok(_) => {}
                }
            };
            incoming.skip(end);
            if !response.is_interim() {
                progress.answered.set(Some(Instant::now()));
                return Ok(());
            }
            // Leave to send the body was given by ourselves.
            if response.status() != 100 {
                answer.interim(response).await?;
            }
        }
    }

    /// Sends the answer to the client as it comes. `framing` is the upstream's; the head may have got another.
    async fn pass_on<A: Answer>(
        &self,
        progress: &Progress,
        incoming: &mut Incoming,
        answer: &mut A,
        response: &ResponseHead,
        framing: Framing,
    ) -> Result<Afterwards, Failure> {
        answer.begin(response);
        let trailers = takes_trailers(self.request);
        self.pass_on_body(progress, incoming, answer, framing, trailers).await?;
        let clean = incoming.raw().is_empty()
            && progress.sent.get()
            && framing != Framing::UntilClose
            && response.keeps_connection();
        Ok(if clean { Afterwards::Reusable } else { Afterwards::Spent })
    }

    async fn pass_on_body<A: Answer>(
        &self,
        progress: &Progress,
        incoming: &mut Incoming,
        answer: &mut A,
        framing: Framing,
        trailers: bool,
    ) -> Result<(), Failure> {
        let broken = |error: &dyn std::fmt::Display| Failure::ResponseBody(error.to_string());
        let mut decoder = BodyDecoder::new(framing);
        incoming.decode(&mut decoder).map_err(|error| broken(&error))?;
        let mut passed = 0;
        loop {
            let last = decoder.is_done();
            let section =
                if last && trailers { passable_trailers(decoder.trailers()) } else { Vec::new() };
            answer.send(incoming.data(), last, &section).await?;
            passed += incoming.data().len();
            incoming.release();
            if last {
                return Ok(());
            }
            progress.trickled.set(true);
            let is_long = decoder.remaining().is_some_and(|remaining| remaining >= LARGE as u64);
            // In memory of its own: most answers are not long.
            if is_long
                && incoming.raw().is_empty()
                && Box::pin(self.splice(progress, &mut decoder, answer)).await?
            {
                return Ok(());
            }
            if is_long || passed >= LARGE {
                incoming.enlarge(&self.thread.buffers);
            }
            loop {
                match self.fill(progress, incoming).await {
                    Err(failure) => return Err(broken(&failure)),
                    Ok(0) => decoder.close().map_err(|error| broken(&error))?,
                    Ok(_) => incoming.decode(&mut decoder).map_err(|error| broken(&error))?,
                }
                // A piece of framing alone is nothing to send.
                if decoder.is_done() || !incoming.data().is_empty() {
                    break;
                }
            }
        }
    }

    /// Has the system move the rest of a long body from the upstream to the client, where nobody looks at it on the
    /// way; whether that could be.
    async fn splice<A: Answer>(
        &self,
        progress: &Progress,
        decoder: &mut BodyDecoder,
        answer: &mut A,
    ) -> Result<bool, Failure> {
        let is_plain = self.io.borrow().plain().is_some();
        let Some(mut outlet) = answer.outlet().filter(|_| is_plain) else { return Ok(false) };
        let Some(mut pipe) = self.thread.pipe() else { return Ok(false) };
        while let Some(remaining) = decoder.remaining().filter(|remaining| *remaining > 0) {
            let fill = pin!(poll_fn(|context| match self.io.borrow().plain() {
                Some(tcp) => pipe.poll_fill(tcp, remaining, context),
                None => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
            }));
            let filled = self.timers.1.limit_once(self.read_timeout, &progress.waiting, fill).await;
            let broken = |why: &dyn std::fmt::Display| Failure::ResponseBody(why.to_string());
            match filled {
                Err(_) => return Err(broken(&Failure::ReadTimeout(self.read_timeout))),
                Ok(Err(error)) => return Err(broken(&Failure::UpstreamClosed(error))),
                Ok(Ok(0)) => decoder.close().map_err(|error| broken(&error))?,
                Ok(Ok(length)) => {
                    progress.received.set(progress.received.get() + length as u64);
                    decoder.pass(length as u64);
                    outlet.send(&mut pipe, decoder.is_done()).await?;
                }
            }
        }
        self.thread.give_pipe(pipe);
        Ok(true)
    }

    /// Reads from the upstream once. The time for it begins when the request has been sent.
    async fn fill(&self, progress: &Progress, incoming: &mut Incoming) -> Result<usize, Failure> {
        let buffers = &self.thread.buffers;
        let fill = pin!(poll_fn(|context| {
            incoming.poll_fill(buffers, &mut *self.io.borrow_mut(), context)
        }));
        match self.timers.1.limit_once(self.read_timeout, &progress.waiting, fill).await {
            Err(_) => Err(Failure::ReadTimeout(self.read_timeout)),
            Ok(Err(error)) => Err(Failure::UpstreamClosed(error)),
            Ok(Ok(length)) => {
                progress.received.set(progress.received.get() + length as u64);
                Ok(length)
            }
        }
    }
}

/// Runs both directions until the answer is whole. What goes wrong on the way out ends the attempt if it is the
/// client's doing, or took too long; an upstream that stops reading may have answered nevertheless.
pub(crate) async fn both<T>(
    progress: &Progress,
    mut send: Pin<&mut impl Future<Output = Result<(), Failure>>>,
    mut receive: Pin<&mut impl Future<Output = Result<T, Failure>>>,
) -> Result<T, Failure> {
    let mut sending = true;
    poll_fn(|context| {
        // Once all was sent the answer comes first, and only while there is none whether the client still waits.
        let waiting = progress.waiting.get();
        if waiting && let Poll::Ready(result) = receive.as_mut().poll(context) {
            return Poll::Ready(result);
        }
        if sending && let Poll::Ready(result) = send.as_mut().poll(context) {
            sending = false;
            match result {
                Err(failure) if failure.fault() == Fault::Client => {
                    return Poll::Ready(Err(failure));
                }
                Err(failure @ Failure::WriteTimeout(_)) => return Poll::Ready(Err(failure)),
                // The answer, if there is one, must come within its time from now.
                Ok(()) | Err(_) => progress.waiting.set(true),
            }
        }
        if waiting { Poll::Pending } else { receive.as_mut().poll(context) }
    })
    .await
}

/// Runs both directions of a tunnel until one has ended.
async fn first(
    mut one: Pin<&mut impl Future<Output = Result<(), Failure>>>,
    mut other: Pin<&mut impl Future<Output = Result<(), Failure>>>,
) -> Result<(), Failure> {
    poll_fn(|context| match one.as_mut().poll(context) {
        Poll::Pending => other.as_mut().poll(context),
        ended => ended,
    })
    .await
}

/// The trailers that may be passed on: all but those that would say something about the message itself
/// (RFC 9110 §6.5.1).
fn passable_trailers(section: &[u8]) -> Vec<u8> {
    let mut passable = Vec::new();
    for line in
        section.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty())
    {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        if Name::recognise(name) == Name::Other {
            passable.extend_from_slice(line);
            passable.extend_from_slice(b"\r\n");
        }
    }
    passable
}
