use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use lifecycle::ManualClock;
use plugin::Totals;
use tokio::task::JoinSet;

use super::*;

/// Counters as any store keeps them, which answer a little later, or not at all.
#[derive(Clone, Default)]
struct Store {
    totals: Arc<Mutex<HashMap<String, i64>>>,
    calls: Arc<AtomicUsize>,
    down: Arc<AtomicBool>,
}

impl Store {
    fn total(&self, key: &str) -> i64 {
        self.totals.lock().unwrap().get(key).copied().unwrap_or_default()
    }
}

impl Counters for Store {
    fn add(&self, increments: Vec<Increment>) -> Totals<'_> {
        self.calls.fetch_add(1, Relaxed);
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            if self.down.load(Relaxed) {
                return Err(CountersError("down".to_owned()));
            }
            let mut totals = self.totals.lock().unwrap();
            let add = |increment: Increment| {
                let total = totals.entry(increment.key).or_default();
                *total += increment.by;
                *total
            };
            Ok(increments.into_iter().map(add).collect())
        })
    }
}

const SECOND: u64 = 1_000_000;
const OFTEN: Rhythm = Rhythm::Every(Duration::from_millis(20));

fn who() -> Who {
    Who::Text("ann".into())
}

fn limits(limits: &[(Period, f64)]) -> Arc<[Limit]> {
    limits.iter().map(|(period, most)| Limit { period: *period, most: *most }).collect()
}

/// A data plane whose clock stands still.
fn node(second: u64) -> Node {
    let clock = ManualClock::at((second * SECOND) as i64);
    let mut node = Node::detached();
    node.clock = Arc::new(clock);
    node
}

fn start(store: &Store, rhythm: Rhythm, node: &Node) -> Synced {
    Synced::start("ratelimit:r:s:".to_owned(), rhythm, Arc::new(store.clone()), node)
}

/// Counts as the plugin does.
async fn count(synced: &Synced, limits: &Arc<[Limit]>, now_us: u64) -> Result<Counted, String> {
    match synced.count(&who(), limits, now_us) {
        Found::Counted(counted) => Ok(counted),
        Found::Unknown => {
            let asked = synced.ask(who(), limits.clone(), now_us).await;
            asked.map_err(|error| error.to_string())
        }
    }
}

#[tokio::test(start_paused = true)]
async fn eight_data_planes_alike_let_pass_exactly_the_limit() {
    for most in [1.0, 7.0, 100.0, 5000.0] {
        let (store, limits) = (Store::default(), limits(&[(Period::Day, most)]));
        let (mut clients, node) = (JoinSet::new(), node(100));
        for plane in 0..8_u64 {
            let (synced, limits) = (start(&store, OFTEN, &node), limits.clone());
            for client in 0..4 {
                let (synced, limits) = (synced.clone(), limits.clone());
                clients.spawn(async move {
                    let mut passed = 0;
                    // All together far beyond the limit.
                    for request in 0..2000_u64 {
                        let now_us = 100 * SECOND + request * 300 + plane + client;
                        let counted = count(&synced, &limits, now_us).await.unwrap();
                        passed += u32::from(counted.stopped_by.is_none());
                        if request % 5 == 0 {
                            tokio::time::sleep(Duration::from_micros(300)).await;
                        }
                    }
                    passed
                });
            }
        }
        let passed: u32 = clients.join_all().await.into_iter().sum();
        assert_eq!(f64::from(passed), most);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(store.total("ratelimit:r:s:ann:0:day") as f64, most, "refusals do not count");
    }
}

#[tokio::test(start_paused = true)]
async fn far_from_the_limit_requests_do_not_wait() {
    let (store, limits) = (Store::default(), limits(&[(Period::Minute, 1e6), (Period::Day, 1e6)]));
    let node = node(60);
    let synced = start(&store, OFTEN, &node);
    for request in 0..10_000_u64 {
        // Ten thousand a second, all in one: nothing is exchanged but the first.
        count(&synced, &limits, 60 * SECOND + request).await.unwrap();
    }
    assert_eq!(store.calls.load(Relaxed), 1);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(store.total("ratelimit:r:s:ann:60000:minute"), 10_000);
    assert_eq!(store.total("ratelimit:r:s:ann:0:day"), 10_000);
}

#[tokio::test(start_paused = true)]
async fn a_new_window_begins_at_nothing_and_what_is_late_is_not_lost() {
    let (store, limits) = (Store::default(), limits(&[(Period::Minute, 100.0)]));
    let node = node(119);
    let synced = start(&store, Rhythm::Every(Duration::from_secs(1)), &node);
    for _ in 0..5 {
        count(&synced, &limits, 119 * SECOND).await.unwrap();
    }
    let next = count(&synced, &limits, 120 * SECOND).await.unwrap();
    assert_eq!(next.left[..], [100.0]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(store.total("ratelimit:r:s:ann:60000:minute"), 5);
    assert_eq!(store.total("ratelimit:r:s:ann:120000:minute"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_stops_leaves_the_others_as_they_are() {
    let store = Store::default();
    let limits = limits(&[(Period::Minute, 3.0), (Period::Hour, 5.0)]);
    let node = node(0);
    let synced = start(&store, OFTEN, &node);
    for (second, left, stopped_by) in [
        (0, [3.0, 5.0], None),
        (1, [2.0, 4.0], None),
        (2, [1.0, 3.0], None),
        (3, [0.0, 2.0], Some(0)),
        (60, [3.0, 2.0], None),
        (61, [2.0, 1.0], None),
        (62, [1.0, 0.0], Some(1)),
    ] {
        let counted = count(&synced, &limits, second * SECOND).await.unwrap();
        assert_eq!((&counted.left[..], counted.stopped_by), (&left[..], stopped_by), "{second}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn with_every_request_refusals_count_too() {
    let (store, limits) = (Store::default(), limits(&[(Period::Day, 3.0)]));
    let node = node(1);
    let synced = start(&store, Rhythm::Always, &node);
    for left in [3.0, 2.0, 1.0, 0.0, -1.0] {
        let counted = count(&synced, &limits, SECOND).await.unwrap();
        assert_eq!((counted.left[0], counted.stopped_by.is_some()), (left, left <= 0.0));
    }
    assert_eq!(store.total("ratelimit:r:s:ann:0:day"), 5);
}

#[tokio::test(start_paused = true)]
async fn what_was_counted_while_nobody_answered_is_told_later() {
    let (store, limits) = (Store::default(), limits(&[(Period::Day, 1000.0)]));
    let node = node(50);
    let synced = start(&store, Rhythm::Every(Duration::from_millis(100)), &node);
    count(&synced, &limits, 50 * SECOND).await.unwrap();
    for _ in 0..5 {
        count(&synced, &limits, 50 * SECOND).await.unwrap();
    }
    store.down.store(true, Relaxed);
    // Within two exchanges what is known is good enough; then somebody has to be asked.
    count(&synced, &limits, 50 * SECOND + 200_000).await.unwrap();
    assert_eq!(count(&synced, &limits, 50 * SECOND + 200_001).await, Err("down".to_owned()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    store.down.store(false, Relaxed);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(store.total("ratelimit:r:s:ann:0:day"), 7);
}

#[tokio::test(start_paused = true)]
async fn the_last_counts_are_told_at_the_end() {
    let (store, limits) = (Store::default(), limits(&[(Period::Day, 1000.0)]));
    let node = node(50);
    let rhythm = Rhythm::Every(Duration::from_secs(3600));
    let synced = Synced::start(String::new(), rhythm, Arc::new(store.clone()), &node);
    for _ in 0..9 {
        count(&synced, &limits, 50 * SECOND).await.unwrap();
    }
    node.fall_quiet();
    node.tasks.shutdown().drain();
    node.tasks.finish().await.unwrap();
    assert_eq!(store.total("ann:0:day"), 9);
}
