//! The frames of a stream, ready to be sent.

use bytes::Bytes;
use model::{Cursor, Digest, Transaction};
use telemetry::build_info::VERSION;
use wire::v1::watch_frame::Kind;
use wire::v1::{self, resync::Reason};

/// A transaction as frames that any number of streams share.
#[derive(Clone, Debug)]
pub(crate) struct Framed {
    /// The revision that it follows.
    pub(crate) prev: u64,
    /// The revision that it reaches.
    pub(crate) revision: u64,
    /// One or more; a stream that sends one sends all.
    pub(crate) frames: Vec<Bytes>,
}

impl Framed {
    pub(crate) fn new(transaction: &Transaction) -> Framed {
        let frames = wire::parts(transaction).into_iter().map(Kind::Transaction).map(watch);
        Framed { prev: transaction.prev, revision: transaction.revision, frames: frames.collect() }
    }

    /// How many bytes they take.
    pub(crate) fn size(&self) -> usize {
        self.frames.iter().map(Bytes::len).sum()
    }
}

pub(crate) fn hello(head: Cursor, compacted: u64, bookmark_ms: u32) -> Bytes {
    let head = Some(wire::cursor_to(head));
    let version = VERSION.to_owned();
    watch(Kind::Hello(v1::Hello { head, compacted, bookmark_ms, version }))
}

pub(crate) fn bookmark(revision: u64, digest: Digest) -> Bytes {
    let digest = Bytes::copy_from_slice(&digest.to_bytes());
    watch(Kind::Bookmark(v1::Bookmark { revision, digest }))
}

pub(crate) fn resync(reason: Reason, head: Cursor) -> Bytes {
    watch(Kind::Resync(resync_message(reason, head)))
}

pub(crate) fn resync_message(reason: Reason, head: Cursor) -> v1::Resync {
    v1::Resync { reason: reason.into(), head: Some(wire::cursor_to(head)) }
}

pub(crate) fn goodbye(retry_after_ms: u32) -> Bytes {
    let reason = "the control plane is shutting down".to_owned();
    watch(Kind::Goodbye(v1::Goodbye { retry_after_ms, reason }))
}

fn watch(kind: Kind) -> Bytes {
    wire::frame(&v1::WatchFrame { kind: Some(kind) })
}
