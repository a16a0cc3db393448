//! What is counted of targets.

use std::sync::Arc;
use std::time::Instant;

use balancer::{Label, Upstream};
use lifecycle::Clock;
use telemetry::metrics::{Kind, Registry, Text};

use crate::live::Live;

/// Addresses with a metric of their own. What is beyond is counted, not named: every label value
/// costs whoever stores the metrics.
const BUDGET: usize = 1_000;

/// Registers the metrics; they are computed when they are asked for.
pub(crate) fn register(metrics: &Registry, live: Live, clock: Arc<dyn Clock>) {
    metrics.collect(move |text| {
        let mut upstreams = Vec::new();
        live.each(|upstream| upstreams.push(Arc::clone(upstream)));
        upstreams.sort_by(|a, b| a.config().name.cmp(&b.config().name));
        render(&upstreams, clock.monotonic(), text);
    });
}

fn render(upstreams: &[Arc<Upstream>], now: Instant, text: &mut Text) {
    const NAME: &str = "weir_target_healthy";
    text.family(
        NAME,
        Kind::Gauge,
        "Whether an address of an upstream's target is given requests (1) or not (0)",
    );
    let mut left_out = 0u64;
    let mut left = BUDGET;
    let mut unavailable = 0u64;
    for upstream in upstreams {
        let view = upstream.view(now);
        for target in &view.targets {
            let place = format!("{}:{}", target.host, target.port);
            for address in &target.addresses {
                let is_available = address.state.is_available();
                // Without checks nothing is known, and an upstream's traffic goes everywhere.
                unavailable += u64::from(address.health == Label::Unhealthy);
                if left == 0 {
                    left_out += 1;
                    continue;
                }
                left -= 1;
                let at = address.address.to_string();
                let labels = [("upstream", &*view.name), ("target", &place), ("address", &at)];
                text.whole(NAME, &labels, u64::from(is_available));
            }
        }
    }
    text.family(
        "weir_targets_unhealthy",
        Kind::Gauge,
        "Addresses of targets that are given no requests because of their health",
    );
    text.whole("weir_targets_unhealthy", &[], unavailable);
    text.family(
        "weir_target_healthy_left_out",
        Kind::Gauge,
        "Addresses of targets that have no metric of their own, since there are too many",
    );
    text.whole("weir_target_healthy_left_out", &[], left_out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::testing::{live_with, upstream};
    use lifecycle::SystemClock;

    #[tokio::test]
    async fn targets_have_metrics_within_a_budget() {
        let metrics = Registry::new();
        let hosts: Vec<String> =
            (0..1_003).map(|n| format!("10.0.{}.{}", n / 250, n % 250)).collect();
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let (few, many) = (upstream(1, &["10.9.0.1"]), upstream(2, &hosts));
        few.set_health("10.9.0.1", 80, None, false, SystemClock.monotonic()).unwrap();
        register(&metrics, live_with(&[many, few]), Arc::new(SystemClock));
        let text = metrics.render();
        let ill = "weir_target_healthy{upstream=\"u1.test\",target=\"10.9.0.1:80\",\
                   address=\"10.9.0.1:80\"} 0\n";
        assert!(text.contains(ill), "{}", text.get(..500).unwrap_or(&text));
        assert_eq!(text.matches("weir_target_healthy{").count(), BUDGET);
        assert!(text.contains("weir_target_healthy_left_out 4\n"));
        assert!(text.contains("weir_targets_unhealthy 1\n"));
    }
}
