//! See `attache::fuzzing::traceparent`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| attache::fuzzing::traceparent(bytes));
