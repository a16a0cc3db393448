//! One attempt over HTTP/2, as gRPC services need it: with trailers, and both directions at once.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::{RecvStream, SendStream, client::ResponseFuture};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http1::{Framing, Name, RequestHead, ResponseHead, Version, write_field};
use upstream::Http2Place;

use crate::{
    attempt::{Progress, both},
    downstream::{Answer, Body},
    failure::Failure,
    timer::Timer,
};

/// One attempt over a connection that other requests use, too.
pub(crate) struct Http2Attempt<'a> {
    pub(crate) place: &'a Http2Place,
    pub(crate) scheme: &'static str,
    /// The head as HTTP/1 would send it.
    pub(crate) head: &'a [u8],
    pub(crate) write_timeout: Duration,
    pub(crate) read_timeout: Duration,
    /// The time-outs of the way out, and of the way back.
    pub(crate) timers: (&'a Timer, &'a Timer),
}

impl Http2Attempt<'_> {
    /// Sends the request, and the answer to the client; see `Attempt::run`.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn run<B: Body, A: Answer>(
        &self,
        progress: &Progress,
        body: &mut B,
        answer: &mut A,
        response: &mut ResponseHead,
        prepare: impl FnOnce(&mut ResponseHead) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let request = self.request()?;
        let mut connection = self.place.ready().await.map_err(closed)?;
        let bodiless = body.is_complete() && body.data().is_empty();
        let (future, stream) = connection.send_request(request, bodiless).map_err(closed)?;
        let send = pin!(self.send(progress, body, RefCell::new(stream), bodiless));
        let receive = pin!(self.receive(progress, answer, response, prepare, future));
        both(progress, send, receive).await
    }

    /// The head in HTTP/2's form: names in lower case, the Host field as authority.
    fn request(&self) -> Result<Request<()>, Failure> {
        let unsendable = |what: &str| Failure::Unsendable(what.to_owned());
        let mut head = RequestHead::default();
        head.read(self.head).map_err(|error| unsendable(&error.to_string()))?;
        let authority = head.fields.get(Name::Host).unwrap_or_default();
        let uri = [self.scheme.as_bytes(), b"://", authority, head.target()].concat();
        let mut request = Request::new(());
        *request.method_mut() =
            Method::from_bytes(head.method()).map_err(|_| unsendable("method"))?;
        *request.uri_mut() = Uri::try_from(uri).map_err(|_| unsendable("path"))?;
        for field in head.fields.iter() {
            match field.known {
                Name::Host | Name::Connection | Name::TransferEncoding | Name::Upgrade => {}
                _ => {
                    let name = HeaderName::from_bytes(field.name)
                        .map_err(|_| unsendable("header name"))?;
                    let value = HeaderValue::from_bytes(field.value)
                        .map_err(|_| unsendable("header value"))?;
                    request.headers_mut().append(name, value);
                }
            }
        }
        Ok(request)
    }

    async fn send<B: Body>(
        &self,
        progress: &Progress,
        body: &mut B,
        stream: RefCell<SendStream<Bytes>>,
        bodiless: bool,
    ) -> Result<(), Failure> {
        if !bodiless {
            loop {
                self.send_data(&stream, body.data(), body.is_complete()).await?;
                if body.is_complete() {
                    break;
                }
                progress.released.set(true);
                body.release();
                body.fill().await?;
            }
        }
        progress.sent.set(true);
        progress.waiting.set(true);
        body.gone().await;
        stream.borrow_mut().send_reset(h2::Reason::CANCEL);
        Err(Failure::ClientGone)
    }

    async fn send_data(
        &self,
        stream: &RefCell<SendStream<Bytes>>,
        mut data: &[u8],
        last: bool,
    ) -> Result<(), Failure> {
        if data.is_empty() {
            return match last {
                true => stream.borrow_mut().send_data(Bytes::new(), true).map_err(closed),
                false => Ok(()),
            };
        }
        while !data.is_empty() {
            let send =
                pin!(poll_fn(|context| poll_send(&mut stream.borrow_mut(), data, last, context)));
            let sent = self.timers.0.limit(self.write_timeout, send).await;
            let length = sent.unwrap_or(Err(Failure::WriteTimeout(self.write_timeout)))?;
            data = data.get(length..).unwrap_or_default();
        }
        Ok(())
    }

    async fn receive<A: Answer>(
        &self,
        progress: &Progress,
        answer: &mut A,
        response: &mut ResponseHead,
        prepare: impl FnOnce(&mut ResponseHead) -> Result<(), Failure>,
        future: ResponseFuture,
    ) -> Result<(), Failure> {
        let future = pin!(future);
        let received = self.timers.1.limit_once(self.read_timeout, &progress.waiting, future).await;
        let received =
            received.map_err(|_| Failure::ReadTimeout(self.read_timeout))?.map_err(closed)?;
        progress.answered.set(Some(Instant::now()));
        let (parts, mut stream) = received.into_parts();
        response.begin(parts.status.as_u16(), Version::Http2);
        for (name, value) in &parts.headers {
            response.fields.push(name.as_str().as_bytes(), value.as_bytes().trim_ascii());
        }
        let length = parts
            .headers
            .get(http::header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        response.set_framing(match (stream.is_end_stream(), length) {
            (true, _) => Framing::None,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::Chunked,
        });
        prepare(response)?;
        answer.begin(response);
        if stream.is_end_stream() {
            return answer.send(&[], true, &[]).await;
        }
        // The head goes out at once: a stream of messages may be long in coming.
        answer.send(&[], false, &[]).await?;
        loop {
            match self.next(progress, &mut stream).await? {
                Some(data) => {
                    progress.received.set(progress.received.get() + data.len() as u64);
                    answer.send(&data, false, &[]).await?;
                    // What the client has taken may come again.
                    let _ = stream.flow_control().release_capacity(data.len());
                }
                None => {
                    let trailers = self.trailers(&mut stream).await?;
                    return answer.send(&[], true, &trailers).await;
                }
            }
        }
    }

    async fn next(
        &self,
        progress: &Progress,
        stream: &mut RecvStream,
    ) -> Result<Option<Bytes>, Failure> {
        let next = pin!(poll_fn(|context| stream.poll_data(context)));
        match self.timers.1.limit_once(self.read_timeout, &progress.waiting, next).await {
            Err(_) => Err(Failure::ResponseBody(format!(
                "nothing came for {} ms",
                self.read_timeout.as_millis()
            ))),
            Ok(Some(Err(error))) => Err(Failure::ResponseBody(error.to_string())),
            Ok(Some(Ok(data))) => Ok(Some(data)),
            Ok(None) => Ok(None),
        }
    }

    async fn trailers(&self, stream: &mut RecvStream) -> Result<Vec<u8>, Failure> {
        let trailers = pin!(poll_fn(|context| stream.poll_trailers(context)));
        match self.timers.1.limit(self.read_timeout, trailers).await {
            Err(_) => Err(Failure::ResponseBody("no trailers came".to_owned())),
            Ok(Err(error)) => Err(Failure::ResponseBody(error.to_string())),
            Ok(Ok(trailers)) => Ok(trailers.as_ref().map(section).unwrap_or_default()),
        }
    }
}

fn poll_send(
    stream: &mut SendStream<Bytes>,
    data: &[u8],
    last: bool,
    context: &mut Context<'_>,
) -> Poll<Result<usize, Failure>> {
    stream.reserve_capacity(data.len());
    let mut room = stream.capacity();
    if room == 0 {
        room = match ready!(stream.poll_capacity(context)) {
            Some(Ok(room)) => room,
            Some(Err(error)) => return Poll::Ready(Err(closed(error))),
            None => {
                return Poll::Ready(Err(Failure::UpstreamClosed(io::ErrorKind::BrokenPipe.into())));
            }
        };
    }
    let length = room.min(data.len());
    let piece = Bytes::copy_from_slice(data.get(..length).unwrap_or_default());
    let sent = stream.send_data(piece, last && length == data.len());
    Poll::Ready(sent.map(|()| length).map_err(closed))
}

/// Trailers as a section of field lines.
fn section(trailers: &HeaderMap) -> Vec<u8> {
    let mut section = Vec::new();
    for (name, value) in trailers {
        write_field(&mut section, name.as_str().as_bytes(), value.as_bytes());
    }
    section
}

/// A stream that the target refused was not acted on (RFC 9113 §8.7).
fn closed(error: h2::Error) -> Failure {
    let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
    let error = io::Error::other(error);
    if refused { Failure::Refused(error) } else { Failure::UpstreamClosed(error) }
}
