//! Long answers, which the system moves past the gateway: whole, in time, and none with bytes of another.

use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::{Act, Backend, Gateway, backend};

/// A body in which every place is unlike those near it, and unlike that of another seed.
fn body(length: usize, seed: usize) -> String {
    (0..length.div_ceil(8)).map(|n| format!("{:08x}", n * 31 + seed)).collect::<String>()[..length]
        .to_owned()
}

fn asked(line: &str) -> (usize, usize) {
    let mut numbers = line.split(['/', ' ']).filter_map(|part| part.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

async fn bodies() -> Backend {
    Backend::start(|seen, _| {
        let (length, seed) = asked(seen.line());
        Act::Answer(backend::answer(&body(length, seed)))
    })
    .await
}

#[tokio::test]
async fn they_follow_each_other_over_the_same_connections() {
    let backend = bodies().await;
    let gateway = Gateway::before(backend.address);
    let mut client = gateway.connect().await;
    let lengths =
        [65_535, 65_536, 81_000, 82_000, 100_000, 131_072, 1_000_000, 5, 5_000_000, 90_000];
    for (seed, length) in lengths.into_iter().enumerate() {
        client.send(format!("GET /{length}/{seed} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let (head, received) = client.answer().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(received == body(length, seed), "{length}");
    }
    assert_eq!(backend.seen().iter().map(|seen| seen.connection).max(), Some(0));
}

#[tokio::test]
async fn what_has_come_goes_on_before_the_rest_comes() {
    let long = body(300_000, 1);
    let pieces = [
        format!("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n{}", &long[..1000]),
        long[1000..120_001].to_owned(),
        long[120_001..].to_owned(),
    ];
    let bytes = pieces.clone().map(String::into_bytes).to_vec();
    let backend =
        Backend::start(move |_, _| Act::Slowly(bytes.clone(), Duration::from_millis(300))).await;
    let gateway = Gateway::before(backend.address);
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.until("\r\n\r\n").await;
    let begun = std::time::Instant::now();
    client.until(&long[119_900..120_001]).await;
    let first = begun.elapsed();
    client.until(&long[299_900..]).await;
    assert!(first + Duration::from_millis(100) < begun.elapsed(), "{first:?}");
}

#[tokio::test]
async fn one_that_breaks_off_is_seen_to_and_leaves_nothing_behind() {
    let backend = Backend::start(|seen, _| {
        let (length, seed) = asked(seen.line());
        let answer = backend::answer(&body(length, seed));
        if seed == 0 { Act::Last(answer[..length / 2].to_vec()) } else { Act::Answer(answer) }
    })
    .await;
    let gateway = Gateway::before(backend.address);
    for seed in 1..4 {
        let broken = gateway.once("GET /400000/0 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(broken.len() < 210_000, "{}", broken.len());
        // This one leaves in the middle, when a part of its body is on the way.
        let mut gone = gateway.connect().await;
        gone.send("GET /8000000/9 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        gone.until("\r\n\r\n").await;
        let mut stream = gone.into_inner();
        stream.read_exact(&mut [0; 200_000]).await.unwrap();
        drop(stream);
        let mut client = gateway.connect().await;
        client.send(format!("GET /500000/{seed} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert!(client.answer().await.1 == body(500_000, seed));
    }
}
