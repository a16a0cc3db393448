//! Writers that meet.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::json;

use super::support::{Stored, send};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_change_is_lost() {
    const WRITERS: usize = 12;
    let sqlite = Stored::sqlite().await;
    let api = &sqlite.api;
    let body = json!({"name": "u", "healthchecks": {}});
    assert_eq!(send(api, "POST", "/upstreams", Some(body)).await.status, 201);
    // Each writes another member, so that a lost update would show.
    let statuses = |n: usize| {
        json!({"healthchecks": {"passive": {"unhealthy": {
            ["tcp_failures", "timeouts", "http_failures"][n % 3]: 1 + n
        }}}})
    };
    let writes = (0..WRITERS).map(|n| async move {
        let patch = match n % 4 {
            3 => json!({"tags": [format!("t{n}")]}),
            _ => statuses(n),
        };
        send(api, "PATCH", "/upstreams/u", Some(patch)).await
    });
    let answers = join_all(writes).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let revisions: BTreeSet<&str> =
        answers.iter().map(|a| a.headers["x-weir-revision"].to_str().unwrap()).collect();
    assert_eq!(revisions.len(), WRITERS);
    let upstream = send(api, "GET", "/upstreams/u", None).await.json;
    let unhealthy = &upstream["healthchecks"]["passive"]["unhealthy"];
    for name in ["tcp_failures", "timeouts", "http_failures"] {
        assert_ne!(unhealthy[name], 0, "{name} in {unhealthy}");
    }
    assert_ne!(upstream["tags"], json!(null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn puts_of_one_name_make_one_entity() {
    let sqlite = Stored::sqlite().await;
    let api = &sqlite.api;
    let puts = (1..=16).map(|port| async move {
        send(api, "PUT", "/services/same", Some(json!({"host": "a", "port": port}))).await
    });
    let answers = join_all(puts).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let ids: BTreeSet<&str> = answers.iter().map(|a| a.json["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 1);
    let list = send(api, "GET", "/services", None).await.json;
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_gets_a_unique_name() {
    let sqlite = Stored::sqlite().await;
    let api = &sqlite.api;
    let posts = (0..8).map(|_| send(api, "POST", "/consumers", Some(json!({"username": "u"}))));
    let mut statuses: Vec<u16> =
        join_all(posts).await.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![201], vec![409; 7]].concat());
}
