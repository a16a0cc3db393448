//! The peers that time alone changes: ejected ones, and those that grow to their share.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use crate::ejection::{Ejection, Sentence, Stage};
use crate::plan::Revision;
use crate::pool::Slot;
use crate::slow_start::{STEPS, share};

/// See the module. Whoever owns it carries its answers out in the pool.
#[derive(Debug, Default)]
pub(crate) struct Comeback {
    sentences: FxHashMap<Slot, Sentence>,
    growing: FxHashMap<Slot, Growing>,
}

/// A peer on its way to its share.
#[derive(Clone, Copy, Debug)]
struct Growing {
    /// `None` until somebody tells what time it is.
    since: Option<Instant>,
    /// When it gets more.
    next: Option<Instant>,
}

impl Comeback {
    /// The peer is gone, or another one comes there.
    pub(crate) fn forget(&mut self, slot: Slot) {
        self.pardon(slot);
        self.growing.remove(&slot);
    }

    /// A peer is new: it grows from the first pick on.
    pub(crate) fn grow(&mut self, slot: Slot) {
        self.growing.insert(slot, Growing { since: None, next: None });
    }

    /// A peer that was out begins to grow.
    pub(crate) fn grow_since(&mut self, slot: Slot, now: Instant) {
        self.growing.insert(slot, Growing { since: Some(now), next: Some(now) });
    }

    /// A peer is taken out until its trial.
    pub(crate) fn eject(&mut self, slot: Slot, rules: &Ejection, now: Instant) {
        let sentence = Sentence::of(self.sentences.get(&slot), rules, now);
        self.sentences.insert(slot, sentence);
    }

    /// A peer has traffic again.
    pub(crate) fn end(&mut self, slot: Slot, now: Instant) {
        if let Some(sentence) = self.sentences.get_mut(&slot) {
            sentence.end(now);
        }
    }

    /// No trial for this peer: it is as it is until somebody says otherwise.
    pub(crate) fn pardon(&mut self, slot: Slot) {
        self.sentences.remove(&slot);
    }

    /// Peers that were ejected and are not back.
    pub(crate) fn out(&self) -> impl Iterator<Item = Slot> + '_ {
        self.sentences.iter().filter(|(_, sentence)| sentence.is_out()).map(|(slot, _)| *slot)
    }

    /// Peers on trial, in an order of their own.
    pub(crate) fn on_trial(&self) -> Vec<Slot> {
        let on_trial = self.sentences.iter().filter(|(_, it)| it.stage() == Stage::Trial);
        let mut slots: Vec<Slot> = on_trial.map(|(slot, _)| *slot).collect();
        slots.sort_unstable();
        slots
    }

    /// When a peer's trial begins, while it is out.
    pub(crate) fn until(&self, slot: Slot) -> Option<Instant> {
        self.sentences.get(&slot)?.until()
    }

    /// The peers whose trial begins now.
    pub(crate) fn elapse(&mut self, now: Instant) -> Vec<Slot> {
        let due =
            self.sentences.iter_mut().filter_map(|(slot, it)| it.elapse(now).then_some(*slot));
        due.collect()
    }

    /// The tenths of their shares that growing peers have now, when `length` is all of the way.
    pub(crate) fn shares(&mut self, length: Duration, now: Instant) -> Vec<(Slot, u32)> {
        let mut shares = Vec::with_capacity(self.growing.len());
        self.growing.retain(|slot, growing| {
            let (steps, next) = share(*growing.since.get_or_insert(now), length, now);
            growing.next = next;
            shares.push((*slot, steps));
            steps < STEPS
        });
        shares
    }

    /// When something is due.
    pub(crate) fn revision(&self) -> Revision {
        let trials = self.sentences.values().filter_map(Sentence::until).map(Revision::At);
        let growth = self.growing.values().map(|it| it.next.map_or(Revision::AtOnce, Revision::At));
        trials.chain(growth).fold(Revision::Never, Revision::or)
    }
}
