//! What active checks cost: `cargo run --release -p upstream --example probe_bench`.
//!
//! 1,000 upstreams of 10 targets each are probed once a second on one thread; the targets answer
//! from another. Prints the processor time of the probing thread, of which the kernel's side of a
//! connection is the larger part (over loopback it includes the target's side of the handshake).
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use balancer::{ActiveChecks, Config, Limits, Rules, TargetSpec, Upstream};
use lifecycle::{Shutdown, SystemClock, Tasks};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use upstream::{Keeper, KeeperSettings, ResolverSettings};
use uuid::Uuid;

const UPSTREAMS: u128 = 1_000;
const TARGETS: u8 = 10;
const MEASURED: Duration = Duration::from_secs(10);

fn main() -> std::io::Result<()> {
    let answered = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&answered);
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        runtime().map(|runtime| {
            runtime.block_on(async {
                let first = TcpListener::bind("127.0.0.1:0").await?;
                let port = first.local_addr()?.port();
                for n in 1..=TARGETS {
                    let listener = match n {
                        1 => None,
                        n => {
                            Some(TcpListener::bind(SocketAddr::from(([127, 0, 0, n], port))).await?)
                        }
                    };
                    if let Some(listener) = listener {
                        tokio::spawn(serve(listener, Arc::clone(&counter)));
                    }
                }
                // Nobody listens any more if the main thread has ended.
                let _ = send.send(port);
                serve(first, counter).await;
                Ok::<(), std::io::Error>(())
            })
        })
    });
    let port = receive.recv().map_err(std::io::Error::other)?;
    runtime()?.block_on(async {
        let tasks = Tasks::new(Shutdown::new());
        let settings = KeeperSettings {
            resolver: ResolverSettings::default(),
            certificates: Arc::new(|_| None),
            seed: 1,
        };
        let keeper = Keeper::start(settings, Arc::new(SystemClock), &tasks);
        let upstreams: Vec<_> = (0..UPSTREAMS).map(|n| upstream(n, port)).collect();
        upstreams.iter().for_each(|upstream| keeper.put(upstream));
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (cpu, before) = (processor_time()?, answered.load(Ordering::Relaxed));
        tokio::time::sleep(MEASURED).await;
        let cpu = processor_time()?.saturating_sub(cpu);
        let probes = answered.load(Ordering::Relaxed) - before;
        println!(
            "{probes} probes in {} s: {:.1} % of one core, {:.1} us each",
            MEASURED.as_secs(),
            cpu.as_secs_f64() / MEASURED.as_secs_f64() * 100.0,
            cpu.as_secs_f64() * 1e6 / probes.max(1) as f64,
        );
        Ok(())
    })
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

async fn serve(listener: TcpListener, answered: Arc<AtomicU64>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let answered = Arc::clone(&answered);
        tokio::spawn(async move {
            let mut request = [0; 1024];
            while matches!(stream.read(&mut request).await, Ok(1..)) {
                answered.fetch_add(1, Ordering::Relaxed);
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                if stream.write_all(answer).await.is_err() {
                    return;
                }
            }
        });
    }
}

fn upstream(n: u128, port: u16) -> Arc<Upstream> {
    let id = Uuid::from_u128(n);
    let second = Duration::from_secs(1);
    let active = ActiveChecks {
        healthy_interval: second,
        unhealthy_interval: second,
        rules: Rules {
            limits: Limits { successes: 1, http_failures: 2, tcp_failures: 2, timeouts: 2 },
            healthy_statuses: [200].into_iter().collect(),
            unhealthy_statuses: [500].into_iter().collect(),
        },
        ..ActiveChecks::off()
    };
    let upstream = Upstream::new(Config { active, ..Config::implicit(id, "bench") }, 0);
    let target = |last| TargetSpec {
        id: Uuid::from_u128(n << 8 | u128::from(last)),
        host: format!("127.0.0.{last}").into(),
        port,
        weight: 100,
        failover: false,
    };
    upstream.set_targets(&(1..=TARGETS).map(target).collect::<Vec<_>>());
    upstream
}

/// The processor time of this thread so far, as Linux counts it.
fn processor_time() -> std::io::Result<Duration> {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = line.split(' ').next().and_then(|first| first.parse().ok());
    nanoseconds.map(Duration::from_nanos).ok_or_else(|| std::io::Error::other("no schedstat"))
}
