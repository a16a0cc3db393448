//! `cargo xtask bench plugins`: what each plugin adds to a request, in the whole gateway.
//!
//! One gateway has a route for each plugin and one without any; another gateway has no plugin at
//! all. Rounds go forward over all of them, then backward, and a plugin is compared with the route
//! that has none within one sweep, so that a machine that slows down slows both.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::bench::backend::{Backend, Certificate};
use crate::bench::case::Case;
use crate::bench::load::Load;
use crate::bench::peers::{Gateway, HOST};
use crate::bench::report::median;
use crate::bench::weir::{self, Setup};
use crate::bench::{round, turns};

/// What the consumer of the benchmark has beside a key.
pub(super) const CREDENTIALS: &str = concat!(
    r#","basicauth_credentials":[{"username":"bench","password":"password"}]"#,
    r#","jwt_secrets":[{"key":"bench","secret":"a secret of the benchmark, no more"}]"#,
    r#","acls":[{"group":"staff"}]"#,
);

/// A plugin, set up as it mostly is.
struct Subject {
    name: &'static str,
    /// The route that it is on.
    path: &'static str,
    /// The `plugins` entities of the route.
    plugins: &'static [&'static str],
    /// What the requests have beside the usual fields.
    fields: &'static [&'static str],
    /// The most CPU time that it is to add to a request, in microseconds.
    target: Option<f64>,
}

/// The route without a plugin, in a gateway that has some: as deep as those of the others.
const NONE: &str = "none";
const KEY_AUTH: &str = r#"{"name":"key-auth"}"#;
const BASIC: &[&str] = &["Authorization: Basic YmVuY2g6cGFzc3dvcmQ="];
/// `{"iss":"bench"}`, signed by HS256.
const TOKEN: &[&str] =
    &["Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJiZW5jaCJ9.\
     fsWfjg5L9vk5mA0mb2sZ2umUeGHy13-Vguu_rJD7iew"];
const NOTHING: &[&str] = &[];

const SUBJECTS: &[Subject] = &[
    subject(NONE, "/none/small", &[], NOTHING, None),
    subject("key-auth", "/key-auth/small", &[KEY_AUTH], NOTHING, Some(1.0)),
    subject(
        "key-auth, acl",
        "/acl/small",
        &[KEY_AUTH, r#"{"name":"acl","config":{"allow":["staff"]}}"#],
        NOTHING,
        Some(2.0),
    ),
    subject("basic-auth", "/basic-auth/small", &[r#"{"name":"basic-auth"}"#], BASIC, None),
    subject("jwt", "/jwt/small", &[r#"{"name":"jwt"}"#], TOKEN, None),
    subject(
        "cors",
        "/cors/small",
        &[r#"{"name":"cors","config":{"origins":["https://a.test"]}}"#],
        &["Origin: https://a.test"],
        Some(1.0),
    ),
    subject(
        "ip-restriction",
        "/ip-restriction/small",
        &[r#"{"name":"ip-restriction","config":{"allow":["127.0.0.0/8","10.0.0.0/8"]}}"#],
        NOTHING,
        Some(1.0),
    ),
    subject(
        "correlation-id",
        "/correlation-id/small",
        &[r#"{"name":"correlation-id","config":{"echo_downstream":true}}"#],
        NOTHING,
        Some(1.0),
    ),
    subject(
        "rate-limiting (local)",
        "/rate-limiting/small",
        &[r#"{"name":"rate-limiting","config":{"minute":1000000000}}"#],
        NOTHING,
        Some(1.0),
    ),
    subject(
        "request-size-limiting",
        "/request-size-limiting/small",
        &[r#"{"name":"request-size-limiting"}"#],
        NOTHING,
        None,
    ),
    subject(
        "request-transformer",
        "/request-transformer/small",
        &[r#"{"name":"request-transformer","config":{"add":{"headers":["x-added:1"]}}}"#],
        NOTHING,
        None,
    ),
    subject(
        "response-transformer",
        "/response-transformer/small",
        &[r#"{"name":"response-transformer","config":{"add":{"headers":["x-added:1"]}}}"#],
        NOTHING,
        None,
    ),
    subject(
        "prometheus",
        "/prometheus/small",
        &[concat!(
            r#"{"name":"prometheus","config":{"status_code_metrics":true,"#,
            r#""latency_metrics":true,"bandwidth_metrics":true}}"#
        )],
        NOTHING,
        None,
    ),
    subject(
        "file-log",
        "/file-log/small",
        &[r#"{"name":"file-log","config":{"path":"/dev/null"}}"#],
        NOTHING,
        None,
    ),
];

const fn subject(
    name: &'static str,
    path: &'static str,
    plugins: &'static [&'static str],
    fields: &'static [&'static str],
    target: Option<f64>,
) -> Subject {
    Subject { name, path, plugins, fields, target }
}

/// The routes with their plugins, to be put behind others of a declarative configuration.
pub(super) fn routes() -> String {
    let mut text = String::new();
    for subject in SUBJECTS {
        let path = subject.path.trim_end_matches("/small");
        let (name, plugins) = (path.trim_start_matches('/'), subject.plugins.join(","));
        let _ = write!(
            text,
            r#",{{"name":"{name}","hosts":["{HOST}"],"paths":["{path}"],"plugins":[{plugins}]}}"#
        );
    }
    text
}

/// Measures, prints a table and writes it to `folder`.
pub(super) fn run(pairs: usize, seconds: u64, program: &Path, folder: &Path) -> Result<()> {
    let (backend, certificate) = (Backend::start()?, Certificate::make()?);
    let start = |setup| weir::start(program, setup, &backend, &certificate);
    let bare = start(Setup { label: "weir bare", ..Setup::PLAIN })?;
    let singly = start(Setup { label: "weir singly", singly: true, ..Setup::PLAIN })?;
    let small = Case::Small.load(seconds, None);
    let mut rounds: Vec<(&str, Option<f64>, &Gateway, Load)> =
        vec![("no plugin configured", None, &bare, small.clone())];
    rounds.extend(SUBJECTS.iter().map(|subject| {
        let load = Load { path: subject.path, fields: subject.fields, ..small.clone() };
        (subject.name, subject.target, &singly, load)
    }));
    for (_, _, gateway, load) in &rounds {
        // Warm connections and caches, and prove that it answers.
        load.clone().lasting(Duration::from_secs(1)).run(gateway)?;
    }
    let mut costs: Vec<Vec<f64>> = rounds.iter().map(|_| Vec::new()).collect();
    for index in turns(rounds.len(), pairs) {
        let (name, _, gateway, load) = &rounds[index];
        let sample = round(gateway, load)?;
        println!("  {name:24} {sample}");
        costs[index].push(sample.cpu_us);
    }
    let none = rounds.iter().position(|(name, ..)| *name == NONE).unwrap_or_default();
    let mut text =
        String::from("| plugin | CPU-µs/request | added | at most |\n| --- | --- | --- | --- |\n");
    for ((name, target, ..), measured) in rounds.iter().zip(&costs) {
        let added = measured.iter().zip(&costs[none]).map(|(with, without)| with - without);
        let target = target.map_or_else(String::new, |most| format!("{most:.0}"));
        let (all, added) = (median(measured.clone()), median(added.collect()));
        let _ = writeln!(text, "| {name} | {all:.2} | {added:.2} | {target} |");
    }
    println!("\n{text}");
    fs::create_dir_all(folder)?;
    fs::write(folder.join("plugins.md"), text)?;
    Ok(())
}
