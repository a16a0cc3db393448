//! Fuzz targets: what strangers send us, read beside an oracle.
//!
//! Owns: for each target a function that takes any bytes and panics when Weir reads them otherwise
//! than the oracle does, and the seeds. Must not know: libFuzzer, which only the programs in `bin/`
//! see; so the seeds, and every input that once was a finding, run with all other tests.
#![forbid(unsafe_code)]

pub mod expression;
mod hyper_reads;
pub mod path;
pub mod request;
pub mod router;

#[cfg(test)]
mod tests;
