//! What a database's error means: for the caller, and for what to do next.

use store::Error;

/// Why a step against the database failed, by what to do next.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Another writer came between, and the database broke it off: look again.
    Race(String),
    /// The connection is gone or useless, and nothing was committed: connect again.
    Lost(String),
    /// The connection went while the commit was on its way: nobody knows.
    Unknown(String),
    /// The database refused, and will again.
    Refused(Error),
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        match fault {
            Fault::Race(text) => Error::Unavailable(format!(
                "other writers keep changing the same entities; try again ({text})"
            )),
            Fault::Lost(text) | Fault::Unknown(text) => Error::Unavailable(text),
            Fault::Refused(error) => error,
        }
    }
}

impl Fault {
    /// A fault that more than one caller gets to hear of.
    pub(crate) fn copy(&self) -> Fault {
        match self {
            Fault::Race(text) => Fault::Race(text.clone()),
            Fault::Lost(text) => Fault::Lost(text.clone()),
            Fault::Unknown(text) => Fault::Unknown(text.clone()),
            Fault::Refused(Error::Unavailable(text)) => {
                Fault::Refused(Error::Unavailable(text.clone()))
            }
            Fault::Refused(Error::Failed(text)) => Fault::Refused(Error::Failed(text.clone())),
            Fault::Refused(other) => Fault::Refused(Error::Failed(other.to_string())),
        }
    }
}

/// What an error of Postgres means. `place` says which server and database it is.
pub(crate) fn postgres(place: &str, error: &sqlx::Error) -> Fault {
    let text = format!("{place}: {error}");
    let code = error.as_database_error().and_then(|error| error.code());
    let Some(code) = code else {
        return match error {
            sqlx::Error::PoolTimedOut => Fault::Refused(Error::Unavailable(format!(
                "{place}: no connection became free in time; the server does not answer, or \
                 pg_max_concurrent_queries is too low"
            ))),
            other => client(place, other),
        };
    };
    let unavailable = |why: &str| Fault::Refused(Error::Unavailable(format!("{text} ({why})")));
    match &*code {
        // A constraint that the judgement did not see: somebody committed in between.
        "23505" | "23503" | "40001" | "40P01" => Fault::Race(text),
        "55P03" => unavailable("another writer holds what this one needs"),
        "57014" => unavailable("it took longer than a statement may take"),
        "53100" => unavailable("free space on the disk of the server"),
        "53300" => unavailable("raise max_connections of the server, or lower the pool size"),
        // Read-only: this server became a standby; a new connection finds the primary where the
        // name leads to it. A plan that a migration has outdated: a new connection plans anew.
        "25006" | "0A000" | "26000" => Fault::Lost(text),
        code if code.starts_with("08") || code.starts_with("57P") || code == "25P03" => {
            Fault::Lost(text)
        }
        code if code.starts_with("53") || code.starts_with("58") => {
            Fault::Refused(Error::Unavailable(text))
        }
        "42P01" | "42703" => Fault::Refused(Error::Failed(format!(
            "{text} (its tables are not those of this version: run the migrations)"
        ))),
        "42501" => Fault::Refused(Error::Failed(format!(
            "{text} (grant the user the rights on the tables of the schema)"
        ))),
        _ => Fault::Refused(Error::Failed(text)),
    }
}

/// What an error of SQLite means. `place` names the file.
pub(crate) fn sqlite(place: &str, error: &sqlx::Error) -> Fault {
    let text = format!("{place}: {error}");
    let code = error.as_database_error().and_then(|error| error.code());
    let Some(code) = code.and_then(|code| code.parse::<u32>().ok()) else {
        return match error {
            sqlx::Error::PoolTimedOut => Fault::Refused(Error::Unavailable(format!(
                "{place}: all readers are busy; try later"
            ))),
            other => client(place, other),
        };
    };
    let unavailable = |why: &str| Fault::Refused(Error::Unavailable(format!("{text} ({why})")));
    // The low byte is the kind of error, the rest a detail of it.
    match code & 0xff {
        5 | 6 => unavailable("another program writes to the file"),
        8 => unavailable("the file or its directory cannot be written: see its owner and mount"),
        10 => unavailable("the disk failed or is full"),
        13 => unavailable("free space on the disk"),
        7 | 14 => Fault::Refused(Error::Unavailable(text)),
        11 | 26 => Fault::Refused(Error::Failed(format!("{text} ({CORRUPT})"))),
        _ => Fault::Refused(Error::Failed(text)),
    }
}

/// What to do with a SQLite file that is not one any more.
pub(crate) const CORRUPT: &str = "the file is corrupt: stop, keep a copy of it with its -wal \
    file, and restore a backup, or save what is readable with `sqlite3 FILE .recover`";

fn client(place: &str, error: &sqlx::Error) -> Fault {
    let text = format!("{place}: {error}");
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::PoolClosed
        | sqlx::Error::BeginFailed => Fault::Lost(text),
        _ => Fault::Refused(Error::Failed(text)),
    }
}
