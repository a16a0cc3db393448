//! Waiting for a revision that is already committed.

use http::StatusCode;
use model::Cursor;
use serde_json::json;

use crate::answer::Answer;
use crate::call::Call;
use crate::error::Refusal;
use crate::state::{Wait, Wanted};
use crate::write::{laggards_listed, wait_served};

/// `/clustering/revisions/{revision}/wait?for=all|quorum|N&wait_timeout=`: 200 when as many data
/// planes serve it as are wanted (all, when nothing is said), 202 with those that lag when the
/// time is over before. The same wait as a write's `?wait=`, for who made the write elsewhere: a
/// pipeline's later step, another control plane's client.
pub(crate) async fn wait(call: &Call<'_>) -> Result<Answer, Refusal> {
    const REVISION: usize = 2;
    let text = call.segment(REVISION).name();
    let revision: u64 = text
        .parse()
        .map_err(|_| Refusal::bad_request(format!("'{text}' is no revision, which is a number")))?;
    let wait = match call.query.wait_for("for")? {
        Some(wait) => wait,
        None => Wait { wanted: Wanted::All, within: call.query.wait_timeout()? },
    };
    let head = call.state.store.head().await?.at;
    if revision > head.revision {
        return Err(Refusal::Message(
            StatusCode::NOT_FOUND,
            format!("there is no revision {revision} yet; the newest is {}", head.revision),
        ));
    }
    let at = Cursor { revision, ..head };
    let served = wait_served(call.state, at, wait).await;
    let status = if served.reached { StatusCode::OK } else { StatusCode::ACCEPTED };
    let body = json!({
        "revision": revision,
        "epoch": head.epoch,
        "reached": served.reached,
        "serving": served.serving,
        "held_back": served.held,
        "laggards": laggards_listed(&served),
    });
    Ok(Answer::json(status, &body))
}
