//! One write transaction, from looking to committing, the same for both databases.

use model::{Change, Cursor};
use store::{Committed, Error, RolloutStep, WriteSet};
use uuid::Uuid;

use crate::facts::{Edge, Facts, Hold, Ident, Wanted, reach, roots};
use crate::fault::Fault;
use crate::judge::judge;
use crate::plan::Plan;
use crate::pools::Arg;
use crate::sql::{Statement, state};

/// A connection that writes. Its steps are called in the order of this list.
pub(crate) trait Ledger: Send {
    /// Whether others can write while a transaction of this ledger runs.
    const SHARED: bool;

    /// Begins a transaction, `alone` when no other writer may run beside it; connects again when the
    /// connection was lost.
    fn begin(&mut self, alone: bool) -> impl Future<Output = Result<(), Fault>> + Send;

    /// What refers to these entities and to what would be deleted with them.
    fn edges(&mut self, roots: &[Ident]) -> impl Future<Output = Result<Vec<Edge>, Fault>> + Send;

    /// Locks what is wanted and says what is there.
    fn look(&mut self, wanted: &Wanted) -> impl Future<Output = Result<Facts, Fault>> + Send;

    /// Makes the tables so and takes the next revision, as the last thing before the commit.
    fn apply(
        &mut self,
        version: u64,
        plan: &Plan<'_>,
    ) -> impl Future<Output = Result<Cursor, Fault>> + Send;

    /// The revision that opened the rollout, and how many entities were touched since.
    fn opened(&mut self) -> impl Future<Output = Result<Option<(u64, usize)>, Fault>> + Send;

    /// Runs a statement of [`Upkeep`].
    fn keep(
        &mut self,
        statement: &Statement,
        args: &[Arg<'_>],
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Runs [`crate::sql::counters::ADD`], whose parameter this is, and tells what counters stand at.
    fn tally(
        &mut self,
        increments: &str,
    ) -> impl Future<Output = Result<Vec<(String, i64)>, Fault>> + Send;

    /// Commits.
    fn commit(&mut self) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Undoes the transaction, whatever state it is in.
    fn rollback(&mut self) -> impl Future<Output = ()> + Send;
}

/// What [`crate::sql::state::OPENED`] answers.
pub(crate) fn opened(at: i64, touched: i64) -> Result<(u64, usize), sqlx::Error> {
    Ok((at.unsigned_abs(), usize::try_from(touched).unwrap_or(usize::MAX)))
}

/// The answers to the sets of one transaction.
pub(crate) type Outcomes = Vec<Result<Committed, Error>>;

/// Judges and writes the sets in one transaction, under one revision. On a fault nothing is
/// written (or, for [`Fault::Unknown`], nobody knows).
///
/// A transaction `alone` does not race.
pub(crate) async fn transact<L: Ledger>(
    ledger: &mut L,
    sets: &[WriteSet],
    alone: bool,
) -> Result<Outcomes, Fault> {
    ledger.begin(alone).await?;
    let done = run(ledger, sets).await;
    match done {
        Ok(Done::Nothing(outcomes)) => {
            ledger.rollback().await;
            Ok(outcomes)
        }
        Ok(Done::Written(outcomes)) => {
            ledger.commit().await?;
            Ok(outcomes)
        }
        Err(fault) => {
            ledger.rollback().await;
            Err(fault)
        }
    }
}

/// Statements that keep the log, run in order in one transaction.
pub(crate) type Upkeep = Vec<(Statement, Vec<Kept>)>;

/// A parameter that waits for its turn.
#[derive(Clone, Debug)]
pub(crate) enum Kept {
    Int(i64),
    Id(Uuid),
    Text(String),
}

impl Kept {
    fn arg(&self) -> Arg<'_> {
        match self {
            Kept::Int(int) => Arg::Int(*int),
            Kept::Id(id) => Arg::Id(*id),
            Kept::Text(text) => Arg::Text(text),
        }
    }
}

/// Runs statements in a transaction of their own.
pub(crate) async fn upkeep<L: Ledger>(ledger: &mut L, statements: &Upkeep) -> Result<(), Fault> {
    ledger.begin(false).await?;
    for (statement, args) in statements {
        let args: Vec<Arg<'_>> = args.iter().map(Kept::arg).collect();
        if let Err(fault) = ledger.keep(statement, &args).await {
            ledger.rollback().await;
            return Err(fault);
        }
    }
    ledger.commit().await
}

/// Adds to counters in a transaction of its own, and tells what they then stand at.
pub(crate) async fn count<L: Ledger>(
    ledger: &mut L,
    increments: &str,
) -> Result<Vec<(String, i64)>, Fault> {
    ledger.begin(false).await?;
    match ledger.tally(increments).await {
        Ok(totals) => {
            ledger.commit().await?;
            Ok(totals)
        }
        Err(fault) => {
            ledger.rollback().await;
            Err(fault)
        }
    }
}

enum Done {
    Nothing(Outcomes),
    Written(Outcomes),
}

async fn run<L: Ledger>(ledger: &mut L, sets: &[WriteSet]) -> Result<Done, Fault> {
    let mut wanted = Wanted::by(sets);
    let roots = roots(sets);
    let mut edges = Vec::new();
    if !roots.is_empty() {
        edges = ledger.edges(&roots).await?;
        for ident in reach(sets, &edges) {
            wanted.hold(ident, Hold::Delete);
        }
    }
    let facts = ledger.look(&wanted).await?;
    if !roots.is_empty() && L::SHARED {
        // What was read before the locks were held may have changed until then. What is held for
        // deletion now gets no new dependents; if it got some before, they must be held, too.
        edges = ledger.edges(&roots).await?;
        let held = |ident: &Ident| wanted.entities.get(ident) == Some(&Hold::Delete);
        if !reach(sets, &edges).iter().all(held) {
            return Err(Fault::Race("what is deleted has got a new dependent".to_owned()));
        }
    }
    // A set that begins or ends a rollout is the only one, and no other writer runs.
    let step = sets.iter().find_map(|set| set.rollout);
    if let Some(RolloutStep::End { opened, touched }) = step {
        let stands = ledger.opened().await?;
        if stands.is_none_or(|(at, count)| at != opened || touched.is_some_and(|t| t != count)) {
            let changed = || Error::Conflict { kind: "rollouts".to_owned(), id: Uuid::nil() };
            return Ok(Done::Nothing(sets.iter().map(|_| Err(changed())).collect()));
        }
    }
    let judgement = judge(sets, &facts, &edges);
    if judgement.plan.touched.is_empty() {
        return Ok(Done::Nothing(answer(judgement.outcomes, facts.at, facts.at)));
    }
    let at = ledger.apply(facts.version, &judgement.plan).await?;
    let after: &[Statement] = match step {
        None => &[],
        Some(RolloutStep::Open) => &[state::OPEN_ROLLOUT],
        Some(RolloutStep::End { .. }) => &[state::END_ROLLOUT, state::FORGET_BEFORE],
    };
    for statement in after {
        ledger.keep(statement, &[]).await?;
    }
    Ok(Done::Written(answer(judgement.outcomes, facts.at, at)))
}

fn answer(outcomes: Vec<Result<Vec<Change>, Error>>, before: Cursor, after: Cursor) -> Outcomes {
    let committed = |changes: Vec<Change>| {
        let at = if changes.is_empty() { before } else { after };
        Committed { at, changes }
    };
    outcomes.into_iter().map(|outcome| outcome.map(committed)).collect()
}
