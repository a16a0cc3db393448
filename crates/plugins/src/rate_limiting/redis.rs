//! Counters in Redis, Valkey, or whatever else speaks their protocol.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, RedisConnectionInfo};
use lifecycle::Backoff;
use plugin::{BuildError, Counters, CountersError, Destination, Increment, Node, Tls, Totals};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::config;

/// The counters in the Redis of a configuration. Instances with equal configurations share one
/// connection, which is made when it is needed first and after it broke.
pub(super) fn connection(
    config: &config::Redis,
    node: &Node,
) -> Result<Arc<dyn Counters>, BuildError> {
    let settings = Settings::of(config)?;
    let connections = node.common(|_| Connections::default());
    let mut known = connections.0.lock().unwrap_or_else(PoisonError::into_inner);
    known.retain(|_, redis| redis.strong_count() > 0);
    if let Some(redis) = known.get(&settings).and_then(Weak::upgrade) {
        return Ok(redis);
    }
    let redis = Arc::new(Redis::new(settings.clone(), node.clone()));
    known.insert(settings, Arc::downgrade(&redis));
    Ok(redis)
}

#[derive(Default)]
struct Connections(Mutex<HashMap<Settings, Weak<Redis>>>);

/// Where Redis is, and who we are there.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Settings {
    destination: Destination,
    timeout: Duration,
    username: Option<String>,
    password: Option<String>,
    database: i64,
}

struct Redis {
    settings: Settings,
    node: Node,
    state: tokio::sync::Mutex<State>,
}

struct State {
    connection: Option<MultiplexedConnection>,
    backoff: Backoff,
    random: StdRng,
    /// Why there is no connection, and until when none is tried.
    failed: Option<(String, Instant)>,
}

/// The first wait after a failed connection is at most this long…
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// …and each is at most this long. In between, whoever wants to count is told at once.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A counter outlives its window by this many seconds, for requests that come late.
const GRACE: u64 = 5;

/// Adds, and gives a counter that is new its time to live, as one step. Kong's plugin does the
/// same by script.
const ADD: &str = "local total = redis.call('INCRBY', KEYS[1], ARGV[1]) \
                   if total == tonumber(ARGV[1]) then redis.call('EXPIRE', KEYS[1], ARGV[2]) end \
                   return total";

impl Settings {
    fn of(config: &config::Redis) -> Result<Settings, BuildError> {
        let host = config.host.clone().ok_or_else(|| BuildError("redis.host is not set".into()))?;
        let server_name = || config.server_name.clone().unwrap_or_else(|| host.clone());
        let tls = config.ssl.then(|| Tls { server_name: server_name(), verify: config.ssl_verify });
        // Empty stands for none, as in Kong.
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Ok(Settings {
            destination: Destination { host, port: config.port.unwrap_or(6379), tls },
            timeout: Duration::from_millis(u64::from(config.timeout.unwrap_or(2000)).max(1)),
            username: text(&config.username),
            password: text(&config.password),
            database: config.database.unwrap_or_default(),
        })
    }

    /// How a new connection introduces itself: by AUTH, if there is a password, and SELECT.
    fn login(&self) -> RedisConnectionInfo {
        let login = RedisConnectionInfo::default().set_db(self.database).set_skip_set_lib_name();
        match (&self.username, &self.password) {
            (Some(username), Some(password)) => login.set_username(username).set_password(password),
            (None, Some(password)) => login.set_password(password),
            (_, None) => login,
        }
    }
}

impl Redis {
    fn new(settings: Settings, node: Node) -> Redis {
        let state = State {
            connection: None,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            random: StdRng::from_os_rng(),
            failed: None,
        };
        Redis { settings, node, state: tokio::sync::Mutex::new(state) }
    }

    async fn count(&self, increments: &[Increment]) -> Result<Vec<i64>, CountersError> {
        let mut connection = self.connected().await?;
        let now = u64::try_from(self.node.clock.wall_s()).unwrap_or_default();
        let mut commands = ::redis::pipe();
        for increment in increments {
            // From now on, so that the clocks of both machines need not agree.
            let ttl = increment.expires_at.saturating_sub(now) + GRACE;
            commands.cmd("EVAL").arg(ADD).arg(1).arg(&increment.key).arg(increment.by).arg(ttl);
        }
        match commands.query_async(&mut connection).await {
            Ok(totals) => Ok(totals),
            Err(error) => {
                // Whatever it was, a new connection is the best that can be done about it.
                self.state.lock().await.connection = None;
                Err(self.explain(&error.to_string()))
            }
        }
    }

    /// The connection, made if there is none.
    async fn connected(&self) -> Result<MultiplexedConnection, CountersError> {
        let mut state = self.state.lock().await;
        if let Some(connection) = &state.connection {
            return Ok(connection.clone());
        }
        let now = self.node.clock.monotonic();
        if let Some((why, until)) = &state.failed
            && now < *until
        {
            return Err(self.explain(why));
        }
        match self.connect().await {
            Ok(connection) => {
                state.backoff.reset();
                state.failed = None;
                state.connection = Some(connection.clone());
                Ok(connection)
            }
            Err(why) => {
                let State { backoff, random, .. } = &mut *state;
                let pause = backoff.next_delay(random);
                let error = self.explain(&why);
                state.failed = Some((why, self.node.clock.monotonic() + pause));
                Err(error)
            }
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection, String> {
        let Settings { destination, timeout, .. } = &self.settings;
        let stream = self.node.dialer.dial(destination, *timeout).await;
        let stream = stream.map_err(|error| error.to_string())?;
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(*timeout));
        let login = self.settings.login();
        let greeting = MultiplexedConnection::new_with_config(&login, stream, config);
        match tokio::time::timeout(*timeout, greeting).await {
            Ok(Ok((connection, driver))) => {
                self.node.tasks.background("connection to Redis", driver);
                Ok(connection)
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} ms", timeout.as_millis())),
        }
    }

    fn explain(&self, why: &str) -> CountersError {
        let Destination { host, port, .. } = &self.settings.destination;
        CountersError(format!("Redis at {host}:{port}: {why}"))
    }
}

impl Counters for Redis {
    fn add(&self, increments: Vec<Increment>) -> Totals<'_> {
        Box::pin(async move { self.count(&increments).await })
    }
}

impl fmt::Debug for Redis {
    /// Leaves out the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("destination", &self.settings.destination)
            .finish_non_exhaustive()
    }
}
