//! The data directory, and the node id in it.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use settings::Settings;
use uuid::Uuid;

/// The data directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("data_dir: {path}: {why}", path = path.display())]
pub struct DirectoryError {
    path: PathBuf,
    why: String,
}

impl DirectoryError {
    pub(crate) fn new(path: &Path, why: String) -> DirectoryError {
        DirectoryError { path: path.to_owned(), why }
    }
}

/// Makes the data directory if it is not there (readable by its owner only: it holds secrets),
/// and makes sure that files can be written in it.
///
/// # Errors
/// When they cannot.
pub fn prepare(settings: &Settings) -> Result<&Path, DirectoryError> {
    let directory = settings.data_dir.as_path();
    let fail = |error: io::Error| DirectoryError {
        path: directory.to_owned(),
        why: format!(
            "{error}; make it writable for this user, or choose another directory with --data-dir"
        ),
    };
    if !directory.exists() {
        fs::create_dir_all(directory).map_err(fail)?;
        fs::set_permissions(directory, Permissions::from_mode(0o700)).map_err(fail)?;
    }
    let probe = directory.join(format!(".writable-{}", std::process::id()));
    fs::write(&probe, []).and_then(|()| fs::remove_file(&probe)).map_err(fail)?;
    Ok(directory)
}

/// This node's id: the setting's, else the one kept in the data directory, else a new one that is
/// kept there.
///
/// # Errors
/// When the file is no id, or a new one cannot be written.
pub fn node_id(settings: &Settings) -> Result<Uuid, DirectoryError> {
    if let Some(id) = settings.node_id {
        return Ok(id);
    }
    let path = prepare(settings)?.join("node_id");
    let fail = |why: String| DirectoryError { path: path.clone(), why };
    match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|_| {
            fail(
                "holds no UUID; delete the file to get a new node id, or give one with --node-id"
                    .to_owned(),
            )
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = Uuid::new_v4();
            write_new(&path, &format!("{id}\n")).map_err(|error| fail(error.to_string()))?;
            Ok(id)
        }
        Err(error) => Err(fail(error.to_string())),
    }
}

/// Written to another name and renamed, so that a crash leaves no half file behind. For its owner
/// only.
pub(crate) fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use settings::{Program, Sources};

    use super::*;

    fn settings(data_dir: &Path, more: &[(&str, &str)]) -> Settings {
        let mut flags = vec![("data_dir".to_owned(), data_dir.display().to_string())];
        flags.extend(more.iter().map(|(name, value)| (String::from(*name), String::from(*value))));
        settings::resolve(Program::Weir, &Sources { flags, ..Sources::default() }).unwrap().settings
    }

    #[test]
    fn the_node_id_stays() {
        let root = tempfile::tempdir().unwrap();
        let data_dir = root.path().join("a/b");
        let first = node_id(&settings(&data_dir, &[])).unwrap();
        assert_eq!(node_id(&settings(&data_dir, &[])).unwrap(), first);
        assert_eq!(fs::metadata(&data_dir).unwrap().permissions().mode() & 0o777, 0o700);

        let given = "5e8a5c1c-6a7d-4d3c-9f8e-0d4b7f3d1a2b";
        assert_eq!(
            node_id(&settings(&data_dir, &[("node_id", given)])).unwrap().to_string(),
            given
        );

        fs::write(data_dir.join("node_id"), "nonsense").unwrap();
        let error = node_id(&settings(&data_dir, &[])).unwrap_err().to_string();
        assert!(error.contains("a/b/node_id: holds no UUID; delete the file"), "{error}");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_explained() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, []).unwrap();
        let error = prepare(&settings(&file.join("below"), &[])).unwrap_err().to_string();
        assert!(error.starts_with("data_dir: ") && error.contains("with --data-dir"), "{error}");
    }
}
