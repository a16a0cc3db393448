use std::collections::BTreeMap;

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

use super::{Edge, LONGEST_LIST, Target, Tree, Vacant};

/// A number that is vacant when it is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Number(u8);

impl Vacant for Number {
    fn is_vacant(&self) -> bool {
        self.0 == 0
    }
}

fn keys() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("/a"),
        Just("/ab"),
        Just("b"),
        Just("/"),
        Just("aaaaaaaa"),
        Just("c"),
        Just("d")
    ];
    proptest::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat().into_bytes())
}

fn check_invariants(edge: &Edge<Number>) {
    match &edge.target {
        Target::List(items) => {
            assert!((1..=LONGEST_LIST).contains(&items.len()));
            assert!(items.iter().all(|item| !item.value.is_vacant()));
            assert!(items.windows(2).all(|pair| pair[0].suffix < pair[1].suffix));
            assert!(items.iter().any(
                |item| item.suffix.first() != items[0].suffix.first() || item.suffix.is_empty()
            ));
        }
        Target::Branch(branch) => {
            assert!(branch.edges.len() + usize::from(!branch.value.is_vacant()) >= 2);
            assert!(branch.firsts.windows(2).all(|pair| pair[0] < pair[1]));
            assert_eq!(branch.firsts.len(), branch.edges.len());
            for (first, edge) in branch.firsts.iter().zip(&branch.edges) {
                assert_eq!(edge.label.first(), Some(first));
                check_invariants(edge);
            }
        }
    }
}

fn contents(tree: &Tree<Number>) -> BTreeMap<Vec<u8>, u8> {
    fn walk(edge: &Edge<Number>, before: &[u8], found: &mut BTreeMap<Vec<u8>, u8>) {
        let key = [before, &edge.label].concat();
        match &edge.target {
            Target::List(items) => {
                found.extend(items.iter().map(|i| ([&key[..], &i.suffix].concat(), i.value.0)));
            }
            Target::Branch(branch) => {
                if branch.value.0 > 0 {
                    found.insert(key.clone(), branch.value.0);
                }
                branch.edges.iter().for_each(|edge| walk(edge, &key, found));
            }
        }
    }
    let mut found = BTreeMap::new();
    tree.0.iter().for_each(|edge| walk(edge, &[], &mut found));
    found
}

proptest! {
    /// As a map does, whatever the order of changes; and clones do not change.
    #[test]
    fn is_a_map_by_prefix(
        changes in proptest::collection::vec((keys(), any::<u8>().prop_map(|n| n % 4)), 0..120),
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
        assert_eq!(&contents(&tree), &map);
        tree.0.iter().for_each(check_invariants);
        let mut found = Vec::new();
        tree.prefixes_of(&text, |number| if number.0 > 0 { found.push(number.0) });
        let expected: Vec<u8> =
            map.iter().filter(|(key, _)| text.starts_with(key)).map(|(_, n)| *n).collect();
        assert_eq!(found, expected);
    }
}
