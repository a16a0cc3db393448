//! Load, from the CPU that the gateway does not have.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use crate::bench::peers::{Gateway, HOST, LOAD_CPU};
use crate::run::read;

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) tool: Tool,
    pub(super) path: &'static str,
    pub(super) connections: usize,
    /// Bytes of the body that is sent; 0 sends a GET.
    pub(super) body: usize,
    pub(super) tls: bool,
    pub(super) duration: Duration,
    /// Header fields beside the usual ones, or in their place, as `Name: value`; wrk only.
    pub(super) fields: &'static [&'static str],
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    /// As many HTTP/1.1 requests as are answered.
    Wrk,
    /// The same, where 404 is the right answer.
    Refused,
    /// So many HTTP/1.1 requests per second, whatever the answers take.
    Rate(u32),
    /// HTTP/2 with 32 streams per connection.
    Http2,
    /// The same as unary calls of gRPC.
    Grpc,
    /// A TLS handshake for each request.
    Handshakes { resumed: bool },
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) requests: u64,
    pub(super) per_second: f64,
    /// How long the answers took.
    pub(super) latency: Latency,
}

impl Seen {
    /// With what was seen at the same time: of the latencies the longer.
    fn beside(self, other: Seen) -> Seen {
        Seen {
            requests: self.requests + other.requests,
            per_second: self.per_second + other.per_second,
            latency: Latency {
                p50: self.latency.p50.max(other.latency.p50),
                p99: self.latency.p99.max(other.latency.p99),
                p999: self.latency.p999.max(other.latency.p999),
            },
        }
    }
}

/// How long answers took; zero where the tool does not say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Latency {
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    pub(super) p999: Duration,
}

/// The fields of a client of some API.
const FIELDS: [&str; 3] = [
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64)",
    "Accept: application/json",
    "Authorization: Bearer 0123456789abcdef",
];
/// The key of the consumer, for the case with plugins.
pub(super) const KEY: &str = "bench-key";
/// The method that gRPC calls, as a path.
pub(super) const GRPC_METHOD: &str = "/bench.Echo/Call";

impl Load {
    pub(super) fn lasting(mut self, duration: Duration) -> Load {
        self.duration = duration;
        self
    }

    /// Sends it. Every request that is not answered as it should be is an error.
    pub(super) fn run(&self, gateway: &Gateway) -> Result<Seen> {
        let Some(twin) = gateway.twin() else { return self.run_alone(gateway) };
        let half = Load { connections: self.connections / 2, ..self.clone() };
        thread::scope(|scope| {
            let other = scope.spawn(|| half.run_alone(twin));
            let one = half.run_alone(gateway)?;
            let other = other.join().map_err(|_| anyhow!("half of the load panicked"))?;
            Ok(one.beside(other?))
        })
    }

    fn run_alone(&self, gateway: &Gateway) -> Result<Seen> {
        match self.tool {
            Tool::Wrk | Tool::Refused => self.wrk(gateway),
            Tool::Rate(_) | Tool::Http2 | Tool::Grpc => self.h2load(gateway),
            Tool::Handshakes { resumed } => self.handshakes(gateway, resumed),
        }
    }

    fn url(&self, gateway: &Gateway) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", gateway.address(self.tool, self.tls), self.path)
    }

    fn seconds(&self) -> u64 {
        self.duration.as_secs().max(1)
    }

    fn wrk(&self, gateway: &Gateway) -> Result<Seen> {
        let script = gateway.folder().join("load.lua");
        let post = format!("wrk.method = \"POST\"\nwrk.body = string.rep(\"x\", {})\n", self.body);
        let report = "done = function(summary, latency)\n\
            local e = summary.errors\n\
            print(string.format(\"result %d %d %d %d %d %d %d\", summary.requests, summary.duration,\n\
            latency:percentile(50), latency:percentile(99), latency:percentile(99.9),\n\
            e.connect + e.read + e.write + e.timeout, e.status))\nend\n";
        let method = if self.body == 0 { "" } else { &post };
        fs::write(&script, format!("{method}{report}"))?;
        let host = if self.tool == Tool::Refused { "nobody.test" } else { HOST };
        let output = read(
            client("wrk")
                .arg("-t1")
                .arg(format!("-c{}", self.connections))
                .arg(format!("-d{}s", self.seconds()))
                .args(FIELDS.iter().flat_map(|field| ["-H", field]))
                .args(["-H", &format!("Host: {host}"), "-H", &format!("apikey: {KEY}")])
                .args(self.fields.iter().flat_map(|field| ["-H", field]))
                .arg("-s")
                .arg(&script)
                .arg(self.url(gateway)),
        )?;
        let line = output.lines().find_map(|line| line.strip_prefix("result "));
        let line = line.with_context(|| format!("wrk said nothing of a result:\n{output}"))?;
        let numbers: Vec<u64> = line.split(' ').filter_map(|number| number.parse().ok()).collect();
        let [requests, micros, p50, p99, p999, broken, refused] = numbers[..] else {
            bail!("wrk's result cannot be read: {line}");
        };
        let wanted = if self.tool == Tool::Refused { requests } else { 0 };
        if requests == 0 || broken > 0 || refused != wanted {
            bail!("{}: of {requests} requests {broken} broke, {refused} failed", gateway.name());
        }
        Ok(Seen {
            requests,
            per_second: requests as f64 / (micros as f64 / 1e6),
            latency: Latency {
                p50: Duration::from_micros(p50),
                p99: Duration::from_micros(p99),
                p999: Duration::from_micros(p999),
            },
        })
    }

    fn h2load(&self, gateway: &Gateway) -> Result<Seen> {
        let log = gateway.folder().join("requests.log");
        if log.exists() {
            fs::remove_file(&log)?;
        }
        let mut command = client("h2load");
        command.args(["-t1", &format!("-c{}", self.connections)]).arg("--log-file").arg(&log);
        match self.tool {
            Tool::Rate(rate) => command
                .arg("--h1")
                .arg(format!("--rps={:.3}", f64::from(rate) / self.connections as f64)),
            Tool::Grpc => {
                let message = gateway.folder().join("message");
                fs::write(&message, grpc_message())?;
                let fields = ["-H", "content-type: application/grpc", "-H", "te: trailers"];
                command.arg("-m32").args(fields).arg("-d").arg(message)
            }
            _ => command.arg("-m32"),
        };
        let output = read(
            command
                .arg(format!("--duration={}", self.seconds()))
                .args(FIELDS.iter().flat_map(|field| ["-H", field]))
                .args(["-H", &format!("apikey: {KEY}")])
                .arg(format!("--connect-to={}", gateway.address(self.tool, self.tls)))
                .arg(format!("http://{HOST}{}", self.path)),
        )?;
        let requests = number_before(&output, "done")?;
        let good = number_before(&output, "2xx")?;
        // What is on its way when the time is over is neither.
        let bad: u64 = ["3xx", "4xx", "5xx"]
            .into_iter()
            .map(|class| number_before(&output, class))
            .sum::<Result<u64>>()?;
        if good == 0 || bad > 0 {
            bail!("{}: {good} requests succeeded, {bad} failed\n{output}", gateway.name());
        }
        Ok(Seen {
            requests: good.max(requests),
            per_second: good as f64 / self.seconds() as f64,
            latency: percentiles(&log)?,
        })
    }

    fn handshakes(&self, gateway: &Gateway, resumed: bool) -> Result<Seen> {
        let output = read(
            client("openssl")
                .args(["s_time", "-connect", &gateway.address(self.tool, true)])
                .arg(if resumed { "-reuse" } else { "-new" })
                .args(["-time", &self.seconds().to_string(), "-www", self.path]),
        )?;
        let line = output.lines().find(|line| line.contains("real seconds"));
        let line = line.with_context(|| format!("openssl said nothing of a result:\n{output}"))?;
        let requests: u64 = line.split(' ').next().unwrap_or_default().parse()?;
        if requests == 0 {
            bail!("{}: no handshake succeeded:\n{output}", gateway.name());
        }
        Ok(Seen {
            requests,
            per_second: requests as f64 / self.seconds() as f64,
            latency: Latency::default(),
        })
    }
}

fn client(program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", LOAD_CPU, program]);
    command
}

/// `… 1234 word …` → 1234.
fn number_before(output: &str, word: &str) -> Result<u64> {
    let words: Vec<&str> = output.split_whitespace().collect();
    let found = words.windows(2).find(|pair| pair[1].trim_end_matches(',') == word);
    let pair = found.with_context(|| format!("h2load says nothing of `{word}`:\n{output}"))?;
    pair[0].parse().with_context(|| format!("h2load's `{word}` is no number"))
}

/// A message of gRPC: not compressed, 100 bytes.
pub(super) fn grpc_message() -> Vec<u8> {
    let mut message = vec![0, 0, 0, 0, 100];
    message.resize(105, b'x');
    message
}

/// From h2load's log: start, status, microseconds.
fn percentiles(log: &Path) -> Result<Latency> {
    let text = fs::read_to_string(log)?;
    let mut took: Vec<u64> = text
        .lines()
        .filter_map(|line| line.split('\t').nth(2))
        .filter_map(|micros| micros.parse().ok())
        .collect();
    took.sort_unstable();
    let at = |share: f64| {
        let place = (took.len() as f64 * share) as usize;
        Duration::from_micros(took.get(place).copied().unwrap_or_default())
    };
    Ok(Latency { p50: at(0.5), p99: at(0.99), p999: at(0.999) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_the_word_behind_them() {
        let output =
            "requests: 10 total, 12 started, 9 done, 9 succeeded\nstatus codes: 9 2xx, 0 3xx";
        assert_eq!(number_before(output, "done").unwrap(), 9);
        assert_eq!(number_before(output, "3xx").unwrap(), 0);
        assert!(number_before(output, "5xx").is_err());
    }
}
