use std::cell::Cell;
use std::collections::HashSet;

use super::random_string;

#[test]
fn generated_texts_use_every_character_and_only_those() {
    // Every byte in turn: a character that no byte leads to would never be seen.
    let next = Cell::new(0_u8);
    let random = |buffer: &mut [u8]| {
        for byte in buffer {
            *byte = next.get();
            next.set(next.get().wrapping_add(1));
        }
    };
    let mut seen = HashSet::new();
    for _ in 0..64 {
        let text = random_string(&random);
        assert_eq!(text.len(), 32);
        seen.extend(text.chars());
    }
    assert_eq!(seen.len(), 62);
    assert!(seen.iter().all(char::is_ascii_alphanumeric));
}
