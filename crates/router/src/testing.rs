//! Routes and requests for tests.

use std::collections::BTreeMap;

use model::{Protocol, Route};
use uuid::Uuid;

use crate::request::{NoHeaders, Request, Scheme};

/// A route without conditions.
pub(crate) fn route() -> Route {
    Route {
        id: Uuid::nil(),
        created_at: Some(0),
        updated_at: None,
        name: None,
        protocols: vec![Protocol::Http, Protocol::Https],
        https_redirect_status_code: 426,
        strip_path: true,
        preserve_host: false,
        request_buffering: true,
        response_buffering: true,
        tags: None,
        service: None,
        snis: None,
        sources: None,
        destinations: None,
        methods: None,
        hosts: None,
        paths: None,
        headers: None,
        regex_priority: Some(0),
        path_handling: None,
        expression: None,
        priority: None,
    }
}

pub(crate) fn paths(paths: &[&str]) -> Route {
    Route { paths: texts(paths), ..route() }
}

pub(crate) fn hosts(hosts: &[&str]) -> Route {
    Route { hosts: texts(hosts), ..route() }
}

pub(crate) fn expression(expression: &str) -> Route {
    Route { expression: Some(expression.to_owned()), ..route() }
}

/// The same route with one header condition more.
pub(crate) fn with_header(mut route: Route, name: &str, values: &[&str]) -> Route {
    let values = values.iter().map(|v| (*v).to_owned()).collect();
    route.headers.get_or_insert_with(BTreeMap::new).insert(name.to_owned(), values);
    route
}

pub(crate) fn with_id(id: u128, route: Route) -> Route {
    Route { id: Uuid::from_u128(id), ..route }
}

pub(crate) fn texts(texts: &[&str]) -> Option<Vec<String>> {
    Some(texts.iter().map(|t| (*t).to_owned()).collect())
}

pub(crate) fn request<'a>(host: &'a str, path: &'a str) -> Request<'a> {
    let (host, port) = crate::host::split(host);
    Request {
        scheme: Scheme::Http,
        method: "GET",
        host,
        port,
        path: path.as_bytes(),
        query: None,
        headers: &NoHeaders,
        sni: None,
        source: None,
        destination: Some(([127, 0, 0, 1], 8000).into()),
    }
}
