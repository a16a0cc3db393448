//! Databases for gateways.

use std::sync::OnceLock;

use store_sql::PostgresOptions;
use store_sql::testing::Server;
use tokio::runtime::Runtime;

/// The settings of a new, empty database on the Postgres server of the tests.
///
/// # Panics
/// When there is no Postgres, with what to do about it.
pub fn postgres() -> Vec<(String, String)> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME
        .get_or_init(|| Runtime::new().unwrap_or_else(|error| panic!("no runtime: {error}")));
    settings_of(&runtime.block_on(Server::shared().database()))
}

/// The settings of a gateway on this database.
pub fn settings_of(options: &PostgresOptions) -> Vec<(String, String)> {
    let options = options.clone();
    let mut settings = vec![
        ("database", "postgres".to_owned()),
        ("pg_host", options.host),
        ("pg_port", options.port.to_string()),
        ("pg_user", options.user),
        ("pg_database", options.database),
    ];
    settings.extend(options.password.map(|password| ("pg_password", password)));
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
