use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;

/// A receiver that tells of each try, and fails as often as it is told to.
struct Receiver {
    failures: AtomicUsize,
    tries: mpsc::UnboundedSender<(Vec<String>, Instant)>,
}

impl Deliver for Receiver {
    async fn deliver(&self, batch: &[Bytes]) -> Result<(), String> {
        let texts = batch.iter().map(|entry| String::from_utf8(entry.to_vec()).unwrap()).collect();
        self.tries.send((texts, Instant::now())).unwrap();
        let fail = |left: usize| left.checked_sub(1);
        match self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fail) {
            Ok(_) => Err("out of order".to_owned()),
            Err(_) => Ok(()),
        }
    }
}

fn limits() -> Limits {
    Limits {
        batch: 1,
        delay: Duration::from_secs(1),
        entries: 100,
        bytes: None,
        retry: Some(Duration::from_secs(60)),
        first_wait: Duration::from_millis(10),
        longest_wait: Duration::from_secs(5),
        at_once: false,
    }
}

struct Test {
    node: Node,
    queue: Option<Queue>,
    tries: mpsc::UnboundedReceiver<(Vec<String>, Instant)>,
}

impl Test {
    fn new(limits: Limits, failures: usize) -> Test {
        let node = Node::detached();
        let (send, tries) = mpsc::unbounded_channel();
        let receiver = Receiver { failures: failures.into(), tries: send };
        let queue = Some(Queue::start("test", limits, &node, receiver));
        Test { node, queue, tries }
    }

    fn push(&self, entries: &[&str]) {
        for entry in entries {
            self.queue.as_ref().unwrap().push(Bytes::from((*entry).to_owned()));
        }
    }

    async fn next(&mut self) -> Vec<String> {
        self.tries.recv().await.expect("the task has ended").0
    }

    /// All further tries, until the task ends.
    async fn rest(&mut self) -> Vec<Vec<String>> {
        let mut rest = Vec::new();
        while let Some((batch, _)) = self.tries.recv().await {
            rest.push(batch);
        }
        rest
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_goes_when_it_is_full_or_its_first_entry_has_waited() {
    let mut test = Test::new(Limits { batch: 3, ..limits() }, 0);
    let begun = Instant::now();
    test.push(&["a", "b", "c", "d"]);
    assert_eq!(test.next().await, ["a", "b", "c"]);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(test.next().await, ["d"]);
    assert_eq!(begun.elapsed().as_millis(), 1000);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_tried_again_until_it_is_taken() {
    let mut test = Test::new(limits(), 3);
    test.push(&["a", "b"]);
    for expected in ["a", "a", "a", "a", "b"] {
        assert_eq!(test.next().await, [expected]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_not_taken_in_time_is_lost_and_the_next_one_is_tried() {
    let retry = Some(Duration::from_secs(20));
    let mut test = Test::new(Limits { retry, ..limits() }, usize::MAX);
    let begun = Instant::now();
    test.push(&["a", "b"]);
    while test.next().await == ["a"] {}
    let tried = begun.elapsed();
    assert!(tried < Duration::from_secs(20), "{tried:?}");
}

#[tokio::test(start_paused = true)]
async fn without_retries_there_is_one_try() {
    let mut test = Test::new(Limits { retry: None, ..limits() }, usize::MAX);
    test.push(&["a", "b"]);
    test.queue = None;
    assert_eq!(test.rest().await, [["a"], ["b"]]);
}

#[tokio::test(start_paused = true)]
async fn the_oldest_gives_way_when_the_queue_is_full() {
    let mut test = Test::new(Limits { entries: 3, batch: 10, ..limits() }, 0);
    test.push(&["a", "b", "c", "d", "e"]);
    assert_eq!(test.next().await, ["c", "d", "e"]);
    let bytes = Some(10);
    let mut test = Test::new(Limits { bytes, batch: 10, ..limits() }, 0);
    test.push(&["1234", "5678", "90", "x", "far too long for it"]);
    assert_eq!(test.next().await, ["5678", "90", "x"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_takes_room_until_it_is_taken() {
    let mut test = Test::new(Limits { entries: 2, ..limits() }, usize::MAX);
    test.push(&["a"]);
    assert_eq!(test.next().await, ["a"]);
    test.push(&["b", "c"]);
    assert_eq!(test.queue.as_ref().unwrap().0.lock().waiting.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_entry_goes_at_once_where_that_is_wanted() {
    let mut test = Test::new(Limits { at_once: true, ..limits() }, 1);
    test.push(&["a", "b", "c"]);
    let mut tried = vec![test.next().await, test.next().await, test.next().await];
    tried.sort();
    assert_eq!(tried, [["a"], ["b"], ["c"]]);
    assert_eq!(test.next().await.len(), 1, "the one that failed is tried again");
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_delivered_when_the_queue_is_let_go() {
    let mut test = Test::new(Limits { batch: 10, ..limits() }, 2);
    test.push(&["a", "b"]);
    test.queue = None;
    assert_eq!(test.rest().await, [["a", "b"], ["a", "b"], ["a", "b"]]);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_process_waits_for_what_is_queued_but_not_for_ever() {
    let mut test = Test::new(
        Limits { batch: 10, retry: Some(Duration::from_secs(1_000_000)), ..limits() },
        usize::MAX,
    );
    test.push(&["a"]);
    test.next().await;
    let begun = Instant::now();
    test.node.fall_quiet();
    let ended = timeout(Duration::from_secs(100), test.rest()).await;
    assert!(!ended.expect("the task goes on").is_empty());
    assert!(begun.elapsed() <= LAST, "{:?}", begun.elapsed());
}
