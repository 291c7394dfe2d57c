//! Identifies the client of a request, by forwarding headers of trusted proxies where the peer is one.

use super::authentication;
use super::claimed::Claimed;
use super::exchange::Exchange;
use super::headers;
use super::stage::{Entry, Passage};
use crate::error::Error;
use crate::head::only_value;
use crate::observe::record::{NotedField, NotedFields};
use crate::observe::request_id::request_id;

/// Who the client is, what a trusted proxy says about it, and which name the request goes by.
pub(super) fn identify(exchange: &mut Exchange, entry: &Entry) -> Result<Passage, Error> {
    // Nothing is served by a listener that is gone.
    entry.settings()?;
    authentication::take_out_forged(exchange, entry);
    let peer = exchange.connection.peer_ip();
    let fields = exchange.message.as_ref().ok_or_else(|| Error::Internal)?.headers();
    let is_trusted = |address| entry.config().client_ip.trusts(address);
    let (client, request) = (&mut exchange.client, &mut exchange.request);
    client.address = headers::client_ip(fields, peer, is_trusted);
    client.trusted = is_trusted(peer);
    if let Some(name) = &entry.config().tenants.header {
        let named = only_value(fields, name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
        client.identity.tenant = named.map(Box::from);
    }
    if client.trusted && request.seen.public {
        let hops = || headers::hops(fields, peer, is_trusted);
        client.claimed = Claimed::read(fields, hops);
    }
    let (mut rng, mut values) = (exchange.worker.rng(), exchange.worker.values());
    request.id = Some(request_id(fields, client.trusted, request.time, &mut rng, &mut values));
    let plans = entry.view.plans();
    if plans.note_fields() {
        let asked = NotedField::all(plans.request_headers(), fields);
        request.noted_fields = Some(Box::new(NotedFields { request: asked, response: Vec::new() }));
    }
    if let Some(tracer) = entry.view.tracer() {
        let trace = tracer.begin(fields, client.trusted, &mut rng);
        request.trace_id = Some(trace.trace_id());
        exchange.attempts.trace = Some(trace);
    }
    Ok(Passage::On)
}
