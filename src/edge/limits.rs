//! Asks a route's limits whether this client may send its request now.

use super::exchange::Exchange;
use super::stage::{Passage, ServedRoute};
use crate::error::Error;
use crate::policy::{Admitted, Caller, Refused};

/// Counts the request, or refuses it. What it takes is held by the exchange, to the end of the answer's body.
pub(super) fn admit(exchange: &mut Exchange, route: &ServedRoute<'_>) -> Result<Passage, Error> {
    let Some(limits) = &route.limits else {
        return Ok(Passage::On);
    };
    match limits.admit(&caller(exchange)?) {
        Ok(Admitted { open, rate_limit_headers, counted }) => {
            exchange.guards.open = open;
            exchange.guards.counted = counted;
            exchange.reply.rate_limit_headers = rate_limit_headers;
            Ok(Passage::On)
        }
        Err(refused) => Err(refuse(exchange, refused)),
    }
}

/// Asks the limits whose keys are about the call of an agent, now that it is known. What has no call is counted by its
/// client's address.
pub(super) fn admit_call(exchange: &mut Exchange, route: &ServedRoute<'_>) -> Result<Passage, Error> {
    let Some(limits) = route.limits.as_ref().filter(|limits| limits.wait_for_calls()) else {
        return Ok(Passage::On);
    };
    let before = exchange.reply.rate_limit_headers.take();
    match limits.admit_call(&caller(exchange)?, exchange.guards.counted, before) {
        Ok(rate_limit_headers) => {
            exchange.reply.rate_limit_headers = rate_limit_headers;
            Ok(Passage::On)
        }
        Err(refused) => Err(refuse(exchange, refused)),
    }
}

fn refuse(exchange: &mut Exchange, refused: Refused) -> Error {
    exchange.reply.rate_limit_headers = refused.rate_limit_headers;
    refused.error
}

/// Who sends it, as limits tell clients apart.
pub(super) fn caller(exchange: &Exchange) -> Result<Caller<'_>, Error> {
    Ok(Caller {
        client: exchange.client.address,
        method: &exchange.request.method,
        headers: exchange.message()?.headers(),
        principal: exchange.client.identity.principal.as_deref(),
        tenant: exchange.tenant(),
        operation: exchange.operation,
    })
}
