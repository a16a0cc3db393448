//! Connections.

use model::{Endpoint, Protocol, Route};

use crate::request::{Request, Scheme};
use crate::rules::Rules;
use crate::table::Table;
use crate::testing::{paths, request, route, texts, with_id};

#[test]
fn http_and_stream_routes_do_not_meet() {
    let tcp = Route {
        protocols: vec![Protocol::Tcp, Protocol::Tls],
        destinations: Some(vec![Endpoint { ip: None, port: Some(8000) }]),
        ..route()
    };
    let sni =
        Route { protocols: vec![Protocol::TlsPassthrough], snis: texts(&["a.test"]), ..route() };
    let mut table = Table::new(Rules::default());
    for route in [with_id(1, paths(&["/"])), with_id(2, tcp), with_id(3, sni)] {
        table.insert(&route, route.id.as_u128()).unwrap();
    }
    let found = |scheme, sni| {
        table.find(&Request { scheme, sni, ..request("", "/") }).map(|found| *found.payload)
    };
    assert_eq!(found(Scheme::Http, None), Some(1));
    assert_eq!(found(Scheme::Tls, Some("a.test")), Some(3));
    assert_eq!(found(Scheme::Tls, Some("b.test")), Some(2));
    // As in Kong, a route by name takes connections without TLS.
    assert_eq!(found(Scheme::Tcp, None), Some(3));
}
