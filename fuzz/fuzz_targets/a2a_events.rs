//! See `attache::fuzzing::a2a_events`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| attache::fuzzing::a2a_events(bytes));
