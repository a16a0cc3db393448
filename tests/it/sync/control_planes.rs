//! Control planes that come, go, lag and are set back.

use std::time::Duration;

use subscribe::{State, Status};
use tokio::time::sleep;

use super::planes::{ControlPlane, DataPlane, FREQUENCY, SOON, Wire, settings};
use super::store::{FaultyStore, put};

/// Which of two control planes a data plane follows.
fn followed(data_plane: &DataPlane) -> usize {
    match data_plane.status.borrow().following.as_deref() {
        Some("a") => 0,
        Some("b") => 1,
        other => panic!("follows {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_that_stops_hands_its_data_planes_over() {
    let store = FaultyStore::new();
    store.put(1, "one");
    let mut control_planes = vec![ControlPlane::start(&store), ControlPlane::start(&store)];
    let wires = [Wire::to(&control_planes[0]), Wire::to(&control_planes[1])];
    let endpoints = || vec![wires[0].endpoint("a"), wires[1].endpoint("b")];
    let mut data_planes: Vec<DataPlane> =
        (0..20).map(|id| DataPlane::start(id, endpoints())).collect();
    let mut followers = [0, 0];
    for data_plane in &mut data_planes {
        data_plane.streaming(SOON).await;
        followers[followed(data_plane)] += 1;
    }
    assert!(followers.iter().all(|count| *count >= 4), "they spread: {followers:?}");
    let last = control_planes.pop().expect("two were started");
    last.stop().await;
    for data_plane in &mut data_planes {
        data_plane.until(SOON, |status| status.following.as_deref() == Some("a")).await;
    }
    store.put(1, "two");
    for data_plane in &mut data_planes {
        data_plane.current(&store, SOON).await;
        assert_eq!(data_plane.mirror().replaced, 1, "nobody needed a snapshot");
    }
    assert_eq!(control_planes[0].publisher.fleet().connected(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_restarted_control_plane_leads_on_by_its_log() {
    let store = FaultyStore::new();
    store.commit((0..100).map(|id| put(id, "a")).collect());
    let control_plane = ControlPlane::start(&store);
    let wire = Wire::to(&control_plane);
    let mut data_plane = DataPlane::start(1, vec![wire.endpoint("cp")]);
    data_plane.streaming(SOON).await;
    data_plane.current(&store, SOON).await;
    control_plane.crash();
    data_plane.until(SOON, |status| status.state == State::Polling).await;
    for n in 0..3_000 {
        store.put(n % 7, &n.to_string());
    }
    let control_plane = ControlPlane::start(&store);
    wire.plug(&control_plane);
    data_plane.current(&store, FREQUENCY.mul_f64(1.1) + SOON).await;
    data_plane.streaming(SOON).await;
    assert_eq!(data_plane.mirror().replaced, 1);
    // A log that does not reach back so far any more.
    control_plane.crash();
    store.put(1, "lost from the log");
    store.truncate(store.now().0.revision);
    let control_plane = ControlPlane::start(&store);
    wire.plug(&control_plane);
    data_plane.current(&store, FREQUENCY.mul_f64(1.1) + SOON).await;
    assert_eq!(data_plane.mirror().replaced, 2);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_cut_before_it_was_read_is_never_a_silent_gap() {
    let store = FaultyStore::new();
    store.put(1, "one");
    let control_plane = ControlPlane::start(&store);
    let mut data_plane = DataPlane::start(1, vec![Wire::to(&control_plane).endpoint("cp")]);
    data_plane.streaming(SOON).await;
    store.down(true);
    store.put(1, "two");
    store.put(2, "two");
    store.truncate(store.now().0.revision);
    store.down(false);
    data_plane.current(&store, FREQUENCY * 2).await;
    store.put(1, "three");
    data_plane.current(&store, SOON).await;
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_that_lags_is_left_alone() {
    let store = FaultyStore::new();
    store.put(1, "one");
    let ahead = ControlPlane::start(&store);
    let wires = [Wire::to(&ahead), Wire::to_nobody()];
    let endpoints = vec![wires[0].endpoint("a"), wires[1].endpoint("b")];
    let mut data_plane = DataPlane::start(1, endpoints);
    data_plane.streaming(FREQUENCY).await;
    // B reads its database once an hour, and is not told of changes.
    let hour = publish::Settings { frequency: Duration::from_secs(3_600), ..settings() };
    let behind = ControlPlane::with(&store, hour);
    wires[1].plug(&behind);
    behind.publisher.released().wait_for(Option::is_some).await.expect("it lives");
    store.deaf(true);
    store.put(1, "two");
    data_plane.current(&store, FREQUENCY * 2).await;
    wires[0].cut();
    sleep(Duration::from_secs(20)).await;
    assert_eq!(data_plane.state(), State::Polling, "what B has is older than what is held");
    assert_eq!(data_plane.mirror().body(1), Some("two"), "and nobody goes back to it");
    wires[0].mend();
    data_plane.streaming(FREQUENCY.mul_f64(1.1) + SOON).await;
    assert_eq!(followed(&data_plane), 0);
    assert_eq!(data_plane.mirror().replaced, 1);
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_set_back_begins_a_new_epoch_everywhere() {
    let store = FaultyStore::new();
    for n in 0..10 {
        store.put(n, "before");
    }
    let control_plane = ControlPlane::start(&store);
    let wire = Wire::to(&control_plane);
    let mut data_plane = DataPlane::start(1, vec![wire.endpoint("cp")]);
    data_plane.streaming(SOON).await;
    data_plane.current(&store, SOON).await;
    let epoch = store.now().0.epoch;
    // While the control plane runs: it finds out by itself.
    store.set_back(4);
    let another = |status: &Status, than| status.serving.is_some_and(|at| at.epoch != than);
    data_plane.until(FREQUENCY * 3, |status| another(status, epoch)).await;
    data_plane.current(&store, SOON).await;
    assert_eq!(data_plane.mirror().replaced, 2);
    // While it was down: the data plane is the only one who remembers.
    store.put(1, "after");
    data_plane.current(&store, SOON).await;
    let epoch = store.now().0.epoch;
    control_plane.crash();
    store.set_back(3);
    let control_plane = ControlPlane::start(&store);
    wire.plug(&control_plane);
    data_plane.until(FREQUENCY * 4, |status| another(status, epoch)).await;
    data_plane.current(&store, SOON).await;
    assert_eq!(data_plane.mirror().replaced, 3);
    store.put(1, "and on");
    data_plane.current(&store, SOON).await;
}

#[tokio::test(start_paused = true)]
async fn two_control_planes_that_disagree_are_noticed_and_repaired() {
    let (right, wrong) = (FaultyStore::new(), FaultyStore::new());
    for store in [&right, &wrong] {
        store.commit(vec![put(1, "one"), put(2, "two")]);
    }
    // The same history by its epoch and revision, but B's copy lacks a change.
    right.put(1, "one!");
    wrong.put(3, "");
    let (a, b) = (ControlPlane::start(&right), ControlPlane::start(&wrong));
    let wires = [Wire::to(&a), Wire::to(&b)];
    wires[0].cut();
    let mut data_plane = DataPlane::start(1, vec![wires[0].endpoint("a"), wires[1].endpoint("b")]);
    data_plane.streaming(FREQUENCY).await;
    assert_eq!(data_plane.mirror().body(1), Some("one"));
    wires[0].mend();
    wires[1].cut();
    data_plane.until(FREQUENCY, |status| status.following.as_deref() == Some("a")).await;
    data_plane.current(&right, SOON).await;
    assert_eq!(data_plane.mirror().body(1), Some("one!"));
}

#[tokio::test(start_paused = true)]
async fn the_safety_net_asks_every_control_plane_in_turn() {
    let (right, wrong) = (FaultyStore::new(), FaultyStore::new());
    for store in [&right, &wrong] {
        store.put(1, "one");
    }
    right.put(1, "one!");
    wrong.put(2, "two");
    let (a, b) = (ControlPlane::start(&right), ControlPlane::start(&wrong));
    let wires = [Wire::to(&a), Wire::to(&b)];
    wires[0].cut();
    let ttl = Duration::from_secs(60);
    let endpoints = vec![wires[0].endpoint("a"), wires[1].endpoint("b")];
    let mut data_plane = DataPlane::with(1, endpoints, None, Some(ttl));
    data_plane.streaming(FREQUENCY).await;
    assert_eq!(data_plane.mirror().body(2), Some("two"));
    wires[0].mend();
    // It streams from B and is content with it; the comparison with A tells.
    let replaced = data_plane.mirror().replaced;
    sleep(ttl.mul_f64(2.3)).await;
    assert!(data_plane.mirror().replaced > replaced, "the difference was noticed");
}
