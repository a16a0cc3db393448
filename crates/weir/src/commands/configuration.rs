//! `weir dump` and `weir load`: the whole configuration of a running gateway as text, through its
//! Admin API.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::{Arg, ArgMatches, Command, value_parser};
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::say;

/// How long the Admin API may take: loading 100,000 entities takes seconds.
const PATIENCE: Duration = Duration::from_secs(300);

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

fn admin() -> Arg {
    Arg::new("admin")
        .long("admin")
        .value_name("URL")
        .default_value("http://127.0.0.1:8001")
        .env("WEIR_ADMIN")
        .value_parser(value_parser!(Uri))
        .help("Where the Admin API listens")
}

pub(super) fn dump(matches: &ArgMatches) -> Result<()> {
    let (status, body) = call(matches, "GET", "/declarative", Bytes::new())?;
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
    let (status, body) = call(matches, "POST", &path, Bytes::from(text))?;
    match status {
        StatusCode::CREATED => say(&format!("Loaded {} entities.", count(&body))),
        StatusCode::ACCEPTED => say("Loaded; not every data plane serves it yet."),
        _ => bail!("the Admin API answered {status}: {}", message(&body)),
    }
}

fn call(
    matches: &ArgMatches,
    method: &str,
    path: &str,
    body: Bytes,
) -> Result<(StatusCode, Bytes)> {
    let admin = matches.get_one::<Uri>("admin").cloned().unwrap_or_default();
    if admin.scheme_str() != Some("http") {
        bail!("--admin {admin}: only http:// is spoken here");
    }
    let host = admin.host().unwrap_or("127.0.0.1").to_owned();
    let port = admin.port_u16().unwrap_or(80);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let exchange = exchange(&host, port, method, path, body);
        tokio::time::timeout(PATIENCE, exchange).await.unwrap_or_else(|_| {
            bail!("the Admin API at {host}:{port} did not answer within {} s", PATIENCE.as_secs())
        })
    })
}

async fn exchange(
    host: &str,
    port: u16,
    method: &str,
    path: &str,
    body: Bytes,
) -> Result<(StatusCode, Bytes)> {
    let stream = TcpStream::connect((host, port)).await.with_context(|| {
        format!("the Admin API at {host}:{port} cannot be reached; does the gateway run there?")
    })?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, format!("{host}:{port}"))
        .header(header::CONTENT_TYPE, "application/yaml")
        .body(Full::new(body))?;
    let answer = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        Ok::<_, hyper::Error>((status, answer.into_body().collect().await?.to_bytes()))
    };
    let (answer, _) = tokio::join!(answer, connection);
    answer.context("the Admin API broke off")
}

/// What an answer says, for the operator.
fn message(body: &Bytes) -> String {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let message = json["message"].as_str().map(str::to_owned);
    message.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}

fn count(body: &Bytes) -> usize {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let collections = json.as_object().into_iter().flat_map(serde_json::Map::values);
    collections.filter_map(serde_json::Value::as_object).map(serde_json::Map::len).sum()
}
