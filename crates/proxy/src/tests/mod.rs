//! The proxy over real sockets, against scripted backends.

mod backend;
mod gateway;

mod bodies;
mod connections;
mod errors;
mod retries;
mod routing;
mod upgrade;

use backend::{Act, Backend};
use gateway::{Client, Gateway, split_head};
