//! What a route's `protocols` ask of a request that matched it: they do not take part in matching.

use http1::{Name, RequestHead, Version};
use model::{Protocol, Route};

use crate::{
    answer::{Format, has_grpc_type},
    own_answer::Reply,
    request::Origin,
};

/// The answer to a request that came by the wrong protocol; none if it may go on. In Kong's order.
pub(crate) fn check(route: &Route, request: &RequestHead, origin: &Origin) -> Option<Reply> {
    let allows = |protocol| route.protocols.contains(&protocol);
    let secure = is_secure(request, origin);
    if allows(Protocol::Https) && !allows(Protocol::Http) && !secure {
        return Some(match route.https_redirect_status_code {
            status @ (301 | 302 | 307 | 308) => Reply {
                fields: vec![(Name::Location, https_location(request, origin))],
                ..Reply::empty(status)
            },
            _ => upgrade(request, "Please use HTTPS protocol", b"TLS/1.2, HTTP/1.1"),
        });
    }
    if !allows(Protocol::Grpc) && !allows(Protocol::Grpcs) {
        return None;
    }
    if !has_grpc_type(request) {
        return Some(Reply::message(
            415,
            "Non-gRPC request matched gRPC route",
            Format::of_request(request),
        ));
    }
    if request.version() != Version::Http2 {
        return Some(upgrade(request, "Please use HTTP2 protocol", b"HTTP/2"));
    }
    if !allows(Protocol::Grpc) && !secure {
        let reply = Reply::message(200, "gRPC request matched gRPCs route", Format::Grpc);
        return Some(Reply { grpc_status: Some(1), ..reply });
    }
    None
}

fn upgrade(request: &RequestHead, message: &'static str, to: &[u8]) -> Reply {
    let fields = vec![(Name::Connection, b"Upgrade".to_vec()), (Name::Upgrade, to.to_vec())];
    Reply { fields, ..Reply::message(426, message, Format::of_request(request)) }
}

/// Whether the client came by TLS, to us or to a trusted proxy in front.
pub(crate) fn is_secure(request: &RequestHead, origin: &Origin) -> bool {
    match request.fields.get(Name::XForwardedProto) {
        Some(scheme) if origin.trusted => scheme == b"https",
        _ => origin.tls,
    }
}

/// The same address by https; the port is left out, since it was the one for plain HTTP.
fn https_location(request: &RequestHead, origin: &Origin) -> Vec<u8> {
    let mut location = b"https://".to_vec();
    match request.fields.get(Name::XForwardedHost) {
        Some(host) if origin.trusted => location.extend_from_slice(host),
        _ => {
            let host = request.host().map_or("", |host| host.name);
            location.extend_from_slice(host.to_ascii_lowercase().as_bytes());
        }
    }
    location.extend_from_slice(request.path());
    if let Some(query) = request.query() {
        location.push(b'?');
        location.extend_from_slice(query);
    }
    location
}

#[cfg(test)]
mod tests {
    use http1::{Name, RequestHead, Version};
    use model::Route;

    use super::check;
    use crate::{
        answer::Format,
        own_answer::{Content, Reply},
        request::Origin,
    };

    struct Case {
        protocols: &'static [&'static str],
        redirect: u16,
        tls: bool,
        trusted: bool,
        version: Version,
        fields: &'static [(&'static str, &'static str)],
    }

    const CASE: Case = Case {
        protocols: &["https"],
        redirect: 426,
        tls: false,
        trusted: false,
        version: Version::Http11,
        fields: &[],
    };

    fn answer(case: Case) -> Option<Reply> {
        let body = serde_json::json!({
            "id": "20000000-0000-4000-8000-000000000001",
            "protocols": case.protocols,
            "https_redirect_status_code": case.redirect,
            "paths": ["/"],
        });
        let route = Route::from_body(&body.to_string()).unwrap();
        let mut request = RequestHead::default();
        request.begin(b"GET", b"/a%20b?x=1", case.version);
        request.fields.push_known(Name::Host, b"R.test:8080");
        for (name, value) in case.fields {
            request.fields.push(name.as_bytes(), value.as_bytes());
        }
        request.finish().unwrap();
        let peer = "127.0.0.1:1".parse().unwrap();
        check(
            &route,
            &request,
            &Origin {
                peer,
                proxied: None,
                local: peer,
                trusted: case.trusted,
                tls: case.tls,
                session: None,
                http2: false,
                sni: None,
            },
        )
    }

    fn message(reply: &Reply) -> &str {
        match &reply.content {
            Content::Message(message) => message,
            Content::Whole(_) => "",
        }
    }

    fn location(case: Case) -> String {
        let reply = answer(case).unwrap();
        String::from_utf8(reply.fields[0].1.clone()).unwrap()
    }

    #[test]
    fn https_routes_ask_plain_requests_to_upgrade() {
        let reply = answer(CASE).unwrap();
        assert_eq!(
            (reply.status, message(&reply), reply.format),
            (426, "Please use HTTPS protocol", Format::Json)
        );
        assert_eq!(reply.fields[1], (Name::Upgrade, b"TLS/1.2, HTTP/1.1".to_vec()));
        assert!(answer(Case { tls: true, ..CASE }).is_none());
        assert!(answer(Case { protocols: &["http", "https"], ..CASE }).is_none());
        assert!(answer(Case { protocols: &["http"], tls: true, ..CASE }).is_none());
        let forwarded = &[("X-Forwarded-Proto", "https")];
        assert!(answer(Case { fields: forwarded, trusted: true, ..CASE }).is_none());
        assert!(answer(Case { fields: forwarded, ..CASE }).is_some());
    }

    #[test]
    fn https_routes_may_redirect() {
        assert_eq!(answer(Case { redirect: 301, ..CASE }).unwrap().status, 301);
        assert_eq!(location(Case { redirect: 308, ..CASE }), "https://r.test/a%20b?x=1");
        let forwarded = &[("X-Forwarded-Host", "front.test")];
        assert_eq!(
            location(Case { redirect: 302, fields: forwarded, ..CASE }),
            "https://r.test/a%20b?x=1"
        );
        let trusted = Case { redirect: 302, fields: forwarded, trusted: true, ..CASE };
        assert_eq!(location(trusted), "https://front.test/a%20b?x=1");
    }

    #[test]
    fn grpc_routes_take_grpc_only() {
        const GRPC: &[(&str, &str)] = &[("Content-Type", "application/grpc+proto")];
        let case =
            Case { protocols: &["grpc", "grpcs"], version: Version::Http2, fields: GRPC, ..CASE };
        assert!(answer(Case { ..case }).is_none());
        let status = |case| answer(case).map(|reply| (reply.status, reply.grpc_status));
        assert_eq!(status(Case { protocols: &["grpc"], ..CASE }), Some((415, None)));
        assert_eq!(status(Case { protocols: &["grpc"], fields: GRPC, ..CASE }), Some((426, None)));
        let secure_only =
            Case { protocols: &["grpcs"], version: Version::Http2, fields: GRPC, ..CASE };
        assert_eq!(status(secure_only), Some((200, Some(1))));
    }
}
