//! The data plane: follow the stream, serve traffic.

fn main() {}
