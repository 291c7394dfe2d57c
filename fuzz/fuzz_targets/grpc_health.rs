//! See `attache::fuzzing::grpc_health`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| attache::fuzzing::grpc_health(bytes));
