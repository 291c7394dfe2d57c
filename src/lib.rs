//! attache: a Layer-7 gateway and load balancer for A2A agents.
//!
//! A request walks through the rooms in the order they are declared here.

pub mod config;
pub mod context;
pub mod error;

pub mod admin;
pub mod cli;
pub mod cluster;
pub mod listener;
pub mod observe;
pub mod route;
