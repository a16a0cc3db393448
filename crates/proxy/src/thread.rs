//! What the connections of one traffic thread share. Nothing of it is shared with another thread but counters that
//! one side writes, and the snapshot.

use std::{
    cell::{Cell, RefCell},
    ops::Deref,
    rc::Rc,
    sync::Arc,
    task::Waker,
};

use http1::{RequestHead, ResponseHead};
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};
use rustc_hash::FxHashMap;
use settings::AccessLogFormat;
use snapshot::Snapshot;
use tokio::sync::Notify;
use upstream::{Http2Pool, Pipe, Pool};

use crate::{
    access_log::{Both, Sink},
    counters::Counters,
    date::Date,
    error_template::Templates,
    incoming::Buffers,
    log_line::Line,
    options::Options,
    secure::{ClientPem, Profiles},
};

/// The state of one traffic thread.
pub(crate) struct Thread {
    pub(crate) options: Arc<Options>,
    pub(crate) templates: Arc<Templates>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) buffers: Buffers,
    pub(crate) pool: RefCell<Pool>,
    pub(crate) http2_pool: Http2Pool,
    pub(crate) profiles: RefCell<Profiles>,
    logs: Both<Sink>,
    snapshots: RefCell<Current>,
    #[expect(
        clippy::vec_box,
        reason = "moved with each request: a box is one word, a scratch hundreds of bytes"
    )]
    scratches: RefCell<Vec<Box<Scratch>>>,
    responses: RefCell<Vec<ResponseHead>>,
    outputs: RefCell<Vec<Vec<u8>>>,
    pipes: RefCell<Vec<Pipe>>,
    random: RefCell<StdRng>,
    date: RefCell<Date>,
    draining: Cell<bool>,
    connections: RefCell<Connections>,
    closed: Notify,
}

/// The snapshot of this thread. Requests hold it through a count of the thread's own: the shared one would be
/// written by every thread for every request.
struct Current {
    cache: snapshot::Cache,
    held: Rc<Held>,
}

/// A snapshot that this thread has in use.
pub(crate) struct Held(Arc<Snapshot>);

impl Deref for Held {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

/// The open connections, each with what wakes its task.
#[derive(Default)]
struct Connections {
    wakers: FxHashMap<u64, Option<Waker>>,
    next: u64,
}

/// The memory of one request, used again for the next one.
///
/// What is needed for a moment only (a buffer to read or write, the head of an answer) is not part of it: taken when it
/// is needed and given back soon, it is the same for all of a thousand requests that wait, and in the processor's cache.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) request: RequestHead,
    /// Without memory of its own before [`Thread::lend_memory`].
    pub(crate) response: ResponseHead,
    /// The request's id.
    pub(crate) id: RequestId,
}

/// A request's id: 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestId([u8; 32]);

/// Each byte in lower-case hexadecimal.
static HEXADECIMAL: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    table
};

/// Free scratches beyond this number are dropped: together they are a few megabytes for each thread.
const SCRATCHES_KEPT: usize = 1024;
/// Free buffers and heads of answers beyond this number are dropped.
const MOMENTARY_KEPT: usize = 64;
/// Free pipes beyond this number are closed: each is two of the process's files.
const PIPES_KEPT: usize = 16;
/// Output buffers that grew beyond this for one large message are not kept.
const OUTPUT_KEPT: usize = 16 * 1024;

impl Thread {
    pub(crate) fn new(
        options: Arc<Options>,
        templates: Arc<Templates>,
        client: Option<Arc<ClientPem>>,
        index: usize,
        cell: &snapshot::Cell,
        counters: Arc<Counters>,
        logs: Both<Sink>,
    ) -> Thread {
        let mut seed = options.seed;
        // Threads must not draw the same ids.
        for (byte, index) in seed.iter_mut().zip((index as u64 + 1).to_le_bytes()) {
            *byte ^= index;
        }
        let mut cache = snapshot::Cache::new(cell);
        let held = Rc::new(Held(cache.load().clone()));
        Thread {
            templates,
            counters,
            buffers: Buffers::default(),
            pool: RefCell::new(Pool::new(options.pool)),
            http2_pool: Http2Pool::new(options.pool),
            profiles: RefCell::new(Profiles::new(client)),
            logs,
            snapshots: RefCell::new(Current { cache, held }),
            scratches: RefCell::default(),
            responses: RefCell::default(),
            outputs: RefCell::default(),
            pipes: RefCell::default(),
            random: RefCell::new(StdRng::from_seed(seed)),
            date: RefCell::default(),
            draining: Cell::new(false),
            connections: RefCell::default(),
            closed: Notify::new(),
            options,
        }
    }

    /// The newest snapshot, for one request to its end.
    pub(crate) fn snapshot(&self) -> Rc<Held> {
        let mut current = self.snapshots.borrow_mut();
        let Current { cache, held } = &mut *current;
        let newest = cache.load();
        if !Arc::ptr_eq(newest, &held.0) {
            *held = Rc::new(Held(newest.clone()));
        }
        held.clone()
    }

    /// Lets go of a snapshot that no request uses any more, though none came to notice that there is a newer one.
    pub(crate) fn refresh_snapshot(&self) {
        let _ = self.snapshot();
    }

    /// Memory for a request.
    pub(crate) fn scratch(&self) -> Box<Scratch> {
        let mut scratch = self.scratches.borrow_mut().pop().unwrap_or_default();
        scratch.id = self.new_id();
        scratch
    }

    /// Takes the memory of a request back.
    pub(crate) fn give_back(&self, mut scratch: Box<Scratch>) {
        let response = std::mem::take(&mut scratch.response);
        let mut responses = self.responses.borrow_mut();
        if response.fields.has_memory() && responses.len() < MOMENTARY_KEPT {
            responses.push(response);
        }
        let mut scratches = self.scratches.borrow_mut();
        if scratches.len() < SCRATCHES_KEPT {
            scratches.push(scratch);
        }
    }

    /// Gives the head of an answer that is about to be read or made memory that was used before.
    pub(crate) fn lend_memory(&self, response: &mut ResponseHead) {
        if !response.fields.has_memory()
            && let Some(used) = self.responses.borrow_mut().pop()
        {
            *response = used;
        }
    }

    /// An empty buffer for what is written next.
    pub(crate) fn output(&self) -> Vec<u8> {
        self.outputs.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a buffer back whose bytes were written.
    pub(crate) fn give_output(&self, mut output: Vec<u8>) {
        let mut outputs = self.outputs.borrow_mut();
        if outputs.len() < MOMENTARY_KEPT && output.capacity() <= OUTPUT_KEPT {
            output.clear();
            outputs.push(output);
        }
    }

    /// An empty pipe, if the system has one.
    pub(crate) fn pipe(&self) -> Option<Pipe> {
        self.pipes.borrow_mut().pop().or_else(Pipe::open)
    }

    /// Takes a pipe back, if nothing was left in it.
    pub(crate) fn give_pipe(&self, pipe: Pipe) {
        let mut pipes = self.pipes.borrow_mut();
        if pipe.is_empty() && pipes.len() < PIPES_KEPT {
            pipes.push(pipe);
        }
    }

    /// A random number from 0 to 1.
    pub(crate) fn chance(&self) -> f64 {
        self.random.borrow_mut().random()
    }

    /// A new random UUID (version 4).
    pub(crate) fn new_uuid(&self) -> uuid::Uuid {
        let mut bytes = [0; 16];
        self.random.borrow_mut().fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// The time as HTTP writes it, now.
    pub(crate) fn date(&self) -> [u8; Date::LENGTH] {
        self.date.borrow_mut().at(self.options.clock.wall_s())
    }

    /// Writes a line to the access log, if there is one and the request is among those that are logged.
    pub(crate) fn log<'a>(&self, status: u16, line: impl FnOnce() -> Line<'a>) {
        if let Some(sink) = &self.logs.requests
            && sink.takes(status, &mut *self.random.borrow_mut())
        {
            self.counters.log_lines_lost(sink.log(|format, out| line().write(format, out)));
        }
    }

    /// Writes a line to the access log of streams, if there is one and the session is among those that are logged.
    pub(crate) fn log_stream(
        &self,
        status: u16,
        write: impl FnOnce(AccessLogFormat, &mut Vec<u8>),
    ) {
        if let Some(sink) = &self.logs.sessions
            && sink.takes(status, &mut *self.random.borrow_mut())
        {
            self.counters.log_lines_lost(sink.log(write));
        }
    }

    /// Hands the lines of the access logs over.
    pub(crate) fn flush_log(&self) {
        for sink in self.logs.all() {
            self.counters.log_lines_lost(sink.flush());
        }
    }

    /// Whether no further requests are to be taken.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Begins to drain: connections that wait for a request close, the others after their request.
    pub(crate) fn drain(&self) {
        self.draining.set(true);
        for waker in self.connections.borrow().wakers.values().flatten() {
            waker.wake_by_ref();
        }
    }

    /// The number of open connections.
    pub(crate) fn open(&self) -> usize {
        self.connections.borrow().wakers.len()
    }

    /// Notes that there is one connection more, until what is returned is dropped.
    pub(crate) fn enter(self: &Rc<Self>) -> Entered {
        self.counters.accepted();
        self.place(false)
    }

    /// As [`Thread::enter`], for what is not HTTP.
    pub(crate) fn enter_stream(self: &Rc<Self>) -> Entered {
        self.counters.stream_accepted();
        self.place(true)
    }

    fn place(self: &Rc<Self>, stream: bool) -> Entered {
        let mut connections = self.connections.borrow_mut();
        let number = connections.next;
        connections.next += 1;
        connections.wakers.insert(number, None);
        Entered { thread: self.clone(), number, stream }
    }

    /// Waits until fewer than `number` connections are open.
    pub(crate) async fn fewer_than(&self, number: usize) {
        loop {
            let closed = self.closed.notified();
            if self.open() < number {
                return;
            }
            closed.await;
        }
    }

    fn new_id(&self) -> RequestId {
        let mut bytes = [0; 16];
        self.random.borrow_mut().fill_bytes(&mut bytes);
        let mut text = [0; 32];
        for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
            *pair = HEXADECIMAL[usize::from(byte)];
        }
        RequestId(text)
    }
}

/// An open connection's place among those of its thread.
pub(crate) struct Entered {
    thread: Rc<Thread>,
    number: u64,
    stream: bool,
}

impl Entered {
    /// Has the connection's task woken when the thread begins to drain.
    pub(crate) fn wake_to_drain(&self, waker: &Waker) {
        if let Some(place) = self.thread.connections.borrow_mut().wakers.get_mut(&self.number) {
            *place = Some(waker.clone());
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.thread.connections.borrow_mut().wakers.remove(&self.number);
        if self.stream {
            self.thread.counters.stream_closed();
        } else {
            self.thread.counters.closed();
        }
        self.thread.closed.notify_waiters();
    }
}

impl RequestId {
    /// The id as it is sent.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        // Only digits are ever written into it.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Default for RequestId {
    fn default() -> Self {
        RequestId([b'0'; 32])
    }
}
