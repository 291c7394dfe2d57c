//! The listeners beside the traffic: one to read metrics and probe, one to ask and command.

mod access;
pub mod api;
mod audit;
mod blocks;
mod cache;
pub mod client;
pub mod control;
mod dashboard;
mod endpoints;
mod follow;
pub mod health;
pub mod journal;
mod levels;
pub mod openapi;
mod operation;
pub mod probe;
mod query;
mod refusals;
mod rollouts;
pub mod serve;
pub mod server;
mod slots;
pub mod socket;
mod state;
mod traffic;
mod view;
