//! The one exit: every answer gets its fields here before it leaves, whether it comes from an agent, a route, or a
//! refusal of the gateway.

use http::HeaderMap;

use super::exchange::Exchange;
use super::forward::REQUEST_ID;
use super::headers;
use super::worker::View;
use crate::config::model::HeaderChanges;

/// The route's changes to fields of answers. An answer without a route has none.
pub(super) fn changes<'v>(exchange: &Exchange, view: &'v View) -> Option<&'v HeaderChanges> {
    let route = view.route(exchange.route?)?;
    Some(&route.response_headers)
}

/// Completes the fields of an answer: request id, rate limits, the route's changes, and injected faults. The route
/// comes after all others but the fault, because a route must not hide that a fault was injected.
pub(super) fn depart(exchange: &mut Exchange, changes: Option<&HeaderChanges>, fields: &mut HeaderMap) {
    if let Some(id) = &exchange.request_id {
        fields.insert(REQUEST_ID, id.clone());
    }
    if let Some(standing) = exchange.standing.take() {
        standing.tell(fields);
    }
    if let Some(changes) = changes {
        headers::apply(fields, changes, exchange.https);
    }
    if let Some(fault) = &exchange.fault {
        fault.mark(fields);
    }
}
