//! See `attache::fuzzing::agent_card_grpc`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| attache::fuzzing::agent_card_grpc(bytes));
