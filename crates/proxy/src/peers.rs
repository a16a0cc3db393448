//! Choosing a target, and telling the balancer what came of it: the same for requests and for stream sessions.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use balancer::{Affinity, Lease, NoPeer, Outcome, Peer, Pick, Source};
use snapshot::ServiceEntry;

use crate::failure::Failure;

/// The time that a name may take that was never resolved before.
const RESOLVE_LIMIT: Duration = Duration::from_secs(5);

/// The target for the next attempt, which begins `now`; not one of those `tried` while there is another. With it comes
/// when it was picked, if that took waiting.
///
/// # Errors
/// [`Failure::NoPeer`], [`Failure::Unresolved`]
pub(crate) async fn pick(
    service: &ServiceEntry,
    affinity: &Affinity,
    tried: &[SocketAddr],
    now: Instant,
) -> Result<(Lease, Option<Instant>), Failure> {
    found(service, tried, now, |now| {
        service.upstream().pick(&Pick { key: affinity.key(), tried, now })
    })
    .await
}

/// The target that the next request gets, which stays the next one's.
///
/// # Errors
/// As [`pick`].
pub(crate) async fn preview(
    service: &ServiceEntry,
    affinity: &Affinity,
) -> Result<Arc<Peer>, Failure> {
    found(service, &[], Instant::now(), |now| {
        service.upstream().preview(&Pick { key: affinity.key(), tried: &[], now })
    })
    .await
    .map(|(peer, _)| peer)
}

async fn found<T>(
    service: &ServiceEntry,
    tried: &[SocketAddr],
    now: Instant,
    pick: impl Fn(Instant) -> Result<T, NoPeer>,
) -> Result<(T, Option<Instant>), Failure> {
    let mut picked = pick(now);
    let mut waited = None;
    if matches!(picked, Err(NoPeer::Unresolved)) {
        // Only the first request for a name comes here; all others find what was resolved.
        // Whether the limit has passed shows in the pick.
        let _ = tokio::time::timeout(RESOLVE_LIMIT, service.upstream().resolved()).await;
        let now = Instant::now();
        picked = pick(now);
        waited = Some(now);
    }
    picked.map(|picked| (picked, waited)).map_err(|why| match why {
        NoPeer::Unavailable => {
            Failure::NoPeer { upstream: service.service.host.clone(), retry: !tried.is_empty() }
        }
        NoPeer::Unresolved => {
            Failure::Unresolved(format!("no answer within {} s", RESOLVE_LIMIT.as_secs()))
        }
        NoPeer::NameResolution(why) => Failure::Unresolved(why.to_string()),
    })
}

/// Counts what came of an attempt, for the target's health.
pub(crate) fn report(service: &ServiceEntry, lease: &Lease, outcome: Outcome, now: Instant) {
    let change = service.upstream().report(lease.peer(), outcome, Source::Passive, now);
    if let Some(change) = change {
        upstream::log_transition(&service.upstream().config(), &change);
    }
}
