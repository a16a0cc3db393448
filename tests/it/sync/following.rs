//! One control plane, one data plane.

use std::time::Duration;

use lifecycle::Shutdown;
use publish::Wanted;
use subscribe::State;
use tokio::time::{Instant, sleep};

use super::planes::{ControlPlane, DataPlane, FREQUENCY, SOON, Wire, settings};
use super::store::{FaultyStore, gone, put};

#[tokio::test(start_paused = true)]
async fn a_write_is_served_at_once_and_the_writer_can_wait_for_it() {
    let store = FaultyStore::new();
    store.commit(vec![put(1, "one"), put(2, "two")]);
    let control_plane = ControlPlane::start(&store);
    let mut data_plane = DataPlane::start(7, vec![Wire::to(&control_plane).endpoint("cp")]);
    data_plane.streaming(SOON).await;
    data_plane.current(&store, SOON).await;
    assert_eq!(data_plane.mirror().replaced, 1);

    let fleet = control_plane.publisher.fleet();
    let at = store.commit(vec![put(1, "one!"), gone(2)]);
    let served = fleet.wait_served(at, Wanted::All, SOON).await;
    assert!(served.reached && served.lagging.is_empty());
    assert_eq!(served.applied[0].id, data_plane.id);
    assert_eq!(data_plane.mirror().body(1), Some("one!"), "served when it was acknowledged");
    assert_eq!(data_plane.mirror().body(2), None);

    let member = fleet.member(data_plane.id).expect("it is known");
    assert!(member.connected);
    assert_eq!(member.state, publish::State::Streaming);
    assert_eq!((member.received, member.serving), (Some(at), Some(at)));
    assert_eq!(member.digest, Some(store.now().1.digest()));
    assert_eq!(member.node.hostname, "dp-7");
    assert_eq!(member.node.labels["zone"], "a");
}

#[tokio::test(start_paused = true)]
async fn who_lags_is_named_and_who_is_gone_is_not_waited_for() {
    let store = FaultyStore::new();
    store.put(1, "one");
    let control_plane = ControlPlane::start(&store);
    let fleet = control_plane.publisher.fleet();
    let nobody = fleet.wait_served(store.now().0, Wanted::All, SOON).await;
    assert!(nobody.reached, "all of none");
    let none = fleet.wait_served(store.now().0, Wanted::Count(1), SOON).await;
    assert!(!none.reached);

    let wires: Vec<Wire> = (0..3).map(|_| Wire::to(&control_plane)).collect();
    let mut data_planes: Vec<DataPlane> = (1..)
        .zip(&wires)
        .map(|(id, wire)| DataPlane::start(id, vec![wire.endpoint("cp")]))
        .collect();
    for data_plane in &mut data_planes {
        data_plane.streaming(SOON).await;
        data_plane.current(&store, SOON).await;
    }
    wires[2].silence();
    let at = store.put(1, "two");
    let quorum = fleet.wait_served(at, Wanted::Quorum, SOON).await;
    assert!(quorum.reached);
    let all = fleet.wait_served(at, Wanted::All, SOON).await;
    assert!(!all.reached);
    let lagging: Vec<_> = all.lagging.iter().map(|standing| &*standing.hostname).collect();
    assert_eq!(lagging, ["dp-3"]);
    assert_eq!(all.applied.len(), 2);
    assert!(!fleet.wait_served(at, Wanted::Count(3), SOON).await.reached);
    // Its connection is found dead, and some time later it does not count any more.
    let began = Instant::now();
    let all = fleet.wait_served(at, Wanted::All, Duration::from_secs(120)).await;
    assert!(all.reached && all.applied.len() == 2);
    assert!(began.elapsed() < Duration::from_secs(60));
    assert_eq!(fleet.connected(), 2);
    assert_eq!(fleet.members().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_lost_notification_costs_one_period() {
    let store = FaultyStore::new();
    store.put(1, "one");
    let control_plane = ControlPlane::start(&store);
    let mut data_plane = DataPlane::start(1, vec![Wire::to(&control_plane).endpoint("cp")]);
    data_plane.current(&store, SOON).await;
    store.deaf(true);
    for round in 0..20 {
        store.put(1, &format!("unannounced {round}"));
        data_plane.current(&store, FREQUENCY.mul_f64(1.1) + SOON).await;
    }
    store.deaf(false);
    store.put(1, "announced");
    data_plane.current(&store, FREQUENCY.mul_f64(1.1)).await;
    let took = {
        store.put(1, "announced again");
        data_plane.current(&store, SOON).await
    };
    assert!(took < SOON / 10);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_released_before_it_is_old_enough() {
    let propagation = Duration::from_secs(7);
    let store = FaultyStore::new();
    store.put(1, "one");
    sleep(propagation).await;
    let settings = publish::Settings { propagation, ..settings() };
    let control_plane = ControlPlane::with(&store, settings.clone());
    let mut data_plane = DataPlane::start(1, vec![Wire::to(&control_plane).endpoint("cp")]);
    let took = data_plane.current(&store, SOON).await;
    assert!(took < SOON, "what is old enough is there at once, also after a start");
    let old = data_plane.status.borrow().serving;

    let young = store.put(1, "two");
    let committed = Instant::now();
    sleep(propagation - Duration::from_millis(50)).await;
    assert_eq!(data_plane.status.borrow().serving, old);
    let mut newcomer = DataPlane::start(2, vec![Wire::to(&control_plane).endpoint("cp")]);
    newcomer.until(SOON, |status| status.serving == old).await;
    assert!(committed.elapsed() < propagation, "a snapshot shows what is released");
    data_plane.until(SOON, |status| status.serving == Some(young)).await;
    assert!(committed.elapsed() >= propagation);
    newcomer.until(SOON, |status| status.serving == Some(young)).await;

    // A control plane that starts on a revision that is too young waits, too.
    store.put(1, "three");
    let committed = Instant::now();
    control_plane.crash();
    let control_plane = ControlPlane::with(&store, settings);
    let mut released = control_plane.publisher.released();
    released.wait_for(Option::is_some).await.expect("the publisher lives");
    assert!(committed.elapsed() >= propagation);
}

#[tokio::test(start_paused = true)]
async fn streams_outlive_an_outage_of_the_store() {
    let store = FaultyStore::new();
    store.put(1, "one");
    let control_plane = ControlPlane::start(&store);
    let wire = Wire::to(&control_plane);
    let mut data_plane = DataPlane::start(1, vec![wire.endpoint("cp")]);
    data_plane.streaming(SOON).await;
    data_plane.current(&store, SOON).await;
    store.down(true);
    let missed = store.put(1, "two");
    let ten_minutes = Instant::now() + Duration::from_secs(600);
    while Instant::now() < ten_minutes {
        sleep(SOON).await;
        assert_eq!(data_plane.state(), State::Streaming);
    }
    // Newcomers get what is known.
    let mut newcomer = DataPlane::start(2, vec![wire.endpoint("cp")]);
    newcomer.streaming(SOON).await;
    assert_ne!(newcomer.status.borrow().serving, Some(missed));
    store.down(false);
    data_plane.current(&store, FREQUENCY + SOON).await;
    newcomer.current(&store, SOON).await;
    assert_eq!(data_plane.mirror().replaced, 1);
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_waits_for_its_store() {
    let store = FaultyStore::new();
    store.put(1, "one");
    store.down(true);
    let control_plane = ControlPlane::start(&store);
    let mut data_plane = DataPlane::start(1, vec![Wire::to(&control_plane).endpoint("cp")]);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(data_plane.state(), State::Booting);
    assert_eq!(data_plane.status.borrow().serving, None);
    store.down(false);
    data_plane.current(&store, FREQUENCY * 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_cut_wire_is_polled_over_and_costs_no_snapshot() {
    let store = FaultyStore::new();
    store.put(1, "one");
    let control_plane = ControlPlane::start(&store);
    let wire = Wire::to(&control_plane);
    let mut data_plane = DataPlane::start(1, vec![wire.endpoint("cp")]);
    data_plane.streaming(SOON).await;
    wire.cut();
    data_plane.until(SOON, |status| status.state == State::Polling).await;
    store.put(1, "two");
    let cut = Instant::now();
    data_plane.until(Duration::from_secs(60), |status| status.state == State::Stale).await;
    assert!(cut.elapsed() > Duration::from_secs(25), "three periods and 30 s");
    assert_eq!(data_plane.mirror().body(1), Some("one"), "what is held is served");
    wire.mend();
    data_plane.current(&store, FREQUENCY.mul_f64(1.1) + SOON).await;
    data_plane.streaming(SOON).await;
    assert_eq!(data_plane.mirror().replaced, 1);
}

#[tokio::test(start_paused = true)]
async fn silence_is_a_cut() {
    let store = FaultyStore::new();
    store.put(1, "one");
    let control_plane = ControlPlane::start(&store);
    let wire = Wire::to(&control_plane);
    let mut data_plane = DataPlane::start(1, vec![wire.endpoint("cp")]);
    data_plane.streaming(SOON).await;
    wire.silence();
    let noticed =
        data_plane.until(Duration::from_secs(30), |status| status.state == State::Polling).await;
    assert!(noticed > SOON, "nobody can know at once");
    assert_eq!(control_plane.publisher.fleet().connected(), 1, "heard of a moment ago");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(control_plane.publisher.fleet().connected(), 0);
    store.put(1, "two");
    wire.mend();
    data_plane.current(&store, FREQUENCY.mul_f64(1.1) + SOON).await;
}

#[tokio::test(start_paused = true)]
async fn who_is_too_far_behind_takes_a_snapshot() {
    let store = FaultyStore::new();
    store.commit((0..4_000).map(|id| put(id, "a")).collect());
    let control_plane = ControlPlane::start(&store);
    let wire = Wire::to(&control_plane);
    let mut data_plane = DataPlane::start(1, vec![wire.endpoint("cp")]);
    data_plane.current(&store, SOON).await;
    // Many revisions of few entities: caught up with by the log…
    wire.cut();
    for revision in 0..6_000u128 {
        store.put(revision % 100, &format!("b{revision}"));
        if revision % 500 == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    }
    sleep(FREQUENCY).await;
    wire.mend();
    data_plane.current(&store, FREQUENCY.mul_f64(1.1) + SOON).await;
    assert_eq!(data_plane.mirror().replaced, 1);
    // …half of all entities: not.
    wire.cut();
    data_plane.until(SOON, |status| status.state == State::Polling).await;
    for id in 0..2_000 {
        store.put(id, "c");
        if id % 500 == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    }
    sleep(FREQUENCY).await;
    wire.mend();
    data_plane.current(&store, FREQUENCY.mul_f64(1.1) + SOON).await;
    assert_eq!(data_plane.mirror().replaced, 2);
}

#[tokio::test(start_paused = true)]
async fn an_entity_that_cannot_be_applied_is_reported_until_it_can() {
    let store = FaultyStore::new();
    store.commit(vec![put(1, "one"), put(2, "two")]);
    let control_plane = ControlPlane::start(&store);
    let wire = Wire::to(&control_plane);
    let mut data_plane = DataPlane::start(1, vec![wire.endpoint("cp")]);
    data_plane.streaming(SOON).await;
    let fleet = control_plane.publisher.fleet().clone();
    let bad = store.commit(vec![put(1, "bad one"), put(2, "two!")]);
    assert!(fleet.wait_served(bad, Wanted::All, SOON).await.reached, "the rest is served");
    assert_eq!(data_plane.mirror().body(1), Some("one"));
    assert_eq!(data_plane.mirror().body(2), Some("two!"));
    let member = fleet.member(data_plane.id).expect("it is known");
    assert_eq!(member.rejections_total, 1);
    let rejection = &member.rejections[0];
    assert_eq!((rejection.revision, &*rejection.kind), (bad.revision, "services"));
    assert_eq!(rejection.reason, "cannot serve \"bad one\"");
    assert_eq!(member.digest, Some(store.now().1.digest()), "what was received is complete");
    // A bookmark compares what was received: no quarrel over what was rejected.
    sleep(Duration::from_secs(60)).await;
    assert_eq!(data_plane.mirror().replaced, 1);
    let good = store.put(1, "one!");
    assert!(fleet.wait_served(good, Wanted::All, SOON).await.reached);
    assert_eq!(fleet.member(data_plane.id).expect("it is known").rejections, []);
    assert_eq!(data_plane.mirror().body(1), Some("one!"));
}

#[tokio::test(start_paused = true)]
async fn an_entity_too_large_to_travel_holds_up_nobody() {
    let store = FaultyStore::new();
    store.commit(vec![put(1, "one"), put(2, "two")]);
    let control_plane = ControlPlane::start(&store);
    let mut data_plane = DataPlane::start(1, vec![Wire::to(&control_plane).endpoint("cp")]);
    data_plane.streaming(SOON).await;
    let huge = "x".repeat(wire::MAX_BODY + 1);
    store.commit(vec![put(1, &huge), put(2, "two!")]);
    let largest = "y".repeat(wire::MAX_BODY);
    let at = store.put(3, &largest);
    data_plane.until(SOON, |status| status.serving == Some(at)).await;
    assert_eq!(data_plane.mirror().body(1), Some("one"), "its former version stays");
    assert_eq!(data_plane.mirror().body(2), Some("two!"));
    assert_eq!(data_plane.mirror().body(3).map(str::len), Some(wire::MAX_BODY));
    // By a snapshot, too.
    let mut newcomer = DataPlane::start(2, vec![Wire::to(&control_plane).endpoint("cp")]);
    newcomer.until(SOON, |status| status.serving == Some(at)).await;
    assert_eq!(newcomer.mirror().body(1), Some("one"));
}

#[tokio::test(start_paused = true)]
async fn the_log_is_kept_as_long_as_was_said() {
    let retention = publish::Retention { age: Duration::from_secs(7_200), revisions: 20 };
    let store = FaultyStore::new();
    let control_plane = ControlPlane::with(&store, publish::Settings { retention, ..settings() });
    let (publisher, shutdown) = (control_plane.publisher.clone(), Shutdown::new());
    let until = shutdown.clone();
    let compacting = tokio::spawn(async move { publisher.compact(&until).await });
    // One revision a minute: two hours keep more than 20 of them.
    for n in 0..240 {
        store.put(1, &n.to_string());
        sleep(Duration::from_secs(60)).await;
    }
    let kept = store.now().0.revision - store.compacted();
    assert!((119..=135).contains(&kept), "{kept} of two hours");
    // Then none for a day: the newest 20 stay.
    sleep(Duration::from_secs(86_400)).await;
    assert_eq!(store.now().0.revision - store.compacted(), 20);
    shutdown.drain();
    compacting.await.expect("no panic");
}
