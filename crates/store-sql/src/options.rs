//! How the databases are reached: plain values, filled in from the settings by whoever opens.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Which database the store is kept in.
#[derive(Clone, Debug)]
pub enum Database {
    /// A Postgres server.
    Postgres(PostgresOptions),
    /// A SQLite file.
    Sqlite(SqliteOptions),
}

/// How Postgres is reached.
#[derive(Clone)]
pub struct PostgresOptions {
    /// Name or address of the server, or the directory of its Unix socket (begins with `/`).
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who connects.
    pub user: String,
    /// The password, when the server asks for one.
    pub password: Option<String>,
    /// The database, which must exist, in UTF-8.
    pub database: String,
    /// The schema of the tables, which must exist; the user's default one when not given.
    pub schema: Option<String>,
    /// Whether and how the connection is encrypted.
    pub tls: Tls,
    /// How long connecting, and waiting for a free connection, may take.
    pub connect_timeout: Duration,
    /// How many connections read at the same time, at least 1. Five more write and notify.
    pub pool_size: u32,
    /// Where reads may go instead.
    pub replica: Option<ReplicaOptions>,
}

/// A replica of the database: a hot standby that follows it.
#[derive(Clone, Debug)]
pub struct ReplicaOptions {
    /// How it is reached; a replica of its own counts for nothing.
    pub server: Box<PostgresOptions>,
    /// What becomes of the reads.
    pub reads: Arc<ReplicaReads>,
}

/// How many reads came from a replica, and why the others did not.
#[derive(Debug, Default)]
pub struct ReplicaReads {
    /// They came from there.
    pub served: AtomicU64,
    /// It had not reached the newest revision that this process has written or seen.
    pub behind: AtomicU64,
    /// It did not answer.
    pub unreachable: AtomicU64,
    /// It was not asked, since it was of no use a moment ago.
    pub passed_over: AtomicU64,
}

impl ReplicaReads {
    pub(crate) fn count(of: &AtomicU64) {
        of.fetch_add(1, Ordering::Relaxed);
    }
}

/// The encryption of a connection to Postgres.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// None.
    Off,
    /// Required, but whoever answers is trusted: safe from listeners, not from impostors.
    Unverified,
    /// Required, and the server must present a certificate for its name.
    Verified {
        /// A PEM file of the authorities that are trusted instead of the public ones.
        roots: Option<PathBuf>,
    },
}

/// Where the SQLite file is.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The file; SQLite keeps `-wal` and `-shm` files beside it, and the lock is `.lock`.
    pub path: PathBuf,
}

impl PostgresOptions {
    /// What errors call it: everything that helps to find the mistake, nothing secret.
    pub(crate) fn place(&self) -> String {
        format!(
            "Postgres at {}:{}, database {:?}, user {:?}",
            self.host, self.port, self.database, self.user
        )
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "REDACTED"))
            .field("database", &self.database)
            .field("schema", &self.schema)
            .field("tls", &self.tls)
            .field("connect_timeout", &self.connect_timeout)
            .field("pool_size", &self.pool_size)
            .field("replica", &self.replica)
            .finish()
    }
}

impl SqliteOptions {
    /// What errors call it.
    pub(crate) fn place(&self) -> String {
        format!("SQLite file {}", self.path.display())
    }
}
