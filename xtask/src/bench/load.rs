//! Load by `wrk`, from the CPU that the gateway does not have.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::bench::peers::{Gateway, LOAD_CPU};
use crate::run::read;

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) path: &'static str,
    pub(super) connections: usize,
    /// Bytes of the body that is sent; 0 sends a GET.
    pub(super) body: usize,
    pub(super) duration: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) requests: u64,
    pub(super) per_second: f64,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

impl Load {
    pub(super) fn lasting(mut self, duration: Duration) -> Load {
        self.duration = duration;
        self
    }

    /// Sends it, as a browser-like client with a few header fields.
    pub(super) fn run(&self, gateway: &Gateway) -> Result<Seen> {
        let script = gateway.folder().join("load.lua");
        let post = format!("wrk.method = \"POST\"\nwrk.body = string.rep(\"x\", {})\n", self.body);
        let report = "done = function(summary, latency)\n\
            local e = summary.errors\n\
            print(string.format(\"result %d %d %d %d %d\", summary.requests, summary.duration,\n\
            latency:percentile(50), latency:percentile(99),\n\
            e.connect + e.read + e.write + e.status + e.timeout))\nend\n";
        let method = if self.body == 0 { "" } else { &post };
        fs::write(&script, format!("{method}{report}"))?;
        let output = read(
            Command::new("taskset")
                .args(["-c", LOAD_CPU, "wrk", "-t1"])
                .arg(format!("-c{}", self.connections))
                .arg(format!("-d{}s", self.duration.as_secs().max(1)))
                .args([
                    "-H",
                    "Host: bench.test",
                    "-H",
                    "User-Agent: Mozilla/5.0 (X11; Linux x86_64)",
                ])
                .args([
                    "-H",
                    "Accept: application/json",
                    "-H",
                    "Authorization: Bearer 0123456789abcdef",
                ])
                .arg("-s")
                .arg(&script)
                .arg(format!("http://{}{}", gateway.address(), self.path)),
        )?;
        let line = output.lines().find_map(|line| line.strip_prefix("result "));
        let line = line.with_context(|| format!("wrk said nothing of a result:\n{output}"))?;
        let numbers: Vec<u64> = line.split(' ').filter_map(|number| number.parse().ok()).collect();
        let [requests, micros, p50, p99, errors] = numbers[..] else {
            bail!("wrk's result cannot be read: {line}");
        };
        if requests == 0 || errors > 0 {
            bail!("{}: {errors} of {requests} requests failed", gateway.name());
        }
        Ok(Seen {
            requests,
            per_second: requests as f64 / (micros as f64 / 1e6),
            p50: Duration::from_micros(p50),
            p99: Duration::from_micros(p99),
        })
    }
}
