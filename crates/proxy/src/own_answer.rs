//! Sending an answer of the gateway's own.

use std::{borrow::Cow, cell::RefCell};

use bytes::Bytes;
use http1::{Fields, Framing, Name, RequestHead, ResponseHead};

use crate::{
    answer::{Format, grpc_status},
    downstream::Answer,
    failure::Failure,
    filtered::Filtered,
    phases::Phases,
    record::Record,
    response_head::add_via,
    thread::{RequestId, Thread},
};

/// An answer of the gateway's own.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content: Content,
    pub(crate) format: Format,
    pub(crate) fields: Vec<(Name, Vec<u8>)>,
    /// Fields in place of those of the same names.
    pub(crate) set: Fields,
    /// The status for gRPC clients where it does not follow from the other.
    pub(crate) grpc_status: Option<u16>,
}

/// What the body of an answer is made from.
#[derive(Debug)]
pub(crate) enum Content {
    /// What it says; empty for no body.
    Message(Cow<'static, str>),
    /// All of it.
    Whole(Bytes),
}

impl Reply {
    /// An answer that says something.
    pub(crate) fn message(status: u16, message: &'static str, format: Format) -> Reply {
        Reply {
            status,
            content: Content::Message(message.into()),
            format,
            fields: Vec::new(),
            set: Fields::default(),
            grpc_status: None,
        }
    }

    /// An answer without a body.
    pub(crate) fn empty(status: u16) -> Reply {
        Reply::message(status, "", Format::Plain)
    }

    /// The answer to a request that failed.
    pub(crate) fn of_failure(
        failure: &Failure,
        request: &RequestHead,
        default_type: &str,
    ) -> Reply {
        Reply::message(
            failure.status(),
            failure.message(),
            Format::of_failure(failure, request, default_type),
        )
    }
}

/// Sends an answer with the fields that those of the gateway have, through the plugins of the request.
#[expect(clippy::too_many_arguments, reason = "the parts of one request, which are borrowed apart")]
pub(crate) async fn send<A: Answer>(
    thread: &Thread,
    request: &RequestHead,
    response: &mut ResponseHead,
    id: &RequestId,
    reply: &Reply,
    answer: &mut A,
    record: &mut Record<'_>,
    phases: &RefCell<Phases<'_>>,
) -> Result<(), Failure> {
    let options = &*thread.options;
    let mut body = Vec::new();
    let message = match &reply.content {
        Content::Message(message) => {
            if !message.is_empty() {
                thread.templates.write(reply.format, message, id.as_str(), &mut body);
            }
            message
        }
        Content::Whole(bytes) => {
            body.extend_from_slice(bytes);
            ""
        }
    };
    thread.lend_memory(response);
    response.begin(reply.status, request.version());
    let fields = &mut response.fields;
    fields.push_known(Name::Date, &thread.date());
    match reply.format {
        Format::Grpc => {
            let status = reply.grpc_status.unwrap_or_else(|| grpc_status(reply.status));
            if reply.grpc_status.is_some() {
                fields.push_known(Name::ContentType, b"application/grpc");
            }
            fields.push(b"grpc-status", status.to_string().as_bytes());
            fields.push(b"grpc-message", message.as_bytes());
        }
        _ if body.is_empty() => {}
        format => {
            if let Some(kind) = format.content_type() {
                fields.push_known(Name::ContentType, kind.as_bytes());
            }
        }
    }
    for (name, value) in &reply.fields {
        fields.push_known(*name, value);
    }
    fields.put(&reply.set);
    // The length is known before plugins see the head, so that one that changes it can say so.
    let to_head = request.received_method() == b"HEAD";
    if to_head {
        fields.push_number(Name::ContentLength, body.len() as u64);
        body.clear();
    } else if reply.status != 204 {
        response.set_framing(Framing::Length(body.len() as u64));
    }
    record.status = reply.status;
    phases.borrow_mut().header_filter(request, id, record, response)?;
    let fields = &mut response.fields;
    if options.headers.server {
        fields.push_known(Name::Server, options.product.as_bytes());
    }
    // An answer after a target was tried counts as one of the upstream.
    if record.tries.is_empty() {
        if options.headers.response_latency {
            fields.push_number(Name::XKongResponseLatency, record.total_latency());
        }
    } else {
        if options.headers.upstream_latency {
            fields.push_number(Name::XKongUpstreamLatency, record.upstream_latency());
        }
        if options.headers.proxy_latency {
            fields.push_number(Name::XKongProxyLatency, record.proxy_latency());
        }
        if options.headers.via {
            add_via(response, &options.product);
        }
    }
    if options.headers.request_id {
        response.fields.push_known(Name::XKongRequestId, id.as_str().as_bytes());
    }
    let mut answer = Filtered::new(answer, phases, request, id);
    answer.begin(response);
    answer.send(&body, true, &[]).await
}
