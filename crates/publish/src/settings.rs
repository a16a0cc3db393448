//! What an operator can choose.

use std::time::Duration;

/// What an operator can choose about the stream.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `db_update_frequency`: the log is read at least this often, whether or not the store
    /// announced a change.
    pub frequency: Duration,
    /// `db_update_propagation`: a revision is released when it is this old by the database's
    /// clock.
    pub propagation: Duration,
    /// How much of the log is kept.
    pub retention: Retention,
    /// `cluster_data_plane_purge_delay`: a data plane that was not seen for this long is
    /// forgotten.
    pub purge_delay: Duration,
    /// Where the randomness of jitter begins.
    pub seed: u64,
}

/// How much of the log is kept: whichever of the two keeps more.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Revisions younger than this are kept.
    pub age: Duration,
    /// The newest this many revisions are kept.
    pub revisions: u64,
}

impl Default for Settings {
    /// Kong's defaults, and seven days or 100,000 revisions of the log.
    fn default() -> Settings {
        Settings {
            frequency: Duration::from_secs(5),
            propagation: Duration::ZERO,
            retention: Retention { age: Duration::from_secs(7 * 24 * 3600), revisions: 100_000 },
            purge_delay: Duration::from_secs(14 * 24 * 3600),
            seed: 0,
        }
    }
}
