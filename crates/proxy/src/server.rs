//! The proxy as a whole: sockets first, then traffic threads, then an orderly end.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener, UdpSocket},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use lifecycle::Shutdown;
use process::{Reload, tls::TlsError};
use rustls::ServerConfig;
use settings::Listener;
use telemetry::metrics::Registry;
use tokio::runtime::LocalOptions;
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

use crate::{
    access_log::{AccessLog, Both, FLUSH, Writer},
    counters::{self, Counters, Traffic},
    error_template::{TemplateError, Templates},
    explain::Explainer,
    listener::{self, Acceptor, BindError},
    options::Options,
    secure::ClientPem,
    stream,
    thread::Thread,
    tls::Tls,
    welcome,
};

/// The proxy before it runs: see [`Proxy::bind`].
#[derive(Debug)]
pub struct Proxy;

/// The proxy with its sockets open; nothing is accepted yet.
#[derive(Debug)]
pub struct Bound {
    options: Options,
    listeners: Vec<listener::Bound<TcpListener>>,
    streams: Vec<listener::Bound<TcpListener>>,
    datagrams: Vec<listener::Bound<UdpSocket>>,
}

/// The proxy at work.
pub struct Running {
    threads: Vec<JoinHandle<io::Result<()>>>,
    counters: Vec<Arc<Counters>>,
    logs: Both<Writer>,
    explainer: Explainer,
    certificates: Option<Reload>,
}

/// The proxy did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The access log cannot be opened.
    #[error(
        "the access log cannot be opened: {0}; check its path and the permissions of its directory"
    )]
    AccessLog(io::Error),
    /// An error page cannot be used.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// TLS listeners cannot be served.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The operating system has no room for another thread.
    #[error("a traffic thread cannot be started: {0}")]
    Thread(io::Error),
}

/// A traffic thread ended otherwise than it should.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// Its runtime or its sockets could not be set up.
    #[error("a traffic thread could not start: {0}")]
    Start(io::Error),
    /// It crashed.
    #[error("a traffic thread crashed")]
    Crashed,
}

impl Proxy {
    /// Opens the sockets of all listeners, so that addresses are known and a port that is taken is told before
    /// anything starts.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn bind(options: Options) -> Result<Bound, BindError> {
        let threads = options.threads.max(1);
        let bind = |setting, listeners: &[Listener]| -> Result<Vec<_>, BindError> {
            let tcp = listeners.iter().filter(|listener| !listener.udp);
            tcp.map(|listener| listener::bind(setting, listener, threads)).collect()
        };
        let datagrams = options.streams.iter().filter(|listener| listener.udp);
        Ok(Bound {
            listeners: bind("proxy_listen", &options.listeners)?,
            streams: bind("stream_listen", &options.streams)?,
            datagrams: datagrams
                .map(|listener| listener::bind_udp("stream_listen", listener, threads))
                .collect::<Result<_, _>>()?,
            options,
        })
    }
}

impl Bound {
    /// Where clients can connect, in the order of the listeners.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|bound| bound.address).collect()
    }

    /// Where clients of streams can connect, in the order of the listeners.
    #[must_use]
    pub fn stream_addresses(&self) -> Vec<SocketAddr> {
        let mut tcp = self.streams.iter().map(|bound| bound.address);
        let mut udp = self.datagrams.iter().map(|bound| bound.address);
        let next = |listener: &Listener| if listener.udp { udp.next() } else { tcp.next() };
        self.options.streams.iter().filter_map(next).collect()
    }

    /// Starts the traffic threads. They serve the newest snapshot of `snapshots` until `shutdown` drains: then no
    /// connection is accepted any more, those that wait for a request close, and the others after their answer. When
    /// it is forced, what is left is dropped.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn run(
        self,
        snapshots: &Arc<snapshot::Cell>,
        shutdown: &Shutdown,
    ) -> Result<Running, StartError> {
        let options = Arc::new(self.options);
        let templates = Arc::new(Templates::read(&options.error_templates)?);
        let client =
            options.client_certificate.as_ref().map(ClientPem::read).transpose()?.map(Arc::new);
        let start = |log: &Option<AccessLog>| {
            log.as_ref().map(Writer::start).transpose().map_err(StartError::AccessLog)
        };
        let logs = Both {
            requests: start(&options.access_log)?,
            sessions: start(&options.stream_access_log)?,
        };
        let with_tls = self.listeners.iter().chain(&self.streams).any(|bound| bound.listener.ssl);
        let tls = with_tls
            .then(|| Tls::new(snapshots.clone(), &options.certificates, &options.tls))
            .transpose()?
            .map(Arc::new);
        let certificates = tls.as_ref().and_then(|tls| tls.reload(&options.certificates));
        let addresses =
            self.listeners.iter().map(|bound| (bound.address, bound.listener.ssl)).collect();
        let explainer = Explainer::new(snapshots.clone(), options.clone(), addresses);
        let mut shares: Vec<Share> =
            (0..options.threads.max(1)).map(|_| Share::default()).collect();
        let acceptor = |listener: &Listener, config: fn(&Tls) -> &Arc<ServerConfig>| {
            let tls = tls.as_ref().filter(|_| listener.ssl)?;
            Some(TlsAcceptor::from(config(tls).clone()))
        };
        for bound in self.listeners {
            let tls = if bound.listener.http2 {
                acceptor(&bound.listener, |tls| &tls.http2)
            } else {
                acceptor(&bound.listener, |tls| &tls.http1)
            };
            for (share, socket) in shares.iter_mut().zip(bound.sockets) {
                share.http.push(Part {
                    listener: bound.listener.clone(),
                    tls: tls.clone(),
                    socket,
                });
            }
        }
        for bound in self.streams {
            let tls = acceptor(&bound.listener, |tls| &tls.stream);
            for (share, socket) in shares.iter_mut().zip(bound.sockets) {
                share.streams.push(Part {
                    listener: bound.listener.clone(),
                    tls: tls.clone(),
                    socket,
                });
            }
        }
        for bound in self.datagrams {
            for (share, socket) in shares.iter_mut().zip(bound.sockets) {
                share.datagrams.push(socket);
            }
        }
        let (mut threads, mut all_counters) = (Vec::new(), Vec::new());
        for (index, share) in shares.into_iter().enumerate() {
            let counters = Arc::new(Counters::default());
            all_counters.push(counters.clone());
            let (options, snapshots, shutdown) =
                (options.clone(), snapshots.clone(), shutdown.clone());
            let (templates, client) = (templates.clone(), client.clone());
            let name = format!("traffic-{index}");
            let sinks = Both {
                requests: logs.requests.as_ref().map(Writer::sink),
                sessions: logs.sessions.as_ref().map(Writer::sink),
            };
            let run = move || {
                let thread =
                    Thread::new(options, templates, client, index, &snapshots, counters, sinks);
                traffic_thread(Rc::new(thread), index, share, &shutdown)
            };
            threads.push(
                std::thread::Builder::new().name(name).spawn(run).map_err(StartError::Thread)?,
            );
        }
        Ok(Running { threads, counters: all_counters, logs, explainer, certificates })
    }
}

impl Running {
    /// Adds the proxy's metrics to a registry; `node` is the label of those that Kong gives one.
    pub fn register(&self, registry: &Registry, node: Uuid) {
        let (threads, node) = (self.counters.clone(), node.to_string());
        registry.collect(move |text| counters::render(&threads, &node, text));
    }

    /// What the threads did so far, also after [`join`](Running::join).
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        Traffic::new(self.counters.clone())
    }

    /// Who tells what would become of a request.
    #[must_use]
    pub fn explainer(&self) -> Explainer {
        self.explainer.clone()
    }

    /// Has the access logs opened anew, after their files were moved away (SIGUSR1 in nginx' and Kong's tradition).
    pub fn reopen_logs(&self) -> impl Fn() + Send + Sync + 'static {
        let reopen: Vec<Arc<AtomicBool>> = self.logs.all().map(Writer::reopener).collect();
        move || {
            for reopen in &reopen {
                reopen.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Has the certificates that clients get by default read anew; `None` where none is configured.
    #[must_use]
    pub fn reload_certificates(&self) -> Option<Reload> {
        self.certificates.clone()
    }

    /// Waits until all traffic threads have ended, which they do on a shutdown. Blocks.
    ///
    /// # Errors
    /// See [`Stopped`]; the first one.
    pub fn join(self) -> Result<(), Stopped> {
        let mut result = Ok(());
        for thread in self.threads {
            let ended = match thread.join() {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(Stopped::Start(error)),
                Err(_) => Err(Stopped::Crashed),
            };
            result = result.and(ended);
        }
        for log in [self.logs.requests, self.logs.sessions].into_iter().flatten() {
            log.finish();
        }
        result
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

/// One traffic thread's part of all listeners.
#[derive(Default)]
struct Share {
    http: Vec<Part>,
    streams: Vec<Part>,
    datagrams: Vec<UdpSocket>,
}

/// One traffic thread's part of a listener.
struct Part {
    listener: Listener,
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl Part {
    /// Seeds differ, so that threads do not all try again at the same moment.
    fn acceptor(self, index: usize) -> io::Result<(Listener, Option<TlsAcceptor>, Acceptor)> {
        let seed = u64::from(self.listener.at.port) << 32 | index as u64;
        Ok((self.listener, self.tls, Acceptor::new(self.socket, seed)?))
    }
}

/// How often idle upstream connections and old snapshots are looked after.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

fn traffic_thread(
    thread: Rc<Thread>,
    index: usize,
    share: Share,
    shutdown: &Shutdown,
) -> io::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build_local(LocalOptions::default())?.block_on(async {
        let mut acceptors = Vec::new();
        for part in share.http {
            let (listener, tls, acceptor) = part.acceptor(index)?;
            let accept = welcome::accept(thread.clone(), listener, tls, acceptor);
            acceptors.push(tokio::task::spawn_local(accept));
        }
        for part in share.streams {
            let (listener, tls, acceptor) = part.acceptor(index)?;
            let accept = stream::accept(thread.clone(), listener, tls, acceptor);
            acceptors.push(tokio::task::spawn_local(accept));
        }
        for socket in share.datagrams {
            let socket = tokio::net::UdpSocket::from_std(socket)?;
            acceptors
                .push(tokio::task::spawn_local(stream::serve_datagrams(thread.clone(), socket)));
        }
        let housekeeping = tokio::task::spawn_local(keep_house(thread.clone()));
        let flushing = tokio::task::spawn_local(flush_log(thread.clone()));
        // Apart from this future, which is polled at every wake: what is asked here is locked by all threads.
        let shutdown = shutdown.clone();
        let draining = tokio::task::spawn_local({
            let shutdown = shutdown.clone();
            async move { shutdown.draining().await }
        });
        // Nobody aborts it.
        let _ = draining.await;
        for acceptor in acceptors {
            acceptor.abort();
        }
        thread.drain();
        tokio::select! {
            () = thread.fewer_than(1) => {}
            () = shutdown.forced() => {}
        }
        housekeeping.abort();
        flushing.abort();
        thread.flush_log();
        Ok(())
    })
}

async fn keep_house(thread: Rc<Thread>) {
    let mut interval = tokio::time::interval(HOUSEKEEPING);
    loop {
        interval.tick().await;
        thread.pool.borrow_mut().sweep(std::time::Instant::now());
        thread.http2_pool.sweep(std::time::Instant::now());
        thread.refresh_snapshot();
        balancer::refresh_thread();
    }
}

async fn flush_log(thread: Rc<Thread>) {
    let options = &thread.options;
    if options.access_log.is_none() && options.stream_access_log.is_none() {
        return;
    }
    let mut interval = tokio::time::interval(FLUSH);
    loop {
        interval.tick().await;
        thread.flush_log();
    }
}
