//! What the Admin API sees of this process.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use admin::{Connections, Counters, Object};
use process::Process;
use serde_json::Value;
use settings::{Listener, Settings, Shown};
use telemetry::logging::Level;
use tokio::task::AbortHandle;

use crate::local::LocalDataPlane;

/// This process as the Admin API sees it.
pub(crate) struct Node {
    process: Process,
    admin: Arc<Counters>,
    local: Option<Arc<dyn LocalDataPlane>>,
    /// Takes a log level that was set for a time back.
    reverting: Mutex<Option<AbortHandle>>,
}

impl Node {
    pub(crate) fn new(
        process: Process,
        admin: Arc<Counters>,
        local: Option<Arc<dyn LocalDataPlane>>,
    ) -> Node {
        Node { process, admin, local, reverting: Mutex::default() }
    }
}

impl admin::Node for Node {
    fn connections(&self) -> Connections {
        let ours = self.admin.read();
        let Some(theirs) = self.local.as_ref().map(|local| local.connections()) else {
            return ours;
        };
        Connections {
            accepted: ours.accepted + theirs.accepted,
            handled: ours.handled + theirs.handled,
            active: ours.active + theirs.active,
            reading: ours.reading + theirs.reading,
            writing: ours.writing + theirs.writing,
            waiting: ours.waiting + theirs.waiting,
            requests: ours.requests + theirs.requests,
        }
    }

    fn resident_memory(&self) -> u64 {
        process::resident_memory()
    }

    fn metrics(&self) -> String {
        self.process.metrics.render()
    }

    fn log_level(&self) -> Level {
        self.process.log.level()
    }

    fn set_log_level(&self, level: Level, during: Option<Duration>) -> Result<(), String> {
        let mut reverting = self.reverting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = reverting.take() {
            earlier.abort();
        }
        let before = self.process.log.level();
        self.process.log.set_level(level);
        tracing::info!(%level, ?during, "the log level was changed");
        if let Some(during) = during {
            let log = self.process.log.clone();
            let revert = tokio::spawn(async move {
                tokio::time::sleep(during).await;
                log.set_level(before);
                tracing::info!(level = %before, "the log level is as it was before");
            });
            *reverting = Some(revert.abort_handle());
        }
        Ok(())
    }
}

/// The settings as `GET /` shows them.
pub(crate) fn configuration(settings: &Settings) -> Object {
    let value = |shown| match shown {
        Shown::Nothing => Value::Null,
        Shown::Bool(value) => value.into(),
        // Whole numbers as such: clients read ports and counts as integers.
        Shown::Number(value) if value.fract() == 0.0 && value.abs() < 9e15 => (value as i64).into(),
        Shown::Number(value) => value.into(),
        Shown::Text(value) => value.into(),
        Shown::List(value) => value.into(),
    };
    let shown = settings.shown().into_iter().map(|(name, shown)| (name.to_owned(), value(shown)));
    // What Kong's clients look for beside: its name for the data directory, the plugins that may
    // be configured, the listeners taken apart.
    let mut further = vec![
        ("prefix".to_owned(), settings.data_dir.display().to_string().into()),
        ("plugins".to_owned(), serde_json::json!(["bundled"])),
    ];
    for (name, listen) in [
        ("admin", &settings.admin_listen),
        ("proxy", &settings.proxy_listen),
        ("status", &settings.status_listen),
    ] {
        let listeners: Vec<Value> = listen.iter().map(listener).collect();
        further.push((format!("{name}_listeners"), listeners.into()));
        let ssl = listen.iter().any(|listener| listener.ssl);
        further.push((format!("{name}_ssl_enabled"), ssl.into()));
    }
    let mut all: Object = further.into_iter().collect();
    all.extend(shown);
    all
}

/// A listener as Kong takes it apart.
fn listener(listener: &Listener) -> Value {
    serde_json::json!({
        "ip": listener.at.host,
        "port": listener.at.port,
        "ssl": listener.ssl,
        "http2": listener.http2,
        "proxy_protocol": listener.proxy_protocol,
        "listener": listener.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use settings::{Program, Sources};

    use super::*;

    #[test]
    fn listeners_are_shown_as_given_and_taken_apart() {
        let listen = "127.0.0.1:8001, [::1]:8444 http2 ssl backlog=16";
        let flags =
            [("admin_listen", listen), ("admin_ssl_cert", "c"), ("admin_ssl_cert_key", "k")];
        let flags = flags.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let sources = Sources { flags, ..Sources::default() };
        let loaded = settings::resolve(Program::Weir, &sources).unwrap();
        let shown = configuration(&loaded.settings);
        assert_eq!(shown["admin_listen"][1], "[::1]:8444 ssl http2 backlog=16");
        let expected = serde_json::json!({
            "ip": "::1", "port": 8444, "ssl": true, "http2": true, "proxy_protocol": false,
            "listener": "[::1]:8444 ssl http2 backlog=16",
        });
        assert_eq!(shown["admin_listeners"][1], expected);
        assert_eq!(
            (&shown["admin_ssl_enabled"], &shown["status_ssl_enabled"]),
            (&true.into(), &false.into())
        );
        assert_eq!(shown["admin_ssl_cert_key"], "******");
    }
}
