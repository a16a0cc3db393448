//! Traffic while entities come that a newer version wrote.

use serde_json::{Value, json};

use super::{
    Backend, Gateway,
    gateway::{entity, route, service, target, upstream},
};

async fn status(gateway: &Gateway, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answer = gateway.once(&request).await;
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

fn at(path: &str) -> Value {
    json!({ "paths": [path] })
}

#[tokio::test]
async fn what_is_not_known_costs_only_what_it_guards() {
    let backend = Backend::text("ok").await;
    let mut gateway = Gateway::start(&[
        service(1, backend.address, json!({})),
        route(1, 1, at("/")),
        route(2, 1, at("/guarded")),
        route(3, 1, at("/kept")),
    ]);
    let route_2 = || json!({"id": route(2, 1, json!({})).1["id"]});
    // A plugin of this version with a narrower scope must not stand in for the one that is missing.
    let newer = [
        entity("plugins", 21, json!({"name": "warp-shield", "route": route_2(), "config": {}})),
        entity("plugins", 22, json!({"name": "correlation-id", "route": route_2(), "config": {}})),
        entity("warp_drives", 31, json!({"power": 9})),
        service(4, backend.address, json!({"protocol": "warp"})),
        route(5, 4, at("/new")),
        upstream(6, "pool", json!({"algorithm": "oracle"})),
        target(7, 6, backend.address),
        service(8, backend.address, json!({"host": "pool", "warp": 9})),
        route(9, 8, at("/pool")),
        route(3, 1, json!({"paths": ["/elsewhere"], "moon_phase": ["full"]})),
    ];
    let rejected = gateway.apply_newer(&newer);
    let of = |number: u8| {
        let end = format!("{number:02}");
        rejected.iter().find(|one| one.id.to_string().ends_with(&end))
    };
    for number in [21, 31, 4, 5, 6, 8, 3] {
        assert!(of(number).is_some(), "{number} of {rejected:?}");
    }
    assert_eq!(rejected.len(), 7, "{rejected:?}");
    assert!(of(8).is_some_and(|one| one.in_part && one.reason.contains("'warp'")));

    assert_eq!(status(&gateway, "/other").await, "200", "what nobody touched is served");
    assert_eq!(status(&gateway, "/guarded").await, "500");
    assert_eq!(status(&gateway, "/kept").await, "200", "the last good version");
    assert_eq!(status(&gateway, "/new").await, "503", "not by the route for everything");
    assert_eq!(status(&gateway, "/pool").await, "503", "not by a host of that name");
    assert_eq!(backend.seen().len(), 2);

    // The same entities as this version knows them: all is well again.
    let mended = [
        entity("plugins", 21, json!({"name": "correlation-id", "enabled": false, "config": {}})),
        service(4, backend.address, json!({})),
        upstream(6, "pool", json!({"algorithm": "least-connections"})),
        service(8, backend.address, json!({"host": "pool"})),
        route(3, 1, at("/kept")),
    ];
    let rejected = gateway.apply_newer(&mended);
    assert_eq!(rejected.len(), 1, "the kind that is not known: {rejected:?}");
    for path in ["/other", "/guarded", "/kept", "/new", "/pool"] {
        assert_eq!(status(&gateway, path).await, "200", "{path}");
    }
}
