//! What an operator can choose, and who this data plane is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;

use crate::disk::SnapshotKey;
use crate::endpoint::Endpoint;

/// What an operator can choose about following the control planes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The control planes; at least one. Which one is followed is drawn by the node's id, so that
    /// a fleet spreads over them.
    pub endpoints: Vec<Endpoint>,
    /// Who this data plane is.
    pub node: Node,
    /// `db_update_frequency`: the pause between polls while the stream is down (± 10 %).
    pub frequency: Duration,
    /// `db_cache_ttl`: how often the received set is hashed anew and compared with a control
    /// plane's. `None` leaves it at the comparison that comes with every bookmark and poll.
    pub cache_ttl: Option<Duration>,
    /// Where the last good configuration is kept; `None` keeps none.
    pub data_dir: Option<PathBuf>,
    /// What encrypts it there; `None` keeps it in clear text, for its owner only.
    pub snapshot_key: Option<SnapshotKey>,
    /// Where the randomness of jitter begins.
    pub seed: u64,
}

/// A data plane as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Kept over restarts.
    pub id: Uuid,
    /// The name of its machine.
    pub hostname: String,
    /// The version of its program.
    pub version: String,
    /// What the operator calls it by.
    pub labels: BTreeMap<String, String>,
    /// The plugins that it can run, with their versions.
    pub plugins: BTreeMap<String, String>,
}
