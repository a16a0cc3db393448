//! How a plugin reads and changes bodies.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http1::{Framing, Name, ResponseHead};

/// Why a request's body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is longer than the reader's limit; what was read is still sent on.
    #[error("the body is longer than the limit")]
    TooLong,
    /// The client broke off, sent something that is no body, or was too slow.
    #[error("the client did not send its body whole")]
    Broken,
}

/// The request's body, not yet read by anybody.
pub trait RequestBody {
    /// Reads the whole body, at most `limit` bytes, and keeps it for the upstream and for further
    /// readers.
    fn read<'a>(
        &'a mut self,
        limit: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Bytes, BodyError>> + 'a>>;

    /// Replaces the body that the upstream gets. The framing of the request follows it.
    fn replace(&mut self, body: Bytes);

    /// Ends the request with 413 should its body turn out to be longer than this many bytes: for
    /// bodies too long to be read here.
    fn limit(&mut self, bytes: u64);

    /// The length that the client announced; `None` for a chunked body.
    fn announced(&self) -> Option<u64>;
}

/// One piece of an answer's body on its way to the client.
#[derive(Debug)]
pub struct ResponseBody<'a> {
    /// The bytes of this piece; a plugin may change, withhold or replace them.
    pub piece: &'a mut Vec<u8>,
    /// Whether nothing follows.
    pub last: bool,
}

impl ResponseBody<'_> {
    /// Notes in an answer's head that the length of its body will change.
    pub fn changes_length(head: &mut ResponseHead) {
        head.fields.remove(Name::ContentLength);
        if head.framing() != Framing::None {
            head.set_framing(Framing::Chunked);
        }
    }
}
