//! Clients that wait to be asked for their body.

use std::time::Duration;

use http::{Request, Version};

use super::exchange::Exchange;
use super::stage::Passage;
use crate::config::model::Listener;
use crate::error::Error;

/// Waits for a body whose client would like to be asked for it. Over HTTP/1 hyper asks when an endpoint wants the body.
/// Over HTTP/2 it cannot say 100. Most clients send theirs after a while all the same (RFC 9110 section 10.1.1); one
/// that does not learns that its expectation is not met, and no endpoint hears of it.
pub(super) async fn meet(exchange: &mut Exchange, listener: &Listener) -> Result<Passage, Error> {
    if exchange.request.seen.expect && exchange.request.version == Version::HTTP_2 {
        let patience = listener.limits.body_idle_timeout.min(UNASKED);
        Box::pin(unasked(exchange, patience)).await?;
    }
    Ok(Passage::On)
}

async fn unasked(exchange: &mut Exchange, patience: Duration) -> Result<(), Error> {
    let come = match exchange.message.as_mut().map(Request::body_mut) {
        Some(body) => body.arrives(patience).await,
        None => true,
    };
    match exchange.request.upload.failure() {
        Some(error) => Err(error),
        None if come => Ok(()),
        None => Err(Error::UnmetExpectation),
    }
}

/// How long a client of HTTP/2 may wait for a 100 that does not come; those we know wait 5 s at the most.
const UNASKED: Duration = Duration::from_secs(8);
