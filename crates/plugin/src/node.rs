//! What a data plane lends to its plugins beyond one request.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use lifecycle::{Clock, Failure, Shutdown, SystemClock, Tasks};
use telemetry::metrics::Registry;
use tokio::sync::watch;
use uuid::Uuid;

use crate::counters::{Counters, NoCounters};
use crate::dial::{Dialer, NoDialer};

/// The data plane that plugins run on. Clones share everything.
#[derive(Clone)]
pub struct Node {
    /// Its id, as control planes and metrics know it.
    pub id: Uuid,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where work off the request path runs, and what ends it. Instances are built on the runtime
    /// that such work belongs to.
    pub tasks: Tasks,
    /// What is counted.
    pub metrics: Registry,
    /// The counters that all data planes share through their control plane.
    pub counters: Arc<dyn Counters>,
    /// Connections to whom plugins call.
    pub dialer: Arc<dyn Dialer>,
    quiet: Arc<watch::Sender<bool>>,
    common: Arc<Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>>,
}

impl Node {
    /// A data plane that lends these.
    pub fn new(
        id: Uuid,
        clock: Arc<dyn Clock>,
        tasks: Tasks,
        metrics: Registry,
        counters: Arc<dyn Counters>,
    ) -> Node {
        Node {
            id,
            clock,
            tasks,
            metrics,
            counters,
            dialer: Arc::new(NoDialer),
            quiet: Arc::new(watch::Sender::new(false)),
            common: Arc::default(),
        }
    }

    /// The same data plane, whose plugins connect to others by `dialer`; without one they connect
    /// to nobody.
    pub fn dialing(self, dialer: Arc<dyn Dialer>) -> Node {
        Node { dialer, ..self }
    }

    /// A data plane by itself: the system's clock, tasks and metrics of its own, no control plane.
    pub fn detached() -> Node {
        let tasks = Tasks::new(Shutdown::new());
        let counters = Arc::new(NoCounters);
        Node::new(Uuid::nil(), Arc::new(SystemClock), tasks, Registry::new(), counters)
    }

    /// Runs a task of a plugin off the request path; a panic is logged and ends nothing but the
    /// task. The end of the process waits for it: it is to end by itself, soon after
    /// [`Node::quiet`] at the latest.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(name, async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                tracing::error!(
                    task = name,
                    "a task of a plugin panicked: its work stops until the plugin is configured anew"
                );
            }
            Ok::<(), Failure>(())
        });
    }

    /// Done when the process ends and no request is served any more: what still waits to be sent
    /// is to be sent now.
    pub fn quiet(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut quiet = self.quiet.subscribe();
        async move {
            // With nobody left to say so it is as good as said.
            let _ = quiet.wait_for(|quiet| *quiet).await;
        }
    }

    /// Says that no request is served any more.
    pub fn fall_quiet(&self) {
        self.quiet.send_replace(true);
    }

    /// What all instances of a plugin have in common (connections, caches, metrics): made when it
    /// is first asked for, one of each type, kept for as long as the data plane runs.
    pub fn common<T: Any + Send + Sync>(&self, make: impl FnOnce(&Node) -> T) -> Arc<T> {
        let mut common = self.common.lock().unwrap_or_else(PoisonError::into_inner);
        let present = common.get(&TypeId::of::<T>()).cloned();
        if let Some(present) = present.and_then(|present| present.downcast().ok()) {
            return present;
        }
        let made = Arc::new(make(self));
        common.insert(TypeId::of::<T>(), made.clone());
        made
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("id", &self.id).finish_non_exhaustive()
    }
}
