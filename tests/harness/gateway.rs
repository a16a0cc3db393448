//! Both planes in this process.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use process::Process;
use settings::Sources;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::Client;

/// `weir start`, in this process.
#[derive(Debug)]
pub struct Gateway {
    process: Process,
    admin: SocketAddr,
    proxy: SocketAddr,
    tls: SocketAddr,
    // Dropped in this order: what runs first, what it runs in last.
    runtime: Option<Runtime>,
    _data_dir: TempDir,
}

impl Gateway {
    /// Starts both planes on free ports, with a database of their own; `flags` come on top.
    ///
    /// # Errors
    /// When they do not start.
    pub fn start(flags: &[(String, String)]) -> Result<Gateway> {
        let data_dir = tempfile::tempdir()?;
        let mut all = vec![
            ("data_dir".to_owned(), data_dir.path().display().to_string()),
            ("proxy_listen".to_owned(), "127.0.0.1:0, 127.0.0.1:0 ssl http2".to_owned()),
            ("admin_listen".to_owned(), "127.0.0.1:0".to_owned()),
            ("status_listen".to_owned(), "off".to_owned()),
        ];
        all.extend_from_slice(flags);
        let sources = Sources { flags: all, ..Sources::default() };
        let settings = settings::resolve(settings::Program::Weir, &sources)?.settings;
        let process = Process::embedded();
        let runtime = Runtime::new()?;
        let running = runtime.block_on(weir::start(&settings, &process))?;
        Ok(Gateway {
            admin: running.admin().context("an Admin listener")?,
            proxy: running.proxy().context("a proxy listener")?,
            tls: running.data.proxy.get(1).copied().context("a TLS listener")?,
            process,
            runtime: Some(runtime),
            _data_dir: data_dir,
        })
    }

    /// A client of both listeners.
    pub fn client(&self) -> Client {
        Client::new(self.admin, self.proxy)
    }

    /// Where the scenario runner finds it.
    pub fn listeners(&self) -> crate::conformance::Gateway {
        crate::conformance::Gateway {
            admin: self.admin.to_string(),
            proxy: self.proxy.to_string(),
            tls: self.tls.to_string(),
            settle: std::time::Duration::ZERO,
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.process.tasks.shutdown().force();
        if let Some(runtime) = self.runtime.take() {
            let ended = runtime.block_on(self.process.tasks.finish());
            runtime.shutdown_background();
            if !std::thread::panicking() {
                assert_eq!(ended, Ok(()), "a part of the gateway broke");
            }
        }
    }
}
