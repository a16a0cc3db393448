//! How large messages are, and how one is framed for gRPC.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

/// No message is larger than this, in bytes; both sides refuse what is.
///
/// It leaves room for one entity of the Admin API's largest body (10 MiB, as Kong's) in one
/// message.
pub const MAX_MESSAGE: usize = 16 << 20;

/// No entity has a larger body than this, in bytes, if it is to reach a data plane.
pub const MAX_BODY: usize = MAX_MESSAGE - (64 << 10);

/// What a message aims at, in bytes: a transaction that is larger is cut into parts, a snapshot
/// into blocks.
pub const PART: usize = 1 << 20;

/// A message with the prefix that gRPC puts before it (not compressed, length): ready to be sent
/// on any number of streams.
pub fn frame(message: &impl Message) -> Bytes {
    let len = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(5 + len);
    bytes.put_u8(0);
    // Every caller keeps to MAX_MESSAGE, which fits.
    bytes.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
    message.encode_raw(&mut bytes);
    bytes.freeze()
}
