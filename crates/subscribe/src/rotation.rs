//! Which control plane is next.

use uuid::Uuid;

/// The order in which a node asks the control planes.
///
/// It is drawn from the node's id (rendezvous hashing), so that a fleet spreads evenly, a node
/// comes back to the same one, and a control plane that is added or removed moves only its share.
#[derive(Clone, Debug)]
pub(crate) struct Rotation {
    order: Vec<usize>,
    at: usize,
}

impl Rotation {
    /// The order of the control planes with these names for this node.
    pub(crate) fn new<'a>(node: Uuid, names: impl IntoIterator<Item = &'a str>) -> Rotation {
        let mut scored: Vec<([u8; 32], usize)> = names
            .into_iter()
            .enumerate()
            .map(|(index, name)| {
                let mut hash = blake3::Hasher::new();
                hash.update(node.as_bytes()).update(name.as_bytes());
                (*hash.finalize().as_bytes(), index)
            })
            .collect();
        scored.sort_unstable();
        Rotation { order: scored.into_iter().map(|(_, index)| index).collect(), at: 0 }
    }

    /// The index of the control plane whose turn it is.
    pub(crate) fn current(&self) -> usize {
        self.order.get(self.at).copied().unwrap_or(0)
    }

    /// Gives the turn to this one.
    pub(crate) fn turn_to(&mut self, index: usize) {
        if let Some(at) = self.order.iter().position(|entry| *entry == index) {
            self.at = at;
        }
    }

    /// Passes the turn on.
    pub(crate) fn advance(&mut self) {
        self.at = (self.at + 1) % self.order.len().max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_control_plane_has_its_turn() {
        let mut rotation = Rotation::new(Uuid::from_u128(1), ["a", "b", "c"]);
        let mut turns: Vec<usize> = (0..3)
            .map(|_| {
                let turn = rotation.current();
                rotation.advance();
                turn
            })
            .collect();
        assert_eq!(rotation.current(), turns[0]);
        turns.sort_unstable();
        assert_eq!(turns, [0, 1, 2]);
    }

    #[test]
    fn a_fleet_spreads_and_moves_no_more_than_it_must() {
        let nodes = || (0..3_000u128).map(Uuid::from_u128);
        let mut counts = [0; 3];
        for node in nodes() {
            counts[Rotation::new(node, ["a", "b", "c"]).current()] += 1;
        }
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
        for node in nodes() {
            let before = Rotation::new(node, ["a", "b", "c"]).current();
            let after = Rotation::new(node, ["a", "b", "c", "d"]).current();
            assert!(after == before || after == 3);
        }
    }
}
