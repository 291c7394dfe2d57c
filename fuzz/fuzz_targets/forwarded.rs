//! See `attache::fuzzing::forwarded`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| attache::fuzzing::forwarded(bytes));
