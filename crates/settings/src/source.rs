//! The places where settings are given.

use std::path::{Path, PathBuf};

use crate::fault::{Fault, Origin};

/// What was given, before any of it is understood.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file's name and text.
    pub file: Option<(PathBuf, String)>,
    /// Environment variables, all of them.
    pub environment: Vec<(String, String)>,
    /// Settings by name, from flags.
    pub flags: Vec<(String, String)>,
}

/// The environment of this process. Variables that are no UTF-8 are none of ours.
pub fn system_environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Where a file of settings is looked for when none is named.
pub(crate) const DEFAULT_FILES: [&str; 2] = ["/etc/weir/weir.conf", "/etc/weir.conf"];

/// Reads the file of settings: the one that was named, else the first of [`DEFAULT_FILES`] that
/// exists.
pub(crate) fn read_file(named: Option<&Path>) -> Result<Option<(PathBuf, String)>, Fault> {
    let path = match named {
        Some(path) => path,
        None => match DEFAULT_FILES.iter().map(Path::new).find(|path| path.exists()) {
            Some(path) => path,
            None => return Ok(None),
        },
    };
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some((path.to_owned(), text))),
        Err(error) => Err(Fault {
            subject: path.display().to_string(),
            origin: Origin::Default,
            message: format!("the file of settings cannot be read: {error}"),
        }),
    }
}

/// The `name = value` lines of a file in the form of `kong.conf`: `#` at the start of a line or
/// after a space begins a comment, `\#` is a `#`.
pub(crate) fn lines<'a>(path: &Path, text: &'a str) -> Vec<(&'a str, String, Origin)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start_matches('\u{feff}');
        if line.trim_start().starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else { continue };
        let name = name.trim();
        if name.is_empty() || name.starts_with('[') {
            continue;
        }
        found.push((name, without_comment(value), Origin::File(path.to_owned(), number + 1)));
    }
    found
}

fn without_comment(value: &str) -> String {
    let mut kept = String::with_capacity(value.len());
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&'#') => {
                chars.next();
                kept.push('#');
            }
            '#' if kept.is_empty() || kept.ends_with(char::is_whitespace) => break,
            c => kept.push(c),
        }
    }
    kept.trim().to_owned()
}
