//! The messages between the planes.
