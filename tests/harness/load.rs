//! Open-loop load: requests begin at their times, whether or not others have been answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// How long one request may take until it counts as failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Load on one address, from its start until it is stopped.
#[derive(Debug)]
pub struct Load {
    stop: watch::Sender<bool>,
    thread: JoinHandle<Result<Vec<Sample>>>,
}

/// One request that was made.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When it was to begin.
    pub at: Instant,
    /// From then until its answer was whole.
    pub took: Duration,
    /// The body of its answer, or what went wrong (any other status than 200, too).
    pub answer: Result<String, String>,
}

impl Load {
    /// Begins to send `rate` requests a second, in turn those of `requests`, each a whole message.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(to: SocketAddr, rate: u32, requests: Vec<String>) -> Result<Load> {
        let (stop, stopped) = watch::channel(false);
        let thread = std::thread::Builder::new().name("load".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(send_all(to, rate, requests, stopped))
        })?;
        Ok(Load { stop, thread })
    }

    /// Stops it, waits for the last answers, and returns all requests in the order of their times.
    ///
    /// # Errors
    /// When the generator itself failed.
    pub fn stop(self) -> Result<Vec<Sample>> {
        self.stop.send_replace(true);
        self.thread.join().ok().context("the load's thread panicked")?
    }
}

/// How many of these were answered by whom.
pub fn shares<'a>(samples: impl Iterator<Item = &'a Sample>) -> BTreeMap<&'a str, usize> {
    samples.filter_map(|sample| sample.answer.as_deref().ok()).fold(
        BTreeMap::new(),
        |mut shares, name| {
            *shares.entry(name).or_default() += 1;
            shares
        },
    )
}

async fn send_all(
    to: SocketAddr,
    rate: u32,
    requests: Vec<String>,
    stopped: watch::Receiver<bool>,
) -> Result<Vec<Sample>> {
    ensure!(rate > 0 && !requests.is_empty(), "nothing to send");
    let requests: Vec<Arc<str>> = requests.into_iter().map(Arc::from).collect();
    let idle: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    let begin = Instant::now();
    let mut running = Vec::new();
    for (number, request) in (0u32..).zip(requests.iter().cycle()) {
        let at = begin + Duration::from_secs(1) / rate * number;
        tokio::time::sleep_until(at.into()).await;
        if *stopped.borrow() {
            break;
        }
        let (request, idle) = (Arc::clone(request), Arc::clone(&idle));
        running.push(tokio::spawn(async move {
            let answer = tokio::time::timeout(PATIENCE, send(to, &request, &idle)).await;
            let answer = match answer {
                Ok(Ok(body)) => Ok(body),
                Ok(Err(error)) => Err(format!("{error:#}")),
                Err(_) => Err("no answer".to_owned()),
            };
            Sample { at, took: at.elapsed(), answer }
        }));
    }
    let mut samples = Vec::with_capacity(running.len());
    for sample in running {
        samples.push(sample.await?);
    }
    Ok(samples)
}

/// Sends over a connection that is free, or a new one.
async fn send(to: SocketAddr, request: &str, idle: &Mutex<Vec<TcpStream>>) -> Result<String> {
    let free = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut stream = match free {
        Some(stream) => stream,
        None => TcpStream::connect(to).await?,
    };
    stream.set_nodelay(true)?;
    stream.write_all(request.as_bytes()).await?;
    let mut received = Vec::with_capacity(1024);
    let end = loop {
        if let Some(at) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        ensure!(stream.read_buf(&mut received).await? > 0, "closed before the answer");
    };
    let head = String::from_utf8_lossy(received.get(..end).unwrap_or_default()).into_owned();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let length: usize = length.context("no length")?.parse()?;
    while received.len() < end + length {
        ensure!(stream.read_buf(&mut received).await? > 0, "closed within the answer");
    }
    let body = String::from_utf8_lossy(received.get(end..).unwrap_or_default()).into_owned();
    if !head.starts_with("HTTP/1.1 200 ") {
        bail!("{} {body}", head.lines().next().unwrap_or_default());
    }
    idle.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
    Ok(body)
}
