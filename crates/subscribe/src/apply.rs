//! What the received configuration is handed to.

use model::{Change, Cursor, Kind, Transaction};
use uuid::Uuid;

/// Makes what is served out of what is received.
///
/// Called by one task, one call at a time, in the order of revisions; large ones off the runtime.
/// When a call returns, requests are answered from its result: that is what is then acknowledged.
pub trait Apply: Send + 'static {
    /// Replaces everything: at the start, and when the log could not lead here. No entity occurs
    /// twice, none is a deletion. What was there before and is rejected now keeps its last good
    /// version, as in [`apply`](Apply::apply), and so are the rejections.
    fn replace(&mut self, at: Cursor, entities: Vec<Change>) -> Vec<Rejection>;

    /// Applies what follows. No entity occurs twice in a transaction; the changes of one belong
    /// together, and their order says nothing about references between them. A transaction whose
    /// `prev` is its `revision` belongs to what is served already.
    ///
    /// Answers with **all** that is rejected as things stand now, also by earlier calls. An entity
    /// that is rejected keeps its last good version, or, when there is none, makes what it guards
    /// answer an error, or is in force in part; the rest is applied.
    fn apply(&mut self, transactions: &[Transaction]) -> Vec<Rejection>;
}

/// An entity that could not be applied as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The collection.
    pub kind: Kind,
    /// The primary key.
    pub id: Uuid,
    /// Why, for the operator.
    pub reason: String,
    /// Whether it is in force all the same, without the parts that the reason names.
    pub in_part: bool,
}
