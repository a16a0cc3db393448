//! Access logs: a line for each request or stream session, written by a thread of its own.
//!
//! A traffic thread appends lines to a buffer of its own and hands it over when it is full or a moment has passed.
//! If the disk cannot follow, lines are lost and counted; requests never wait for it.

use std::{
    cell::RefCell,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use http1::write_decimal;
use rand::{Rng, RngCore};
use settings::AccessLogFormat;

/// Where the access log goes and what it looks like.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessLog {
    /// The file; it is appended to.
    pub path: PathBuf,
    /// How a line looks.
    pub format: AccessLogFormat,
    /// The share of requests that are logged, from 0 to 1; those that failed (5xx) always are.
    pub sampling: f64,
}

/// Buffers that may wait for the disk; further ones are lost.
const QUEUE: usize = 256;
/// A buffer of this size is handed over at once.
const FULL: usize = 16 * 1024;
/// How long a line may wait in a buffer that is not full.
pub(crate) const FLUSH: Duration = Duration::from_millis(200);
/// How long the writer waits before it looks whether it should open the file again.
const IDLE: Duration = Duration::from_millis(500);

/// What there is once for requests and once for stream sessions, each if it is logged.
#[derive(Debug)]
pub(crate) struct Both<T> {
    pub(crate) requests: Option<T>,
    pub(crate) sessions: Option<T>,
}

impl<T> Both<T> {
    /// Those that there are.
    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        self.requests.iter().chain(&self.sessions)
    }
}

/// The writer: one thread for all traffic threads.
#[derive(Debug)]
pub(crate) struct Writer {
    format: AccessLogFormat,
    sampling: f64,
    sender: SyncSender<Vec<u8>>,
    reopen: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// Opens the file and starts to write what comes.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub(crate) fn start(log: &AccessLog) -> io::Result<Writer> {
        let file = open(&log.path)?;
        let reopen = Arc::new(AtomicBool::new(false));
        let (sender, receiver) = sync_channel(QUEUE);
        let (path, asked) = (log.path.clone(), reopen.clone());
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write(&receiver, file, &path, &asked))?;
        Ok(Writer { format: log.format, sampling: log.sampling, sender, reopen, thread })
    }

    /// A way to the writer for one traffic thread.
    pub(crate) fn sink(&self) -> Sink {
        Sink {
            sender: self.sender.clone(),
            format: self.format,
            sampling: self.sampling,
            buffer: RefCell::default(),
        }
    }

    /// Has the file opened anew, after it was moved away.
    pub(crate) fn reopener(&self) -> Arc<AtomicBool> {
        self.reopen.clone()
    }

    /// Waits until all is written. Every [`Sink`] must be gone.
    pub(crate) fn finish(self) {
        drop(self.sender);
        // If it crashed there is nothing more to wait for; the crash was told.
        let _ = self.thread.join();
    }
}

fn open(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn write(receiver: &Receiver<Vec<u8>>, mut file: File, path: &PathBuf, reopen: &AtomicBool) {
    let mut failing = false;
    loop {
        let lines = match receiver.recv_timeout(IDLE) {
            Ok(lines) => lines,
            Err(RecvTimeoutError::Timeout) => Vec::new(),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if reopen.swap(false, Ordering::Relaxed) {
            match open(path) {
                Ok(opened) => file = opened,
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "cannot open the access log again; writing on to the old file");
                }
            }
        }
        match file.write_all(&lines) {
            Ok(()) => failing = false,
            // Once is enough: the disk may be full for hours.
            Err(error) if !failing => {
                failing = true;
                tracing::error!(path = %path.display(), %error, "cannot write the access log; lines are lost until it works again");
            }
            Err(_) => {}
        }
    }
}

/// One traffic thread's way to the access log.
#[derive(Debug)]
pub(crate) struct Sink {
    sender: SyncSender<Vec<u8>>,
    format: AccessLogFormat,
    sampling: f64,
    buffer: RefCell<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    text: Vec<u8>,
    number: u64,
}

impl Sink {
    /// Whether the line of a request with this status is written; `random` decides where only a share is.
    pub(crate) fn takes(&self, status: u16, random: &mut impl RngCore) -> bool {
        status >= 500 || self.sampling >= 1.0 || random.random::<f64>() < self.sampling
    }

    /// Adds a line, which `write` appends in the format of this log. Returns how many lines were lost.
    pub(crate) fn log(&self, write: impl FnOnce(AccessLogFormat, &mut Vec<u8>)) -> u64 {
        let full = {
            let mut lines = self.buffer.borrow_mut();
            write(self.format, &mut lines.text);
            lines.number += 1;
            lines.text.len() >= FULL
        };
        if full { self.flush() } else { 0 }
    }

    /// Hands over what there is. Returns how many lines were lost.
    pub(crate) fn flush(&self) -> u64 {
        let mut lines = self.buffer.borrow_mut();
        if lines.text.is_empty() {
            return 0;
        }
        let number = std::mem::take(&mut lines.number);
        let capacity = lines.text.capacity();
        let text = std::mem::replace(&mut lines.text, Vec::with_capacity(capacity));
        match self.sender.try_send(text) {
            Ok(()) => 0,
            Err(TrySendError::Full(mut text) | TrySendError::Disconnected(mut text)) => {
                text.clear();
                lines.text = text;
                number
            }
        }
    }
}

/// Appends milliseconds as seconds with three decimals.
pub(crate) fn write_seconds(out: &mut Vec<u8>, milliseconds: u64) {
    write_decimal(out, milliseconds / 1000);
    out.push(b'.');
    for place in [100, 10, 1] {
        out.push(b'0' + (milliseconds / place % 10) as u8);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use rand::{SeedableRng, rngs::StdRng};

    use super::{AccessLog, AccessLogFormat, Writer};
    use crate::log_line::tests::LINE;

    fn line(format: AccessLogFormat, out: &mut Vec<u8>) {
        LINE.write(format, out);
    }

    #[test]
    fn lines_arrive_and_the_file_can_be_moved_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let log =
            AccessLog { path: path.clone(), format: AccessLogFormat::Combined, sampling: 1.0 };
        let writer = Writer::start(&log).unwrap();
        let sink = writer.sink();
        assert_eq!(sink.log(line), 0);
        sink.flush();
        while fs::read_to_string(&path).unwrap().lines().count() < 1 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let moved = folder.path().join("access.log.1");
        fs::rename(&path, &moved).unwrap();
        writer.reopener().store(true, std::sync::atomic::Ordering::Relaxed);
        sink.log(line);
        sink.log(line);
        sink.flush();
        drop(sink);
        writer.finish();
        assert_eq!(fs::read_to_string(&moved).unwrap().lines().count(), 1);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
    }

    #[test]
    fn failures_are_logged_whatever_the_share() {
        let folder = tempfile::tempdir().unwrap();
        let log = AccessLog {
            path: folder.path().join("a"),
            format: AccessLogFormat::Json,
            sampling: 0.25,
        };
        let writer = Writer::start(&log).unwrap();
        let sink = writer.sink();
        let mut random = StdRng::seed_from_u64(1);
        let taken = (0..4000).filter(|_| sink.takes(200, &mut random)).count();
        assert!((800..1200).contains(&taken), "{taken}");
        assert!((0..100).all(|_| sink.takes(502, &mut random)));
    }
}
