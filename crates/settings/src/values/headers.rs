//! Which headers Weir adds to answers and requests.

use crate::syntax::{Shown, Syntax, items};

/// Kong's `headers`: what is added to answers, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseHeaders {
    /// `Server`, on answers that have none.
    pub server: bool,
    /// `Via`, on proxied answers.
    pub via: bool,
    /// `X-Kong-Proxy-Latency`: milliseconds before the request went upstream.
    pub proxy_latency: bool,
    /// `X-Kong-Upstream-Latency`: milliseconds until the upstream's first byte.
    pub upstream_latency: bool,
    /// `X-Kong-Response-Latency`: milliseconds for an answer of Weir's own.
    pub response_latency: bool,
    /// `X-Kong-Admin-Latency`: milliseconds for an answer of the Admin API.
    pub admin_latency: bool,
    /// `X-Kong-Upstream-Status`: the upstream's status.
    pub upstream_status: bool,
    /// `X-Kong-Request-Id`.
    pub request_id: bool,
}

pub(crate) const RESPONSE_HEADERS: Syntax<ResponseHeaders> = Syntax {
    what: "off, or a list of server_tokens, latency_tokens, Server, Via, X-Kong-Proxy-Latency, \
           X-Kong-Upstream-Latency, X-Kong-Response-Latency, X-Kong-Admin-Latency, X-Kong-Upstream-Status, \
           X-Kong-Request-Id",
    parse: response_headers,
    show: |value| {
        let tokens = [
            (value.server, "Server"),
            (value.via, "Via"),
            (value.proxy_latency, "X-Kong-Proxy-Latency"),
            (value.upstream_latency, "X-Kong-Upstream-Latency"),
            (value.response_latency, "X-Kong-Response-Latency"),
            (value.admin_latency, "X-Kong-Admin-Latency"),
            (value.upstream_status, "X-Kong-Upstream-Status"),
            (value.request_id, "X-Kong-Request-Id"),
        ];
        Shown::List(
            tokens.into_iter().filter(|(set, _)| *set).map(|(_, name)| name.to_owned()).collect(),
        )
    },
};

pub(crate) const UPSTREAM_HEADERS: Syntax<bool> = Syntax {
    what: "off or X-Kong-Request-Id",
    parse: |text| match items(text).map(str::to_ascii_lowercase).collect::<Vec<_>>().as_slice() {
        [] => Ok(false),
        [one] if one == "off" => Ok(false),
        [one] if one == "x-kong-request-id" => Ok(true),
        _ => Err(format!("invalid entry '{text}'")),
    },
    show: |value| {
        Shown::List(if *value { vec!["X-Kong-Request-Id".to_owned()] } else { Vec::new() })
    },
};

fn response_headers(text: &str) -> Result<ResponseHeaders, String> {
    let mut headers = ResponseHeaders::default();
    for (position, item) in items(text).enumerate() {
        match item.to_ascii_lowercase().as_str() {
            // Kong: `off` as the first entry disables all.
            "off" if position == 0 => return Ok(headers),
            "server_tokens" => {
                headers.server = true;
                headers.via = true;
            }
            "latency_tokens" => {
                headers.proxy_latency = true;
                headers.upstream_latency = true;
                headers.response_latency = true;
                headers.admin_latency = true;
            }
            "server" => headers.server = true,
            "via" => headers.via = true,
            "x-kong-proxy-latency" => headers.proxy_latency = true,
            "x-kong-upstream-latency" => headers.upstream_latency = true,
            "x-kong-response-latency" => headers.response_latency = true,
            "x-kong-admin-latency" => headers.admin_latency = true,
            "x-kong-upstream-status" => headers.upstream_status = true,
            "x-kong-request-id" => headers.request_id = true,
            _ => return Err(format!("invalid entry '{item}'")),
        }
    }
    Ok(headers)
}
