//! The guard: user-space instructions per request, which hardly depend on the machine, beside the recorded figures.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::bench::backend::{Backend, Certificate};
use crate::bench::counts;
use crate::bench::weir::Setup;
use crate::run::{read, root};

/// What may be added before it fails: callgrind repeats itself to about 1 %.
const MARGIN: f64 = 0.03;

/// What is guarded, by the name that it is recorded under.
const GUARDED: [(&str, Setup); 2] = [
    ("plain", Setup { label: "weir counted", ..Setup::PLAIN }),
    ("pipeline", Setup { label: "weir counted", plugins: true, ..Setup::PLAIN }),
];

/// Measures `weir`; an error if a request takes more instructions than was recorded. `record` writes the figures down.
pub(super) fn run(weir: &Path, profile: &str, record: bool) -> Result<()> {
    let (backend, certificate) = (Backend::start()?, Certificate::make()?);
    let compiler = read(Command::new("rustc").arg("--version"))?.trim().to_owned();
    let mut measured = Vec::new();
    for (name, setup) in GUARDED {
        let [few, many] = counts::both(weir, setup, &backend, &certificate)?;
        let per_request = (many.total - few.total) / (counts::RUNS[1] - counts::RUNS[0]);
        println!("{name}: {per_request} instructions per request ({profile}, {compiler})");
        measured.push((name, per_request));
    }
    let file = root().join("xtask/instructions.toml");
    if record {
        let mut text = format!(
            "# User-space instructions per request; `cargo xtask bench guard --record` writes it.\n\
             profile = \"{profile}\"\ncompiler = \"{compiler}\"\n"
        );
        measured.iter().for_each(|(name, figure)| text.push_str(&format!("{name} = {figure}\n")));
        return fs::write(&file, text).context("the figures cannot be recorded");
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
    let mut dearer = Vec::new();
    for (name, per_request) in measured {
        let before = recorded.get(name).and_then(toml::Value::as_integer);
        let before = before.with_context(|| format!("xtask/instructions.toml has no `{name}`"))?;
        let change = per_request as f64 / before as f64 - 1.0;
        println!("{name}: recorded {before}, {:+.1} %", change * 100.0);
        if change > MARGIN {
            dearer.push(format!("{name} by {:.1} %", change * 100.0));
        }
    }
    if !dearer.is_empty() {
        bail!(
            "a request takes more instructions than recorded: {}; make it cheaper, or say why in the commit that \
             records the new figures (`cargo xtask bench guard --record`)",
            dearer.join(", ")
        );
    }
    Ok(())
}
