//! The last good configuration on disk.

use std::fs;
use std::time::Duration;

use subscribe::State;
use tokio::time::sleep;

use super::planes::{ControlPlane, DataPlane, FREQUENCY, SOON, Wire};
use super::store::{FaultyStore, put};

const FILE: &str = "configuration.snapshot";

#[tokio::test(start_paused = true)]
async fn a_data_plane_serves_without_any_control_plane() {
    let dir = tempfile::tempdir().expect("a folder");
    let home = dir.path().join("data");
    let start =
        |wire: &Wire| DataPlane::with(1, vec![wire.endpoint("cp")], Some(home.clone()), None);
    let store = FaultyStore::new();
    store.commit(vec![put(1, "one"), put(2, "two")]);
    let control_plane = ControlPlane::start(&store);
    let wire = Wire::to(&control_plane);
    let mut data_plane = start(&wire);
    data_plane.current(&store, SOON).await;
    let kept = store.put(1, "bad");
    data_plane.until(SOON, |status| status.serving == Some(kept)).await;
    data_plane.stop().await;
    assert!(home.join(FILE).exists(), "kept at the end");

    wire.cut();
    let mut data_plane = start(&wire);
    data_plane.until(SOON, |status| status.serving == Some(kept)).await;
    assert_eq!(data_plane.mirror().body(1), Some("one"), "the last good version was kept, too");
    assert_eq!(data_plane.status.borrow().rejected[0].reason, "cannot serve \"bad\"");
    data_plane.until(SOON, |status| status.state == State::Polling).await;
    assert!(data_plane.status.borrow().restored);
    data_plane.until(FREQUENCY * 10, |status| status.state == State::Stale).await;
    store.put(1, "one!");
    wire.mend();
    data_plane.current(&store, FREQUENCY.mul_f64(1.1) + SOON).await;
    data_plane.streaming(SOON).await;
    let status = data_plane.status.borrow().clone();
    assert!(!status.restored && status.rejected.is_empty());
    assert_eq!(data_plane.mirror().replaced, 1, "the log led on from the file");
}

#[tokio::test(start_paused = true)]
async fn changes_are_kept_without_waiting_for_the_end_and_not_too_often() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = FaultyStore::new();
    store.put(1, "one");
    let control_plane = ControlPlane::start(&store);
    let wire = Wire::to(&control_plane);
    let home = Some(dir.path().to_owned());
    let mut data_plane = DataPlane::with(1, vec![wire.endpoint("cp")], home, None);
    data_plane.current(&store, SOON).await;
    sleep(Duration::from_secs(2)).await;
    let read = || fs::read(dir.path().join(FILE)).expect("it is there");
    let first = read();
    store.put(1, "two");
    data_plane.current(&store, SOON).await;
    sleep(Duration::from_millis(200)).await;
    let second = read();
    assert_ne!(second, first, "kept at once after a quiet time");
    store.put(1, "three");
    data_plane.current(&store, SOON).await;
    sleep(Duration::from_millis(200)).await;
    assert_eq!(read(), second, "not yet again");
    sleep(Duration::from_secs(2)).await;
    assert_ne!(read(), second);
    sleep(Duration::from_secs(60)).await;
    let modified = |name| fs::metadata(dir.path().join(name)).and_then(|m| m.modified()).ok();
    let when = modified(FILE);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(modified(FILE), when, "nothing new, nothing written");
}

#[tokio::test(start_paused = true)]
async fn a_corrupt_file_is_no_obstacle() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join(FILE), "WEIRCONF and then nonsense").expect("a disk");
    let store = FaultyStore::new();
    store.put(1, "one");
    let control_plane = ControlPlane::start(&store);
    let wire = Wire::to(&control_plane);
    let home = Some(dir.path().to_owned());
    let mut data_plane = DataPlane::with(1, vec![wire.endpoint("cp")], home, None);
    data_plane.current(&store, SOON).await;
    assert!(dir.path().join(format!("{FILE}.unusable")).exists());
}

#[tokio::test(start_paused = true)]
async fn a_file_of_another_history_is_replaced() {
    let dir = tempfile::tempdir().expect("a folder");
    let home = || Some(dir.path().to_owned());
    let old = FaultyStore::new();
    for n in 0..9 {
        old.put(n, "old");
    }
    let control_plane = ControlPlane::start(&old);
    let wire = Wire::to(&control_plane);
    let mut data_plane = DataPlane::with(1, vec![wire.endpoint("cp")], home(), None);
    data_plane.current(&old, SOON).await;
    data_plane.stop().await;
    // The database was made anew: fewer revisions, another epoch.
    old.set_back(2);
    store::Store::renew_epoch(&*old, model::Cursor { revision: 9, ..old.now().0 })
        .await
        .expect("it is up");
    let control_plane = ControlPlane::start(&old);
    wire.plug(&control_plane);
    let mut data_plane = DataPlane::with(1, vec![wire.endpoint("cp")], home(), None);
    data_plane.current(&old, SOON).await;
    assert_eq!(data_plane.mirror().replaced, 2, "the file's, then the control plane's");
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_cannot_be_written_stops_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let blocked = dir.path().join("a file");
    fs::write(&blocked, "in the way").expect("a disk");
    let store = FaultyStore::new();
    store.put(1, "one");
    let control_plane = ControlPlane::start(&store);
    let wire = Wire::to(&control_plane);
    let mut data_plane = DataPlane::with(1, vec![wire.endpoint("cp")], Some(blocked), None);
    data_plane.current(&store, SOON).await;
    sleep(Duration::from_secs(60)).await;
    store.put(1, "two");
    data_plane.current(&store, SOON).await;
    assert_eq!(data_plane.state(), State::Streaming);
    data_plane.stop().await;
}
