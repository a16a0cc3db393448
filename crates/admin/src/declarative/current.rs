//! What was loaded last, where there is no database.

use std::sync::{Mutex, MutexGuard, PoisonError};

use md5::{Digest, Md5};

/// The hash of the configuration that was loaded last: Kong's `configuration_hash`.
#[derive(Debug, Default)]
pub struct Current {
    hash: Mutex<Option<String>>,
}

/// Kong's hash when nothing was loaded.
const NOTHING: &str = "00000000000000000000000000000000";

impl Current {
    /// 32 hexadecimal digits, all zero when nothing was loaded.
    pub fn hash(&self) -> String {
        self.lock().clone().unwrap_or_else(|| NOTHING.to_owned())
    }

    /// Notes that the text with this hash is what is loaded.
    pub(crate) fn set(&self, hash: String) {
        *self.lock() = Some(hash);
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.hash.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kong's hash of a text: MD5, which only has to tell texts apart.
pub(crate) fn hash_of(text: &str) -> String {
    Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
