//! One client's HTTP/2 connection: a task for each of its streams.

use std::{cell::Cell, future::poll_fn, pin::pin, rc::Rc, task::Poll, time::Duration};

use bytes::Bytes;
use h2::{RecvStream, server::SendResponse};
use http::Request;
use upstream::Stream;

use crate::{
    connection::watch_drain,
    downstream::{
        Body,
        http2::{read, sides},
    },
    prefixed::Prefixed,
    request::{self, Origin, Timers},
    thread::{Entered, Thread},
    timer::Timer,
};

/// nginx' `http2_max_concurrent_streams`.
const STREAMS: u32 = 128;
/// How much a client may send ahead on a stream: more than is buffered of a body, so that buffering never waits for
/// a window that nobody opens.
const STREAM_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// As HTTP/1 takes it.
const HEAD_LIMIT: u32 = 32 * 1024;
/// How much of answers may wait in memory per stream.
const SEND_BUFFER: usize = 64 * 1024;

/// So much of the body of a request that was answered early is still taken in…
const REST: usize = 64 * 1024;
/// …for so long.
const REST_TIMEOUT: Duration = Duration::from_millis(250);

/// Serves a connection to its end. `received` is what was read of it already.
pub(crate) async fn serve(
    thread: Rc<Thread>,
    entered: Entered,
    stream: Stream,
    received: Vec<u8>,
    origin: Origin,
) {
    watch_drain(&entered).await;
    let origin = Rc::new(origin);
    let timer = Timer::default();
    let limits = &thread.options.limits;
    let handshake = pin!(
        h2::server::Builder::new()
            .max_concurrent_streams(STREAMS)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEAD_LIMIT)
            .max_send_buffer_size(SEND_BUFFER)
            .handshake::<_, Bytes>(Prefixed::new(received, stream))
    );
    let Ok(Ok(mut connection)) = timer.limit(limits.head_timeout, handshake).await else {
        return;
    };
    let open = Rc::new(Cell::new(0_usize));
    let mut draining = false;
    loop {
        // A request, the end of the connection, or none: the gateway begins to drain.
        let accept = pin!(poll_fn(|context| {
            if thread.is_draining() && !draining {
                return Poll::Ready(None);
            }
            connection.poll_accept(context).map(Some)
        }));
        match timer.limit(limits.keepalive_timeout, accept).await {
            Ok(None) => {
                draining = true;
                connection.graceful_shutdown();
            }
            Ok(Some(Some(Ok((request, respond))))) => {
                let stream = serve_stream(
                    thread.clone(),
                    origin.clone(),
                    request,
                    respond,
                    Counted::new(&open),
                );
                tokio::task::spawn_local(stream);
            }
            Ok(Some(Some(Err(error)))) => {
                tracing::debug!(peer = %origin.peer, %error, "HTTP/2 connection failed");
                return;
            }
            Ok(Some(None)) => return,
            Err(_) if open.get() == 0 => {
                if draining {
                    return;
                }
                draining = true;
                connection.graceful_shutdown();
            }
            // Requests under way have time-outs of their own.
            Err(_) => {}
        }
    }
}

async fn serve_stream(
    thread: Rc<Thread>,
    origin: Rc<Origin>,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    _counted: Counted,
) {
    let mut scratch = thread.scratch();
    let timers = Timers::default();
    let readable = read(&mut scratch.request, &request);
    let framing = scratch.request.framing();
    let (mut body, mut answer) =
        sides(&thread, request, respond, framing, (&timers.client_in, &timers.client_out));
    match readable {
        Ok(()) => {
            // Memory of its own from the start: it would be moved when the task begins.
            let serve =
                request::serve(&thread, &origin, &timers, &mut scratch, &mut body, &mut answer);
            Box::pin(serve).await;
        }
        Err(error) => {
            scratch.request.begin(b"GET", b"/", http1::Version::Http2);
            let failure = error.into();
            let serve =
                request::serve_unreadable(&thread, &origin, &mut scratch, &failure, &mut answer);
            Box::pin(serve).await;
        }
    }
    take_the_rest(&mut body).await;
    answer.finish(body.is_complete());
    thread.give_back(scratch);
}

/// Takes in what little is left of a request that was answered early: a client that is told to stop
/// in the middle of it may not look at the answer any more.
async fn take_the_rest(body: &mut impl Body) {
    let take = async {
        let mut taken = 0;
        while !body.is_complete() && taken < REST {
            if body.fill().await.is_err() {
                return;
            }
            taken += body.data().len();
            body.release();
        }
    };
    // A client that is still at it is told to stop.
    let _ = tokio::time::timeout(REST_TIMEOUT, take).await;
}

/// One of the streams under way.
struct Counted(Rc<Cell<usize>>);

impl Counted {
    fn new(open: &Rc<Cell<usize>>) -> Counted {
        open.set(open.get() + 1);
        Counted(open.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
