//! Endpoints that the configuration gives by address. They are there from the start and do not change until the next
//! configuration.

use std::net::SocketAddr;

use super::Discovered;
use crate::config::model::Member;

/// What such an entry stands for.
pub(in crate::cluster) fn found(member: &Member, address: SocketAddr) -> Vec<Discovered> {
    vec![Discovered::of(member, address, address.to_string().into())]
}
