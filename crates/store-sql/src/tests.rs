//! The store on both databases, for real.

mod both;
mod groups;
mod killed;
mod opening;
mod postgres;
mod replica;
mod sqlite;
