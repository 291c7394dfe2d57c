//! See `attache::fuzzing::tokens`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| attache::fuzzing::tokens(bytes));
