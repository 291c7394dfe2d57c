//! See `attache::fuzzing::configuration`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| attache::fuzzing::configuration(bytes));
