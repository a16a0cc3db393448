//! A thousand data planes: clients with connections of their own that apply what they get.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use end_to_end::Connection;
use futures_util::future::join_all;
use lifecycle::Shutdown;
use model::{Change, Cursor, Transaction};
use settings::Sources;
use subscribe::{Apply, Client, Endpoint, Node, Rejection, State, Status, Tls};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use uuid::Uuid;

use crate::planes::{ControlPlane, memory};
use crate::table;

/// How many data planes there are.
const CROWD: usize = 1_000;
/// Services, and as many routes.
const SERVICES: usize = 100;
/// How many changes are timed.
const CHANGES: usize = 200;
/// Between two of them, so that each comes to a quiet cluster.
const PAUSE: Duration = Duration::from_millis(50);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Times changes, a restart of the control plane, and weighs the streams.
pub(crate) fn measure() -> Result<()> {
    let mut control_plane = ControlPlane::start()?;
    control_plane.load(SERVICES, 9)?;
    let runtime = Runtime::new()?;
    let (before, _) = memory(&control_plane.program)?;
    let begin = Instant::now();
    let mut crowd = Crowd::start(&control_plane, &runtime)?;
    change(&mut control_plane.connect()?, 0)?;
    runtime.block_on(crowd.streaming())?;
    let all = begin.elapsed().as_secs_f64();
    let what = format!("{CROWD} data planes start at once, with nothing");
    table::row(&what, &format!("{all:.2} s until all are served by streams"), "");

    let mut connection = control_plane.connect()?;
    let mut times = Vec::new();
    for number in 1..=CHANGES {
        std::thread::sleep(PAUSE);
        let begin = Instant::now();
        change(&mut connection, number)?;
        times.push(begin.elapsed());
    }
    table::row(
        &format!("a change to {CROWD} data planes: sent to the Admin API → all have acknowledged"),
        &table::spread(&mut times),
        "p99 ≤ 50 ms from its commit",
    );
    let (after, _) = memory(&control_plane.program)?;
    let each = after.saturating_sub(before) as f64 / CROWD as f64 / 1e3;
    table::row("memory of the control plane per stream", &format!("{each:.1} kB"), "≤ 100 kB");

    control_plane.restart()?;
    let begin = Instant::now();
    change(&mut control_plane.connect()?, 0)?;
    runtime.block_on(crowd.streaming())?;
    table::row(
        &format!("the control plane is killed and starts: {CROWD} data planes reconnect"),
        &format!(
            "{:.2} s until all are served by streams and have acknowledged a new change",
            begin.elapsed().as_secs_f64()
        ),
        "≤ 5 s",
    );
    crowd.shutdown.force();
    runtime.shutdown_background();
    Ok(())
}

/// Makes a change, which is answered when the whole crowd serves it.
fn change(connection: &mut Connection, number: usize) -> Result<()> {
    let path =
        format!("/services/service-0?wait={CROWD}&wait_timeout={}s", PATIENCE.as_secs().min(60));
    let body = format!(r#"{{"path":"/{number}"}}"#);
    let (status, said) = connection.exchange("PATCH", &path, Some(("application/json", &body)))?;
    ensure!(status == 200, "{CROWD} data planes do not serve a change: {status} {said}");
    Ok(())
}

/// The data planes.
struct Crowd {
    statuses: Vec<watch::Receiver<Status>>,
    shutdown: Shutdown,
}

impl Crowd {
    fn start(control_plane: &ControlPlane, runtime: &Runtime) -> Result<Crowd> {
        let sources = Sources { flags: control_plane.certificate.clone(), ..Sources::default() };
        let settings = settings::resolve(settings::Program::DataPlane, &sources)?.settings;
        let tls = process::cluster::client(&settings)?.context("no certificate")?;
        let tls = Tls { config: tls.config, name: tls.name };
        let endpoint = Endpoint::tls(&control_plane.cluster.to_string(), &tls)?;
        let shutdown = Shutdown::new();
        let statuses = (0..CROWD as u128).map(|number| {
            let client = Client::new(subscribe::Settings {
                endpoints: vec![endpoint.clone()],
                node: Node {
                    id: Uuid::from_u128(number + 1),
                    hostname: format!("data-plane-{number}"),
                    version: "bench".to_owned(),
                    labels: Default::default(),
                    plugins: Default::default(),
                },
                frequency: settings.db_update_frequency,
                cache_ttl: None,
                data_dir: None,
                snapshot_key: None,
                seed: number as u64,
            });
            let (status, shutdown) = (client.status(), shutdown.clone());
            runtime.spawn(async move { client.run(Taken, &shutdown).await });
            status
        });
        Ok(Crowd { statuses: statuses.collect(), shutdown })
    }

    /// Waits until all of them are served by a stream.
    async fn streaming(&mut self) -> Result<()> {
        let all = self.statuses.iter_mut().map(|status| async move {
            status.wait_for(|status| status.state == State::Streaming).await.map(drop)
        });
        let all = tokio::time::timeout(PATIENCE, join_all(all)).await?;
        all.into_iter().collect::<Result<(), _>>().context("a data plane has ended")
    }
}

/// Serves whatever comes.
struct Taken;

impl Apply for Taken {
    fn replace(&mut self, _: Cursor, _: Vec<Change>) -> Vec<Rejection> {
        Vec::new()
    }

    fn apply(&mut self, _: &[Transaction]) -> Vec<Rejection> {
        Vec::new()
    }
}
