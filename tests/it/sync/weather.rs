//! Wires that fail at random, for hours: nothing is lost, repeated, reordered or made up.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, sleep};

use super::planes::{ControlPlane, DataPlane, FREQUENCY, SOON, Wire};
use super::store::{FaultyStore, gone, put};

#[tokio::test(start_paused = true)]
async fn every_data_plane_goes_only_through_what_was_stored() {
    for seed in 0..12 {
        storm(seed).await;
    }
}

async fn storm(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let store = FaultyStore::new();
    store.commit((0..50).map(|id| put(id, "first")).collect());
    let mut control_planes = [ControlPlane::start(&store), ControlPlane::start(&store)];
    let wires: Vec<[Wire; 2]> =
        (0..3).map(|_| [Wire::to(&control_planes[0]), Wire::to(&control_planes[1])]).collect();
    let mut data_planes: Vec<DataPlane> = (1..)
        .zip(&wires)
        .map(|(id, [a, b])| {
            let id = u128::from(seed) * 100 + id;
            DataPlane::start(id, vec![a.endpoint("a"), b.endpoint("b")])
        })
        .collect();
    let end = Instant::now() + Duration::from_secs(600);
    while Instant::now() < end {
        sleep(Duration::from_millis(random.random_range(1..400))).await;
        let wire = &wires[random.random_range(0..3)][random.random_range(0..2)];
        match random.random_range(0..100) {
            0..45 => {
                let changes = (0..random.random_range(1..4))
                    .map(|_| match random.random_range(0..60) {
                        id @ 0..50 => put(id, &random.random_range(0..1_000).to_string()),
                        id => gone(id - 10),
                    })
                    .collect();
                store.commit(changes);
            }
            45..60 => wire.cut(),
            60..64 => wire.silence(),
            64..90 => wire.mend(),
            90..92 => store.deaf(true),
            92..94 => store.deaf(false),
            94..95 => store.down(true),
            95..98 => store.down(false),
            98 => store.truncate(store.now().0.revision),
            _ => {
                let which = random.random_range(0..2);
                let next = ControlPlane::start(&store);
                std::mem::replace(&mut control_planes[which], next).crash();
                wires.iter().for_each(|pair| pair[which].plug(&control_planes[which]));
            }
        }
    }
    store.down(false);
    store.deaf(false);
    wires.iter().flatten().for_each(Wire::mend);
    for data_plane in &mut data_planes {
        let limit = FREQUENCY.mul_f64(2.2) + Duration::from_secs(16) + SOON;
        data_plane.current(&store, limit).await;
        let mirror = data_plane.mirror();
        assert!(mirror.way.windows(2).all(|step| step[0].0.revision <= step[1].0.revision));
        for (at, digest) in &mirror.way {
            let stored = store.at(*at).expect("a revision that was stored");
            assert_eq!(stored.digest(), *digest, "seed {seed}: what was served at {at}");
        }
        assert!(mirror.way.len() > 20, "seed {seed}: it followed: {:?}", mirror.way.len());
    }
}
