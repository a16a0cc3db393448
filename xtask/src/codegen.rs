//! Writes what is generated (code from `proto/`, the reference of the plugins), or checks that what
//! is in the repository is what would be written. Writes the reference of the Admin API, which a
//! test of `admin` checks.
//!
//! It is kept in the repository so that a build needs neither a protobuf compiler nor this step, and
//! so that a review sees what a change does.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run::{cargo, read, run as call};

/// The messages, relative to `proto/`.
const PROTOS: [&str; 1] = ["weir/sync/v1/sync.proto"];

/// Where their code goes, relative to the root of the repository.
const OUT: &str = "crates/wire/src/gen";

/// Where the reference of the Admin API goes.
const REFERENCE: &str = "deploy/reference";

/// The reference of the plugins.
const PLUGINS: &str = "deploy/reference/plugins.md";

/// Writes what is generated; with `check`, changes nothing and fails when it is out of date.
pub(crate) fn run(check: bool) -> Result<()> {
    messages(check)?;
    plugins(check)
}

/// The reference of the plugins, which an example of their crate prints.
fn plugins(check: bool) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has a parent")?;
    let example = ["run", "-q", "--locked", "-p", "plugins", "--example", "plugins_reference"];
    let fresh = read(cargo().args(example))?;
    let path = root.join(PLUGINS);
    if fs::read_to_string(&path).is_ok_and(|present| present == fresh) {
        return Ok(());
    }
    if check {
        bail!(
            "{PLUGINS} is not what the plugins declare. Run `cargo xtask codegen` and commit the \
             result."
        );
    }
    fs::write(&path, fresh).with_context(|| format!("cannot write {}", path.display()))
}

fn messages(check: bool) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has a parent")?;
    let fresh = generate(root)?;
    let out = root.join(OUT);
    let present = read_all(&out)?;
    if check {
        let stale: Vec<&str> = fresh
            .keys()
            .chain(present.keys())
            .filter(|name| fresh.get(*name) != present.get(*name))
            .map(String::as_str)
            .collect();
        if !stale.is_empty() {
            bail!(
                "generated code is not what proto/ says: {OUT}/{}. Run `cargo xtask codegen` and \
                 commit the result.",
                stale.join(&format!(", {OUT}/"))
            );
        }
        return Ok(());
    }
    call(cargo().args(["run", "-q", "-p", "admin", "--example", "reference", "--", REFERENCE]))?;
    fs::create_dir_all(&out)?;
    for name in present.keys().filter(|name| !fresh.contains_key(*name)) {
        fs::remove_file(out.join(name))?;
    }
    for (name, text) in fresh.iter().filter(|(name, text)| present.get(*name) != Some(*text)) {
        fs::write(out.join(name), text)?;
    }
    Ok(())
}

/// File name → text of everything that is generated.
fn generate(root: &Path) -> Result<BTreeMap<String, String>> {
    let proto = root.join("proto");
    let messages =
        protox::compile(PROTOS.map(PathBuf::from), [&proto]).context("proto/ does not compile")?;
    let dir = tempfile::tempdir()?;
    tonic_prost_build::configure()
        // The server hands out frames that were encoded once for all streams, which generated
        // services cannot do: `publish` has its own.
        .build_server(false)
        .bytes(".")
        .btree_map(".")
        // Entities carry secrets: `wire` writes its Debug by hand.
        .skip_debug(["weir.sync.v1.Change"])
        .out_dir(dir.path())
        .compile_fds(messages)
        .context("no code could be generated from proto/")?;
    read_all(dir.path())
}

/// File name → text of the files directly in `dir`; empty when there is no such folder.
fn read_all(dir: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    if !dir.exists() {
        return Ok(files);
    }
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let entry = entry?;
        let text = fs::read_to_string(entry.path())
            .with_context(|| format!("cannot read {}", entry.path().display()))?;
        files.insert(entry.file_name().to_string_lossy().into_owned(), text);
    }
    Ok(files)
}
