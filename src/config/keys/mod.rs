//! Every key of the language, with what it means. What a section reads is also what the program keeps, save where
//! references are resolved: that becomes the model.

pub(super) mod a2a;
pub(super) mod abuse;
pub(super) mod access_log;
pub(super) mod acme;
pub(super) mod adaptive;
pub(super) mod auth;
pub(super) mod authorization;
pub(super) mod basic;
pub(super) mod browser;
pub(super) mod calls;
pub(super) mod circuit_breaker;
pub(super) mod client_certificate;
pub(super) mod cluster;
pub(super) mod external;
pub(super) mod fault;
pub(super) mod health;
pub(super) mod jwt;
pub(super) mod limits;
pub(super) mod listener;
pub(super) mod mirror;
pub(super) mod operation;
pub(super) mod outlier;
pub(super) mod retries;
pub(super) mod root;
pub(super) mod route;
pub(super) mod screening;
pub(super) mod split;
pub(super) mod tracing;
pub(super) mod wire;

pub(super) use super::forms::either::{Many, Named, OrOff, schema_of, text_or};
pub(super) use super::forms::percentage::{Percentage, Share};
pub(super) use super::forms::reading::{one_of, text_value};
pub(super) use super::forms::timestamp::Timestamp;
pub(super) use super::forms::values::{Bind, Network, PathText, Size, Status, Time, Verb};
pub(super) use super::forms::words::{choice, find, word_values, words};
pub(super) use super::forms::{
    ANY, Boxed, Bytes, Count, Limit, List, MILLION, Millis, OUT_OF_RANGE, Seconds, Written, section, written,
};
pub(super) use cluster::Cluster;
pub(super) use listener::Listener;
pub(super) use root::Root;
pub(super) use route::Route;
