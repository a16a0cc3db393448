//! HTTP/1 messages without I/O: heads as bytes and ranges, body framing.
