//! A Redis of a test's own.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// How long it may take to start on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A Redis or Valkey server, empty, on a port of its own; dropping it kills it.
#[derive(Debug)]
pub struct Redis {
    child: Option<Child>,
    port: u16,
    arguments: Vec<String>,
    dir: TempDir,
}

impl Redis {
    /// Starts one; `arguments` come on top of those that keep it to itself, `{port}` in them is its
    /// port. With `--tls-port` among them it speaks TLS only.
    ///
    /// # Errors
    /// When there is none to start, with how to get it, or it does not start.
    pub fn start(arguments: &[&str]) -> Result<Redis> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut redis = Redis { child: None, port, arguments, dir: tempfile::tempdir()? };
        redis.resume()?;
        Ok(redis)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills it; what was counted is lost.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Ended already is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it anew, empty, on the same port.
    ///
    /// # Errors
    /// When it does not start.
    pub fn resume(&mut self) -> Result<()> {
        let port = self.port.to_string();
        let secured = self.arguments.iter().any(|argument| argument == "--tls-port");
        let ports = match secured {
            true => ["--port", "0"],
            false => ["--port", &port],
        };
        let arguments = self.arguments.iter().map(|argument| argument.replace("{port}", &port));
        let mut command = Command::new(program()?);
        command
            .args(ports)
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"])
            .arg(self.dir.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.child = Some(command.spawn().context("Redis cannot be started")?);
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            if Instant::now() > deadline {
                bail!("Redis does not listen on {address}");
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Sends an inline command over a plain connection, and answers with the first line of what
    /// comes back.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn command(&self, command: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

fn program() -> Result<&'static str> {
    let there = |name: &&str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
    };
    ["redis-server", "valkey-server"].into_iter().find(there).context(
        "there is neither redis-server nor valkey-server: install one (apt-get install redis-server)",
    )
}
