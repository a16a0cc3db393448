//! Tools that come from crates.io.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::run::{cargo, on_path, root, run};

/// The version that is installed when there is none; any other that is on the PATH will do.
const CARGO_DENY: &str = "0.20.2";

/// Licences, duplicates and sources of the dependencies, by `.deny.toml`. Advisories are not
/// asked for: they come from a repository that is not there on every machine that builds.
pub(crate) fn deny() -> Result<()> {
    let program = cargo_deny()?;
    run(Command::new(program).current_dir(root()).args([
        "--config",
        ".deny.toml",
        "--locked",
        "check",
        "bans",
        "licenses",
        "sources",
    ]))
}

fn cargo_deny() -> Result<PathBuf> {
    let program = format!("cargo-deny{}", std::env::consts::EXE_SUFFIX);
    if let Some(folder) = on_path(&program) {
        return Ok(folder.join(program));
    }
    // Under target/, so that it is found again, and cleaned with the rest.
    let home = root().join("target/tools");
    let installed = home.join("bin").join(&program);
    if !installed.is_file() {
        println!(
            "cargo-deny is not there: installing {CARGO_DENY} into target/tools (some minutes)"
        );
        run(cargo()
            .args(["install", "--locked", "cargo-deny", "--version", CARGO_DENY, "--no-default-features", "--root"])
            .arg(&home))
        .context(
            "cargo-deny is needed and could not be installed; install it with `cargo install --locked cargo-deny` \
             where crates.io can be reached, and put it on the PATH",
        )?;
    }
    Ok(installed)
}
