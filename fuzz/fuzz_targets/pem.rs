//! See `attache::fuzzing::pem`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| attache::fuzzing::pem(bytes));
