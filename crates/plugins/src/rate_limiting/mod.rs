//! `rate-limiting`: refuses requests beyond a number in a window of time.

mod config;
mod counters;
mod period;
mod redis;
mod synced;
mod who;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http1::Fields;
use plugin::{Access, Answer, BuildError, Exchange, Instance, Phases, Plugin, Scope, Verdict};
use schema::{Record, Subschema};
use smallvec::SmallVec;
use uuid::Uuid;

use crate::declared::Declared;
use crate::settings;
use config::{Config, LimitBy, Policy};
use counters::{Counted, Counters, Lefts, Limit};
use period::Period;
use synced::{Found, Rhythm, Synced};
use who::Who;

/// A running instance of `rate-limiting`.
pub(crate) struct RateLimiting {
    config: Config,
    limits: Arc<[Limit]>,
    /// The limits as clients are told them, in the same order.
    told: Vec<Digits>,
    scope: Scope,
    counting: Counting,
}

impl Declared for RateLimiting {
    const NAME: &str = "rate-limiting";
    const PRIORITY: i32 = 910;
    const PHASES: Phases = Phases { access: true, ..Phases::NONE };
    const EXAMPLE: &str = include_str!("example.md");

    fn config() -> &'static Record {
        Config::record()
    }

    fn rules(subschema: Subschema) -> Subschema {
        config::rules(subschema)
    }

    fn build(instance: &Instance<'_>, previous: Option<&Self>) -> Result<Self, BuildError> {
        let config: Config = settings::read(instance)?;
        let most =
            [config.second, config.minute, config.hour, config.day, config.month, config.year];
        let limit = |(period, most): (Period, Option<f64>)| Some(Limit { period, most: most? });
        // Counts go on when limits change; with another scope they would be of other requests.
        let previous = previous.filter(|previous| {
            previous.scope == instance.scope && counted_alike(&previous.config, &config)
        });
        let counting = match previous {
            Some(previous) => previous.counting.clone(),
            None => Counting::start(&config, instance)?,
        };
        let limits: Arc<[Limit]> = Period::ALL.into_iter().zip(most).filter_map(limit).collect();
        Ok(RateLimiting {
            told: limits.iter().map(|limit| number(limit.most)).collect(),
            limits,
            scope: instance.scope,
            counting,
            config,
        })
    }
}

/// Whether two configurations keep their counters in the same way at the same place.
fn counted_alike(one: &Config, other: &Config) -> bool {
    one.policy == other.policy && one.redis == other.redis && one.sync_rate == other.sync_rate
}

impl fmt::Debug for RateLimiting {
    /// Leaves out the configuration, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiting").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Where requests are counted.
#[derive(Clone, Debug)]
enum Counting {
    /// In the memory of this data plane.
    Here(Arc<Counters>),
    /// In Redis, or by the control plane.
    Elsewhere(Synced),
}

/// How often counters are exchanged with the control plane at least.
const CLUSTER: Duration = Duration::from_millis(500);

impl Counting {
    fn start(config: &Config, instance: &Instance<'_>) -> Result<Counting, BuildError> {
        let node = instance.node;
        let (counters, rhythm): (Arc<dyn plugin::Counters>, _) = match config.policy {
            None | Some(Policy::Local) => return Ok(Counting::Here(Arc::new(Counters::new()))),
            Some(Policy::Cluster) => (node.counters.clone(), Rhythm::Every(CLUSTER)),
            Some(Policy::Redis) => {
                let rhythm = match Duration::try_from_secs_f64(config.sync_rate) {
                    Ok(every) if !every.is_zero() => Rhythm::Every(every),
                    _ => Rhythm::Always,
                };
                (redis::connection(&config.redis, node)?, rhythm)
            }
        };
        let id = |id: Option<Uuid>| id.unwrap_or_default();
        let scope = instance.scope;
        let prefix = format!("ratelimit:{}:{}:", id(scope.route), id(scope.service));
        Ok(Counting::Elsewhere(Synced::start(prefix, rhythm, counters, node)))
    }
}

impl Plugin for RateLimiting {
    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Access<'a> {
        let who = self.who(exchange);
        let synced = match &self.counting {
            Counting::Here(counters) => {
                let now = exchange.started_us / 1_000_000;
                let counted = counters.count(who, &self.limits, now);
                return Access::Now(self.decide(&counted, exchange));
            }
            Counting::Elsewhere(synced) => synced,
        };
        match synced.count(&who, &self.limits, exchange.started_us) {
            Found::Counted(counted) => Access::Now(self.decide(&counted, exchange)),
            Found::Unknown => Access::Later(Box::pin(async move {
                let limits = self.limits.clone();
                match synced.ask(who, limits, exchange.started_us).await {
                    Ok(counted) => self.decide(&counted, exchange),
                    // Who counts has said so in the log.
                    Err(_) if self.config.fault_tolerant => Verdict::Continue,
                    Err(error) => Verdict::Fail(error.to_string()),
                }
            })),
        }
    }
}

impl RateLimiting {
    /// Tells the client how it stands, and refuses what a limit stops.
    fn decide(&self, counted: &Counted, exchange: &mut Exchange<'_>) -> Verdict {
        let standing = Standing::of(&self.limits, counted, exchange.started_us / 1_000_000);
        if !self.config.hide_client_headers {
            standing.tell(&self.limits, &self.told, exchange.response_fields);
        }
        if counted.stopped_by.is_none() {
            return Verdict::Continue;
        }
        let status = self.config.error_code.unwrap_or(429.0) as u16;
        let message = self.config.error_message.as_deref().unwrap_or("API rate limit exceeded");
        let answer = Answer::error(status, message);
        Verdict::Answer(match self.config.hide_client_headers {
            true => answer,
            false => answer.field("Retry-After", &standing.reset.to_string()),
        })
    }

    /// Who, or what, the request is counted for.
    fn who(&self, exchange: &Exchange<'_>) -> Who {
        let consumer = || exchange.identity.consumer.as_ref().map(|consumer| consumer.id);
        let credential = || exchange.identity.credential;
        let found = match self.config.limit_by.unwrap_or(LimitBy::Consumer) {
            LimitBy::Consumer => consumer().or_else(credential).map(Who::Id),
            LimitBy::Credential => credential().map(Who::Id),
            LimitBy::Service => exchange.service.map(|service| Who::Id(service.id)),
            LimitBy::Header => {
                let name = self.config.header_name.as_deref().unwrap_or_default();
                let mut values = exchange.request.fields.named(name.as_bytes());
                values.next().map(Who::text)
            }
            LimitBy::Path => {
                let path = self.config.path.as_deref();
                let path = path.filter(|path| path.as_bytes() == exchange.request.path());
                path.map(|path| Who::text(path.as_bytes()))
            }
            LimitBy::Ip => None,
        };
        found.unwrap_or(Who::Address(exchange.client.address))
    }
}

/// How a client stands with its limits.
#[derive(Debug, PartialEq)]
struct Standing {
    /// What is left of each limit behind this request.
    left: Lefts,
    /// The place of the limit that is nearest.
    nearest: usize,
    /// Seconds until its window ends.
    reset: u64,
}

impl Standing {
    fn of(limits: &[Limit], counted: &Counted, now: u64) -> Standing {
        // The limit that stops a request is shown as if it had passed; the others as they are.
        let passes = |at| counted.stopped_by.is_none_or(|stopped| stopped == at);
        let left: Lefts = (counted.left.iter().enumerate())
            .map(|(at, left)| if passes(at) { left - 1.0 } else { *left })
            .map(|left| left.max(0.0))
            .collect();
        // Of equals, the one with the longer window.
        let nearest = (left.iter().enumerate())
            .reduce(|best, next| if next.1 <= best.1 { next } else { best })
            .map_or(0, |(at, _)| at);
        let reset = limits.get(nearest).map_or(1, |limit| {
            let elapsed = now.saturating_sub(limit.period.start(now));
            limit.period.seconds().saturating_sub(elapsed).max(1)
        });
        Standing { left, nearest, reset }
    }

    fn tell(&self, limits: &[Limit], told: &[Digits], out: &mut Fields) {
        // Most often nobody was here before.
        let first = out.is_empty();
        let mut set = |name: &str, value: &[u8]| {
            if !first {
                out.remove_named(name.as_bytes());
            }
            out.push(name.as_bytes(), value);
        };
        for (at, ((limit, most), left)) in limits.iter().zip(told).zip(&self.left).enumerate() {
            let left = number(*left);
            let (limit_name, remaining_name) = limit.period.fields();
            set(limit_name, most);
            set(remaining_name, &left);
            if at == self.nearest {
                set("RateLimit-Limit", most);
                set("RateLimit-Remaining", &left);
                set("RateLimit-Reset", &number(self.reset as f64));
            }
        }
    }
}

/// A number as text.
type Digits = SmallVec<[u8; 24]>;

/// A number as Lua writes it: whole ones without a point, which most are.
fn number(number: f64) -> Digits {
    if number.fract() != 0.0 || !(0.0..1e15).contains(&number) {
        return number.to_string().into_bytes().into();
    }
    let mut digits = SmallVec::new();
    let mut rest = number as u64;
    while rest > 9 {
        digits.push(b'0' + (rest % 10) as u8);
        rest /= 10;
    }
    digits.push(b'0' + rest as u8);
    digits.reverse();
    digits
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;

    const LIMITS: [Limit; 2] =
        [Limit { period: Period::Minute, most: 3.0 }, Limit { period: Period::Hour, most: 5.0 }];

    fn standing(left: [f64; 2], stopped_by: Option<usize>) -> Standing {
        Standing::of(&LIMITS, &Counted { left: left.into_iter().collect(), stopped_by }, 3600 + 50)
    }

    #[test]
    fn the_nearest_limit_is_told_with_the_time_that_its_window_lasts() {
        let expected = Standing { left: smallvec![2.0, 4.0], nearest: 0, reset: 10 };
        assert_eq!(standing([3.0, 5.0], None), expected);
        let expected = Standing { left: smallvec![2.0, 2.0], nearest: 1, reset: 3550 };
        assert_eq!(standing([3.0, 3.0], None), expected);
    }

    #[test]
    fn a_limit_that_did_not_stop_a_refused_request_is_shown_as_it_is() {
        let expected = Standing { left: smallvec![0.0, 2.0], nearest: 0, reset: 10 };
        assert_eq!(standing([0.0, 2.0], Some(0)), expected);
    }

    #[test]
    fn numbers_are_written_as_lua_does() {
        for (value, text) in
            [(0.0, "0"), (7.0, "7"), (1200.0, "1200"), (0.5, "0.5"), (1e15, "1000000000000000")]
        {
            assert_eq!(&number(value)[..], text.as_bytes());
        }
    }
}
