//! Source files: not too long, nothing left undone, no lint silenced for good.

use std::path::Path;

use anyhow::Result;

use super::{Crate, Faults, read};

/// A file with more lines than this says in its head why (`Long because …`).
const LINES: usize = 600;

/// What must not stand in the code, and what to do instead. Written in parts, so that this file
/// does not contain them.
const FORBIDDEN: [(&str, &str, &str); 7] = [
    ("todo", "!(", "do it, or leave it out"),
    ("unimplemented", "!(", "do it, or leave it out"),
    ("dbg", "!(", "take it out"),
    ("#[", "allow(", "use #[expect(lint, reason = \"…\")]"),
    ("#![", "allow(", "use #![expect(lint, reason = \"…\")]"),
    ("#[", "ignore", "a test that does not run tests nothing"),
    ("#[", "should_panic", "panics are no contract; test what is answered"),
];

pub(super) fn check(crates: &[Crate], faults: &mut Faults) -> Result<()> {
    for package in crates {
        for path in package.sources() {
            if path.components().any(|part| part.as_os_str() == "gen") {
                continue;
            }
            check_file(&path, &read(&path)?, faults);
        }
        let lib = package.folder.join("src/lib.rs");
        if package.is_on_a_floor() && !read(&lib)?.contains("#![forbid(unsafe_code)]") {
            faults.note(&lib, "add #![forbid(unsafe_code)]");
        }
    }
    Ok(())
}

fn check_file(path: &Path, text: &str, faults: &mut Faults) {
    let lines = text.lines().count();
    let says_why =
        text.lines().take(40).any(|line| line.starts_with("//!") && line.contains("Long because"));
    if lines > LINES && !says_why {
        faults.note(path, format!("{lines} lines: split it, or say `Long because …` in its head"));
    }
    for (start, end, instead) in FORBIDDEN {
        let needle = format!("{start}{end}");
        for (number, _) in text.lines().enumerate().filter(|(_, line)| line.contains(&needle)) {
            faults.note(path, format!("line {}: {needle}: {instead}", number + 1));
        }
    }
    if !text.starts_with("//!") && path.file_name().is_some_and(|name| name == "lib.rs") {
        faults.note(path, "the head of a crate says what it owns and what it must not know");
    }
}
