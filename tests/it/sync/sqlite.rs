//! The same on a real database and real sockets, in real time.

use std::sync::Arc;
use std::time::Duration;

use lifecycle::{Shutdown, SystemClock};
use publish::{Publisher, Wanted};
use store::{Operation, Row, Store};
use subscribe::Endpoint;
use uuid::Uuid;

use super::planes::DataPlane;
use super::store::SERVICES;

const LONG: Duration = Duration::from_secs(30);

fn row(id: u128, body: &str) -> Operation {
    Operation::Upsert(Row {
        kind: SERVICES,
        id: Uuid::from_u128(id),
        body: body.into(),
        keys: Vec::new(),
        references: Vec::new(),
        tags: Vec::new(),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_to_sqlite_is_served_over_tcp() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = store_sql::SqliteOptions { path: dir.path().join("weir.sqlite") };
    let store: Arc<dyn Store> = store_sql::open_sqlite(&options).await.expect("a database");
    let write = async |operations: Vec<Operation>| {
        store.write(operations.into()).await.expect("it is written").at
    };
    write(vec![row(1, "{\"n\":1}"), row(2, "{\"n\":2}")]).await;

    let publisher =
        Publisher::new(store.clone(), Arc::new(SystemClock), publish::Settings::default());
    let shutdown = Shutdown::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let (tailing, serving) = (publisher.clone(), publisher.clone());
    let (until, until_too) = (shutdown.clone(), shutdown.clone());
    let tail = tokio::spawn(async move { tailing.tail(&until).await });
    let serve = tokio::spawn(async move { serving.serve_tcp(listener, &until_too).await });

    let endpoint = || vec![Endpoint::tcp(&address).expect("an address")];
    let mut data_planes = [DataPlane::start(1, endpoint()), DataPlane::start(2, endpoint())];
    for data_plane in &mut data_planes {
        data_plane.streaming(LONG).await;
    }
    let mut at = None;
    for n in 0..200 {
        at = Some(write(vec![row(n % 5, &format!("{{\"n\":{n}}}"))]).await);
    }
    let at = at.expect("something was written");
    let served = publisher.fleet().wait_served(at, Wanted::Count(2), LONG).await;
    assert!(served.reached, "{served:?}");
    let (_, stored) = store.snapshot().await.expect("it can be read");
    for data_plane in &data_planes {
        let mirror = data_plane.mirror();
        assert_eq!(mirror.entities.len(), stored.len());
        for entity in &stored {
            assert_eq!(mirror.entities.get(&entity.kind, entity.id), Some(&entity.body));
        }
    }
    shutdown.drain();
    tail.await.expect("no panic");
    serve.await.expect("no panic").expect("no failure");
}
