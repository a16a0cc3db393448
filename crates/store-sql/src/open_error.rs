//! Why a store could not be opened, and what to do about it.

use std::io;

use sqlx::migrate::MigrateError;

use crate::fault::CORRUPT;

/// Why a store could not be opened. The texts name the place, the cause, and what to change.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database cannot be reached, or does not let us in.
    #[error("cannot use {place}: {cause}. {advice}")]
    Unreachable {
        /// Which database.
        place: String,
        /// What happened.
        cause: String,
        /// What to change.
        advice: String,
    },
    /// It is there and cannot serve as a store.
    #[error("cannot use {place}: {cause}. {advice}")]
    Unsuitable {
        /// Which database.
        place: String,
        /// What is wrong with it.
        cause: String,
        /// What to change.
        advice: String,
    },
    /// Another process has the SQLite file open.
    #[error(
        "cannot use {place}: another process has it open. SQLite serves one control plane; stop \
         the other one, or use Postgres (database = postgres) for several"
    )]
    Locked {
        /// Which file.
        place: String,
    },
    /// The tables cannot be brought to this version.
    #[error("cannot migrate {place}: {cause}. {advice}")]
    Migration {
        /// Which database.
        place: String,
        /// What is wrong.
        cause: String,
        /// What to do.
        advice: String,
    },
}

impl OpenError {
    /// What an error while connecting to Postgres means.
    pub(crate) fn postgres(place: &str, error: &sqlx::Error) -> OpenError {
        let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
        let advice = match (&*code, error) {
            ("28P01" | "28000", _) => {
                "Check pg_user and pg_password, and pg_hba.conf of the server".to_owned()
            }
            ("3D000", _) => "Create the database (createdb), or correct pg_database".to_owned(),
            ("3F000", _) => "Create the schema, or correct pg_schema".to_owned(),
            ("53300", _) => "Raise max_connections of the server, or lower \
                             pg_max_concurrent_queries"
                .to_owned(),
            ("57P03", _) => "The server is starting or stopping: try again soon".to_owned(),
            (_, sqlx::Error::Tls(_)) => "Check pg_ssl and pg_ssl_verify: the server must offer \
                                         TLS, with a certificate that is trusted"
                .to_owned(),
            (_, sqlx::Error::Io(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                "Nothing listens there: start Postgres, or correct pg_host and pg_port".to_owned()
            }
            (_, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut) => {
                "Check pg_host and pg_port, and that the network lets them through".to_owned()
            }
            _ => "Check the pg_* settings and the log of the server".to_owned(),
        };
        OpenError::Unreachable { place: place.to_owned(), cause: error.to_string(), advice }
    }

    /// What an error while opening a SQLite file means.
    pub(crate) fn sqlite(place: &str, error: &sqlx::Error) -> OpenError {
        let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
        let place = place.to_owned();
        let cause = error.to_string();
        match code.parse::<u32>().unwrap_or_default() & 0xff {
            11 => OpenError::Unsuitable { place, cause, advice: sentence(CORRUPT) },
            26 => OpenError::Unsuitable {
                place,
                cause,
                advice: format!(
                    "Either it is no SQLite file, then choose another path, or {CORRUPT}"
                ),
            },
            5 | 6 => OpenError::Locked { place },
            8 | 14 => OpenError::Unreachable {
                place,
                cause,
                advice: "Make the file and its directory writable for this user, or choose \
                         another path"
                    .to_owned(),
            },
            10 | 13 => OpenError::Unreachable {
                place,
                cause,
                advice: "See that its disk works and has free space".to_owned(),
            },
            _ => OpenError::Unreachable {
                place,
                cause,
                advice: "Choose another path, or restore a backup".to_owned(),
            },
        }
    }

    /// What an error of the file system around a SQLite file means.
    pub(crate) fn file(place: &str, doing: &str, error: &io::Error) -> OpenError {
        OpenError::Unreachable {
            place: place.to_owned(),
            cause: format!("{doing}: {error}"),
            advice: "Make its directory writable for this user, or choose another path".to_owned(),
        }
    }

    /// What an error while migrating means.
    pub(crate) fn migration(place: &str, error: &MigrateError) -> OpenError {
        let advice = match error {
            MigrateError::VersionMissing(_) => {
                "A newer version has been here: run that one, or restore a backup from before"
            }
            MigrateError::VersionMismatch(_) => {
                "It belongs to another build: restore a backup, or use an empty database"
            }
            _ => {
                "Nothing was changed. Correct the cause (the user needs the right to create \
                 tables in the schema) and start again"
            }
        };
        OpenError::Migration {
            place: place.to_owned(),
            cause: error.to_string(),
            advice: advice.to_owned(),
        }
    }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
