//! Routes and requests for tests.

use std::collections::BTreeMap;

use model::Route;
use uuid::Uuid;

pub(crate) use crate::oracle::route;
use crate::request::{NoHeaders, Request, Scheme};

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
