//! See `attache::fuzzing::key_sets`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| attache::fuzzing::key_sets(bytes));
