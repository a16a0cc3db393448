//! What an HTTP probe sends, and the one line that it reads.

use balancer::{Outcome, ProbeHeader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::stream::Stream;

/// Heads that are longer than this before their status is known are no answer.
const LONGEST: usize = 16 * 1024;

/// Sends the request and reads up to the final status; the rest of the answer is left alone.
pub(super) async fn ask(
    mut stream: Stream,
    host: &str,
    path: &str,
    headers: &[ProbeHeader],
) -> Outcome {
    let request = request(host, path, headers);
    if stream.write_all(&request).await.is_err() || stream.flush().await.is_err() {
        return Outcome::Reset;
    }
    let mut answer = Vec::new();
    loop {
        match stream.read_buf(&mut answer).await {
            Ok(0) | Err(_) => return Outcome::Reset,
            Ok(_) => {}
        }
        match status(&answer) {
            Status::Known(status) => return Outcome::Status(status),
            Status::NoHttp => return Outcome::Status(0),
            Status::Open if answer.len() >= LONGEST => return Outcome::Status(0),
            Status::Open => {}
        }
    }
}

/// The request, with nothing more than what the configuration says. No `Connection: close`: who
/// asks hangs up.
fn request(host: &str, path: &str, headers: &[ProbeHeader]) -> Vec<u8> {
    let mut request = Vec::with_capacity(256);
    for part in ["GET ", path, " HTTP/1.1\r\nHost: ", host, "\r\n"] {
        request.extend_from_slice(part.as_bytes());
    }
    for ProbeHeader { name, values } in headers {
        for value in values {
            for part in [name, ": ", value, "\r\n"] {
                request.extend_from_slice(part.as_bytes());
            }
        }
    }
    request.extend_from_slice(b"\r\n");
    request
}

#[derive(Debug, PartialEq, Eq)]
enum Status {
    Known(u16),
    /// More bytes are needed.
    Open,
    NoHttp,
}

/// The final status of what has come so far; interim answers (1xx) are passed over.
fn status(mut answer: &[u8]) -> Status {
    loop {
        let Some(end) = answer.iter().position(|byte| *byte == b'\n') else {
            let begin: &[u8] = b"HTTP/1.";
            let could_be = answer.starts_with(begin) || begin.starts_with(answer);
            return if could_be { Status::Open } else { Status::NoHttp };
        };
        let line = answer.get(..end).unwrap_or_default();
        let code = line.strip_prefix(b"HTTP/1.").and_then(|rest| match rest {
            [b'0' | b'1', b' ', a, b, c, rest @ ..] => {
                let digit = |byte: &u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
                let ends = matches!(rest.first(), None | Some(b' ' | b'\r'));
                ends.then_some(digit(a)? * 100 + digit(b)? * 10 + digit(c)?)
            }
            _ => None,
        });
        match code {
            None => return Status::NoHttp,
            Some(code) if code >= 200 => return Status::Known(code),
            Some(_) => match answer.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(end) => answer = answer.get(end + 4..).unwrap_or_default(),
                None => return Status::Open,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_what_is_configured() {
        let header = |name: &str, values: &[&str]| ProbeHeader {
            name: name.to_owned(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        let headers = [header("X-Check", &["one", "two"]), header("X-Other", &["3"])];
        let request = request("inner.test", "/check/deep", &headers);
        let expected = "GET /check/deep HTTP/1.1\r\nHost: inner.test\r\n\
                        X-Check: one\r\nX-Check: two\r\nX-Other: 3\r\n\r\n";
        assert_eq!(std::str::from_utf8(&request), Ok(expected));
    }

    #[test]
    fn finds_the_final_status() {
        let check =
            |answer: &str, expected| assert_eq!(status(answer.as_bytes()), expected, "{answer}");
        check("", Status::Open);
        check("HTT", Status::Open);
        check("HTTP/1.1 20", Status::Open);
        check("HTTP/1.1 200 OK\r\n", Status::Known(200));
        check("HTTP/1.0 503\r\n", Status::Known(503));
        check("HTTP/1.1 302\n", Status::Known(302));
        check("HTTP/1.1 103 Early\r\nLink: x\r\n", Status::Open);
        check("HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 204 No\r\n", Status::Known(204));
        check("SSH-2.0-x", Status::NoHttp);
        check("HTTP/2 200\r\n", Status::NoHttp);
        check("HTTP/1.1 2x0 OK\r\n", Status::NoHttp);
        check("HTTP/1.1 2000\r\n", Status::NoHttp);
        check("\r\n", Status::NoHttp);
    }
}
