//! Moving bytes from one plain connection to another within the system (`splice(2)`): they are never copied to here.

use std::{
    cell::Cell,
    fmt,
    io::{self, PipeReader, PipeWriter},
    os::fd::AsFd,
    task::{Context, Poll, ready},
};

use rustix::io::Errno;
use tokio::{io::Interest, net::TcpStream};

/// A pipe of the system that bytes go through on their way from a connection to another.
pub struct Pipe {
    reader: PipeReader,
    writer: PipeWriter,
    held: usize,
}

impl Pipe {
    /// An empty pipe; none where the system cannot move bytes so, or has no room for another pipe.
    #[must_use]
    pub fn open() -> Option<Pipe> {
        if !cfg!(target_os = "linux") {
            return None;
        }
        let (reader, writer) = io::pipe().ok()?;
        Some(Pipe { reader, writer, held: 0 })
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Moves at most `most` bytes from a connection into the pipe, which is empty. How many; 0 is the end.
    ///
    /// # Errors
    /// As for reading from the connection.
    pub fn poll_fill(
        &mut self,
        from: &TcpStream,
        most: u64,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(MOST);
        loop {
            ready!(from.poll_read_ready(context))?;
            let moved = from.try_io(Interest::READABLE, || Ok(splice(from, &self.writer, most)?));
            match moved {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(length) => {
                    self.held += length;
                    return Poll::Ready(Ok(length));
                }
            }
        }
    }

    /// Moves all that is in the pipe to a connection. `written` counts the bytes that were taken.
    ///
    /// # Errors
    /// As for writing to the connection.
    pub fn poll_drain(
        &mut self,
        to: &TcpStream,
        written: &Cell<u64>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.held > 0 {
            ready!(to.poll_write_ready(context))?;
            let moved = to.try_io(Interest::WRITABLE, || Ok(splice(&self.reader, to, self.held)?));
            match moved {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(length) => {
                    self.held -= length.min(self.held);
                    written.set(written.get() + length as u64);
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipe").field("held", &self.held).finish_non_exhaustive()
    }
}

/// More than a pipe takes at once.
const MOST: usize = 1 << 20;

#[cfg(target_os = "linux")]
fn splice(from: impl AsFd, to: impl AsFd, most: usize) -> Result<usize, Errno> {
    use rustix::pipe::{SpliceFlags, splice};

    // Without MORE: what is there is to arrive, whenever the rest comes.
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    rustix::io::retry_on_intr(|| splice(&from, None, &to, None, most, flags))
}

#[cfg(not(target_os = "linux"))]
fn splice(_: impl AsFd, _: impl AsFd, _: usize) -> Result<usize, Errno> {
    Err(Errno::NOSYS)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::{cell::Cell, future::poll_fn};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::Pipe;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (near, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn a_long_body_arrives_as_it_was_and_no_byte_more_is_taken() {
        let (mut source, from) = pair().await;
        let (to, mut sink) = pair().await;
        let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n / 11) as u8).collect();
        let bytes = sent.clone();
        let writing = tokio::spawn(async move {
            source.write_all(&bytes).await.unwrap();
            source.write_all(b"next").await.unwrap();
            source
        });
        let length = sent.len();
        let reading = tokio::spawn(async move {
            let mut received = vec![0; length];
            sink.read_exact(&mut received).await.unwrap();
            received
        });
        let (mut pipe, written) = (Pipe::open().unwrap(), Cell::new(0));
        let mut left = length as u64;
        while left > 0 {
            left -= poll_fn(|context| pipe.poll_fill(&from, left, context)).await.unwrap() as u64;
            poll_fn(|context| pipe.poll_drain(&to, &written, context)).await.unwrap();
            assert!(pipe.is_empty());
        }
        assert_eq!(written.get(), length as u64);
        assert!(reading.await.unwrap() == sent);
        let (mut rest, mut from) = ([0; 4], from);
        from.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"next");
        drop(writing.await.unwrap());
        assert_eq!(poll_fn(|context| pipe.poll_fill(&from, 1, context)).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn who_does_not_read_any_more_is_an_error() {
        let (mut source, from) = pair().await;
        let (to, sink) = pair().await;
        sink.set_zero_linger().unwrap();
        drop(sink);
        source.write_all(b"body").await.unwrap();
        let (mut pipe, written) = (Pipe::open().unwrap(), Cell::new(0));
        poll_fn(|context| pipe.poll_fill(&from, 4, context)).await.unwrap();
        to.readable().await.unwrap();
        let drained = poll_fn(|context| pipe.poll_drain(&to, &written, context)).await;
        drained.unwrap_err();
        assert!(!pipe.is_empty());
        assert_eq!(written.get(), 0);
    }
}
