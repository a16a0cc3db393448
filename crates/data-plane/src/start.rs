//! Joining the parts.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use lifecycle::Failure;
use process::{BindError, DirectoryError, Process, cluster};
use proxy::{Options, Proxy};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use settings::{DnsOrder, HostPort, Settings};
use snapshot::{Builder, Cell};
use subscribe::{Client, Endpoint, NotAnAddress, Status};
use telemetry::build_info;
use tokio::sync::watch;
use upstream::{
    ClientCertificate, Connector, FindCertificate, Keeper, KeeperSettings, RecordKind,
    ResolverSettings,
};

use crate::by_hand::ByHand;
use crate::counters::Counters;
use crate::dialer::Dialer;
use crate::health::Observer;
use crate::live::Live;
use crate::serve::Serve;
use crate::view::View;
use crate::{metrics, target_metrics};

/// Why a data plane is not ready before its first configuration; Kong's words.
const NO_CONFIGURATION: &str = "no configuration available (configuration hash is not initialized)";

/// Why it is not with a configuration from its disk.
const UNCONFIRMED: &str =
    "the configuration is the last one from the disk, and control planes are asked for a newer one";

/// No control plane that could bring a configuration from the disk up to date has answered within
/// this: what there is is served.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(3);

/// A data plane that runs; the process's tasks end it.
#[derive(Debug)]
pub struct Running {
    /// Where clients connect.
    pub proxy: Vec<SocketAddr>,
    /// Where clients of TCP, TLS and UDP routes connect.
    pub streams: Vec<SocketAddr>,
    /// Where the status listener is.
    pub status: Vec<SocketAddr>,
    /// What can be seen and set while it runs.
    pub view: View,
}

/// A data plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address for clients is taken, or is none of this machine.
    #[error(transparent)]
    Proxy(#[from] proxy::BindError),
    /// The status listener's address is.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The data directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A control plane's address is none.
    #[error("cluster_control_plane: {0}")]
    ControlPlane(#[from] NotAnAddress),
    /// The certificates of the cluster cannot be used.
    #[error(transparent)]
    Tls(#[from] process::tls::TlsError),
    /// The configuration would come unencrypted over a network.
    #[error(transparent)]
    Unprotected(#[from] cluster::Unprotected),
    /// The proxy did not start.
    #[error(transparent)]
    Start(#[from] proxy::StartError),
    /// The runtime refused a socket or a signal.
    #[error("the runtime refuses a socket or a signal: {0}")]
    Runtime(#[from] io::Error),
}

/// Starts a data plane on the present runtime, which is then its control runtime; traffic gets
/// threads of its own. With `control_plane` it follows the one in this process, otherwise those of
/// the settings.
///
/// Binds every listener before anything is served.
///
/// # Errors
/// What is in the way, and what to do about it.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn start(
    settings: &Settings,
    process: &Process,
    control_plane: Option<wire::Dialer>,
) -> Result<Running, StartError> {
    let mut random = StdRng::from_os_rng();
    let mut seed = [0; 32];
    random.fill_bytes(&mut seed);
    let bound = Proxy::bind(Options::new(settings, process.clock.clone(), seed))?;
    let status = process::bind_all(
        "status_listen",
        &process::plain("status_listen", &settings.status_listen),
    )?;
    let together = control_plane.is_some();
    let subscription = subscription(settings, process, control_plane, random.next_u64())?;

    let id = subscription.node.id;
    let node = plugin::Node::new(
        id,
        process.clock.clone(),
        process.tasks.clone(),
        process.metrics.clone(),
        Arc::new(Counters(subscribe::Counters::new(&subscription))),
    )
    .dialing(Arc::new(Dialer(Connector::new(&resolver(settings)))));
    let mut builder =
        Builder::new(rules(settings), plugins::bundled(), node.clone(), random.next_u64());
    builder.look_up_in(environment());
    let cell = Cell::new(builder.snapshot());
    let keeper = KeeperSettings {
        resolver: resolver(settings),
        certificates: certificates(&cell),
        seed: random.next_u64(),
    };
    let live = Live::new(Keeper::start(keeper, process.clock.clone(), &process.tasks));
    let follower = live.clone();
    builder.follow(Arc::new(move |change| follower.follow(&[change])));
    let (proxy, streams) = (bound.addresses(), bound.stream_addresses());
    let threads = bound.run(&cell, process.tasks.shutdown())?;
    threads.register(&process.metrics, id);
    process.introduce(id);
    metrics::register_health(&node, &live);
    process.on_reopen_signal(threads.reopen_logs())?;
    if let Some(reload) = threads.reload_certificates() {
        process.on_reload("ssl_cert", reload);
    }
    let view = View::new(live.clone(), &threads, process.clock.clone());
    process.tasks.spawn("traffic threads", async move {
        let joined = tokio::task::spawn_blocking(move || threads.join()).await;
        // Nothing is logged any more: what plugins still have to send goes out.
        node.fall_quiet();
        joined??;
        Ok::<(), Failure>(())
    });

    let by_hand = ByHand::default();
    let observer = Observer::new(live.clone(), process.clock.clone(), by_hand.clone());
    let client = Client::new(subscription).telling(observer.health());
    process.tasks.background("health reports", observer.run());
    target_metrics::register(&process.metrics, live.clone(), process.clock.clone());
    let synced = client.status();
    metrics::register(&process.metrics, synced.clone(), together);
    wait_for_configuration(process, synced.clone());
    let shutdown = process.tasks.shutdown().clone();
    let serve = Serve::new(builder, cell, live, by_hand, process.clock.clone());
    process
        .tasks
        .spawn("subscription", async move { Box::pin(client.run(serve, &shutdown)).await });
    let status = serve_status(process, status, synced, &view)?;
    Ok(Running { proxy, streams, status, view })
}

fn subscription(
    settings: &Settings,
    process: &Process,
    control_plane: Option<wire::Dialer>,
    seed: u64,
) -> Result<subscribe::Settings, StartError> {
    let id = process::node_id(settings)?;
    // The control plane of this process has the configuration in its own database: another copy
    // of it would only be another secret to keep.
    let data_dir = match control_plane {
        Some(_) => None,
        None => Some(process::prepare(settings)?.to_owned()),
    };
    let endpoints = match control_plane {
        Some(dialer) => vec![Endpoint::in_process(dialer)],
        None => {
            let tls = cluster::client(settings)?.map(|cluster::Client { config, name, reload }| {
                process.on_reload("cluster_cert", reload);
                subscribe::Tls { config, name }
            });
            let endpoint = |at: &HostPort| match &tls {
                Some(tls) => Ok(Endpoint::tls(&at.to_string(), tls)?),
                None => {
                    cluster::may_be_plain(settings, "cluster_control_plane", at)?;
                    Ok(Endpoint::tcp(&at.to_string())?)
                }
            };
            let addresses = settings.cluster_control_plane.iter();
            addresses.map(endpoint).collect::<Result<_, StartError>>()?
        }
    };
    let plugins = plugin::Registry::definitions(plugins::bundled()).iter();
    Ok(subscribe::Settings {
        endpoints,
        node: subscribe::Node {
            id,
            hostname: process::hostname(),
            version: build_info::VERSION.to_owned(),
            labels: settings.cluster_dp_labels.iter().cloned().collect(),
            plugins: plugins
                .map(|plugin| (plugin.listing.name.to_owned(), plugin.listing.version.to_owned()))
                .collect(),
        },
        frequency: settings.db_update_frequency,
        cache_ttl: (!settings.db_cache_ttl.is_zero()).then_some(settings.db_cache_ttl),
        data_dir,
        snapshot_key: settings
            .snapshot_key
            .as_ref()
            .map(|secret| subscribe::SnapshotKey::derived_from(secret.expose())),
        seed,
    })
}

fn resolver(settings: &Settings) -> ResolverSettings {
    let kind = |order: &DnsOrder| match order {
        DnsOrder::Last => Some(RecordKind::Last),
        DnsOrder::Srv => Some(RecordKind::Srv),
        DnsOrder::A => Some(RecordKind::A),
        DnsOrder::Aaaa => Some(RecordKind::Aaaa),
        // Aliases are followed with every other type.
        DnsOrder::Cname => None,
    };
    ResolverSettings {
        servers: settings.dns_resolver.clone(),
        hosts_file: Some(settings.dns_hostsfile.clone()),
        order: settings.dns_order.iter().filter_map(kind).collect(),
        valid_ttl: settings.dns_valid_ttl,
        stale_ttl: settings.dns_stale_ttl,
        not_found_ttl: settings.dns_not_found_ttl,
        error_ttl: settings.dns_error_ttl,
    }
}

/// Where entities' references to secrets are looked up.
#[expect(clippy::disallowed_methods, reason = "which variables are secrets, entities say")]
fn environment() -> snapshot::Environment {
    Arc::new(|name| std::env::var(name).ok())
}

/// Client certificates for probes, from whatever is served at the time.
fn certificates(cell: &Arc<Cell>) -> Arc<FindCertificate> {
    let cell = cell.clone();
    Arc::new(move |id| {
        let snapshot = cell.load();
        let certificate = snapshot.certificate(id)?;
        Some(ClientCertificate {
            chain: certificate.cert.clone(),
            key: certificate.key.expose().to_owned(),
        })
    })
}

fn rules(settings: &Settings) -> router::Rules {
    router::Rules {
        flavor: match settings.router_flavor {
            settings::RouterFlavor::TraditionalCompatible => {
                model::RouterFlavor::TraditionalCompatible
            }
            settings::RouterFlavor::Traditional => model::RouterFlavor::Traditional,
            settings::RouterFlavor::Expressions => model::RouterFlavor::Expressions,
        },
        calculation: match settings.route_match_calculation {
            settings::RouteMatchCalculation::Original => router::Calculation::Original,
            settings::RouteMatchCalculation::Strict => router::Calculation::Strict,
        },
    }
}

/// Not ready before the first configuration is served: a load balancer must not send requests that
/// would be answered with 404. For the same reason, a configuration from the disk is first brought
/// up to date, if a control plane is there to do so.
fn wait_for_configuration(process: &Process, mut status: watch::Receiver<Status>) {
    let nothing = process.readiness.hold(NO_CONFIGURATION);
    let readiness = process.readiness.clone();
    process.tasks.background("first configuration", async move {
        // The client is gone only when the process is.
        let first = status.wait_for(|status| status.serving.is_some());
        if !first.await.is_ok_and(|status| status.restored) {
            return;
        }
        let outdated = readiness.hold(UNCONFIRMED);
        drop(nothing);
        let confirmed = status.wait_for(|status| !status.restored);
        let _ = tokio::time::timeout(CONFIRMED_WITHIN, confirmed).await;
        drop(outdated);
    });
}

fn serve_status(
    process: &Process,
    listeners: Vec<TcpListener>,
    synced: watch::Receiver<Status>,
    view: &View,
) -> Result<Vec<SocketAddr>, StartError> {
    let view = view.clone();
    let page = Arc::new(move || {
        let status = synced.borrow().clone();
        let traffic = view.traffic();
        let rejected = status.rejected.iter().map(|one| {
            serde_json::json!({
                "entity": one.kind.as_str(),
                "id": one.id,
                "revision": one.revision,
                "reason": one.reason,
                "in_part": one.in_part,
            })
        });
        serde_json::json!({
            "version": build_info::VERSION,
            "memory": { "resident": process::resident_memory() },
            "server": {
                "connections_accepted": traffic.accepted,
                "connections_active": traffic.active,
                "connections_handled": traffic.accepted,
                "total_requests": traffic.requests,
            },
            "configuration_hash": status.digest.to_string(),
            "sync": {
                "state": status.state.as_str(),
                "following": status.following,
                "received": status.received.map(|cursor| cursor.revision),
                "serving": status.serving.map(|cursor| cursor.revision),
                "restored_from_disk": status.restored,
                "entities": status.entities,
                "rejected": rejected.collect::<Vec<_>>(),
            },
        })
    });
    Ok(process::status::serve(process, listeners, page)?)
}
