//! Counters that a control plane keeps for all data planes.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tonic::transport::Channel;
use wire::v1;

use crate::calls;
use crate::endpoint::Endpoint;
use crate::report::node_to;
use crate::rotation::Rotation;
use crate::settings::Settings;

/// Counting is answered within this.
const ANSWER: Duration = Duration::from_secs(3);

/// Adds to counters at one control plane, and at the next when that fails. Has a connection of its
/// own: what is counted does not wait behind the configuration.
pub struct Counters {
    endpoints: Vec<Endpoint>,
    node: v1::Node,
    state: Mutex<State>,
}

struct State {
    rotation: Rotation,
    channel: Option<Channel>,
}

/// A change of one counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Increment {
    /// The counter's name; one that is not there stands at 0.
    pub key: String,
    /// What is added; 0 reads, less than 0 takes away.
    pub by: i64,
    /// When the counter may be forgotten, in seconds since 1970.
    pub expires_at: u64,
}

/// Why nothing could be counted: which control plane, and what it said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("control plane {control_plane}: {why}")]
pub struct NotCounted {
    control_plane: String,
    why: String,
}

impl Counters {
    /// The counters of the control planes that a data plane with these settings follows. Connects
    /// when it is first used.
    pub fn new(settings: &Settings) -> Counters {
        let names = settings.endpoints.iter().map(|endpoint| &**endpoint.name());
        let rotation = Rotation::new(settings.node.id, names);
        Counters {
            endpoints: settings.endpoints.clone(),
            node: node_to(&settings.node),
            state: Mutex::new(State { rotation, channel: None }),
        }
    }

    /// Adds, and answers with what each counter then stands at, in the same order.
    ///
    /// # Errors
    /// When there is no answer within a few seconds. Whether it was added is not known then.
    pub async fn add(&self, increments: Vec<Increment>) -> Result<Vec<i64>, NotCounted> {
        let (channel, endpoint) = self.channel();
        let increment = |increment: Increment| v1::Increment {
            key: increment.key,
            by: increment.by,
            expires_at: increment.expires_at,
        };
        let request = v1::CountRequest {
            node: Some(self.node.clone()),
            increments: increments.into_iter().map(increment).collect(),
        };
        calls::count(channel, request, ANSWER).await.map_err(|failure| {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.rotation.advance();
            state.channel = None;
            NotCounted { control_plane: endpoint, why: failure.0 }
        })
    }

    fn channel(&self) -> (Channel, String) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { rotation, channel } = &mut *state;
        let endpoint = &self.endpoints[rotation.current()];
        let channel = channel.get_or_insert_with(|| endpoint.channel());
        (channel.clone(), endpoint.name().to_string())
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counters").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}
