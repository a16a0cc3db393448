//! What stands behind the gateways, and the certificate that they show.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};

use anyhow::{Context, Result};

use crate::bench::load::{GRPC_METHOD, grpc_message};
use crate::bench::peers::{
    CONNECTIONS, LOAD_CPU, Process, folder, free_port, nginx, pinned, quiet, wait_for,
};
use crate::packages;
use crate::run::read;

/// What answers behind the gateways: one nginx worker, keep-alive, from memory; beside it nghttpd.
pub(super) struct Backend {
    port: u16,
    grpc_port: u16,
    _processes: [Process; 2],
}

impl Backend {
    pub(super) fn start() -> Result<Backend> {
        let folder = folder("backend")?;
        for (name, size) in [("10k", 10_000), ("100k", 100_000)] {
            fs::write(folder.join(name), vec![b'x'; size])?;
        }
        let (port, grpc_port) = (free_port()?, free_port()?);
        let small = "x".repeat(100);
        let config = format!(
            "worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;\n\
             events {{ worker_connections {CONNECTIONS}; }}\n\
             http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {folder}/b; \
             proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; \
             scgi_temp_path {folder}/s; default_type text/plain;\n\
             server {{ listen 127.0.0.1:{port} backlog=4096; root {folder};\n\
             location = /small {{ return 200 \"{small}\"; }}\n\
             location = /post {{ client_max_body_size 1m; return 200 \"{small}\"; }}\n\
             }} }}\n",
            folder = folder.display()
        );
        let process = Process(nginx(&folder, &config, LOAD_CPU)?);
        wait_for(port)?;
        let calls = Process(answer_calls(grpc_port)?);
        wait_for(grpc_port)?;
        Ok(Backend { port, grpc_port, _processes: [process, calls] })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Where it speaks gRPC in clear text.
    pub(super) fn grpc_port(&self) -> u16 {
        self.grpc_port
    }
}

/// What answers calls of gRPC, by the trailer that says that all went well. nginx cannot: it answers a POST before it
/// has read it.
fn answer_calls(port: u16) -> Result<Child> {
    let folder = folder("calls")?;
    let method = folder.join(GRPC_METHOD.trim_start_matches('/'));
    fs::create_dir_all(method.parent().unwrap_or(&folder))?;
    fs::write(&method, grpc_message())?;
    let program = packages::find("nghttpd").context("nghttpd is not there")?;
    let mut command = pinned(LOAD_CPU, &program);
    command.args(["--no-tls", "--address=127.0.0.1", "--max-concurrent-streams=1000"]);
    command.args(["--trailer", "grpc-status: 0", "--htdocs"]).arg(&folder).arg(port.to_string());
    quiet(&mut command, &folder)
}

/// The certificate that all of them show, for `bench.test`.
pub(super) struct Certificate {
    pub(super) chain: PathBuf,
    pub(super) key: PathBuf,
    /// Both in one file, as HAProxy wants them.
    pub(super) both: PathBuf,
}

impl Certificate {
    /// Self-signed, P-256.
    pub(super) fn make() -> Result<Certificate> {
        let folder = folder("certificate")?;
        let (chain, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        let both = folder.join("both.pem");
        read(
            Command::new("openssl")
                .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
                .args(["-nodes", "-days", "2", "-subj", "/CN=bench.test"])
                .args(["-addext", "subjectAltName=DNS:bench.test"])
                .arg("-keyout")
                .arg(&key)
                .arg("-out")
                .arg(&chain),
        )?;
        fs::write(&both, [fs::read(&chain)?, fs::read(&key)?].concat())?;
        Ok(Certificate { chain, key, both })
    }
}
