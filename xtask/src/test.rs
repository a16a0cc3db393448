//! `cargo xtask test`.

use anyhow::Result;

use crate::run::{cargo, run};
use crate::{packages, postgres};

/// Clients that the proxy is tested with (nghttp and h2load), and the package that they are in.
const HTTP2_CLIENTS: [(&str, &str); 1] = [("h2load", "nghttp2-client")];

/// Every test of the workspace. Real processes are part of it, so the binaries are built first.
pub(crate) fn run_tests(arguments: &[String]) -> Result<()> {
    let path = postgres::path()?;
    packages::install("the test of HTTP/2 clients", &HTTP2_CLIENTS)?;
    run(cargo().args(["build", "--workspace", "--bins", "--locked"]))?;
    run(cargo().args(["test", "--workspace", "--locked"]).args(arguments).env("PATH", path))
}
