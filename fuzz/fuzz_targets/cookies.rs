//! See `attache::fuzzing::cookies`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| attache::fuzzing::cookies(bytes));
