//! Lines at the end of a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::queue::Deliver;

/// Writes batches of lines, each batch by one append: lines of several writers do not mix.
pub(super) struct Writer {
    path: PathBuf,
    reopen: bool,
    file: Arc<Mutex<Option<File>>>,
}

impl Writer {
    pub(super) fn new(path: PathBuf, reopen: bool) -> Writer {
        Writer { path, reopen, file: Arc::default() }
    }
}

impl Deliver for Writer {
    async fn deliver(&self, batch: &[Bytes]) -> Result<(), String> {
        let mut lines = Vec::with_capacity(batch.iter().map(|one| one.len() + 1).sum());
        for one in batch {
            lines.extend_from_slice(one);
            lines.push(b'\n');
        }
        let (path, reopen, file) = (self.path.clone(), self.reopen, Arc::clone(&self.file));
        let written = tokio::task::spawn_blocking(move || append(&path, reopen, &file, &lines));
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("{}: {error}", self.path.display())),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn append(path: &Path, reopen: bool, file: &Mutex<Option<File>>, lines: &[u8]) -> io::Result<()> {
    let mut kept = file.lock().unwrap_or_else(PoisonError::into_inner);
    let mut open = match kept.take().filter(|_| !reopen) {
        Some(open) => open,
        None => OpenOptions::new().append(true).create(true).mode(0o644).open(path)?,
    };
    open.write_all(lines)?;
    *kept = Some(open);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn write(writer: &Writer, lines: &[&str]) -> Result<(), String> {
        let batch: Vec<Bytes> = lines.iter().map(|line| Bytes::from((*line).to_owned())).collect();
        writer.deliver(&batch).await
    }

    #[tokio::test]
    async fn lines_go_to_the_end_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "before\n").unwrap();
        let writer = Writer::new(path.clone(), false);
        write(&writer, &["{1}", "{2}"]).await.unwrap();
        write(&writer, &["{3}"]).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before\n{1}\n{2}\n{3}\n");
    }

    #[tokio::test]
    async fn a_file_that_was_moved_away_is_made_again_only_if_it_is_to_be_reopened() {
        for reopen in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
            let writer = Writer::new(path.clone(), reopen);
            write(&writer, &["1"]).await.unwrap();
            std::fs::rename(&path, &moved).unwrap();
            write(&writer, &["2"]).await.unwrap();
            assert_eq!(path.exists(), reopen);
            let expected = if reopen { "1\n" } else { "1\n2\n" };
            assert_eq!(std::fs::read_to_string(&moved).unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_written_to_is_named() {
        let writer = Writer::new("/nowhere/log".into(), false);
        let reason = write(&writer, &["1"]).await.unwrap_err();
        assert!(reason.starts_with("/nowhere/log: "), "{reason}");
    }
}
