//! `cargo xtask test`.

use anyhow::Result;

use crate::postgres;
use crate::run::{cargo, run};

/// Every test of the workspace. Real processes are part of it, so the binaries are built first.
pub(crate) fn run_tests(arguments: &[String]) -> Result<()> {
    let path = postgres::path()?;
    run(cargo().args(["build", "--workspace", "--bins", "--locked"]))?;
    run(cargo().args(["test", "--workspace", "--locked"]).args(arguments).env("PATH", path))
}
