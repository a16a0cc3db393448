//! The store on both databases, for real.

mod both;
mod opening;
mod postgres;
mod sqlite;
