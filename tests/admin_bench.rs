//! How fast the Admin API writes on both stores, next to the same rows by plain SQL on the same
//! database: `cargo xtask bench admin`.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use end_to_end::{Connection, Gateway, settings_of};
use store_sql::testing::Server;
use store_sql::testing::plain::{self, Ceiling};
use tokio::runtime::Runtime;
use uuid::Uuid;

const CLIENTS: [usize; 3] = [1, 8, 32];
const SPAN: Duration = Duration::from_secs(3);
const BULK: usize = 100_000;

fn main() -> Result<()> {
    let runtime = Runtime::new()?;
    let folder = tempfile::tempdir()?;
    // One connection of SQLite writes as much as many.
    let ceiling = runtime.block_on(plain::sqlite(&folder.path().join("plain.db"), SPAN))?;
    measure("sqlite", &Gateway::start(&[])?, |_| Ok(ceiling))?;

    // With fsync, other than the server that tests share.
    let server = Server::start(&[])?;
    let options = runtime.block_on(server.database());
    measure("postgres", &Gateway::start(&settings_of(&options))?, |clients| {
        let options = runtime.block_on(server.database());
        Ok(runtime.block_on(plain::postgres(&options, clients, SPAN))?)
    })
}

fn measure(
    name: &str,
    gateway: &Gateway,
    ceiling: impl Fn(usize) -> Result<Ceiling>,
) -> Result<()> {
    let admin = gateway.listeners().admin;
    for clients in CLIENTS {
        let ceiling = ceiling(clients)?;
        let ours = posts(&admin, clients)?;
        println!(
            "{name}: {clients:2} clients: {ours:6.0} POSTs/s, {:3.0} % of the same rows, {:3.0} % of \
             the same rows in order; {ceiling}",
            100.0 * ours / ceiling.rows,
            100.0 * ours / ceiling.ordered
        );
    }
    let text = configuration();
    for what in ["in place of what was there", "once more"] {
        let begin = Instant::now();
        let mut client = Connection::open(&admin)?;
        let yaml = Some(("application/yaml", text.as_str()));
        let (status, said) = client.exchange("POST", "/declarative", yaml)?;
        ensure!(status == 201, "it was answered with {status}: {said}");
        println!("{name}: {BULK} entities ({what}): {:.2?}", begin.elapsed());
    }
    Ok(())
}

/// Services made per second by so many clients at once.
fn posts(admin: &str, clients: usize) -> Result<f64> {
    let begin = Instant::now();
    let counts = thread::scope(|scope| {
        let client = || -> Result<u32> {
            let mut client = Connection::open(admin)?;
            let mut count = 0;
            while begin.elapsed() < SPAN {
                let name = format!("service-{}", Uuid::new_v4());
                let body = format!(r#"{{"name":"{name}","host":"upstream.example.com"}}"#);
                client.write("POST", "/services", &body)?;
                count += 1;
            }
            Ok(count)
        };
        let running: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        let ended = running
            .into_iter()
            .map(|one| one.join().unwrap_or_else(|_| bail!("a client has panicked")));
        ended.collect::<Result<Vec<u32>>>()
    })?;
    Ok(f64::from(counts.iter().sum::<u32>()) / begin.elapsed().as_secs_f64())
}

/// As many services as routes.
fn configuration() -> String {
    let mut text = String::from("_format_version: \"3.0\"\nservices:\n");
    for number in 0..BULK / 2 {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "- name: service-{number}\n  host: s{number}.internal.example.com\n  port: 8080\n  \
             tags: [team-{}]\n  routes:\n  - name: route-{number}\n    \
             paths: [/api/v1/{number}]\n    methods: [GET, POST]\n",
            number % 20
        );
    }
    text
}
