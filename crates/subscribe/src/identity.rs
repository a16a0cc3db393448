//! Who this data plane is, over restarts.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use uuid::Uuid;

use crate::disk::{private, sync_dir};

const FILE: &str = "node-id";

/// The id of the data plane that keeps its files in `dir`: as it was kept there, or `fresh`, which
/// is then kept. Makes the folder if it is not there.
///
/// # Errors
/// When the folder or the file cannot be read or written, or holds something else than an id.
pub fn node_id(dir: &Path, fresh: Uuid) -> io::Result<Uuid> {
    let path = dir.join(FILE);
    let explain = |error: io::Error| {
        io::Error::new(error.kind(), format!("the node's id in {}: {error}", path.display()))
    };
    match fs::read_to_string(&path) {
        Ok(text) => Uuid::try_parse(text.trim()).map_err(|_| {
            explain(io::Error::new(
                io::ErrorKind::InvalidData,
                "it is not a UUID; remove the file to get a new id",
            ))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            write(dir, fresh).map_err(explain)?;
            Ok(fresh)
        }
        Err(error) => Err(explain(error)),
    }
}

fn write(dir: &Path, id: Uuid) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let next = dir.join(format!("{FILE}.tmp"));
    let mut file = private().write(true).create(true).truncate(true).open(&next)?;
    writeln!(file, "{id}")?;
    file.sync_all()?;
    fs::rename(next, dir.join(FILE))?;
    sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let home = dir.path().join("not/yet/there");
        let first = node_id(&home, Uuid::from_u128(1)).expect("a disk");
        assert_eq!(first, Uuid::from_u128(1));
        assert_eq!(node_id(&home, Uuid::from_u128(2)).expect("a disk"), first);
        fs::write(home.join(FILE), "me").expect("a disk");
        let error = node_id(&home, Uuid::from_u128(3)).expect_err("no id");
        assert!(error.to_string().contains("remove the file"), "{error}");
    }
}
