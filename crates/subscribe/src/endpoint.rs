//! Control planes, and how they are reached.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Uri;
use http::uri::Authority;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::Channel;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// A control plane that is silent for so long is asked whether it lives…
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// …and is gone if it does not answer within this.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// What a control plane may send before we read, in bytes: per call, and per connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// What a connection runs over.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// Makes connections to one control plane: by TCP, by TLS over it, inside this process, or as a
/// test wants it.
pub trait Dial: Send + Sync + 'static {
    /// A new connection.
    fn dial(&self) -> BoxFuture<'static, io::Result<Box<dyn Io>>>;
}

/// A control plane.
#[derive(Clone)]
pub struct Endpoint {
    name: Arc<str>,
    authority: Authority,
    dial: Arc<dyn Dial>,
}

/// How a control plane is spoken with by TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificate that is shown, and whose are taken: the newest at each handshake.
    pub config: Arc<ArcSwap<ClientConfig>>,
    /// The name that the control plane's certificate must have; the host of its address, when
    /// absent.
    pub name: Option<ServerName<'static>>,
}

/// A control plane's address that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the address of a control plane; expected host:port, such as cp.example.com:8005"
)]
pub struct NotAnAddress(pub String);

impl Endpoint {
    /// A control plane at `host:port`.
    ///
    /// # Errors
    /// When `address` is something else.
    pub fn tcp(address: &str) -> Result<Endpoint, NotAnAddress> {
        let (authority, tcp) = parse(address)?;
        Ok(Endpoint { name: address.into(), authority, dial: Arc::new(tcp) })
    }

    /// A control plane at `host:port` that is spoken with by TLS.
    ///
    /// # Errors
    /// When `address` is something else, or its host cannot be a certificate's name.
    pub fn tls(address: &str, tls: &Tls) -> Result<Endpoint, NotAnAddress> {
        let (authority, tcp) = parse(address)?;
        let name = match &tls.name {
            Some(name) => name.clone(),
            None => ServerName::try_from(tcp.host.to_string())
                .map_err(|_| NotAnAddress(address.to_owned()))?,
        };
        let dial = Encrypted { tcp, config: tls.config.clone(), name };
        Ok(Endpoint { name: address.into(), authority, dial: Arc::new(dial) })
    }

    /// The control plane in this process.
    pub fn in_process(dialer: wire::Dialer) -> Endpoint {
        Endpoint::dialled("in-process", Arc::new(Piped(dialer)))
    }

    /// A control plane that is reached by `dial`; `name` is for logs and for spreading a fleet.
    pub fn dialled(name: &str, dial: Arc<dyn Dial>) -> Endpoint {
        Endpoint { name: name.into(), authority: Authority::from_static("control-plane"), dial }
    }

    /// What it is called in logs.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// A channel that connects when it is first used.
    pub(crate) fn channel(&self) -> Channel {
        let dial = self.dial.clone();
        let connect = tower::service_fn(move |_: Uri| dial.dial().map(|io| io.map(TokioIo::new)));
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(http::uri::Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
        // All three parts are there, so this is a URI.
        let uri = Uri::from_parts(parts).unwrap_or_default();
        Channel::builder(uri)
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .connect_with_connector_lazy(connect)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.name).finish()
    }
}

#[derive(Clone)]
struct Tcp {
    host: Arc<str>,
    port: u16,
}

/// The parts of `host:port`.
fn parse(address: &str) -> Result<(Authority, Tcp), NotAnAddress> {
    let bad = || NotAnAddress(address.to_owned());
    let authority: Authority = address.parse().map_err(|_| bad())?;
    let port = authority.port_u16().ok_or_else(bad)?;
    if authority.host().is_empty() || authority.as_str().contains('@') {
        return Err(bad());
    }
    // An IPv6 address stands in brackets in an authority, and without them for a socket.
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').into();
    Ok((authority, Tcp { host, port }))
}

impl Tcp {
    async fn connect(&self) -> io::Result<TcpStream> {
        let socket = TcpStream::connect((&*self.host, self.port)).await?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }
}

impl Dial for Tcp {
    fn dial(&self) -> BoxFuture<'static, io::Result<Box<dyn Io>>> {
        let tcp = self.clone();
        async move { Ok(Box::new(tcp.connect().await?) as Box<dyn Io>) }.boxed()
    }
}

struct Encrypted {
    tcp: Tcp,
    config: Arc<ArcSwap<ClientConfig>>,
    name: ServerName<'static>,
}

impl Dial for Encrypted {
    // The handshake counts as connecting, which has its time limit.
    fn dial(&self) -> BoxFuture<'static, io::Result<Box<dyn Io>>> {
        let (tcp, name) = (self.tcp.clone(), self.name.clone());
        let connector = TlsConnector::from(self.config.load_full());
        async move {
            let stream = connector.connect(name, tcp.connect().await?).await?;
            Ok(Box::new(stream) as Box<dyn Io>)
        }
        .boxed()
    }
}

struct Piped(wire::Dialer);

impl Dial for Piped {
    fn dial(&self) -> BoxFuture<'static, io::Result<Box<dyn Io>>> {
        let dialer = self.0.clone();
        async move { Ok(Box::new(dialer.dial().await?) as Box<dyn Io>) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port() {
        for good in ["127.0.0.1:8005", "[::1]:8005", "cp.example.com:443"] {
            assert_eq!(&**Endpoint::tcp(good).expect(good).name(), good);
        }
        for bad in ["", "cp", ":8005", "http://cp:8005", "cp:", "cp:99999", "me@cp:1", "cp:8005/x"]
        {
            let error = Endpoint::tcp(bad).expect_err(bad);
            assert!(error.to_string().contains("host:port"), "{error}");
        }
    }
}
