//! `rate-limiting`: refuses requests beyond a number in a window of time.

mod config;
mod counters;
mod period;

use std::any::Any;
use std::sync::Arc;

use model::PluginProtocols;
use plugin::{
    Access, Answer, BuildError, Definition, Exchange, Instance, Listing, Phases, Plugin, Scope,
};
use schema::Field;

use crate::{fields, settings};
use config::{Config, LimitBy, Policy};
use counters::{Counted, Counters, Limit};
use period::Period;

pub(crate) fn definition() -> Definition {
    Definition {
        listing: Listing {
            name: "rate-limiting",
            version: crate::VERSION,
            priority: 910,
            schema: config::rules(model::Plugin::subschema(
                Field::record(Config::record().clone()),
                PluginProtocols::Http,
                &[],
            )),
        },
        phases: Phases { access: true, ..Phases::default() },
        build,
    }
}

fn build(instance: &Instance<'_>) -> Result<Arc<dyn Plugin>, BuildError> {
    let config: Config = settings::read(instance)?;
    let policy = config.policy.unwrap_or(Policy::Local);
    if policy != Policy::Local {
        return Err(BuildError(format!(
            "policy '{policy}' cannot be used with this version: count with policy 'local'"
        )));
    }
    let most = [config.second, config.minute, config.hour, config.day, config.month, config.year];
    let limit = |(period, most): (Period, Option<f64>)| Some(Limit { period, most: most? });
    // Counts go on when limits change; with another scope they would be of other requests.
    let previous = instance.previous.and_then(|previous| {
        let previous: &dyn Any = &**previous;
        previous.downcast_ref::<RateLimiting>()
    });
    let counters = match previous.filter(|previous| previous.scope == instance.scope) {
        Some(previous) => Arc::clone(&previous.counters),
        None => Arc::new(Counters::new()),
    };
    Ok(Arc::new(RateLimiting {
        limits: Period::ALL.into_iter().zip(most).filter_map(limit).collect(),
        scope: instance.scope,
        counters,
        config,
    }))
}

#[derive(Debug)]
struct RateLimiting {
    config: Config,
    limits: Vec<Limit>,
    scope: Scope,
    counters: Arc<Counters>,
}

impl Plugin for RateLimiting {
    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Access<'a> {
        let now = exchange.started_us / 1_000_000;
        let counted = self.counters.count(&self.identifier(exchange), &self.limits, now);
        let standing = Standing::of(&self.limits, &counted, now);
        if !self.config.hide_client_headers {
            standing.tell(&self.limits, exchange.response_fields);
        }
        if counted.stopped_by.is_none() {
            return Access::CONTINUE;
        }
        let status = self.config.error_code.unwrap_or(429.0) as u16;
        let message = self.config.error_message.as_deref().unwrap_or("API rate limit exceeded");
        let answer = Answer::error(status, message);
        match self.config.hide_client_headers {
            true => answer.into(),
            false => answer.field("Retry-After", &standing.reset.to_string()).into(),
        }
    }
}

impl RateLimiting {
    /// Who, or what, the request is counted for.
    fn identifier(&self, exchange: &Exchange<'_>) -> String {
        let consumer = || exchange.identity.consumer.as_ref().map(|consumer| consumer.id);
        let credential = || exchange.identity.credential;
        let found = match self.config.limit_by.unwrap_or(LimitBy::Consumer) {
            LimitBy::Consumer => consumer().or_else(credential).map(|id| id.to_string()),
            LimitBy::Credential => credential().map(|id| id.to_string()),
            LimitBy::Service => exchange.service.map(|service| service.id.to_string()),
            LimitBy::Header => {
                let name = self.config.header_name.as_deref().unwrap_or_default();
                let mut values = exchange.request.fields.named(name.as_bytes());
                values.next().map(|value| String::from_utf8_lossy(value).into_owned())
            }
            LimitBy::Path => {
                let path = self.config.path.as_ref();
                path.filter(|path| path.as_bytes() == exchange.request.path()).cloned()
            }
            LimitBy::Ip => None,
        };
        found.unwrap_or_else(|| exchange.client.address.to_string())
    }
}

/// How a client stands with its limits.
#[derive(Debug, PartialEq)]
struct Standing {
    /// What is left of each limit behind this request.
    left: Vec<f64>,
    /// The place of the limit that is nearest.
    nearest: usize,
    /// Seconds until its window ends.
    reset: u64,
}

impl Standing {
    fn of(limits: &[Limit], counted: &Counted, now: u64) -> Standing {
        // The limit that stops a request is shown as if it had passed; the others as they are.
        let passes = |at| counted.stopped_by.is_none_or(|stopped| stopped == at);
        let left: Vec<f64> = (counted.left.iter().enumerate())
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

    fn tell(&self, limits: &[Limit], out: &mut http1::Fields) {
        for (at, (limit, left)) in limits.iter().zip(&self.left).enumerate() {
            let (name, most, left) = (limit.period.name(), number(limit.most), number(*left));
            fields::set(out, &format!("X-RateLimit-Limit-{name}"), &most);
            fields::set(out, &format!("X-RateLimit-Remaining-{name}"), &left);
            if at == self.nearest {
                fields::set(out, "RateLimit-Limit", &most);
                fields::set(out, "RateLimit-Remaining", &left);
                fields::set(out, "RateLimit-Reset", &self.reset.to_string());
            }
        }
    }
}

/// A number as Lua writes it: whole ones without a point.
fn number(number: f64) -> String {
    number.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: [Limit; 2] =
        [Limit { period: Period::Minute, most: 3.0 }, Limit { period: Period::Hour, most: 5.0 }];

    fn standing(left: [f64; 2], stopped_by: Option<usize>) -> Standing {
        Standing::of(&LIMITS, &Counted { left: left.to_vec(), stopped_by }, 3600 + 50)
    }

    #[test]
    fn the_nearest_limit_is_told_with_the_time_that_its_window_lasts() {
        let expected = Standing { left: vec![2.0, 4.0], nearest: 0, reset: 10 };
        assert_eq!(standing([3.0, 5.0], None), expected);
        let expected = Standing { left: vec![2.0, 2.0], nearest: 1, reset: 3550 };
        assert_eq!(standing([3.0, 3.0], None), expected);
    }

    #[test]
    fn a_limit_that_did_not_stop_a_refused_request_is_shown_as_it_is() {
        let expected = Standing { left: vec![0.0, 2.0], nearest: 0, reset: 10 };
        assert_eq!(standing([0.0, 2.0], Some(0)), expected);
    }
}
