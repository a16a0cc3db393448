//! Connections that wait for their next request.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
    time::{Duration, Instant},
};

use rustc_hash::FxHashMap;
use tokio::io::{AsyncRead, ReadBuf};

use crate::{stream::Stream, tls::Secured};

/// What a connection is good for: two requests may share one only if all of this is alike. Whatever makes a
/// connection more trusted than another (verification, authorities, name, client certificate) is in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Where it goes.
    pub address: SocketAddr,
    /// How it is secured; none is plain TCP.
    pub secured: Option<Arc<Secured>>,
}

/// Bounds of a pool (`upstream_keepalive_*`).
#[derive(Debug, Clone, Copy)]
pub struct PoolLimits {
    /// The most connections per [`Key`] that are idle for longer than a second; 0 keeps none. Of those used within the
    /// last second four times as many stay: under load they are needed again, and to open one is dear.
    pub idle: usize,
    /// The most requests over one connection; 0 is without limit.
    pub requests: u32,
    /// How long a connection may be idle; zero is without limit.
    pub idle_timeout: Duration,
}

impl Default for PoolLimits {
    fn default() -> Self {
        PoolLimits { idle: 512, requests: 10_000, idle_timeout: Duration::from_secs(60) }
    }
}

/// A connection with what the pool must know about it.
#[derive(Debug)]
pub struct Pooled {
    /// The connection.
    pub stream: Stream,
    /// How many requests it has carried.
    pub requests: u32,
}

/// How long a connection beyond [`PoolLimits::idle`] stays.
const GRACE: Duration = Duration::from_secs(1);
/// How many times [`PoolLimits::idle`] there may be with those.
const BURST: usize = 4;

/// The idle connections of one thread. The one used last is used first: the others grow old and are closed.
#[derive(Debug)]
pub struct Pool {
    limits: PoolLimits,
    idle: FxHashMap<Key, VecDeque<Idle>>,
}

#[derive(Debug)]
struct Idle {
    connection: Pooled,
    since: Instant,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(limits: PoolLimits) -> Self {
        Pool { limits, idle: FxHashMap::default() }
    }

    /// A connection that was neither closed by its target nor idle for too long, if there is one. Such a connection
    /// may still be found closed when it is written to.
    pub fn take(&mut self, key: &Key, now: Instant) -> Option<Pooled> {
        let idle = self.idle.get_mut(key)?;
        while let Some(mut entry) = idle.pop_back() {
            if self.limits.is_expired(entry.since, now) {
                // The others have waited even longer.
                idle.clear();
                return None;
            }
            if is_quiet(&mut entry.connection.stream) {
                return Some(entry.connection);
            }
        }
        None
    }

    /// Keeps a connection for later, unless it has carried enough requests. If there are too many, those that have
    /// waited longest are closed.
    pub fn put(&mut self, key: &Key, connection: Pooled, now: Instant) {
        let used_up = self.limits.requests > 0 && connection.requests >= self.limits.requests;
        if used_up || self.limits.idle == 0 {
            return;
        }
        if !self.idle.contains_key(key) {
            self.idle.insert(key.clone(), VecDeque::new());
        }
        if let Some(idle) = self.idle.get_mut(key) {
            idle.push_back(Idle { connection, since: now });
            self.limits.trim(idle, now);
        }
    }

    /// Closes what was idle for too long and what its target closed, and forgets targets without connections.
    /// Called every few seconds.
    pub fn sweep(&mut self, now: Instant) {
        let limits = self.limits;
        self.idle.retain(|_, idle| {
            idle.retain_mut(|entry| {
                !limits.is_expired(entry.since, now) && is_quiet(&mut entry.connection.stream)
            });
            limits.trim(idle, now);
            !idle.is_empty()
        });
    }

    /// The number of idle connections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.idle.values().map(VecDeque::len).sum()
    }

    /// Whether there is no idle connection.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.idle.values().all(VecDeque::is_empty)
    }
}

impl PoolLimits {
    /// Closes those beyond the limit, the ones that wait longest first.
    fn trim(&self, idle: &mut VecDeque<Idle>, now: Instant) {
        while let Some(oldest) = idle.front()
            && idle.len() > self.idle
            && (idle.len() > self.idle.saturating_mul(BURST)
                || now.saturating_duration_since(oldest.since) >= GRACE)
        {
            idle.pop_front();
        }
    }

    fn is_expired(&self, since: Instant, now: Instant) -> bool {
        !self.idle_timeout.is_zero() && now.saturating_duration_since(since) >= self.idle_timeout
    }
}

/// Whether nothing came in: an idle connection on which bytes, an end or an error wait is of no use any more. Costs
/// no system call unless the operating system has told that there is something.
fn is_quiet(stream: &mut Stream) -> bool {
    let mut byte = [0_u8; 1];
    match stream {
        Stream::Plain(tcp) => {
            let read = tcp.try_read(&mut byte);
            read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        }
        // Bytes may be the session's own: only the session can tell.
        Stream::Tls(tls) => {
            let mut into = ReadBuf::new(&mut byte);
            let context = &mut Context::from_waker(Waker::noop());
            Pin::new(tls).poll_read(context, &mut into).is_pending()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::SocketAddr,
        sync::Arc,
        time::{Duration, Instant},
    };

    use tokio::{
        io::AsyncWriteExt,
        net::{TcpListener, TcpStream},
    };

    use super::{Key, Pool, PoolLimits, Pooled};
    use crate::{Profile, Stream, TlsSettings, Trust};

    struct Target {
        listener: TcpListener,
        address: SocketAddr,
    }

    impl Target {
        async fn new() -> Target {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            Target { listener, address }
        }

        fn key(&self) -> Key {
            Key { address: self.address, secured: None }
        }

        /// A connection and the target's end of it.
        async fn connection(&self) -> (Pooled, TcpStream) {
            let stream = TcpStream::connect(self.address).await.unwrap();
            let (accepted, _) = self.listener.accept().await.unwrap();
            (Pooled { stream: Stream::Plain(stream), requests: 1 }, accepted)
        }
    }

    fn port(connection: Option<Pooled>) -> Option<u16> {
        connection.map(|connection| connection.stream.tcp().local_addr().unwrap().port())
    }

    #[tokio::test]
    async fn the_connection_used_last_is_used_first() {
        let target = Target::new().await;
        let mut pool = Pool::new(PoolLimits::default());
        let now = Instant::now();
        let (first, _keep1) = target.connection().await;
        let (second, _keep2) = target.connection().await;
        let ports = [&first, &second].map(|one| one.stream.tcp().local_addr().unwrap().port());
        pool.put(&target.key(), first, now);
        pool.put(&target.key(), second, now);
        assert_eq!(port(pool.take(&target.key(), now)), Some(ports[1]));
        assert_eq!(port(pool.take(&target.key(), now)), Some(ports[0]));
        assert_eq!(port(pool.take(&target.key(), now)), None);
    }

    #[tokio::test]
    async fn limits_hold() {
        let target = Target::new().await;
        let limits = PoolLimits { idle: 1, requests: 5, idle_timeout: Duration::from_secs(60) };
        let mut pool = Pool::new(limits);
        let now = Instant::now();
        let (first, _keep1) = target.connection().await;
        let (second, _keep2) = target.connection().await;
        let newest = second.stream.tcp().local_addr().unwrap().port();
        pool.put(&target.key(), first, now);
        let later = now + Duration::from_secs(1);
        pool.put(&target.key(), second, later);
        assert_eq!(pool.len(), 1);
        assert_eq!(port(pool.take(&target.key(), later)), Some(newest));
        let (mut used_up, _keep3) = target.connection().await;
        used_up.requests = 5;
        pool.put(&target.key(), used_up, now);
        assert!(pool.is_empty());
        let (old, _keep4) = target.connection().await;
        pool.put(&target.key(), old, now);
        assert_eq!(port(pool.take(&target.key(), now + Duration::from_secs(60))), None);
        assert!(pool.is_empty());
        let (old, _keep5) = target.connection().await;
        pool.put(&target.key(), old, now);
        pool.sweep(now + Duration::from_secs(60));
        assert!(pool.is_empty());
    }

    #[tokio::test]
    async fn what_a_burst_needed_stays_for_a_second() {
        let target = Target::new().await;
        let limits = PoolLimits { idle: 1, ..PoolLimits::default() };
        let mut pool = Pool::new(limits);
        let now = Instant::now();
        let mut keep = Vec::new();
        for _ in 0..6 {
            let (connection, accepted) = target.connection().await;
            keep.push(accepted);
            pool.put(&target.key(), connection, now);
        }
        assert_eq!(pool.len(), 4);
        pool.sweep(now + Duration::from_millis(999));
        assert_eq!(pool.len(), 4);
        pool.sweep(now + Duration::from_secs(1));
        assert_eq!(pool.len(), 1);
    }

    #[tokio::test]
    async fn a_connection_that_was_closed_or_spoken_on_is_not_used() {
        let target = Target::new().await;
        let mut pool = Pool::new(PoolLimits::default());
        let now = Instant::now();
        let (closed, accepted) = target.connection().await;
        drop(accepted);
        closed.stream.tcp().readable().await.unwrap();
        pool.put(&target.key(), closed, now);
        let (spoken_on, mut accepted) = target.connection().await;
        accepted.write_all(b"HTTP/1.1 408 Request Timeout\r\n").await.unwrap();
        spoken_on.stream.tcp().readable().await.unwrap();
        pool.put(&target.key(), spoken_on, now);
        assert_eq!(pool.len(), 2);
        assert_eq!(port(pool.take(&target.key(), now)), None);
    }

    #[test]
    fn connections_that_are_secured_otherwise_have_other_keys() {
        let address = SocketAddr::from(([127, 0, 0, 1], 443));
        let key = |trust, depth, protocols: &[&[u8]], name| {
            let settings = TlsSettings { trust, depth, client_certificate: None, protocols };
            let secured = Profile::new(&settings).unwrap().towards(name).unwrap();
            Key { address, secured: Some(Arc::new(secured)) }
        };
        let plain = Key { address, secured: None };
        let anyone = key(Trust::Anyone, 1, &[], "a.test");
        assert_ne!(plain, anyone);
        assert_eq!(anyone, key(Trust::Anyone, 1, &[], "a.test"));
        assert_ne!(anyone, key(Trust::Anyone, 1, &[], "b.test"));
        assert_ne!(anyone, key(Trust::Anyone, 1, &[b"h2"], "a.test"));
        let nobody = key(Trust::Authorities(&[]), 1, &[], "a.test");
        assert_ne!(anyone, nobody);
        assert_ne!(nobody, key(Trust::Authorities(&[]), 2, &[], "a.test"));
    }
}
