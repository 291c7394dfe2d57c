//! The listeners beside the traffic: one to read metrics and probe, one to ask and command.

mod access;
pub mod api;
mod audit;
mod blocks;
pub mod client;
pub mod control;
pub mod health;
pub mod journal;
pub mod probe;
mod refusals;
mod rollouts;
pub mod serve;
pub mod server;
mod slots;
pub mod socket;
