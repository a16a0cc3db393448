//! Bytes both ways between a client and a target.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::pin,
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    incoming::{Buffers, Incoming},
    outgoing::{shut_down, write_all},
    timer::Timer,
};

/// How a tunnel ended where neither side broke it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Both sides said all.
    Closed,
    /// A side is gone without a word, or broke its own protocol.
    Broken,
    /// Nothing flowed for too long.
    Idle,
}

/// A tunnel's bounds and counts.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// How long both sides may be silent.
    pub(crate) idle: Duration,
    /// How long a side may take nothing of what it is sent.
    pub(crate) stalled: Duration,
    /// Bytes of the client that the target took.
    pub(crate) received: Cell<u64>,
    /// Bytes of the target that the client took.
    pub(crate) sent: Cell<u64>,
    /// Grows whenever a side sends something.
    moves: Cell<u64>,
}

impl Flow {
    /// A tunnel without a byte yet.
    pub(crate) fn new(idle: Duration, stalled: Duration) -> Flow {
        Flow { idle, stalled, ..Flow::default() }
    }

    /// Carries bytes until both sides have ended. One that ends may still be told things: its end is passed on, and
    /// the other direction stays. There is memory only for bytes that are on their way.
    pub(crate) async fn run<C, U>(&self, buffers: &Buffers, client: C, target: U) -> End
    where
        C: AsyncRead + AsyncWrite + Unpin,
        U: AsyncRead + AsyncWrite + Unpin,
    {
        let (client, target) = (RefCell::new(client), RefCell::new(target));
        let up = self.carry(buffers, &client, &target, &self.received);
        let down = self.carry(buffers, &target, &client, &self.sent);
        match tokio::try_join!(up, down) {
            Ok(_) => End::Closed,
            Err(end) => end,
        }
    }

    /// One direction, to its end. `carried` counts its bytes.
    async fn carry<R, W>(
        &self,
        buffers: &Buffers,
        from: &RefCell<R>,
        to: &RefCell<W>,
        carried: &Cell<u64>,
    ) -> Result<(), End>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let timer = Timer::default();
        let mut incoming = Incoming::default();
        let mut full_in_a_row = 0;
        loop {
            let fill = pin!(poll_fn(|context| {
                incoming.poll_fill(buffers, &mut *from.borrow_mut(), context)
            }));
            let length = match timer.limit_pauses(self.idle, &self.moves, fill).await {
                Err(_) => return Err(End::Idle),
                Ok(Err(_)) => return Err(End::Broken),
                Ok(Ok(0)) => break,
                Ok(Ok(length)) => length,
            };
            self.moves.set(self.moves.get() + 1);
            let write = write_all(to, [incoming.raw()], carried);
            match timer.limit_pauses(self.stalled, carried, pin!(write)).await {
                Err(_) => return Err(End::Idle),
                Ok(Err(_)) => return Err(End::Broken),
                Ok(Ok(())) => {}
            }
            incoming.skip(length);
            // Many bytes in a row are better carried by the larger handful.
            full_in_a_row = if length >= FULL { full_in_a_row + 1 } else { 0 };
            if full_in_a_row == 4 {
                incoming.enlarge(buffers);
            } else if full_in_a_row == 0 {
                incoming.give_back(buffers);
            }
        }
        incoming.clear(buffers);
        // A side that is gone needs not be told.
        let _ = timer.limit(self.stalled, pin!(shut_down(to))).await;
        Ok(())
    }
}

/// A read of this size found more than there was room for, most likely.
const FULL: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::{End, Flow};
    use crate::incoming::Buffers;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn bytes_go_both_ways_and_ends_are_passed_on() {
        let ((client, mut near), (target, mut far)) = (duplex(7), duplex(5));
        let flow = Flow::new(SECOND, SECOND);
        let buffers = Buffers::default();
        let talk = async {
            let mut question = String::new();
            let ask = async {
                near.write_all(b"a question of some length").await.unwrap();
                near.shutdown().await.unwrap();
            };
            let (read, ()) = tokio::join!(far.read_to_string(&mut question), ask);
            read.unwrap();
            // The client has said all, and still gets its answer.
            let reply = async {
                far.write_all(question.to_uppercase().as_bytes()).await.unwrap();
                drop(far);
            };
            let mut answer = String::new();
            let (read, ()) = tokio::join!(near.read_to_string(&mut answer), reply);
            read.unwrap();
            answer
        };
        let (end, answer) = tokio::join!(flow.run(&buffers, client, target), talk);
        assert_eq!((end, answer.as_str()), (End::Closed, "A QUESTION OF SOME LENGTH"));
        assert_eq!((flow.received.get(), flow.sent.get()), (25, 25));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_of_both_sides_ends_it() {
        let ((client, mut near), (target, _far)) = (duplex(64), duplex(64));
        let flow = Flow::new(SECOND * 3, SECOND * 60);
        let buffers = Buffers::default();
        let begun = tokio::time::Instant::now();
        let talk = async {
            for _ in 0..4 {
                tokio::time::sleep(SECOND * 2).await;
                near.write_all(b".").await.unwrap();
            }
        };
        let (end, ()) = tokio::join!(flow.run(&buffers, client, target), talk);
        assert_eq!(end, End::Idle);
        // Either side's word is enough to keep both.
        assert!((11..=14).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_that_takes_nothing_ends_it() {
        let ((client, mut near), (target, _far)) = (duplex(1 << 20), duplex(8));
        let flow = Flow::new(SECOND * 60, SECOND * 2);
        let buffers = Buffers::default();
        near.write_all(&[0; 100_000]).await.unwrap();
        assert_eq!(flow.run(&buffers, client, target).await, End::Idle);
    }
}
