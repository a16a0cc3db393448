//! Revisions that only some data planes get at first.

use std::sync::Arc;
use std::time::Duration;

use model::Cursor;
use publish::Wanted;
use subscribe::{Endpoint, State};
use tokio::time::sleep;

use super::planes::{ControlPlane, DataPlane, FREQUENCY, SOON, Wire, follower};
use super::store::{FaultyStore, gone, put};

fn data_plane(id: u128, stage: &str, endpoints: Vec<Endpoint>) -> DataPlane {
    DataPlane::labelled(stage, follower(id, endpoints), |served| served)
}

async fn serves(data_plane: &mut DataPlane, at: Cursor) {
    data_plane.until(FREQUENCY * 2, |status| status.serving == Some(at)).await;
}

/// The revisions that it was at, in order.
fn way(data_plane: &DataPlane) -> Vec<u64> {
    data_plane.mirror().way.iter().map(|(at, _)| at.revision).collect()
}

struct Cluster {
    store: Arc<FaultyStore>,
    control_plane: ControlPlane,
    wire: Wire,
    canary: DataPlane,
    stable: DataPlane,
    /// The revision that opened the rollout.
    opened: Cursor,
    /// The newest of the two that came after it.
    newest: Cursor,
}

/// A canary and another data plane, in the middle of a rollout that changed 1 and made 2.
async fn cluster() -> Cluster {
    let store = FaultyStore::new();
    store.put(1, "old");
    let control_plane = ControlPlane::start(&store);
    let wire = Wire::to(&control_plane);
    let mut canary = data_plane(1, "canary", vec![wire.endpoint("cp")]);
    let mut stable = data_plane(2, "stable", vec![wire.endpoint("cp")]);
    let opened = store.open_rollout();
    for each in [&mut canary, &mut stable] {
        each.streaming(SOON).await;
        serves(each, opened).await;
    }
    store.put(1, "new");
    let newest = store.put(2, "made");
    serves(&mut canary, newest).await;
    Cluster { store, control_plane, wire, canary, stable, opened, newest }
}

#[tokio::test(start_paused = true)]
async fn a_rollout_reaches_the_labelled_first_and_all_when_it_is_promoted() {
    let Cluster { store, control_plane, mut canary, mut stable, opened, newest, .. } =
        cluster().await;
    let fleet = control_plane.publisher.fleet();
    let served = fleet.wait_served(newest, Wanted::All, SOON).await;
    assert!(served.reached, "who is held back is not waited for");
    assert_eq!(served.applied.iter().map(|s| s.id).collect::<Vec<_>>(), [canary.id]);
    assert_eq!(served.held.iter().map(|s| s.id).collect::<Vec<_>>(), [stable.id]);
    let target = |of: &DataPlane| fleet.target(&fleet.member(of.id).expect("it is known"));
    assert_eq!((target(&canary), target(&stable)), (Some(newest), Some(opened)));
    assert_eq!(canary.mirror().body(1), Some("new"));
    assert_eq!(stable.mirror().body(1), Some("old"));
    assert_eq!(fleet.rollout().expect("it is open").opened, opened);

    // What is asked of who holds the opening itself is asked of all.
    assert_eq!(fleet.wait_served(opened, Wanted::All, SOON).await.applied.len(), 2);

    let promoted = store.end_rollout(Vec::new());
    let served = fleet.wait_served(promoted, Wanted::All, SOON).await;
    assert!(served.reached && served.applied.len() == 2 && served.held.is_empty());
    for each in [&mut canary, &mut stable] {
        each.current(&store, SOON).await;
    }
    let steps = way(&stable);
    assert_eq!(steps[steps.len() - 2..], [opened.revision, promoted.revision], "in one step");
    assert_eq!((target(&canary), target(&stable)), (Some(promoted), Some(promoted)));
    assert!(fleet.rollout().is_none());
    store.put(3, "on");
    for each in [&mut canary, &mut stable] {
        each.current(&store, SOON).await;
        assert_eq!(each.mirror().replaced, 1, "nobody needed a snapshot");
    }
}

#[tokio::test(start_paused = true)]
async fn who_never_saw_the_canary_passes_over_its_revert() {
    let Cluster { store, mut canary, mut stable, opened, .. } = cluster().await;
    let before = stable.mirror().entities.digest();
    let reverted = store.end_rollout(vec![put(1, "old"), gone(2)]);
    for each in [&mut canary, &mut stable] {
        serves(each, reverted).await;
        each.current(&store, SOON).await;
    }
    let after: Vec<_> =
        stable.mirror().way.iter().filter(|(at, _)| *at != opened).map(|(_, d)| *d).collect();
    assert_eq!(after.last(), Some(&before), "it serves what it served");
    assert!(!way(&stable).iter().any(|r| (opened.revision + 1..reverted.revision).contains(r)));
    assert_eq!(canary.mirror().body(1), Some("old"));
    // The next one begins from there.
    let again = store.open_rollout();
    let newest = store.put(1, "newer");
    serves(&mut canary, newest).await;
    serves(&mut stable, again).await;
}

#[tokio::test(start_paused = true)]
async fn a_rollout_outlives_its_control_plane_and_its_log() {
    let Cluster { store, control_plane, wire, mut canary, mut stable, opened, newest } =
        cluster().await;
    control_plane.crash();
    for each in [&mut canary, &mut stable] {
        each.until(SOON, |status| status.state == State::Polling).await;
    }
    store.truncate(newest.revision);
    let control_plane = ControlPlane::start(&store);
    wire.plug(&control_plane);
    let newest = store.put(1, "newer");
    serves(&mut canary, newest).await;
    stable.streaming(FREQUENCY * 2).await;
    // One that holds nothing gets what the others of its kind hold.
    let mut newcomer = data_plane(3, "stable", vec![wire.endpoint("cp")]);
    serves(&mut newcomer, opened).await;
    newcomer.streaming(FREQUENCY).await;
    let mut first = data_plane(4, "canary", vec![wire.endpoint("cp")]);
    serves(&mut first, newest).await;
    for held in [&stable, &newcomer] {
        assert_eq!(held.status.borrow().serving, Some(opened));
        assert_eq!(held.mirror().body(1), Some("old"));
        assert_eq!(held.mirror().body(2), None);
    }
    // A moment after the canaries took a snapshot: theirs is not handed to who was held back.
    let reverted = store.end_rollout(vec![put(1, "old"), gone(2)]);
    for each in [&mut canary, &mut stable, &mut newcomer, &mut first] {
        serves(each, reverted).await;
        each.current(&store, SOON).await;
    }
    for held in [&stable, &newcomer] {
        let passed = opened.revision + 1..reverted.revision;
        assert!(!way(held).iter().any(|revision| passed.contains(revision)), "{:?}", way(held));
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_away_when_a_rollout_ends_catches_up_without_its_canary() {
    let Cluster { store, wire, mut canary, mut stable, opened, .. } = cluster().await;
    wire.cut();
    for each in [&mut canary, &mut stable] {
        each.until(SOON, |status| status.state == State::Polling).await;
    }
    store.put(3, "canary, too");
    let reverted = store.end_rollout(vec![put(1, "old"), gone(2), gone(3)]);
    wire.mend();
    for each in [&mut canary, &mut stable] {
        each.current(&store, FREQUENCY * 2).await;
        each.streaming(FREQUENCY).await;
        assert_eq!(each.mirror().replaced, 1);
    }
    let steps = way(&stable);
    assert_eq!(steps[steps.len() - 2..], [opened.revision, reverted.revision]);
}

#[tokio::test(start_paused = true)]
async fn every_control_plane_holds_the_same_data_planes_back() {
    let store = FaultyStore::new();
    store.put(1, "old");
    let planes = [ControlPlane::start(&store), ControlPlane::start(&store.for_another())];
    let wires = [Wire::to(&planes[0]), Wire::to(&planes[1])];
    let endpoints = || vec![wires[0].endpoint("a"), wires[1].endpoint("b")];
    let ttl = Duration::from_secs(60);
    let mut all: Vec<DataPlane> = (0..6)
        .map(|id| {
            let stage = if id % 3 == 0 { "canary" } else { "stable" };
            let settings = follower(id, endpoints());
            let settings = subscribe::Settings { cache_ttl: Some(ttl), ..settings };
            DataPlane::labelled(stage, settings, |served| served)
        })
        .collect();
    let opened = store.open_rollout();
    for each in &mut all {
        serves(each, opened).await;
        each.streaming(SOON).await;
    }
    let newest = store.put(1, "new");
    // Long enough for the comparisons with all control planes; one after the other goes.
    for wire in &wires {
        sleep(ttl * 3).await;
        wire.cut();
        sleep(FREQUENCY * 3).await;
        wire.mend();
    }
    for (id, each) in all.iter_mut().enumerate() {
        let at = if id % 3 == 0 { newest } else { opened };
        assert_eq!(each.status.borrow().serving, Some(at), "{id}");
        assert_eq!(each.mirror().replaced, 1, "{id}: what it holds is what it is to hold");
    }
    store.end_rollout(Vec::new());
    for each in &mut all {
        each.current(&store, FREQUENCY * 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_goes_back_for_want_of_a_label() {
    let Cluster { store, wire, mut canary, newest, .. } = cluster().await;
    let directory = tempfile::tempdir().expect("a directory");
    let kept = |stage| {
        let settings = follower(9, vec![wire.endpoint("cp")]);
        let data_dir = Some(directory.path().to_owned());
        let settings = subscribe::Settings { data_dir, ..settings };
        DataPlane::labelled(stage, settings, |served| served)
    };
    let mut moody = kept("canary");
    serves(&mut moody, newest).await;
    moody.stop().await;
    let mut moody = kept("stable");
    moody.streaming(SOON).await;
    let newest = store.put(1, "newer");
    for each in [&mut moody, &mut canary] {
        serves(each, newest).await;
    }
    // One that becomes a canary gets all of it.
    store.end_rollout(vec![put(1, "old"), gone(2)]);
    moody.current(&store, SOON).await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_leaves_out_whom_another_control_plane_holds_back() {
    let store = FaultyStore::new();
    store.put(1, "old");
    let stores = [store.clone(), store.for_another()];
    let planes = stores.each_ref().map(ControlPlane::start);
    let wires = planes.each_ref().map(Wire::to);
    let mut canary = data_plane(1, "canary", vec![wires[0].endpoint("a")]);
    let mut stable = data_plane(2, "stable", vec![wires[1].endpoint("b")]);
    let opened = store.open_rollout();
    for each in [&mut canary, &mut stable] {
        serves(each, opened).await;
        each.streaming(SOON).await;
    }
    let fleets = planes.each_ref().map(|one| one.publisher.fleet().clone());
    for fleet in &fleets {
        let both = fleet.wait_served(opened, Wanted::Count(2), FREQUENCY * 3).await;
        assert!(both.reached, "{both:?}");
    }
    let newest = store.put(1, "new");
    for fleet in &fleets {
        let all = fleet.wait_served(newest, Wanted::All, SOON).await;
        assert!(all.reached && all.lagging.is_empty(), "{all:?}");
        assert_eq!(all.applied.iter().map(|one| one.id).collect::<Vec<_>>(), [canary.id]);
        assert_eq!(all.held.iter().map(|one| one.id).collect::<Vec<_>>(), [stable.id]);
        assert!(!fleet.wait_served(newest, Wanted::Count(2), SOON).await.reached);
    }
    // The end is waited for by all, also where it is not known yet.
    stores[1].down(true);
    let promoted = store.end_rollout(Vec::new());
    let all = fleets[0].wait_served(promoted, Wanted::All, SOON).await;
    assert!(!all.reached && all.lagging.len() == 1, "{all:?}");
    let early = fleets[1].wait_served(promoted, Wanted::All, SOON).await;
    assert!(!early.reached, "{early:?}");
    stores[1].down(false);
    for fleet in &fleets {
        let all = fleet.wait_served(promoted, Wanted::All, FREQUENCY * 3).await;
        assert!(all.reached && all.applied.len() == 2, "{all:?}");
    }
}
