//! `weir dump` and `weir load`: the whole configuration of a running gateway as text, through its
//! Admin API.

use std::fs;
use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::{Arg, ArgMatches, Command, value_parser};
use hyper::StatusCode;

use super::api::{admin, call, message};
use super::say;

const YAML: &str = "application/yaml";

pub(super) fn dump_command() -> Command {
    Command::new("dump")
        .about("Write the whole configuration as a declarative file (YAML)")
        .arg(admin())
        .arg(
            Arg::new("output")
                .long("output")
                .short('o')
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Where to write it; standard output when not given"),
        )
}

pub(super) fn load_command() -> Command {
    Command::new("load")
        .about("Replace the whole configuration by a declarative file, as one revision")
        .arg(admin())
        .arg(
            Arg::new("wait")
                .long("wait")
                .value_name("all|quorum|N")
                .help("Return only when so many data planes serve it"),
        )
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("YAML or JSON; - for standard input"),
        )
}

pub(super) fn dump(matches: &ArgMatches) -> Result<()> {
    let (status, body) = call(matches, "GET", "/declarative", YAML, Bytes::new())?;
    if status != StatusCode::OK {
        bail!("the Admin API answered {status}: {}", message(&body));
    }
    let text = String::from_utf8(body.into()).context("the Admin API answered no text")?;
    match matches.get_one::<PathBuf>("output") {
        None => say(text.trim_end()),
        Some(file) => {
            fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))
        }
    }
}

pub(super) fn load(matches: &ArgMatches) -> Result<()> {
    let file = matches.get_one::<PathBuf>("file").cloned().unwrap_or_default();
    let text = if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input cannot be read")?;
        text
    } else {
        fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?
    };
    let wait = matches.get_one::<String>("wait").map(|wait| format!("?wait={wait}"));
    let path = format!("/declarative{}", wait.unwrap_or_default());
    let (status, body) = call(matches, "POST", &path, YAML, Bytes::from(text))?;
    match status {
        StatusCode::CREATED => say(&format!("Loaded {} entities.", count(&body))),
        StatusCode::ACCEPTED => say("Loaded; not every data plane serves it yet."),
        _ => bail!("the Admin API answered {status}: {}", message(&body)),
    }
}

/// How many entities were loaded.
fn count(body: &Bytes) -> u64 {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    json["entities"].as_u64().unwrap_or_default()
}
