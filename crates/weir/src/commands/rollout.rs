//! `weir rollout`: releases to some data planes first, driven through the Admin API.

use std::fmt::Write;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::{Arg, ArgAction, ArgMatches, Command};
use hyper::StatusCode;
use serde_json::{Value, json};

use super::api::{admin, call, message};
use super::say;

pub(super) fn command() -> Command {
    let wait =
        |help: &'static str| Arg::new("wait").long("wait").value_name("all|quorum|N").help(help);
    Command::new("rollout")
        .about("Release changes to some data planes first, then to all or to none")
        .long_about(
            "Release changes to some data planes first, then to all or to none.\n\nFrom `start` \
             on, everything that is written (by the Admin API, decK, `weir load`) is released only \
             to data planes with the labels (their cluster_dp_labels). All others stay at the \
             revision before, also when they restart or use another control plane. `promote` \
             releases everything to all; `revert` puts back what was written since.",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("start")
                .about("Release what is written from now on to labelled data planes only")
                .arg(admin())
                .arg(
                    Arg::new("label")
                        .long("label")
                        .short('l')
                        .value_name("NAME:VALUE")
                        .required(true)
                        .action(ArgAction::Append)
                        .help("A label that data planes must have; may be repeated: all of them"),
                ),
        )
        .subcommand(
            Command::new("status")
                .about("Tell which rollout is open, and who serves what")
                .arg(admin())
                .arg(
                    Arg::new("json")
                        .long("json")
                        .action(ArgAction::SetTrue)
                        .help("Print the answer as the Admin API gives it"),
                ),
        )
        .subcommand(
            Command::new("promote")
                .about("Release everything to all data planes, and end the rollout")
                .arg(admin())
                .arg(wait("Return only when so many data planes serve it")),
        )
        .subcommand(
            Command::new("revert")
                .about("Put back everything that was written since the start, and end the rollout")
                .arg(admin())
                .arg(wait("Return only when so many data planes are back")),
        )
}

pub(super) fn run(matches: &ArgMatches) -> Result<()> {
    match matches.subcommand() {
        Some(("start", matches)) => start(matches),
        Some(("promote", matches)) => end(matches, "promote"),
        Some(("revert", matches)) => end(matches, "revert"),
        Some((_, matches)) => status(matches),
        // clap refuses it.
        None => Ok(()),
    }
}

fn start(matches: &ArgMatches) -> Result<()> {
    let labels: Vec<&String> = matches.get_many("label").into_iter().flatten().collect();
    let body = json!({ "labels": labels }).to_string();
    let (status, body) = ask(matches, "POST", "/rollouts", body)?;
    if status != StatusCode::CREATED {
        bail!("the Admin API answered {status}: {}", message(&body));
    }
    let opened = parsed(&body)?;
    say(shown(&opened).trim_end())?;
    if matching(&opened).next().is_none() {
        say(
            "No data plane has these labels: what is written now is served by nobody until the \n\
             rollout is promoted. Start one with cluster_dp_labels, or revert.",
        )?;
    }
    Ok(())
}

fn status(matches: &ArgMatches) -> Result<()> {
    let (status, body) = ask(matches, "GET", "/rollouts", String::new())?;
    if status != StatusCode::OK {
        bail!("the Admin API answered {status}: {}", message(&body));
    }
    let told = parsed(&body)?;
    if matches.get_flag("json") {
        return say(&serde_json::to_string_pretty(&told)?);
    }
    match told["data"].get(0) {
        Some(open) => say(shown(open).trim_end()),
        None => say("No rollout is open."),
    }
}

fn end(matches: &ArgMatches, how: &str) -> Result<()> {
    let wait = matches.get_one::<String>("wait").map(|wait| format!("?wait={wait}"));
    let path = format!("/rollouts/{how}{}", wait.unwrap_or_default());
    let (status, body) = ask(matches, "POST", &path, "{}".to_owned())?;
    if !matches!(status, StatusCode::OK | StatusCode::ACCEPTED) {
        bail!("the Admin API answered {status}: {}", message(&body));
    }
    let told = parsed(&body)?;
    let (touched, revision) = (&told["touched"], &told["revision"]);
    say(&match how {
        "promote" => format!(
            "Promoted: all data planes get revision {revision}, with {touched} changed entities."
        ),
        _ => format!(
            "Reverted: {touched} entities are as they were at revision {}; that is revision \
             {revision}.",
            told["opened_revision"]
        ),
    })?;
    if status == StatusCode::ACCEPTED {
        say("Not every data plane serves it yet.")?;
    }
    Ok(())
}

fn ask(
    matches: &ArgMatches,
    method: &str,
    path: &str,
    body: String,
) -> Result<(StatusCode, Bytes)> {
    call(matches, method, path, "application/json", Bytes::from(body))
}

fn parsed(body: &Bytes) -> Result<Value> {
    serde_json::from_slice(body).context("the Admin API answered something else than JSON")
}

/// The connected data planes that the rollout begins with.
fn matching(rollout: &Value) -> impl Iterator<Item = &Value> {
    let all = rollout["data_planes"].as_array().into_iter().flatten();
    all.filter(|known| known["connected"] == true && known["matches"] == true)
}

/// A rollout for a reader.
fn shown(rollout: &Value) -> String {
    let labels = rollout["labels"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let labels: Vec<&str> = labels.collect();
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "Rollout to data planes with {}, open since revision {}; {} entities touched.",
        labels.join(", "),
        rollout["opened_revision"],
        rollout["touched"]
    );
    let data_planes: Vec<&Value> =
        rollout["data_planes"].as_array().into_iter().flatten().collect();
    if data_planes.is_empty() {
        return text;
    }
    let _ = writeln!(
        text,
        "\n{:<24} {:<8} {:>8} {:>8}  state",
        "DATA PLANE", "ROLLOUT", "SERVES", "TARGET"
    );
    for known in data_planes {
        let name = match known["hostname"].as_str() {
            Some(name) if !name.is_empty() => name,
            _ => known["id"].as_str().unwrap_or_default(),
        };
        let part = if known["matches"] == true { "first" } else { "held" };
        let number = |field: &str| known[field].as_u64().map_or("-".to_owned(), |n| n.to_string());
        let (serves, target) = (number("revision"), number("target_revision"));
        let state = match known["connected"] == true {
            false => "away",
            true if known["revision"].as_u64() >= known["target_revision"].as_u64() => "current",
            true => "behind",
        };
        let _ = writeln!(text, "{name:<24} {part:<8} {serves:>8} {target:>8}  {state}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_serves_what_is_a_table() {
        let rollout = json!({
            "labels": ["stage:canary", "region:eu"], "opened_revision": 12, "touched": 2,
            "data_planes": [
                {"id": "1", "hostname": "edge-1", "connected": true, "matches": true,
                 "revision": 13, "target_revision": 14},
                {"id": "2", "hostname": "", "connected": true, "matches": false,
                 "revision": 12, "target_revision": 12},
                {"id": "3", "hostname": "edge-3", "connected": false, "matches": false,
                 "revision": null, "target_revision": 12},
            ],
        });
        assert_eq!(
            shown(&rollout),
            "Rollout to data planes with stage:canary, region:eu, open since revision 12; 2 \
             entities touched.\n\n\
             DATA PLANE               ROLLOUT    SERVES   TARGET  state\n\
             edge-1                   first          13       14  behind\n\
             2                        held           12       12  current\n\
             edge-3                   held            -       12  away\n"
        );
        assert_eq!(matching(&rollout).count(), 1);
    }
}
