//! What the processes that share a store tell each other beside its log.

use uuid::Uuid;

/// What an author has to say of one part of a subject. Replaces what the same author said of it
/// before; nobody else's words are touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What it is about.
    pub subject: Uuid,
    /// Which part of the subject: parts that change apart are said apart.
    pub part: String,
    /// How long ago, in microseconds, it became so.
    pub age_us: u64,
    /// The words; `None` takes back what was said.
    pub body: Option<String>,
}

/// What the other authors have said.
#[derive(Clone, Debug, Default)]
pub struct Notices {
    /// The database's clock, in microseconds since 1970.
    pub now_us: i64,
    /// All authors, the reader included, in order of their ids.
    pub authors: Vec<Author>,
    /// What was posted in later rounds than the reader knows.
    pub said: Vec<Said>,
}

/// Who posts notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Author {
    /// Its name, a new one for each start of a process.
    pub id: Uuid,
    /// When it posted last, by the database's clock, in microseconds since 1970.
    pub posted_us: i64,
    /// Its newest round.
    pub round: u64,
}

/// A notice that was posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// By whom.
    pub author: Uuid,
    /// About what.
    pub subject: Uuid,
    /// Which part of it.
    pub part: String,
    /// Since when it is so, by the database's clock, in microseconds since 1970.
    pub said_us: i64,
    /// The words; `None` when they were taken back.
    pub body: Option<String>,
}
