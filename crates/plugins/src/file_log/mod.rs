//! `file-log`: writes a record of each request to the end of a file.

mod config;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::PluginProtocols;
use plugin::{Answered, BuildError, Instance, Outcome, Phases, Plugin};
use schema::Record;

use crate::declared::Declared;
use crate::log::{self, CustomFields};
use crate::queue::{Limits, Queue};
use crate::settings;
use config::Config;
use writer::Writer;

/// Lines go out some at a time, so that a request does not pay for a write of its own; while the disk takes none,
/// this much waits.
const LIMITS: Limits = Limits {
    batch: 1000,
    delay: Duration::from_millis(5),
    entries: 100_000,
    bytes: Some(64 << 20),
    // A file that cannot be written to now is no more likely to be in a moment.
    retry: None,
    first_wait: Duration::ZERO,
    longest_wait: Duration::ZERO,
    at_once: false,
};

/// A running instance of `file-log`.
#[derive(Debug)]
pub(crate) struct FileLog {
    custom: CustomFields,
    /// The path, and whether the file is opened anew each time.
    file: (PathBuf, bool),
    queue: Arc<Queue>,
}

impl Declared for FileLog {
    const NAME: &str = "file-log";
    const PRIORITY: i32 = 9;
    const PROTOCOLS: PluginProtocols = PluginProtocols::Any;
    const PHASES: Phases = Phases { log: true, ..Phases::NONE };
    const EXAMPLE: &str = include_str!("example.md");

    fn config() -> &'static Record {
        Config::record()
    }

    fn build(instance: &Instance<'_>, previous: Option<&Self>) -> Result<Self, BuildError> {
        let config: Config = settings::read(instance)?;
        let custom = CustomFields::new(config.custom_fields_by_lua.as_ref())?;
        let file = (PathBuf::from(config.path.trim()), config.reopen);
        let queue = match previous.filter(|previous| previous.file == file) {
            Some(previous) => Arc::clone(&previous.queue),
            None => {
                let name = format!("file-log {}", file.0.display());
                let writer = Writer::new(file.0.clone(), file.1);
                Arc::new(Queue::start(&name, LIMITS, instance.node, writer))
            }
        };
        Ok(FileLog { custom, file, queue })
    }
}

impl Plugin for FileLog {
    fn log(&self, exchange: &mut Answered<'_>, outcome: &Outcome<'_>) {
        self.queue.push(log::record(exchange, outcome, &self.custom));
    }
}
