//! The shapes of traffic, and who is compared under each of them.

use std::time::Duration;

use clap::ValueEnum;

use crate::bench::load::{GRPC_METHOD, Load, Tool};
use crate::bench::peers::BOTH_CPUS;
use crate::bench::weir::Setup;

/// A shape of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Case {
    /// 100 bytes, 64 connections
    Small,
    /// 10 kB, 64 connections
    Body10k,
    /// 100 kB, 64 connections
    Body100k,
    /// 10 kB sent, 64 connections
    Post10k,
    /// 100 bytes, 1,000 busy connections
    Connections1000,
    /// 100 bytes at half of what the slowest gateway manages: the latency that counts
    HalfLoad,
    /// 100 bytes over TLS, 64 connections that stay open
    Tls,
    /// A TLS handshake and one small request, again and again
    TlsHandshakes,
    /// The same with resumed sessions
    TlsResumed,
    /// 100 bytes, HTTP/2 without TLS, 16 connections of 32 streams
    Http2,
    /// Unary calls of gRPC, 100 bytes each way, 16 connections of 32 streams
    Grpc,
    /// No route: Weir's own 404
    NoRoute,
    /// 100 bytes through 1, 100, 10,000 and 100,000 routes of Weir
    Routes,
    /// 100 bytes with key-auth, rate-limiting and prometheus, beside none
    Pipeline,
    /// 100 bytes with two traffic threads, beside two processes of one each, which share nothing, and one of one
    Threads,
    /// 100 bytes at 10,000 routes with 50 changes a second, beside none, at the same offered load
    Changes,
}

/// Who takes part. The first is the one that the others are measured against.
#[derive(Clone, Copy, Debug)]
pub(super) enum Contestant {
    Weir(Setup),
    Nginx,
    Haproxy,
    Pingora,
    Envoy,
}

/// Peers that take part where they are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Guests {
    pub(super) pingora: bool,
    pub(super) envoy: bool,
}

/// Requests per second of the cases whose load is given, before it is known what the slowest manages.
const OFFERED: u32 = 6_000;

impl Case {
    /// Who takes part in it; `guests` where they can.
    pub(super) fn contestants(self, guests: Guests) -> Vec<Contestant> {
        let plain = Setup::PLAIN;
        let with = |setup: Setup| Contestant::Weir(setup);
        match self {
            Case::NoRoute => vec![with(Setup { label: "weir without a route", ..plain })],
            Case::Routes => [100_000, 10_000, 100, 1]
                .into_iter()
                .zip(["weir 100,000 routes", "weir 10,000", "weir 100", "weir 1"])
                .map(|(routes, label)| with(Setup { label, routes, ..plain }))
                .collect(),
            Case::Pipeline => vec![
                with(Setup { label: "weir 3 plugins", plugins: true, ..plain }),
                with(Setup { label: "weir none", ..plain }),
            ],
            Case::Changes => vec![
                with(Setup { label: "weir changing", routes: 10_000, changes: 50, ..plain }),
                with(Setup { label: "weir quiet", routes: 10_000, ..plain }),
            ],
            Case::Threads => vec![
                with(Setup { label: "weir 2 threads", threads: 2, cpus: BOTH_CPUS, ..plain }),
                with(Setup { label: "weir 2 processes", twice: true, cpus: BOTH_CPUS, ..plain }),
                with(Setup { label: "weir 1 thread", cpus: BOTH_CPUS, ..plain }),
            ],
            Case::Grpc => {
                vec![with(Setup { grpc: true, ..plain }), Contestant::Nginx, Contestant::Haproxy]
            }
            Case::Tls | Case::TlsHandshakes | Case::TlsResumed | Case::Http2 => {
                vec![with(plain), Contestant::Nginx, Contestant::Haproxy]
            }
            _ => [with(plain), Contestant::Nginx, Contestant::Haproxy]
                .into_iter()
                .chain(guests.pingora.then_some(Contestant::Pingora))
                .chain(guests.envoy.then_some(Contestant::Envoy))
                .collect(),
        }
    }

    /// What is asked for. `offered` is the rate of the cases that do not ask for as much as they can get.
    pub(super) fn load(self, seconds: u64, offered: Option<u32>) -> Load {
        let small = Load {
            tool: Tool::Wrk,
            path: "/small",
            connections: 64,
            body: 0,
            tls: false,
            duration: Duration::from_secs(seconds),
            fields: &[],
        };
        match self {
            Case::Small | Case::Routes | Case::Pipeline | Case::Threads => small,
            Case::Body10k => Load { path: "/10k", ..small },
            Case::Body100k => Load { path: "/100k", ..small },
            Case::Post10k => Load { path: "/post", body: 10_000, ..small },
            Case::Connections1000 => Load { connections: 1000, ..small },
            Case::HalfLoad | Case::Changes => {
                Load { tool: Tool::Rate(offered.unwrap_or(OFFERED)), ..small }
            }
            Case::Tls => Load { tls: true, ..small },
            Case::TlsHandshakes => {
                Load { tool: Tool::Handshakes { resumed: false }, tls: true, ..small }
            }
            Case::TlsResumed => {
                Load { tool: Tool::Handshakes { resumed: true }, tls: true, ..small }
            }
            Case::Http2 => Load { tool: Tool::Http2, connections: 16, ..small },
            Case::Grpc => Load { tool: Tool::Grpc, path: GRPC_METHOD, connections: 16, ..small },
            Case::NoRoute => Load { tool: Tool::Refused, ..small },
        }
    }

    /// Its name on the command line.
    pub(super) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// What it is, in a line.
    pub(super) fn title(self) -> String {
        let value = self.to_possible_value();
        value.and_then(|value| value.get_help().map(ToString::to_string)).unwrap_or_default()
    }

    /// Whether its rate is to be found first: half of what the slowest gateway manages.
    pub(super) fn at_half_load(self) -> bool {
        self == Case::HalfLoad
    }
}
