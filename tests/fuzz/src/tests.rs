//! The seeds, and what was found and mended.

use std::path::Path;

use crate::{expression, path, request, router};

/// A target's name and its function.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 4] = [
    ("request", request::check),
    ("path", path::check),
    ("router", router::check),
    ("expression", expression::check),
];

#[test]
fn every_seed_is_read_as_the_oracle_reads_it() {
    for (name, check) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name);
        let mut seeds: Vec<_> =
            folder.read_dir().unwrap().map(|seed| seed.unwrap().path()).collect();
        seeds.sort();
        assert!(!seeds.is_empty(), "{} has no seed", folder.display());
        for seed in seeds {
            println!("{}", seed.display());
            check(&std::fs::read(&seed).unwrap());
        }
    }
}
