//! The contract on Postgres, and what only a server can suffer.

use std::sync::Arc;

use store::Store;

use crate::open_postgres;
use crate::testing::Server;

/// A store on a new database.
pub(super) async fn open() -> (Arc<dyn Store>, ()) {
    let options = Server::shared().database().await;
    (open_postgres(&options).await.unwrap(), ())
}

mod contract {
    store::contract!(super::open);
}
