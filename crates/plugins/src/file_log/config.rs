//! The configuration of `file-log`.

use std::collections::BTreeMap;

use schema::Field;

use crate::log;

schema::record! {
    /// Writes a record of each request to the end of a file, as one line of JSON.
    pub(super) struct Config {
        /// The file; it is made if it is not there. `/dev/stdout` is one, too.
        pub(super) path: String = Field::string().required().check(|path| {
            match path.contains(['*', '&', '%', '\\', '`']) || path.trim().is_empty() {
                true => Err("not a valid filename".to_owned()),
                false => Ok(()),
            }
        }),
        /// Whether the file is opened anew for what is written, so that one that was moved away is
        /// made again. Otherwise it is kept open.
        pub(super) reopen: bool = Field::boolean().required().default(false),
        /// Fields of the record, each by a chunk of Lua that returns its value; nothing takes the
        /// field away. A point in the key leads into an object.
        pub(super) custom_fields_by_lua: Option<BTreeMap<String, String>> = log::custom_fields(),
    }
}
