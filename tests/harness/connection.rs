//! One connection of HTTP/1.1 that is kept, for what is measured: a request costs one write and
//! its answer a few reads.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// A connection to an HTTP server.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn open(address: impl ToSocketAddrs) -> Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Connection { stream: BufReader::new(stream) })
    }

    /// Sends a request, and reads its answer to the end: the status and the body. `body` is its
    /// type and content.
    ///
    /// # Errors
    /// When there is no answer, or one without a length.
    pub fn exchange(
        &mut self,
        method: &str,
        path: &str,
        body: Option<(&str, &str)>,
    ) -> Result<(u16, String)> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: weir.test\r\n");
        if let Some((content_type, content)) = body {
            request.push_str(&format!(
                "Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{content}",
                content.len()
            ));
        } else {
            request.push_str("\r\n");
        }
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status: u16 = line.split(' ').nth(1).context("no answer")?.parse()?;
        let mut length = if status == 204 { Some(0) } else { None };
        loop {
            line.clear();
            ensure!(self.stream.read_line(&mut line)? > 0, "the answer breaks off");
            match line.trim().split_once(':') {
                None => break,
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = Some(value.trim().parse()?);
                }
                Some(_) => {}
            }
        }
        let mut answer = vec![0; length.context("an answer without a length")?];
        self.stream.read_exact(&mut answer)?;
        Ok((status, String::from_utf8_lossy(&answer).into_owned()))
    }

    /// As [`exchange`](Connection::exchange), with a body of JSON, which must be answered with a
    /// success.
    ///
    /// # Errors
    /// When it is not.
    pub fn write(&mut self, method: &str, path: &str, json: &str) -> Result<String> {
        let (status, answer) = self.exchange(method, path, Some(("application/json", json)))?;
        ensure!(
            matches!(status, 200 | 201 | 204),
            "{method} {path} was answered with {status}: {answer}"
        );
        Ok(answer)
    }
}
