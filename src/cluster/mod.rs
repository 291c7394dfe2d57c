//! Upstream clusters: which endpoints there are, how busy each one is and which one the next request goes to. Knows nothing of
//! routes or connections: it hands out an endpoint and a guard that counts, the rest of the gateway does the talking.

mod balancer;
mod build;
pub mod dns;
mod endpoint;
mod hash;
mod members;
mod resolution;
mod resolver;
mod status;

pub use self::balancer::PickRequest;
pub use self::build::Cluster;
pub use self::endpoint::{Endpoint, EndpointId, InFlight};
pub use self::hash::hash_key;
pub use self::members::Members;
pub use self::status::{ClusterStatus, EndpointStatus, NameStatus};
