//! Keys whose declaration is also what the program keeps.

pub(super) mod a2a;
pub(super) mod calls;
pub(super) mod circuit_breaker;
pub(super) mod fault;
pub(super) mod health;
pub(super) mod listener;
pub(super) mod mirror;
pub(super) mod operation;
pub(super) mod outlier;
pub(super) mod retries;
pub(super) mod wire;

pub(super) use super::forms::{
    ANY, Bytes, Count, Limit, List, MILLION, Millis, OUT_OF_RANGE, Seconds, Written, section, written,
};
