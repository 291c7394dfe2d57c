//! The one exit: what every answer is given before it leaves, whoever made it: an agent, a route, or the gateway when
//! it refuses.

use http::HeaderMap;

use super::exchange::Exchange;
use super::forward::REQUEST_ID;
use super::headers;
use super::worker::View;
use crate::config::model::HeaderChanges;

/// What the exchange's route says about the fields of answers. An answer that no route gives has no such fields.
pub(super) fn changes<'v>(exchange: &Exchange, view: &'v View) -> Option<&'v HeaderChanges> {
    let route = view.route(exchange.route?)?;
    Some(&route.settings().response_headers)
}

/// Completes the fields of an answer: the name of the request, how its client stands with its limits, what its route
/// says, and what was done to it on purpose. The route speaks after everybody but the fault, whose mark must not be
/// hidden.
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
