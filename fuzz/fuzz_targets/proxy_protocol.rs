//! See `attache::fuzzing::proxy_protocol`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| attache::fuzzing::proxy_protocol(bytes));
