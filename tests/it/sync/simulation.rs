//! A whole cluster in weather drawn from a seed: three control planes on one database, twenty data
//! planes, and everything between them fails. What each data plane served is compared with what
//! was stored, revision by revision.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::{Change, Cursor, Rollout, Transaction};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use store::Store;
use subscribe::{Apply, Rejection};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout_at};
use wire::Entities;

use super::planes::{
    ControlPlane, DataPlane, FREQUENCY, Mirror, SOON, Served, Wire, follower, settings,
};
use super::store::{FaultyStore, gone, put};

const CONTROL_PLANES: usize = 3;
const DATA_PLANES: usize = 20;

/// How long the weather lasts.
const STORM: Duration = Duration::from_secs(40);

/// A mistake that is made on purpose, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// A data plane leaves out a change of every seventh transaction.
    Forgets,
    /// A data plane applies the transaction before once more, after the one that follows it.
    Disorders,
    /// A control plane does not see a change of every seventh revision.
    Overlooks,
    /// A data plane that rollouts are to hold back is taken for one that they begin with.
    Trespasses,
}

/// Stands between what is followed and what is served, and makes the mistake.
struct Flawed {
    served: Served,
    flaw: Option<Flaw>,
    before: Vec<Change>,
    count: usize,
}

impl Apply for Flawed {
    fn replace(&mut self, at: Cursor, entities: Vec<Change>) -> Vec<Rejection> {
        self.served.replace(at, entities)
    }

    fn apply(&mut self, transactions: &[Transaction]) -> Vec<Rejection> {
        let mut transactions = transactions.to_vec();
        for transaction in &mut transactions {
            self.count += 1;
            let changes = transaction.changes.clone();
            match self.flaw {
                Some(Flaw::Forgets) if self.count.is_multiple_of(7) => {
                    transaction.changes.pop();
                }
                Some(Flaw::Disorders) => transaction.changes.append(&mut self.before),
                _ => {}
            }
            self.before = changes;
        }
        self.served.apply(&transactions)
    }
}

struct Cluster {
    flaw: Option<Flaw>,
    /// The database, and how each control plane sees it.
    store: Arc<FaultyStore>,
    views: Vec<Arc<FaultyStore>>,
    propagation: Duration,
    control_planes: Vec<Option<ControlPlane>>,
    /// From each data plane to each control plane.
    wires: Vec<Vec<Wire>>,
    data_planes: Vec<Option<DataPlane>>,
    /// What every data plane served that ever ran, and whether rollouts begin with it.
    served: Vec<(bool, Arc<Mutex<Mirror>>)>,
    seed: u64,
    homes: TempDir,
}

impl Cluster {
    fn start(seed: u64, flaw: Option<Flaw>) -> Cluster {
        let store = FaultyStore::new();
        store.commit((0..40).map(|id| put(id, "first")).collect());
        let mut cluster = Cluster {
            flaw,
            views: (0..CONTROL_PLANES).map(|_| store.for_another()).collect(),
            store,
            propagation: if seed % 3 == 2 { Duration::from_secs(2) } else { Duration::ZERO },
            control_planes: (0..CONTROL_PLANES).map(|_| None).collect(),
            wires: (0..DATA_PLANES)
                .map(|_| (0..CONTROL_PLANES).map(|_| Wire::to_nobody()).collect())
                .collect(),
            data_planes: (0..DATA_PLANES).map(|_| None).collect(),
            served: Vec::new(),
            seed,
            homes: tempfile::tempdir().expect("a folder"),
        };
        if flaw == Some(Flaw::Overlooks) {
            cluster.views[0].forget(7);
        }
        (0..CONTROL_PLANES).for_each(|which| cluster.start_control_plane(which));
        (0..DATA_PLANES).for_each(|which| cluster.start_data_plane(which));
        cluster
    }

    fn start_control_plane(&mut self, which: usize) {
        if self.control_planes[which].is_none() {
            let settings = publish::Settings {
                propagation: self.propagation,
                seed: self.seed + which as u64,
                ..settings()
            };
            let control_plane = ControlPlane::with(&self.views[which], settings);
            self.wires.iter().for_each(|wires| wires[which].plug(&control_plane));
            self.control_planes[which] = Some(control_plane);
        }
    }

    fn start_data_plane(&mut self, which: usize) {
        if self.data_planes[which].is_none() {
            let endpoints = ["a", "b", "c"].iter().zip(&self.wires[which]);
            let endpoints = endpoints.map(|(name, wire)| wire.endpoint(name)).collect();
            // Some have a disk, and begin with what it holds. Not in every seed: a real disk takes
            // its real time to be sure of what is written.
            let disk = self.seed.is_multiple_of(8) && which.is_multiple_of(4);
            let home = disk.then(|| self.homes.path().join(which.to_string()));
            let flaw = self.flaw.filter(|_| which % 5 == 1);
            let flawed = |served| Flawed { served, flaw, before: Vec::new(), count: 0 };
            let id = u128::from(self.seed) * 100 + which as u128;
            let first = which % 4 == 1;
            let trespasses = flaw == Some(Flaw::Trespasses);
            let stage = if first || trespasses { "canary" } else { "stable" };
            let settings = subscribe::Settings { data_dir: home, ..follower(id, endpoints) };
            let data_plane = DataPlane::labelled(stage, settings, flawed);
            self.served.push((first, data_plane.served()));
            self.data_planes[which] = Some(data_plane);
        }
    }

    /// One thing happens.
    async fn happen(&mut self, random: &mut StdRng) {
        let (control, data) =
            (random.random_range(0..CONTROL_PLANES), random.random_range(0..DATA_PLANES));
        let (view, wire) = (self.views[control].clone(), self.wires[data][control].clone());
        match random.random_range(0..206) {
            0..70 => {
                let changes = (0..random.random_range(1..4))
                    .map(|_| match random.random_range(0..50) {
                        id @ 0..40 => put(id, &random.random_range(0..1_000).to_string()),
                        id => gone(id - 10),
                    })
                    .collect();
                self.store.commit(changes);
            }
            70..78 => wire.cut(),
            78..82 => wire.silence(),
            82..90 => wire.slow(Duration::from_millis(random.random_range(1..700))),
            90..130 => self.wires[data].iter().for_each(Wire::mend),
            // Partitions: a data plane, or a control plane, is alone.
            130..134 => self.wires[data].iter().for_each(Wire::cut),
            134..137 => self.wires.iter().for_each(|wires| wires[control].cut()),
            137..145 => self.wires.iter().for_each(|wires| wires[control].mend()),
            145..150 => view.deaf(true),
            150..155 => view.deaf(false),
            155..158 => view.down(true),
            158..164 => view.down(false),
            164..167 => view.behind(true),
            167..173 => view.behind(false),
            173..175 => self.store.truncate(self.store.now().0.revision),
            175..178 => self.store.clock_off(random.random_range(-90_000_000..90_000_000)),
            178..181 => {
                if let Some(control_plane) = self.control_planes[control].take() {
                    control_plane.crash();
                }
            }
            181..183 => {
                if let Some(control_plane) = self.control_planes[control].take() {
                    // It says goodbye, for which some wires take their time.
                    tokio::spawn(control_plane.stop());
                }
            }
            183..189 => self.start_control_plane(control),
            189..192 => {
                if let Some(data_plane) = self.data_planes[data].take() {
                    data_plane.crash();
                }
            }
            192..199 => self.start_data_plane(data),
            199..205 => self.turn(random.random_bool(0.5)).await,
            _ => {
                let now = self.store.now().0.revision;
                self.store.restore(now - random.random_range(0..now.min(5)));
            }
        }
    }

    /// A rollout begins, or the one that is open ends.
    async fn turn(&self, revert: bool) {
        match self.store.rollout().await.expect("it can be read") {
            None => self.store.open_rollout(),
            Some(open) => self.store.end_rollout(if revert { open.before } else { Vec::new() }),
        };
    }

    /// Everything is as it should be again.
    fn heal(&mut self) {
        for view in &self.views {
            view.down(false);
            view.deaf(false);
            view.behind(false);
        }
        self.wires.iter().flatten().for_each(Wire::mend);
        (0..CONTROL_PLANES).for_each(|which| self.start_control_plane(which));
        (0..DATA_PLANES).for_each(|which| self.start_data_plane(which));
    }

    /// Waits until every data plane serves what is stored.
    async fn converge(&mut self) -> Result<Duration, String> {
        // A control plane reads what it was not told of, then a data plane that was given up by
        // its stream polls, each within a period and its jitter.
        let bound = FREQUENCY.mul_f64(2.2) + self.propagation + SOON;
        let healed = Instant::now();
        let at = self.store.now().0;
        for data_plane in self.data_planes.iter_mut().flatten() {
            let there = data_plane.status.wait_for(|status| status.serving == Some(at));
            if !matches!(timeout_at(healed + bound, there).await, Ok(Ok(_))) {
                let status = data_plane.status.borrow();
                return Err(format!("{at} is not served within {bound:?}: {status:?}"));
            }
        }
        Ok(healed.elapsed())
    }

    /// Holds what every data plane served against what was stored.
    fn judge(&self) -> Result<usize, String> {
        let mut steps = 0;
        for (first, mirror) in &self.served {
            let mirror = mirror.lock().map_err(|_| "a data plane panicked".to_owned())?;
            for (at, digest) in &mirror.way {
                let stored =
                    |at: Cursor| self.store.at(at).ok_or_else(|| format!("{at} was never stored"));
                let mut stored_here = stored(*at)?;
                let open =
                    |entities: &Entities| entities.get(&Rollout::KIND, Rollout::ID).is_some();
                let before = Cursor { revision: at.revision.saturating_sub(1), ..*at };
                if !first && open(&stored_here) && open(&stored(before)?) {
                    return Err(format!("{at} was served by one that the rollout held back"));
                }
                // Data planes are not told.
                stored_here.remove(&Rollout::KIND, Rollout::ID);
                let stored = stored_here;
                if stored.digest() != *digest {
                    return Err(format!("what was served at {at} is not what was stored"));
                }
            }
            for step in mirror.way.windows(2) {
                let ((before, _), (after, _)) = (step[0], step[1]);
                if before.epoch == after.epoch && before.revision > after.revision {
                    return Err(format!("it went back from {before} to {after}"));
                }
            }
            steps += mirror.way.len();
        }
        Ok(steps)
    }
}

/// Runs one seed; says how many revisions were served, by all together, and how long it took
/// until all served the last one.
pub(super) fn simulate(seed: u64, flaw: Option<Flaw>) -> Result<(usize, Duration), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut random = StdRng::seed_from_u64(seed);
        let mut cluster = Cluster::start(seed, flaw);
        let end = Instant::now() + STORM;
        while Instant::now() < end {
            sleep(Duration::from_millis(random.random_range(1..200))).await;
            cluster.happen(&mut random).await;
        }
        if cluster.store.rollout().await.expect("it can be read").is_some() {
            cluster.turn(seed.is_multiple_of(2)).await;
        }
        cluster.heal();
        let converged = cluster.converge().await;
        let steps = cluster.judge()?;
        Ok((steps, converged?))
    })
}

#[test]
fn every_data_plane_goes_only_through_what_was_stored() {
    let seeds = 24;
    let served: usize = (0..seeds)
        .map(|seed| match simulate(seed, None) {
            Ok((steps, _)) => steps,
            Err(error) => panic!("seed {seed}: {error}"),
        })
        .sum();
    assert!(served > seeds as usize * 20 * DATA_PLANES, "they followed: {served}");
}

#[test]
fn a_mistake_is_found() {
    for (flaw, noticed) in [
        (Flaw::Forgets, "is not what was stored"),
        (Flaw::Disorders, "is not what was stored"),
        (Flaw::Overlooks, "is not what was stored"),
        (Flaw::Trespasses, "was served by one that the rollout held back"),
    ] {
        let error = simulate(1, Some(flaw)).expect_err("it must be noticed");
        assert!(error.contains(noticed), "{flaw:?}: {error}");
    }
}
