//! The proxy over real sockets, against scripted backends.

mod backend;
mod gateway;

mod bodies;
mod clients;
mod connections;
mod errors;
mod explain;
mod flow;
mod grpc;
mod http2;
mod long_bodies;
mod plugins;
mod proxy_protocol;
mod retries;
mod routing;
mod skew;
mod smuggling;
mod streams;
mod tls;
mod upgrade;

use backend::{Act, Backend};
use gateway::{Client, Gateway, split_head};
