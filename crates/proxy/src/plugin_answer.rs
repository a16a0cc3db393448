//! Answers of plugins, as answers of the gateway.

use std::borrow::Cow;

use http1::{Fields, RequestHead};
use plugin::{Answer, Rendering};

use crate::{
    answer::{Format, grpc_status, is_grpc_call},
    failure::status_message,
    own_answer::{Content, Reply},
};

/// The answer to a request that a plugin answers. `default_type` is `error_default_type`.
pub(crate) fn reply(answer: Answer, request: &RequestHead, default_type: &str) -> Reply {
    let Answer { status, fields, rendering } = answer;
    match rendering {
        Rendering::Negotiated(message) => {
            let format = Format::of_request(request);
            let message = match (format, message) {
                // Kong loses the plugin's words here.
                (Format::Grpc, _) => grpc_status_name(grpc_status(status)).into(),
                (_, Some(message)) => Cow::Owned(message),
                (_, None) => status_message(status).into(),
            };
            own(status, fields, format, Content::Message(message))
        }
        Rendering::Json(body) if is_grpc_call(request) => {
            let message = body.get("message").and_then(serde_json::Value::as_str);
            let message = message.unwrap_or_default().to_owned();
            own(status, fields, Format::Grpc, Content::Message(message.into()))
        }
        Rendering::Json(body) => {
            own(status, fields, Format::Json, Content::Whole(body.to_string().into()))
        }
        Rendering::Verbatim(body) => own(status, fields, Format::Untyped, Content::Whole(body)),
        // Where nginx has an error page the format follows the request, as for its own errors; the rest stays empty.
        Rendering::Bodyless if has_page(status) => {
            let format = Format::of_server_error(request, default_type);
            own(status, fields, format, Content::Message(status_message(status).into()))
        }
        Rendering::Bodyless => {
            own(status, fields, Format::Untyped, Content::Whole(Default::default()))
        }
    }
}

fn own(status: u16, set: Fields, format: Format, content: Content) -> Reply {
    let grpc_status = (format == Format::Grpc).then(|| grpc_status(status));
    Reply { status, content, format, fields: Vec::new(), set, grpc_status }
}

/// Whether nginx fills an answer of this status that has no body.
fn has_page(status: u16) -> bool {
    matches!(status, 301..=303 | 307 | 308 | 400..=406 | 408..=417 | 421 | 429 | 494..=497 | 500..=505 | 507)
}

/// gRPC's names of its statuses.
fn grpc_status_name(status: u16) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    NAMES.get(usize::from(status)).copied().unwrap_or("Unknown")
}
