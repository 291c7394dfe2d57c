//! proxy protocol
