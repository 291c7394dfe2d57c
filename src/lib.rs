//! attache: a Layer-7 gateway and load balancer for A2A agents.
//!
//! A request walks through the rooms in the order they are declared here.

pub mod body;
pub mod config;
pub mod context;
pub mod error;
pub mod observe;

pub mod listener;
pub mod edge;
pub mod route;
pub mod upstream;
pub mod cluster;
pub mod pool;

pub mod admin;
pub mod demo;
pub mod cli;
pub mod gateway;
pub mod snapshot;
