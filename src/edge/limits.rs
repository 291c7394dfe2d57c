//! Asks a route's limits whether this client may send its request now.

use super::exchange::Exchange;
use super::stage::{Passage, ServedRoute};
use crate::error::Error;
use crate::policy::{Admitted, Caller, Refused};

/// Counts the request, or refuses it: either way it is on its route now. What it takes is held by the exchange, to the
/// end of the answer's body.
pub(super) fn admit(exchange: &mut Exchange, route: &ServedRoute<'_>) -> Result<Passage, Error> {
    exchange.routed(&route.handles);
    let Some(limits) = &route.limits else {
        return Ok(Passage::On);
    };
    match limits.admit(&caller(exchange)?) {
        Ok(Admitted { open, rate_limit_headers }) => {
            exchange.guards.open = open;
            exchange.reply.rate_limit_headers = rate_limit_headers.map(Box::new);
            Ok(Passage::On)
        }
        Err(Refused { error, rate_limit_headers }) => {
            exchange.reply.rate_limit_headers = rate_limit_headers.map(Box::new);
            Err(error)
        }
    }
}

/// Who sends it, as limits tell clients apart.
pub(super) fn caller(exchange: &Exchange) -> Result<Caller<'_>, Error> {
    Ok(Caller {
        client: exchange.client.address,
        method: &exchange.request.method,
        headers: exchange.message()?.headers(),
        identity: Some(&exchange.client.identity),
        operation: exchange.operation,
    })
}
