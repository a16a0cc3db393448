//! `file-log`: writes a record of each request to the end of a file.

mod config;
mod writer;

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::PluginProtocols;
use plugin::{Answered, BuildError, Definition, Instance, Listing, Outcome, Phases, Plugin};
use schema::Field;

use crate::log::{self, CustomFields};
use crate::queue::{Limits, Queue};
use crate::settings;
use config::Config;
use writer::Writer;

pub(crate) fn definition() -> Definition {
    Definition {
        listing: Listing {
            name: "file-log",
            version: crate::VERSION,
            priority: 9,
            schema: model::Plugin::subschema(
                Field::record(Config::record().clone()),
                PluginProtocols::Any,
                &[],
            ),
        },
        phases: Phases { log: true, ..Phases::default() },
        build,
    }
}

/// Lines go out as soon as the disk takes them; while it does not, this much waits.
const LIMITS: Limits = Limits {
    batch: 1000,
    delay: Duration::ZERO,
    entries: 100_000,
    bytes: Some(64 << 20),
    // A file that cannot be written to now is no more likely to be in a moment.
    retry: None,
    first_wait: Duration::ZERO,
    longest_wait: Duration::ZERO,
    at_once: false,
};

fn build(instance: &Instance<'_>) -> Result<Arc<dyn Plugin>, BuildError> {
    let config: Config = settings::read(instance)?;
    let custom = CustomFields::new(config.custom_fields_by_lua.as_ref())?;
    let file = (PathBuf::from(config.path.trim()), config.reopen);
    let previous = instance.previous.and_then(|previous| {
        let previous: &dyn Any = &**previous;
        previous.downcast_ref::<FileLog>()
    });
    let queue = match previous.filter(|previous| previous.file == file) {
        Some(previous) => Arc::clone(&previous.queue),
        None => {
            let name = format!("file-log {}", file.0.display());
            let writer = Writer::new(file.0.clone(), file.1);
            Arc::new(Queue::start(&name, LIMITS, instance.node, writer))
        }
    };
    Ok(Arc::new(FileLog { custom, file, queue }))
}

#[derive(Debug)]
struct FileLog {
    custom: CustomFields,
    /// The path, and whether the file is opened anew each time.
    file: (PathBuf, bool),
    queue: Arc<Queue>,
}

impl Plugin for FileLog {
    fn log(&self, exchange: &mut Answered<'_>, outcome: &Outcome<'_>) {
        self.queue.push(log::record(exchange, outcome, &self.custom));
    }
}
