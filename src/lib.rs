//! attache: a Layer-7 gateway and load balancer for A2A agents.
//!
//! A request walks through the rooms in the order in which they are declared here; a room may use those further along
//! and the base, never one it came from. ARCHITECTURE.md is the map.
//!
//! # Words
//!
//! - *downstream*, *upstream*: towards the client, towards the agent.
//! - *listener*: one address the gateway accepts on.
//! - *route*: what a request must look like, and what happens to it.
//! - *cluster*: endpoints that do the same job.
//! - *member*, *endpoint*: an entry of a cluster as configured; one address requests go to.
//! - *exchange*: a request and its answer, to the last byte of the body.
//! - *attempt*: one try to get an exchange done by one endpoint.
//! - *stream*: an answer that is events, gRPC, or an upgraded connection.
//! - *snapshot*: everything built from one configuration.
//! - *drain*: accept nothing new and let running work end.
//! - *guard*: a value that gives back what it stands for when it is dropped.

// The base.

pub mod a2a;

pub mod error;

pub mod outcome;

pub mod context;

pub mod body;

pub mod config;

pub mod observe;

pub mod bounded;

pub mod grpc_status;

pub mod head;

pub mod host;

pub mod visible;

pub mod pem;

pub mod jose;

pub mod acme;

// The path.

pub mod listener;

pub mod edge;

pub mod route;

pub mod policy;

pub mod upstream;

pub mod cluster;

pub mod pool;

// Around it.

#[cfg(feature = "otlp")]
pub mod otlp;

pub mod snapshot;

pub mod gateway;

pub mod admin;

pub mod migrate;

pub mod cli;

pub mod demo;

#[doc(hidden)]
pub mod fuzzing;
