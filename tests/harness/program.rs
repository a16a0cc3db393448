//! The real programs, as processes.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// How long a program may take to start, and to stop, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running program of ours; dropping it kills it.
#[derive(Debug)]
pub struct Program {
    child: Child,
    log: Receiver<String>,
    seen: Vec<String>,
}

impl Program {
    /// Starts `weir`, `weir-control-plane` or `weir-data-plane` with these arguments; its log is
    /// in JSON.
    ///
    /// # Errors
    /// When it cannot be built or started.
    pub fn start<S: AsRef<OsStr>>(name: &str, arguments: &[S]) -> Result<Program> {
        Program::start_with(name, arguments, &[])
    }

    /// As [`Program::start`], with these variables in its environment.
    ///
    /// # Errors
    /// When it cannot be built or started.
    pub fn start_with<S: AsRef<OsStr>>(
        name: &str,
        arguments: &[S],
        environment: &[(&str, String)],
    ) -> Result<Program> {
        let mut command = Command::new(built(name)?);
        command.args(arguments).envs(environment.iter().cloned());
        Program::spawn(name, command)
    }

    /// As [`Program::start`], on a disk that is full: it can write no file longer than 512 bytes.
    ///
    /// # Errors
    /// When it cannot be built or started.
    pub fn start_without_room<S: AsRef<OsStr>>(name: &str, arguments: &[S]) -> Result<Program> {
        let mut command = Command::new("sh");
        // Without the signal, writing fails as on a disk that is full.
        command.args(["-c", r#"trap '' XFSZ; ulimit -f 1; exec "$@""#, "sh"]);
        command.arg(built(name)?).args(arguments);
        Program::spawn(name, command)
    }

    fn spawn(name: &str, mut command: Command) -> Result<Program> {
        let mut child = command
            .env("WEIR_LOG_FORMAT", "json")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        let log = lines(child.stderr.take().context("standard error")?);
        Ok(Program { child, log, seen: Vec::new() })
    }

    /// Runs it to its end, and answers with how it ended and what it said.
    ///
    /// # Errors
    /// When it cannot be built or started, or does not end.
    pub fn run<S: AsRef<OsStr>>(name: &str, arguments: &[S]) -> Result<(ExitStatus, String)> {
        Program::start(name, arguments)?.wait()
    }

    /// Runs an operator's command, and answers with how it ended and all that it said, its answer
    /// first.
    ///
    /// # Errors
    /// When it cannot be built or started.
    pub fn command<S: AsRef<OsStr>>(name: &str, arguments: &[S]) -> Result<(ExitStatus, String)> {
        let mut command = Command::new(built(name)?);
        let output = command.args(arguments).stdin(Stdio::null()).output()?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status, String::from_utf8_lossy(&said).into_owned()))
    }

    /// Waits for a log line with this message, and answers with its fields.
    ///
    /// # Errors
    /// When the program ends first, or takes too long.
    pub fn wait_for(&mut self, message: &str) -> Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.log.recv_timeout(left) {
                Ok(line) => {
                    let entry: Value = serde_json::from_str(&line).unwrap_or_default();
                    self.seen.push(line);
                    if entry["message"] == message {
                        return Ok(entry);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("no {message:?} in the log:\n{}", self.seen.join("\n"))
                }
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("the program ended before it said {message:?}:\n{}", self.seen.join("\n"))
                }
            }
        }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name (`TERM`, `STOP`…).
    ///
    /// # Errors
    /// When `kill` fails.
    pub fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill").args(["-s", name, &self.id().to_string()]).status()?;
        ensure!(status.success(), "kill -s {name} failed");
        Ok(())
    }

    /// Sends a signal that ends it, and waits until it has ended: its files and ports are free then.
    ///
    /// # Errors
    /// When `kill` fails, or the program does not end.
    pub fn end(&mut self, signal: &str) -> Result<()> {
        self.signal(signal)?;
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "the program does not end by {signal}");
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Kills it at once, as a crash would.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits for its end, and answers with how it ended and what it said on standard error.
    ///
    /// # Errors
    /// When it does not end.
    pub fn wait(mut self) -> Result<(ExitStatus, String)> {
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "the program does not end");
            thread::sleep(Duration::from_millis(5));
        }
        let status = self.child.wait()?;
        let mut seen = std::mem::take(&mut self.seen);
        seen.extend(self.log.iter());
        Ok((status, seen.join("\n")))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first address in a log entry's field (`admin`, `proxy`…).
///
/// # Errors
/// When there is none.
pub fn address(entry: &Value, field: &str) -> Result<SocketAddr> {
    let text = entry[field].as_str().with_context(|| format!("no {field} in {entry}"))?;
    let first =
        text.trim_start_matches('[').trim_end_matches(']').split(", ").next().unwrap_or_default();
    first.parse().with_context(|| format!("{field} is {text:?}"))
}

/// Reads lines off a pipe, so that it never fills.
fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The program's file. Cargo builds other packages' programs for a test only when it is told to:
/// this tells it, once, which does nothing when they are there.
fn built(name: &str) -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let folder = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}"))).clone();
    let folder = folder.map_err(anyhow::Error::msg)?;
    Ok(folder.join(name))
}

fn build() -> Result<PathBuf> {
    // …/target/<profile>/deps/it-<hash>
    let test = std::env::current_exe()?;
    let folder = test.ancestors().nth(2).context("the folder of programs")?;
    let target = folder.parent().context("the target folder")?;
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace")?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(root)
        .args(["build", "--quiet", "--workspace", "--bins", "--profile", profile, "--target-dir"])
        .arg(target);
    // What cargo tells a test about its package would tell build scripts that their package has
    // changed, and half of the dependencies would be built anew.
    for (name, _) in std::env::vars_os() {
        let told = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        });
        if told {
            cargo.env_remove(name);
        }
    }
    let built = cargo.status()?;
    ensure!(built.success(), "the programs cannot be built");
    Ok(folder.to_owned())
}
