//! The guard: user-space instructions per request, which hardly depend on the machine, beside the recorded figure.
//!
//! Counted by callgrind on the whole gateway: what 12,000 requests take less what 4,000 take, so that start and end
//! do not count.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::bench::peers::{Backend, Certificate, HOST};
use crate::bench::weir::{self, Setup};
use crate::run::{read, root};

/// What may be added before it fails: callgrind repeats itself to about 1 %.
const MARGIN: f64 = 0.03;
const FEW: u64 = 4_000;
const MANY: u64 = 12_000;

/// Measures `weir`; an error if a request takes more instructions than was recorded. `record` writes the figure down.
pub(super) fn run(weir: &Path, profile: &str, record: bool) -> Result<()> {
    let backend = Backend::start()?;
    let certificate = Certificate::make()?;
    let count = |requests| instructions(weir, &backend, &certificate, requests);
    let per_request = (count(MANY)? - count(FEW)?) / (MANY - FEW);
    let compiler = read(Command::new("rustc").arg("--version"))?.trim().to_owned();
    println!("{per_request} instructions per request ({profile}, {compiler})");
    let file = root().join("xtask/instructions.toml");
    if record {
        let text = format!(
            "# User-space instructions per request; `cargo xtask bench guard --record` writes it.\n\
             profile = \"{profile}\"\ncompiler = \"{compiler}\"\nper_request = {per_request}\n"
        );
        return fs::write(&file, text).context("the figure cannot be recorded");
    }
    let recorded: toml::Table = fs::read_to_string(&file)?.parse()?;
    let said = |key: &str| recorded.get(key).and_then(toml::Value::as_str).unwrap_or_default();
    if said("profile") != profile || said("compiler") != compiler {
        println!(
            "recorded for {} by {}: another build, so the figures are not compared",
            said("profile"),
            said("compiler")
        );
        return Ok(());
    }
    let before = recorded.get("per_request").and_then(toml::Value::as_integer);
    let before = before.context("xtask/instructions.toml has no `per_request`")? as f64;
    let change = per_request as f64 / before - 1.0;
    println!("recorded: {before}; {:+.1} %", change * 100.0);
    if change > MARGIN {
        bail!(
            "a request takes {:.1} % more instructions than recorded; make it cheaper, or say why in the commit \
             that records the new figure (--record)",
            change * 100.0
        );
    }
    Ok(())
}

/// Instructions of the whole process for so many requests.
fn instructions(
    weir: &Path,
    backend: &Backend,
    certificate: &Certificate,
    requests: u64,
) -> Result<u64> {
    let setup = Setup { label: "weir counted", counted: true, ..Setup::default() };
    let gateway = weir::start(weir, setup, backend, certificate)?;
    let output = read(
        Command::new("h2load")
            .args(["--h1", "-t1", "-c8", &format!("-n{requests}")])
            .arg(format!("--connect-to=127.0.0.1:{}", gateway.port()))
            .arg(format!("http://{HOST}/small")),
    )?;
    if !output.contains(&format!("{requests} succeeded")) {
        bail!("not every request succeeded:\n{output}");
    }
    let counts = counts_file(gateway.folder());
    gateway.end()?;
    let text = fs::read_to_string(&counts).context("callgrind wrote nothing; was it killed?")?;
    let line = text.lines().find_map(|line| line.strip_prefix("summary: "));
    let line = line.context("callgrind's counts have no summary")?;
    line.trim().parse().with_context(|| format!("callgrind's summary is no number: {line}"))
}

/// Where callgrind writes to.
pub(super) fn counts_file(folder: &Path) -> PathBuf {
    folder.join("callgrind.out")
}
