//! The last good configuration on disk, so that a data plane starts and serves without any control
//! plane.
//!
//! One file, written beside and renamed over, with the one before it kept: a crash at any moment
//! leaves at least one whole file. Layout, numbers big-endian:
//!
//! ```text
//! magic "WEIRCONF" | version u32 | flags u32 | epoch 16 | revision u64 | digest 16 | entities u64
//! two sections (what is held; last good versions of what is rejected), each:
//!     blocks u32, then for each block: raw_len u32, len u32, zstd of a SnapshotBlock
//! blake3 of all that, 32 bytes
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Cursor, Digest, Kind};
use uuid::Uuid;
use wire::Entities;

const MAGIC: &[u8; 8] = b"WEIRCONF";
const VERSION: u32 = 1;
const HASH: usize = 32;

const CURRENT: &str = "configuration.snapshot";
const PREVIOUS: &str = "configuration.snapshot.previous";
const NEXT: &str = "configuration.snapshot.tmp";

/// No file is larger, in bytes: one that is was not written by us.
const MAX: u64 = 4 << 30;

/// What is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    pub(crate) at: Cursor,
    /// What was received.
    pub(crate) entities: Entities,
    /// What was served instead of what was rejected of it.
    pub(crate) last_good: Vec<(Kind, Uuid, Arc<str>)>,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("it is not a configuration snapshot, or its beginning is damaged")]
    Magic,
    #[error("it has format {0}; this build reads format {VERSION}. Was it written by a newer one?")]
    Version(u32),
    #[error("it is damaged: its checksum is wrong")]
    Checksum,
    #[error("it is damaged: it ends too early")]
    Short,
    #[error("it is damaged: {0}")]
    Content(#[from] wire::Malformed),
    #[error("it is damaged: the digest of its entities is wrong")]
    Digest,
}

/// The newest file that can be used. One that cannot is set aside and reported, never fatal.
pub(crate) fn load(dir: &Path) -> Option<Kept> {
    for name in [CURRENT, PREVIOUS] {
        let path = dir.join(name);
        match read(&path) {
            Ok(kept) => return Some(kept),
            Err(Unusable::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let aside = dir.join(format!("{name}.unusable"));
                let moved = fs::rename(&path, &aside);
                tracing::error!(
                    path = %path.display(),
                    %error,
                    set_aside = moved.is_ok().then(|| aside.display().to_string()),
                    "the configuration that was kept on disk cannot be used"
                );
            }
        }
    }
    None
}

/// Writes the file, and makes the one before it the previous one.
pub(crate) fn save(dir: &Path, kept: &Kept) -> io::Result<()> {
    let path = |name| -> PathBuf { dir.join(name) };
    let bytes = encode(kept)?;
    // Left over by a crash: its permissions may be anybody's choice.
    match fs::remove_file(path(NEXT)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private().write(true).create_new(true).open(path(NEXT))?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    drop(file);
    match fs::rename(path(CURRENT), path(PREVIOUS)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(path(NEXT), path(CURRENT))?;
    sync_dir(dir)
}

/// A file that only its owner reads: configuration holds secrets.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes renames in a folder last.
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn encode(kept: &Kept) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&0u32.to_be_bytes());
    out.extend_from_slice(kept.at.epoch.as_bytes());
    out.extend_from_slice(&kept.at.revision.to_be_bytes());
    out.extend_from_slice(&kept.entities.digest().to_bytes());
    out.extend_from_slice(&(kept.entities.len() as u64).to_be_bytes());
    let last_good: Entities = kept.last_good.iter().cloned().collect();
    for section in [&kept.entities, &last_good] {
        let blocks = wire::pack(section)?;
        out.extend_from_slice(&length(blocks.len())?);
        for block in blocks {
            out.extend_from_slice(&block.raw_len.to_be_bytes());
            out.extend_from_slice(&length(block.zstd.len())?);
            out.extend_from_slice(&block.zstd);
        }
    }
    let hash = blake3::hash(&out);
    out.extend_from_slice(hash.as_bytes());
    Ok(out)
}

fn length(len: usize) -> io::Result<[u8; 4]> {
    Ok(u32::try_from(len).map_err(io::Error::other)?.to_be_bytes())
}

fn read(path: &Path) -> Result<Kept, Unusable> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX).read_to_end(&mut bytes)?;
    decode(&bytes)
}

fn decode(bytes: &[u8]) -> Result<Kept, Unusable> {
    let mut input = Input(bytes);
    if input.take(8).map_err(|_| Unusable::Magic)? != MAGIC {
        return Err(Unusable::Magic);
    }
    let version = input.u32()?;
    if version != VERSION {
        return Err(Unusable::Version(version));
    }
    let body = bytes.len().checked_sub(HASH).ok_or(Unusable::Short)?;
    let (content, hash) = bytes.split_at_checked(body).ok_or(Unusable::Short)?;
    if blake3::hash(content).as_bytes() != hash {
        return Err(Unusable::Checksum);
    }
    let mut input = Input(content.get(12..).ok_or(Unusable::Short)?);
    let _flags = input.u32()?;
    let epoch = wire::uuid_from("epoch", input.take(16)?)?;
    let at = Cursor { epoch, revision: input.u64()? };
    let digest: Digest = wire::digest_from("digest", input.take(16)?)?;
    let len = input.u64()?;
    let entities = input.section()?;
    let last_good = input.section()?;
    if entities.digest() != digest || entities.len() as u64 != len {
        return Err(Unusable::Digest);
    }
    let last_good =
        last_good.iter().map(|(kind, id, body)| (kind.clone(), id, body.clone())).collect();
    Ok(Kept { at, entities, last_good })
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Unusable> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(Unusable::Short)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unusable> {
        self.take(N)?.try_into().map_err(|_| Unusable::Short)
    }

    fn u32(&mut self) -> Result<u32, Unusable> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, Unusable> {
        self.array().map(u64::from_be_bytes)
    }

    fn section(&mut self) -> Result<Entities, Unusable> {
        let mut entities = Entities::default();
        for _ in 0..self.u32()? {
            let (raw_len, len) = (self.u32()?, self.u32()?);
            wire::unpack(self.take(len as usize)?, raw_len, &mut entities)?;
        }
        Ok(entities)
    }
}

#[cfg(test)]
mod tests;
