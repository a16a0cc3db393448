//! The planes as programs, and what they take.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use end_to_end::{Connection, Program, address, settings_of};
use store_sql::testing::Server;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A control plane on a Postgres of its own.
pub(crate) struct ControlPlane {
    pub(crate) program: Program,
    pub(crate) admin: SocketAddr,
    pub(crate) cluster: SocketAddr,
    /// How both planes are started: the certificate that they share.
    pub(crate) certificate: Vec<(String, String)>,
    flags: Vec<(String, String)>,
    // Dropped last: the program has files and connections there.
    _server: Server,
    pub(crate) dir: TempDir,
}

impl ControlPlane {
    /// Starts all of it.
    pub(crate) fn start() -> Result<ControlPlane> {
        let dir = tempfile::tempdir()?;
        let server = Server::start(&[])?;
        let database = Runtime::new()?.block_on(server.database());
        let path = |name: &str| dir.path().join(name).display().to_string();
        let (cert, key) = (path("cluster.crt"), path("cluster.key"));
        let (status, said) = Program::run("weir", &["hybrid", "gen-cert", &cert, &key])?;
        ensure!(status.success(), "{said}");
        let certificate =
            vec![("cluster_cert".to_owned(), cert), ("cluster_cert_key".to_owned(), key)];
        let mut flags = settings_of(&database);
        flags.extend(certificate.clone());
        flags.push(("data_dir".to_owned(), path("control")));
        flags.push(("admin_listen".to_owned(), "127.0.0.1:0".to_owned()));
        flags.push(("status_listen".to_owned(), "off".to_owned()));
        let (program, admin, cluster) = run(&flags, "127.0.0.1:0")?;
        Ok(ControlPlane { program, admin, cluster, certificate, flags, _server: server, dir })
    }

    /// Kills it and starts it again where data planes look for it.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.program.signal("KILL")?;
        // The port is free when the process is gone.
        let deadline = Instant::now() + Duration::from_secs(10);
        let (program, admin, _) = loop {
            match run(&self.flags, &self.cluster.to_string()) {
                Ok(started) => break started,
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => {}
            }
        };
        (self.program, self.admin) = (program, admin);
        Ok(())
    }

    /// A connection to its Admin API.
    pub(crate) fn connect(&self) -> Result<Connection> {
        Connection::open(self.admin)
    }

    /// Puts this many services with a route each in place of everything. The host of the upstreams
    /// is `127.0.0.1`, and their port this one.
    pub(crate) fn load(&self, services: usize, port: u16) -> Result<()> {
        let mut text = String::from("_format_version: \"3.0\"\nservices:\n");
        for number in 0..services {
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "- name: service-{number}\n  host: 127.0.0.1\n  port: {port}\n  \
                 tags: [team-{}]\n  routes:\n  - name: route-{number}\n    \
                 paths: [/api/v1/{number}]\n    methods: [GET, POST]\n",
                number % 20
            );
        }
        let yaml = Some(("application/yaml", text.as_str()));
        let (status, said) = self.connect()?.exchange("POST", "/declarative", yaml)?;
        ensure!(status == 201, "it was answered with {status}: {said}");
        Ok(())
    }
}

/// Starts a control plane: it, its Admin API, and where data planes connect.
fn run(flags: &[(String, String)], cluster: &str) -> Result<(Program, SocketAddr, SocketAddr)> {
    let mut arguments = as_arguments(flags);
    arguments.extend(["--cluster-listen".to_owned(), cluster.to_owned()]);
    let mut program = Program::start("weir-control-plane", &arguments)?;
    let entry = program.wait_for("the control plane runs")?;
    Ok((program, address(&entry, "admin")?, address(&entry, "cluster")?))
}

/// A data plane.
pub(crate) struct DataPlane {
    pub(crate) program: Program,
    pub(crate) proxy: SocketAddr,
    /// From its start until it could serve.
    pub(crate) ready_after: Duration,
}

impl DataPlane {
    /// Starts a data plane of this control plane with this data directory, and waits until it is
    /// ready and routes the last of `services` that were loaded: a control plane that has just
    /// taken them serves what was before for a moment.
    pub(crate) fn start(
        control_plane: &ControlPlane,
        data_dir: &Path,
        services: usize,
    ) -> Result<DataPlane> {
        let mut flags = control_plane.certificate.clone();
        flags.push(("data_dir".to_owned(), data_dir.display().to_string()));
        flags.push(("proxy_listen".to_owned(), "127.0.0.1:0".to_owned()));
        flags.push(("status_listen".to_owned(), "127.0.0.1:0".to_owned()));
        flags.push(("cluster_control_plane".to_owned(), control_plane.cluster.to_string()));
        let begin = Instant::now();
        let mut program = Program::start("weir-data-plane", &as_arguments(&flags))?;
        let entry = program.wait_for("the data plane runs")?;
        let mut status = Connection::open(address(&entry, "status")?)?;
        let proxy = address(&entry, "proxy")?;
        let last = format!("/api/v1/{}", services - 1);
        while status.exchange("GET", "/status/ready", None)?.0 != 200
            || Connection::open(proxy)?.exchange("GET", &last, None)?.0 == 404
        {
            ensure!(begin.elapsed() < Duration::from_secs(120), "it does not become ready");
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(DataPlane { program, proxy, ready_after: begin.elapsed() })
    }
}

/// What a program has in memory: now, and at most so far. In bytes.
pub(crate) fn memory(program: &Program) -> Result<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id()))?;
    let field = |name: &str| -> Result<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes =
            line.and_then(|line| line.split_whitespace().next()).context("no memory")?;
        Ok(kilobytes.parse::<u64>()? << 10)
    };
    Ok((field("VmRSS:")?, field("VmHWM:")?))
}

fn as_arguments(flags: &[(String, String)]) -> Vec<String> {
    let flag =
        |(name, value): &(String, String)| [format!("--{}", name.replace('_', "-")), value.clone()];
    flags.iter().flat_map(flag).collect()
}
