//! What processing an entity needs from outside.

use std::fmt;

use schema::{Record, Subschema, Surroundings};
use uuid::Uuid;

use crate::entities::entity;
use crate::route::RouterFlavor;

/// Clock, randomness and settings, for one write.
#[derive(Clone, Copy)]
pub struct Env<'a> {
    /// Milliseconds since 1970.
    pub now_ms: u64,
    /// Makes the id of a new entity.
    pub new_id: &'a (dyn Fn() -> Uuid + Sync),
    /// Fills a buffer with random bytes that nobody can guess: for keys, secrets and salts.
    pub random: &'a (dyn Fn(&mut [u8]) + Sync),
    /// Which routes can be written.
    pub router_flavor: RouterFlavor,
    /// The plugins that can be configured.
    pub plugins: &'a (dyn Plugins + Sync),
}

/// The plugins that can be configured on this node.
pub trait Plugins {
    /// What a plugin entity of that name looks like: its `config`, its protocols, the scopes that
    /// it does not have. `None`: there is no such plugin, or it is not enabled.
    fn plugin(&self, name: &str) -> Option<&Subschema>;
}

/// No plugins.
#[derive(Clone, Copy, Debug)]
pub struct NoPlugins;

impl Plugins for NoPlugins {
    fn plugin(&self, _: &str) -> Option<&Subschema> {
        None
    }
}

impl fmt::Debug for Env<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env")
            .field("now_ms", &self.now_ms)
            .field("router_flavor", &self.router_flavor)
            .finish_non_exhaustive()
    }
}

impl Surroundings for Env<'_> {
    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn new_id(&self) -> Uuid {
        (self.new_id)()
    }

    fn random_string(&self) -> String {
        random_string(self.random)
    }

    fn random_bytes(&self, buffer: &mut [u8]) {
        (self.random)(buffer);
    }

    fn subschema(&self, record: &str, name: &str) -> Option<&Subschema> {
        match record {
            "plugins" => self.plugins.plugin(name),
            _ => None,
        }
    }

    fn entity(&self, name: &str) -> Option<&Record> {
        entity(name).map(|entity| entity.record(self.router_flavor))
    }
}

/// 32 characters of `[0-9A-Za-z]`, each as likely as the others.
fn random_string(random: &dyn Fn(&mut [u8])) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = String::with_capacity(32);
    while text.len() < 32 {
        let mut bytes = [0; 48];
        random(&mut bytes);
        // A byte of 248 and more would make the first characters likelier.
        let drawn =
            bytes.iter().filter(|b| **b < 248).map(|b| char::from(ALPHABET[usize::from(b % 62)]));
        text.extend(drawn.take(32 - text.len()));
    }
    text
}

#[cfg(test)]
mod tests;
