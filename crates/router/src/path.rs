//! Paths: the form in which they are matched, and the one that goes to the backend.

mod check;
mod escape;
mod normalise;
mod upstream;

pub use check::{BadPath, check};
pub use escape::escape;
pub use normalise::normalise;
pub use upstream::upstream;

#[cfg(test)]
mod tests;
