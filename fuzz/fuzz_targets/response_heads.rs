//! See `attache::fuzzing::response_heads`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| attache::fuzzing::response_heads(bytes));
