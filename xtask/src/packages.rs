//! Programs that tests and benchmarks run and that are not ours.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run::{on_path, read, run};

/// Gets the programs that are not there, each by its package, from Debian when we are root.
/// `who` needs them.
pub(crate) fn install(who: &str, wanted: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&str> =
        wanted.iter().filter(|(program, _)| find(program).is_none()).map(|(_, p)| *p).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let hint = format!("install these packages of Debian: {}", missing.join(" "));
    if on_path("apt-get").is_none() || read(Command::new("id").arg("-u"))?.trim() != "0" {
        bail!("{who} needs programs that are not there; {hint}");
    }
    let apt = |arguments: &[&str]| {
        run(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(arguments))
    };
    apt(&["update", "-q"])?;
    let install = ["install", "-q", "-y", "--no-install-recommends"];
    apt(&[&install[..], &missing[..]].concat()).context(hint)
}

/// The program, also where Debian keeps those of the superuser.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let on_path = on_path(program).map(|folder| folder.join(program));
    on_path.or_else(|| Some(Path::new("/usr/sbin").join(program)).filter(|path| path.is_file()))
}
