//! Where the tests get their PostgreSQL server from.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run::{on_path, run};

/// Debian's packages keep each version's programs in a folder of their own, off the PATH.
const DEBIAN: &str = "/usr/lib/postgresql";

/// A PATH on which tests find PostgreSQL's programs.
pub(crate) fn path() -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(programs()?).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).context("the PATH holds a folder that cannot be written in it")
}

/// The folder that holds `initdb` and `postgres`: on the PATH, in Debian's place, or installed
/// there by apt when we are root.
fn programs() -> Result<PathBuf> {
    if let Some(found) = find() {
        return Ok(found);
    }
    if !(is_root()? && on_path("apt-get").is_some()) {
        bail!(
            "the tests need PostgreSQL's programs (initdb, postgres), and they are neither on the PATH nor under \
             {DEBIAN}. Install them (Debian: `apt-get install postgresql`), or put the folder that holds them on the \
             PATH. The tests start servers of their own; none has to run."
        );
    }
    println!("PostgreSQL is not there: installing it with apt-get");
    let apt = |arguments: &[&str]| {
        run(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(arguments))
    };
    apt(&["update", "-q"])
        .and_then(|()| apt(&["install", "-q", "-y", "--no-install-recommends", "postgresql"]))
        .context("PostgreSQL could not be installed; install the package `postgresql` by hand")?;
    find().with_context(|| {
        format!("the package postgresql is installed, but brought no initdb under {DEBIAN}")
    })
}

fn find() -> Option<PathBuf> {
    on_path("initdb").filter(|folder| folder.join("postgres").is_file()).or_else(in_debians_place)
}

/// The newest version's folder.
fn in_debians_place() -> Option<PathBuf> {
    let versions = fs::read_dir(DEBIAN).ok()?.filter_map(|entry| entry.ok());
    versions
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))
        })
        .filter(|(_, folder)| folder.join("initdb").is_file())
        .max()
        .map(|(_, folder)| folder)
}

fn is_root() -> Result<bool> {
    let status =
        fs::read_to_string(Path::new("/proc/self/status")).context("this needs Linux's /proc")?;
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    Ok(uid.and_then(|uids| uids.split_whitespace().nth(1)) == Some("0"))
}
