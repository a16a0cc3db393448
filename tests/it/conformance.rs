//! The recorded answers of a real Kong, replayed. Each test plays one area's scenarios against one
//! gateway, one after the other: each scenario begins by emptying it.
//!
//! `tests/conformance/pending.txt` lists what is not expected to pass, and why. A scenario that is
//! listed and passes is a failure, too: the list must not rot.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use end_to_end::conformance::Runner;
use end_to_end::{Gateway, postgres};

#[test]
fn admin_on_sqlite() {
    replay("admin", &Gateway::start(&[]).unwrap());
}

#[test]
fn admin_on_postgres() {
    replay("admin", &Gateway::start(&postgres()).unwrap());
}

#[test]
fn proxy() {
    replay("proxy", &Gateway::start(&[]).unwrap());
}

#[test]
fn balancer() {
    replay("balancer", &Gateway::start(&[]).unwrap());
}

#[test]
fn plugins() {
    replay("plugins", &Gateway::start(&[]).unwrap());
}

fn replay(area: &str, gateway: &Gateway) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
    let pending = pending(&folder);
    let mut runner = Runner::new(gateway.listeners(), &folder).unwrap();
    let mut wrong = Vec::new();
    let files = scenarios(&folder.join(area));
    for file in &files {
        let name = file.strip_prefix(&folder).unwrap().with_extension("");
        let name = name.to_str().unwrap();
        match (runner.play(file), pending.get(name)) {
            (problems, None) if !problems.is_empty() => {
                wrong.push(format!(
                    "{name}\n    {}",
                    problems.iter().take(5).cloned().collect::<Vec<_>>().join("\n    ")
                ));
            }
            (problems, Some(reason)) if problems.is_empty() => {
                wrong.push(format!("{name} passes: take it out of pending.txt ({reason})"));
            }
            _ => {}
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} scenarios:\n{}",
        wrong.len(),
        files.len(),
        wrong.join("\n")
    );
}

#[test]
fn what_is_pending_exists() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
    for name in pending(&folder).keys() {
        let file = folder.join(format!("{name}.json"));
        assert!(file.is_file(), "pending.txt lists {name}, which is no scenario");
    }
}

/// Scenario → why it is not expected to pass. A line in brackets is the reason for those below it.
fn pending(folder: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(folder.join("pending.txt")).unwrap();
    let mut reason = "";
    let mut pending = BTreeMap::new();
    for line in
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        match line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(header) => reason = header,
            None => {
                assert!(!reason.is_empty(), "{line} stands under no reason");
                assert!(
                    pending.insert(line.to_owned(), reason.to_owned()).is_none(),
                    "{line} stands twice"
                );
            }
        }
    }
    pending
}

fn scenarios(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(scenarios(&path));
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    files
}
