//! Datagrams: a session for each client, from its first datagram until both sides have been silent for too long.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::pin,
    rc::Rc,
    task::Poll,
    time::{Duration, Instant},
};

use balancer::{Lease, Outcome};
use router::Scheme;
use rustc_hash::FxHashMap;
use snapshot::ServiceEntry;
use tokio::{
    io::Interest,
    net::UdpSocket,
    sync::mpsc::{Receiver, Sender, channel, error::TrySendError},
};

use super::{Record, Ties, admit, retry, route, service};
use crate::{
    again::Again,
    failure::Failure,
    forward::milliseconds,
    peers,
    request::Origin,
    thread::{Entered, Thread},
    timer::Timer,
};

/// No datagram is larger (RFC 768).
const LARGEST: usize = 65_535;
/// Datagrams of one client that may wait while its session begins; further ones are lost.
const QUEUE: usize = 64;
/// How long a socket that fails is left alone.
const PAUSE: Duration = Duration::from_millis(50);

/// The sessions of one socket, by client.
type Sessions = Rc<RefCell<FxHashMap<SocketAddr, Sender<Vec<u8>>>>>;

/// Where the answers of targets lie while they are passed on, for all sessions of a socket.
type Room = Rc<RefCell<Vec<u8>>>;

/// Receives the datagrams of one socket for ever, and gives each to its client's session.
pub(crate) async fn serve(thread: Rc<Thread>, socket: UdpSocket) {
    let Ok(local) = socket.local_addr() else { return };
    let local = thread.options.outside(local);
    let socket = Rc::new(socket);
    let sessions = Sessions::default();
    // Whatever is received lies here first: a session needs no room of that size.
    let (mut room, answers) = (vec![0; LARGEST], Rc::new(RefCell::new(vec![0; LARGEST])));
    loop {
        let (length, peer) = match socket.recv_from(&mut room).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(address = %local, %error, "cannot receive a datagram");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let datagram = room.get(..length).unwrap_or_default().to_vec();
        let sender = sessions.borrow().get(&peer).cloned();
        let datagram = match sender.map(|sender| sender.try_send(datagram)) {
            Some(Ok(())) => continue,
            Some(Err(TrySendError::Full(_))) => {
                thread.counters.datagram_lost();
                continue;
            }
            // The session has just ended, or there was none.
            Some(Err(TrySendError::Closed(datagram))) => datagram,
            None => room.get(..length).unwrap_or_default().to_vec(),
        };
        if thread.open() >= thread.options.limits.connections {
            thread.counters.datagram_lost();
            continue;
        }
        let (sender, receiver) = channel(QUEUE);
        // There is room for one.
        let _ = sender.try_send(datagram);
        sessions.borrow_mut().insert(peer, sender.clone());
        let origin = Origin {
            peer,
            proxied: None,
            local,
            trusted: false,
            tls: false,
            http2: false,
            session: None,
            sni: None,
        };
        let entered = thread.enter_stream();
        let answers = answers.clone();
        let session = session(thread.clone(), entered, socket.clone(), origin, receiver, answers);
        let sessions = sessions.clone();
        tokio::task::spawn_local(async move {
            session.await;
            let mut sessions = sessions.borrow_mut();
            if sessions.get(&peer).is_some_and(|current| current.same_channel(&sender)) {
                sessions.remove(&peer);
            }
        });
    }
}

/// The way of one session, top to bottom: route → plugins → balance → datagrams both ways → log.
async fn session(
    thread: Rc<Thread>,
    entered: Entered,
    socket: Rc<UdpSocket>,
    origin: Origin,
    datagrams: Receiver<Vec<u8>>,
    room: Room,
) {
    let mut record = Record::new(&origin, Scheme::Udp);
    let result = proxy(&thread, &entered, &socket, &origin, datagrams, &room, &mut record).await;
    record.log(&thread, &result);
}

async fn proxy(
    thread: &Thread,
    entered: &Entered,
    socket: &UdpSocket,
    origin: &Origin,
    datagrams: Receiver<Vec<u8>>,
    room: &RefCell<Vec<u8>>,
    record: &mut Record,
) -> Result<(), Failure> {
    let snapshot = thread.snapshot();
    let entry = route(&snapshot, origin, record)?;
    admit(&snapshot, &entry, origin, record)?;
    let service = service(&entry)?;
    let (target, lease) = connect(thread, service, record).await?;
    drop(snapshot);
    let exchange = Exchange {
        thread,
        entered,
        socket,
        client: origin.peer,
        target,
        idle: milliseconds(service.service.read_timeout),
        room,
    };
    let result = exchange.run(datagrams, record).await;
    let outcome = match &result {
        Ok(true) => Some(Outcome::Connected),
        // There are protocols without answers.
        Ok(false) => None,
        Err(_) => Some(Outcome::ConnectFailed),
    };
    if let Some(outcome) = outcome {
        peers::report(service, &lease, outcome, Instant::now());
    }
    result.map(|_| ()).map_err(Failure::UpstreamClosed)
}

/// A socket for a target's datagrams. That nobody is there shows only when something was sent.
async fn connect(
    thread: &Thread,
    service: &ServiceEntry,
    record: &mut Record,
) -> Result<(UdpSocket, Lease), Failure> {
    let ties = Ties { thread, client: record.client };
    let (affinity, policy) = service.upstream().begin(&ties, Instant::now());
    let retries = service.service.retries.unwrap_or_default();
    let mut again = Again::new(service.upstream(), b"", retries, policy);
    loop {
        let (lease, _) = peers::pick(service, &affinity, again.tried(), Instant::now()).await?;
        let address = lease.address();
        record.target = Some(address);
        record.tries += 1;
        thread.counters.upstream_connect();
        match open(address).await {
            Ok(socket) => return Ok((socket, lease)),
            Err(error) => {
                peers::report(service, &lease, Outcome::ConnectFailed, Instant::now());
                let error = upstream::ConnectError::Tcp { address, error };
                drop(lease);
                retry(thread, &mut again, error.into(), address).await?;
            }
        }
    }
}

async fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}

/// The datagrams of one session, both ways.
struct Exchange<'a> {
    thread: &'a Thread,
    entered: &'a Entered,
    socket: &'a UdpSocket,
    client: SocketAddr,
    target: UdpSocket,
    idle: Duration,
    room: &'a RefCell<Vec<u8>>,
}

/// What happened next.
enum Event {
    FromClient(Vec<u8>),
    FromTarget,
    /// The gateway stops, and nothing is owed to the client.
    Drained,
}

impl Exchange<'_> {
    /// Carries datagrams until there are none for `idle`. Whether the target ever answered; an error is that nobody
    /// is there.
    async fn run(&self, mut datagrams: Receiver<Vec<u8>>, record: &mut Record) -> io::Result<bool> {
        let timer = Timer::default();
        // Whether the client's last word is unanswered: while the gateway drains, only then there is to wait.
        let (mut waits, mut answered) = (false, false);
        loop {
            let next = pin!(self.next(&mut datagrams, waits));
            match timer.limit(self.idle, next).await {
                Err(_) | Ok(Event::Drained) => return Ok(answered),
                Ok(Event::FromClient(datagram)) => {
                    record.received += datagram.len() as u64;
                    waits = true;
                    match self.target.send(&datagram).await {
                        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                            return Err(error);
                        }
                        Err(_) => self.thread.counters.datagram_lost(),
                        Ok(_) => {}
                    }
                }
                Ok(Event::FromTarget) => {
                    if let Some(length) = self.answer().await? {
                        (waits, answered) = (false, true);
                        record.sent += length as u64;
                    }
                }
            }
        }
    }

    /// Passes an answer of the target on, if there is one. Its length.
    async fn answer(&self) -> io::Result<Option<usize>> {
        let kept = {
            let mut room = self.room.borrow_mut();
            let length = match self.target.try_recv(&mut room) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.refusal().map_or(Ok(None), Err);
                }
                Err(error) => return Err(error),
            };
            let datagram = room.get(..length).unwrap_or_default();
            match self.socket.try_send_to(datagram, self.client) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => datagram.to_vec(),
                // A client that cannot be reached loses a datagram, as it may.
                Ok(_) | Err(_) => return Ok(Some(length)),
            }
        };
        // As above.
        let _ = self.socket.send_to(&kept, self.client).await;
        Ok(Some(kept.len()))
    }

    /// What the target's machine says against the datagrams, if it does. The operating system tells it apart from what
    /// can be read.
    fn refusal(&self) -> Option<io::Error> {
        let take = || self.target.take_error()?.ok_or(io::ErrorKind::WouldBlock.into());
        self.target.try_io(Interest::ERROR, take).ok()
    }

    async fn next(&self, datagrams: &mut Receiver<Vec<u8>>, waits: bool) -> Event {
        let mut readable = pin!(self.target.ready(Interest::READABLE | Interest::ERROR));
        poll_fn(|context| {
            if self.thread.is_draining() && !waits {
                return Poll::Ready(Event::Drained);
            }
            self.entered.wake_to_drain(context.waker());
            if let Poll::Ready(Some(datagram)) = datagrams.poll_recv(context) {
                return Poll::Ready(Event::FromClient(datagram));
            }
            readable.as_mut().poll(context).map(|_| Event::FromTarget)
        })
        .await
    }
}
