//! Connections inside one process, so that both planes in one process speak by the code that two
//! processes speak by.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

/// What one side may write before the other reads, in bytes: about a socket's buffer.
const BUFFER: usize = 64 << 10;

/// How many connections may wait to be accepted.
const BACKLOG: usize = 16;

/// The end that connects. Clones connect to the same [`Listener`].
#[derive(Clone, Debug)]
pub struct Dialer {
    accept: mpsc::Sender<DuplexStream>,
}

/// The end that is connected to: a stream of connections that ends when no [`Dialer`] is left.
#[derive(Debug)]
pub struct Listener {
    incoming: mpsc::Receiver<DuplexStream>,
}

/// The two ends.
pub fn pipe() -> (Dialer, Listener) {
    let (accept, incoming) = mpsc::channel(BACKLOG);
    (Dialer { accept }, Listener { incoming })
}

impl Dialer {
    /// A new connection.
    ///
    /// # Errors
    /// `ConnectionRefused` when the listener is gone.
    pub async fn dial(&self) -> io::Result<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(BUFFER);
        self.accept.send(theirs).await.map_err(|_| {
            io::Error::new(
                io::ErrorKind::ConnectionRefused,
                "the control plane in this process is not running",
            )
        })?;
        Ok(ours)
    }
}

impl Stream for Listener {
    type Item = io::Result<DuplexStream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.incoming.poll_recv(cx).map(|connection| connection.map(Ok))
    }
}
