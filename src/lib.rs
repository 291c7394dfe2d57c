//! attache: a Layer-7 gateway and load balancer for A2A agents.
//!
//! A request walks through the rooms in the order they are declared here.

pub mod body;
pub mod config;
pub mod context;
pub mod error;
pub mod observe;

pub mod cluster;
pub mod edge;
pub mod listener;
pub mod pool;
pub mod route;
pub mod upstream;

pub mod admin;
pub mod cli;
pub mod demo;
pub mod gateway;
pub mod snapshot;
