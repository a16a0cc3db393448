//! `cargo xtask e2e`: clients that others write, unmodified, against whole gateways. Apart from
//! `cargo xtask test`, because they need toolchains that are not Rust's.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::postgres;
use crate::run::{cargo, on_path, root, run, target_folder};

/// A client of somebody else's.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Outsider {
    /// decK, from its Go module
    Deck,
}

impl Outsider {
    /// Builds the client and what drives it, and runs it.
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Outsider::Deck => {
                let deck = deck()?;
                let path = postgres::path()?;
                let driver = ["run", "--quiet", "--locked", "--package", "end-to-end"];
                run(cargo()
                    .args(driver)
                    .args(["--example", "deck", "--"])
                    .arg(deck)
                    .env("PATH", path))
            }
        }
    }
}

/// decK in the version that tests/deck/go.mod names; its sums are in go.sum beside it.
fn deck() -> Result<PathBuf> {
    let program = target_folder()?.join("tools/bin/deck");
    run(Command::new(go()?)
        .args(["build", "-mod=readonly", "-o"])
        .arg(&program)
        .arg("github.com/kong/deck")
        .current_dir(root().join("tests/deck")))
    .context("decK could not be built; its modules come from where `go env GOPROXY` says")?;
    Ok(program)
}

/// Where Go's own installer puts it.
const USUAL: &str = "/usr/local/go/bin";

fn go() -> Result<PathBuf> {
    let usual = Path::new(USUAL).join("go");
    if let Some(folder) = on_path("go") {
        return Ok(folder.join("go"));
    }
    if usual.is_file() {
        return Ok(usual);
    }
    bail!(
        "decK is written in Go, and there is no `go` on the PATH nor in {USUAL}: install Go 1.24 or \
         newer (https://go.dev/dl), or run what does not need it: `cargo xtask test`"
    )
}
