//! A target to be killed, stopped and made to fail: an HTTP server that answers with its name.
//!
//! `target NAME` listens on a free loopback port, says which on standard output, and answers every
//! request with 200 and its name, or with the status that a request for `/become/STATUS` asked
//! for.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "its port is what a caller reads")]

use std::cell::Cell;
use std::rc::Rc;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn main() -> Result<()> {
    let name: Rc<str> = std::env::args().nth(1).context("usage: target NAME")?.into();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?.port());
        let status = Rc::new(Cell::new(200));
        loop {
            let (stream, _) = listener.accept().await?;
            let (name, status) = (Rc::clone(&name), Rc::clone(&status));
            tokio::task::spawn_local(async move {
                // Whoever is gone needs no answer.
                let _ = serve(stream, &name, &status).await;
            });
        }
    })
}

async fn serve(mut stream: TcpStream, name: &str, status: &Cell<u16>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut received = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = received.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(received.get(..end).unwrap_or_default()).into_owned();
        received.drain(..end);
        let length =
            head.lines().filter_map(|line| line.split_once(": ")).find_map(|(key, value)| {
                key.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>())
            });
        let length = length.transpose()?.unwrap_or(0);
        while received.len() < length {
            stream.read_buf(&mut received).await?;
        }
        received.drain(..length);
        let path = head.split(' ').nth(1).unwrap_or_default();
        if let Some(wanted) = path.strip_prefix("/become/") {
            status.set(wanted.parse()?);
        }
        let status = status.get();
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{name}", name.len());
        stream.write_all(answer.as_bytes()).await?;
    }
}
