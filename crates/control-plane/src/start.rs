//! Joining the parts.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use admin::{About, Api, Counters, Explain, Role, State, SystemRandom, Wait, Wanted};
use process::{BindError, DirectoryError, Process, cluster};
use publish::Publisher;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::{Rng, RngCore};
use settings::{Database, HostPort, Settings};
use store::Store;
use telemetry::build_info;
use uuid::Uuid;

use crate::database;
use crate::expiry;
use crate::listeners::{AdminListeners, ListenError};
use crate::local::LocalDataPlane;
use crate::metrics;
use crate::node::{self, Node};
use crate::view::View;

/// With the data plane in the same process, a write is answered when it is served, which takes a
/// millisecond or so: who has read the answer can use what was made.
const SERVED_HERE: Wait = Wait { wanted: Wanted::Here, within: Duration::from_secs(1) };

/// What a control plane shares with the data plane of the same process.
pub struct Together {
    /// Where that data plane connects.
    pub listener: wire::Listener,
    /// What can be asked of it.
    pub data_plane: Arc<dyn LocalDataPlane>,
    /// Who tells what becomes of requests there.
    pub explain: Arc<dyn Explain>,
}

impl std::fmt::Debug for Together {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Together").field("listener", &self.listener).finish_non_exhaustive()
    }
}

/// A control plane that runs; the process's tasks end it.
#[derive(Debug)]
pub struct Running {
    /// Where the Admin API listens.
    pub admin: Vec<SocketAddr>,
    /// Where data planes connect.
    pub cluster: Vec<SocketAddr>,
    /// Where the status listener is; none when the data plane of the same process has it.
    pub status: Vec<SocketAddr>,
}

/// A control plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is taken, or is none of this machine.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The Admin API cannot listen.
    #[error(transparent)]
    Admin(#[from] ListenError),
    /// The certificates of the cluster cannot be used.
    #[error(transparent)]
    Tls(#[from] process::tls::TlsError),
    /// The configuration would go unencrypted over a network.
    #[error(transparent)]
    Unprotected(#[from] cluster::Unprotected),
    /// The data directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] database::OpenError),
    /// The declarative file cannot be read, or is wrong.
    #[error("declarative_config: {} cannot be loaded: {why}", file.display())]
    Declarative {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The runtime refused a socket.
    #[error("a listener cannot be handed to the runtime")]
    Runtime(#[from] io::Error),
}

/// Starts a control plane: alone, or together with a data plane in the same process.
///
/// Binds every listener and opens the database before anything is served.
///
/// # Errors
/// What is in the way, and what to do about it.
pub async fn start(
    settings: &Settings,
    process: &Process,
    together: Option<Together>,
) -> Result<Running, StartError> {
    let admin = AdminListeners::bind(settings)?;
    let cluster = process::bind_all(
        "cluster_listen",
        &process::plain("cluster_listen", &settings.cluster_listen),
    )?;
    let tls = tls(settings, process, &cluster)?;
    let status = match together {
        Some(_) => Vec::new(),
        None => process::bind_all(
            "status_listen",
            &process::plain("status_listen", &settings.status_listen),
        )?,
    };
    let node_id = process::node_id(settings)?;
    let store = database::open_measured(settings, &process.metrics).await?;

    let role = if together.is_some() { Role::Traditional } else { Role::ControlPlane };
    let (pipe, local, explain) = match together {
        Some(Together { listener, data_plane, explain }) => {
            (Some(listener), Some(data_plane), Some(explain))
        }
        None => (None, None, None),
    };
    let publisher = publisher(settings, process, store.clone());
    let cluster = serve_data_planes(process, &publisher, cluster, tls, pipe)?;
    // Traffic that a data plane in the same process serves goes on without the database.
    let readiness = (role == Role::ControlPlane).then(|| process.readiness.clone());
    database::watch(process, store.clone(), settings.db_update_frequency, readiness);
    process.introduce(node_id);
    if role == Role::ControlPlane {
        metrics::register(&process.metrics, publisher.fleet().clone());
    }
    let counters = Arc::new(Counters::default());
    let view = Arc::new(View {
        fleet: publisher.fleet().clone(),
        local: local.clone(),
        node: node_id,
        hostname: process::hostname(),
    });
    let declarative = (settings.database == Database::Off).then(Arc::default);
    let api = Api::new(State {
        store,
        clock: process.clock.clone(),
        random: Arc::new(SystemRandom),
        plugins: Arc::new(Catalogue),
        barrier: view.clone(),
        fleet: view,
        node: Arc::new(Node::new(process.clone(), counters.clone(), local)),
        explain,
        declarative,
        about: Arc::new(about(settings, role, node_id)),
    });
    if let Some(file) = settings.declarative_config.as_ref().filter(|_| api.is_declarative()) {
        load(&api, file).await?;
    }
    expiry::run(process, &api);
    let admin = admin.serve(process, &api, &counters)?;
    let status = process::status::serve(process, status, status_page(publisher))?;
    Ok(Running { admin, cluster, status })
}

/// Loads the file that entities come from where there is no database.
async fn load(api: &Api, file: &Path) -> Result<(), StartError> {
    let failed = |why: String| StartError::Declarative { file: file.to_owned(), why };
    let text = tokio::fs::read_to_string(file).await.map_err(|error| failed(error.to_string()))?;
    let entities = api.load(&text).await.map_err(failed)?;
    tracing::info!(file = %file.display(), entities, "the declarative configuration is loaded");
    Ok(())
}

fn publisher(settings: &Settings, process: &Process, store: Arc<dyn Store>) -> Publisher {
    let publisher = Publisher::new(
        store,
        process.clock.clone(),
        publish::Settings {
            frequency: settings.db_update_frequency,
            propagation: settings.db_update_propagation,
            purge_delay: settings.cluster_data_plane_purge_delay,
            seed: StdRng::from_os_rng().next_u64(),
            ..publish::Settings::default()
        },
    );
    let (tailing, shutdown) = (publisher.clone(), process.tasks.shutdown().clone());
    process.tasks.spawn("change log", async move {
        tailing.tail(&shutdown).await;
        DONE
    });
    let (compacting, shutdown) = (publisher.clone(), process.tasks.shutdown().clone());
    process.tasks.spawn("log retention", async move {
        compacting.compact(&shutdown).await;
        DONE
    });
    let name = Uuid::from_u128(StdRng::from_os_rng().random());
    let sharing = publisher.share(name, process.tasks.shutdown());
    process.tasks.spawn("fleet", async move {
        sharing.await;
        DONE
    });
    wait_for_first_read(process, &publisher);
    publisher
}

/// Not ready before the configuration was read once: nothing could be told to a data plane.
fn wait_for_first_read(process: &Process, publisher: &Publisher) {
    let guard = process.readiness.hold("the configuration has not been read from the database yet");
    let mut released = publisher.released();
    process.tasks.background("first read", async move {
        // The publisher is gone only when the process is.
        let _ = released.wait_for(Option::is_some).await;
        drop(guard);
    });
}

/// How data planes are spoken with. Where other machines can connect, nothing but TLS will do.
fn tls(
    settings: &Settings,
    process: &Process,
    listeners: &[TcpListener],
) -> Result<Option<publish::Tls>, StartError> {
    if let Some(cluster::Server { config, individual, reload }) = cluster::server(settings)? {
        process.on_reload("cluster_cert", reload);
        return Ok(Some(publish::Tls { config, individual }));
    }
    for listener in listeners {
        let address = listener.local_addr()?;
        let at = HostPort { host: address.ip().to_string(), port: address.port() };
        cluster::may_be_plain(settings, "cluster_listen", &at)?;
    }
    Ok(None)
}

fn serve_data_planes(
    process: &Process,
    publisher: &Publisher,
    listeners: Vec<TcpListener>,
    tls: Option<publish::Tls>,
    pipe: Option<wire::Listener>,
) -> Result<Vec<SocketAddr>, StartError> {
    let mut addresses = Vec::new();
    for listener in listeners {
        addresses.push(listener.local_addr()?);
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let (publisher, shutdown) = (publisher.clone(), process.tasks.shutdown().clone());
        let tls = tls.clone();
        process.tasks.spawn("stream", async move {
            match tls {
                Some(tls) => publisher.serve_tls(listener, tls, &shutdown).await,
                None => publisher.serve_tcp(listener, &shutdown).await,
            }
        });
    }
    if let Some(pipe) = pipe {
        let (publisher, shutdown) = (publisher.clone(), process.tasks.shutdown().clone());
        process.tasks.spawn("stream within the process", async move {
            publisher.serve_pipe(pipe, &shutdown).await
        });
    }
    Ok(addresses)
}

fn about(settings: &Settings, role: Role, node_id: Uuid) -> About {
    About {
        node_id,
        workspace_id: model::workspace_id(),
        hostname: process::hostname(),
        role,
        router_flavor: match settings.router_flavor {
            settings::RouterFlavor::TraditionalCompatible => {
                model::RouterFlavor::TraditionalCompatible
            }
            settings::RouterFlavor::Traditional => model::RouterFlavor::Traditional,
            settings::RouterFlavor::Expressions => model::RouterFlavor::Expressions,
        },
        configuration: node::configuration(settings),
        gui_origins: Vec::new(),
        largest_body: match settings.nginx_admin_client_max_body_size {
            0 => usize::MAX,
            size => usize::try_from(size).unwrap_or(usize::MAX),
        },
        largest_entity: wire::MAX_BODY,
        default_wait: (role == Role::Traditional).then_some(SERVED_HERE),
    }
}

fn status_page(publisher: Publisher) -> process::status::Status {
    Arc::new(move || {
        let released = *publisher.released().borrow();
        serde_json::json!({
            "version": build_info::VERSION,
            "memory": { "resident": process::resident_memory() },
            "database": { "reachable": released.is_some() },
            "configuration_hash": released.map(|released| released.digest.to_string()),
            "revision": released.map(|released| released.at.revision),
            "data_planes": { "connected": publisher.fleet().connected_here() },
        })
    })
}

/// The end of a task that cannot fail.
const DONE: Result<(), Infallible> = Ok(());

/// The plugins that may be configured: all that data planes of this version can run.
#[derive(Debug)]
struct Catalogue;

impl plugin::PluginCatalogue for Catalogue {
    fn names(&self) -> Vec<&'static str> {
        plugins::bundled().names()
    }

    fn find(&self, name: &str) -> Option<&plugin::Listing> {
        plugins::bundled().find(name)
    }
}
