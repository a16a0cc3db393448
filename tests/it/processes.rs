//! The real programs: starting, failing to start, being killed, stopping in order.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use end_to_end::{Backend, Client, Program, address};
use serde_json::json;

/// Arguments that keep `weir start` to itself.
pub(crate) fn alone(data_dir: &Path) -> Vec<String> {
    let data_dir = data_dir.display().to_string();
    let local = "127.0.0.1:0";
    [
        "start",
        "--data-dir",
        &data_dir,
        "--proxy-listen",
        local,
        "--admin-listen",
        local,
        "--status-listen",
        local,
    ]
    .map(String::from)
    .to_vec()
}

/// `weir start`, and a client of it.
pub(crate) fn start(arguments: &[String]) -> (Program, Client) {
    let mut program = Program::start("weir", arguments).unwrap();
    let entry = program.wait_for("the gateway runs").unwrap();
    let client = Client::new(address(&entry, "admin").unwrap(), address(&entry, "proxy").unwrap());
    (program, client)
}

/// A service and a route to a backend.
fn configure(client: &Client, backend: &Backend) {
    let url = format!("http://127.0.0.1:{}", backend.port());
    let service = json!({ "name": "one", "url": url });
    client.write(&json!({ "method": "POST", "path": "/services", "json": service })).unwrap();
    let route = json!({ "name": "one", "paths": ["/one"] });
    client
        .write(&json!({ "method": "POST", "path": "/services/one/routes", "json": route }))
        .unwrap();
}

/// What a program says that must not start.
fn refusal(name: &str, arguments: &[String]) -> String {
    let (status, said) = Program::run(name, arguments).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

#[test]
fn what_is_in_the_way_of_a_start_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let with = |more: &[&str]| {
        let mut arguments = alone(dir.path());
        arguments.extend(more.iter().map(|argument| String::from(*argument)));
        arguments
    };

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for flag in ["--admin-listen", "--proxy-listen", "--status-listen"] {
        let mut arguments = alone(dir.path());
        let at = arguments.iter().position(|argument| argument == flag).unwrap();
        arguments[at + 1] = format!("127.0.0.1:{port}");
        let said = refusal("weir", &arguments);
        let setting = flag.trim_start_matches('-').replace('-', "_");
        assert!(said.contains(&format!("{setting}: cannot listen on 127.0.0.1:{port}")), "{said}");
        assert!(said.contains("another process listens there"), "{said}");
    }

    let said = refusal("weir", &with(&["--pg-port", "many", "--log-level", "loud"]));
    assert!(said.contains("2 settings are not right"), "{said}");
    assert!(said.contains("pg_port: has an invalid value: 'many'"), "{said}");

    let file = dir.path().join("weir.conf");
    fs::write(&file, "proxy_listne = off\n").unwrap();
    let said = refusal("weir", &with(&["--conf", file.to_str().unwrap()]));
    assert!(said.contains("did you mean proxy_listen?"), "{said}");

    let unreachable = ["--database", "postgres", "--pg-host", "127.0.0.1", "--pg-port", "1"];
    let said = refusal("weir", &with(&unreachable));
    assert!(said.contains("Postgres at 127.0.0.1:1"), "{said}");
    assert!(said.contains("start Postgres, or correct pg_host and pg_port"), "{said}");

    let mut arguments = alone(&file.join("below"));
    let said = refusal("weir", &arguments);
    assert!(said.contains("data_dir: ") && said.contains("with --data-dir"), "{said}");

    let corrupt = dir.path().join("corrupt");
    fs::create_dir(&corrupt).unwrap();
    fs::write(
        corrupt.join("weir.db"),
        "this is no database, but it is long enough to be looked at".repeat(100),
    )
    .unwrap();
    arguments = alone(&corrupt);
    let said = refusal("weir", &arguments);
    assert!(said.contains("weir.db"), "{said}");
    assert!(said.contains("restore a backup"), "{said}");
}

#[test]
fn one_data_directory_serves_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let (_first, _) = start(&alone(dir.path()));
    let said = refusal("weir", &alone(dir.path()));
    assert!(said.contains("another process has it open"), "{said}");
}

#[test]
fn the_configuration_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let backend = Backend::start("one", None).unwrap();
    let (program, client) = start(&alone(dir.path()));
    configure(&client, &backend);
    client.proxy_until(&json!({ "path": "/one" }), 200).unwrap();
    program.kill().unwrap();

    let (program, client) = start(&alone(dir.path()));
    assert_eq!(client.write(&json!({ "path": "/services/one" })).unwrap().json["name"], "one");
    client.proxy_until(&json!({ "path": "/one" }), 200).unwrap();
    program.signal("TERM").unwrap();
    let (status, said) = program.wait().unwrap();
    assert!(status.success(), "{said}");
}

#[test]
fn a_request_that_has_begun_ends_before_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let backend = Backend::start("one", None).unwrap();
    let (program, client) = start(&alone(dir.path()));
    configure(&client, &backend);
    client.proxy_until(&json!({ "path": "/one" }), 200).unwrap();
    let before = backend.hits();

    let asking = {
        let client = client.clone();
        thread::spawn(move || client.proxy(&json!({ "path": "/one?_delay=700" })).unwrap())
    };
    wait_until(|| backend.hits() > before);
    program.signal("TERM").unwrap();
    let reply = asking.join().unwrap();
    assert_eq!(reply.status, 200);
    let (status, said) = program.wait().unwrap();
    assert!(status.success(), "{said}");
    assert!(client.proxy(&json!({ "path": "/one" })).is_err(), "nobody listens any more");
}

#[test]
fn a_second_signal_does_not_wait() {
    let dir = tempfile::tempdir().unwrap();
    let backend = Backend::start("one", None).unwrap();
    let mut arguments = alone(dir.path());
    arguments.extend(["--drain-timeout", "600"].map(String::from));
    let (mut program, client) = start(&arguments);
    configure(&client, &backend);
    client.proxy_until(&json!({ "path": "/one" }), 200).unwrap();
    let before = backend.hits();
    let asking =
        thread::spawn(move || client.proxy(&json!({ "path": "/one?_delay=30000" })).is_err());
    wait_until(|| backend.hits() > before);
    program.signal("INT").unwrap();
    program.wait_for("draining; a second signal ends it at once").unwrap();
    program.signal("INT").unwrap();
    program.wait().unwrap();
    assert!(asking.join().unwrap(), "the request was cut off");
}

#[test]
fn a_data_plane_serves_without_its_control_plane() {
    let dir = tempfile::tempdir().unwrap();
    let backend = Backend::start("one", None).unwrap();
    let (control, admin, cluster) = control_plane(&dir.path().join("control"), "127.0.0.1:0");
    let (data, proxy) = data_plane(&dir.path().join("data"), cluster);
    let client = Client::new(admin, proxy);
    configure(&client, &backend);
    client.proxy_until(&json!({ "path": "/one" }), 200).unwrap();

    // Stopped in order, so that what it serves is on disk; then started with nobody to ask.
    control.kill().unwrap();
    data.signal("TERM").unwrap();
    data.wait().unwrap();
    let (data, proxy) = data_plane(&dir.path().join("data"), cluster);
    let client = Client::new(admin, proxy);
    client.proxy_until(&json!({ "path": "/one" }), 200).unwrap();

    // The control plane is back at its address: changes arrive again.
    let (_control, admin, _) = control_plane(&dir.path().join("control"), &cluster.to_string());
    let client = Client::new(admin, proxy);
    client.write(&json!({ "method": "DELETE", "path": "/routes/one" })).unwrap();
    client.proxy_until(&json!({ "path": "/one" }), 404).unwrap();
    drop(data);
}

#[test]
fn the_other_commands_answer() {
    let (status, _) = Program::run("weir", &["version"]).unwrap();
    assert!(status.success());
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["migrate", "--data-dir", dir.path().to_str().unwrap()];
    let (status, said) = Program::run("weir", &arguments).unwrap();
    assert!(status.success(), "{said}");
    assert!(dir.path().join("weir.db").is_file());
}

/// A control plane on SQLite: its Admin API and where data planes connect.
fn control_plane(data_dir: &Path, cluster: &str) -> (Program, SocketAddr, SocketAddr) {
    let data_dir = data_dir.display().to_string();
    let mut program = Program::start(
        "weir-control-plane",
        &[
            "--database",
            "sqlite",
            "--data-dir",
            &data_dir,
            "--admin-listen",
            "127.0.0.1:0",
            "--cluster-listen",
            cluster,
            "--status-listen",
            "off",
        ],
    )
    .unwrap();
    let entry = program.wait_for("the control plane runs").unwrap();
    let (admin, cluster) = (address(&entry, "admin").unwrap(), address(&entry, "cluster").unwrap());
    (program, admin, cluster)
}

/// A data plane of that control plane, and where its clients connect.
fn data_plane(data_dir: &Path, control_plane: SocketAddr) -> (Program, SocketAddr) {
    let data_dir = data_dir.display().to_string();
    let mut program = Program::start(
        "weir-data-plane",
        &[
            "--data-dir",
            &data_dir,
            "--proxy-listen",
            "127.0.0.1:0",
            "--status-listen",
            "off",
            "--cluster-control-plane",
            &control_plane.to_string(),
            "--db-update-frequency",
            "0.5",
        ],
    )
    .unwrap();
    let entry = program.wait_for("the data plane runs").unwrap();
    let proxy = address(&entry, "proxy").unwrap();
    (program, proxy)
}

fn wait_until(happened: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !happened() {
        assert!(Instant::now() < deadline, "it does not happen");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn log_records_that_wait_for_others_are_sent_before_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let backend = Backend::start("echo1", None).unwrap();
    let pem = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/pem");
    let receiver = Backend::start("logs", Some(&pem)).unwrap();
    let (program, client) = start(&alone(dir.path()));
    configure(&client, &backend);
    let config = json!({
        "http_endpoint": format!("https://127.0.0.1:{}/logs", receiver.port()),
        "queue": {"max_batch_size": 1000, "max_coalescing_delay": 3600},
    });
    let plugin = json!({ "name": "http-log", "config": config });
    client.write(&json!({ "method": "POST", "path": "/plugins", "json": plugin })).unwrap();
    for _ in 0..3 {
        let answer = client.proxy(&json!({ "path": "/one" })).unwrap();
        assert_eq!(answer.status, 200);
    }
    assert_eq!(receiver.hits(), 0, "the batch is not full");
    program.signal("TERM").unwrap();
    let (status, said) = program.wait().unwrap();
    assert!(status.success(), "{said}");
    assert_eq!(receiver.hits(), 1, "{said}");
}
