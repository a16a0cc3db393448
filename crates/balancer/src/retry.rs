//! Trying again beyond what Kong does: what may be repeated, when, and how often by all together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::health::StatusSet;

/// Seconds over which a budget looks back.
const WINDOW: usize = 10;

/// How requests of an upstream are tried again (`retry`).
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Statuses that are tried again at another peer.
    pub statuses: StatusSet,
    /// Methods that may be sent twice; `None`: Kong's rule.
    pub methods: Option<Vec<String>>,
    /// The longest that each try may take until the head of its answer; zero is without limit.
    pub timeout: Duration,
    /// The longest wait before the first retry, doubled for each further one.
    pub backoff: Duration,
    /// The bound of that doubling.
    pub backoff_max: Duration,
    /// Retries in percent of the requests; `None` is without limit.
    pub budget: Option<f64>,
    /// Retries per second that are allowed whatever the budget.
    pub budget_min: u32,
}

impl Retry {
    /// Whether a request with this method may be sent again after it was sent: as the upstream
    /// says, else all but POST, LOCK and PATCH, which is nginx's rule.
    pub fn may_repeat(retry: Option<&Retry>, method: &[u8]) -> bool {
        match retry.and_then(|retry| retry.methods.as_ref()) {
            Some(methods) => methods.iter().any(|allowed| allowed.as_bytes() == method),
            None => !matches!(method, b"POST" | b"LOCK" | b"PATCH"),
        }
    }

    /// How long to wait before the n-th retry (from 1). `chance`, from 0 to 1, is the part of the
    /// longest wait that is waited, so that requests that failed together do not come together
    /// again.
    pub fn wait(&self, retry: u32, chance: f64) -> Duration {
        let doublings = retry.saturating_sub(1).min(31);
        let longest = self.backoff.saturating_mul(1 << doublings).min(self.backoff_max);
        longest.mul_f64(chance.clamp(0.0, 1.0))
    }

    /// Whether one retry more is within the budget, when there were so many of both.
    fn allows(&self, Counts { requests, retries }: Counts) -> bool {
        let Some(percent) = self.budget else { return true };
        let least = u64::from(self.budget_min) * WINDOW as u64;
        (retries + 1) as f64 <= percent / 100.0 * requests as f64 + least as f64
    }
}

/// Requests and retries of the last seconds, from all threads.
#[derive(Debug)]
pub(crate) struct Budget {
    begin: std::sync::OnceLock<Instant>,
    /// For each second of the window one word: the second, the requests, the retries.
    seconds: [AtomicU64; WINDOW],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    requests: u64,
    retries: u64,
}

impl Budget {
    pub(crate) fn new() -> Budget {
        Budget { begin: std::sync::OnceLock::new(), seconds: [const { AtomicU64::new(0) }; WINDOW] }
    }

    /// Counts a request.
    pub(crate) fn request(&self, now: Instant) {
        self.count(now, Counts { requests: 1, retries: 0 });
    }

    /// Counts a retry, if the budget has room for it; whether it has.
    pub(crate) fn retry(&self, retry: &Retry, now: Instant) -> bool {
        if retry.budget.is_none() {
            return true;
        }
        let allowed = retry.allows(self.recent(now));
        if allowed {
            self.count(now, Counts { requests: 0, retries: 1 });
        }
        allowed
    }

    fn recent(&self, now: Instant) -> Counts {
        let second = self.second(now);
        let recent = self.seconds.iter().map(|word| unpack(word.load(Ordering::Relaxed)));
        recent.filter(|(at, _)| second.wrapping_sub(*at) & SECOND < WINDOW as u64).fold(
            Counts::default(),
            |sum, (_, counts)| Counts {
                requests: sum.requests + counts.requests,
                retries: sum.retries + counts.retries,
            },
        )
    }

    fn count(&self, now: Instant, more: Counts) {
        let second = self.second(now);
        let Some(word) = self.seconds.get(second as usize % WINDOW) else { return };
        // Never fails: there is always a new value.
        let _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
            let (at, mut counts) = unpack(word);
            if at != second & SECOND {
                counts = Counts::default();
            }
            counts.requests = (counts.requests + more.requests).min(REQUESTS);
            counts.retries = (counts.retries + more.retries).min(RETRIES);
            Some((second & SECOND) << 44 | counts.requests << 20 | counts.retries)
        });
    }

    /// Whole seconds since the first call, from 1, so that a word of zeros is of none.
    fn second(&self, now: Instant) -> u64 {
        let begin = *self.begin.get_or_init(|| now);
        now.saturating_duration_since(begin).as_secs() + WINDOW as u64
    }
}

/// The widest values that the parts of a word hold.
const SECOND: u64 = (1 << 20) - 1;
const REQUESTS: u64 = (1 << 24) - 1;
const RETRIES: u64 = (1 << 20) - 1;

fn unpack(word: u64) -> (u64, Counts) {
    (word >> 44, Counts { requests: word >> 20 & REQUESTS, retries: word & RETRIES })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn retry(budget: Option<f64>, budget_min: u32) -> Retry {
        Retry {
            statuses: StatusSet::default(),
            methods: None,
            timeout: Duration::ZERO,
            backoff: Duration::from_millis(100),
            backoff_max: Duration::from_secs(1),
            budget,
            budget_min,
        }
    }

    #[test]
    fn what_may_be_repeated_is_kongs_rule_or_the_upstreams() {
        for method in [&b"GET"[..], b"PUT", b"DELETE", b"HEAD", b"OPTIONS"] {
            assert!(
                Retry::may_repeat(None, method) && Retry::may_repeat(Some(&retry(None, 0)), method)
            );
        }
        for method in [&b"POST"[..], b"PATCH", b"LOCK"] {
            assert!(!Retry::may_repeat(None, method));
        }
        let own = Retry { methods: Some(vec!["GET".into(), "POST".into()]), ..retry(None, 0) };
        assert!(Retry::may_repeat(Some(&own), b"POST"));
        assert!(!Retry::may_repeat(Some(&own), b"PUT"));
    }

    #[test]
    fn waits_double_up_to_a_bound() {
        let retry = retry(None, 0);
        let ms = |n| Duration::from_millis(n);
        let longest: Vec<Duration> = (1..=6).map(|n| retry.wait(n, 1.0)).collect();
        assert_eq!(longest, [ms(100), ms(200), ms(400), ms(800), ms(1000), ms(1000)]);
        assert_eq!(retry.wait(2, 0.25), ms(50));
        assert_eq!(retry.wait(u32::MAX, 0.0), Duration::ZERO);
        assert_eq!(Retry { backoff: Duration::ZERO, ..retry }.wait(3, 1.0), Duration::ZERO);
    }

    #[test]
    fn a_budget_is_a_share_of_the_requests_of_the_last_seconds() {
        let (budget, begin) = (Budget::new(), Instant::now());
        let retry = retry(Some(10.0), 0);
        assert!(!budget.retry(&retry, begin), "no requests, no retries");
        (0..100).for_each(|_| budget.request(begin));
        let allowed = (0..50).filter(|_| budget.retry(&retry, begin)).count();
        assert_eq!(allowed, 10);
        let later = begin + Duration::from_secs(5);
        (0..100).for_each(|_| budget.request(later));
        assert_eq!((0..50).filter(|_| budget.retry(&retry, later)).count(), 10);
        let forgotten = begin + Duration::from_secs(10);
        assert!(!budget.retry(&retry, forgotten), "the ten of later used the hundred of later");
        assert!(!budget.retry(&retry, begin + Duration::from_secs(3_600)));
    }

    #[test]
    fn few_requests_have_a_few_retries_all_the_same() {
        let (budget, now) = (Budget::new(), Instant::now());
        let retry = retry(Some(0.0), 2);
        assert_eq!((0..50).filter(|_| budget.retry(&retry, now)).count(), 2 * WINDOW);
    }

    proptest! {
        /// In no window are there more retries than the budget says.
        #[test]
        fn a_budget_is_kept(
            percent in 0u32..=100,
            events in prop::collection::vec((0u64..1_500, any::<bool>()), 1..400),
        ) {
            let (budget, begin) = (Budget::new(), Instant::now());
            let retry = retry(Some(percent.into()), 0);
            budget.second(begin);
            let (mut now, mut made) = (begin, Vec::<(Instant, bool)>::new());
            for (wait, is_retry) in events {
                now += Duration::from_millis(wait);
                if !is_retry {
                    budget.request(now);
                    made.push((now, false));
                } else if budget.retry(&retry, now) {
                    made.push((now, true));
                    let second = (now - begin).as_secs();
                    let recent = made.iter().filter(|(at, _): &&(Instant, bool)| {
                        (*at - begin).as_secs() + WINDOW as u64 > second
                    });
                    let recent: Vec<bool> = recent.map(|(_, is_retry)| *is_retry).collect();
                    let retries = recent.iter().filter(|is_retry| **is_retry).count();
                    let requests = recent.len() - retries;
                    let limit = f64::from(percent) / 100.0 * requests as f64;
                    prop_assert!(retries as f64 <= limit, "{retries} of {limit}");
                }
            }
        }
    }
}
