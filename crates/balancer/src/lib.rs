//! Which target gets the next request: algorithms and health, without I/O.
