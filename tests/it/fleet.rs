//! A fleet: two control planes on one Postgres, a data plane on each. The health of targets over it,
//! and waiting for it.

use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use end_to_end::{Backend, Client, Program, Reply, address, postgres};
use serde_json::{Value, json};

use crate::cluster::{FREQUENCY, control_plane, flat};

/// How long something may take to be seen.
const PATIENCE: Duration = Duration::from_secs(30);

fn data_plane(dir: &Path, cluster: SocketAddr) -> (Program, SocketAddr) {
    let arguments = [
        ("--data-dir", dir.display().to_string()),
        ("--proxy-listen", "127.0.0.1:0".to_owned()),
        ("--status-listen", "off".to_owned()),
        ("--cluster-control-plane", cluster.to_string()),
        ("--db-update-frequency", FREQUENCY.to_owned()),
    ];
    let mut program = Program::start("weir-data-plane", &flat(&arguments)).unwrap();
    let entry = program.wait_for("the data plane runs").unwrap();
    (program, address(&entry, "proxy").unwrap())
}

fn post(client: &Client, path: &str, body: &Value) {
    client.write(&json!({ "method": "POST", "path": path, "json": body })).unwrap();
}

/// What a control plane says of a target, once it says what `wanted` asks for.
fn health_until(client: &Client, target: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reply = client.admin(&json!({ "path": "/upstreams/u/health" })).unwrap();
        let targets = reply.json["data"].as_array().cloned().unwrap_or_default();
        let found = targets.into_iter().find(|one| one["target"] == target);
        if let Some(found) = found.filter(|found| wanted(found)) {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {reply:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// On how many data planes a target is unhealthy.
fn unhealthy_on(seen: &Value) -> u64 {
    seen["data"]["addresses"][0]["data_planes"]["unhealthy"].as_u64().unwrap_or_default()
}

/// What a control plane answers to a write that waits for all, once so many serve it.
fn write_until(client: &Client, name: &str, serving: u64) -> Reply {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let path = format!("/services/{name}?wait=all&wait_timeout=5");
        let body = json!({ "url": "http://127.0.0.1:1" });
        let reply = client.admin(&json!({ "method": "PUT", "path": path, "json": body })).unwrap();
        let revision = reply.header("x-weir-revision").unwrap().to_owned();
        let path = format!("/clustering/revisions/{revision}/wait?wait_timeout=0");
        let waited = client.admin(&json!({ "path": path })).unwrap();
        if waited.json["serving"] == serving && waited.json["reached"] == true {
            return reply;
        }
        assert!(Instant::now() < deadline, "not in time: {reply:?} {waited:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// The data planes that a control plane lists, once there are so many.
fn listed(client: &Client, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reply = client.admin(&json!({ "path": "/clustering/data-planes" })).unwrap();
        let data = reply.json["data"].as_array().cloned().unwrap_or_default();
        if data.len() == count {
            return data;
        }
        assert!(Instant::now() < deadline, "not in time: {reply:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_write_waits_for_the_data_planes_of_every_control_plane() {
    let dir = tempfile::tempdir().unwrap();
    let database = postgres();
    let (mut controls, mut data_planes, mut clients) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..2 {
        let home = dir.path().join(number.to_string());
        let (control, admin, cluster) = control_plane(&home, &database, "127.0.0.1:0");
        let (data, proxy) = data_plane(&home.join("data"), cluster);
        controls.push(control);
        data_planes.push(data);
        clients.push(Client::new(admin, proxy));
    }
    for (client, name) in clients.iter().zip(["one", "two"]) {
        let reply = write_until(client, name, 2);
        assert!([200, 201].contains(&reply.status), "{reply:?}");
        assert_eq!(listed(client, 2).len(), 2);
    }

    // One that stands still, on the other control plane, is waited for and named.
    data_planes[1].signal("STOP").unwrap();
    let path = "/services/three?wait=all&wait_timeout=1";
    let body = json!({ "url": "http://127.0.0.1:1" });
    let write = json!({ "method": "PUT", "path": path, "json": body });
    let reply = clients[0].admin(&write).unwrap();
    assert_eq!(reply.status, 202, "{reply:?}");
    let revision = reply.header("x-weir-revision").unwrap().to_owned();
    data_planes[1].signal("CONT").unwrap();
    let path = format!("/clustering/revisions/{revision}/wait?for=all&wait_timeout=20");
    let waited = clients[0].admin(&json!({ "path": path })).unwrap();
    assert_eq!((waited.status, &waited.json["serving"]), (200, &json!(2)), "{waited:?}");

    // What is gone is listed, also by a control plane that starts later.
    let gone = data_planes.remove(1);
    gone.kill().unwrap();
    let killed = controls.remove(1);
    killed.kill().unwrap();
    let home = dir.path().join("late");
    let (late, admin, _) = control_plane(&home, &database, "127.0.0.1:0");
    let late_client = clients[0].with_admin(admin);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    for away in listed(&late_client, 2) {
        let last_seen = away["last_seen"].as_f64().unwrap();
        assert!((now - 60.0..=now + 1.0).contains(&last_seen), "{away}");
        assert!(!away["hostname"].as_str().unwrap().is_empty());
    }
    drop((late, controls));
}

/// How many of 20 requests a backend got.
fn share(client: &Client, backend: &Backend) -> u64 {
    let before = backend.hits();
    for _ in 0..20 {
        assert_eq!(client.proxy(&json!({ "path": "/u" })).unwrap().status, 200);
    }
    backend.hits() - before
}

#[test]
fn health_set_by_hand_reaches_every_data_plane_and_is_seen_from_every_control_plane() {
    let dir = tempfile::tempdir().unwrap();
    let database = postgres();
    let (one, two) = (Backend::start("one", None).unwrap(), Backend::start("two", None).unwrap());
    let (mut programs, mut clients) = (Vec::new(), Vec::new());
    let mut clusters = Vec::new();
    for number in 0..2 {
        let home = dir.path().join(number.to_string());
        let (control, admin, cluster) = control_plane(&home, &database, "127.0.0.1:0");
        let (data, proxy) = data_plane(&home.join("data"), cluster);
        programs.push((control, data));
        clusters.push(cluster);
        clients.push(Client::new(admin, proxy));
    }
    let (here, there) = (&clients[0], &clients[1]);
    let checks = json!({ "passive": { "unhealthy": { "tcp_failures": 1 } } });
    post(here, "/upstreams", &json!({ "name": "u", "healthchecks": checks }));
    for backend in [&one, &two] {
        let target = json!({ "target": format!("127.0.0.1:{}", backend.port()) });
        post(here, "/upstreams/u/targets", &target);
    }
    post(here, "/services", &json!({ "name": "u", "host": "u" }));
    post(here, "/services/u/routes", &json!({ "paths": ["/u"] }));
    for client in &clients {
        client.proxy_until(&json!({ "path": "/u" }), 200).unwrap();
        assert_eq!(share(client, &one), 10);
    }

    // One control plane is told, and the data planes of both stop using the target.
    let target = format!("127.0.0.1:{}", one.port());
    let set = |word: &str| {
        let path = format!("/upstreams/u/targets/{target}/{word}");
        assert_eq!(here.write(&json!({ "method": "PUT", "path": path })).unwrap().status, 204);
    };
    set("unhealthy");
    for client in [here, there] {
        // Each control plane sees both: its own data plane and the other's.
        let seen = health_until(client, &target, |seen| unhealthy_on(seen) == 2);
        assert_eq!(seen["health"], "UNHEALTHY", "{seen}");
        let planes = &seen["data"]["addresses"][0]["data_planes"];
        assert_eq!(planes["healthy"], 0, "{seen}");
        for said in planes["changed"].as_array().unwrap() {
            assert_eq!(said["cause"], "set by hand");
            assert!(said["since"].as_f64().unwrap() > 1.6e9, "{said}");
        }
        assert_eq!(share(client, &one), 0);
        let whole = client.admin(&json!({ "path": "/upstreams/u/health?balancer_health=1" }));
        let whole = whole.unwrap().json;
        assert_eq!(whole["data"]["balancer_health"], "HEALTHY", "half of the weight is there");
        assert_eq!(whole["data"]["details"]["weight"]["unavailable"], 100);
    }

    // A data plane that is new hears of it, and a control plane that is new hears from it.
    let home = dir.path().join("late");
    let (late_control, admin, cluster) = control_plane(&home, &database, "127.0.0.1:0");
    let (late_data, proxy) = data_plane(&home.join("data"), cluster);
    let late = Client::new(admin, proxy);
    late.proxy_until(&json!({ "path": "/u" }), 200).unwrap();
    health_until(&late, &target, |seen| unhealthy_on(seen) == 3);
    assert_eq!(share(&late, &one), 0);
    programs.push((late_control, late_data));

    // A control plane that was killed knows nothing, and is told everything again.
    let (killed, data) = programs.remove(1);
    killed.kill().unwrap();
    let home = dir.path().join("again");
    let (again, admin, _) = control_plane(&home, &database, &clusters[1].to_string());
    let again_client = there.with_admin(admin);
    health_until(&again_client, &target, |seen| unhealthy_on(seen) == 3);
    programs.push((again, data));

    set("healthy");
    for client in [here, &again_client, &late] {
        health_until(client, &target, |seen| {
            let planes = &seen["data"]["addresses"][0]["data_planes"];
            planes["healthy"] == 3 && planes["changed"][0]["cause"] == "set by hand"
        });
        assert_eq!(share(client, &one), 10);
    }
}
