//! See `attache::fuzzing::host`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| attache::fuzzing::host(bytes));
