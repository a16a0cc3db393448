//! A rollout with real programs, driven by `weir rollout`: a control plane on Postgres, and data
//! planes of which one is labelled.

use std::net::SocketAddr;
use std::path::Path;

use end_to_end::{Backend, Client, Program, address, postgres};
use serde_json::json;

use crate::cluster::{FREQUENCY, control_plane, flat};

fn data_plane(dir: &Path, stage: &str, at: SocketAddr) -> (Program, SocketAddr) {
    let arguments = [
        ("--data-dir", dir.join(stage).display().to_string()),
        ("--proxy-listen", "127.0.0.1:0".to_owned()),
        ("--status-listen", "off".to_owned()),
        ("--cluster-control-plane", at.to_string()),
        ("--cluster-dp-labels", format!("stage:{stage}")),
        ("--db-update-frequency", FREQUENCY.to_owned()),
    ];
    let mut program = Program::start("weir-data-plane", &flat(&arguments)).unwrap();
    let entry = program.wait_for("the data plane runs").unwrap();
    (program, address(&entry, "proxy").unwrap())
}

/// What `weir rollout` says.
fn rollout(admin: SocketAddr, arguments: &[&str]) -> String {
    let admin = format!("http://{admin}");
    let all = [&["rollout"], arguments, &["--admin", &admin]].concat();
    let (status, said) = Program::command("weir", &all).unwrap();
    assert!(status.success(), "{all:?}: {said}");
    said
}

#[test]
fn a_rollout_is_started_watched_reverted_and_promoted() {
    let dir = tempfile::tempdir().unwrap();
    let database = postgres();
    let (control, admin, cluster) = control_plane(dir.path(), &database, "127.0.0.1:0");
    let (_canary, canary_proxy) = data_plane(dir.path(), "canary", cluster);
    let (mut stable, stable_proxy) = data_plane(dir.path(), "stable", cluster);
    let (mut canary, mut served) =
        (Client::new(admin, canary_proxy), Client::new(admin, stable_proxy));
    let backend = Backend::start("one", None).unwrap();
    let write = |client: &Client, method: &str, path: &str, body| {
        let reply = client.write(&json!({ "method": method, "path": path, "json": body })).unwrap();
        assert!((200..300).contains(&reply.status), "{reply:?}");
        reply
    };
    let url = format!("http://127.0.0.1:{}", backend.port());
    write(&canary, "PUT", "/services/s", json!({ "url": url }));
    let put_route = |client: &Client, wait: &str| {
        let path = format!("/services/s/routes/new{wait}");
        write(client, "PUT", &path, json!({ "paths": ["/new"] }))
    };
    write(&canary, "PUT", "/services/s/routes/old?wait=2", json!({ "paths": ["/old"] }));

    assert!(rollout(admin, &["status"]).contains("No rollout is open"));
    let said = rollout(admin, &["start", "--label", "stage:canary"]);
    assert!(said.contains("data planes with stage:canary"), "{said}");
    let second = ["rollout", "start", "-l", "a:b", "--admin", &format!("http://{admin}")];
    let (status, refused) = Program::command("weir", &second).unwrap();
    assert!(!status.success() && refused.contains("promote or revert it first"), "{refused}");

    // Held back from the other, also when it starts anew, on what it has and on nothing.
    let put = put_route(&canary, "?wait=all&wait_timeout=20s");
    assert_eq!(put.header("x-weir-serving"), Some("1"));
    assert_eq!(put.header("x-weir-held-back"), Some("1"));
    assert_eq!(put.header("x-weir-rollout"), Some("stage:canary"));
    canary.proxy_until(&json!({ "path": "/new" }), 200).unwrap();
    for forget in [false, true] {
        stable.kill().unwrap();
        if forget {
            std::fs::remove_dir_all(dir.path().join("stable")).unwrap();
        }
        let (program, proxy) = data_plane(dir.path(), "stable", cluster);
        stable = program;
        served = served.with_proxy(proxy);
        served.proxy_until(&json!({ "path": "/old" }), 200).unwrap();
        assert_eq!(served.proxy(&json!({ "path": "/new" })).unwrap().status, 404);
    }
    let said = rollout(admin, &["status"]);
    assert!(said.contains("first") && said.contains("held"), "{said}");

    // The control plane starts anew in the middle of it.
    control.signal("KILL").unwrap();
    let (control, admin, _) = control_plane(dir.path(), &database, &cluster.to_string());
    canary = canary.with_admin(admin);
    served = served.with_admin(admin);
    let said = rollout(admin, &["revert", "--wait", "2"]);
    assert!(said.contains("Reverted: 1 entities"), "{said}");
    canary.proxy_until(&json!({ "path": "/new" }), 404).unwrap();
    for client in [&canary, &served] {
        assert_eq!(client.proxy(&json!({ "path": "/old" })).unwrap().status, 200);
    }

    rollout(admin, &["start", "--label", "stage:canary"]);
    put_route(&canary, "?wait=all&wait_timeout=20s");
    assert_eq!(served.proxy(&json!({ "path": "/new" })).unwrap().status, 404);
    rollout(admin, &["promote", "--wait", "2"]);
    for client in [&canary, &served] {
        assert_eq!(client.proxy(&json!({ "path": "/new" })).unwrap().status, 200);
    }
    drop((control, stable));
}
