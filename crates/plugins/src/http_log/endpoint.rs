//! Where records go.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use plugin::{Destination, Tls};

/// A URL taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) destination: Destination,
    /// What the Host field says.
    pub(super) host: String,
    /// The path, escaped as it was written; without a query.
    pub(super) path: String,
    /// What the Authorization field says, for a URL with user and password.
    pub(super) credentials: Option<String>,
}

impl Endpoint {
    /// Whether it is a URL, in Kong's words if not.
    pub(super) fn check(url: &str) -> Result<(), String> {
        Endpoint::parse(url).map(|_| ())
    }

    pub(super) fn parse(url: &str) -> Result<Endpoint, String> {
        let (scheme, rest) = match url.split_once("//") {
            Some((scheme, rest)) => (scheme.strip_suffix(':').unwrap_or_default(), rest),
            None => return Err("missing host in url".to_owned()),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (user, authority) = match authority.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, authority),
        };
        if authority.is_empty() {
            return Err("missing host in url".to_owned());
        }
        let secured = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            "" => return Err("missing scheme in url".to_owned()),
            other => return Err(format!("scheme '{other}' in url: only http and https are known")),
        };
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, "")) => (address, None),
            Some((address, port)) => (address, Some(port.strip_prefix(':').unwrap_or(port))),
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().map_err(|_| format!("invalid port in url: '{port}'"))?,
            None if secured => 443,
            None => 80,
        };
        if host.is_empty() || authority.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err("missing host in url".to_owned());
        }
        let path = path.split(['?', '#']).next().filter(|path| !path.is_empty()).unwrap_or("/");
        if let Some(bad) = path.chars().find(|c| !c.is_ascii_graphic()) {
            return Err(format!("the path of the url must have '{bad}' escaped"));
        }
        let credentials = user.map(|user| {
            let plain: Vec<u8> = percent_decode_str(user).collect();
            format!("Basic {}", STANDARD.encode(plain))
        });
        let tls = secured.then(|| Tls { server_name: host.to_owned(), verify: false });
        Ok(Endpoint {
            destination: Destination { host: host.to_owned(), port, tls },
            host: authority.to_owned(),
            path: path.to_owned(),
            credentials,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let endpoint = Endpoint::parse("https://u%40x:p:q@[::1]:8443/in/%41?x=1#f").unwrap();
        let tls = Some(Tls { server_name: "::1".to_owned(), verify: false });
        let expected = Endpoint {
            destination: Destination { host: "::1".to_owned(), port: 8443, tls },
            host: "[::1]:8443".to_owned(),
            path: "/in/%41".to_owned(),
            credentials: Some(format!("Basic {}", STANDARD.encode("u@x:p:q"))),
        };
        assert_eq!(endpoint, expected);
        let endpoint = Endpoint::parse("HTTP://logs.test?x").unwrap();
        assert_eq!((endpoint.destination.port, endpoint.path.as_str()), (80, "/"));
    }

    #[test]
    fn what_is_no_url_is_refused() {
        let refusal = |url: &str| Endpoint::check(url).unwrap_err();
        assert_eq!(refusal("nope"), "missing host in url");
        assert_eq!(refusal("http:///x"), "missing host in url");
        assert_eq!(refusal("http://:80/x"), "missing host in url");
        assert_eq!(refusal("http://a\r\nb/"), "missing host in url");
        assert_eq!(refusal("//host/x"), "missing scheme in url");
        assert_eq!(refusal("ftp://host/x"), "scheme 'ftp' in url: only http and https are known");
        assert_eq!(refusal("http://host:many/"), "invalid port in url: 'many'");
        assert_eq!(refusal("http://host/a b"), "the path of the url must have ' ' escaped");
    }
}
