//! See `attache::fuzzing::events`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| attache::fuzzing::events(bytes));
