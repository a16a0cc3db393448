//! HTTP/1 messages without I/O: heads as bytes and ranges, body framing.
//!
//! This crate owns the grammar of RFC 9112 as a gateway must read it, strictly: what cannot be read in exactly
//! one way is refused, because the next hop might read it in the other way (request smuggling). It owns no socket,
//! no buffer policy, no clock, and it does not know Kong: which status a refusal gets is the proxy's business.
//!
//! A head is one piece of memory plus the ranges of its parts. HTTP/2 requests are written into the same
//! [`RequestHead`], so that everything behind it is one code path.
#![forbid(unsafe_code)]

mod body;
mod chunked;
mod decimal;
mod fields;
mod framing;
mod name;
mod request;
mod response;
mod scan;
mod target;

pub use body::{BodyDecoder, BodyError, Piece};
pub use chunked::{ChunkError, ChunkedDecoder, LAST_CHUNK, write_chunk_start};
pub use decimal::{Decimal, write_decimal, write_ipv4};
pub use fields::{Field, Fields, Names, write_field};
pub use framing::{
    ConnectionOptions, Framing, FramingError, list, request_framing, response_framing,
};
pub use name::Name;
pub use request::{HeadError, RequestHead, Version};
pub use response::{ResponseError, ResponseHead, reason_phrase};
pub use scan::{HeadScan, Limits, ScanError};
pub use target::{Host, TargetError};

#[cfg(test)]
mod tests;
