//! Writing: head, body and framing in as few system calls as the other side takes.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    task::{Poll, ready},
};

use tokio::io::AsyncWrite;

/// Writes all of `parts`, one behind the other, and sees to it that they leave. `written` counts the bytes that were
/// taken.
pub(crate) async fn write_all<S: AsyncWrite + Unpin, const N: usize>(
    io: &RefCell<S>,
    mut parts: [&[u8]; N],
    written: &Cell<u64>,
) -> io::Result<()> {
    poll_fn(|context| {
        let mut io = io.borrow_mut();
        loop {
            let mut slices = [IoSlice::new(&[]); N];
            let mut waiting = 0;
            for (part, slice) in parts.iter().filter(|part| !part.is_empty()).zip(&mut slices) {
                *slice = IoSlice::new(part);
                waiting += 1;
            }
            let taken = match slices.get(..waiting) {
                None | Some([]) => break,
                Some([one]) => ready!(Pin::new(&mut *io).poll_write(context, one))?,
                Some(many) => ready!(Pin::new(&mut *io).poll_write_vectored(context, many))?,
            };
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            written.set(written.get() + taken as u64);
            take(&mut parts, taken);
        }
        Pin::new(&mut *io).poll_flush(context)
    })
    .await
}

fn take(parts: &mut [&[u8]], mut length: usize) {
    for part in parts {
        let taken = length.min(part.len());
        *part = part.get(taken..).unwrap_or_default();
        length -= taken;
    }
}

/// Says that nothing more will be written.
pub(crate) async fn shut_down<S: AsyncWrite + Unpin>(io: &RefCell<S>) -> io::Result<()> {
    poll_fn(|context| Pin::new(&mut *io.borrow_mut()).poll_shutdown(context)).await
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use tokio::io::AsyncReadExt;

    use super::write_all;

    #[tokio::test]
    async fn parts_arrive_in_order_however_little_is_taken_at_once() {
        let (near, mut far) = tokio::io::duplex(3);
        let near = RefCell::new(near);
        let reader = tokio::spawn(async move {
            let mut text = String::new();
            far.read_to_string(&mut text).await.unwrap();
            text
        });
        let written = Cell::new(0);
        write_all(&near, [b"head ", b"", b"body of some length", b" end"], &written).await.unwrap();
        write_all(&near, [b"", b""], &written).await.unwrap();
        assert_eq!(written.get(), 28);
        drop(near);
        assert_eq!(reader.await.unwrap(), "head body of some length end");
    }
}
