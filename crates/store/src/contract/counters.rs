//! Checks of counters.

use std::sync::Arc;

use crate::{Increment, Store};

/// In seconds since 1970: the year 2100.
const LATER: u64 = 4_102_444_800;

fn increment(key: &str, by: i64) -> Increment {
    Increment { key: key.to_owned(), by, expires_at: LATER }
}

/// Sums, in the order of the increments, also of many writers at once.
pub async fn counters_add_up(store: Arc<dyn Store>) {
    let revision = store.head().await.unwrap().at;
    assert_eq!(store.count(&[]).await.unwrap(), Vec::<i64>::new());
    let totals = store.count(&[increment("b", 2), increment("a", 5)]).await.unwrap();
    assert_eq!(totals, [2, 5]);
    let set = [increment("a", -1), increment("né\"w", 0), increment("b", 1), increment("a", 3)];
    assert_eq!(store.count(&set).await.unwrap(), [7, 0, 3, 7], "twice in one set is one sum");

    let mut writers = Vec::new();
    for writer in 0..4_u32 {
        let store = store.clone();
        writers.push(tokio::spawn(async move {
            for _ in 0..25 {
                let mut set = [increment("a", 1), increment("b", 2), increment("c", 1)];
                if writer % 2 == 1 {
                    set.reverse();
                }
                store.count(&set).await.unwrap();
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let set = [increment("c", 0), increment("b", 0), increment("a", 0)];
    assert_eq!(store.count(&set).await.unwrap(), [100, 203, 107]);
    assert_eq!(store.head().await.unwrap().at, revision, "counting takes no revision");
}

/// What has expired begins anew; what has not stays.
pub async fn counters_are_forgotten_when_they_expire(store: Arc<dyn Store>) {
    let expired = Increment { key: "old".to_owned(), by: 5, expires_at: 1 };
    store.count(&[expired, increment("new", 5)]).await.unwrap();
    store.forget_counters().await.unwrap();
    assert_eq!(store.count(&[increment("old", 1), increment("new", 1)]).await.unwrap(), [1, 6]);
}
