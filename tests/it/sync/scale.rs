//! Much at once.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::sleep;
use wire::v1;
use wire::v1::config_sync_client::ConfigSyncClient;

use super::planes::{ControlPlane, DataPlane, FREQUENCY, SOON, Wire};
use super::store::{FaultyStore, put};

fn large(id: u128) -> String {
    format!("{{\"id\":\"{id:032x}\",\"name\":\"service-{id}\",\"text\":\"{}\"}}", "x".repeat(250))
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_entities_in_one_revision() {
    let store = FaultyStore::new();
    store.put(0, "small");
    let control_plane = ControlPlane::start(&store);
    let wire = Wire::to(&control_plane);
    let mut connected = DataPlane::start(1, vec![wire.endpoint("cp")]);
    connected.streaming(SOON).await;
    store.commit((0..100_000).map(|id| put(id, &large(id))).collect());
    connected.current(&store, FREQUENCY).await;
    assert_eq!(connected.mirror().replaced, 1, "in parts, by the stream");
    let mut newcomer = DataPlane::start(2, vec![wire.endpoint("cp")]);
    newcomer.current(&store, FREQUENCY).await;
    store.put(5, "small");
    connected.current(&store, SOON).await;
    newcomer.current(&store, SOON).await;
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_comes_at_once_is_served() {
    let store = FaultyStore::new();
    store.commit((0..2_000).map(|id| put(id, &large(id))).collect());
    let control_plane = ControlPlane::start(&store);
    let wire = Wire::to(&control_plane);
    let mut crowd: Vec<DataPlane> =
        (0..300).map(|id| DataPlane::start(id, vec![wire.endpoint("cp")])).collect();
    for data_plane in &mut crowd {
        data_plane.current(&store, Duration::from_secs(30)).await;
        data_plane.streaming(Duration::from_secs(30)).await;
    }
    let at = store.put(1, "now");
    let served = control_plane
        .publisher
        .fleet()
        .wait_served(at, publish::Wanted::Count(300), FREQUENCY)
        .await;
    assert!(served.reached);
    // All at once gone, and back.
    wire.cut();
    sleep(FREQUENCY).await;
    store.put(1, "later");
    wire.mend();
    for data_plane in &mut crowd {
        data_plane.current(&store, FREQUENCY.mul_f64(1.1) + SOON).await;
        assert_eq!(data_plane.mirror().replaced, 1);
    }
    control_plane.stop().await;
}

/// A client that reads only when it is told to.
async fn raw(control_plane: &ControlPlane) -> tonic::Streaming<v1::WatchFrame> {
    let dialer = control_plane.dialer.clone();
    let connect = tower::service_fn(move |_: http::Uri| {
        let dialer = dialer.clone();
        async move { dialer.dial().await.map(hyper_util::rt::TokioIo::new) }
    });
    let channel = tonic::transport::Endpoint::from_static("http://control-plane")
        .initial_stream_window_size(64 << 10)
        .connect_with_connector(connect)
        .await
        .expect("it listens");
    let node = v1::Node {
        id: uuid::Uuid::from_u128(99).to_string(),
        hostname: "slow".to_owned(),
        ..v1::Node::default()
    };
    let from = control_plane.publisher.released().borrow().map(|r| wire::cursor_to(r.at));
    ConfigSyncClient::new(channel)
        .watch(v1::WatchRequest { node: Some(node), from })
        .await
        .expect("it answers")
        .into_inner()
}

#[tokio::test(start_paused = true)]
async fn a_data_plane_that_does_not_read_is_dropped_and_costs_others_nothing() {
    let store = FaultyStore::new();
    store.put(0, "small");
    let control_plane = ControlPlane::start(&store);
    let mut other = DataPlane::start(1, vec![Wire::to(&control_plane).endpoint("cp")]);
    other.streaming(SOON).await;
    let fleet = control_plane.publisher.fleet();
    let mut slow = raw(&control_plane).await;
    sleep(SOON).await;
    assert_eq!(fleet.connected(), 2);
    for round in 0..60 {
        store.commit((0..100).map(|id| put(id, &large(id + round * 1_000))).collect());
        other.current(&store, SOON).await;
        sleep(SOON).await;
    }
    sleep(Duration::from_secs(40)).await;
    let mut frames = 0;
    let end = loop {
        match slow.next().await {
            Some(Ok(_)) => frames += 1,
            Some(Err(status)) => break status,
            None => panic!("the stream ended in good order after {frames} frames"),
        }
    };
    assert!(frames < 60, "{frames} frames were waiting for it: {end}");
    sleep(Duration::from_secs(31)).await;
    assert_eq!(fleet.connected(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_data_plane_that_reads_slowly_skips_what_is_outdated() {
    let store = FaultyStore::new();
    store.put(0, "small");
    let control_plane = ControlPlane::start(&store);
    control_plane.publisher.released().wait_for(Option::is_some).await.expect("it lives");
    let mut slow = raw(&control_plane).await;
    // 200 MB of frames, of which the control plane keeps a third.
    for round in 0..60 {
        store.commit(
            (0..100).map(|id| put(id, &format!("{round}{}", "x".repeat(34_000)))).collect(),
        );
        sleep(Duration::from_millis(100)).await;
    }
    let (mut held, mut at, mut steps) = (wire::Entities::default(), 1, 0);
    let mut parts = wire::Assembler::default();
    let (head, entities) = store.now();
    while at < head.revision {
        let frame = slow.message().await.expect("no failure").expect("no end");
        if let Some(v1::watch_frame::Kind::Transaction(part)) = frame.kind
            && let Some(transaction) = parts.push(part).expect("well formed")
        {
            assert!(transaction.prev <= at && at < transaction.revision);
            held.apply(&transaction.changes);
            (at, steps) = (transaction.revision, steps + 1);
        }
    }
    assert!(steps < 40, "{steps} steps");
    assert_eq!(held.to_changes(), entities.to_changes());
}
