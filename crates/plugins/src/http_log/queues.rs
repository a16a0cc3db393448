//! The queues of all instances: those that send alike share one, as in Kong.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use plugin::{Destination, Node};

use super::sender::{Sender, Settings};
use crate::queue::{Limits, Queue};

/// The queues of a data plane, by whom they send to. A queue lives as long as an instance has it.
#[derive(Default)]
pub(super) struct Queues(Mutex<HashMap<Destination, Vec<Known>>>);

struct Known {
    limits: Limits,
    settings: Settings,
    queue: Weak<Queue>,
}

impl Queues {
    /// The queue of these bounds that sends like this.
    pub(super) fn get(&self, limits: Limits, settings: Settings, node: &Node) -> Arc<Queue> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(settings.destination.clone()).or_default();
        known.retain(|one| one.queue.strong_count() > 0);
        let same = known.iter().find(|one| one.limits == limits && one.settings == settings);
        if let Some(queue) = same.and_then(|one| one.queue.upgrade()) {
            return queue;
        }
        let Destination { host, port, .. } = &settings.destination;
        let name = format!("http-log {host}:{port}{}", settings.path);
        let sender = Sender::new(settings.clone(), Arc::clone(&node.dialer));
        let queue = Arc::new(Queue::start(&name, limits.clone(), node, sender));
        known.push(Known { limits, settings, queue: Arc::downgrade(&queue) });
        // Those who moved away leave nothing behind.
        all.retain(|_, known| known.iter().any(|one| one.queue.strong_count() > 0));
        queue
    }
}
