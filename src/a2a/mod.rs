//! The A2A protocol, as far as it can be told from bytes. Everything here is pure: it knows no clusters, connections or
//! routes.

pub mod card;
