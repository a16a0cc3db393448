//! Both databases take the same steps: every migration exists for each, under the same name.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};

use super::Faults;
use crate::run::root;

pub(super) fn check(faults: &mut Faults) -> Result<()> {
    let folders = ["postgres", "sqlite"].map(|database| root().join("migrations").join(database));
    let mut names = Vec::new();
    for folder in &folders {
        let entries = fs::read_dir(folder)
            .with_context(|| format!("{} cannot be listed", folder.display()))?;
        let of_folder: BTreeSet<String> = entries
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .collect();
        names.push(of_folder);
    }
    if let ([one, other], [one_folder, other_folder]) = (names.as_slice(), &folders) {
        for name in one.difference(other) {
            faults.note(&other_folder.join(name), "is missing: the other database has it");
        }
        for name in other.difference(one) {
            faults.note(&one_folder.join(name), "is missing: the other database has it");
        }
        let numbers: BTreeSet<&str> =
            one.iter().filter_map(|name| name.split('_').next()).collect();
        if numbers.len() != one.len() {
            faults.note(one_folder, "two migrations have the same number");
        }
    }
    Ok(())
}
