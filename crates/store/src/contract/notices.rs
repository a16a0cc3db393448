//! Checks of notices.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::{Notice, Notices, Store};

const ONE: Uuid = Uuid::from_u128(1);
const TWO: Uuid = Uuid::from_u128(2);
const MINUTE: Duration = Duration::from_secs(60);
const MINUTE_US: u64 = 60_000_000;

fn notice(subject: u128, part: &str, age_us: u64, body: Option<&str>) -> Notice {
    let (subject, part) = (Uuid::from_u128(subject), part.to_owned());
    Notice { subject, part, age_us, body: body.map(str::to_owned) }
}

/// Author, subject, part and words of what was read, in order.
fn words(read: &Notices) -> Vec<(u128, u128, &str, Option<&str>)> {
    let mut words: Vec<_> = read
        .said
        .iter()
        .map(|said| {
            (said.author.as_u128(), said.subject.as_u128(), &*said.part, said.body.as_deref())
        })
        .collect();
    words.sort_unstable();
    words
}

/// What is posted is read by others, once per round, and stamped by the database's clock.
pub async fn notices_are_read_by_round(store: Arc<dyn Store>) {
    let before = store.head().await.unwrap();
    let none = store.notices(&[]).await.unwrap();
    assert!(none.now_us >= before.now_us, "the clock is told even where nobody is");
    assert_eq!((none.authors.len(), none.said.len()), (0, 0));

    let odd = "{\"né\":\"\\u0000 '$1' ?\"}";
    let first = [notice(7, "a", 0, Some("1")), notice(7, "b", MINUTE_US, Some(odd))];
    store.post(ONE, 1, &first).await.unwrap();
    store.post(TWO, 5, &[notice(7, "a", 0, Some("two"))]).await.unwrap();
    let all = store.notices(&[]).await.unwrap();
    let expected = [(1, 7, "a", Some("1")), (1, 7, "b", Some(odd)), (2, 7, "a", Some("two"))];
    assert_eq!(words(&all), expected);
    let rounds: Vec<_> = all.authors.iter().map(|author| (author.id, author.round)).collect();
    assert_eq!(rounds, [(ONE, 1), (TWO, 5)]);
    let posted = |author: usize| all.authors[author].posted_us;
    assert!(posted(0) >= before.now_us && posted(1) <= all.now_us, "{all:?}");
    let aged = all.said.iter().find(|said| said.part == "b").unwrap();
    assert_eq!(posted(0) - aged.said_us, 60_000_000);

    assert_eq!(words(&store.notices(&[(ONE, 1)]).await.unwrap()), expected[2..]);
    assert_eq!(words(&store.notices(&[(ONE, 1), (TWO, 5)]).await.unwrap()), []);
    let second = [notice(7, "a", 0, None), notice(8, "a", 0, Some("eight"))];
    store.post(ONE, 2, &second).await.unwrap();
    let news = store.notices(&[(ONE, 1), (TWO, u64::MAX)]).await.unwrap();
    assert_eq!(words(&news), [(1, 7, "a", None), (1, 8, "a", Some("eight"))]);
    assert_eq!(store.head().await.unwrap().at, before.at, "no revision is spent");
}

/// A post without notices is a sign of life.
pub async fn a_post_is_a_sign_of_life(store: Arc<dyn Store>) {
    store.post(ONE, 1, &[]).await.unwrap();
    let first = store.notices(&[]).await.unwrap().authors;
    // Longer than the grain of the coarsest clock.
    tokio::time::sleep(Duration::from_millis(3)).await;
    store.post(ONE, 2, &[]).await.unwrap();
    let second = store.notices(&[]).await.unwrap().authors;
    assert!(second[0].posted_us > first[0].posted_us, "{second:?}");
    assert_eq!((second.len(), second[0].round), (1, 2));
}

/// Of authors that are silent, what others have said since is cleared, and what is old.
pub async fn notices_of_the_silent_are_cleared(store: Arc<dyn Store>) {
    let old = 10 * MINUTE_US;
    let first = [
        notice(1, "a", old, Some("too old")),
        notice(2, "a", MINUTE_US, Some("said again since")),
        notice(3, "a", MINUTE_US, Some("the last word")),
        notice(4, "a", 0, Some("newer than the other's")),
    ];
    store.post(ONE, 1, &first).await.unwrap();
    let second = [
        notice(2, "a", 0, Some("here")),
        notice(4, "a", MINUTE_US, Some("before")),
        notice(5, "a", old, Some("old, and still so")),
        notice(6, "a", old, None),
        notice(7, "a", 0, None),
    ];
    store.post(TWO, 1, &second).await.unwrap();
    store.clear_notices(MINUTE, 5 * MINUTE).await.unwrap();
    let left = store.notices(&[]).await.unwrap();
    assert_eq!(left.said.len(), 8, "both live, so that only what is without words goes");
    // Both count as silent, and do not clear each other's last words.
    store.clear_notices(Duration::ZERO, 5 * MINUTE).await.unwrap();
    let left = store.notices(&[]).await.unwrap();
    let expected = [
        (1, 3, "a", Some("the last word")),
        (1, 4, "a", Some("newer than the other's")),
        (2, 2, "a", Some("here")),
        (2, 7, "a", None),
    ];
    assert_eq!(words(&left), expected);
    assert_eq!(left.authors.len(), 2);
    store.clear_notices(Duration::ZERO, Duration::ZERO).await.unwrap();
    assert_eq!(store.notices(&[]).await.unwrap().authors.len(), 0, "who has nothing left goes");
}
