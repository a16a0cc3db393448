//! The control plane: Admin API, store, stream.

fn main() {}
