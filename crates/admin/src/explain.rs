//! What becomes of requests: `POST /explain`, and the warning about routes that hide each other.

use http::{HeaderName, StatusCode};
use model::{Change, Route};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::Answer;
use crate::call::Call;
use crate::error::Refusal;
use crate::state::{Shadow, State, Unexplained};

const WARNING: HeaderName = HeaderName::from_static("x-weir-warning");

/// At most so many routes are named in a warning.
const NAMED: usize = 5;

/// A name that is longer than this is no help in a header; the id is.
const LONGEST_NAME: usize = 64;

/// Answers what would become of the request that the body describes.
pub(crate) async fn explain(call: &Call<'_>) -> Result<Answer, Refusal> {
    let Some(explain) = &call.state.explain else {
        return Err(Refusal::bad_request(
            "this endpoint is only available where requests are served, and no data plane runs in \
             this process: ask a gateway that was started by `weir start`",
        ));
    };
    match explain.explain(&call.input.object).await {
        Ok(told) => Ok(Answer::json(StatusCode::OK, &told)),
        Err(Unexplained::Field { field, reason }) => Err(Refusal::field(&field, reason)),
        Err(Unexplained::NotServed { reason }) => {
            Err(Refusal::Message(StatusCode::CONFLICT, reason))
        }
    }
}

/// The answer to a write of one route, with a warning if that hides another or is hidden.
pub(crate) fn warned(state: &State, changes: &[Change], answer: Answer) -> Answer {
    let mut written =
        changes.iter().filter(|change| change.kind == Route::KIND && change.body.is_some());
    let (Some(explain), Some(route), None) = (&state.explain, written.next(), written.next())
    else {
        return answer;
    };
    match warning(&explain.shadows(route.id)) {
        Some(warning) => answer.with(WARNING, &warning),
        None => answer,
    }
}

/// `never reached: hidden by a; hides b, c (in part) and 7 more`
fn warning(shadows: &[Shadow]) -> Option<String> {
    let (hidden, hiders): (Vec<&Shadow>, Vec<&Shadow>) =
        shadows.iter().partition(|shadow| shadow.is_hidden);
    let mut parts = Vec::new();
    if !hiders.is_empty() {
        let whole = hiders.iter().any(|shadow| shadow.whole);
        let reached = if whole { "never reached" } else { "reached by some of its paths only" };
        parts.push(format!("{reached}: hidden by {}", named(&hiders, false)));
    }
    if !hidden.is_empty() {
        parts.push(format!("hides {}", named(&hidden, true)));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn named(shadows: &[&Shadow], tell_parts: bool) -> String {
    let mut names: Vec<String> = shadows
        .iter()
        .take(NAMED)
        .map(|shadow| {
            let part = if tell_parts && !shadow.whole { " (in part)" } else { "" };
            format!("{}{part}", name(shadow.other, shadow.name.as_deref()))
        })
        .collect();
    let more = shadows.len().saturating_sub(NAMED);
    let last = names.pop().unwrap_or_default();
    let listed = if names.is_empty() { last } else { format!("{}, {last}", names.join(", ")) };
    if more > 0 { format!("{listed} and {more} more") } else { listed }
}

/// The name of a route as far as a header can have it, else its id.
fn name(id: Uuid, name: Option<&str>) -> String {
    name.filter(|name| name.is_ascii() && name.len() <= LONGEST_NAME)
        .map_or_else(|| id.to_string(), str::to_owned)
}

/// The description of a request, for the document of the API.
pub(crate) fn schema() -> Value {
    let text = |about: &str| json!({ "type": "string", "description": about });
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "method": text("The method; GET if it is left out."),
            "scheme": {
                "type": "string", "enum": ["http", "https"],
                "description": "How it comes in; https if there is an `sni`, else http.",
            },
            "http_version": { "type": "string", "enum": ["1.0", "1.1", "2"], "default": "1.1" },
            "host": text("The Host header. Required but for HTTP/1.0."),
            "path": text("The path with its query, as sent; `/` if it is left out."),
            "headers": {
                "type": "object",
                "description": "Header fields by name; a list for one that comes several times.",
                "additionalProperties": {
                    "oneOf": [
                        { "type": "string" },
                        { "type": "array", "items": { "type": "string" } },
                    ],
                },
            },
            "client_address": text("Who connects: an IP address, with or without a port."),
            "listener": text("Where the client connects to; the first listener of the scheme if it is left out."),
            "sni": text("The server name of the TLS handshake."),
            "consumer": text("The id or user name of whom plugins find out."),
            "route": text("The id of a route to be told about even if it is no candidate."),
            "revision": {
                "type": "integer", "minimum": 0,
                "description": "The oldest revision that is of use, such as a write's X-Weir-Revision.",
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::warning;
    use crate::state::Shadow;

    fn shadow(other: u128, name: Option<&str>, is_hidden: bool, whole: bool) -> Shadow {
        let name = name.map(str::to_owned);
        Shadow { other: Uuid::from_u128(other), name, is_hidden, whole }
    }

    #[test]
    fn warnings_are_short_and_name_names() {
        assert_eq!(warning(&[]), None);
        let both = [shadow(1, Some("a"), false, true), shadow(2, Some("b"), true, false)];
        assert_eq!(
            warning(&both).as_deref(),
            Some("never reached: hidden by a; hides b (in part)")
        );
        let many: Vec<_> = (0..9).map(|n| shadow(n, Some("\u{fc}"), true, true)).collect();
        let warned = warning(&many).unwrap();
        assert!(warned.ends_with("-000000000004 and 4 more"), "{warned}");
        let long = "x".repeat(1000);
        let most: Vec<_> = (0..99).map(|n| shadow(n, Some(&long), n % 2 == 0, true)).collect();
        assert!(warning(&most).unwrap().len() < 600);
    }
}
