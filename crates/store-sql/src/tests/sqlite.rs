//! The contract on SQLite, and what only a file can suffer.

use std::sync::Arc;

use store::Store;
use tempfile::TempDir;

use crate::{SqliteOptions, open_sqlite};

/// A store on a new file, and the directory that goes with it.
pub(super) async fn open() -> (Arc<dyn Store>, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weir.db");
    (open_sqlite(&SqliteOptions { path }).await.unwrap(), directory)
}

mod contract {
    store::contract!(super::open);
}
