//! Identifies the client of a request, by forwarding headers of trusted proxies where the peer is one.

use std::net::IpAddr;

use http::request::Parts;
use ipnet::IpNet;

use super::exchange::Exchange;
use super::headers;
use super::public::Claimed;
use super::seen::Seen;
use crate::config::model::ClientIp;
use crate::observe::request_id::request_id;

/// Sets the client's address, the claims of a trusted proxy, and the request id.
pub(super) fn identify(exchange: &mut Exchange, trust: &ClientIp, head: &Parts, seen: Seen) {
    let peer = exchange.connection.peer_ip();
    let mut rng = exchange.worker.fork_rng();
    let fields = &head.headers;
    let is_trusted = |address| is_trusted(trust, address);
    exchange.client = headers::client_ip(fields, peer, is_trusted);
    exchange.trusted = is_trusted(peer);
    if exchange.trusted && seen.public {
        let hops = || headers::hops(fields, peer, is_trusted);
        exchange.claimed = Claimed::read(fields, hops);
    }
    let id = request_id(fields, exchange.trusted, exchange.time, &mut rng);
    exchange.request_id = Some(id);
}

fn is_trusted(trust: &ClientIp, address: IpAddr) -> bool {
    trust.trusted_proxies.iter().any(|network: &IpNet| network.contains(&address))
}
