//! One request, top to bottom: read, route, plugins, balance, forward, answer.
//!
//! Owns: the traffic threads and everything on them: listeners, client connections, the life of a request, the
//! answers of the gateway's own. It must not know: where the configuration comes from (it reads snapshots), how a
//! peer is chosen or a plugin decides, stores, the Admin API.
//!
//! Start reading at `request.rs`.
#![forbid(unsafe_code)]

mod access_log;
mod again;
mod answer;
mod attempt;
mod attempt_http2;
mod client;
mod connection;
mod connection_http2;
mod counters;
mod date;
mod downstream;
mod error_template;
mod explain;
mod failure;
mod filtered;
mod forward;
mod held_body;
mod incoming;
mod listener;
mod log_line;
mod options;
mod outgoing;
mod own_answer;
mod peers;
mod phases;
mod plugin_answer;
mod prefixed;
mod protocol;
mod proxy_protocol;
mod record;
mod request;
mod response_head;
mod routing;
mod secure;
mod server;
mod stream;
mod thread;
mod timer;
mod tls;
mod upstream_head;
mod welcome;

pub use access_log::AccessLog;
pub use client::Trust;
pub use counters::{Totals, Traffic};
pub use error_template::{TemplateError, TemplateFiles};
pub use explain::{Explainer, Unexplained};
pub use failure::{Failure, Fault, Retry};
pub use listener::BindError;
pub use options::{Limits, Options};
pub use server::{Bound, Proxy, Running, StartError, Stopped};
pub use tls::TlsRules;

#[cfg(test)]
mod tests;
