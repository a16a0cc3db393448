//! `cargo xtask test`.

use std::ffi::OsString;

use anyhow::{Context, Result};

use crate::postgres;
use crate::run::{cargo, run};

/// Every test of the workspace. Real processes are part of it, so the binaries are built first.
pub(crate) fn run_tests(arguments: &[String]) -> Result<()> {
    let programs = postgres::programs()?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path: OsString =
        std::env::join_paths(std::iter::once(programs).chain(std::env::split_paths(&path)))
            .context("the PATH holds a folder that cannot be written in it")?;
    run(cargo().args(["build", "--workspace", "--bins", "--locked"]))?;
    run(cargo().args(["test", "--workspace", "--locked"]).args(arguments).env("PATH", path))
}
