//! Rules about the files of the repository that no other tool checks.

mod floors;
mod manifests;
mod migrations;
mod settings;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run::root;

/// What is wrong, each a line that names the file.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn note(&mut self, file: &Path, what: impl std::fmt::Display) {
        let file = file.strip_prefix(root()).unwrap_or(file);
        self.0.push(format!("{}: {what}", file.display()));
    }
}

/// Checks all rules.
pub(crate) fn run() -> Result<()> {
    let mut faults = Faults::default();
    let crates = crates()?;
    let table = manifests::check(&crates, &mut faults)?;
    floors::check(&crates, &table, &mut faults)?;
    sources::check(&crates, &mut faults)?;
    migrations::check(&mut faults)?;
    settings::check(&crates, &mut faults)?;
    if !faults.0.is_empty() {
        bail!("{}", faults.0.join("\n"));
    }
    Ok(())
}

/// A package of the workspace.
struct Crate {
    name: String,
    folder: PathBuf,
    manifest: toml::Table,
}

impl Crate {
    fn manifest_path(&self) -> PathBuf {
        self.folder.join("Cargo.toml")
    }

    /// Whether it lies in `crates/` (and is not `tests`, `tests/fuzz` or `xtask`).
    fn is_on_a_floor(&self) -> bool {
        self.folder.parent() == Some(&root().join("crates"))
    }

    /// Its Rust files.
    fn sources(&self) -> Vec<PathBuf> {
        walkdir::WalkDir::new(&self.folder)
            .sort_by_file_name()
            .into_iter()
            .filter_map(|entry| entry.ok())
            .map(walkdir::DirEntry::into_path)
            .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
            .collect()
    }

    /// Names of its dependencies with the section that they stand in and their specification.
    fn dependencies(&self) -> Vec<(&'static str, &str, &toml::Value)> {
        let sections = ["dependencies", "dev-dependencies", "build-dependencies"];
        sections
            .into_iter()
            .filter_map(|section| Some((section, self.manifest.get(section)?.as_table()?)))
            .flat_map(|(section, table)| {
                table.iter().map(move |(name, value)| (section, name.as_str(), value))
            })
            .collect()
    }
}

fn crates() -> Result<Vec<Crate>> {
    let mut folders: Vec<PathBuf> = fs::read_dir(root().join("crates"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    folders.sort();
    folders.extend(["tests", "tests/fuzz", "xtask"].map(|name| root().join(name)));
    folders.retain(|folder| folder.join("Cargo.toml").is_file());
    folders.into_iter().map(read_crate).collect()
}

fn read_crate(folder: PathBuf) -> Result<Crate> {
    let path = folder.join("Cargo.toml");
    let manifest: toml::Table = read(&path)?.parse().with_context(|| path.display().to_string())?;
    let name = manifest
        .get("package")
        .and_then(|package| package.get("name"))
        .and_then(toml::Value::as_str);
    let name =
        name.with_context(|| format!("{}: the package has no name", path.display()))?.to_owned();
    Ok(Crate { name, folder, manifest })
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}
