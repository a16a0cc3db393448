//! Several control planes on one store: each knows the data planes of all.

use std::time::Duration;

use publish::{Fleet, Wanted};
use tokio::time::{Instant, sleep, timeout};

use super::planes::{ControlPlane, DataPlane, FREQUENCY, SOON, Wire};
use super::store::FaultyStore;

/// Longer than a control plane may be silent.
const GONE: Duration = Duration::from_secs(40);

/// Waits until a control plane knows so many connected data planes.
async fn knows(fleet: &Fleet, connected: usize) {
    let mut changes = fleet.changes();
    let known = async {
        while fleet.connected() != connected {
            // Who falls silent is not announced.
            let _ = timeout(Duration::from_secs(1), changes.changed()).await;
        }
    };
    let known = timeout(FREQUENCY * 10, known).await;
    known.unwrap_or_else(|_| panic!("{} instead of {connected}", fleet.connected()));
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_for_the_data_planes_of_all_control_planes() {
    let store = FaultyStore::new();
    store.put(1, "one");
    let stores = [store.clone(), store.for_another(), store.for_another()];
    let control_planes = stores.each_ref().map(ControlPlane::start);
    let wires = control_planes.each_ref().map(Wire::to);
    let mut data_planes: Vec<DataPlane> =
        (0..3).map(|n| DataPlane::start(n, vec![wires[n as usize].endpoint("cp")])).collect();
    for data_plane in &mut data_planes {
        data_plane.streaming(FREQUENCY).await;
    }
    let fleets = control_planes.each_ref().map(|one| one.publisher.fleet().clone());
    for fleet in &fleets {
        knows(fleet, 3).await;
        assert_eq!((fleet.connected_here(), fleet.members().len()), (1, 3));
    }
    let at = store.put(1, "two");
    let began = Instant::now();
    for fleet in &fleets {
        for wanted in [Wanted::All, Wanted::Quorum, Wanted::Count(3), Wanted::Here] {
            let served = fleet.wait_served(at, wanted, SOON).await;
            assert!(served.reached, "{wanted:?}: {served:?}");
        }
        assert_eq!(fleet.served(at, Wanted::All).applied.len(), 3);
        assert_eq!(fleet.served(at, Wanted::Here).applied.len(), 1);
    }
    assert!(began.elapsed() < Duration::from_millis(200), "{:?}", began.elapsed());

    // One that is connected elsewhere and does not hear of the change holds the others' waits up.
    stores[2].down(true);
    let at = store.put(1, "three");
    let all = fleets[0].wait_served(at, Wanted::All, SOON).await;
    assert!(!all.reached);
    let lagging: Vec<_> = all.lagging.iter().map(|standing| standing.id).collect();
    assert_eq!(lagging, [data_planes[2].id]);
    assert!(fleets[0].wait_served(at, Wanted::Quorum, SOON).await.reached);
    let waiting = fleets[1].clone();
    let waiting =
        tokio::spawn(async move { waiting.wait_served(at, Wanted::All, FREQUENCY * 4).await });
    sleep(SOON).await;
    stores[2].down(false);
    let all = waiting.await.expect("no panic");
    assert!(all.reached, "{all:?}");

    // Lost notifications cost time, nothing else.
    stores.iter().for_each(|store| store.deaf(true));
    let at = store.put(1, "four");
    assert!(fleets[0].wait_served(at, Wanted::All, FREQUENCY * 2).await.reached);
}

#[tokio::test(start_paused = true)]
async fn a_data_plane_that_moves_counts_once() {
    let store = FaultyStore::new();
    store.put(1, "one");
    let control_planes = [0, 1].map(|_| ControlPlane::start(&store.for_another()));
    let fleets = control_planes.each_ref().map(|one| one.publisher.fleet().clone());
    let wires = control_planes.each_ref().map(Wire::to);
    wires[1].cut();
    let endpoints = || vec![wires[0].endpoint("a"), wires[1].endpoint("b")];
    let mut data_plane = DataPlane::start(1, endpoints());
    data_plane.streaming(FREQUENCY).await;
    for fleet in &fleets {
        knows(fleet, 1).await;
    }
    for round in 0..4_usize {
        let (from, to) = (round % 2, (round + 1) % 2);
        wires[to].mend();
        // Once it says nothing any more without a word, once it is gone.
        if round < 2 {
            wires[from].cut()
        } else {
            wires[from].silence()
        }
        let name = ["a", "b"][to];
        data_plane.until(FREQUENCY * 20, |status| status.following.as_deref() == Some(name)).await;
        data_plane.streaming(FREQUENCY * 2).await;
        let at = store.put(1, &format!("round {round}"));
        for fleet in &fleets {
            let served = fleet.wait_served(at, Wanted::All, FREQUENCY).await;
            assert!(served.reached, "round {round}: {served:?}");
            assert_eq!((served.applied.len(), fleet.connected()), (1, 1), "round {round}");
            let member = fleet.member(data_plane.id).expect("it is known");
            assert_eq!(member.serving, Some(at));
            assert_eq!(member.node.labels["zone"], "a");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_that_dies_does_not_end_a_wait_early_nor_hold_it_up() {
    let store = FaultyStore::new();
    store.put(1, "one");
    let [here, dying] = [0, 1].map(|_| ControlPlane::start(&store.for_another()));
    let fleet = here.publisher.fleet().clone();
    let wires = [Wire::to(&here), Wire::to(&dying)];
    wires[0].cut();
    let endpoints = || vec![wires[0].endpoint("a"), wires[1].endpoint("b")];
    let mut moves = DataPlane::start(1, endpoints());
    let mut stays = DataPlane::start(2, vec![wires[1].endpoint("b")]);
    moves.streaming(FREQUENCY).await;
    stays.streaming(FREQUENCY).await;
    knows(&fleet, 2).await;
    dying.crash();
    let at = store.put(1, "two");
    let waiting = tokio::spawn({
        let fleet = fleet.clone();
        async move { fleet.wait_served(at, Wanted::All, GONE * 2).await }
    });
    sleep(SOON).await;
    let lagging = fleet.served(at, Wanted::All).lagging.len();
    assert_eq!((lagging, waiting.is_finished()), (2, false), "what was there a moment ago counts");
    wires[0].mend();
    moves.until(FREQUENCY * 3, |status| status.serving == Some(at)).await;
    let began = Instant::now();
    let served = waiting.await.expect("no panic");
    assert!(served.reached, "{served:?}");
    assert_eq!((served.applied.len(), served.lagging.len()), (1, 0), "the other one is away");
    assert!(began.elapsed() < GONE, "{:?}", began.elapsed());

    // It is listed, with when it was seen last, also by a control plane that is new.
    let new = ControlPlane::start(&store.for_another());
    let new_fleet = new.publisher.fleet().clone();
    knows(&new_fleet, 1).await;
    for fleet in [&fleet, &new_fleet] {
        let away = fleet.member(stays.id).expect("it is listed");
        assert!(!away.connected && away.node.hostname == "dp-2", "{away:?}");
        let newer = fleet.member(moves.id).expect("it is listed").last_seen_us;
        assert!(away.last_seen_us < newer, "{away:?}");
    }
    // Until it is forgotten, everywhere.
    assert!(new_fleet.expel(stays.id));
    sleep(FREQUENCY).await;
    for fleet in [&fleet, &new_fleet] {
        assert!(fleet.member(stays.id).is_none());
    }
    assert!(!fleet.expel(stays.id));
    let newest = ControlPlane::start(&store.for_another());
    knows(newest.publisher.fleet(), 1).await;
    assert_eq!(newest.publisher.fleet().members().len(), 1);
    // A restarted control plane has it back when it comes back.
    wires[1].plug(&newest);
    stays.streaming(FREQUENCY * 4).await;
    knows(&fleet, 2).await;
}

#[tokio::test(start_paused = true)]
async fn silence_of_the_database_is_no_silence_of_the_siblings() {
    let store = FaultyStore::new();
    store.put(1, "one");
    let stores = [store.clone(), store.for_another()];
    let control_planes = stores.each_ref().map(ControlPlane::start);
    let wires = control_planes.each_ref().map(Wire::to);
    let mut data_planes =
        [0, 1].map(|n| DataPlane::start(n as u128, vec![wires[n].endpoint("cp")]));
    for data_plane in &mut data_planes {
        data_plane.streaming(FREQUENCY).await;
    }
    let fleet = control_planes[0].publisher.fleet().clone();
    knows(&fleet, 2).await;
    stores.iter().for_each(|store| store.down(true));
    sleep(GONE * 3).await;
    assert_eq!(fleet.connected(), 2);
    let at = store.put(1, "two");
    stores[0].down(false);
    data_planes[0].current(&store, FREQUENCY * 2).await;
    let all = fleet.wait_served(at, Wanted::All, SOON).await;
    assert!(!all.reached, "the other one cannot tell yet: {all:?}");
    stores[1].down(false);
    assert!(fleet.wait_served(at, Wanted::All, FREQUENCY * 4).await.reached);
    assert_eq!(fleet.served(at, Wanted::All).applied.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_reached_before_the_others_were_heard() {
    let store = FaultyStore::new();
    let at = store.put(1, "one");
    let other = ControlPlane::start(&store.for_another());
    let mut data_plane = DataPlane::start(1, vec![Wire::to(&other).endpoint("cp")]);
    data_plane.streaming(FREQUENCY).await;
    knows(other.publisher.fleet(), 1).await;
    let cut_off = store.for_another();
    cut_off.down(true);
    let new = ControlPlane::start(&cut_off);
    let fleet = new.publisher.fleet();
    assert!(!fleet.wait_served(at, Wanted::All, SOON).await.reached);
    cut_off.down(false);
    let all = fleet.wait_served(at, Wanted::All, FREQUENCY).await;
    assert_eq!((all.reached, all.applied.len()), (true, 1), "{all:?}");
}
