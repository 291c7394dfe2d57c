//! See `attache::fuzzing::migrate`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| attache::fuzzing::migrate(bytes));
