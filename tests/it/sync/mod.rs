//! The change stream end to end: real publishers and real clients over connections that can be
//! cut, on time that passes only when everybody waits.

mod control_planes;
mod disk;
mod following;
mod planes;
mod rollouts;
mod scale;
mod siblings;
mod simulation;
mod skew;
mod sqlite;
mod store;
