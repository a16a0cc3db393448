//! The head of an upstream's answer on its way to the client.

use http1::{Name, RequestHead, ResponseHead, Version, list};
use settings::ResponseHeaders;

use crate::date::Date;

/// What the gateway adds to an upstream's answer.
pub(crate) struct Additions<'a> {
    pub(crate) headers: &'a ResponseHeaders,
    pub(crate) product: &'a str,
    pub(crate) request_id: &'a [u8],
    /// The time as HTTP writes it, asked for only where the upstream did not say it.
    pub(crate) date: &'a dyn Fn() -> [u8; Date::LENGTH],
    /// Milliseconds from the request's head until the upstream was asked.
    pub(crate) proxy_latency: u64,
    /// Milliseconds from there until its answer.
    pub(crate) upstream_latency: u64,
    /// A cookie that ties the client to its target.
    pub(crate) cookie: Option<&'a str>,
}

/// Types to which Kong (nginx' `charset_types`) adds its charset where the upstream names none.
const TYPES_WITH_CHARSET: [&[u8]; 6] = [
    b"text/html",
    b"text/plain",
    b"text/xml",
    b"text/vnd.wap.wml",
    b"application/javascript",
    b"application/rss+xml",
];

/// Takes away what concerns the upstream's connection, and adds what the gateway has to say.
pub(crate) fn filter(response: &mut ResponseHead, request: &RequestHead, add: &Additions<'_>) {
    let options = response.connection();
    let upgraded = response.status() == 101;
    let takes_trailers = takes_trailers(request);
    if options.others {
        let names: Vec<Vec<u8>> = response
            .fields
            .all(Name::Connection)
            .flat_map(|value| list(value).map(<[u8]>::to_vec))
            .collect();
        response
            .fields
            .retain(|field| !names.iter().any(|name| name.eq_ignore_ascii_case(field.name)));
    }
    response.fields.retain(|field| match field.known {
        Name::Connection | Name::Upgrade => upgraded,
        Name::KeepAlive | Name::ProxyConnection | Name::XAccelBuffering => false,
        Name::Trailer => takes_trailers,
        Name::XKongProxyLatency | Name::XKongUpstreamLatency | Name::XKongUpstreamStatus => false,
        Name::XKongRequestId => !add.headers.request_id,
        _ => true,
    });
    add_charset(response);
    if !response.fields.contains(Name::Date) {
        response.fields.push_known(Name::Date, &(add.date)());
    }
    if add.headers.server && !response.fields.contains(Name::Server) {
        response.fields.push_known(Name::Server, add.product.as_bytes());
    }
    if add.headers.via {
        add_via(response, add.product);
    }
    add_numbers(response, add);
    if add.headers.request_id {
        response.fields.push_known(Name::XKongRequestId, add.request_id);
    }
    if let Some(cookie) = add.cookie {
        set_cookie(response, cookie);
    }
}

/// Whether the client takes trailers (RFC 9110 §10.1.4).
pub(crate) fn takes_trailers(request: &RequestHead) -> bool {
    request.version() != Version::Http10
        && request
            .fields
            .all(Name::Te)
            .any(|value| list(value).any(|option| option.eq_ignore_ascii_case(b"trailers")))
}

fn add_numbers(response: &mut ResponseHead, add: &Additions<'_>) {
    if add.headers.upstream_status {
        response.fields.push_number(Name::XKongUpstreamStatus, u64::from(response.status()));
    }
    if add.headers.upstream_latency {
        response.fields.push_number(Name::XKongUpstreamLatency, add.upstream_latency);
    }
    if add.headers.proxy_latency {
        response.fields.push_number(Name::XKongProxyLatency, add.proxy_latency);
    }
}

pub(crate) fn add_via(response: &mut ResponseHead, product: &str) {
    let mut before = Vec::new();
    for value in response.fields.all(Name::Via) {
        before.extend_from_slice(value);
        before.extend_from_slice(b", ");
    }
    let version = response.version().text().as_bytes();
    response.fields.remove(Name::Via);
    response.fields.push_parts(Name::Via, &[&before, version, b" ", product.as_bytes()]);
}

fn add_charset(response: &mut ResponseHead) {
    let Some(kind) = response.fields.get(Name::ContentType) else {
        return;
    };
    if let Some(kind) = TYPES_WITH_CHARSET.iter().find(|known| **known == kind) {
        response.fields.remove(Name::ContentType);
        response.fields.push_parts(Name::ContentType, &[kind, b"; charset=UTF-8"]);
    }
}

/// Adds a cookie in place of one of the same name that the upstream sets.
fn set_cookie(response: &mut ResponseHead, cookie: &str) {
    let name = cookie.split_inclusive('=').next().unwrap_or_default().as_bytes();
    response
        .fields
        .retain(|field| field.known != Name::SetCookie || !field.value.starts_with(name));
    response.fields.push_known(Name::SetCookie, cookie.as_bytes());
}

#[cfg(test)]
mod tests {
    use http1::{RequestHead, ResponseHead};
    use settings::ResponseHeaders;

    use super::{Additions, filter};

    const ALL: ResponseHeaders = ResponseHeaders {
        server: true,
        via: true,
        proxy_latency: true,
        upstream_latency: true,
        response_latency: true,
        admin_latency: true,
        upstream_status: false,
        request_id: true,
    };

    fn answer(
        response: &str,
        request: &str,
        headers: &ResponseHeaders,
        cookie: Option<&str>,
    ) -> Vec<String> {
        let mut asked = RequestHead::default();
        asked.read(format!("GET / HTTP/1.1\r\nHost: a\r\n{request}\r\n").as_bytes()).unwrap();
        let mut head = ResponseHead::default();
        head.read(
            format!("HTTP/1.1 {response}\r\n")
                .replace('\n', "\r\n")
                .replace("\r\r", "\r")
                .as_bytes(),
            false,
        )
        .unwrap();
        let date = *b"Sun, 06 Nov 1994 08:49:37 GMT";
        let add = Additions {
            headers,
            product: "kong/1",
            request_id: b"abc",
            date: &|| date,
            proxy_latency: 0,
            upstream_latency: 12,
            cookie,
        };
        filter(&mut head, &asked, &add);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        head.fields
            .iter()
            .map(|field| format!("{}: {}", text(field.name), text(field.value)))
            .collect()
    }

    #[test]
    fn an_answer_passes_with_what_the_gateway_adds() {
        assert_eq!(
            answer(
                "200 OK\nServer: echo\nDate: now\nVia: 1.0 cache\nX-Kong-Request-Id: mine\nX-Kong-Proxy-Latency: 999\n",
                "",
                &ALL,
                None
            ),
            [
                "Server: echo",
                "Date: now",
                "Via: 1.0 cache, 1.1 kong/1",
                "X-Kong-Upstream-Latency: 12",
                "X-Kong-Proxy-Latency: 0",
                "X-Kong-Request-Id: abc"
            ]
        );
        let status = ResponseHeaders { upstream_status: true, ..ResponseHeaders::default() };
        assert_eq!(
            answer("404 No\nX-Kong-Request-Id: theirs\n", "", &status, None),
            [
                "X-Kong-Request-Id: theirs",
                "Date: Sun, 06 Nov 1994 08:49:37 GMT",
                "X-Kong-Upstream-Status: 404"
            ]
        );
    }

    #[test]
    fn what_concerns_the_upstreams_connection_is_left_out() {
        let response = "200 OK\nConnection: keep-alive, X-A\nX-A: 1\nX-B: 2\nKeep-Alive: timeout=9\nUpgrade: h2c\nTrailer: X-T\nDate: d\n";
        let none = ResponseHeaders::default();
        assert_eq!(answer(response, "", &none, None), ["X-B: 2", "Date: d"]);
        assert_eq!(
            answer(response, "TE: trailers\r\n", &none, None),
            ["X-B: 2", "Trailer: X-T", "Date: d"]
        );
        assert_eq!(
            answer(
                "101 Switching\nConnection: Upgrade\nUpgrade: websocket\nDate: d\n",
                "",
                &none,
                None
            ),
            ["Connection: Upgrade", "Upgrade: websocket", "Date: d"]
        );
    }

    #[test]
    fn text_gets_a_charset() {
        let none = ResponseHeaders::default();
        let kind = |kind: &str| {
            answer(&format!("200 OK\nDate: d\nContent-Type: {kind}\n"), "", &none, None)[1].clone()
        };
        assert_eq!(kind("text/plain"), "Content-Type: text/plain; charset=UTF-8");
        assert_eq!(kind("text/plain; charset=latin1"), "Content-Type: text/plain; charset=latin1");
        assert_eq!(kind("application/json"), "Content-Type: application/json");
    }

    #[test]
    fn a_cookie_replaces_one_of_its_name() {
        let none = ResponseHeaders::default();
        assert_eq!(
            answer(
                "200 OK\nDate: d\nSet-Cookie: a=1\nSet-Cookie: ab=2\n",
                "",
                &none,
                Some("a=9; Path=/")
            ),
            ["Date: d", "Set-Cookie: ab=2", "Set-Cookie: a=9; Path=/"]
        );
    }
}
