//! A client of a gateway: requests as JSON, one connection each.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::exchange::{Base, Request, exchange};

/// How long something that happens soon may take on a loaded machine.
const SOON: Duration = Duration::from_secs(20);

/// A client of one gateway's listeners.
#[derive(Clone, Debug)]
pub struct Client {
    admin: String,
    proxy: String,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as JSON; null when it is none.
    pub json: Value,
}

impl Reply {
    /// The first header of this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Client {
    /// A client of these listeners.
    pub fn new(admin: SocketAddr, proxy: SocketAddr) -> Client {
        Client { admin: admin.to_string(), proxy: proxy.to_string() }
    }

    /// The same, with the proxy elsewhere.
    pub fn with_proxy(&self, proxy: SocketAddr) -> Client {
        Client { proxy: proxy.to_string(), ..self.clone() }
    }

    /// The same, with the Admin API elsewhere.
    pub fn with_admin(&self, admin: SocketAddr) -> Client {
        Client { admin: admin.to_string(), ..self.clone() }
    }

    /// Where the proxy listens.
    pub fn proxy_address(&self) -> &str {
        &self.proxy
    }

    /// Calls the Admin API with a request in the form of the recorded scenarios (`method`,
    /// `path`, `headers`, and one of `json`, `form`, `body`).
    ///
    /// # Errors
    /// When there is no answer.
    pub fn admin(&self, request: &Value) -> Result<Reply> {
        send(&self.admin, request)
    }

    /// Calls the Admin API, which must answer with a success.
    ///
    /// # Errors
    /// When it does not.
    pub fn write(&self, request: &Value) -> Result<Reply> {
        let reply = self.admin(request)?;
        if !(200..300).contains(&reply.status) {
            bail!("{request} was answered with {}: {}", reply.status, reply.json);
        }
        Ok(reply)
    }

    /// Calls the proxy.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn proxy(&self, request: &Value) -> Result<Reply> {
        send(&self.proxy, request)
    }

    /// The common name of the certificate that a TLS listener shows for a server name.
    ///
    /// # Errors
    /// When there is no handshake.
    pub fn certificate(&self, listener: SocketAddr, server_name: &str) -> Result<Option<String>> {
        let base = Base::tls(&listener.to_string(), Some(server_name), None);
        Ok(exchange(&base, &Request::new("GET", "/"))?.certificate)
    }

    /// Calls the proxy until it answers with this status.
    ///
    /// # Errors
    /// When it does not soon.
    pub fn proxy_until(&self, request: &Value, status: u16) -> Result<Reply> {
        let deadline = Instant::now() + SOON;
        loop {
            let reply = self.proxy(request);
            match reply {
                Ok(reply) if reply.status == status => return Ok(reply),
                reply if Instant::now() > deadline => {
                    bail!("{request} is not answered with {status}, but {reply:?}")
                }
                _ => thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

fn send(address: &str, request: &Value) -> Result<Reply> {
    let request = Request::from_scenario(request)?;
    let answer =
        exchange(&Base::plain(address), &request).with_context(|| format!("{request:?}"))?;
    Ok(Reply {
        status: answer.status,
        headers: answer.headers,
        json: serde_json::from_slice(&answer.body).unwrap_or_default(),
    })
}
