//! The data plane cannot reach a database: proved by the absence of the store in what it is built
//! from, and by its presence in the control plane (which would catch a renamed crate).

use anyhow::{Result, bail};

use crate::run::{cargo, read};

pub(crate) fn run() -> Result<()> {
    for store in ["store", "store-sql", "sqlx"] {
        if reaches("data-plane", store)? {
            bail!(
                "data-plane is built from {store}: `cargo tree -p data-plane -e normal -i {store}` shows by what"
            );
        }
        if !reaches("control-plane", store)? {
            bail!(
                "control-plane is not built from {store}: was it renamed? Then rename it in xtask/src/planes.rs, too"
            );
        }
    }
    Ok(())
}

fn reaches(package: &str, other: &str) -> Result<bool> {
    let tree = read(cargo().args([
        "tree", "--locked", "-p", package, "-e", "normal", "--prefix", "none", "-f", "{p}",
    ]))?;
    Ok(tree.lines().any(|line| line.split(' ').next() == Some(other)))
}
