//! Reading and writing plain TCP by the system calls themselves.
//!
//! The C library's `send` and `recv` are points at which a thread may be cancelled, and tell so by two atomic writes
//! for each call, as soon as a process has more than one thread.

use std::{
    io,
    task::{Context, Poll, ready},
};

use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, recv, send},
};
use tokio::{
    io::{Interest, ReadBuf},
    net::TcpStream,
};

/// As [`tokio::io::AsyncRead::poll_read`].
pub(crate) fn poll_receive(
    tcp: &TcpStream,
    context: &mut Context<'_>,
    into: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    loop {
        ready!(tcp.poll_read_ready(context))?;
        let room = into.initialize_unfilled();
        let transfer = transfer(tcp, Interest::READABLE, room.len(), || {
            recv(tcp, &mut *room, RecvFlags::empty()).map(|(_, received)| received)
        });
        if let Some(received) = transfer? {
            into.advance(received);
            return Poll::Ready(Ok(()));
        }
    }
}

/// As [`tokio::io::AsyncWrite::poll_write`].
pub(crate) fn poll_send(
    tcp: &TcpStream,
    context: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    loop {
        ready!(tcp.poll_write_ready(context))?;
        let transfer = transfer(tcp, Interest::WRITABLE, bytes.len(), || {
            send(tcp, bytes, SendFlags::NOSIGNAL)
        });
        if let Some(sent) = transfer? {
            return Poll::Ready(Ok(sent));
        }
    }
}

/// Moves at most `most` bytes: how many; none where the socket was not ready after all.
///
/// Less than could have been moved shows that the socket is ready no more: the system tells when it is again (`epoll(7)`,
/// question 9), and to try before would be a system call for nothing.
fn transfer(
    tcp: &TcpStream,
    interest: Interest,
    most: usize,
    mut call: impl FnMut() -> Result<usize, Errno>,
) -> io::Result<Option<usize>> {
    let mut moved = None;
    let tried = tcp.try_io(interest, || {
        let length = rustix::io::retry_on_intr(&mut call)?;
        moved = Some(length);
        if 0 < length && length < most { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match tried {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(moved),
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, io, pin::Pin};

    use tokio::{
        io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf},
        net::{TcpListener, TcpStream},
    };

    use crate::Stream;

    async fn pair() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Stream::Plain(near), listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn more_than_the_system_takes_at_once_arrives() {
        let (mut near, mut far) = pair().await;
        let sent: Vec<u8> = (0..8_000_000_u32).map(|n| (n / 7) as u8).collect();
        let (back, length) = (sent.clone(), sent.len());
        let echo = tokio::spawn(async move {
            let mut received = vec![0; length];
            far.read_exact(&mut received).await.unwrap();
            far.write_all(&received).await.unwrap();
        });
        near.write_all(&sent).await.unwrap();
        let mut received = Vec::new();
        near.read_to_end(&mut received).await.unwrap();
        echo.await.unwrap();
        assert!(received == back);
    }

    #[tokio::test]
    async fn a_short_read_is_followed_by_what_comes_later_and_by_the_end() {
        let (mut near, mut far) = pair().await;
        let mut room = [0; 64];
        for message in [&b"one"[..], b"two two", &[b'3'; 64]] {
            far.write_all(message).await.unwrap();
            let length = near.read(&mut room).await.unwrap();
            assert_eq!(&room[..length], message);
        }
        // Written and closed at once: the end must not be lost with the readiness.
        far.write_all(b"last").await.unwrap();
        drop(far);
        assert_eq!(near.read(&mut room).await.unwrap(), 4);
        assert_eq!(near.read(&mut room).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_connection_that_was_reset_is_an_error() {
        let (mut near, far) = pair().await;
        far.set_zero_linger().unwrap();
        drop(far);
        let mut room = [0; 8];
        let mut into = ReadBuf::new(&mut room);
        let read = poll_fn(|context| Pin::new(&mut near).poll_read(context, &mut into)).await;
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(near.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
