//! Paths: the form in which they are matched, and the one that goes to the backend.

mod check;
mod escape;
mod upstream;

pub use check::{BadPath, check};
pub use escape::escape;
pub use model::types::normalise_path as normalise;
pub use upstream::upstream;

#[cfg(test)]
mod tests;
