//! The path that goes to the backend.

use model::PathHandling;

/// The path to ask the backend for, not yet escaped and without query.
///
/// `base` is the service's path (empty means `/`); `request` the normalised path of the request;
/// `matched` how many bytes of it the route's path matched (`None`: the route has no path).
/// `strip` is the route's `strip_path`. `V1` is for the `traditional` flavor only; the others join
/// as `V0` whatever the route says.
pub fn upstream(
    base: &[u8],
    handling: PathHandling,
    strip: bool,
    matched: Option<usize>,
    request: &[u8],
) -> Vec<u8> {
    let base = if base.is_empty() { b"/" } else { base };
    // A route without a path is one with the path `/`.
    let prefix = matched.unwrap_or(1).min(request.len());
    let postfix = sanitised(&request[prefix..]);
    let unslashed = request.strip_prefix(b"/").unwrap_or(request);
    match handling {
        PathHandling::V0 => v0(base, strip, postfix, request, unslashed),
        PathHandling::V1 if strip => match (base, postfix) {
            ([.., b'/'], [b'/', tail @ ..]) => [base, tail].concat(),
            _ => [base, postfix].concat(),
        },
        PathHandling::V1 => [base, unslashed].concat(),
    }
}

fn v0(base: &[u8], strip: bool, postfix: &[u8], request: &[u8], unslashed: &[u8]) -> Vec<u8> {
    let request_ends_in_slash = request.ends_with(b"/");
    match (base.strip_suffix(b"/"), strip) {
        (Some(_), false) => [base, unslashed].concat(),
        (None, false) if request == b"/" => base.to_vec(),
        (None, false) => [base, request].concat(),
        (Some(open), true) => match postfix {
            [] if open.is_empty() || request_ends_in_slash => base.to_vec(),
            [] => open.to_vec(),
            [b'/', ..] => [open, postfix].concat(),
            _ => [base, postfix].concat(),
        },
        (None, true) => match postfix {
            [] if request_ends_in_slash && request.len() > 1 => [base, b"/"].concat(),
            [] => base.to_vec(),
            [b'/', ..] => [base, postfix].concat(),
            _ => [base, b"/", postfix].concat(),
        },
    }
}

/// What is left behind a prefix must not begin with a dot segment: `/route` matches `/route../x`.
fn sanitised(postfix: &[u8]) -> &[u8] {
    match postfix {
        b"." | b".." => b"",
        [b'.', b'/', tail @ ..] | [b'.', b'.', b'/', tail @ ..] => tail,
        _ => postfix,
    }
}

#[cfg(test)]
mod tests {
    use model::PathHandling;

    use super::upstream;
    use crate::path::normalise;

    /// base, route, strip, request, v0, v1
    type Vector = (&'static str, &'static str, bool, &'static str, &'static str, &'static str);

    const VECTORS: &[Vector] = &[
        ("/", "/api", true, "/api", "/", "/"),
        ("/", "/api", true, "/api/", "/", "/"),
        ("/", "/api", true, "/apix", "/x", "/x"),
        ("/", "/api", false, "/api/x", "/api/x", "/api/x"),
        ("/", "/api/", true, "/api/x", "/x", "/x"),
        ("/svc", "/", true, "/", "/svc", "/svc"),
        ("/svc", "/", true, "/api", "/svc/api", "/svcapi"),
        ("/svc", "/", false, "/api", "/svc/api", "/svcapi"),
        ("/svc", "/api", true, "/api", "/svc", "/svc"),
        ("/svc", "/api", true, "/api/", "/svc/", "/svc/"),
        ("/svc", "/api", true, "/api/x", "/svc/x", "/svc/x"),
        ("/svc", "/api", true, "/apix", "/svc/x", "/svcx"),
        ("/svc", "/api", false, "/api", "/svc/api", "/svcapi"),
        ("/svc", "/api", false, "/api/x", "/svc/api/x", "/svcapi/x"),
        ("/svc", "/api/", true, "/api/", "/svc/", "/svc"),
        ("/svc", "/api/", true, "/api/x", "/svc/x", "/svcx"),
        ("/svc/", "/", true, "/", "/svc/", "/svc/"),
        ("/svc/", "/api", true, "/api", "/svc", "/svc/"),
        ("/svc/", "/api", true, "/api/", "/svc/", "/svc/"),
        ("/svc/", "/api", true, "/apix", "/svc/x", "/svc/x"),
        ("/svc/", "/api", false, "/api/", "/svc/api/", "/svc/api/"),
        ("/svc/", "/api/", true, "/api/x", "/svc/x", "/svc/x"),
        ("/service", "/route", false, "/route%2E/req", "/service/route./req", "/serviceroute./req"),
        ("", "/api", true, "/api/x", "/x", "/x"),
    ];

    fn text(path: Vec<u8>) -> String {
        String::from_utf8_lossy(&path).into_owned()
    }

    #[test]
    fn kong_vectors() {
        for &(base, route, strip, request, v0, v1) in VECTORS {
            for (handling, expected) in [(PathHandling::V0, v0), (PathHandling::V1, v1)] {
                let request = normalise(request.as_bytes());
                let path = upstream(base.as_bytes(), handling, strip, Some(route.len()), &request);
                assert_eq!(text(path), expected, "{base} {route} {strip} {handling:?}");
            }
        }
    }

    #[test]
    fn no_dot_segment_is_left_behind_a_prefix() {
        for (request, expected) in [
            ("/route./req", "/service/req"),
            ("/route../req", "/service/req"),
            ("/route..", "/service"),
        ] {
            let path = upstream(b"/service", PathHandling::V0, true, Some(6), request.as_bytes());
            assert_eq!(text(path), expected);
        }
    }

    #[test]
    fn route_without_path() {
        for strip in [true, false] {
            assert_eq!(
                text(upstream(b"/service", PathHandling::V0, strip, None, b"/")),
                "/service"
            );
            assert_eq!(text(upstream(b"/srv", PathHandling::V0, strip, None, b"/x")), "/srv/x");
        }
    }

    #[test]
    fn a_match_longer_than_the_request_is_harmless() {
        assert_eq!(text(upstream(b"/s", PathHandling::V0, true, Some(99), b"/x")), "/s");
    }
}
