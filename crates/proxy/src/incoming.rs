//! Bytes that were received: what is read of a body, and behind it what is not read yet.

use std::{
    cell::RefCell,
    io,
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http1::{BodyDecoder, BodyError};
use tokio::io::{AsyncRead, ReadBuf};

/// Room for a head and the first bytes of a body. Larger buffers cost more in cache misses with many connections
/// than they save in system calls.
const SMALL: usize = 16 * 1024;
/// Room for bodies that are known to be long, and the most of a body that is kept to be sent again.
pub(crate) const LARGE: usize = 64 * 1024;

/// The free buffers of one thread.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    small: RefCell<Vec<Box<[u8]>>>,
    large: RefCell<Vec<Box<[u8]>>>,
}

/// Free buffers beyond these numbers are given back to the allocator: together at most 4 MB for each thread.
const SMALL_KEPT: usize = 192;
const LARGE_KEPT: usize = 16;

impl Buffers {
    fn take(&self, size: usize) -> Box<[u8]> {
        let free = if size == SMALL { &self.small } else { &self.large };
        free.borrow_mut().pop().unwrap_or_else(|| vec![0; size].into_boxed_slice())
    }

    fn give(&self, bytes: Box<[u8]>) {
        let (free, kept) = match bytes.len() {
            SMALL => (&self.small, SMALL_KEPT),
            LARGE => (&self.large, LARGE_KEPT),
            _ => return,
        };
        let mut free = free.borrow_mut();
        if free.len() < kept {
            free.push(bytes);
        }
    }
}

/// One direction of one connection: bytes as they were received, of which some are taken apart into data.
///
/// ```text
/// | free | data: a body without its framing | gap | raw: not looked at | free |
/// 0      start                              data  raw                  end
/// ```
/// Data is moved only where framing lay within it. While nothing is held there is no memory behind it, so that an
/// idle connection costs none.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    bytes: Box<[u8]>,
    start: usize,
    data: usize,
    raw: usize,
    end: usize,
}

impl Incoming {
    /// The bytes that were not looked at.
    pub(crate) fn raw(&self) -> &[u8] {
        self.bytes.get(self.raw..self.end).unwrap_or_default()
    }

    /// Takes the first bytes of those not looked at away.
    pub(crate) fn skip(&mut self, length: usize) {
        self.raw = (self.raw + length).min(self.end);
        if self.start == self.data {
            self.start = self.raw;
            self.data = self.raw;
        }
    }

    /// The data that was taken out of the bytes and not released.
    pub(crate) fn data(&self) -> &[u8] {
        self.bytes.get(self.start..self.data).unwrap_or_default()
    }

    /// Forgets the data.
    pub(crate) fn release(&mut self) {
        self.start = self.raw;
        self.data = self.raw;
    }

    /// Whether nothing is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.data && self.raw == self.end
    }

    /// Takes data out of the bytes that were not looked at, as far as they go.
    pub(crate) fn decode(&mut self, decoder: &mut BodyDecoder) -> Result<(), BodyError> {
        while self.raw < self.end && !decoder.is_done() {
            let piece = decoder.decode(self.bytes.get(self.raw..self.end).unwrap_or_default())?;
            let (used, length) = (piece.used, piece.data.len());
            if used == 0 {
                break;
            }
            self.raw += used;
            self.append(self.raw - length..self.raw);
        }
        Ok(())
    }

    /// Makes the bytes at `piece`, which end where the raw ones begin, the last of the data.
    fn append(&mut self, piece: Range<usize>) {
        if piece.is_empty() {
            if self.start == self.data {
                self.release();
            }
        } else if self.start == self.data {
            self.start = piece.start;
            self.data = piece.end;
        } else if self.data == piece.start {
            self.data = piece.end;
        } else {
            let length = piece.len();
            self.bytes.copy_within(piece, self.data);
            self.data += length;
        }
    }

    /// Reads from `io` once, into memory that is taken from `buffers` now and given back if nothing comes of it.
    /// Returns how many bytes came; 0 is the end.
    pub(crate) fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        buffers: &Buffers,
        io: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if !self.make_room(buffers) {
            return Poll::Ready(Err(io::Error::other("a receive buffer is full")));
        }
        let mut into = ReadBuf::new(self.bytes.get_mut(self.end..).unwrap_or_default());
        let read = Pin::new(io).poll_read(context, &mut into);
        let length = into.filled().len();
        self.end += length;
        if self.is_empty() {
            self.give_back(buffers);
        }
        ready!(read)?;
        Poll::Ready(Ok(length))
    }

    /// Whether another byte could be received.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes.len() < LARGE
            || self.start > 0
            || self.data < self.raw
            || self.end < self.bytes.len()
    }

    /// Makes the buffer the large one: the body is known to be long.
    pub(crate) fn enlarge(&mut self, buffers: &Buffers) {
        if self.bytes.len() < LARGE {
            self.move_to(buffers.take(LARGE), buffers);
        }
    }

    /// Gives the memory back if nothing is in it.
    pub(crate) fn give_back(&mut self, buffers: &Buffers) {
        if self.is_empty() {
            (self.start, self.data, self.raw, self.end) = (0, 0, 0, 0);
            buffers.give(std::mem::take(&mut self.bytes));
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self, buffers: &Buffers) {
        self.raw = self.end;
        self.release();
        self.give_back(buffers);
    }

    fn make_room(&mut self, buffers: &Buffers) -> bool {
        if self.bytes.is_empty() {
            self.bytes = buffers.take(SMALL);
            return true;
        }
        if self.is_empty() {
            (self.start, self.data, self.raw, self.end) = (0, 0, 0, 0);
        }
        if self.end < self.bytes.len() {
            return true;
        }
        if self.start == 0 && self.data == self.raw {
            if self.bytes.len() >= LARGE {
                return false;
            }
            self.move_to(buffers.take(LARGE), buffers);
        } else {
            let length = self.data - self.start;
            self.bytes.copy_within(self.start..self.data, 0);
            self.bytes.copy_within(self.raw..self.end, length);
            self.place(length);
        }
        true
    }

    fn move_to(&mut self, mut bytes: Box<[u8]>, buffers: &Buffers) {
        let (data, raw) = (self.data(), self.raw());
        let (length, all) = (data.len(), data.len() + raw.len());
        if let Some(place) = bytes.get_mut(..length) {
            place.copy_from_slice(data);
        }
        if let Some(place) = bytes.get_mut(length..all) {
            place.copy_from_slice(raw);
        }
        buffers.give(std::mem::replace(&mut self.bytes, bytes));
        self.place(length);
    }

    /// Notes that data of this length and the raw bytes behind it were moved to the front.
    fn place(&mut self, data: usize) {
        let raw = self.end - self.raw;
        (self.start, self.data, self.raw, self.end) = (0, data, data, data + raw);
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use http1::{BodyDecoder, Framing};
    use proptest::{collection::vec, prelude::any, proptest};

    use super::{Buffers, Incoming, LARGE, SMALL};

    /// Fills from bytes, at most `most` at once.
    fn fill(incoming: &mut Incoming, buffers: &Buffers, from: &mut &[u8], most: usize) -> usize {
        let (mut now, later) = from.split_at(most.min(from.len()));
        let Poll::Ready(read) =
            incoming.poll_fill(buffers, &mut now, &mut Context::from_waker(Waker::noop()))
        else {
            panic!("a slice is always ready");
        };
        let unread = now.len();
        *from = &from[from.len() - later.len() - unread..];
        read.unwrap()
    }

    #[test]
    fn holds_no_memory_while_it_holds_nothing() {
        let buffers = Buffers::default();
        let mut incoming = Incoming::default();
        assert_eq!(fill(&mut incoming, &buffers, &mut &b""[..], 9), 0);
        assert!(incoming.bytes.is_empty());
        assert_eq!(fill(&mut incoming, &buffers, &mut &b"GET"[..], 9), 3);
        assert_eq!(incoming.raw(), b"GET");
        incoming.skip(3);
        incoming.give_back(&buffers);
        assert!(incoming.bytes.is_empty());
        assert_eq!(buffers.small.borrow().len(), 1);
    }

    #[test]
    fn grows_once_and_then_is_full() {
        let buffers = Buffers::default();
        let mut incoming = Incoming::default();
        let bytes = vec![7; 2 * LARGE];
        let mut from = &bytes[..];
        assert_eq!(fill(&mut incoming, &buffers, &mut from, usize::MAX), SMALL);
        assert!(incoming.has_room());
        assert_eq!(fill(&mut incoming, &buffers, &mut from, usize::MAX), LARGE - SMALL);
        assert!(!incoming.has_room());
        assert_eq!(incoming.raw().len(), LARGE);
        incoming.skip(10);
        assert!(incoming.has_room());
        assert_eq!(fill(&mut incoming, &buffers, &mut from, usize::MAX), 10);
    }

    proptest! {
        #[test]
        fn chunks_of_any_size_become_one_run_of_data(
            pieces in vec(vec(any::<u8>(), 1..3000), 1..12),
            reads in vec(1_usize..5000, 1..5),
            release in vec(any::<bool>(), 1..7),
        ) {
            let mut wire = Vec::new();
            for piece in &pieces {
                http1::write_chunk_start(&mut wire, piece.len());
                wire.extend_from_slice(piece);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\nrest");
            let buffers = Buffers::default();
            let mut incoming = Incoming::default();
            let mut decoder = BodyDecoder::new(Framing::Chunked);
            let (mut from, mut body) = (&wire[..], Vec::new());
            let (mut reads, mut release) = (reads.iter().cycle(), release.iter().cycle());
            while !decoder.is_done() || !from.is_empty() {
                fill(&mut incoming, &buffers, &mut from, *reads.next().unwrap());
                incoming.decode(&mut decoder).unwrap();
                if *release.next().unwrap() {
                    body.extend_from_slice(incoming.data());
                    incoming.release();
                }
            }
            body.extend_from_slice(incoming.data());
            assert_eq!(body, pieces.concat());
            assert_eq!(incoming.raw(), b"rest");
        }
    }
}
