//! See `attache::fuzzing::path`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| attache::fuzzing::path(bytes));
