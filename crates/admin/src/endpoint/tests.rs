use super::*;
use crate::path::segments;

fn found(path: &str) -> String {
    match Routes::new().find(&segments(path).unwrap()) {
        None => "nothing".to_owned(),
        Some(endpoint) => {
            let name = match endpoint {
                Endpoint::Collection(e) | Endpoint::Item(e) => e.name.to_owned(),
                Endpoint::Children(f) | Endpoint::Child(f) | Endpoint::Parent(f) => {
                    format!("{}.{}", f.child.name, f.field.name)
                }
                _ => String::new(),
            };
            let kind = format!("{endpoint:?}");
            let kind = kind.split(['(', ' ']).next().unwrap_or_default();
            format!("{kind} {name}").trim().to_owned()
        }
    }
}

#[test]
fn entities() {
    assert_eq!(found("/services"), "Collection services");
    assert_eq!(found("/services/"), "Collection services");
    assert_eq!(found("/services/x"), "Item services");
    assert_eq!(found("/services/x/routes"), "Children routes.service");
    assert_eq!(found("/services/x/routes/y"), "Child routes.service");
    assert_eq!(found("/routes/x/service"), "Parent routes.service");
    assert_eq!(found("/upstreams/x/targets"), "Children targets.upstream");
    assert_eq!(found("/upstreams/x/targets/all"), "AllTargets");
    assert_eq!(found("/upstreams/x/targets/y"), "Child targets.upstream");
    assert_eq!(found("/upstreams/x/targets/y/healthy"), "SetHealth");
    assert_eq!(found("/upstreams/x/targets/y/1.2.3.4:80/unhealthy"), "SetHealth");
    assert_eq!(found("/upstreams/x/health"), "UpstreamHealth");
}

#[test]
fn fixed_segments_win() {
    assert_eq!(found("/"), "Root");
    assert_eq!(found("/schemas/services"), "EntitySchema");
    assert_eq!(found("/schemas/services/validate"), "Validate");
    assert_eq!(found("/schemas/plugins/validate"), "Validate");
    assert_eq!(found("/schemas/plugins/cors"), "PluginSchema");
    assert_eq!(found("/plugins/enabled"), "EnabledPlugins");
    assert_eq!(found("/services/x/filter-chains"), "FilterChains");
}

#[test]
fn unknown_paths() {
    for path in [
        "/unknown",
        "/service",
        "/Services",
        "/services/a/b/c",
        "/services/x/unknown",
        "/services//routes",
        "/targets",
        "/targets/x",
        "/targets/x/upstream",
        "/workspaces",
        "/schemas",
        "/key_sets",
        "/upstreams/x/targets/y/nothing",
    ] {
        assert_eq!(found(path), "nothing", "{path}");
    }
}

#[test]
fn allowed_methods() {
    let allow = |path: &str| Routes::new().find(&segments(path).unwrap()).unwrap().allow(None);
    assert_eq!(allow("/"), "GET, HEAD, OPTIONS");
    assert_eq!(allow("/services"), "GET, HEAD, OPTIONS, POST");
    assert_eq!(allow("/services/x/routes/y"), "DELETE, GET, HEAD, OPTIONS, PATCH, PUT");
    assert_eq!(allow("/upstreams/x/targets/y/healthy"), "OPTIONS, PUT");
    assert_eq!(allow("/schemas/services/validate"), "OPTIONS, POST");
    assert_eq!(allow("/cache"), "DELETE, OPTIONS");
}

#[test]
fn all_paths_are_shown_once() {
    let shown: Vec<String> = Routes::new().iter().map(Route::shown).collect();
    for path in [
        "/",
        "/services/{services}/routes/{routes}",
        "/upstreams/{upstreams}/targets/{targets}/{address}/healthy",
        "/tags/{tags}",
    ] {
        assert_eq!(shown.iter().filter(|s| *s == path).count(), 1, "{path}");
    }
    let mut unique = shown.clone();
    unique.dedup();
    assert_eq!(unique, shown);
}
