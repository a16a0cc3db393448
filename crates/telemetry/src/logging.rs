//! Log lines: text for people, JSON for machines, on standard error.

use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::Registry;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

/// Kong's log levels, from the most to the least talkative.
///
/// Weir writes at five severities (trace to error), so some of these mean the same: `notice` and
/// `info` both show Weir's information, `info` also that of its libraries; `error` to `emerg` all
/// show errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything, for finding a defect.
    Debug,
    /// What Weir and its libraries do.
    Info,
    /// What Weir does (the default).
    Notice,
    /// What an operator should look at.
    Warn,
    /// What failed.
    Error,
    /// As `error`.
    Crit,
    /// As `error`.
    Alert,
    /// As `error`.
    Emerg,
}

impl Level {
    /// All levels, in order.
    pub const ALL: [Level; 8] = [
        Level::Debug,
        Level::Info,
        Level::Notice,
        Level::Warn,
        Level::Error,
        Level::Crit,
        Level::Alert,
        Level::Emerg,
    ];

    /// Kong's name of it.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Notice => "notice",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Crit => "crit",
            Level::Alert => "alert",
            Level::Emerg => "emerg",
        }
    }

    fn filter(self) -> Targets {
        let (ours, libraries) = match self {
            Level::Debug => (LevelFilter::DEBUG, LevelFilter::INFO),
            Level::Info => (LevelFilter::INFO, LevelFilter::INFO),
            Level::Notice => (LevelFilter::INFO, LevelFilter::WARN),
            Level::Warn => (LevelFilter::WARN, LevelFilter::WARN),
            Level::Error | Level::Crit | Level::Alert | Level::Emerg => {
                (LevelFilter::ERROR, LevelFilter::ERROR)
            }
        };
        LIBRARIES.iter().fold(Targets::new().with_default(ours), |filter, library| {
            filter.with_target(*library, libraries)
        })
    }
}

/// Libraries whose information is about themselves.
const LIBRARIES: [&str; 10] = [
    "axum",
    "h2",
    "hickory_net",
    "hickory_proto",
    "hickory_resolver",
    "hyper",
    "hyper_util",
    "rustls",
    "sqlx",
    "tonic",
];

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(name: &str) -> Result<Level, UnknownLevel> {
        Level::ALL
            .into_iter()
            .find(|level| level.name() == name)
            .ok_or_else(|| UnknownLevel(name.to_owned()))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No such log level.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no log level (debug, info, notice, warn, error, crit, alert, emerg)")]
pub struct UnknownLevel(pub String);

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One line of text: time, level, message, fields.
    Text,
    /// One JSON object per line: `timestamp`, `level`, `target`, `message`, fields.
    Json,
}

/// Logging could not start.
#[derive(Debug, thiserror::Error)]
#[error("logging cannot start: {0}")]
pub struct StartError(String);

/// Changes the level at run time. Clones share it.
#[derive(Clone)]
pub struct Handle {
    level: Arc<Mutex<Level>>,
    filter: Option<reload::Handle<Targets, Registry>>,
}

impl Handle {
    /// A handle on logging that this process does not own (a test's); it remembers the level and
    /// changes nothing.
    pub fn detached(level: Level) -> Handle {
        Handle { level: Arc::new(Mutex::new(level)), filter: None }
    }

    /// The present level.
    pub fn level(&self) -> Level {
        *self.level.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, this level.
    pub fn set_level(&self, level: Level) {
        let mut present = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(filter) = &self.filter
            && let Err(error) = filter.reload(level.filter())
        {
            tracing::error!(%error, "the log level could not be changed");
            return;
        }
        *present = level;
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("level", &self.level()).finish_non_exhaustive()
    }
}

/// Starts logging for this process, to standard error.
///
/// # Errors
/// When logging was started before.
pub fn start(level: Level, format: Format) -> Result<Handle, StartError> {
    let (filter, handle) = reload::Layer::new(level.filter());
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        Format::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    // The filter is a layer and not the filter of one: such a filter remembers a library's question
    // whether a line would be written, and then drops the next line of that thread.
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()
        .map_err(|error| StartError(error.to_string()))?;
    Ok(Handle { level: Arc::new(Mutex::new(level)), filter: Some(handle) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_kongs() {
        for level in Level::ALL {
            assert_eq!(level.name().parse::<Level>().unwrap(), level);
        }
        let error = "loud".parse::<Level>().unwrap_err().to_string();
        assert!(error.starts_with("\"loud\" is no log level (debug, info, notice"), "{error}");
    }

    #[test]
    fn libraries_are_quieter_than_weir() {
        let shows = |level: Level, target: &str, severity: tracing::Level| {
            level.filter().would_enable(target, &severity)
        };
        assert!(shows(Level::Notice, "publish::tail", tracing::Level::INFO));
        assert!(!shows(Level::Notice, "h2::codec", tracing::Level::INFO));
        assert!(shows(Level::Info, "h2::codec", tracing::Level::INFO));
        assert!(!shows(Level::Debug, "h2::codec", tracing::Level::DEBUG));
        assert!(shows(Level::Debug, "proxy", tracing::Level::DEBUG));
        assert!(!shows(Level::Crit, "proxy", tracing::Level::WARN));
        assert!(shows(Level::Emerg, "proxy", tracing::Level::ERROR));
    }

    #[test]
    fn a_detached_handle_remembers() {
        let handle = Handle::detached(Level::Notice);
        handle.clone().set_level(Level::Debug);
        assert_eq!(handle.level(), Level::Debug);
    }
}
