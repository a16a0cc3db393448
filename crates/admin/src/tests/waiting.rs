//! Writes that wait until they are served.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use model::Cursor;
use serde_json::json;

use super::support::{Stored, send};
use crate::{Api, Barrier, Laggard, Served, Wait, Wanted};

/// Answers as told and notes what it was asked.
struct Scripted {
    answer: Served,
    asked: Mutex<Vec<(u64, Wanted, Duration)>>,
}

#[async_trait]
impl Barrier for Scripted {
    async fn wait_served(&self, at: Cursor, wanted: Wanted, within: Duration) -> Served {
        self.asked.lock().unwrap().push((at.revision, wanted, within));
        self.answer.clone()
    }
}

fn scripted(answer: Served) -> Arc<Scripted> {
    Arc::new(Scripted { answer, asked: Mutex::default() })
}

fn late() -> Served {
    let laggards = vec![
        Laggard { node: "dp-1".to_owned(), serving: Some(0) },
        Laggard { node: "dp-2".to_owned(), serving: None },
    ];
    Served { reached: false, serving: 1, laggards, held: 2 }
}

async fn api(barrier: Arc<Scripted>, default_wait: Option<Wait>) -> (Stored, Api) {
    let sqlite = Stored::sqlite().await;
    let mut state = sqlite.state.clone();
    state.barrier = barrier;
    let mut about = (*state.about).clone();
    about.default_wait = default_wait;
    state.about = Arc::new(about);
    (sqlite, Api::new(state))
}

#[tokio::test]
async fn an_answer_waits_as_asked() {
    let barrier = scripted(Served { reached: true, serving: 3, ..Served::default() });
    let (_sqlite, api) = api(barrier.clone(), None).await;
    let body = json!({"name": "s", "host": "a"});
    let made = send(&api, "POST", "/services?wait=quorum&wait_timeout=2s", Some(body)).await;
    assert_eq!(
        (made.status.as_u16(), &made.headers["x-weir-serving"]),
        (201, &"3".parse().unwrap())
    );
    assert_eq!(made.json["name"], "s");
    let asked = barrier.asked.lock().unwrap().clone();
    let revision = made.headers["x-weir-revision"].to_str().unwrap().parse().unwrap();
    assert_eq!(asked, [(revision, Wanted::Quorum, Duration::from_secs(2))]);
    // Reads and refused writes do not wait.
    send(&api, "GET", "/services?wait=all", None).await;
    send(&api, "POST", "/services?wait=all", Some(json!({}))).await;
    assert_eq!(barrier.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_write_that_is_not_served_in_time_stands_and_says_so() {
    let (_sqlite, api) = api(scripted(late()), None).await;
    let body = json!({"name": "s", "host": "a"});
    let made = send(&api, "POST", "/services?wait=all", Some(body)).await;
    assert_eq!(made.status, 202);
    assert_eq!(made.headers["x-weir-laggards"], "dp-1=0, dp-2=none");
    assert_eq!(made.headers["x-weir-held-back"], "2");
    assert_eq!(made.json["name"], "s", "the entity is answered all the same");
    assert_eq!(send(&api, "GET", "/services/s", None).await.status, 200);
    let gone = send(&api, "DELETE", "/services/s?wait=3", None).await;
    assert_eq!(gone.status, 202);
    assert_eq!(gone.json["laggards"][0], json!({"node": "dp-1", "serving": 0}));
    assert_eq!(send(&api, "GET", "/services/s", None).await.status, 404);
}

#[tokio::test]
async fn the_default_wait_only_delays() {
    let barrier = scripted(late());
    let wait = Wait { wanted: Wanted::All, within: Duration::from_millis(500) };
    let (_sqlite, api) = api(barrier.clone(), Some(wait)).await;
    let made = send(&api, "POST", "/services", Some(json!({"name": "s", "host": "a"}))).await;
    assert_eq!(made.status, 201);
    assert!(!made.headers.contains_key("x-weir-laggards"));
    let asked = barrier.asked.lock().unwrap().clone();
    assert_eq!((asked[0].1, asked[0].2), (wait.wanted, wait.within));
    send(&api, "DELETE", "/services/nobody", None).await;
    assert_eq!(barrier.asked.lock().unwrap().len(), 1, "nothing changed, nothing to wait for");
}

#[tokio::test]
async fn a_committed_revision_can_be_waited_for() {
    let barrier = scripted(late());
    let (_sqlite, api) = api(barrier.clone(), None).await;
    let made = send(&api, "POST", "/services", Some(json!({"name": "s", "host": "a"}))).await;
    let revision: u64 = made.headers["x-weir-revision"].to_str().unwrap().parse().unwrap();
    let path = |revision: u64, query: &str| format!("/clustering/revisions/{revision}/wait{query}");
    let late = send(&api, "GET", &path(revision, "?for=2&wait_timeout=10ms"), None).await;
    assert_eq!(late.status, 202);
    assert_eq!(late.json["laggards"][1], json!({"node": "dp-2", "serving": null}));
    assert_eq!((&late.json["serving"], &late.json["reached"]), (&json!(1), &json!(false)));
    send(&api, "GET", &path(revision, ""), None).await;
    let asked = barrier.asked.lock().unwrap().clone();
    assert_eq!(
        asked,
        [
            (revision, Wanted::AtLeast(2), Duration::from_millis(10)),
            (revision, Wanted::All, Duration::from_secs(5)),
        ]
    );
    let absent = send(&api, "GET", &path(revision + 1, ""), None).await;
    assert_eq!(absent.status, 404);
    let message = format!("there is no revision {} yet; the newest is {revision}", revision + 1);
    assert_eq!(absent.json["message"], message);
    for wrong in ["/clustering/revisions/x/wait", &path(revision, "?for=most")] {
        assert_eq!(send(&api, "GET", wrong, None).await.status, 400, "{wrong}");
    }
}
