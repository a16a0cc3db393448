//! The target `router` as a program.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::router::check(input));
