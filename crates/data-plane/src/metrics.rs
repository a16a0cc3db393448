//! What a data plane counts of its connection to the control planes.

use balancer::{Label, View};
use plugin::Node;
use subscribe::{State, Status};
use telemetry::metrics::{Kind, Registry, Text};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::live::Live;

const STATES: [State; 4] = [State::Booting, State::Streaming, State::Polling, State::Stale];

/// Registers the metrics; they are read off the status when they are asked for. `together`: with
/// the control plane in one process.
pub(crate) fn register(metrics: &Registry, status: watch::Receiver<Status>, together: bool) {
    metrics.collect(move |text| {
        let status = status.borrow().clone();
        if !together {
            let name = "kong_control_plane_connected";
            text.family(name, Kind::Gauge, "Kong connected to control plane, 0 is unconnected");
            text.whole(name, &[], u64::from(status.state == State::Streaming));
        }
        render(&status, Instant::now(), text);
    });
}

/// Registers the health of targets, which is told while a `prometheus` plugin asks for it.
pub(crate) fn register_health(node: &Node, live: &Live) {
    let (told, live) = (node.clone(), live.clone());
    node.metrics.collect(move |text| {
        if plugins::tells_upstream_health(&told) {
            render_health(&live.views(told.clock.monotonic()), text);
        }
    });
}

fn render_health(upstreams: &[View], text: &mut Text) {
    const STATES: [(Label, &str); 4] = [
        (Label::ChecksOff, "healthchecks_off"),
        (Label::Healthy, "healthy"),
        (Label::Unhealthy, "unhealthy"),
        (Label::DnsError, "dns_error"),
    ];
    let name = "kong_upstream_target_health";
    let mut begun = false;
    let mut tell = |upstream: &View, target: &str, address: &str, health: Label| {
        if !std::mem::replace(&mut begun, true) {
            text.family(name, Kind::Gauge, "Health status of targets of upstream");
        }
        for (state, word) in STATES {
            let labels = [
                ("upstream", &*upstream.name),
                ("target", target),
                ("address", address),
                ("state", word),
                ("subsystem", "http"),
            ];
            text.whole(name, &labels, u64::from(state == health));
        }
    };
    for upstream in upstreams {
        for target in &upstream.targets {
            let named = format!("{}:{}", target.host, target.port);
            for address in &target.addresses {
                tell(upstream, &named, &address.address.to_string(), address.health);
            }
            if target.addresses.is_empty() {
                tell(upstream, &named, "", target.health);
            }
        }
    }
}

fn render(status: &Status, now: Instant, text: &mut Text) {
    text.family(
        "weir_sync_state",
        Kind::Gauge,
        "How this data plane is connected to the control planes: 1 for the state that it is in",
    );
    for state in STATES {
        text.whole(
            "weir_sync_state",
            &[("state", state.as_str())],
            u64::from(state == status.state),
        );
    }
    text.family(
        "weir_revision",
        Kind::Gauge,
        "Revision of the configuration that this data plane has received, and serves",
    );
    for (stage, cursor) in [("received", status.received), ("serving", status.serving)] {
        if let Some(cursor) = cursor {
            text.whole("weir_revision", &[("stage", stage)], cursor.revision);
        }
    }
    text.family("weir_entities", Kind::Gauge, "Entities of the configuration");
    text.whole("weir_entities", &[], status.entities as u64);
    text.family(
        "weir_rejected_entities",
        Kind::Gauge,
        "Entities that this data plane could not apply",
    );
    let in_part = status.rejected.iter().filter(|one| one.in_part).count();
    text.whole("weir_rejected_entities", &[], (status.rejected.len() - in_part) as u64);
    text.family(
        "weir_partly_applied_entities",
        Kind::Gauge,
        "Entities that are in force without parts that this version does not know",
    );
    text.whole("weir_partly_applied_entities", &[], in_part as u64);
    if let Some(last) = status.last_contact {
        text.family(
            "weir_control_plane_silence_seconds",
            Kind::Gauge,
            "Since when no control plane was heard of",
        );
        text.sample(
            "weir_control_plane_silence_seconds",
            &[],
            now.saturating_duration_since(last).as_secs_f64(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_status_becomes_metrics() {
        let metrics = Registry::new();
        let (sender, receiver) = watch::channel(Status::default());
        register(&metrics, receiver, false);
        assert!(metrics.render().contains("weir_sync_state{state=\"booting\"} 1\n"));
        assert!(!metrics.render().contains("weir_revision{"));

        let at = model::Cursor { epoch: uuid::Uuid::nil(), revision: 7 };
        sender.send_modify(|status| {
            status.state = State::Streaming;
            status.received = Some(at);
            status.last_contact = Some(Instant::now());
        });
        tokio::time::advance(std::time::Duration::from_secs(3)).await;
        let text = metrics.render();
        assert!(text.contains("weir_sync_state{state=\"streaming\"} 1\n"), "{text}");
        assert!(text.contains("weir_revision{stage=\"received\"} 7\n"), "{text}");
        assert!(text.contains("weir_control_plane_silence_seconds 3\n"), "{text}");
    }
}
