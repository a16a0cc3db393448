//! Where a setting comes from: default, file, environment, flag; later wins.
//!
//! Owns: the one table of settings (names, defaults, syntax, documentation: Kong's, where Kong
//! has the setting), their sources, and the report of everything that is wrong with them. It must
//! not know: what a setting is for. Only this crate reads the environment.
//!
//! A new setting is one entry in `table.rs`, made in the moment something reads it.
#![forbid(unsafe_code)]

mod args;
mod declare;
mod fault;
mod kong;
mod load;
mod source;
mod syntax;
mod table;
#[cfg(test)]
mod tests;
mod values;

pub use args::{args, from_matches};
pub use declare::{Default, Program, Setting};
pub use fault::{Fault, Faults, Origin};
pub use load::{Loaded, resolve};
pub use source::{Sources, system_environment};
pub use syntax::Shown;
pub use table::{ALL, Settings};
pub use values::{
    AccessLogFormat, CipherSuite, ClusterMtls, Database, DnsOrder, HostPort, Listener, LogFormat,
    LogLevel, RealIpHeader, ResponseHeaders, RouteMatchCalculation, RouterFlavor, Secret,
    TlsVersion, Trusted, VerifyClient, label,
};
