//! One control plane on Postgres and two data planes, as real programs: what one accepts, both
//! serve; cut wires and killed programs lose nothing.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use end_to_end::{Backend, Client, Program, Relay, address, postgres};
use serde_json::json;
use tempfile::TempDir;

/// A control plane, two data planes that reach it over a wire, and a client of each pair.
struct Cluster {
    control: Program,
    data: Vec<Program>,
    clients: Vec<Client>,
    relay: Relay,
    database: Vec<(String, String)>,
    cluster: SocketAddr,
    backend: Arc<Backend>,
    dir: TempDir,
}

/// How often data planes poll while the stream is down, in seconds.
pub(super) const FREQUENCY: &str = "1";

impl Cluster {
    fn start() -> Cluster {
        let dir = tempfile::tempdir().unwrap();
        let database = postgres();
        let (control, admin, cluster) = control_plane(dir.path(), &database, "127.0.0.1:0");
        let relay = Relay::to(cluster).unwrap();
        let mut started = Cluster {
            control,
            data: Vec::new(),
            clients: Vec::new(),
            relay,
            database,
            cluster,
            backend: Backend::start("one", None).unwrap(),
            dir,
        };
        for number in 0..2 {
            let (program, proxy) = started.data_plane(number);
            started.data.push(program);
            started.clients.push(Client::new(admin, proxy));
        }
        started
    }

    fn data_plane(&self, number: usize) -> (Program, SocketAddr) {
        let data_dir = self.dir.path().join(format!("data-{number}")).display().to_string();
        let arguments = [
            ("--data-dir", data_dir),
            ("--proxy-listen", "127.0.0.1:0".to_owned()),
            ("--status-listen", "off".to_owned()),
            ("--cluster-control-plane", self.relay.address().to_string()),
            ("--db-update-frequency", FREQUENCY.to_owned()),
        ];
        let mut program = Program::start("weir-data-plane", &flat(&arguments)).unwrap();
        let entry = program.wait_for("the data plane runs").unwrap();
        (program, address(&entry, "proxy").unwrap())
    }

    /// Any client's Admin API: there is one control plane.
    fn admin(&self) -> &Client {
        &self.clients[0]
    }

    fn put_route(&self, name: &str) {
        let url = format!("http://127.0.0.1:{}", self.backend.port());
        let service =
            json!({ "method": "PUT", "path": "/services/test-service", "json": { "url": url } });
        self.admin().write(&service).unwrap();
        let path = format!("/services/test-service/routes/{name}");
        let route =
            json!({ "method": "PUT", "path": path, "json": { "paths": [format!("/{name}")] } });
        self.admin().write(&route).unwrap();
    }

    /// Waits until every data plane answers so for a route's path.
    fn all_answer(&self, name: &str, status: u16) {
        for client in &self.clients {
            client.proxy_until(&json!({ "path": format!("/{name}") }), status).unwrap();
        }
    }
}

pub(super) fn control_plane(
    dir: &Path,
    database: &[(String, String)],
    cluster: &str,
) -> (Program, SocketAddr, SocketAddr) {
    let data_dir = dir.join("control").display().to_string();
    let mut arguments = flat(&[
        ("--data-dir", data_dir),
        ("--admin-listen", "127.0.0.1:0".to_owned()),
        ("--cluster-listen", cluster.to_owned()),
        ("--status-listen", "off".to_owned()),
        ("--db-update-frequency", FREQUENCY.to_owned()),
    ]);
    for (name, value) in database {
        arguments.extend([format!("--{}", name.replace('_', "-")), value.clone()]);
    }
    let mut program = Program::start("weir-control-plane", &arguments).unwrap();
    let entry = program.wait_for("the control plane runs").unwrap();
    (program, address(&entry, "admin").unwrap(), address(&entry, "cluster").unwrap())
}

pub(super) fn flat(arguments: &[(&str, String)]) -> Vec<String> {
    arguments.iter().flat_map(|(name, value)| [String::from(*name), value.clone()]).collect()
}

#[test]
fn what_is_deleted_is_gone_on_both_data_planes() {
    let cluster = Cluster::start();
    cluster.put_route("one");
    cluster.all_answer("one", 200);

    let delete = |path: &str| {
        // Answered when both data planes serve the deletion.
        let path = format!("{path}?wait=all&wait_timeout=20s");
        let reply = cluster.admin().write(&json!({ "method": "DELETE", "path": path })).unwrap();
        assert_eq!(reply.status, 204, "{reply:?}");
    };
    delete("/routes/one");
    for client in &cluster.clients {
        assert_eq!(client.proxy(&json!({ "path": "/one" })).unwrap().status, 404);
    }
    delete("/services/test-service");
}

#[test]
fn a_cut_wire_delays_and_loses_nothing() {
    let cluster = Cluster::start();
    cluster.put_route("before");
    cluster.all_answer("before", 200);

    cluster.relay.cut();
    cluster.put_route("meanwhile");
    for client in &cluster.clients {
        assert_eq!(client.proxy(&json!({ "path": "/before" })).unwrap().status, 200);
        assert_eq!(client.proxy(&json!({ "path": "/meanwhile" })).unwrap().status, 404);
    }
    cluster.relay.mend();
    cluster.all_answer("meanwhile", 200);
}

#[test]
fn killed_programs_come_back_with_the_same_configuration() {
    let mut cluster = Cluster::start();
    cluster.put_route("one");
    cluster.all_answer("one", 200);

    // A data plane, while the others go on.
    cluster.data.remove(1).kill().unwrap();
    let (program, proxy) = cluster.data_plane(1);
    cluster.data.push(program);
    let admin = cluster.clients[0].clone();
    cluster.clients[1] = admin.with_proxy(proxy);
    cluster.all_answer("one", 200);

    // The control plane; the data planes go on serving, and follow it again.
    let dir = cluster.dir.path().to_owned();
    let (database, at) = (cluster.database.clone(), cluster.cluster.to_string());
    cluster.control.signal("KILL").unwrap();
    cluster.all_answer("one", 200);
    let (control, admin, _) = control_plane(&dir, &database, &at);
    cluster.control = control;
    for client in &mut cluster.clients {
        *client = client.with_admin(admin);
    }
    assert_eq!(
        cluster.admin().write(&json!({ "path": "/routes/one" })).unwrap().json["name"],
        "one"
    );
    cluster.put_route("two");
    cluster.all_answer("two", 200);
}
