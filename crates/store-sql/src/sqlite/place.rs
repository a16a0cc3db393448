//! Whether a SQLite store may live where it is put.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::open_error::OpenError;

/// Makes the directory, and takes the lock that keeps a second process from the file for as long
/// as the returned value lives.
pub(crate) fn take(place: &str, path: &Path) -> Result<File, OpenError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory).map_err(|error| {
        OpenError::file(place, &format!("creating {}", directory.display()), &error)
    })?;
    if let Some(name) = network(directory) {
        return Err(OpenError::Unsuitable {
            place: place.to_owned(),
            cause: format!("its directory is on {name}, where SQLite's log is not safe"),
            advice: "Choose a path on a local disk, or use Postgres (database = postgres)"
                .to_owned(),
        });
    }
    let lock_path = beside(path, ".lock");
    let lock = File::options().create(true).truncate(false).write(true).open(&lock_path).map_err(
        |error| OpenError::file(place, &format!("creating {}", lock_path.display()), &error),
    )?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { place: place.to_owned() }),
        Err(TryLockError::Error(error)) => {
            Err(OpenError::file(place, &format!("locking {}", lock_path.display()), &error))
        }
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The name of the network file system that a directory is on, if it is: SQLite's log needs memory
/// that all its users share, and locks that hold.
#[cfg(target_os = "linux")]
fn network(directory: &Path) -> Option<&'static str> {
    // From linux/magic.h and the drivers' sources.
    const NETWORK: [(u64, &str); 7] = [
        (0x6969, "NFS"),
        (0x517b, "SMB"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB2"),
        (0x00c3_6400, "Ceph"),
        (0x0bd0_0bd0, "Lustre"),
        (0x5346_414f, "AFS"),
    ];
    let kind = rustix::fs::statfs(directory).ok()?.f_type;
    // Its width differs between architectures; the numbers have 32 bits.
    let kind = u64::try_from(kind).ok()? & 0xffff_ffff;
    NETWORK.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name)
}

/// Elsewhere it is not known how to tell.
#[cfg(not(target_os = "linux"))]
fn network(_directory: &Path) -> Option<&'static str> {
    None
}
