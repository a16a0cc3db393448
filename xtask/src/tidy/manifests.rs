//! Manifests: one table of dependencies, used and in order; lints inherited everywhere.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};

use super::{Crate, Faults, read};
use crate::run::root;

/// The workspace's dependencies.
pub(super) struct Table {
    /// Crates of this repository.
    pub(super) ours: BTreeSet<String>,
}

/// Dependencies that are used by being there, with the reason.
const USED_UNSEEN: [(&str, &str); 0] = [];

pub(super) fn check(crates: &[Crate], faults: &mut Faults) -> Result<Table> {
    let (ours, others) = table(faults)?;
    let mut used = BTreeSet::new();
    for package in crates {
        let path = package.manifest_path();
        if package.manifest.get("lints").and_then(|lints| lints.get("workspace"))
            != Some(&toml::Value::Boolean(true))
        {
            faults.note(
                &path,
                "does not inherit the workspace's lints: add `[lints]` `workspace = true`",
            );
        }
        if package.is_on_a_floor()
            && package.folder.file_name().and_then(|name| name.to_str()) != Some(&package.name)
        {
            faults.note(&path, "folder and package differ in their names");
        }
        let text: String =
            package.sources().iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
        for (section, name, value) in package.dependencies() {
            used.insert(name.to_owned());
            if value.get("workspace") != Some(&toml::Value::Boolean(true)) {
                faults.note(
                    &path,
                    format!("{section}: {name} is not taken from the workspace's table"),
                );
            }
            if !mentions(&text, &name.replace('-', "_"))
                && !USED_UNSEEN.iter().any(|(unseen, _)| *unseen == name)
            {
                faults.note(&path, format!("{section}: {name} is not used"));
            }
        }
    }
    let manifest = root().join("Cargo.toml");
    for name in ours.iter().chain(&others).filter(|name| !used.contains(*name)) {
        faults.note(&manifest, format!("workspace.dependencies: {name} is used by no crate"));
    }
    Ok(Table { ours: ours.into_iter().collect() })
}

/// Our crates and the others in the root manifest, in its order; those others must be sorted.
fn table(faults: &mut Faults) -> Result<(Vec<String>, Vec<String>)> {
    let path = root().join("Cargo.toml");
    let text = read(&path)?;
    let section = text
        .split_once("[workspace.dependencies]")
        .and_then(|(_, rest)| rest.split("\n[").next())
        .with_context(|| format!("{}: there is no [workspace.dependencies]", path.display()))?;
    let lines = section.lines().filter_map(|line| line.split_once(" = "));
    let (ours, others): (Vec<_>, Vec<_>) = lines.partition(|(_, value)| value.contains("path = "));
    let names = |list: Vec<(&str, &str)>| {
        list.into_iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
    };
    let (ours, others) = (names(ours), names(others));
    for pair in others.windows(2) {
        if let [one, next] = pair
            && one > next
        {
            faults.note(&path, format!("workspace.dependencies: {next} must stand before {one}"));
        }
    }
    Ok((ours, others))
}

/// Whether the text has the identifier as a whole word.
pub(super) fn mentions(text: &str, identifier: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(identifier).any(|(at, _)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text.get(at + identifier.len()..).and_then(|text| text.chars().next());
        !is_part(before) && !is_part(after)
    })
}

#[cfg(test)]
mod tests {
    use super::mentions;

    #[test]
    fn a_mention_is_a_whole_word() {
        assert!(mentions("use http::Method;", "http"));
        assert!(!mentions("use http_body::Body; use xhttp;", "http"));
        assert!(mentions("http_body::http", "http"));
    }
}
