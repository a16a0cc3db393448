//! A data plane's side of the stream: connect, follow, poll, catch up.
