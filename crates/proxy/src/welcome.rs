//! From an accepted connection to the protocol that is spoken over it: the PROXY protocol's header, then TLS, then
//! HTTP.

use std::{io, net::SocketAddr, rc::Rc};

use settings::Listener;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::TlsAcceptor;
use upstream::Stream;

use crate::{
    connection, connection_http2,
    listener::Acceptor,
    proxy_protocol,
    request::Origin,
    thread::{Entered, Thread},
    tls,
};

/// Accepts the connections of one listener for HTTP for ever, each served by a task of its own.
pub(crate) async fn accept(
    thread: Rc<Thread>,
    listener: Listener,
    tls: Option<TlsAcceptor>,
    mut acceptor: Acceptor,
) {
    loop {
        let (tcp, peer) = next(&thread, &listener, &mut acceptor).await;
        let Ok(origin) = origin(&thread, &listener, &tcp, peer) else { continue };
        let entered = thread.enter();
        if tls.is_none() && !listener.proxy_protocol {
            let serve = connection::serve(thread.clone(), entered, Stream::Plain(tcp), origin);
            tokio::task::spawn_local(serve);
        } else {
            let prepare =
                prepare(thread.clone(), entered, listener.clone(), tls.clone(), tcp, origin);
            tokio::task::spawn_local(prepare);
        }
        thread.fewer_than(thread.options.limits.connections).await;
    }
}

/// The next connection of a listener.
pub(crate) async fn next(
    thread: &Thread,
    listener: &Listener,
    acceptor: &mut Acceptor,
) -> (TcpStream, SocketAddr) {
    acceptor
        .accept(|error| {
            thread.counters.refused();
            tracing::warn!(address = %listener.at, %error, "cannot accept a connection; raise the limit of open files (ulimit -n) if it is reached");
        })
        .await
}

/// Where a connection comes from, as far as the sockets know.
///
/// # Errors
/// If it is gone already.
pub(crate) fn origin(
    thread: &Thread,
    listener: &Listener,
    tcp: &TcpStream,
    peer: SocketAddr,
) -> io::Result<Origin> {
    // What is written at once is to leave at once. Without it the connection still works.
    let _ = tcp.set_nodelay(true);
    Ok(Origin {
        peer,
        proxied: None,
        local: thread.options.outside(tcp.local_addr()?),
        trusted: thread.options.trust.trusts(peer.ip()),
        tls: false,
        session: None,
        http2: listener.http2,
        sni: None,
    })
}

/// Receives the PROXY protocol's header. False if the connection is to be closed.
pub(crate) async fn introduce(thread: &Thread, tcp: &mut TcpStream, origin: &mut Origin) -> bool {
    let limit = thread.options.limits.head_timeout;
    match tokio::time::timeout(limit, proxy_protocol::receive(tcp)).await {
        Err(_) => false,
        Ok(Err(error)) => {
            tracing::info!(peer = %origin.peer, address = %origin.local, %error, "connection refused");
            false
        }
        Ok(Ok(client)) => {
            origin.proxied = client;
            true
        }
    }
}

/// Serves a connection that begins with something else than HTTP. What comes behind that has a task of its own, which
/// lasts longer and needs none of this one's memory.
async fn prepare(
    thread: Rc<Thread>,
    entered: Entered,
    listener: Listener,
    tls: Option<TlsAcceptor>,
    mut tcp: TcpStream,
    mut origin: Origin,
) {
    if listener.proxy_protocol && !introduce(&thread, &mut tcp, &mut origin).await {
        return;
    }
    let Some(tls) = tls else {
        let serve = connection::serve(thread, entered, Stream::Plain(tcp), origin);
        tokio::task::spawn_local(serve);
        return;
    };
    let handshake = async {
        let mut first = [0];
        tcp.peek(&mut first).await?;
        if first != [TLS_HANDSHAKE] {
            // As well as not: whoever speaks the wrong protocol may be gone.
            let _ = tcp.write_all(PLAIN_HTTP).await;
            let _ = tcp.shutdown().await;
            return Err(io::Error::other("it does not begin with a TLS handshake"));
        }
        tls.accept(tcp).await
    };
    match tokio::time::timeout(thread.options.limits.head_timeout, handshake).await {
        Err(_) => {}
        Ok(Err(error)) => tracing::debug!(peer = %origin.peer, %error, "TLS handshake failed"),
        Ok(Ok(stream)) => {
            let sni = stream.get_ref().1.server_name().map(Box::from);
            let session = tls::session(stream.get_ref().1);
            let origin = Origin { tls: true, session, sni, ..origin };
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let stream = Stream::Tls(Box::new(stream.into()));
            if http2 {
                let serve = connection_http2::serve(thread, entered, stream, Vec::new(), origin);
                tokio::task::spawn_local(serve);
            } else {
                tokio::task::spawn_local(connection::serve(thread, entered, stream, origin));
            }
        }
    }
}

/// The first byte of a TLS connection: the content type of a handshake record (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 22;

/// What a client gets that speaks plain HTTP where TLS is spoken.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nContent-Length: 118\r\nConnection: close\r\n\r\n\
<html><head><title>400</title></head><body>The plain HTTP request was sent to an HTTPS port; use https.</body></html>\n";
