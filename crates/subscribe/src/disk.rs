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
//!
//! With a key, the file is that, encrypted:
//!
//! ```text
//! magic "WEIRCONF" | version u32 (2) | nonce 12 | AES-256-GCM of all above, its tag at the end
//! ```

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Cursor, Digest, Kind};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use uuid::Uuid;
use wire::Entities;

const MAGIC: &[u8; 8] = b"WEIRCONF";
const VERSION: u32 = 1;
/// Of an encrypted file.
const ENCRYPTED: u32 = 2;
/// Magic and version: what is authenticated and not encrypted.
const HEADER: usize = 12;
const HASH: usize = 32;
/// What the key of the file is derived for: none of its other uses gives the same one.
const PURPOSE: &str = "Weir 2026-11-21 configuration snapshot of a data plane";

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
    #[error(
        "it has format {0}; this build reads formats {VERSION} and {ENCRYPTED}. Was it written by \
         a newer one?"
    )]
    Version(u32),
    #[error("it is encrypted, and snapshot_key is not set")]
    NoKey,
    #[error("it was encrypted with another snapshot_key, or is damaged")]
    Key,
    #[error("it is damaged: its checksum is wrong")]
    Checksum,
    #[error("it is damaged: it ends too early")]
    Short,
    #[error("it is damaged: {0}")]
    Content(#[from] wire::Malformed),
    #[error("it is damaged: the digest of its entities is wrong")]
    Digest,
}

/// The key by which the last good configuration on disk is encrypted.
#[derive(Clone, PartialEq, Eq)]
pub struct SnapshotKey([u8; 32]);

impl SnapshotKey {
    /// The key that follows from a secret, which must be hard to guess by itself: it is not made
    /// any harder here.
    pub fn derived_from(secret: &str) -> SnapshotKey {
        SnapshotKey(blake3::derive_key(PURPOSE, secret.as_bytes()))
    }

    fn cipher(&self) -> Result<LessSafeKey, ring::error::Unspecified> {
        UnboundKey::new(&AES_256_GCM, &self.0).map(LessSafeKey::new)
    }

    /// A file's bytes, encrypted.
    fn seal(&self, mut plain: Vec<u8>) -> io::Result<Vec<u8>> {
        let failed = |_| io::Error::other("the configuration cannot be encrypted");
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(failed)?;
        let header = header(ENCRYPTED);
        let cipher = self.cipher().map_err(failed)?;
        cipher
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(header),
                &mut plain,
            )
            .map_err(failed)?;
        Ok([&header[..], &nonce, &plain].concat())
    }

    /// A file's bytes, decrypted.
    fn open(&self, bytes: &[u8]) -> Result<Vec<u8>, Unusable> {
        let (nonce, sealed) = bytes
            .get(HEADER..)
            .and_then(|rest| rest.split_first_chunk::<NONCE_LEN>())
            .ok_or(Unusable::Short)?;
        let mut sealed = sealed.to_vec();
        let cipher = self.cipher().map_err(|_| Unusable::Key)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = cipher
            .open_in_place(nonce, Aad::from(header(ENCRYPTED)), &mut sealed)
            .map_err(|_| Unusable::Key)?
            .len();
        sealed.truncate(plain);
        Ok(sealed)
    }
}

impl fmt::Debug for SnapshotKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SnapshotKey(******)")
    }
}

/// The newest file that can be used. One that cannot is set aside and reported, never fatal. With
/// a key, one that is not encrypted yet can be used, too.
pub(crate) fn load(dir: &Path, key: Option<&SnapshotKey>) -> Option<Kept> {
    for name in [CURRENT, PREVIOUS] {
        let path = dir.join(name);
        match read(&path, key) {
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

/// Writes the file, with a key encrypted, and makes the one before it the previous one. That does
/// not stay if it has in clear text what is to be encrypted.
pub(crate) fn save(dir: &Path, kept: &Kept, key: Option<&SnapshotKey>) -> io::Result<()> {
    let path = |name| -> PathBuf { dir.join(name) };
    let plain = encode(kept)?;
    let bytes = match key {
        Some(key) => key.seal(plain)?,
        None => plain,
    };
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
    if key.is_some() && is_plain(&path(PREVIOUS)) {
        fs::remove_file(path(PREVIOUS))?;
    }
    sync_dir(dir)
}

/// Whether a file that is there is not encrypted.
fn is_plain(path: &Path) -> bool {
    let mut begin = [0; HEADER];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut begin));
    read.is_ok() && begin != header(ENCRYPTED)
}

/// How a file begins.
fn header(version: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..MAGIC.len()].copy_from_slice(MAGIC);
    header[MAGIC.len()..].copy_from_slice(&version.to_be_bytes());
    header
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
    let mut out = header(VERSION).to_vec();
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

fn read(path: &Path, key: Option<&SnapshotKey>) -> Result<Kept, Unusable> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX).read_to_end(&mut bytes)?;
    match (version(&bytes)?, key) {
        (VERSION, _) => decode(&bytes),
        (ENCRYPTED, Some(key)) => decode(&key.open(&bytes)?),
        (ENCRYPTED, None) => Err(Unusable::NoKey),
        (other, _) => Err(Unusable::Version(other)),
    }
}

fn version(bytes: &[u8]) -> Result<u32, Unusable> {
    let mut input = Input(bytes);
    if input.take(MAGIC.len()).map_err(|_| Unusable::Magic)? != MAGIC {
        return Err(Unusable::Magic);
    }
    input.u32()
}

fn decode(bytes: &[u8]) -> Result<Kept, Unusable> {
    let version = version(bytes)?;
    if version != VERSION {
        return Err(Unusable::Version(version));
    }
    let body = bytes.len().checked_sub(HASH).ok_or(Unusable::Short)?;
    let (content, hash) = bytes.split_at_checked(body).ok_or(Unusable::Short)?;
    if blake3::hash(content).as_bytes() != hash {
        return Err(Unusable::Checksum);
    }
    let mut input = Input(content.get(HEADER..).ok_or(Unusable::Short)?);
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
