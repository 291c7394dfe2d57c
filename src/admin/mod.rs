//! The metrics listener: `/metrics`, `/health`, `/ready` and `/startup` on a port of its own, served by the control thread. It
//! may be slow or flooded without hurting traffic, and changes nothing.

pub mod health;
pub mod probe;
pub mod server;
