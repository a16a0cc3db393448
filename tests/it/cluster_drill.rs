//! The drill of a whole cluster, by real programs: Postgres, two control planes, ten data planes,
//! traffic and writes all the while. Each part is killed, paused, cut off or given a broken disk,
//! and no request fails by it, no acknowledged write is lost, and everybody ends with the same.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use end_to_end::{Backend, Client, Connection, Load, Program, Relay, Sample, address, settings_of};
use serde_json::{Value, json};
use store_sql::PostgresOptions;
use store_sql::testing::Server;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::cluster::{FREQUENCY, flat};

/// How many data planes there are; the first ones are disturbed…
const DATA_PLANES: usize = 10;
/// …and traffic goes to these, which are not, but for what befalls the rest of the cluster.
const SERVING: [usize; 3] = [7, 8, 9];
/// Requests a second to each of them.
const RATE: u32 = 40;
/// Between two writes.
const WRITE_PAUSE: Duration = Duration::from_millis(50);
/// How long a part is away.
const AWAY: Duration = Duration::from_secs(1);
/// How long anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A control plane, and the wire by which data planes reach it.
struct ControlPlane {
    program: Program,
    home: PathBuf,
    admin: SocketAddr,
    cluster: SocketAddr,
    status: SocketAddr,
    relay: Relay,
}

struct DataPlane {
    program: Program,
    home: PathBuf,
    proxy: SocketAddr,
    status: SocketAddr,
}

struct Cluster {
    control: Vec<ControlPlane>,
    data: Vec<DataPlane>,
    writer: Writer,
    load: Vec<Load>,
    backends: [Arc<Backend>; 2],
    /// What was done when, for who reads a failure.
    events: Vec<(Instant, &'static str)>,
    options: PostgresOptions,
    server: Server,
    _dir: TempDir,
}

/// Where a plane stands: the revision, and the digest of what it holds.
type Standing = (Value, Value);

fn start_control_plane(
    home: &Path,
    database: &[(String, String)],
    at: [SocketAddr; 3],
) -> Result<(Program, [SocketAddr; 3]), anyhow::Error> {
    let [admin, cluster, status] = at.map(|address| address.to_string());
    let mut arguments = flat(&[
        ("--data-dir", home.display().to_string()),
        ("--admin-listen", admin),
        ("--cluster-listen", cluster),
        ("--status-listen", status),
        ("--db-update-frequency", FREQUENCY.to_owned()),
    ]);
    for (name, value) in database {
        arguments.extend([format!("--{}", name.replace('_', "-")), value.clone()]);
    }
    let mut program = Program::start("weir-control-plane", &arguments)?;
    let entry = program.wait_for("the control plane runs")?;
    let at = ["admin", "cluster", "status"].map(|field| address(&entry, field).unwrap());
    Ok((program, at))
}

impl ControlPlane {
    fn start(home: PathBuf, database: &[(String, String)]) -> ControlPlane {
        let any = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); 3];
        let (program, [admin, cluster, status]) =
            start_control_plane(&home, database, any).unwrap();
        let relay = Relay::to(cluster).unwrap();
        ControlPlane { program, home, admin, cluster, status, relay }
    }

    /// Starts it again at its addresses. Until it has them, somebody's connection may.
    fn start_again(&mut self, database: &[(String, String)]) {
        let at = [self.admin, self.cluster, self.status];
        let (program, _) = until("a control plane starts again", || {
            start_control_plane(&self.home, database, at).ok()
        });
        self.program = program;
    }

    fn standing(&self) -> Option<Standing> {
        let page = page(self.status)?;
        Some((page["revision"].clone(), page["configuration_hash"].clone()))
    }
}

impl DataPlane {
    fn arguments(home: &Path, control: &[ControlPlane]) -> Vec<String> {
        let wires: Vec<String> =
            control.iter().map(|one| one.relay.address().to_string()).collect();
        flat(&[
            ("--data-dir", home.display().to_string()),
            ("--proxy-listen", "127.0.0.1:0".to_owned()),
            ("--status-listen", "127.0.0.1:0".to_owned()),
            ("--nginx-main-worker-processes", "1".to_owned()),
            ("--cluster-control-plane", wires.join(",")),
            ("--db-update-frequency", FREQUENCY.to_owned()),
        ])
    }

    fn running(mut program: Program, home: PathBuf) -> DataPlane {
        let entry = program.wait_for("the data plane runs").unwrap();
        let (proxy, status) =
            (address(&entry, "proxy").unwrap(), address(&entry, "status").unwrap());
        DataPlane { program, home, proxy, status }
    }

    fn start(home: PathBuf, control: &[ControlPlane]) -> DataPlane {
        let arguments = DataPlane::arguments(&home, control);
        DataPlane::running(Program::start("weir-data-plane", &arguments).unwrap(), home)
    }

    fn standing(&self) -> Option<Standing> {
        let page = page(self.status)?;
        Some((page["sync"]["serving"].clone(), page["configuration_hash"].clone()))
    }

    /// Waits until a load balancer would send it requests; then it answers them.
    fn serves(&self) {
        until("a data plane is ready", || {
            let mut connection = Connection::open(self.status).ok()?;
            let (status, _) = connection.exchange("GET", "/status/ready", None).ok()?;
            (status == 200).then_some(())
        });
        let mut connection = Connection::open(self.proxy).unwrap();
        for path in ["/stable", "/changing"].repeat(5) {
            let (status, said) = connection.exchange("GET", path, None).unwrap();
            assert_eq!(status, 200, "{path} of a data plane that is ready: {said}");
        }
    }
}

/// What a status listener's page says.
fn page(status: SocketAddr) -> Option<Value> {
    let (_, text) = Connection::open(status).ok()?.exchange("GET", "/status", None).ok()?;
    serde_json::from_str(&text).ok()
}

fn until<T>(what: &str, mut happened: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(it) = happened() {
            return it;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Writes through both control planes in turn, each write until it is acknowledged.
struct Writer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Written>,
}

/// What must be stored after all that was acknowledged.
#[derive(Default)]
struct Written {
    routes: BTreeSet<String>,
    acknowledged: usize,
}

impl Writer {
    fn start(admins: Vec<SocketAddr>, ports: [u16; 2]) -> Writer {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut written = Written::default();
            for number in 0_usize.. {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let name = |number: usize| format!("drill-{number}");
                let (method, path, body) = match number % 4 {
                    // Two of three routes stay.
                    0..3 => {
                        let paths = json!({ "paths": [format!("/{}", name(number))] });
                        written.routes.insert(name(number));
                        let path = format!("/services/stable/routes/{}", name(number));
                        ("PUT", path, paths.to_string())
                    }
                    _ if number % 8 == 3 => {
                        written.routes.remove(&name(number - 3));
                        ("DELETE", format!("/routes/{}", name(number - 3)), String::new())
                    }
                    _ => {
                        let port = json!({ "port": ports[number / 8 % 2] });
                        ("PATCH", "/services/changing".to_owned(), port.to_string())
                    }
                };
                let mut admins = admins.iter().cycle().skip(number);
                while !acknowledged(admins.next(), method, &path, &body) {
                    thread::sleep(WRITE_PAUSE);
                }
                written.acknowledged += 1;
                thread::sleep(WRITE_PAUSE);
            }
            written
        });
        Writer { stop, thread }
    }

    fn stop(self) -> Written {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

fn acknowledged(admin: Option<&SocketAddr>, method: &str, path: &str, body: &str) -> bool {
    let body = (!body.is_empty()).then_some(("application/json", body));
    let answer = Connection::open(admin.unwrap())
        .and_then(|mut connection| connection.exchange(method, path, body));
    match answer {
        Ok((200 | 201 | 204, _)) => true,
        Ok((status @ 400..500, said)) => panic!("{method} {path}: {status} {said}"),
        Ok(_) | Err(_) => false,
    }
}

impl Cluster {
    fn start() -> Cluster {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(&[("fsync", "off")]).unwrap();
        let options = Runtime::new().unwrap().block_on(server.database());
        let database = settings_of(&options);
        let control: Vec<ControlPlane> = ["control-0", "control-1"]
            .map(|name| ControlPlane::start(dir.path().join(name), &database))
            .into();
        let data: Vec<DataPlane> = (0..DATA_PLANES)
            .map(|number| DataPlane::start(dir.path().join(format!("data-{number}")), &control))
            .collect();
        let backends = ["one", "two"].map(|name| Backend::start(name, None).unwrap());
        let ports = backends.each_ref().map(|backend| backend.port());
        let admin = Client::new(control[0].admin, data[0].proxy);
        for name in ["stable", "changing"] {
            let service = json!({ "name": name, "url": format!("http://127.0.0.1:{}", ports[0]) });
            admin
                .write(&json!({ "method": "POST", "path": "/services", "json": service }))
                .unwrap();
            let route = json!({ "paths": [format!("/{name}")] });
            let path = format!("/services/{name}/routes");
            admin.write(&json!({ "method": "POST", "path": path, "json": route })).unwrap();
        }
        let writer = Writer::start(control.iter().map(|one| one.admin).collect(), ports);
        let mut started = Cluster {
            control,
            data,
            writer,
            load: Vec::new(),
            backends,
            events: Vec::new(),
            options,
            server,
            _dir: dir,
        };
        started.follows();
        let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: drill\r\n\r\n");
        let requests = vec![request("/stable"), request("/changing")];
        for number in SERVING {
            let to = started.data[number].proxy;
            started.load.push(Load::start(to, RATE, requests.clone()).unwrap());
        }
        started
    }

    fn database(&self) -> Vec<(String, String)> {
        settings_of(&self.options)
    }

    fn event(&mut self, what: &'static str) {
        self.events.push((Instant::now(), what));
    }

    /// Waits until all data planes that are not paused serve what is stored now, or what follows.
    fn follows(&self) {
        self.follow(&self.data.iter().collect::<Vec<_>>());
    }

    fn follow(&self, data: &[&DataPlane]) {
        let written = until("a write is acknowledged", || {
            let tags = json!({ "tags": ["looked-at"] });
            let write = json!({ "method": "PATCH", "path": "/services/stable", "json": tags });
            let admin = |one: &ControlPlane| Client::new(one.admin, self.data[0].proxy);
            let reply = self.control.iter().find_map(|one| admin(one).write(&write).ok())?;
            Some(reply.header("x-weir-revision").unwrap().parse::<u64>().unwrap())
        });
        for one in data {
            until("a data plane follows", || {
                let (serving, _) = one.standing()?;
                (serving.as_u64()? >= written).then_some(())
            });
        }
    }

    fn restart_control_plane(&mut self, number: usize) {
        let database = self.database();
        self.control[number].start_again(&database);
    }

    /// Ends a data plane, with `TERM` in good order, so that all it holds is on its disk.
    fn end_data_plane(&mut self, number: usize, signal: &str) {
        self.data[number].program.end(signal).unwrap();
    }

    /// Starts it again with the directory that it had; it serves.
    fn restart_data_plane(&mut self, number: usize) {
        let home = self.data[number].home.clone();
        self.data[number] = DataPlane::start(home, &self.control);
        self.data[number].serves();
    }
}

#[test]
fn whatever_befalls_a_cluster_no_request_fails_and_no_write_is_lost() {
    let mut cluster = Cluster::start();

    cluster.event("a data plane is killed");
    cluster.end_data_plane(0, "KILL");
    cluster.restart_data_plane(0);
    cluster.follows();

    for number in 0..2 {
        cluster.event("a control plane is killed");
        cluster.control[number].program.end("KILL").unwrap();
        thread::sleep(AWAY);
        cluster.restart_control_plane(number);
        cluster.follows();
    }

    cluster.event("Postgres is killed");
    cluster.server.crash();
    thread::sleep(AWAY);
    cluster.server.start_again();
    cluster.follows();
    cluster.event("Postgres is stopped");
    cluster.server.stop();
    cluster.end_data_plane(1, "KILL");
    cluster.restart_data_plane(1);
    cluster.server.start_again();
    cluster.follows();

    cluster.event("a data plane is paused");
    cluster.data[2].program.signal("STOP").unwrap();

    cluster.event("a data plane has no room on its disk");
    cluster.end_data_plane(3, "TERM");
    let home = cluster.data[3].home.clone();
    let arguments = DataPlane::arguments(&home, &cluster.control);
    let program = Program::start_without_room("weir-data-plane", &arguments).unwrap();
    cluster.data[3] = DataPlane::running(program, home);
    cluster.data[3].serves();
    cluster.data[3].program.wait_for(NO_ROOM).unwrap();
    cluster.data[3].serves();

    // What it holds now is the older of the two configurations that it keeps.
    cluster.end_data_plane(4, "TERM");
    cluster.restart_data_plane(4);

    cluster.event("the wires of one control plane are cut");
    cluster.control[0].relay.cut();
    let awake = [0, 1, 3, 4, 5, 6, 7, 8, 9];
    let those = |cluster: &Cluster| {
        cluster.follow(&awake.map(|number| &cluster.data[number]));
    };
    those(&cluster);
    cluster.event("all wires are cut");
    cluster.control[1].relay.cut();
    cluster.event("a kept configuration is damaged, a data plane starts without a control plane");
    cluster.end_data_plane(4, "TERM");
    damage(&cluster.data[4].home.join("configuration.snapshot"));
    cluster.restart_data_plane(4);
    cluster.event("all wires are mended");
    for one in &cluster.control {
        one.relay.mend();
    }
    those(&cluster);

    cluster.event("all that is kept is damaged");
    cluster.end_data_plane(5, "TERM");
    for name in ["configuration.snapshot", "configuration.snapshot.previous"] {
        damage(&cluster.data[5].home.join(name));
    }
    cluster.restart_data_plane(5);

    cluster.event("the log is cut off, and both control planes are killed");
    let (runtime, options) = (Runtime::new().unwrap(), cluster.options.clone());
    runtime.block_on(async {
        let store = store_sql::open_postgres(&options).await.unwrap();
        store.compact(store.head().await.unwrap().at.revision).await.unwrap();
    });
    for one in &mut cluster.control {
        one.program.end("KILL").unwrap();
    }
    cluster.end_data_plane(6, "KILL");
    cluster.restart_data_plane(6);
    for number in 0..2 {
        cluster.restart_control_plane(number);
    }
    those(&cluster);
    cluster.event("the paused data plane goes on");
    cluster.data[2].program.signal("CONT").unwrap();
    cluster.data[2].program.wait_for(TOO_OLD).unwrap();
    cluster.follows();
    cluster.data[2].serves();

    cluster.event("all is over");
    finish(cluster);
}

/// What a data plane says when it cannot keep its configuration.
const NO_ROOM: &str = "the last good configuration cannot be kept on disk; after a restart \
                       without a control plane, an older one will be served";

/// What a data plane says when nothing leads on from what it holds.
const TOO_OLD: &str = "the log does not lead on from what is held; taking a snapshot";

/// Turns over a byte in the middle of a file.
fn damage(file: &Path) {
    let mut content = fs::read(file).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 0x55;
    fs::write(file, content).unwrap();
}

/// Stops traffic and writes; nothing failed, nothing is lost, all agree.
fn finish(mut cluster: Cluster) {
    let failed: Vec<(&str, Sample)> = std::mem::take(&mut cluster.load)
        .into_iter()
        .flat_map(|load| load.stop().unwrap())
        .filter(|sample| sample.answer.is_err())
        .map(|sample| {
            let before = cluster.events.iter().rev().find(|(at, _)| *at <= sample.at);
            (before.map_or("the start", |(_, event)| *event), sample)
        })
        .collect();
    assert!(failed.is_empty(), "{} requests failed: {:#?}", failed.len(), failed.first());
    let Cluster { control, data, writer, backends, .. } = cluster;
    let written = writer.stop();
    assert!(backends.iter().all(|backend| backend.hits() > 0), "both services were asked");
    assert!(written.acknowledged > 30, "{} writes are no drill", written.acknowledged);

    let mut stored = BTreeSet::new();
    let mut connection = Connection::open(control[0].admin).unwrap();
    let mut next = Some("/routes?size=1000".to_owned());
    while let Some(path) = next {
        let (_, text) = connection.exchange("GET", &path, None).unwrap();
        let list: Value = serde_json::from_str(&text).unwrap();
        let names = list["data"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str());
        stored.extend(names.map(str::to_owned));
        next = list["next"].as_str().map(|path| format!("{path}&size=1000"));
    }
    assert_eq!(stored, written.routes, "what was acknowledged is stored, and nothing else");

    let all = until("all planes agree", || {
        let planes = control.iter().map(ControlPlane::standing);
        let all: Vec<Standing> =
            planes.chain(data.iter().map(DataPlane::standing)).collect::<Option<_>>()?;
        all.iter().all(|one| *one == all[0]).then_some(all)
    });
    assert!(all[0].0.as_u64().is_some() && all[0].1.is_string(), "{:?}", all[0]);
    let newest = written.routes.iter().next_back().unwrap();
    for one in &data {
        let mut connection = Connection::open(one.proxy).unwrap();
        let asked = connection.exchange("GET", &format!("/{newest}"), None).unwrap();
        assert_eq!(asked.0, 200, "{}", asked.1);
        let asked = connection.exchange("GET", "/drill-0", None).unwrap();
        assert_eq!(asked.0, 404, "{}", asked.1);
    }
}
