//! See `attache::fuzzing::request_heads`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| attache::fuzzing::request_heads(bytes));
