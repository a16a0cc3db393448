//! Asking the Admin API of a running gateway.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::{Arg, ArgMatches, value_parser};
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How long the Admin API may take: loading 100,000 entities takes seconds.
const PATIENCE: Duration = Duration::from_secs(300);

/// The option that names the Admin API.
pub(super) fn admin() -> Arg {
    Arg::new("admin")
        .long("admin")
        .value_name("URL")
        .default_value("http://127.0.0.1:8001")
        .env("WEIR_ADMIN")
        .value_parser(value_parser!(Uri))
        .help("Where the Admin API listens")
}

/// Sends a request to the Admin API that the command line names, and takes its answer.
///
/// # Errors
/// If it cannot be reached, or takes too long.
pub(super) fn call(
    matches: &ArgMatches,
    method: &str,
    path: &str,
    content_type: &str,
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
        let exchange = exchange(&host, port, method, path, content_type, body);
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
    content_type: &str,
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
        .header(header::CONTENT_TYPE, content_type)
        .body(Full::new(body))?;
    // The sender goes with the answer: while there is one, the connection stays open.
    let answer = async move {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        Ok::<_, hyper::Error>((status, answer.into_body().collect().await?.to_bytes()))
    };
    let (answer, _) = tokio::join!(answer, connection);
    answer.context("the Admin API broke off")
}

/// What an answer says, for the operator.
pub(super) fn message(body: &Bytes) -> String {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let message = json["message"].as_str().map(str::to_owned);
    message.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}
