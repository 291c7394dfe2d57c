//! Keeps what it takes to subscribe again, where the stream of a call is to go on after its agent has broken it off.
//! An endpoint gets the request itself, and with it the fields that a subscription needs.

use super::continuity::{Continuity, Heads, MARK};
use super::exchange::Exchange;
use super::question;
use super::stage::{Passage, ServedRoute};
use crate::a2a::Question;
use crate::error::Error;

/// Keeps it in the exchange.
pub(super) fn plan(exchange: &mut Exchange, route: &ServedRoute<'_>) -> Result<Passage, Error> {
    if exchange.call.is_some() && route.settings().a2a.as_ref().is_some_and(|settings| settings.continuity) {
        exchange.continuity = continuity(exchange, route).map(Box::new);
    }
    Ok(Passage::On)
}

fn continuity(exchange: &Exchange, route: &ServedRoute<'_>) -> Option<Continuity> {
    let call = exchange.call.as_deref().filter(|call| call.operation.is_some_and(|it| it.is_streaming()))?;
    let cluster = exchange.destination.cluster.as_ref()?.name().into();
    let question = Question::events(call.binding, call.generation, MARK, &call.ids(), call.id());
    let (events, _) = question::request(exchange, route, &question).ok()?;
    let question = Question::whole(call.binding, call.generation, MARK, &call.ids());
    let (whole, _) = question::request(exchange, route, &question).ok()?;
    Some(Continuity::new(Heads { events, whole }, route.settings().upstream_host.clone(), cluster))
}
