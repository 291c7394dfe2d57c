//! attache: a Layer-7 gateway and load balancer for A2A agents.
//!
//! A request walks through the rooms in the order they are declared here.

pub mod config;
pub mod context;
pub mod error;

pub mod listener;
pub mod route;
pub mod cluster;
pub mod observe;
pub mod admin;
pub mod demo;
pub mod cli;
