//! The warning about entities that data planes could not apply.

use std::collections::BTreeSet;

use http::HeaderName;
use model::Change;
use uuid::Uuid;

use crate::answer::Answer;
use crate::state::{RejectedBy, Served, State};

const WARNING: HeaderName = HeaderName::from_static("x-weir-rejected");

/// At most so many data planes are named.
const NAMED: usize = 5;

/// Reasons are cut to so many characters.
const LONGEST_REASON: usize = 300;

/// The answer that shows an entity, with the data planes that could not apply it as it is.
pub(crate) fn warned(state: &State, kind: &str, id: Uuid, answer: Answer) -> Answer {
    match warning(&state.fleet.rejected_by(kind, id)) {
        Some(warning) => answer.with(WARNING, &warning),
        None => answer,
    }
}

/// The answer to a write of one entity that was waited for, with the data planes that could not
/// apply it as it is: who says that they serve it also says what they rejected.
pub(crate) fn warned_of_write(
    state: &State,
    changes: &[Change],
    served: &Served,
    answer: Answer,
) -> Answer {
    match changes {
        [Change { kind, id, body: Some(_) }] if served.reached => {
            warned(state, kind.as_str(), *id, answer)
        }
        _ => answer,
    }
}

/// `by dp-1, dp-2 and 3 more since revision 7: there is no plugin 'x' in this version`
fn warning(by: &[RejectedBy]) -> Option<String> {
    let first = by.iter().min_by_key(|one| one.rejected.revision)?;
    let nodes: Vec<&str> = by.iter().take(NAMED).map(|one| one.node.as_str()).collect();
    let more = by.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let reasons: BTreeSet<&str> = by.iter().map(|one| one.rejected.reason.as_str()).collect();
    let others = if reasons.len() > 1 { " (others say otherwise)" } else { "" };
    let text = format!(
        "by {}{more} since revision {}: {}{others}",
        nodes.join(", "),
        first.rejected.revision,
        cut(&first.rejected.reason),
    );
    // What a header cannot have comes from values that were written.
    let printable = |c: char| if matches!(c, ' '..='~') { c } else { '?' };
    Some(text.chars().map(printable).collect())
}

fn cut(reason: &str) -> &str {
    match reason.char_indices().nth(LONGEST_REASON) {
        Some((at, _)) => reason.get(..at).unwrap_or_default(),
        None => reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Rejected;

    #[test]
    fn who_rejected_it_since_when_and_why_is_told_within_a_header() {
        let one = |node: &str, revision, reason: &str| RejectedBy {
            node: node.to_owned(),
            rejected: Rejected {
                kind: "plugins".to_owned(),
                id: Uuid::nil(),
                revision,
                reason: reason.to_owned(),
                in_part: false,
            },
        };
        assert_eq!(warning(&[]), None);
        let same = [one("dp-1", 9, "no plugin 'ä\n'"), one("dp-2", 7, "no plugin 'ä\n'")];
        let told = warning(&same).unwrap();
        assert_eq!(told, "by dp-1, dp-2 since revision 7: no plugin '??'");
        let many: Vec<RejectedBy> = (1..=9)
            .map(|n| one(&format!("dp-{n}"), n, &format!("{n}{}", "x".repeat(999))))
            .collect();
        let told = warning(&many).unwrap();
        assert!(
            told.starts_with("by dp-1, dp-2, dp-3, dp-4, dp-5 and 4 more since revision 1: 1x")
        );
        assert!(told.ends_with("x (others say otherwise)") && told.len() < 450, "{told}");
    }
}
