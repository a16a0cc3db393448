//! Transactions in messages of bounded size.

use model::Transaction;

use crate::convert::{Malformed, change_from, change_to};
use crate::entities::change_size;
use crate::frame::PART;
use crate::v1;

/// The largest transaction that is put together again, in bytes. A bound against a peer that never
/// sends the last part, far above what an operator writes at once.
const MAX_TRANSACTION: usize = 1 << 30;

/// A transaction as one message, which the caller knows to be small enough.
pub fn transaction_to(transaction: &Transaction) -> v1::Transaction {
    let changes = transaction.changes.iter();
    v1::Transaction {
        changes: changes.map(|c| change_to(&c.kind, c.id, c.body.as_deref())).collect(),
        ..empty(transaction)
    }
}

/// A transaction as messages of about [`PART`] bytes: at least one; one entity is never cut.
pub fn parts(transaction: &Transaction) -> Vec<v1::Transaction> {
    let mut parts = Vec::new();
    let (mut open, mut size) = (empty(transaction), 0);
    for change in &transaction.changes {
        let more = change_size(change);
        if size + more > PART && !open.changes.is_empty() {
            open.more = true;
            parts.push(std::mem::replace(&mut open, empty(transaction)));
            size = 0;
        }
        size += more;
        open.changes.push(change_to(&change.kind, change.id, change.body.as_deref()));
    }
    parts.push(open);
    parts
}

/// The message of a transaction without its changes.
fn empty(transaction: &Transaction) -> v1::Transaction {
    v1::Transaction {
        prev: transaction.prev,
        revision: transaction.revision,
        committed_us: transaction.committed_us,
        changes: Vec::new(),
        more: false,
    }
}

/// A transaction that arrived whole.
///
/// # Errors
/// When it is a part, runs backwards, or one of its changes is malformed.
pub fn transaction_from(message: v1::Transaction) -> Result<Transaction, Malformed> {
    if message.more {
        return Err(Malformed::because("a transaction is only a part where a whole one belongs"));
    }
    let mut assembler = Assembler::default();
    assembler.push(message)?.ok_or_else(|| Malformed::because("a transaction is incomplete"))
}

/// Puts the parts of transactions together, in the order in which one stream brings them.
#[derive(Debug, Default)]
pub struct Assembler {
    open: Option<Transaction>,
    size: usize,
}

impl Assembler {
    /// Takes the next part; gives the transaction when it is complete.
    ///
    /// # Errors
    /// When the part does not continue what is open, runs backwards, is malformed, or makes the
    /// transaction larger than 1 GiB. The stream is then good for nothing more.
    pub fn push(&mut self, part: v1::Transaction) -> Result<Option<Transaction>, Malformed> {
        let more = part.more;
        let (prev, revision, committed_us) = (part.prev, part.revision, part.committed_us);
        if prev >= revision {
            return Err(Malformed(format!("a transaction leads from {prev} to {revision}")));
        }
        let open = self.open.get_or_insert_with(|| Transaction {
            prev,
            revision,
            committed_us,
            changes: Vec::with_capacity(part.changes.len()),
        });
        if (open.prev, open.revision) != (prev, revision) {
            return Err(Malformed(format!(
                "a part of {prev}..{revision} came while {}..{} was incomplete",
                open.prev, open.revision
            )));
        }
        for change in part.changes {
            let change = change_from(change)?;
            self.size += change_size(&change);
            open.changes.push(change);
        }
        if self.size > MAX_TRANSACTION {
            return Err(Malformed(format!("transaction {revision} is larger than 1 GiB")));
        }
        if more {
            return Ok(None);
        }
        self.size = 0;
        Ok(self.open.take())
    }
}
