//! Tests of the table as a whole.

mod arbitrary;
mod atc;
mod kong;
mod properties;
mod recorded;
mod stream;
