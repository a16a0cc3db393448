//! `weir explain`: what would become of a request, asked of a running gateway.

use std::fmt::Write;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use hyper::{StatusCode, Uri};
use serde_json::{Map, Value, json};

use super::api::{admin, call};
use super::say;

pub(super) fn command() -> Command {
    let text = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    Command::new("explain")
        .about("Tell what would become of a request, without sending it")
        .arg(admin())
        .arg(text("method", "METHOD", "The method").short('X').default_value("GET"))
        .arg(
            text("header", "NAME: VALUE", "A header; may be repeated")
                .short('H')
                .action(ArgAction::Append),
        )
        .arg(text("client", "ADDRESS", "Who connects; 127.0.0.1 when not given"))
        .arg(text("sni", "NAME", "The server name of the TLS handshake, if not the URL's host"))
        .arg(text("consumer", "ID|USERNAME", "Whom plugins find out"))
        .arg(text("route", "ID", "A route to be told about even if it is no candidate"))
        .arg(
            text("revision", "N", "The oldest revision that is of use")
                .value_parser(value_parser!(u64)),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print the answer as the Admin API gives it"),
        )
        .arg(
            Arg::new("url")
                .value_name("URL")
                .required(true)
                .value_parser(value_parser!(Uri))
                .help("What is asked for, as http://example.com/path?query"),
        )
}

pub(super) fn run(matches: &ArgMatches) -> Result<()> {
    let described = Bytes::from(description(matches)?.to_string());
    let (status, body) = call(matches, "POST", "/explain", "application/json", described)?;
    let told: Value =
        serde_json::from_slice(&body).context("the Admin API answered something else than JSON")?;
    if status != StatusCode::OK {
        let message = told["message"].as_str().unwrap_or_default();
        bail!("the Admin API answered {status}: {message}");
    }
    if matches.get_flag("json") {
        return say(&serde_json::to_string_pretty(&told)?);
    }
    say(shown(&told).trim_end())
}

/// The request, as `POST /explain` takes it.
fn description(matches: &ArgMatches) -> Result<Value> {
    let url = matches.get_one::<Uri>("url").cloned().unwrap_or_default();
    let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else {
        bail!("{url} is no URL; write it with scheme and host, as http://example.com/path");
    };
    let mut described = json!({
        "scheme": scheme,
        "host": authority.as_str(),
        "path": url.path_and_query().map_or("/", |path| path.as_str()),
    });
    for (option, field) in [
        ("method", "method"),
        ("client", "client_address"),
        ("consumer", "consumer"),
        ("route", "route"),
    ] {
        if let Some(value) = matches.get_one::<String>(option) {
            described[field] = value.as_str().into();
        }
    }
    let named = Some(authority.host()).filter(|_| scheme == "https");
    if let Some(sni) = matches.get_one::<String>("sni").map(String::as_str).or(named) {
        described["sni"] = sni.into();
    }
    if let Some(revision) = matches.get_one::<u64>("revision") {
        described["revision"] = (*revision).into();
    }
    let mut headers: Map<String, Value> = Map::new();
    for header in matches.get_many::<String>("header").into_iter().flatten() {
        let Some((name, value)) = header.split_once(':') else {
            bail!("--header {header}: expected NAME: VALUE");
        };
        let values = headers.entry(name.trim()).or_insert_with(|| json!([]));
        values.as_array_mut().into_iter().for_each(|values| values.push(value.trim().into()));
    }
    described["headers"] = headers.into();
    Ok(described)
}

/// The answer for a reader.
fn shown(told: &Value) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<11} {value}");
    };
    line("Revision", &told["revision"].to_string());
    let candidates = |field: &str| told[field].as_array().cloned().unwrap_or_default();
    for (name, field) in [("Candidate", "candidates"), ("Asked about", "asked_about")] {
        for candidate in candidates(field) {
            let outcome = match candidate["failed"].as_str() {
                None => "matches".to_owned(),
                Some(failed) => format!("fails at {failed}"),
            };
            line(name, &format!("{}: {outcome}", named(&candidate["route"])));
        }
    }
    if let Some(more) = told["candidates_left_off"].as_u64() {
        line("", &format!("and {more} more"));
    }
    if told["route"].is_object() {
        line("Route", &named(&told["route"]));
    }
    if told["service"].is_object() {
        line("Service", &named(&told["service"]));
    }
    for plugin in candidates("plugins") {
        line("Plugin", &named(&plugin));
    }
    let target = &told["target"];
    if target.is_object() {
        let health = target["health"].as_str().unwrap_or("UNKNOWN");
        let (upstream, address) = (&told["upstream"]["name"], &target["address"]);
        line("Target", &format!("{} of {} ({health})", bare(address), bare(upstream)));
    }
    let sends = &told["sends"];
    if sends.is_object() {
        let request = format!("{} {}", bare(&sends["method"]), bare(&sends["url"]));
        line("Sends", &format!("{request} {}", bare(&sends["protocol"])));
        for header in sends["headers"].as_array().into_iter().flatten() {
            line("", &format!("{}: {}", bare(&header[0]), bare(&header[1])));
        }
    }
    let answer = &told["answer"];
    if answer.is_object() {
        line("Answer", &format!("{} {}", answer["status"], bare(&answer["message"])));
    }
    if let Some(reason) = told["reason"].as_str() {
        line("Reason", reason);
    }
    text
}

/// The name of an entity, with its id.
fn named(entity: &Value) -> String {
    match entity["name"].as_str() {
        Some(name) => format!("{name} ({})", bare(&entity["id"])),
        None => bare(&entity["id"]).to_owned(),
    }
}

fn bare(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{command, description, shown};

    #[test]
    fn a_url_and_options_become_a_description() {
        let matches = command().get_matches_from([
            "explain",
            "-X",
            "POST",
            "-H",
            "x-a: 1",
            "-H",
            "x-a: 2",
            "--client",
            "10.0.0.1",
            "https://a.test:8443/p?q",
        ]);
        assert_eq!(
            description(&matches).unwrap(),
            json!({
                "scheme": "https", "host": "a.test:8443", "path": "/p?q", "sni": "a.test",
                "method": "POST", "client_address": "10.0.0.1", "headers": {"x-a": ["1", "2"]},
            })
        );
        assert!(description(&command().get_matches_from(["explain", "/p"])).is_err());
        let colonless = command().get_matches_from(["explain", "-H", "x", "http://a"]);
        assert!(description(&colonless).is_err());
    }

    #[test]
    fn an_answer_is_lines() {
        let told = json!({
            "revision": 7,
            "candidates": [
                {"route": {"id": "1", "name": "posts"}, "failed": "methods"},
                {"route": {"id": "2", "name": null}, "failed": null},
            ],
            "route": {"id": "2", "name": null},
            "target": {"address": "10.0.0.1:80", "health": "HEALTHY"},
            "upstream": {"name": "u"},
            "sends": {
                "method": "GET", "url": "http://u/x", "protocol": "HTTP/1.1",
                "headers": [["Host", "u"]],
            },
        });
        assert_eq!(
            shown(&told),
            "Revision    7\n\
             Candidate   posts (1): fails at methods\n\
             Candidate   2: matches\n\
             Route       2\n\
             Target      10.0.0.1:80 of u (HEALTHY)\n\
             Sends       GET http://u/x HTTP/1.1\n            Host: u\n"
        );
    }
}
