use std::collections::BTreeMap;

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

use super::{Node, Tree, Vacant};

/// A number that is vacant when it is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Number(u8);

impl Vacant for Number {
    fn is_vacant(&self) -> bool {
        self.0 == 0
    }
}

fn keys() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![Just("/a"), Just("/ab"), Just("b"), Just("/"), Just("aaaaaaaa")];
    proptest::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat().into_bytes())
}

fn check_invariant(node: &Node<Number>, root: bool) {
    assert!(
        !node.value.is_vacant() || node.children.len() >= 2 || (root && node.children.is_empty())
    );
    assert!(node.firsts.is_sorted());
    for (first, child) in node.firsts.iter().zip(&node.children) {
        assert_eq!(child.label.first(), Some(first));
        check_invariant(child, false);
    }
}

fn contents(tree: &Tree<Number>) -> Vec<u8> {
    fn walk(node: &Node<Number>, found: &mut Vec<u8>) {
        found.extend(Some(node.value.0).filter(|number| *number > 0));
        node.children.iter().for_each(|child| walk(child, found));
    }
    let mut found = Vec::new();
    tree.0.iter().for_each(|root| walk(root, &mut found));
    found
}

proptest! {
    /// As a map does, whatever the order of changes; and clones do not change.
    #[test]
    fn is_a_map_by_prefix(
        changes in proptest::collection::vec((keys(), any::<u8>().prop_map(|n| n % 4)), 0..40),
        text in keys(),
    ) {
        let mut map = BTreeMap::new();
        let mut tree = Tree::default();
        for (key, number) in changes {
            let (before, held) = (tree.clone(), contents(&tree));
            tree.change(&key, |value| *value = Number(number));
            if number == 0 { map.remove(&key); } else { map.insert(key, number); }
            assert_eq!(contents(&before), held);
        }
        assert_eq!(contents(&tree), map.values().copied().collect::<Vec<_>>());
        if let Some(root) = &tree.0 {
            check_invariant(root, true);
        }
        let mut found = Vec::new();
        tree.prefixes_of(&text, |number| if number.0 > 0 { found.push(number.0) });
        let expected: Vec<u8> =
            map.iter().filter(|(key, _)| text.starts_with(key)).map(|(_, n)| *n).collect();
        assert_eq!(found, expected);
    }
}
