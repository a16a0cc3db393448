//! Sockets that clients connect to: one per traffic thread and address, so that the operating system spreads the
//! connections and no thread waits for another.

use std::{
    io,
    net::{SocketAddr, TcpListener, ToSocketAddrs, UdpSocket},
    time::Duration,
};

use lifecycle::Backoff;
use rand::{SeedableRng, rngs::StdRng};
use settings::Listener;
use socket2::{Domain, Socket, Type};

/// Why the proxy does not listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The name of the address does not resolve.
    #[error("{setting}: '{host}' does not resolve: {error}; give an IP address of this machine")]
    Name {
        /// The setting that has it.
        setting: &'static str,
        /// The name.
        host: String,
        /// What the resolver says.
        error: io::Error,
    },
    /// The operating system refuses the address.
    #[error("{setting}: cannot listen on {address}: {error}{}", hint(error))]
    Address {
        /// The setting that has it.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        error: io::Error,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another process listens there: stop it, or choose another port"
        }
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need a privilege: choose another, or grant CAP_NET_BIND_SERVICE"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    }
}

/// One listener of the configuration, with a socket for each traffic thread.
#[derive(Debug)]
pub(crate) struct Bound<S> {
    pub(crate) listener: Listener,
    pub(crate) address: SocketAddr,
    pub(crate) sockets: Vec<S>,
}

/// Connections that wait to be accepted where the setting says nothing: Linux' own default bound.
const BACKLOG: u32 = 4096;

/// Opens the sockets of one listener of a setting, `threads` of them on the same address. Port 0 becomes a free port.
pub(crate) fn bind(
    setting: &'static str,
    listener: &Listener,
    threads: usize,
) -> Result<Bound<TcpListener>, BindError> {
    let open = |address| {
        let socket = open(address, listener, Type::STREAM)?;
        let backlog = listener.backlog.unwrap_or(BACKLOG);
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        let socket = TcpListener::from(socket);
        Ok((socket.local_addr()?, socket))
    };
    bind_all(setting, listener, threads, Type::STREAM, open)
}

/// As [`bind`], for datagrams. The operating system gives all datagrams of a client to the same socket.
pub(crate) fn bind_udp(
    setting: &'static str,
    listener: &Listener,
    threads: usize,
) -> Result<Bound<UdpSocket>, BindError> {
    let open = |address| {
        let socket = UdpSocket::from(open(address, listener, Type::DGRAM)?);
        Ok((socket.local_addr()?, socket))
    };
    bind_all(setting, listener, threads, Type::DGRAM, open)
}

fn bind_all<S>(
    setting: &'static str,
    listener: &Listener,
    threads: usize,
    kind: Type,
    open: impl Fn(SocketAddr) -> io::Result<(SocketAddr, S)>,
) -> Result<Bound<S>, BindError> {
    let at = &listener.at;
    let unresolved = |error| BindError::Name { setting, host: at.host.clone(), error };
    let mut addresses = (at.host.as_str(), at.port).to_socket_addrs().map_err(unresolved)?;
    let address = addresses.next().ok_or_else(|| unresolved(io::ErrorKind::NotFound.into()))?;
    let failed = |error| BindError::Address { setting, address, error };
    if address.port() != 0 && is_taken(address, kind) {
        return Err(failed(io::ErrorKind::AddrInUse.into()));
    }
    let (address, first) = open(address).map_err(failed)?;
    let mut sockets = vec![first];
    for _ in 1..threads {
        let (_, socket) = open(address).map_err(failed)?;
        sockets.push(socket);
    }
    Ok(Bound { listener: listener.clone(), address, sockets })
}

/// Whether somebody listens there. SO_REUSEPORT would let two gateways of one user share a port without a word, and
/// half of the requests go to the wrong one.
fn is_taken(address: SocketAddr, kind: Type) -> bool {
    let probe = || -> io::Result<()> {
        let socket = Socket::new(Domain::for_address(address), kind, None)?;
        if kind == Type::STREAM {
            // As our own sockets have it, so that connections of a former process that wait to end do not count.
            socket.set_reuse_address(true)?;
        }
        socket.bind(&address.into())?;
        if kind == Type::STREAM { socket.listen(1) } else { Ok(()) }
    };
    probe().is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

fn open(address: SocketAddr, listener: &Listener, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if let (SocketAddr::V6(_), Some(only)) = (address, listener.ipv6only) {
        socket.set_only_v6(only)?;
    }
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Accepts connections for ever, one after the other. When the process or the machine has no room for another, it
/// waits with back-off: the clients stay in the queue.
pub(crate) struct Acceptor {
    listener: tokio::net::TcpListener,
    backoff: Backoff,
    random: StdRng,
}

impl Acceptor {
    pub(crate) fn new(socket: TcpListener, seed: u64) -> io::Result<Acceptor> {
        Ok(Acceptor {
            listener: tokio::net::TcpListener::from_std(socket)?,
            backoff: Backoff::new(Duration::from_millis(10), Duration::from_secs(1)),
            random: StdRng::seed_from_u64(seed),
        })
    }

    /// The next connection. `refused` is told each failure.
    pub(crate) async fn accept(
        &mut self,
        mut refused: impl FnMut(&io::Error),
    ) -> (tokio::net::TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => {
                    self.backoff.reset();
                    return accepted;
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    refused(&error);
                    tokio::time::sleep(self.backoff.next_delay(&mut self.random)).await;
                }
            }
        }
    }
}

/// Whether the connection was gone before it was accepted; the next one may be had at once.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use settings::{HostPort, Listener};

    use super::{BindError, bind, bind_udp};

    fn listener(host: &str, port: u16) -> Listener {
        let at = HostPort { host: host.to_owned(), port };
        Listener {
            at,
            ssl: false,
            http2: false,
            proxy_protocol: false,
            udp: false,
            backlog: None,
            ipv6only: None,
        }
    }

    #[test]
    fn every_thread_has_a_socket_on_the_same_port() {
        let bound = bind("proxy_listen", &listener("127.0.0.1", 0), 3).unwrap();
        assert_ne!(bound.address.port(), 0);
        assert_eq!(bound.sockets.len(), 3);
        for socket in &bound.sockets {
            assert_eq!(socket.local_addr().unwrap(), bound.address);
        }
    }

    #[test]
    fn a_port_that_is_taken_is_refused_with_a_hint() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = bind("proxy_listen", &listener("127.0.0.1", port), 1).unwrap_err();
        assert!(error.to_string().contains("another process listens there"), "{error}");
        let ours = bind("proxy_listen", &listener("127.0.0.1", 0), 1).unwrap();
        let again =
            bind("proxy_listen", &listener("127.0.0.1", ours.address.port()), 1).unwrap_err();
        assert!(matches!(again, BindError::Address { .. }), "{again}");
    }

    #[test]
    fn datagrams_have_ports_of_their_own() {
        let tcp = bind("proxy_listen", &listener("127.0.0.1", 0), 1).unwrap();
        let port = tcp.address.port();
        let udp = bind_udp("stream_listen", &listener("127.0.0.1", port), 2).unwrap();
        assert_eq!(udp.address, tcp.address);
        let again = bind_udp("stream_listen", &listener("127.0.0.1", port), 2).unwrap_err();
        assert!(again.to_string().starts_with("stream_listen: cannot listen on"), "{again}");
    }

    #[test]
    fn a_name_that_does_not_resolve_is_named() {
        let error = bind("proxy_listen", &listener("no.such.host.invalid", 0), 1).unwrap_err();
        assert!(error.to_string().contains("no.such.host.invalid"), "{error}");
    }
}
