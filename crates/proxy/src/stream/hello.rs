//! The first message of a TLS client, read without answering it: it names the server that the client wants.

use std::io;

use rustls::server::Acceptor;
use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::failure::Failure;

/// A client's first message.
pub(crate) struct Hello {
    /// All bytes that were received; the handshake goes on behind them, here or at the target.
    pub(crate) received: Vec<u8>,
    /// The server's name (SNI, RFC 6066 §3).
    pub(crate) name: Option<Box<str>>,
}

/// A first message that is larger is no honest one: with certificates of the largest post-quantum schemes and a
/// session to resume it has a few kilobytes.
const LARGEST: usize = 32 * 1024;

/// Receives the first message.
///
/// # Errors
/// [`Failure::Hello`] if it is none.
pub(crate) async fn receive(tcp: &mut TcpStream) -> Result<Hello, Failure> {
    let mut acceptor = Acceptor::default();
    let mut received = Vec::with_capacity(2048);
    loop {
        let before = received.len();
        if before >= LARGEST {
            return Err(Failure::Hello("it is too large".to_owned()));
        }
        if tcp.read_buf(&mut received).await.map_err(|error| broken(&error))? == 0 {
            return Err(broken(&io::ErrorKind::UnexpectedEof.into()));
        }
        let mut new = received.get(before..).unwrap_or_default();
        while !new.is_empty() {
            acceptor.read_tls(&mut new).map_err(|error| broken(&error))?;
            match acceptor.accept() {
                Ok(Some(accepted)) => {
                    let name = accepted.client_hello().server_name().map(Box::from);
                    return Ok(Hello { received, name });
                }
                Ok(None) => {}
                Err((error, _)) => return Err(Failure::Hello(error.to_string())),
            }
        }
    }
}

fn broken(error: &io::Error) -> Failure {
    Failure::Hello(error.to_string())
}
