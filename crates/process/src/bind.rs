//! Taking addresses, with errors that say what to do.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use settings::Listener;
use socket2::{Domain, Protocol, Socket, Type};

/// The queue of connections that wait to be accepted, when the listener does not say.
const BACKLOG: u32 = 1024;

/// An address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: cannot listen on {listener}: {why}")]
pub struct BindError {
    /// The setting that named the address.
    setting: &'static str,
    /// The address, as it was given.
    listener: String,
    /// What is wrong, and what to do.
    why: String,
}

/// Listens on one address. The socket is non-blocking, ready for a runtime.
///
/// A port that another process has is an error even if both would share it (`SO_REUSEPORT`).
///
/// # Errors
/// When the address cannot be taken; `setting` is named as the one to change.
pub fn bind(setting: &'static str, listener: &Listener) -> Result<TcpListener, BindError> {
    let fail = |error: &io::Error| BindError {
        setting,
        listener: listener.at.to_string(),
        why: explain(setting, listener, error),
    };
    let address = resolve(listener).map_err(|error| fail(&error))?;
    open(address, listener).map_err(|error| fail(&error))
}

/// Listens on every address of a setting, or on none.
///
/// # Errors
/// The first address that cannot be taken.
pub fn bind_all(
    setting: &'static str,
    listeners: &[Listener],
) -> Result<Vec<TcpListener>, BindError> {
    listeners.iter().map(|listener| bind(setting, listener)).collect()
}

/// The listeners that can be served: those without TLS. The others are named in the log.
pub fn plain(setting: &'static str, listeners: &[Listener]) -> Vec<Listener> {
    let (encrypted, plain): (Vec<&Listener>, Vec<&Listener>) =
        listeners.iter().partition(|one| one.ssl);
    for listener in encrypted {
        tracing::warn!(setting, %listener, "not listening there: this version of Weir does not speak TLS on it");
    }
    plain.into_iter().cloned().collect()
}

fn resolve(listener: &Listener) -> io::Result<SocketAddr> {
    (listener.at.host.as_str(), listener.at.port)
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

fn open(address: SocketAddr, listener: &Listener) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a predecessor that linger in TIME_WAIT must not keep its successor out.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(listener.ipv6only.unwrap_or(true))?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    let backlog = listener.backlog.unwrap_or(BACKLOG);
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

fn explain(setting: &str, listener: &Listener, error: &io::Error) -> String {
    let flag = setting.replace('_', "-");
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another process listens there (see `ss -ltnp 'sport = :{}'`); stop it, or choose another address with --{flag}",
            listener.at.port
        ),
        io::ErrorKind::PermissionDenied => format!(
            "this user may not open ports below 1024; choose a higher one with --{flag}, or grant CAP_NET_BIND_SERVICE"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!(
                "this machine does not have the address; choose one of its own, or 0.0.0.0 for all, with --{flag}"
            )
        }
        _ => format!("{error}; choose another address with --{flag}"),
    }
}

#[cfg(test)]
mod tests {
    use settings::{Program, Settings, Sources};

    use super::*;

    fn listeners(text: &str) -> Vec<Listener> {
        let flags = vec![("status_listen".to_owned(), text.to_owned())];
        let loaded = settings::resolve(Program::Weir, &Sources { flags, ..Sources::default() });
        let Settings { status_listen, .. } = loaded.unwrap().settings;
        status_listen
    }

    #[test]
    fn takes_free_ports_and_names_taken_ones() {
        let bound =
            bind_all("status_listen", &listeners("127.0.0.1:0, localhost:0 backlog=16")).unwrap();
        let ports: Vec<u16> =
            bound.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        assert!(ports.iter().all(|port| *port != 0));

        let error =
            bind("status_listen", &listeners(&format!("127.0.0.1:{}", ports[0]))[0]).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "status_listen: cannot listen on 127.0.0.1:{0}: another process listens there (see `ss -ltnp \
                 'sport = :{0}'`); stop it, or choose another address with --status-listen",
                ports[0]
            )
        );
    }

    #[test]
    fn a_foreign_address_is_explained() {
        let error = bind("status_listen", &listeners("192.0.2.1:0")[0]).unwrap_err();
        assert!(error.to_string().contains("this machine does not have the address"), "{error}");
    }
}
