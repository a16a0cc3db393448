//! A crate imports only from floors below its own, never from a sibling.

use anyhow::Result;

use super::manifests::Table;
use super::{Crate, Faults};

/// From the ground up. `crates/README.md` draws this picture.
const FLOORS: [&[&str]; 6] = [
    &["http1", "lifecycle", "model", "schema", "settings", "telemetry"],
    &["balancer", "plugin", "process", "router", "store", "wire"],
    &["plugins", "publish", "snapshot", "store-sql", "subscribe", "upstream"],
    &["admin", "proxy"],
    &["control-plane", "data-plane"],
    &["weir"],
];

/// The one pair of siblings: entities are declared with the schema engine.
const EXCEPTION: (&str, &str) = ("model", "schema");

pub(super) fn check(crates: &[Crate], table: &Table, faults: &mut Faults) -> Result<()> {
    for package in crates.iter().filter(|package| package.is_on_a_floor()) {
        let path = package.manifest_path();
        let Some(own) = floor(&package.name) else {
            faults.note(
                &path,
                format!("{} is on no floor; give it one in xtask/src/tidy/floors.rs", package.name),
            );
            continue;
        };
        for (section, name, _) in package.dependencies() {
            let Some(other) = floor(name) else {
                if table.ours.contains(name) {
                    faults.note(&path, format!("{section}: {name} is on no floor"));
                }
                continue;
            };
            if other >= own && (package.name.as_str(), name) != EXCEPTION {
                faults.note(
                    &path,
                    format!(
                        "{section}: {} (floor {own}) must not import {name} (floor {other})",
                        package.name
                    ),
                );
            }
        }
    }
    Ok(())
}

fn floor(name: &str) -> Option<usize> {
    FLOORS.iter().position(|names| names.contains(&name))
}
