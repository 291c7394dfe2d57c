//! Draws the faults of an exchange when its route is known, and applies those that come before it is forwarded.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use tokio::time::sleep_until;

use super::exchange::Exchange;
use super::injected::Injected;
use super::stage::{Passage, ServedRoute};
use crate::config::model::{AbortAnswer, Fault};
use crate::error::Error;
use crate::policy::fault::{self, ABORT, DELAY};

/// Draws the faults of an exchange, and lets it feel those that come before the endpoint.
///
/// # Errors
/// The fault, when the exchange ends here.
pub(super) async fn inject(exchange: &mut Exchange, route: &ServedRoute<'_>) -> Result<Passage, Error> {
    if let Some(settings) = &route.settings().fault {
        draw(exchange, route, settings);
        if exchange.guards.fault.is_some() {
            Box::pin(hold(exchange, route.settings().timeout)).await?;
        }
    }
    Ok(Passage::On)
}

/// Draws the faults of an exchange. The fields in which a client asks for some are for the gateway, and are taken out
/// of the request whether or not the client gets them.
fn draw(exchange: &mut Exchange, route: &ServedRoute<'_>, settings: &Fault) {
    let Some(headers) = exchange.message.as_mut().map(Request::headers_mut) else {
        return;
    };
    let request = fault::Request { headers, client: exchange.client.address, time: exchange.request.time };
    let draw = fault::draw(settings, &request, &mut exchange.worker.fork_rng());
    headers.remove(DELAY);
    headers.remove(ABORT);
    let handles = &route.handles;
    for ignored in draw.ignored.iter().flatten() {
        handles.faults().faults_ignored.count(ignored.word());
    }
    if let Some(ceiling) = route.faults.as_ref().filter(|_| !draw.is_empty()) {
        let injected = Injected::new(draw, settings.max_active, Arc::clone(ceiling), handles.clone());
        exchange.guards.fault = Some(Box::new(injected));
    }
}

/// Holds an exchange back, and aborts it, as drawn. Its `timeout` runs meanwhile.
async fn hold(exchange: &mut Exchange, timeout: Option<Duration>) -> Result<(), Error> {
    let started = exchange.request.started;
    let Some(injected) = &mut exchange.guards.fault else {
        return Ok(());
    };
    let (delay, abort) = (injected.draw().delay, injected.draw().abort);
    // Whether it is a call is not known yet.
    let abort = abort.filter(|answer| !matches!(answer, AbortAnswer::Call(_)));
    if delay.is_none() && abort.is_none() || !injected.begin() {
        return Ok(());
    }
    if let Some(delay) = delay {
        injected.delays();
        let delay = delay.min(timeout.unwrap_or(Duration::MAX));
        sleep_until(started + delay).await;
        if timeout == Some(delay) {
            return Err(Error::FaultDelay);
        }
    }
    if let Some(answer) = abort {
        injected.aborts();
        return Err(Error::FaultAbort(answer));
    }
    injected.end();
    Ok(())
}

/// Answers a call of an agent with the error that was drawn for it.
///
/// # Errors
/// That error.
pub(super) fn answer_call(exchange: &mut Exchange) -> Result<(), Error> {
    let Exchange { call: Some(_), guards, .. } = exchange else { return Ok(()) };
    let Some(injected) = &mut guards.fault else { return Ok(()) };
    let answer = injected.draw().abort.filter(|answer| matches!(answer, AbortAnswer::Call(_)));
    match answer {
        Some(answer) if injected.begin() => {
            injected.aborts();
            Err(Error::FaultAbort(answer))
        }
        _ => Ok(()),
    }
}
