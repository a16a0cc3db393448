//! A Prometheus server of a test's own.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Client;

/// How long it may take to start and to scrape on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A Prometheus server that scrapes one address; dropping it kills it.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    client: Client,
    _dir: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes `/metrics` of `target` every second.
    ///
    /// # Errors
    /// When there is none to start, with how to get it.
    pub fn scraping(target: SocketAddr) -> Result<Prometheus> {
        let dir = tempfile::tempdir()?;
        let config = dir.path().join("prometheus.yml");
        fs::write(
            &config,
            format!(
                "global: {{ scrape_interval: 1s }}\n\
                 scrape_configs:\n- job_name: weir\n  static_configs: [{{ targets: ['{target}'] }}]\n"
            ),
        )?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("prometheus cannot be started: install it (apt-get install prometheus)")?;
        Ok(Prometheus { child, client: Client::new(address, address), _dir: dir })
    }

    /// Asks until the query has a result, and answers with its samples: labels and values.
    ///
    /// # Errors
    /// When it has none in time.
    pub fn query(&self, query: &str) -> Result<Vec<Value>> {
        let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let request = json!({ "path": format!("/api/v1/query?query={query}") });
        let deadline = Instant::now() + PATIENCE;
        loop {
            let reply = self.client.admin(&request);
            if let Ok(reply) = &reply
                && let Some(samples) = reply.json["data"]["result"].as_array()
                && !samples.is_empty()
            {
                return Ok(samples.clone());
            }
            if Instant::now() > deadline {
                bail!("Prometheus has nothing for {query}: {reply:?}");
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Has Prometheus's own tool parse a text of metrics, and answers with what it remarks on style.
///
/// # Errors
/// When the text is none that Prometheus can read, or there is no `promtool`, with how to get it.
pub fn promtool(text: &str) -> Result<String> {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("promtool cannot be started: install it (apt-get install prometheus)")?;
    child.stdin.take().context("standard input")?.write_all(text.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // 3: it was read, and something could be named better.
    ensure!(matches!(output.status.code(), Some(0 | 3)), "promtool refuses the metrics: {said}");
    Ok(said)
}
