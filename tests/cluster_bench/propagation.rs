//! From the answer of a write to a request that is routed by it, on a data plane that serves
//! traffic meanwhile.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use end_to_end::{Backend, Connection, Load};

use crate::planes::{ControlPlane, DataPlane};
use crate::table;

/// Changes a second: routes are made and, a second later, deleted.
const RATE: u32 = 50;
/// How many are timed.
const CHANGES: u32 = 1_500;
/// How many routes come and go.
const LIVING: usize = 25;
/// Requests a second on routes that do not change.
const TRAFFIC: u32 = 500;
/// Between two looks at whether a change is there.
const LOOK: Duration = Duration::from_micros(500);
/// How many changes can be looked for at the same time.
const LOOKERS: usize = 4;
/// How long a change may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A change whose write was answered.
struct Made {
    path: String,
    /// What a request for it is then answered with.
    status: u16,
    answered: Instant,
}

/// Times changes among so many routes.
pub(crate) fn measure(routes: usize) -> Result<()> {
    let backend = Backend::start("one", None)?;
    let control_plane = ControlPlane::start()?;
    control_plane.load(routes, backend.port())?;
    let data_plane =
        DataPlane::start(&control_plane, &control_plane.dir.path().join("data"), routes)?;
    let request =
        |number: usize| format!("GET /api/v1/{number} HTTP/1.1\r\nHost: weir.test\r\n\r\n");
    let load = Load::start(data_plane.proxy, TRAFFIC, (0..routes.min(500)).map(request).collect())?;

    let (made, changes) = channel();
    let changes = Mutex::new(changes);
    let mut times = thread::scope(|scope| {
        let lookers: Vec<_> =
            (0..LOOKERS).map(|_| scope.spawn(|| look(data_plane.proxy, &changes))).collect();
        let mut admin = control_plane.connect()?;
        let mut living = VecDeque::new();
        let begin = Instant::now();
        for number in 0..CHANGES {
            thread::sleep(
                (begin + Duration::from_secs(1) / RATE * number)
                    .saturating_duration_since(Instant::now()),
            );
            let (path, status) = if living.len() < LIVING {
                let path = format!("/made/{number}");
                let body = format!(r#"{{"name":"made-{number}","paths":["{path}"]}}"#);
                admin.write("POST", "/services/service-0/routes", &body)?;
                living.push_back(number);
                (path, 200)
            } else {
                let oldest = living.pop_front().context("none lives")?;
                let (status, said) =
                    admin.exchange("DELETE", &format!("/routes/made-{oldest}"), None)?;
                ensure!(status == 204, "a route was not deleted: {status} {said}");
                (format!("/made/{oldest}"), 404)
            };
            made.send(Made { path, status, answered: Instant::now() })?;
        }
        drop(made);
        let mut times = Vec::new();
        for looker in lookers {
            times.extend(looker.join().unwrap_or_else(|_| bail!("a thread has panicked"))?);
        }
        anyhow::Ok(times)
    })?;
    let samples = load.stop()?;
    let failed = samples.iter().filter(|sample| sample.answer.is_err()).count();
    table::row(
        &format!("{routes} routes, {RATE} changes/s: write answered → requests routed by it"),
        &table::spread(&mut times),
        "p50 ≤ 5 ms, p99 ≤ 30 ms",
    );
    let what = format!("failed requests meanwhile, of {}", samples.len());
    table::row(&what, &failed.to_string(), "0");
    if let Some(failure) = samples.iter().find_map(|sample| sample.answer.as_ref().err()) {
        bail!("a request failed: {failure}");
    }
    Ok(())
}

/// Looks for changes until there are no more; how long each took.
fn look(proxy: SocketAddr, changes: &Mutex<Receiver<Made>>) -> Result<Vec<Duration>> {
    let mut connection = Connection::open(proxy)?;
    let mut times = Vec::new();
    loop {
        let next = changes.lock().ok().context("a thread has panicked")?.recv();
        let Ok(Made { path, status, answered }) = next else { return Ok(times) };
        while connection.exchange("GET", &path, None)?.0 != status {
            ensure!(answered.elapsed() < PATIENCE, "{path} is not answered with {status}");
            thread::sleep(LOOK);
        }
        times.push(answered.elapsed());
    }
}
